"""A bundle in the hands of other tools: zstd, tar, Python's tarfile, skopeo, and a reader made from its description.

Each reads a signed bundle and ones that are not, with frames of raw blocks and compressed ones by turns.
"""

import hashlib
import io
import json
import struct
import subprocess
from itertools import pairwise
from pathlib import Path

import pytest
import zstandard

from tests.bundle.conftest import Assembled
from tests.bundle.crafting import container_of, members_with_tarfile, tar_of_parts
from tests.bundle.independent_reader import read_members
from tests.real_parts import require_tool


@pytest.fixture(params=["mixed", "large", "signed"])
def bundle(request: pytest.FixtureRequest) -> Assembled:
    """The small bundle, the one whose blobs span frames, and the small one signed."""
    bundle: Assembled = request.getfixturevalue(request.param)
    return bundle


def test_zstd_takes_it(bundle: Assembled) -> None:
    """`zstd -t` finds nothing wrong, and `zstd -dc` gives the tar, within the memory of any decoder."""
    zstd = require_tool("zstd")

    subprocess.run([zstd, "-tq", bundle.path], check=True)
    tar = subprocess.run([zstd, "-dcq", "-M2MB", bundle.path], check=True, capture_output=True).stdout

    assert tar_of_parts(bundle.parts) == tar


def test_tar_lists_and_unpacks_it(bundle: Assembled, tmp_path: Path) -> None:
    """`tar --zstd` lists the members in order and unpacks an image layout, without a word on standard error."""
    tar = require_tool("tar")
    names = [part.name for part in bundle.parts]

    listed = subprocess.run([tar, "--zstd", "-tf", bundle.path], check=True, capture_output=True, text=True)
    unpacked = subprocess.run([tar, "--zstd", "-xf", bundle.path, "-C", tmp_path], check=True, capture_output=True)

    assert names == listed.stdout.splitlines()
    assert (unpacked.stderr, listed.stderr) == (b"", "")
    assert json.loads((tmp_path / "oci-layout").read_bytes()) == {"imageLayoutVersion": "1.0.0"}
    for digest, content in bundle.content.blobs.items():
        assert content == (tmp_path / "blobs" / digest.algorithm / digest.hex).read_bytes()


def test_python_reads_it(bundle: Assembled) -> None:
    """Python's tarfile over zstandard's reader finds the same members."""
    with bundle.path.open("rb") as file:
        tar = zstandard.ZstdDecompressor().stream_reader(file, read_across_frames=True).read()

    assert {part.name: part.content for part in bundle.parts} == members_with_tarfile(tar)


def test_its_description_is_enough(bundle: Assembled) -> None:
    """A reader that knows nothing but docs/format.md finds the same members in the same order, and checks them all."""
    members = read_members(bundle.path.read_bytes())

    assert [(part.name, part.content) for part in bundle.parts] == list(members.items())


def test_its_frames_and_its_seal_are_as_described(bundle: Assembled) -> None:
    """§3 and §4 to the byte: raw frames hold their content where it is said, and the seal is that of the others."""
    file = bundle.path.read_bytes()
    table = len(file) - 17 - 12 * int.from_bytes(file[-9:-5], "little")
    position, seal = 0, hashlib.sha256()
    for stored, size, _ in struct.iter_unpack("<III", file[table + 8 : -9 - 12]):
        frame, position = file[position : position + stored], position + stored
        if not frame.startswith(bytes.fromhex("28B52FFD8438")):
            seal.update(frame)
            continue
        blocks = (frame[10 + 3 * (x // 131_072 + 1) + x :][:131_072] for x in range(0, size, 131_072))
        assert zstandard.ZstdDecompressor().decompress(frame) == b"".join(blocks)[:size]

    assert file[position:table] == bytes.fromhex("5D2A4D1820000000") + seal.digest()


def test_there_are_frames_of_both_kinds(bundle: Assembled) -> None:
    """What the tools here read has raw and compressed frames by turns, not only at its ends."""
    spans = list(container_of(bundle.lock, bundle.signature).frames())

    assert sum(one.is_raw != other.is_raw for one, other in pairwise(spans)) >= 2


def test_skopeo_copies_images_out_of_it(bundle: Assembled, tmp_path: Path) -> None:
    """`skopeo copy oci-archive:BUNDLE:REFERENCE` gives each image by its full reference, manifest unchanged."""
    skopeo = require_tool("skopeo")
    with_sha512 = {"quay.io/spectro/agent:v4.1.0", "quay.io/spectro/both:v1"}  # skopeo writes sha256 names only

    for image in bundle.lock.images:
        if image.reference in with_sha512:
            continue
        target = tmp_path / image.descriptor.digest.hex
        source = f"oci-archive:{bundle.path}:{image.reference}"
        run = [skopeo, "copy", "--quiet", "--all", "--tmpdir", str(tmp_path), source, f"dir:{target}"]
        subprocess.run(run, check=True, capture_output=True)

        assert bundle.content.blobs[image.descriptor.digest] == (target / "manifest.json").read_bytes()


def test_skopeo_lists_its_index(mixed: Assembled, tmp_path: Path) -> None:
    """`skopeo inspect --raw` gives an index of several platforms as it was."""
    skopeo = require_tool("skopeo")
    both = mixed.lock.images[3]

    source = f"oci-archive:{mixed.path}:{both.reference}"
    run = [skopeo, "--tmpdir", str(tmp_path), "inspect", "--raw", source]
    raw = subprocess.run(run, check=True, capture_output=True).stdout

    assert mixed.content.blobs[both.descriptor.digest] == raw


def test_seekable_reader_of_another_kind_finds_a_blob(large: Assembled) -> None:
    """With no more than the table at the end, any byte of the tar is found by decoding one frame."""
    file = io.BytesIO(large.path.read_bytes())
    file.seek(-9, io.SEEK_END)
    count = int.from_bytes(file.read(4), "little")
    file.seek(-(9 + 12 * count), io.SEEK_END)
    entries = [tuple(int.from_bytes(file.read(4), "little") for _ in range(3)) for _ in range(count)]
    tar = tar_of_parts(large.parts)

    for wanted in (0, 600, 9 * 2**20, len(tar) - 1):
        stored = content = 0
        for stored_size, size, _ in entries:
            if content + size > wanted:
                break
            stored, content = stored + stored_size, content + size
        file.seek(stored)
        frame = zstandard.ZstdDecompressor().decompress(file.read(stored_size))
        assert tar[wanted] == frame[wanted - content]
