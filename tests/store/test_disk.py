"""What the operating system says, in our own terms."""

import errno
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from edgelift.errors import IntegrityError, StoreError
from edgelift.store.disk import begin_writing, disk_errors, remove

FULL = {
    errno.ENOSPC: "the disk is full",
    errno.EDQUOT: "the quota on this disk is used up",
    errno.EFBIG: "the disk is full or takes no file of that size",
}


@pytest.mark.parametrize(("number", "problem"), FULL.items(), ids=[errno.errorcode[each] for each in FULL])
def test_a_full_disk_tells_what_is_needed(tmp_path: Path, number: int, problem: str) -> None:
    """What was attempted, what is needed and what is free stand in one sentence; the hint says how to go on."""
    with pytest.raises(StoreError) as caught, disk_errors("write x", need=5_000_000, place=tmp_path):
        raise OSError(number, os.strerror(number))

    said = caught.value.message
    assert said.startswith(f"cannot write x: {problem}; 5,000,000 bytes are needed, ")
    assert said.endswith(" bytes are free")
    assert "free some space or choose another folder" in str(caught.value.hint)


def test_a_full_disk_of_unknown_need() -> None:
    """Where nobody knows how much, the sentence ends before."""
    with pytest.raises(StoreError) as caught, disk_errors("write x"):
        raise OSError(errno.ENOSPC, "No space left on device")

    assert caught.value.message == "cannot write x: the disk is full"


OTHERS = {errno.EACCES: "Permission denied", errno.EROFS: "Read-only file system", errno.EIO: "Input/output error"}


@pytest.mark.parametrize(("number", "problem"), OTHERS.items(), ids=OTHERS.values())
def test_other_problems_keep_the_systems_words(number: int, problem: str) -> None:
    """What was attempted and what the system said, and where to look."""
    with pytest.raises(StoreError) as caught, disk_errors("open x"):
        raise OSError(number, os.strerror(number))

    assert f"cannot open x: {problem}" == caught.value.message
    assert "permissions" in str(caught.value.hint)


def test_our_own_errors_pass() -> None:
    """An error that is ours already stays as it is."""
    with pytest.raises(IntegrityError, match="wrong"), disk_errors("write x"):
        raise IntegrityError("wrong bytes")


THINGS: dict[str, Callable[[Path], object]] = {
    "nothing": lambda path: None,
    "a file": lambda path: path.touch(),
    "a folder": lambda path: (path / "more").mkdir(parents=True) or (path / "more" / "file").touch(),
    "a link": lambda path: path.symlink_to("kept/file"),
    "a link to a folder": lambda path: path.symlink_to("kept"),
}


@pytest.mark.parametrize("make", THINGS.values(), ids=THINGS)
def test_things_are_removed_and_links_not_followed(tmp_path: Path, make: Callable[[Path], object]) -> None:
    """Whatever stands at a path goes, and nothing else."""
    (tmp_path / "kept").mkdir()
    (tmp_path / "kept" / "file").touch()
    make(tmp_path / "thing")

    remove(tmp_path / "thing")

    assert {"kept", "file"} == {path.name for path in tmp_path.rglob("*")}


def test_writing_that_cannot_begin_early_is_no_failure(tmp_path: Path) -> None:
    """It is a matter of time alone: content is right and lasts whether the system can do that or not."""
    reading, writing = os.pipe()
    begin_writing(writing, 0, 10)  # a pipe has no places
    os.close(reading)
    os.close(writing)
    begin_writing(writing, 0, 10)  # nor is this a file any more
    with (tmp_path / "file").open("wb+") as file:
        file.write(b"content")
        file.flush()
        begin_writing(file.fileno(), 0, 1_000_000)
        assert os.pread(file.fileno(), 100, 0) == b"content"


def test_a_python_without_ctypes_writes_too(tmp_path: Path) -> None:
    """A Python built without libffi has no ctypes: writing begins later there, and that is all."""
    script = (
        "import sys; sys.modules['ctypes'] = None\n"
        "from edgelift.store.disk import begin_writing\n"
        "with open(sys.argv[1], 'wb') as file: begin_writing(file.fileno(), 0, 10); file.write(b'content')"
    )

    subprocess.run([sys.executable, "-c", script, str(tmp_path / "file")], check=True, timeout=60)

    assert (tmp_path / "file").read_bytes() == b"content"
