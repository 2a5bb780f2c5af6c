"""Bundles kept in a directory, such as a share or a courier's disk."""

import hashlib
import subprocess
import sys
from pathlib import Path

import pytest

from edgelift.archive.directory import DirectoryArchive
from edgelift.archive.place import Archive
from edgelift.errors import ConfigurationError, IntegrityError, StoreError
from edgelift.oci.digest import Digest

CONTENT = b"a bundle, or what stands for one " * 30_000
DIGEST = Digest.of(CONTENT)


@pytest.fixture
def bundle(tmp_path: Path) -> Path:
    """A file of a few chunks."""
    path = tmp_path / "edge.tar.zst"
    path.write_bytes(CONTENT)
    return path


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """An empty directory to archive to."""
    root = tmp_path / "share"
    root.mkdir()
    return root


def files_in(root: Path) -> list[str]:
    """Every file below `root`, hidden ones too."""
    return sorted(str(path.relative_to(root)) for path in root.rglob("*") if path.is_file())


def test_a_bundle_goes_there_and_back(bundle: Path, root: Path, tmp_path: Path) -> None:
    """What is restored is what was stored, and the answers say where it is kept."""
    archive: Archive = DirectoryArchive(root)

    kept = archive.store(bundle, digest=DIGEST, name="site-a/today.tar.zst")
    restored = archive.restore("site-a/today.tar.zst", tmp_path / "elsewhere" / "back")

    assert kept == restored
    assert ((root / "site-a/today.tar.zst").as_uri(), len(CONTENT)) == (kept.url, kept.size)
    assert (tmp_path / "elsewhere" / "back").read_bytes() == CONTENT


def test_sha256sum_checks_what_is_kept(bundle: Path, root: Path) -> None:
    """A courier without edgelift checks the bundle with the tool every system has."""
    DirectoryArchive(root).store(bundle, digest=DIGEST)

    checked = subprocess.run(
        ["sha256sum", "-c", "edge.tar.zst.sha256"], cwd=root, check=True, capture_output=True, text=True
    )

    assert checked.stdout == "edge.tar.zst: OK\n"


def test_the_same_bundle_is_not_copied_twice(bundle: Path, root: Path) -> None:
    """The file that is there stays as it is, and its size is reported as done."""
    archive = DirectoryArchive(root)
    archive.store(bundle, digest=DIGEST)
    before = (root / bundle.name).stat().st_ino
    done: list[int] = []

    archive.store(bundle, digest=DIGEST, progress=done.append)

    assert before == (root / bundle.name).stat().st_ino
    assert done == [len(CONTENT)]


def test_a_rotten_copy_is_replaced(bundle: Path, root: Path) -> None:
    """A copy of the right size with a flipped bit is not taken for the bundle."""
    archive = DirectoryArchive(root)
    archive.store(bundle, digest=DIGEST)
    (root / bundle.name).write_bytes(bytes([CONTENT[0] ^ 1]) + CONTENT[1:])

    archive.store(bundle, digest=DIGEST)

    assert (root / bundle.name).read_bytes() == CONTENT


def test_a_changed_bundle_gets_no_name(bundle: Path, root: Path) -> None:
    """A file that is not what its digest says is not kept, nor anything of it."""
    with pytest.raises(IntegrityError, match=r"edge\.tar\.zst is not what its digest says"):
        DirectoryArchive(root).store(bundle, digest=Digest.of(b"another"))

    assert files_in(root) == []


def test_a_damaged_copy_is_not_restored(bundle: Path, root: Path, tmp_path: Path) -> None:
    """A flipped bit in the archive is noticed on the way back; what stood at the destination stands."""
    archive = DirectoryArchive(root)
    archive.store(bundle, digest=DIGEST)
    (root / bundle.name).write_bytes(CONTENT[:-1] + b"?")
    back = tmp_path / "target" / "back"
    back.parent.mkdir()
    back.write_bytes(b"earlier")

    with pytest.raises(IntegrityError):
        archive.restore(bundle.name, back)

    assert [(path.name, path.read_bytes()) for path in back.parent.iterdir()] == [("back", b"earlier")]


def test_a_digest_of_the_other_algorithm_is_noted_too(bundle: Path, root: Path, tmp_path: Path) -> None:
    """A sha512 digest is kept beside the bundle and compared on the way back."""
    digest = Digest("sha512:" + hashlib.sha512(CONTENT).hexdigest())
    archive = DirectoryArchive(root)
    archive.store(bundle, digest=digest)

    assert digest == archive.restore(bundle.name, tmp_path / "back").digest
    assert files_in(root) == ["edge.tar.zst", "edge.tar.zst.sha512"]


NOTES = {"none": None, "an empty one": b"", "one that is no digest": b"abc  edge.tar.zst\n", "bytes": b"\xff\xfe\n"}


@pytest.mark.parametrize("note", NOTES.values(), ids=NOTES)
def test_without_a_noted_digest_one_has_to_be_given(
    bundle: Path, root: Path, tmp_path: Path, note: bytes | None
) -> None:
    """A bundle that somebody copied there by hand is restored only against a digest from outside."""
    (root / bundle.name).write_bytes(CONTENT)
    if note is not None:
        (root / f"{bundle.name}.sha256").write_bytes(note)
    archive = DirectoryArchive(root)

    with pytest.raises(StoreError, match="no digest beside it"):
        archive.restore(bundle.name, tmp_path / "back")
    archive.restore(bundle.name, tmp_path / "back", digest=DIGEST)

    assert (tmp_path / "back").read_bytes() == CONTENT


BAD_NAMES = {
    "climbing": "../edge.tar.zst",
    "climbing later": "site/../../edge.tar.zst",
    "absolute": "/etc/edge.tar.zst",
    "empty": "",
    "an empty part": "site//edge.tar.zst",
    "a backslash": "site\\edge.tar.zst",
    "a control character": "edge\n.tar.zst",
    "absurdly long": "x" * 1000,
}


@pytest.mark.parametrize("name", BAD_NAMES.values(), ids=BAD_NAMES)
def test_names_stay_inside_the_directory(root: Path, tmp_path: Path, name: str) -> None:
    """Neither way takes a name that leads elsewhere."""
    with pytest.raises(ConfigurationError, match="cannot be the name"):
        DirectoryArchive(root).restore(name, tmp_path / "back")


def test_a_share_that_is_not_mounted_is_not_made(bundle: Path, tmp_path: Path) -> None:
    """A root that is not there is an error, not a new directory on the wrong disk."""
    with pytest.raises(StoreError, match="is not a directory"):
        DirectoryArchive(tmp_path / "unmounted").store(bundle, digest=DIGEST)

    assert not (tmp_path / "unmounted").exists()


def test_a_bundle_that_is_not_there_is_an_error(root: Path, tmp_path: Path) -> None:
    """Neither a file to store nor a name to restore that does not exist escapes as an OSError."""
    archive = DirectoryArchive(root)

    with pytest.raises(StoreError, match="No such file"):
        archive.store(tmp_path / "absent", digest=DIGEST)
    with pytest.raises(StoreError, match="No such file"):
        archive.restore("absent", tmp_path / "back", digest=DIGEST)


def test_a_full_disk_is_named(bundle: Path, root: Path, tmp_path: Path) -> None:
    """A disk without space is said to be full, and nothing of the copy stays."""
    script = f"""
import resource
resource.setrlimit(resource.RLIMIT_FSIZE, (1000, 1000))
from pathlib import Path
from edgelift.archive.directory import DirectoryArchive
from edgelift.errors import StoreError
from edgelift.oci.digest import Digest
try:
    DirectoryArchive(Path({str(root)!r})).store(Path({str(bundle)!r}), digest=Digest({str(DIGEST)!r}))
except StoreError as error:
    print(error)
"""
    run = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True, cwd=Path(__file__).parents[2]
    )

    assert "the disk is full" in run.stdout
    assert files_in(root) == []
