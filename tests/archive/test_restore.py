"""Bundles that come back from a bucket: a real SeaweedFS, by way of a proxy where something is to go wrong."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from bench.wire import Forwarder
from edgelift.archive import restore as subject
from edgelift.archive.restore import restore_bundle
from edgelift.bundle.lock import BundleLock
from edgelift.bundle.writer import signature_path
from edgelift.errors import BundleError, EdgeliftError, IntegrityError, SignatureError, StoreError
from tests.archive.buckets import MIB, Bucket, digest_of
from tests.archive.bundles import files_of, make_bundle
from tests.archive.faulty_s3 import Fault, FaultyS3
from tests.keys import signing_key

NAME = "edge.tar.zst"
SIZE = 6 * MIB
KEY = signing_key()


@pytest.fixture(scope="session")
def signed(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """A signed bundle of 6 MiB with all that goes with it."""
    path = tmp_path_factory.mktemp("signed") / NAME
    return files_of(path, make_bundle(path, size=SIZE, key=KEY), KEY)


def put(bucket: Bucket, files: list[Path]) -> None:
    """Archive them below `sites`."""
    for path in files:
        bucket.archive(prefix="sites").store(path, digest=digest_of(path))


def state(folder: Path) -> dict[str, bytes]:
    """Every file in `folder`, hidden ones too."""
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def test_a_bundle_comes_back_with_lock_and_signatures(bucket: Bucket, signed: list[Path], tmp_path: Path) -> None:
    """All four files are what they were; both progresses amount to what there is."""
    put(bucket, signed)
    fetched, verified = list[int](), list[int]()

    restored = restore_bundle(
        bucket.archive(prefix="sites"),
        NAME,
        tmp_path,
        key=KEY.public_key,
        progress=fetched.append,
        verified=verified.append,
    )

    assert {path.name: path.read_bytes() for path in signed} == state(tmp_path)
    assert (digest_of(signed[0]), True, True) == (restored.digest, restored.is_signed, restored.is_new)
    assert (restored.size, restored.lock.unique_size) == (sum(fetched), sum(verified))


def test_what_stands_there_is_not_fetched_again(
    bucket: Bucket, counter: Forwarder, signed: list[Path], tmp_path: Path
) -> None:
    """The same bundle is hashed and verified where it is; what is missing beside it comes back."""
    put(bucket, signed)
    archive = bucket.archive(prefix="sites", endpoint=f"http://{counter.host}")
    restore_bundle(archive, NAME, tmp_path)
    (tmp_path / "edge.lock.json").unlink()
    counter.meter.take()

    again = restore_bundle(archive, NAME, tmp_path)

    assert not again.is_new
    assert counter.meter.take().down < MIB
    assert {path.name: path.read_bytes() for path in signed} == state(tmp_path)


RESTORE = """
import sys
import time
from pathlib import Path
from pydantic import SecretStr
from edgelift.archive.restore import restore_bundle
from edgelift.archive.s3 import S3Archive
endpoint, access_key, secret_key, bucket, name, folder = sys.argv[1:]
archive = S3Archive(bucket, prefix="sites", endpoint=endpoint, access_key=SecretStr(access_key),
                    secret_key=SecretStr(secret_key))
restore_bundle(archive, name, Path(folder))
"""


def test_a_killed_restore_is_continued(
    proxy: FaultyS3, bucket: Bucket, counter: Forwarder, signed: list[Path], tmp_path: Path
) -> None:
    """After SIGKILL there is no file of that name; the next run fetches what had not arrived."""
    put(bucket, signed)
    server, here = bucket.server, Path(subject.__file__).parents[2]
    proxy.cut_at = 4 * MIB
    proxy.faults.append(Fault("stall", "GET ", times=20))  # those of opening the bundle are smaller, and pass
    arguments = [proxy.endpoint, server.access_key, server.secret_key, bucket.name, NAME, str(tmp_path)]
    process = subprocess.Popen(
        [sys.executable, "-c", RESTORE, *arguments],
        cwd=here,
        env={**os.environ, "PYTHONPATH": str(here)},
        stderr=subprocess.PIPE,
        text=True,
    )
    assert proxy.held.wait(60)
    (partial,) = tmp_path.iterdir()
    while partial.stat().st_size < 2 * MIB and process.poll() is None:
        time.sleep(0.01)
    process.send_signal(signal.SIGKILL)
    process.communicate()
    arrived = partial.stat().st_size
    counter.meter.take()

    restore_bundle(bucket.archive(prefix="sites", endpoint=f"http://{counter.host}"), NAME, tmp_path)

    assert arrived >= 2 * MIB
    assert counter.meter.take().down < SIZE - arrived + MIB
    assert {path.name: path.read_bytes() for path in signed} == state(tmp_path)


def test_an_object_that_is_replaced_while_it_comes_is_an_error(
    bucket: Bucket, signed: list[Path], tmp_path: Path
) -> None:
    """Where another bundle takes the name after the first look, the file gets no name, and nothing stays."""
    put(bucket, signed)
    other = tmp_path / "other" / NAME
    make_bundle(other, seed=1)
    archive = bucket.archive(prefix="sites")
    restore = archive.restore

    def replaced_before(*arguments: object, **options: object) -> object:
        put(bucket, [other])
        return restore(*arguments, **options)  # type: ignore[arg-type]

    archive.restore = replaced_before  # type: ignore[assignment, method-assign]
    with pytest.raises(BundleError, match=f"s3://{bucket.name}/sites/{NAME} is another bundle"):
        restore_bundle(archive, NAME, tmp_path / "back")

    assert list((tmp_path / "back").iterdir()) == []


def test_another_file_of_that_name_stands(bucket: Bucket, signed: list[Path], tmp_path: Path) -> None:
    """It is refused before anything is fetched; told to overwrite, the new one comes, and no old signature stays."""
    unsigned = tmp_path / "unsigned" / NAME
    put(bucket, files_of(unsigned, make_bundle(unsigned)))
    back = tmp_path / "back"
    back.mkdir()
    for path in signed:
        (back / path.name).write_bytes(path.read_bytes())
    before = state(back)
    archive = bucket.archive(prefix="sites")

    with pytest.raises(StoreError, match=r"edge\.tar\.zst stands there already.*--overwrite|stands there already"):
        restore_bundle(archive, NAME, back)
    assert before == state(back)
    restore_bundle(archive, NAME, back, overwrite=True)

    assert state(unsigned.parent) == state(back)


def test_another_lock_of_that_name_stands(bucket: Bucket, signed: list[Path], tmp_path: Path) -> None:
    """A lock that is not that of the bundle is not replaced unasked, either."""
    put(bucket, signed)
    (tmp_path / "edge.lock.json").write_bytes(b"{}")

    with pytest.raises(StoreError, match=r"edge\.lock\.json stands there already"):
        restore_bundle(bucket.archive(prefix="sites"), NAME, tmp_path)

    assert state(tmp_path) == {"edge.lock.json": b"{}"}


def unsigned_lock(folder: Path) -> list[Path]:
    """A bundle that nobody has signed."""
    path = folder / NAME
    return files_of(path, make_bundle(path))


def unsigned_file(folder: Path) -> list[Path]:
    """One whose lock is signed, and whose file's signature is lost."""
    path = folder / NAME
    return files_of(path, make_bundle(path, key=KEY), KEY)[:2]


def swapped_signature(folder: Path) -> list[Path]:
    """One with the file signature of another."""
    path, other = folder / NAME, folder / "other.tar.zst"
    make_bundle(other, seed=1, key=KEY)
    files = files_of(path, make_bundle(path, key=KEY), KEY)
    signature_path(path).write_bytes(signature_path(other).read_bytes())
    return files


def stranger(folder: Path) -> list[Path]:
    """One that somebody else has signed."""
    key, path = signing_key("stranger"), folder / NAME
    return files_of(path, make_bundle(path, key=key), key)


@pytest.mark.parametrize("make", [unsigned_lock, unsigned_file, swapped_signature, stranger])
def test_what_is_not_signed_rightly_gets_no_name(bucket: Bucket, tmp_path: Path, make: object) -> None:
    """With a public key nothing else comes back; not even a part of it stays."""
    put(bucket, make(tmp_path / "made"))  # type: ignore[operator]

    with pytest.raises(SignatureError):
        restore_bundle(bucket.archive(prefix="sites"), NAME, tmp_path / "back", key=KEY.public_key)

    assert not (tmp_path / "back").exists() or state(tmp_path / "back") == {}


def flip(content: bytes) -> bytes:
    """One bit in the middle, which is in the layer."""
    return content[: SIZE // 2] + bytes([content[SIZE // 2] ^ 1]) + content[SIZE // 2 + 1 :]


def test_a_bundle_that_was_archived_damaged_gets_no_name(bucket: Bucket, signed: list[Path], tmp_path: Path) -> None:
    """Its digest and the server's checksum are those of the damaged file; the bundle itself tells."""
    damaged = tmp_path / NAME
    damaged.write_bytes(flip(signed[0].read_bytes()))
    put(bucket, [damaged])

    with pytest.raises((BundleError, IntegrityError), match=f"s3://{bucket.name}/sites/{NAME} is damaged"):
        restore_bundle(bucket.archive(prefix="sites"), NAME, tmp_path / "back")

    assert state(tmp_path / "back") == {}


def test_a_bundle_of_another_tool_comes_back(bucket: Bucket, signed: list[Path], tmp_path: Path) -> None:
    """Without a digest of ours the bundle is still verified, and the checksum of the server is compared."""
    bucket.server.client().upload_file(
        str(signed[0]), bucket.name, f"copied/{NAME}", ExtraArgs={"ChecksumAlgorithm": "CRC32"}
    )

    restored = restore_bundle(bucket.archive(prefix="copied"), NAME, tmp_path)

    assert digest_of(signed[0]) == restored.digest
    with pytest.raises(StoreError, match="not known to be what"):
        restore_bundle(bucket.archive(prefix="copied"), NAME, tmp_path)


def test_content_that_is_not_what_the_server_notes_is_refused(proxy: FaultyS3, bucket: Bucket, tmp_path: Path) -> None:
    """Where no digest of ours is noted, and nobody looks inside, the server's checksum tells of damage on the way."""
    bucket.server.client().put_object(Bucket=bucket.name, Key="foreign", Body=b"x" * 1000, ChecksumAlgorithm="CRC32")
    proxy.faults.append(Fault("damage answer", "GET "))

    with pytest.raises(IntegrityError, match="CRC32"):
        bucket.archive(endpoint=proxy.endpoint).restore("foreign", tmp_path / "back", confirm=lambda _: None)

    assert state(tmp_path) == {}


MISSING = {"not there": "none.tar.zst", "no bundle": "note.tar.zst"}


@pytest.mark.parametrize("name", MISSING.values(), ids=MISSING)
def test_what_is_no_bundle_is_told_at_once(bucket: Bucket, tmp_path: Path, name: str) -> None:
    """Nothing is written."""
    note = tmp_path / "note.tar.zst"
    note.write_bytes(b"no bundle at all")
    put(bucket, [note])

    with pytest.raises(EdgeliftError, match=f"s3://{bucket.name}/sites/{name}"):
        restore_bundle(bucket.archive(prefix="sites"), name, tmp_path / "back")

    assert not (tmp_path / "back").exists()


def test_locks_are_written_as_they_are(bucket: Bucket, signed: list[Path], tmp_path: Path) -> None:
    """The lock comes out of the bundle, so it comes back even where the bucket has lost it."""
    put(bucket, signed[:1])

    restored = restore_bundle(bucket.archive(prefix="sites"), NAME, tmp_path)

    assert restored.lock == BundleLock.from_json((tmp_path / "edge.lock.json").read_bytes())
    assert (tmp_path / "edge.lock.json.sig").read_bytes() == signed[3].read_bytes()
    assert not signature_path(tmp_path / NAME).exists()
