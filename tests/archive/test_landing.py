"""Files on their way back: what has arrived stays, and is continued."""

import fcntl
import os
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from edgelift.archive.landing import write_continued
from edgelift.errors import IntegrityError, StoreError
from edgelift.oci.digest import Digest
from tests.archive.buckets import MIB

CONTENT = os.urandom(3 * MIB + 7)


@dataclass
class Source:
    """Gives `content` in chunks, and breaks off at `broken_at`; `begun` has where it was asked to begin."""

    content: bytes = CONTENT
    etag: str = '"1"'
    broken_at: int | None = None
    name: str = "s3://bucket/edge.tar.zst"
    begun: list[int] = field(default_factory=list)

    @property
    def size(self) -> int:
        """Bytes of all of it."""
        return len(self.content)

    def chunks(self, start: int) -> Iterator[bytes]:
        """A megabyte at a time."""
        self.begun.append(start)
        for offset in range(start, self.size, MIB):
            if self.broken_at is not None and offset >= self.broken_at:
                raise StoreError("broken off", retryable=True)
            yield self.content[offset : offset + MIB]


def partial_files(folder: Path) -> list[Path]:
    """What lies hidden in `folder`."""
    return [path for path in folder.iterdir() if path.name.startswith(".")]


def break_off(destination: Path) -> None:
    """Let two megabytes of the content arrive."""
    with pytest.raises(StoreError, match="broken off"):
        write_continued(destination, Source(broken_at=2 * MIB), digest=None)


def test_what_has_arrived_is_continued(tmp_path: Path) -> None:
    """After a break the rest is asked for; all of it is hashed, and counts as done."""
    target = tmp_path / "folder" / "edge.tar.zst"
    break_off(target)
    assert not target.exists()
    source, done = Source(), list[int]()

    digest = write_continued(target, source, digest=None, progress=done.append)

    assert (CONTENT, Digest.of(CONTENT)) == (target.read_bytes(), digest)
    assert ([2 * MIB], len(CONTENT)) == (source.begun, sum(done))
    assert partial_files(target.parent) == []


def test_another_version_is_not_mixed_in(tmp_path: Path) -> None:
    """What arrived of an object that was replaced since is thrown away."""
    target = tmp_path / "edge.tar.zst"
    break_off(target)
    other = Source(content=CONTENT[::-1], etag='"2"')

    write_continued(target, other, digest=None)

    assert (other.content, [0]) == (target.read_bytes(), other.begun)
    assert partial_files(tmp_path) == []


@pytest.mark.parametrize("has_digest", [True, False], ids=["by its digest", "by who looks at it"])
def test_what_is_found_wrong_is_not_continued(tmp_path: Path, has_digest: bool) -> None:
    """Neither a name nor a hidden file stays, so the next attempt begins anew."""
    target = tmp_path / "edge.tar.zst"
    break_off(target)
    (partial,) = partial_files(tmp_path)
    partial.write_bytes(b"\0" * MIB)

    def refuse(path: Path) -> None:
        if path.read_bytes() != CONTENT:
            raise IntegrityError("not what was asked for")

    with pytest.raises(IntegrityError):
        write_continued(target, Source(), digest=Digest.of(CONTENT) if has_digest else None, confirm=refuse)

    assert list(tmp_path.iterdir()) == []


def test_more_than_there_is_begins_anew(tmp_path: Path) -> None:
    """A hidden file that is longer than the object cannot be its beginning."""
    target = tmp_path / "edge.tar.zst"
    break_off(target)
    (partial,) = partial_files(tmp_path)
    partial.write_bytes(bytes(len(CONTENT) + 1))

    write_continued(target, Source(), digest=Digest.of(CONTENT))

    assert target.read_bytes() == CONTENT


def test_two_at_the_same_file_do_not_meet(tmp_path: Path) -> None:
    """While one process writes, another is told so, and changes nothing."""
    target = tmp_path / "edge.tar.zst"
    break_off(target)
    (partial,) = partial_files(tmp_path)
    with partial.open("rb") as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        with pytest.raises(StoreError, match="another process is restoring") as caught:
            write_continued(target, Source(), digest=None)

    assert caught.value.retryable
    assert partial.stat().st_size == 2 * MIB


def test_a_name_that_cannot_be_taken_is_told(tmp_path: Path) -> None:
    """A folder of that name stays; the error is one of the disk."""
    (tmp_path / "edge.tar.zst").mkdir()

    with pytest.raises(StoreError, match="cannot write"):
        write_continued(tmp_path / "edge.tar.zst", Source(), digest=None)
