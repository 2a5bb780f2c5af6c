"""The small bundle that most tests here look at."""

from dataclasses import dataclass
from pathlib import Path

import pytest

from edgelift.bundle.lock import BundleLock
from edgelift.bundle.writer import BundleSummary, assemble_bundle
from tests.bundle.content import GZIP, LAYER, MemoryContent, lock_of, mixed_content, noise


@dataclass(frozen=True)
class Assembled:
    """A bundle, what it was made from, and what the writer said of it."""

    path: Path
    lock: BundleLock
    content: MemoryContent
    summary: BundleSummary


@pytest.fixture
def mixed(tmp_path: Path) -> Assembled:
    """Four small images with layers of every kind."""
    lock, content = mixed_content()
    path = tmp_path / "mixed.tar.zst"
    return Assembled(path, lock, content, assemble_bundle(lock, content, path))


@pytest.fixture(scope="session")
def large(tmp_path_factory: pytest.TempPathFactory) -> Assembled:
    """One image whose layers need several frames each: 17 MiB and a byte raw, 3 MiB and a byte compressed."""
    content = MemoryContent()
    layers = [content.add(noise(17 * 2**20 + 1), GZIP), content.add(noise(3 * 2**20 + 1, seed=1), LAYER)]
    lock = lock_of(content.add_image("docker.io/library/large:1", layers))
    path = tmp_path_factory.mktemp("large") / "large.tar.zst"
    return Assembled(path, lock, content, assemble_bundle(lock, content, path))
