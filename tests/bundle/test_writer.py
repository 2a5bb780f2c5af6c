"""Assembling: what comes out, that it is always the same, and what is left when it fails: nothing."""

import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from edgelift.bundle.reader import BundleReader
from edgelift.bundle.rebuild import first_difference
from edgelift.bundle.verify import verify_bundle
from edgelift.bundle.writer import assemble_bundle
from tests.bundle.conftest import Assembled
from tests.bundle.content import MemoryContent, lock_of
from tests.bundle.crafting import container_of, craft, parts_of, tar_of_parts


def test_summary_tells_what_was_written(mixed: Assembled) -> None:
    """The size is that of the file; content is counted once."""
    summary = mixed.summary

    assert mixed.path == summary.path
    assert mixed.path.stat().st_size == summary.size
    assert (summary.images, summary.blobs) == (4, 13)
    assert mixed.lock.unique_size == summary.content_size


def test_file_is_for_all_to_read_where_the_umask_allows(mixed: Assembled, tmp_path: Path) -> None:
    """The mode is that of any new file, 0644 less the umask."""
    before = os.umask(0o027)
    try:
        assemble_bundle(mixed.lock, mixed.content, tmp_path / "b")
    finally:
        os.umask(before)

    assert (tmp_path / "b").stat().st_mode & 0o777 == 0o640


@pytest.mark.parametrize("chunk", [1, 7, 4096, 131_073, 2**20])
def test_chunks_of_the_source_leave_no_trace(mixed: Assembled, tmp_path: Path, chunk: int) -> None:
    """However the source cuts its content, the same lock gives the same bytes."""
    again = tmp_path / "again.tar.zst"

    assemble_bundle(mixed.lock, replace(mixed.content, chunk=chunk), again)

    assert mixed.path.read_bytes() == again.read_bytes()


def test_large_content_is_cut_the_same_way(large: Assembled, tmp_path: Path) -> None:
    """Also where blobs span frames and blocks, the bytes do not depend on the source's chunks."""
    again = tmp_path / "again.tar.zst"

    assemble_bundle(large.lock, replace(large.content, chunk=99_991), again)

    assert large.path.read_bytes() == again.read_bytes()


def test_writer_and_plan_agree(mixed: Assembled, tmp_path: Path) -> None:
    """The file is the planned tar in the planned frames, and nothing else."""
    tar = tar_of_parts(parts_of(mixed.lock, mixed.content))

    by_hand = craft(tmp_path, tar, container_of(mixed.lock).frames())

    assert by_hand.read_bytes() == mixed.path.read_bytes()


def test_progress_adds_up_to_the_content(mixed: Assembled, tmp_path: Path) -> None:
    """Every byte of content is reported once, documents and headers are not."""
    steps: list[int] = []

    assemble_bundle(mixed.lock, mixed.content, tmp_path / "b", progress=steps.append)

    assert mixed.lock.unique_size == sum(steps)


def test_lock_without_images_makes_a_bundle(tmp_path: Path) -> None:
    """Nothing to carry is no error, and can be read back."""
    path = tmp_path / "empty.tar.zst"

    assemble_bundle(lock_of(), MemoryContent(), path)

    with BundleReader.open(path) as bundle:
        assert bundle.lock == lock_of()
    assert verify_bundle(path).content_size == 0


def test_folder_is_made_and_old_file_replaced(mixed: Assembled, tmp_path: Path) -> None:
    """A missing folder is made; a file of that name is replaced."""
    path = tmp_path / "new" / "folder" / "b.tar.zst"
    assemble_bundle(lock_of(), MemoryContent(), path)

    assemble_bundle(mixed.lock, mixed.content, path)

    assert mixed.path.read_bytes() == path.read_bytes()
    assert [path] == list(path.parent.iterdir())


_MEASURE = """
import hashlib, resource, sys
from pathlib import Path
from edgelift.bundle.lock import BundleLock
from edgelift.bundle.verify import verify_bundle
from edgelift.bundle.writer import assemble_bundle
from tests.bundle.content import GZIP, MemoryContent, lock_of, noise
from edgelift.oci.descriptor import Descriptor
from edgelift.oci.digest import Digest

piece, count = noise(2**20), int(sys.argv[2])

class Repeated(MemoryContent):
    def exists(self, descriptor):
        return True
    def read(self, descriptor):
        if descriptor.digest in self.blobs:
            yield from super().read(descriptor)
        else:
            for _ in range(4 * count):
                yield bytes(memoryview(piece)[:2**18])

hasher = hashlib.sha256()
for _ in range(4 * count):
    hasher.update(piece[:2**18])
content = Repeated()
layer = Descriptor(media_type=GZIP, digest=Digest("sha256:" + hasher.hexdigest()), size=count * 2**20)
lock = lock_of(content.add_image("docker.io/library/a:1", [layer]))
idle = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
assemble_bundle(lock, content, Path(sys.argv[1]))
verify_bundle(Path(sys.argv[1]))
print((resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - idle) // 1024)
"""


def test_memory_does_not_grow_with_a_blob(tmp_path: Path) -> None:
    """Assembling and verifying take less than 32 MiB over idle, for 20 MiB of content as for 100."""

    def growth(mib: int) -> int:
        run = [sys.executable, "-c", _MEASURE, str(tmp_path / "b"), str(mib)]
        environment = {**os.environ, "PYTHONPATH": _path()}
        return int(subprocess.run(run, env=environment, capture_output=True, text=True, check=True).stdout)

    small, great = growth(20), growth(100)

    assert small < 32
    assert great < 32


def _path() -> str:
    return os.pathsep.join(sys.path)


def test_the_level_of_compression_is_part_of_the_lock(mixed: Assembled, tmp_path: Path) -> None:
    """Another level gives other bytes, always the same ones, which are the bundle of their lock as well."""
    definition = mixed.lock.definition.model_copy(update={"compression_level": 19})
    lock = mixed.lock.model_copy(update={"definition": definition})
    paths = [tmp_path / "one.tar.zst", tmp_path / "two.tar.zst"]
    sizes = {assemble_bundle(lock, mixed.content, path).size for path in paths}

    assert paths[0].read_bytes() == paths[1].read_bytes()
    assert verify_bundle(paths[0]).file_size < mixed.summary.size
    with BundleReader.open(paths[0]) as bundle:
        assert first_difference(bundle) is None
    assert len(sizes) == 1
