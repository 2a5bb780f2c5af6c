"""Assembling: what comes out, that it is always the same, and what is left when it fails: nothing."""

import os
import re
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from edgelift.bundle.reader import BundleReader
from edgelift.bundle.verify import verify_bundle
from edgelift.bundle.writer import assemble_bundle
from edgelift.errors import BundleError, EdgeliftError, IntegrityError, RegistryError, StoreError
from edgelift.oci.descriptor import Descriptor
from edgelift.oci.digest import Digest
from tests.bundle.conftest import Assembled
from tests.bundle.content import MemoryContent, lock_of, mixed_content, noise
from tests.bundle.crafting import container_of, craft, parts_of, tar_of_parts
from tests.real_parts import require_tool


def test_summary_tells_what_was_written(mixed: Assembled) -> None:
    """Size and digest are those of the file; content is counted once."""
    summary = mixed.summary

    assert mixed.path == summary.path
    assert mixed.path.stat().st_size == summary.size
    assert Digest.of(mixed.path.read_bytes()) == summary.digest
    assert (summary.images, summary.blobs) == (4, 13)
    assert mixed.lock.unique_size == summary.content_size
    assert mixed.path.stat().st_mode & 0o777 == 0o644


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

    assert large.summary.digest == assemble_bundle(large.lock, large.content, again).digest
    assert large.path.read_bytes() == again.read_bytes()


def test_processes_agree(mixed: Assembled, tmp_path: Path) -> None:
    """Another process under another hash seed and locale writes the same bytes."""
    again = tmp_path / "again.tar.zst"
    script = (
        "from pathlib import Path; import sys; from tests.bundle.content import mixed_content;"
        "from edgelift.bundle.writer import assemble_bundle; assemble_bundle(*mixed_content(), Path(sys.argv[1]))"
    )
    environment = {**os.environ, "PYTHONHASHSEED": "7", "LC_ALL": "C", "TZ": "Asia/Tokyo", "PYTHONPATH": _path()}

    subprocess.run([sys.executable, "-c", script, str(again)], env=environment, check=True)

    assert mixed.path.read_bytes() == again.read_bytes()


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


class Faulty(MemoryContent):
    """A source that fails in one blob, after its first bytes: with `error`, or by giving other bytes than it should."""

    def __init__(self, content: MemoryContent, digest: Digest, error: BaseException | None, given: bytes = b"") -> None:
        super().__init__(content.blobs)
        self._digest, self._error, self._given = digest, error, given

    def read(self, descriptor: Descriptor) -> Iterator[bytes]:
        """The content, or what goes wrong with it."""
        if descriptor.digest != self._digest:
            yield from super().read(descriptor)
            return
        yield self._given
        if self._error is not None:
            raise self._error


SHARED = mixed_content()[0].images[0].blobs[1]
WANTED_BY = ["docker.io/library/nginx:1.27", "registry.k8s.io/pause:3.9", "quay.io/spectro/both:v1"]
FAULTS: dict[str, tuple[BaseException | None, bytes, type[BaseException]]] = {
    "the source says it is damaged": (IntegrityError("it is damaged", hint="pull again"), b"x", IntegrityError),
    "the source lost it": (StoreError("it is gone"), b"", StoreError),
    "a registry as source": (RegistryError("no answer"), b"x", StoreError),
    "fewer bytes": (None, b"x" * (SHARED.size - 1), IntegrityError),
    "more bytes": (None, b"x" * (SHARED.size + 1), IntegrityError),
}


@pytest.mark.parametrize(("error", "given", "expected"), FAULTS.values(), ids=FAULTS)
def test_bad_content_leaves_nothing_and_names_the_images(
    tmp_path: Path, error: BaseException | None, given: bytes, expected: type[EdgeliftError]
) -> None:
    """Whatever the source does wrong: one error that names who needs the blob, the old file as it was, no remains."""
    lock, content = mixed_content()
    path = tmp_path / "b.tar.zst"
    path.write_bytes(b"the old bundle")

    with pytest.raises(expected) as caught:
        assemble_bundle(lock, Faulty(content, SHARED.digest, error, given), path)

    assert all(reference in str(caught.value) for reference in WANTED_BY)
    assert "quay.io/spectro/agent" not in str(caught.value)
    assert path.read_bytes() == b"the old bundle"
    assert [path] == list(tmp_path.iterdir())


def test_interruption_leaves_nothing(tmp_path: Path) -> None:
    """A keyboard interrupt in the middle of a blob passes through, and the temporary file is gone."""
    lock, content = mixed_content()

    with pytest.raises(KeyboardInterrupt):
        assemble_bundle(lock, Faulty(content, SHARED.digest, KeyboardInterrupt(), b"x"), tmp_path / "b")

    assert list(tmp_path.iterdir()) == []


def test_missing_content_is_told_before_any_work(tmp_path: Path) -> None:
    """All that is missing is named at once, with the images that need it, and no file is begun."""
    lock, content = mixed_content()
    missing = [lock.images[0].blobs[0], lock.images[2].blobs[1]]
    for each in missing:
        del content.blobs[each.digest]

    with pytest.raises(StoreError) as caught:
        assemble_bundle(lock, content, tmp_path / "folder" / "b")

    assert all(each.digest in caught.value.message for each in missing)
    assert "docker.io/library/nginx:1.27, quay.io/spectro/agent:v4.1.0, quay.io/spectro/both:v1" in caught.value.message
    assert list(tmp_path.iterdir()) == []


def test_many_missing_blobs_are_counted(tmp_path: Path) -> None:
    """A message names a few of very many and counts the rest."""
    lock, _ = mixed_content()

    with pytest.raises(StoreError, match="and 8 more"):
        assemble_bundle(lock, MemoryContent(), tmp_path / "b")


def test_lock_at_odds_is_refused(tmp_path: Path) -> None:
    """A lock that contradicts itself is refused before any work."""
    lock, content = mixed_content()

    with pytest.raises(BundleError, match="twice"):
        assemble_bundle(lock.model_copy(update={"images": lock.images * 2}), content, tmp_path / "b")

    assert list(tmp_path.iterdir()) == []


def test_folder_in_the_way_is_told_at_once(tmp_path: Path) -> None:
    """Where the name is taken by a folder, nothing is read."""
    with pytest.raises(StoreError, match="Is a directory"):
        assemble_bundle(*mixed_content(), tmp_path)


def test_unwritable_folder_is_a_store_error(tmp_path: Path) -> None:
    """A file where a folder should be is an error of ours that names the path."""
    (tmp_path / "file").write_text("")

    with pytest.raises(StoreError, match=re.escape(str(tmp_path / "file" / "b"))):
        assemble_bundle(*mixed_content(), tmp_path / "file" / "b")


_ASSEMBLE_NOISE = """
import os, resource, sys
from pathlib import Path
from edgelift.bundle.writer import assemble_bundle
from tests.bundle.content import GZIP, MemoryContent, lock_of, noise
content = MemoryContent()
lock = lock_of(content.add_image("docker.io/library/a:1", [content.add(noise(3 * 2**20), GZIP)]))
"""


def test_size_limit_of_a_file_is_told_and_leaves_nothing(tmp_path: Path) -> None:
    """Where no file may get so large (a limit, FAT32), the error says so and how much is needed."""
    script = _ASSEMBLE_NOISE + (
        "resource.setrlimit(resource.RLIMIT_FSIZE, (2**20, 2**20))\n"
        "assemble_bundle(lock, content, Path(sys.argv[1]) / 'b')\n"
    )

    said = _run_failing([sys.executable, "-c", script, str(tmp_path)])

    assert re.search(r"StoreError: cannot write .*needs up to 3,\d\d\d,\d\d\d bytes, more than this disk", said)
    assert list(tmp_path.iterdir()) == []


def test_full_disk_is_told_and_leaves_nothing(tmp_path: Path) -> None:
    """On a full disk the error names what is needed and what is free, and the old bundle is as it was."""
    unshare = require_tool("unshare")
    if subprocess.run([unshare, "-rm", "mount", "-t", "tmpfs", "none", tmp_path], check=False).returncode:
        pytest.skip("this machine does not let us mount a small disk")
    script = _ASSEMBLE_NOISE + (
        "folder = Path(sys.argv[1])\n"
        "(folder / 'b').write_text('the old bundle')\n"
        "try:\n    assemble_bundle(lock, content, folder / 'b')\n"
        "finally:\n    print([each.name for each in folder.iterdir()], (folder / 'b').read_text())\n"
    )
    mounted = 'mount -t tmpfs -o size=1m none "$1" && exec "$0" -c "$2" "$1"'

    said = _run_failing([unshare, "-rm", "sh", "-c", mounted, sys.executable, str(tmp_path), script])

    assert re.search(r"StoreError: .*disk is full; up to 3,\d\d\d,\d\d\d bytes are needed, [\d,]+ are free", said)
    assert "['b'] the old bundle" in said


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


def test_blob_of_another_digest_than_the_reader_promises_is_caught_by_verify(tmp_path: Path) -> None:
    """The writer relies on its source for digests; verification does not rely on the writer."""
    lock, content = mixed_content()
    path = tmp_path / "b.tar.zst"
    assemble_bundle(lock, Faulty(content, SHARED.digest, None, noise(SHARED.size)), path)

    with pytest.raises(IntegrityError, match=SHARED.digest.hex):
        verify_bundle(path)


def _run_failing(arguments: list[str]) -> str:
    environment = {**os.environ, "PYTHONPATH": _path()}
    outcome = subprocess.run(arguments, env=environment, capture_output=True, text=True, check=False, timeout=60)
    assert outcome.returncode == 1, outcome
    return outcome.stdout + outcome.stderr


def _path() -> str:
    return os.pathsep.join(sys.path)
