"""Bundles in parts that come back, part by part, from a real SeaweedFS and a real docker-registry."""

from pathlib import Path

import pytest

from bench.wire import Forwarder
from edgelift.archive.artifact import ArtifactArchive
from edgelift.archive.restore import restore_bundle
from edgelift.archive.survey import survey_archive
from edgelift.bundle.parts import PartsIndex
from edgelift.bundle.verify import verify_bundle
from edgelift.errors import BundleError, IntegrityError, SignatureError, StoreError
from edgelift.oci.credentials import Credentials
from edgelift.oci.digest import Digest
from edgelift.oci.registry import Registry
from edgelift.transport import TransportSettings
from tests.archive.buckets import MIB, Bucket, digest_of
from tests.archive.bundles import keep_parts, make_bundle, make_parts
from tests.archive.faulty_s3 import Fault, FaultyS3
from tests.keys import signing_key
from tests.real_parts import RunningRegistry

KEY = signing_key()
INDEX = "site-7.tar.zst.parts.json"
PART = "site-7.tar.zst.part-0002"


@pytest.fixture
def place(bucket: Bucket, tmp_path: Path) -> str:
    """The folder of a signed bundle in three parts in the bucket, which was made in `tmp_path / "0"`."""
    (place,) = keep_parts(bucket.archive(), tmp_path, KEY)
    return place


def state(folder: Path) -> dict[str, bytes]:
    """Every file in `folder`, hidden ones too."""
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def restore(bucket: Bucket, place: str, folder: Path, name: str = INDEX, **options: object) -> bool:
    """Bring it back under the public key; whether anything was fetched."""
    archive = bucket.archive(prefix=place, endpoint=options.pop("endpoint", bucket.server.endpoint))
    restored = restore_bundle(archive, name, folder, key=KEY.public_key, **options)  # type: ignore[arg-type]
    assert (restored.path, len(restored.parts)) == (folder / INDEX, 3)
    return restored.is_new


@pytest.mark.parametrize("name", [INDEX, PART])
def test_it_comes_back_in_its_parts(bucket: Bucket, place: str, tmp_path: Path, name: str) -> None:
    """By its index or any part: all files are what they were, signatures too, and progress tells all bytes."""
    fetched = list[int]()

    is_new = restore(bucket, place, tmp_path / "back", name, progress=fetched.append)

    assert is_new
    assert state(tmp_path / "0") == state(tmp_path / "back")
    assert sum(fetched) == sum(path.stat().st_size for path in (tmp_path / "0").glob("*.part-*"))
    verify_bundle(tmp_path / "back" / INDEX)


def test_what_stands_there_is_not_fetched_again(bucket: Bucket, counter: Forwarder, place: str, tmp_path: Path) -> None:
    """The parts are hashed where they are; what is missing beside them, and only a part that is lost, comes back."""
    back, endpoint = tmp_path / "back", f"http://{counter.host}"
    restore(bucket, place, back)
    (back / "site-7.lock.json").unlink()
    counter.meter.take()

    again = restore(bucket, place, back, endpoint=endpoint)
    few = counter.meter.take().down
    (back / PART).unlink()
    mended = restore(bucket, place, back, endpoint=endpoint)
    more = counter.meter.take().down

    assert (again, mended) == (False, True)
    assert (few < MIB / 2, more < 1.5 * MIB) == (True, True)
    assert state(tmp_path / "0") == state(back)


def test_a_restore_that_was_cut_is_continued(
    bucket: Bucket, proxy: FaultyS3, counter: Forwarder, place: str, tmp_path: Path
) -> None:
    """Parts that have arrived stay, and there is no index before the last one: the next run fetches the rest."""
    back = tmp_path / "back"
    proxy.faults.append(Fault("deny", f"HEAD .*{PART[:-1]}3"))
    with pytest.raises(StoreError):
        restore(bucket, place, back, endpoint=proxy.endpoint)
    arrived = sorted(state(back))

    restore(bucket, place, back, endpoint=f"http://{counter.host}")

    assert arrived == [f"{PART[:-1]}1", PART]
    assert counter.meter.take().down < MIB
    assert state(tmp_path / "0") == state(back)


def test_a_part_that_was_archived_damaged_is_told(bucket: Bucket, place: str, tmp_path: Path) -> None:
    """It gets no name, those that are right stay for the next run, and there is no bundle."""
    content = bytearray(bucket.content(f"{place}/{PART}"))
    content[1000] ^= 1
    bucket.server.client().put_object(Bucket=bucket.name, Key=f"{place}/{PART}", Body=bytes(content))

    with pytest.raises(IntegrityError, match=r"part-0002 is not what its digest says"):
        restore(bucket, place, tmp_path / "back")

    assert sorted(state(tmp_path / "back")) == [f"{PART[:-1]}1"]


def put_damaged(bucket: Bucket, place: str, made: Path) -> None:
    """Keep a part with another bit in its layer, and an index that says so."""
    content = bytearray((made / PART).read_bytes())
    content[MIB // 2] ^= 1
    (made / PART).write_bytes(content)
    index = PartsIndex.from_json((made / INDEX).read_bytes(), INDEX)
    parts = tuple(part.model_copy(update={"digest": digest_of(made / part.name)}) for part in index.parts)
    whole = b"".join((made / part.name).read_bytes() for part in parts)
    (made / INDEX).write_bytes(index.model_copy(update={"digest": Digest.of(whole), "parts": parts}).to_json())
    for name in (PART, INDEX):
        bucket.archive(prefix=place).store(made / name, digest=digest_of(made / name))


def test_parts_that_nobody_has_signed_are_not_fetched(bucket: Bucket, place: str, tmp_path: Path) -> None:
    """The lock in them is ours, but the digest of the whole is none that our signature is of."""
    put_damaged(bucket, place, tmp_path / "0")

    with pytest.raises(SignatureError):
        restore(bucket, place, tmp_path / "back")

    assert not (tmp_path / "back").exists()


def test_parts_that_fit_their_index_and_are_no_bundle_do_not_stay(bucket: Bucket, place: str, tmp_path: Path) -> None:
    """What they come to is damaged: none of them is of any use."""
    put_damaged(bucket, place, tmp_path / "0")

    with pytest.raises((BundleError, IntegrityError), match="is damaged"):
        restore_bundle(bucket.archive(prefix=place), INDEX, tmp_path / "back")

    assert state(tmp_path / "back") == {}


IN_THE_WAY = ["site-7.tar.zst", PART, "site-7.tar.zst.part-0004", INDEX, "site-7.lock.json"]


def test_what_stands_under_a_name_it_needs_is_replaced_only_if_told_to(
    bucket: Bucket, place: str, tmp_path: Path
) -> None:
    """The bundle as one file, another part, one that `cat` would add, another index, another lock."""
    for name in IN_THE_WAY:
        back = tmp_path / f"back with {name}"
        back.mkdir()
        (back / name).write_bytes(b"somebody's")

        with pytest.raises(StoreError, match="stands there already"):
            restore(bucket, place, back)
        assert state(back) == {name: b"somebody's"}

    restore(bucket, place, back, overwrite=True)
    for name in IN_THE_WAY:
        (back / name).write_bytes(b"somebody's")
    restore(bucket, place, back, overwrite=True)

    assert state(tmp_path / "0") == state(back)


def test_one_file_takes_the_place_of_parts(bucket: Bucket, place: str, tmp_path: Path) -> None:
    """A name stands for one bundle: where the other one is in parts, these go, if they may."""
    back, one = tmp_path / "back", tmp_path / "one" / "site-7.tar.zst"
    restore(bucket, place, back)
    make_bundle(one, seed=5)
    bucket.archive().store(one, digest=digest_of(one))

    with pytest.raises(StoreError, match="stands there already"):
        restore_bundle(bucket.archive(), one.name, back)
    restore_bundle(bucket.archive(), one.name, back, overwrite=True)

    assert sorted(state(back)) == ["site-7.lock.json", "site-7.tar.zst"]


def test_it_is_listed_in_a_registry_and_comes_back(docker_registry: RunningRegistry, tmp_path: Path) -> None:
    """There each file is a tag; what goes with it is known as its own."""
    archive = ArtifactArchive(Registry(docker_registry.host, TransportSettings(), Credentials()), "site/parts")
    _, files = make_parts(tmp_path / "0", key=KEY)
    for file in files:
        archive.store(file, digest=digest_of(file))

    survey = survey_archive(archive, KEY.public_key)
    restore_bundle(archive, INDEX, tmp_path / "back", key=KEY.public_key)

    (found,) = survey.bundles
    assert (found.file.name, len(found.parts), found.is_signed, survey.others) == (INDEX, 3, True, ())
    assert state(tmp_path / "0") == state(tmp_path / "back")
