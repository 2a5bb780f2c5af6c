"""Bundles in parts in an archive: listed, and let go of, as the one thing that they are."""

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from bench.wire import Forwarder
from edgelift.archive.directory import DirectoryArchive
from edgelift.archive.place import BrowsableArchive, folder_for_parts
from edgelift.archive.retention import Pruned, Pruning, Retention, plan_pruning, prune_archive
from edgelift.archive.survey import survey_archive
from tests.archive.buckets import MIB, Bucket
from tests.archive.bundles import keep_parts
from tests.archive.faulty_s3 import Fault, FaultyS3
from tests.keys import signing_key

KEY = signing_key()
INDEX = "site-7.tar.zst.parts.json"


@pytest.fixture(params=["bucket", "directory"])
def archive(request: pytest.FixtureRequest, tmp_path: Path) -> BrowsableArchive:
    """An empty archive."""
    if request.param == "bucket":
        bucket: Bucket = request.getfixturevalue("bucket")
        return bucket.archive(prefix="kept")
    (tmp_path / "shelf").mkdir()
    return DirectoryArchive(tmp_path / "shelf")


def names(archive: BrowsableArchive) -> set[str]:
    """All that is there."""
    return {file.name for file in archive.files()}


def plan(archive: BrowsableArchive, days: int = 2) -> Pruning:
    """What would go in so many days, of all but the newest bundle."""
    return plan_pruning(survey_archive(archive), Retention(keep=1), datetime.now(UTC) + timedelta(days=days))


def prune(archive: BrowsableArchive) -> Pruned:
    """Delete that."""
    return prune_archive(archive, plan(archive))


PARTS_FOLDERS = {
    "its own": ("sites/site-7-0123456789ab/site-7.tar.zst", "sites/site-7-0123456789ab"),
    "its own, on top": ("site-7-0123456789ab/site-7.tar.zst", "site-7-0123456789ab"),
    "that of another name": ("site-8-0123456789ab/site-7.tar.zst", None),
    "one that people made": ("site-7-backup/site-7.tar.zst", None),
    "none": ("site-7.tar.zst", None),
}


@pytest.mark.parametrize(("whole", "folder"), PARTS_FOLDERS.values(), ids=PARTS_FOLDERS)
def test_a_folder_that_was_made_for_parts_is_known_by_its_name(whole: str, folder: str | None) -> None:
    """Name and lock of the bundle are in it; what people have put elsewhere is theirs."""
    assert folder == folder_for_parts(whole)


def test_it_is_listed_with_parts_and_size(archive: BrowsableArchive, tmp_path: Path) -> None:
    """One entry, with what its lock says, all of whose files are known as its own."""
    (place,) = keep_parts(archive, tmp_path, KEY)

    survey = survey_archive(archive, KEY.public_key)

    (found,) = survey.bundles
    assert (found.file.name, found.bundle, found.images, found.signature) == (f"{place}/{INDEX}", "site-7", 1, "ok")
    assert (found.name, len(found.parts), found.is_signed) == (f"{place}/site-7.tar.zst", 3, True)
    assert found.file_size == sum(path.stat().st_size for path in (tmp_path / "0").glob("*.part-*"))
    assert found.size == sum(file.size for file in archive.files())
    assert (survey.others, survey.unreadable, survey.strays) == ((), (), ())


def test_little_is_read_of_it(bucket: Bucket, counter: Forwarder, tmp_path: Path) -> None:
    """A look at each part, and what the lock takes: the parts themselves are not fetched."""
    keep_parts(bucket.archive(), tmp_path)

    survey_archive(bucket.archive(endpoint=f"http://{counter.host}"))

    assert counter.meter.take().down < MIB / 4


def test_one_that_lacks_a_part_is_told_and_stays(archive: BrowsableArchive, tmp_path: Path) -> None:
    """It can no longer be read, and what cannot be read is not ours to judge."""
    broken, _ = keep_parts(archive, tmp_path, count=2)
    archive.remove(next(file for file in archive.files() if file.name == f"{broken}/site-7.tar.zst.part-0002"))

    (unreadable,) = survey_archive(archive).unreadable
    before = names(archive)
    prune(archive)

    assert (unreadable.file.name, "part" in unreadable.problem) == (f"{broken}/{INDEX}", True)
    assert before == names(archive)


def test_it_goes_as_a_whole(archive: BrowsableArchive, tmp_path: Path) -> None:
    """Of two with one name, each in a folder of its own, the older goes to its last file."""
    _, newer = keep_parts(archive, tmp_path, KEY, count=2)

    pruned = prune(archive)

    assert pruned.failures == ()
    assert {name.partition("/")[0] for name in names(archive)} == {newer}
    assert len(survey_archive(archive).bundles[0].parts) == 3


def test_its_index_goes_first_and_its_parts_last(bucket: Bucket, proxy: FaultyS3, tmp_path: Path) -> None:
    """So that nobody opens a bundle that lacks something, and what is left can be told by its parts."""
    keep_parts(bucket.archive(), tmp_path, KEY, count=2)

    prune(bucket.archive(endpoint=proxy.endpoint))

    deleted = [*dict.fromkeys(line.rpartition("/")[2] for line in proxy.seen if line.startswith("DELETE"))]
    assert deleted[0] == INDEX
    assert deleted[-3:] == [f"site-7.tar.zst.part-000{number}" for number in (1, 2, 3)]


def test_one_whose_index_may_not_be_deleted_stays_whole(bucket: Bucket, proxy: FaultyS3, tmp_path: Path) -> None:
    """A lock on the object, or a right that is missing, is told, and nothing of it is lost."""
    keep_parts(bucket.archive(), tmp_path, KEY, count=2)
    before = bucket.state()
    proxy.faults.append(Fault("deny", r"DELETE .*parts\.json"))

    pruned = prune(bucket.archive(endpoint=proxy.endpoint))

    assert (len(pruned.failures), before) == (1, bucket.state())


def test_what_a_broken_deletion_leaves_goes_the_next_time(bucket: Bucket, proxy: FaultyS3, tmp_path: Path) -> None:
    """Parts without an index are no bundle; once they are a day old, they go with all that is left beside them."""
    broken, newer = keep_parts(bucket.archive(), tmp_path, KEY, count=2)
    proxy.faults.append(Fault("deny", r"DELETE .*(part-0002|lock\.json)", times=9))
    prune(bucket.archive(endpoint=proxy.endpoint))

    (stray,) = survey_archive(bucket.archive()).strays
    again = prune(bucket.archive())

    assert stray.name == f"{broken}/site-7.tar.zst"
    assert {"site-7.tar.zst.part-0002", "site-7.lock.json"} <= {each.name.rpartition("/")[2] for each in stray.files}
    assert again.failures == ()
    assert {key.partition("/")[0] for key in bucket.state()[0]} == {newer}


def test_parts_of_an_upload_that_may_go_on_stay(bucket: Bucket, tmp_path: Path) -> None:
    """They come before their index: young ones stay, and so do those whose index has come since they were looked at."""
    archive, client = bucket.archive(), bucket.server.client()
    (place,) = keep_parts(archive, tmp_path)
    index = bucket.content(f"{place}/{INDEX}")
    client.delete_object(Bucket=bucket.name, Key=f"{place}/{INDEX}")
    young, late = plan(archive, days=0), plan(archive)
    client.put_object(Bucket=bucket.name, Key=f"{place}/{INDEX}", Body=index)

    pruned = prune_archive(archive, late)

    assert (young.strays, len(late.strays)) == ((), 1)
    assert (pruned.deleted, len(survey_archive(archive).bundles)) == ((), 1)


def test_parts_that_people_have_laid_down_stay(tmp_path: Path) -> None:
    """Without an index, `cat` still puts them together: they go only out of a folder that was made for them."""
    folder = tmp_path / "shelf" / "backup"
    folder.mkdir(parents=True)
    (folder / "site-7.tar.zst.part-0001").write_bytes(b"some of a bundle")
    archive = DirectoryArchive(tmp_path / "shelf")

    prune(archive)

    assert names(archive) == {"backup/site-7.tar.zst.part-0001"}
    assert survey_archive(archive).strays == ()
