"""Which bundles go, and that nothing else does: decided with tables, done in a bucket of a real SeaweedFS."""

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from edgelift.archive.directory import DirectoryArchive
from edgelift.archive.place import KeptFile, Leftover
from edgelift.archive.retention import Pruned, Retention, plan_pruning, prune_archive
from edgelift.archive.survey import FoundBundle, Signature, Survey, survey_archive
from edgelift.oci.digest import Digest
from tests.archive.buckets import Bucket, digest_of
from tests.archive.bundles import files_of, make_bundle
from tests.archive.faulty_s3 import Fault, FaultyS3
from tests.keys import signing_key

NOW = datetime(2026, 1, 31, tzinfo=UTC)
KEY = signing_key()


def bundle(
    name: str, age: float, file: str | None = None, signature: Signature = "none", base: FoundBundle | None = None
) -> FoundBundle:
    """The bundle `name`, `age` days old; a delta where it has a `base`."""
    file = file or f"{name}-{age}.tar.zst"
    kept = KeptFile(file, 100, NOW - timedelta(days=age), "1")
    lock = Digest.of(file.encode())
    return FoundBundle(kept, f"s3://b/{file}", name, None, 1, 90, lock, base.lock if base else None, signature, ())


def survey_of(*bundles: FoundBundle, leftovers: tuple[Leftover, ...] = ()) -> Survey:
    """A survey that found these, newest first."""
    return Survey(bundles, (), (), leftovers, ())


FIVE = [bundle("a", age) for age in (1, 10, 20, 40, 80)]
RULES: dict[str, tuple[Retention, list[int]]] = {
    "no rule": (Retention(), []),
    "the two newest": (Retention(keep=2), [20, 40, 80]),
    "more than there are": (Retention(keep=9), []),
    "the last month": (Retention(older_than=timedelta(days=30)), [40, 80]),
    "just as old": (Retention(older_than=timedelta(days=40)), [40, 80]),
    "all but the newest": (Retention(older_than=timedelta(0)), [10, 20, 40, 80]),
    "both: beyond the count, and old": (Retention(keep=2, older_than=timedelta(days=30)), [40, 80]),
    "both: the count keeps old ones": (Retention(keep=4, older_than=timedelta(days=30)), [80]),
}


@pytest.mark.parametrize(("rules", "ages"), RULES.values(), ids=RULES)
def test_what_goes(rules: Retention, ages: list[int]) -> None:
    """Each rule keeps something; what no rule keeps goes."""
    pruning = plan_pruning(survey_of(*FIVE), rules, NOW)

    assert [f"a-{age}.tar.zst" for age in ages] == [each.file.name for each in pruning.bundles]
    assert len(FIVE) - len(ages) == len(pruning.kept)


def test_the_newest_of_each_name_stays() -> None:
    """However old it is; names are counted apart, and folders, too."""
    bundles = [
        *(bundle("a", age) for age in (400, 500)),
        bundle("b", 900),
        *(bundle("a", age, f"site-2/{age}.tar.zst") for age in (700, 800)),
    ]

    pruning = plan_pruning(survey_of(*bundles), Retention(keep=1, older_than=timedelta(days=1)), NOW)

    assert [each.file.name for each in pruning.bundles] == ["a-500.tar.zst", "site-2/800.tar.zst"]


def test_the_base_of_a_delta_that_stays_stays() -> None:
    """And the base of that base; what nothing that stays goes on top of goes."""
    first, lone = bundle("a", 90), bundle("a", 80)
    second = bundle("a", 40, base=first)
    delta = bundle("b", 1, base=second)
    old_delta = bundle("a", 60, base=lone)

    survey = survey_of(bundle("a", 2), second, old_delta, lone, first, delta)
    pruning = plan_pruning(survey, Retention(keep=1), NOW)

    assert pruning.bundles == (old_delta, lone)


def test_what_is_refused_neither_goes_nor_counts() -> None:
    """A stranger who may write into the bucket cannot push out what is ours."""
    bundles = [bundle("a", 1, signature="refused"), bundle("a", 10, signature="ok"), bundle("a", 20, signature="ok")]

    pruning = plan_pruning(survey_of(*bundles), Retention(keep=1), NOW)

    assert [each.file.name for each in pruning.bundles] == ["a-20.tar.zst"]


def test_what_was_just_archived_is_spared() -> None:
    """An unchanged bundle that was archived long ago may be the one in use."""
    pruning = plan_pruning(survey_of(*FIVE), Retention(keep=1), NOW, spare={"s3://b/a-40.tar.zst"})

    assert "a-40.tar.zst" not in {each.file.name for each in pruning.bundles}
    assert len(pruning.bundles) == 3


def test_only_old_uploads_are_leftovers() -> None:
    """A young one may belong to a run that is at work."""
    uploads = (
        Leftover("a.tar.zst", NOW - timedelta(hours=2), "1"),
        Leftover("a.tar.zst", NOW - timedelta(days=2), "2"),
    )

    assert tuple(each.id for each in plan_pruning(survey_of(leftovers=uploads), Retention(), NOW).leftovers) == ("2",)


def fill(archive: Any, folder: Path, count: int) -> None:
    """Archive `count` signed bundles of one name, 0.tar.zst first, with all that goes with them."""
    for number in range(count):
        path = folder / f"{number}.tar.zst"
        for file in files_of(path, make_bundle(path, seed=number, key=KEY), KEY):
            archive.store(file, digest=digest_of(file))


def prune(archive: Any, rules: Retention = Retention(keep=1)) -> Pruned:  # noqa: B008 - it is frozen
    """Survey, decide as if it were in two days, and delete."""
    pruning = plan_pruning(survey_archive(archive), rules, datetime.now(UTC) + timedelta(days=2))
    return prune_archive(archive, pruning)


def numbered(*numbers: int) -> set[str]:
    """The four files of each bundle of `fill`."""
    return {f"{number}.{end}" for number in numbers for end in ("tar.zst", "tar.zst.sig", "lock.json", "lock.json.sig")}


def test_a_bundle_goes_with_what_belongs_to_it(bucket: Bucket, tmp_path: Path) -> None:
    """Signatures and lock go, too; what is not ours, what is broken, and the newest stay."""
    archive = bucket.archive()
    fill(archive, tmp_path, 3)
    client = bucket.server.client()
    for key in ("notes.txt", "broken.tar.zst", "0.tar.zst.backup", "other.lock.json"):
        client.put_object(Bucket=bucket.name, Key=key, Body=b"somebody's")

    pruned = prune(archive)

    assert (pruned.failures, pruned.versions) == ((), 0)
    assert numbered(2) | {"notes.txt", "broken.tar.zst", "0.tar.zst.backup", "other.lock.json"} == set(
        bucket.state()[0]
    )
    assert {archive.url(name) for name in numbered(0, 1)} == set(pruned.deleted)


def test_what_may_belong_to_a_bundle_in_parts_stays(bucket: Bucket, tmp_path: Path) -> None:
    """Lock and signatures may be those of the bundle in parts that has the same name, whose index is told of."""
    archive = bucket.archive()
    fill(archive, tmp_path, 2)
    index = "0.tar.zst.parts.json"
    bucket.server.client().put_object(Bucket=bucket.name, Key=index, Body=b"{}")

    unreadable = survey_archive(archive).unreadable
    prune(archive)

    assert [each.file.name for each in unreadable] == [index]
    assert set(bucket.state()[0]) == numbered(0, 1) - {"0.tar.zst"} | {index}


def test_a_directory_is_pruned_alike(tmp_path: Path) -> None:
    """With the checksum files that stand beside each file there."""
    shelf = tmp_path / "shelf"
    shelf.mkdir()
    fill(DirectoryArchive(shelf), tmp_path, 2)
    half = shelf / ".0.tar.zst.x7y_z123"
    half.write_bytes(b"half a bundle")

    pruned = prune(DirectoryArchive(shelf))

    assert pruned.failures == ()
    assert {name for kept in numbered(1) for name in (kept, f"{kept}.sha256")} == {
        path.name for path in shelf.iterdir()
    }


def test_old_uploads_are_aborted(bucket: Bucket) -> None:
    """Those under names of ours; others stay."""
    client = bucket.server.client()
    for key in ("a.tar.zst", "video.mp4"):
        client.create_multipart_upload(Bucket=bucket.name, Key=key)

    prune(bucket.archive())

    assert bucket.state() == ([], ["video.mp4"])


def test_what_may_not_be_deleted_is_told(proxy: FaultyS3, bucket: Bucket, tmp_path: Path) -> None:
    """Its lock and signature stay with it, the right is named, and the rest is done."""
    fill(bucket.archive(), tmp_path, 3)
    proxy.faults.append(Fault("deny", r"DELETE .*/1\.tar\.zst$"))

    pruned = prune(bucket.archive(endpoint=proxy.endpoint))

    assert numbered(1, 2) == set(bucket.state()[0])
    assert len(pruned.failures) == 1
    assert f"cannot delete s3://{bucket.name}/1.tar.zst" in pruned.failures[0]
    assert "allow s3:DeleteObject" in pruned.failures[0]


def test_what_was_replaced_since_stays(bucket: Bucket, tmp_path: Path) -> None:
    """A bundle that another run has archived under that name between the look and the deletion is not deleted."""
    archive = bucket.archive()
    fill(archive, tmp_path, 2)
    pruning = plan_pruning(survey_archive(archive), Retention(keep=1), datetime.now(UTC))
    make_bundle(tmp_path / "new" / "0.tar.zst", seed=9)
    archive.store(tmp_path / "new" / "0.tar.zst", digest=digest_of(tmp_path / "new" / "0.tar.zst"))

    pruned = prune_archive(archive, pruning)

    assert numbered(0, 1) == set(bucket.state()[0])
    assert len(pruned.failures) == 1


def test_a_bucket_with_versions_says_that_they_stay(bucket: Bucket, tmp_path: Path) -> None:
    """What is deleted is not seen any more, and is paid for all the same."""
    bucket.server.client().put_bucket_versioning(Bucket=bucket.name, VersioningConfiguration={"Status": "Enabled"})
    fill(bucket.archive(), tmp_path, 2)

    pruned = prune(bucket.archive())

    assert (pruned.versions, pruned.failures) == (4, ())
    assert numbered(1) == set(bucket.state()[0])
