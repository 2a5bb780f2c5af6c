"""The small bundle that most tests here look at."""

from dataclasses import dataclass
from pathlib import Path

import pytest

from edgelift.bundle.lock import BundleLock
from edgelift.bundle.writer import BundleSummary, assemble_bundle
from tests.bundle.content import GZIP, LAYER, MemoryContent, lock_of, mixed_content, noise
from tests.bundle.crafting import Part, parts_of
from tests.keys import signing_key


@dataclass(frozen=True)
class Assembled:
    """A bundle, what it was made from, and what the writer said of it; `signature` is that of its lock."""

    path: Path
    lock: BundleLock
    content: MemoryContent
    summary: BundleSummary
    signature: bytes | None = None

    @property
    def parts(self) -> list[Part]:
        """The members of its tar."""
        return parts_of(self.lock, self.content, self.signature)


@pytest.fixture
def mixed(tmp_path: Path) -> Assembled:
    """Four small images with layers of every kind."""
    lock, content = mixed_content()
    path = tmp_path / "mixed.tar.zst"
    return Assembled(path, lock, content, assemble_bundle(lock, content, path))


@pytest.fixture
def signed(tmp_path: Path) -> Assembled:
    """The bundle of `mixed`, signed."""
    lock, content = mixed_content()
    path, key = tmp_path / "signed" / "site.tar.zst", signing_key()
    return Assembled(path, lock, content, assemble_bundle(lock, content, path, key=key), key.sign(lock.digest))


@pytest.fixture(scope="session")
def large(tmp_path_factory: pytest.TempPathFactory) -> Assembled:
    """One image whose layers need several frames each: 17 MiB and a byte raw, 3 MiB and a byte compressed."""
    content = MemoryContent()
    layers = [content.add(noise(17 * 2**20 + 1), GZIP), content.add(noise(3 * 2**20 + 1, seed=1), LAYER)]
    lock = lock_of(content.add_image("docker.io/library/large:1", layers))
    path = tmp_path_factory.mktemp("large") / "large.tar.zst"
    return Assembled(path, lock, content, assemble_bundle(lock, content, path))
