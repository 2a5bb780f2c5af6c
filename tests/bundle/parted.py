"""A bundle in four parts, beside the same one in one piece; and what a courier's disk does to parts."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from edgelift.bundle.lock import BundleLock
from edgelift.bundle.parts import PartsIndex, index_path, part_name
from edgelift.bundle.signature import PrivateKey
from edgelift.bundle.signed import write_signed
from edgelift.bundle.writer import BundleSummary, assemble_bundle
from tests.bundle.content import GZIP, LAYER, MemoryContent, lock_of, noise

MIB = 2**20


@dataclass(frozen=True)
class Parted:
    """The bundle `path` in parts, `whole` is what one file would hold; its lock is beside it."""

    path: Path
    whole: bytes
    lock: BundleLock
    content: MemoryContent
    summary: BundleSummary

    @property
    def index_file(self) -> Path:
        """The index."""
        return index_path(self.path)

    @property
    def index(self) -> PartsIndex:
        """What the index says now."""
        return PartsIndex.from_json(self.index_file.read_bytes(), "the index")

    @property
    def lock_file(self) -> Path:
        """The lock beside it."""
        return self.path.with_name("site.lock.json")

    @property
    def parts(self) -> list[Path]:
        """The files of the parts that are there."""
        return sorted(self.path.parent.glob("*.part-*"))

    def part(self, number: int) -> Path:
        """The file of a part."""
        return self.path.with_name(part_name(self.path.name, number))


def make_parted(folder: Path, key: PrivateKey | None = None) -> Parted:
    """Two images, and parts of 1 MiB: raw and compressed frames lie across their borders."""
    lock, content = two_images()
    one, path = folder / "one-piece" / "site.tar.zst", folder / "media" / "site.tar.zst"
    assemble_bundle(lock, content, one, key=key)
    summary = assemble_bundle(lock, content, path, key=key, part_size=MIB)
    write_signed(path.with_name("site.lock.json"), lock.to_json(), key)
    return Parted(path, one.read_bytes(), lock, content, summary)


def two_images() -> tuple[BundleLock, MemoryContent]:
    """3.6 MiB that do not get smaller."""
    content = MemoryContent()
    first = [content.add(noise(2_400_000), GZIP), content.add(noise(700_000, seed=1), LAYER)]
    second = [content.add(noise(600_000, seed=2), GZIP)]
    images = (
        content.add_image("docker.io/library/first:1", first),
        content.add_image("docker.io/library/second:1", second),
    )
    return lock_of(*images), content


def flip(path: Path) -> None:
    """Change one bit in the middle of a file."""
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)


def names_in(folder: Path) -> list[str]:
    """All that is in a folder, hidden files too."""
    return sorted(each.name for each in folder.iterdir())


def expected_names(*more: str, parts: int = 4) -> list[str]:
    """What there is of a bundle in parts that is whole, and its lock."""
    names: Sequence[str] = [part_name("site.tar.zst", number) for number in range(1, parts + 1)]
    return sorted([*names, "site.lock.json", "site.tar.zst.parts.json", *more])
