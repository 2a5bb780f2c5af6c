"""What is found in an archive: in a bucket of a real SeaweedFS, and in a directory."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from bench.wire import Forwarder
from edgelift.archive.directory import DirectoryArchive
from edgelift.archive.place import BrowsableArchive
from edgelift.archive.survey import Survey, survey_archive
from edgelift.errors import ConfigurationError, StoreError
from tests.archive.buckets import MIB, Bucket, digest_of
from tests.archive.bundles import files_of, make_bundle
from tests.archive.faulty_s3 import Fault, FaultyS3
from tests.keys import signing_key

KEY = signing_key()
Fill = Callable[[str, Path], None]


@pytest.fixture(params=["bucket", "directory"])
def archive(request: pytest.FixtureRequest, tmp_path: Path) -> BrowsableArchive:
    """An empty archive."""
    if request.param == "bucket":
        bucket: Bucket = request.getfixturevalue("bucket")
        return bucket.archive(prefix="kept")
    (tmp_path / "shelf").mkdir()
    return DirectoryArchive(tmp_path / "shelf")


def keep(archive: Any, folder: str, files: list[Path]) -> None:
    """Archive `files` below `folder`."""
    for path in files:
        archive.store(path, digest=digest_of(path), name=f"{folder}/{path.name}" if folder else path.name)


def names(survey: Survey) -> list[str]:
    """The bundles that were found."""
    return [each.file.name for each in survey.bundles]


def test_bundles_are_found_with_what_their_locks_say(archive: BrowsableArchive, tmp_path: Path) -> None:
    """Name, images, bytes, architecture and signature come from the lock; what goes with a bundle is known with it."""
    path = tmp_path / "a.tar.zst"
    lock = make_bundle(path, name="harbour", size=5000, key=KEY)
    keep(archive, "sites", files_of(path, lock, KEY))

    (found,) = survey_archive(archive).bundles

    assert ("sites/a.tar.zst", archive.url("sites/a.tar.zst")) == (found.file.name, found.url)
    assert ("harbour", "amd64", 1, lock.unique_size) == (
        found.bundle,
        found.architecture,
        found.images,
        found.content_size,
    )
    assert (path.stat().st_size, True, "not checked") == (found.file.size, found.is_signed, found.signature)
    assert {"sites/a.tar.zst.sig", "sites/a.lock.json", "sites/a.lock.json.sig"} <= {each.name for each in found.beside}


def test_what_is_no_bundle_is_told_apart(archive: BrowsableArchive, tmp_path: Path) -> None:
    """A broken bundle and a foreign file of such a name are told; others are counted; the good ones are found."""
    good, cut, foreign, note = (tmp_path / name for name in ("b.tar.zst", "cut.tar.zst", "x.tar.zst", "notes.txt"))
    make_bundle(good)
    cut.write_bytes(good.read_bytes()[:-1])
    foreign.write_bytes(b"not even zstd")
    note.write_bytes(b"hello")
    keep(archive, "", [good, cut, foreign, note])

    survey = survey_archive(archive)

    assert names(survey) == ["b.tar.zst"]
    assert {"cut.tar.zst", "x.tar.zst"} == {each.file.name for each in survey.unreadable}
    assert all(each.problem for each in survey.unreadable)
    assert "notes.txt" in {each.name for each in survey.others}


def test_signatures_are_judged_where_there_is_a_key(archive: BrowsableArchive, tmp_path: Path) -> None:
    """Ours is ok, a stranger's and none are refused, and all are listed."""
    for name, key in (("ours", KEY), ("strange", signing_key("stranger")), ("unsigned", None)):
        path = tmp_path / f"{name}.tar.zst"
        make_bundle(path, name=name, key=key)
        keep(archive, "", [path])

    survey = survey_archive(archive, KEY.public_key)

    assert [(each.bundle, each.signature) for each in survey.bundles] == [
        ("ours", "ok"),
        ("strange", "refused"),
        ("unsigned", "refused"),
    ]


def test_an_empty_archive_holds_nothing(archive: BrowsableArchive) -> None:
    """That is no error."""
    assert survey_archive(archive) == Survey((), (), (), (), ())


def test_little_is_read_of_a_bundle(bucket: Bucket, counter: Forwarder, tmp_path: Path) -> None:
    """Two bundles of 4 MiB are listed for a twentieth of their bytes."""
    for seed in range(2):
        path = tmp_path / f"{seed}.tar.zst"
        make_bundle(path, seed=seed, size=4 * MIB)
        keep(bucket.archive(), "", [path])
    archive = bucket.archive(endpoint=f"http://{counter.host}")
    counter.meter.take()

    survey = survey_archive(archive)

    assert len(survey.bundles) == 2
    assert counter.meter.take().down < 8 * MIB / 20


def test_all_pages_are_looked_at(bucket: Bucket, tmp_path: Path) -> None:
    """A server gives a thousand keys at a time, here two: nothing is left out."""
    path = tmp_path / "a.tar.zst"
    make_bundle(path)
    for number in range(5):
        bucket.archive().store(path, digest=digest_of(path), name=f"{number}.tar.zst")
    archive = bucket.archive()
    archive._client.meta.events.register(
        "provide-client-params.s3.ListObjectsV2", lambda params, **_: {**params, "MaxKeys": 2}
    )

    assert sorted(names(survey_archive(archive))) == [f"{number}.tar.zst" for number in range(5)]


def test_only_what_lies_below_the_prefix_is_looked_at(bucket: Bucket, tmp_path: Path) -> None:
    """`sites-old` is not below `sites`."""
    path = tmp_path / "a.tar.zst"
    make_bundle(path)
    for prefix in ("sites", "sites-old"):
        bucket.archive(prefix=prefix).store(path, digest=digest_of(path))

    assert names(survey_archive(bucket.archive(prefix="sites"))) == ["a.tar.zst"]


def test_uploads_that_did_not_end_are_told(bucket: Bucket) -> None:
    """Those of bundles and their locks; what others upload is theirs."""
    client = bucket.server.client()
    for key in ("kept/a.tar.zst", "kept/a.lock.json", "kept/video.mp4", "elsewhere/b.tar.zst"):
        client.create_multipart_upload(Bucket=bucket.name, Key=key)

    survey = survey_archive(bucket.archive(prefix="kept"))

    assert {"a.tar.zst", "a.lock.json"} == {each.name for each in survey.leftovers}


def test_copies_that_did_not_end_are_told(tmp_path: Path) -> None:
    """What a killed copy into a directory leaves is hidden there, and as large as a bundle."""
    (tmp_path / "sites").mkdir()
    (tmp_path / "sites" / ".a.tar.zst.x7y_z123").write_bytes(b"half a bundle")
    (tmp_path / ".bashrc").write_bytes(b"")

    survey = survey_archive(DirectoryArchive(tmp_path))

    assert [each.name for each in survey.leftovers] == ["sites/a.tar.zst"]
    assert survey.others == ()


def test_links_are_not_followed(tmp_path: Path) -> None:
    """A directory may lead nowhere else."""
    (tmp_path / "shelf").mkdir()
    make_bundle(tmp_path / "outside" / "a.tar.zst")
    (tmp_path / "shelf" / "a.tar.zst").symlink_to(tmp_path / "outside" / "a.tar.zst")
    (tmp_path / "shelf" / "folder").symlink_to(tmp_path / "outside")

    assert survey_archive(DirectoryArchive(tmp_path / "shelf")) == Survey((), (), (), (), ())


def test_who_may_not_list_uploads_sees_the_bundles(proxy: FaultyS3, bucket: Bucket, tmp_path: Path) -> None:
    """The missing right is told, and named."""
    path = tmp_path / "a.tar.zst"
    make_bundle(path)
    keep(bucket.archive(), "", [path])
    proxy.faults.append(Fault("deny", r"GET .*\?uploads"))

    survey = survey_archive(bucket.archive(endpoint=proxy.endpoint))

    assert (names(survey), len(survey.warnings)) == (["a.tar.zst"], 1)
    assert "s3:ListBucketMultipartUploads" in survey.warnings[0]


def test_a_bundle_that_may_not_be_read_does_not_end_it(proxy: FaultyS3, bucket: Bucket, tmp_path: Path) -> None:
    """It is told why, and the others are listed."""
    for name in ("a", "b"):
        path = tmp_path / f"{name}.tar.zst"
        make_bundle(path, name=name)
        keep(bucket.archive(), "", [path])
    proxy.faults.append(Fault("deny", "GET .*/a.tar.zst"))

    survey = survey_archive(bucket.archive(endpoint=proxy.endpoint))

    assert names(survey) == ["b.tar.zst"]
    assert "AccessDenied" in survey.unreadable[0].problem


def test_a_bucket_that_cannot_be_listed_is_an_error(proxy: FaultyS3, bucket: Bucket) -> None:
    """Which right is missing, or that there is no such bucket."""
    proxy.faults.append(Fault("deny", "GET .*list-type=2"))

    with pytest.raises(StoreError, match="s3:ListBucket"):
        survey_archive(bucket.archive(endpoint=proxy.endpoint))
    with pytest.raises(StoreError, match="make the bucket"):
        survey_archive(bucket.archive(bucket="nobody-made-this"))


@pytest.mark.parametrize("url", ["s3://", "s3:///prefix", "s3://bucket/../up"])
def test_what_names_no_bucket_is_refused(url: str) -> None:
    """Nothing is asked of any server."""
    from edgelift.archive.s3 import S3Archive  # noqa: PLC0415 - boto3 is slow to load

    with pytest.raises(ConfigurationError):
        S3Archive.at(url)
