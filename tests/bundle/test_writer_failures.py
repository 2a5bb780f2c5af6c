"""Assembling that fails: one clear error that names the images concerned, and nothing left behind."""

import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from edgelift.bundle.verify import verify_bundle
from edgelift.bundle.writer import assemble_bundle
from edgelift.errors import BundleError, EdgeliftError, IntegrityError, RegistryError, StoreError
from edgelift.oci.descriptor import Descriptor
from edgelift.oci.digest import Digest
from tests.bundle.content import MemoryContent, mixed_content, noise
from tests.real_parts import require_tool


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


def test_blob_of_another_digest_than_the_reader_promises_is_caught_by_verify(tmp_path: Path) -> None:
    """The writer relies on its source for digests; verification does not rely on the writer."""
    lock, content = mixed_content()
    path = tmp_path / "b.tar.zst"
    assemble_bundle(lock, Faulty(content, SHARED.digest, None, noise(SHARED.size)), path)

    with pytest.raises(IntegrityError, match=SHARED.digest.hex):
        verify_bundle(path)


def _run_failing(arguments: list[str]) -> str:
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    outcome = subprocess.run(arguments, env=environment, capture_output=True, text=True, check=False, timeout=60)
    assert outcome.returncode == 1, outcome
    return outcome.stdout + outcome.stderr
