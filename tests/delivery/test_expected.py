"""What a site should have: its last receipt, and the lock that this is about."""

from pathlib import Path

import pytest

from edgelift.archive.directory import DirectoryArchive
from edgelift.bundle.lock import BundleLock
from edgelift.bundle.signed import write_signed
from edgelift.delivery.expected import audit_path, read_expected, receipt_path
from edgelift.demo.content import make_image
from edgelift.errors import ConfigurationError, SignatureError
from edgelift.keys import find_public_key, read_private_key
from edgelift.store.runs import RunLocks
from tests.delivery.test_base import lock_of, receipt_of
from tests.keys import KeyFiles

LOCK = lock_of(make_image("team/app"), name="bundle")
OTHER = lock_of(make_image("team/other"), name="bundle")
MARKED = f"bundle-{LOCK.digest.hex[:12]}"


def deliver(folder: Path, lock: BundleLock | None = LOCK) -> None:
    """A receipt of `LOCK` for the site `site`, and a lock beside it."""
    folder.mkdir(exist_ok=True)
    receipt_path(folder, "site").write_bytes(receipt_of(LOCK, "ok").to_json())
    if lock is not None:
        (folder / "bundle.lock.json").write_bytes(lock.to_json())


def test_the_lock_is_found_beside_the_receipt(tmp_path: Path) -> None:
    """The bundle may have another name than the site; of an earlier audit its receipt is there."""
    deliver(tmp_path)
    audit_path(tmp_path, "site").write_bytes(receipt_of(LOCK, "missing").to_json())

    receipt, lock, audit = read_expected(tmp_path, "site", RunLocks(tmp_path / "store"))

    assert (receipt.bundle, lock) == ("bundle", LOCK)
    assert audit is not None
    assert audit.counts["missing"] == 1


@pytest.mark.parametrize("name", ["bundle.lock.json", f"{MARKED}.lock.json", f"{MARKED}/bundle.lock.json"])
def test_the_lock_is_found_in_the_archive(tmp_path: Path, name: str) -> None:
    """Whatever it is called there, and although another stands beside the receipt."""
    deliver(tmp_path / "sites", OTHER)
    (tmp_path / "archive").mkdir()
    archive = DirectoryArchive(tmp_path / "archive")
    lock_file = tmp_path / "lock.json"
    lock_file.write_bytes(LOCK.to_json())
    archive.store(lock_file, digest=LOCK.digest, name=name)

    assert read_expected(tmp_path / "sites", "site", RunLocks(tmp_path / "store"), archive=archive).lock == LOCK


def test_nothing_was_delivered_yet(tmp_path: Path) -> None:
    """The error says where the receipt would be, and what to do first."""
    with pytest.raises(ConfigurationError, match="there is no receipt of site yet") as caught:
        read_expected(tmp_path, "site", RunLocks(tmp_path / "store"))

    assert "synchronise the site first" in str(caught.value.hint)


@pytest.mark.parametrize("beside", [None, OTHER], ids=["no lock", "another lock"])
def test_a_receipt_without_its_lock_is_of_no_use(tmp_path: Path, beside: BundleLock | None) -> None:
    """Neither beside it nor in store or archive: the error names the lock."""
    deliver(tmp_path, beside)
    archive = DirectoryArchive(tmp_path)

    with pytest.raises(ConfigurationError, match=f"the lock {LOCK.digest}, which is neither"):
        read_expected(tmp_path, "site", RunLocks(tmp_path / "store"), archive=archive)


def test_with_a_key_the_lock_has_to_be_signed(tmp_path: Path) -> None:
    """As wherever a lock is used."""
    keys = KeyFiles.write(tmp_path, "site")
    deliver(tmp_path)
    with pytest.raises(SignatureError):
        read_expected(tmp_path, "site", RunLocks(tmp_path / "store"), find_public_key(keys.public))

    write_signed(tmp_path / "bundle.lock.json", LOCK.to_json(), read_private_key(keys.private))
    assert read_expected(tmp_path, "site", RunLocks(tmp_path / "store"), find_public_key(keys.public)).lock == LOCK
