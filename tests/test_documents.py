"""The files that people hold: read with a limit, written all at once."""

import os
import stat
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from edgelift.documents import LIMIT, read_document, write_document
from edgelift.errors import ConfigurationError, StoreError


def test_there_and_back(tmp_path: Path) -> None:
    """What is written is what is read, in folders that are made on the way, by everybody."""
    path = tmp_path / "a" / "b" / "lock.json"

    write_document(path, b"{}\n")

    assert (read_document(path), stat.S_IMODE(path.stat().st_mode)) == (b"{}\n", 0o644)
    assert [path] == list(path.parent.iterdir())


def test_a_document_is_replaced(tmp_path: Path) -> None:
    """The new content stands in place of the old, shorter or not."""
    path = tmp_path / "lock.json"
    write_document(path, b"long content")

    write_document(path, b"short")

    assert path.read_bytes() == b"short"


UNREADABLE: dict[str, tuple[Callable[[Path], object], str]] = {
    "missing": (lambda path: path, "No such file or directory"),
    "a folder": (lambda path: path.mkdir(), "Is a directory"),
    "a link to nowhere": (lambda path: path.symlink_to("nowhere"), "No such file or directory"),
    "a link to itself": (lambda path: path.symlink_to(path), "Too many levels of symbolic links"),
    "larger than any document": (lambda path: (path.touch(), os.truncate(path, LIMIT + 1)), "larger than 256 MiB"),
}


@pytest.mark.parametrize(("make", "problem"), UNREADABLE.values(), ids=UNREADABLE)
def test_what_cannot_be_read_is_named(tmp_path: Path, make: Callable[[Path], object], problem: str) -> None:
    """The message names the file and says why; the caller has to mend it."""
    path = tmp_path / "lock.json"
    make(path)

    with pytest.raises(ConfigurationError, match=problem) as caught:
        read_document(path)

    assert str(path) in caught.value.message


def test_a_pipe_can_be_read(tmp_path: Path) -> None:
    """`--lock <(command)` gives a pipe, which has no size before it is read."""
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    writer = threading.Thread(target=pipe.write_bytes, args=(b"{}" * 100_000,))
    writer.start()

    content = read_document(pipe)
    writer.join()

    assert content == b"{}" * 100_000


def test_an_endless_device_is_not_read_for_ever() -> None:
    """A file that tells no size does not fill the memory."""
    with pytest.raises(ConfigurationError, match="larger than 256 MiB"):
        read_document(Path("/dev/zero"))


IN_THE_WAY: dict[str, Callable[[Path], object]] = {
    "a folder": lambda path: path.mkdir(),
    "a pipe": os.mkfifo,
    "a link": lambda path: path.symlink_to(path.with_name("elsewhere")),
    "a link to a file": lambda path: (path.with_name("elsewhere").touch(), path.symlink_to("elsewhere")),
    "a link to a device": lambda path: path.symlink_to("/dev/null"),
}


@pytest.mark.parametrize("make", IN_THE_WAY.values(), ids=IN_THE_WAY)
def test_only_plain_files_are_replaced(tmp_path: Path, make: Callable[[Path], object]) -> None:
    """A rename over `/dev/stdout` would take it from the whole machine: what is no file stays what it is."""
    path = tmp_path / "lock.json"
    make(path)
    before = path.lstat()

    with pytest.raises(StoreError, match="no plain file") as caught:
        write_document(path, b"new")

    assert (str(path) in caught.value.message, bool(caught.value.hint)) == (True, True)
    assert (before.st_ino, before.st_mode) == (path.lstat().st_ino, path.lstat().st_mode)
    assert {"lock.json", "elsewhere"} >= {each.name for each in tmp_path.iterdir()}


def test_a_folder_that_is_a_file(tmp_path: Path) -> None:
    """A path through a file is an error that names the path and the next step."""
    (tmp_path / "file").touch()

    with pytest.raises(StoreError, match=r"cannot write .*file/lock\.json: .*file is not a folder") as caught:
        write_document(tmp_path / "file" / "lock.json", b"")

    assert caught.value.hint


FULL_DISK = """
import resource, signal, sys
from pathlib import Path
from edgelift.documents import write_document
from edgelift.errors import StoreError
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (1000, 1000))
try:
    write_document(Path(sys.argv[1]), b"n" * 2000)
except StoreError as error:
    print(error.message)
"""


def test_a_full_disk_leaves_the_old_document(tmp_path: Path) -> None:
    """When the new content does not fit, the old stays whole, and nothing lies about."""
    path = tmp_path / "lock.json"
    path.write_bytes(b"old")

    run = subprocess.run(
        [sys.executable, "-c", FULL_DISK, path], capture_output=True, text=True, check=True, timeout=60
    )

    assert f"cannot write {path}: File too large\n" == run.stdout
    assert [(each.name, each.read_bytes()) for each in tmp_path.iterdir()] == [("lock.json", b"old")]


def test_a_reader_never_sees_half(tmp_path: Path) -> None:
    """While one writes, another reads the old content or the new one, nothing in between."""
    path = tmp_path / "lock.json"
    contents = {bytes([number]) * 200_000 for number in range(8)}
    write_document(path, min(contents))
    seen: set[bytes] = set()

    def read_on() -> None:
        while writer.is_alive():
            seen.add(read_document(path))

    writer = threading.Thread(target=lambda: [write_document(path, each) for each in sorted(contents) * 5])
    reader = threading.Thread(target=read_on)
    writer.start()
    reader.start()
    writer.join()
    reader.join()

    assert seen
    assert seen <= contents
