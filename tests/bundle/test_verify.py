"""Verifying: what the writer wrote is right, and nothing else is, whatever its content."""

import hashlib
import io
import subprocess
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import zstandard

from edgelift.bundle.container import END_OF_TAR, Span, documents_of, tar_header
from edgelift.bundle.file_digest import FileDigest
from edgelift.bundle.reader import BundleReader
from edgelift.bundle.seek_table import Closing, SeekTable
from edgelift.bundle.seekable import content_checksum
from edgelift.bundle.verify import verify_bundle, verify_structure
from edgelift.errors import BundleError, IntegrityError
from edgelift.oci.digest import Digest
from tests.bundle.conftest import Assembled
from tests.bundle.crafting import Part, container_of, craft, parts_of, tar_of_parts
from tests.real_parts import require_tool


@pytest.mark.parametrize("name", ["mixed", "large"])
def test_bundle_as_written_is_right(request: pytest.FixtureRequest, name: str) -> None:
    """Verification says what it saw, and every byte of the file goes past the digest that is asked for."""
    bundle: Assembled = request.getfixturevalue(name)
    steps: list[int] = []

    with FileDigest() as digest:
        outcome = verify_bundle(bundle.path, digest=digest, progress=steps.append)

    container = container_of(bundle.lock)
    assert (Digest.of(bundle.path.read_bytes()), bundle.summary.size) == (digest.value(), outcome.file_size)
    assert (len(container.members), bundle.summary.content_size) == (outcome.members, outcome.content_size)
    assert len(list(container.frames())) + 1 == outcome.frames
    assert bundle.summary.content_size == sum(steps)


def test_frames_of_another_zstd_are_right(mixed: Assembled, tmp_path: Path) -> None:
    """Frames that another version (here another level) has compressed are right where all else is."""
    path = _compressed_at_level(1, mixed, tmp_path)

    assert path.read_bytes() != mixed.path.read_bytes()
    assert verify_bundle(path).file_size == path.stat().st_size


def test_frames_compressed_otherwise_under_the_old_seal_are_refused(mixed: Assembled, tmp_path: Path) -> None:
    """What changed since the seal was set shows, even where all content and all sizes in the table are right."""
    other = _compressed_at_level(1, mixed, tmp_path)
    old_seal, new_seal = (_seal_by_hand(mixed, path.read_bytes()) for path in (mixed.path, other))
    assert other.read_bytes().count(new_seal) == 1
    other.write_bytes(other.read_bytes().replace(new_seal, old_seal))

    with pytest.raises(IntegrityError, match="is not their seal"):
        verify_bundle(other)


def _seal_by_hand(bundle: Assembled, file: bytes) -> bytes:
    """The sha256 of all compressed frames of `file`, as docs/format.md has it."""
    table = SeekTable.read(lambda offset, length: file[offset : offset + length], len(file))
    assert table is not None
    frames = zip(table, container_of(bundle.lock).frames(), strict=False)  # the seal itself is the last frame
    stored = [file[frame.stored_start :][: frame.stored_size] for frame, span in frames if not span.is_raw]
    return hashlib.sha256(b"".join(stored)).digest()


def _compressed_at_level(level: int, bundle: Assembled, folder: Path, *, checksum: bool = True) -> Path:
    """The bundle with its compressed frames made otherwise, well sealed."""
    compressor = zstandard.ZstdCompressor(level=level, write_checksum=checksum)
    tar = tar_of_parts(parts_of(bundle.lock, bundle.content))
    good, file, closing = bundle.path.read_bytes(), bytearray(), Closing()
    position = 0
    for span in container_of(bundle.lock).frames():
        content = tar[span.start : span.stop]
        size = _stored_size(good, position)
        frame = good[position : position + size] if span.is_raw else compressor.compress(content)
        file += frame
        if span.is_raw:
            closing.add_raw(len(frame), len(content), content_checksum([content]))
        else:
            closing.add_compressed(frame, len(content), content_checksum([content]))
        position += size
    path = folder / "other.tar.zst"
    path.write_bytes(file + closing.to_bytes())
    return path


def _stored_size(file: bytes, position: int) -> int:
    decompressor = zstandard.ZstdDecompressor().decompressobj()
    decompressor.decompress(file[position:])
    return len(file) - position - len(decompressor.unused_data)


def _cut_elsewhere(bundle: Assembled) -> list[Span]:
    spans = list(container_of(bundle.lock).frames())
    first = spans[0]
    return [replace(first, stop=512), replace(first, start=512), *spans[1:]]


def _nothing_raw(bundle: Assembled) -> list[Span]:
    return [replace(span, is_raw=False) for span in container_of(bundle.lock).frames()]


def _all_raw(bundle: Assembled) -> list[Span]:
    return [replace(span, is_raw=True) for span in container_of(bundle.lock).frames()]


OTHER_FORMS: dict[str, tuple[Callable[[Assembled], list[Span] | None], str]] = {
    "compressed throughout": (lambda bundle: None, "cut at another place"),
    "cut elsewhere": (_cut_elsewhere, "frame at byte 0 is cut at another place"),
    "compressed where it should be raw": (_nothing_raw, "does not consist of raw blocks"),
    "raw where it should be compressed": (_all_raw, "frame at byte 0 has another header"),
}


@pytest.mark.parametrize(("spans", "oddity"), OTHER_FORMS.values(), ids=OTHER_FORMS)
def test_other_form_gets_a_verdict_of_its_own(
    mixed: Assembled, tmp_path: Path, spans: Callable[[Assembled], list[Span] | None], oddity: str
) -> None:
    """The right content in other frames is not damage, and not the bundle either."""
    path = craft(tmp_path, tar_of_parts(parts_of(mixed.lock, mixed.content)), spans(mixed))

    with pytest.raises(BundleError, match=f"right content, but is not the file that edgelift wrote: .*{oddity}"):
        verify_bundle(path)


def test_frames_without_checksums_are_another_form(mixed: Assembled, tmp_path: Path) -> None:
    """A compressed frame must carry its checksum."""
    path = _compressed_at_level(3, mixed, tmp_path, checksum=False)

    with pytest.raises(BundleError, match="frame at byte 0 has another header"):
        verify_bundle(path)


def test_of_several_damaged_frames_the_first_is_named(large: Assembled, tmp_path: Path) -> None:
    """Frames are looked at several at a time; what is said does not depend on which is done first."""
    file = bytearray(large.path.read_bytes())
    table = SeekTable.read(lambda offset, length: bytes(file[offset : offset + length]), len(file))
    assert table is not None
    raw = [frame for frame in table if frame.size > 2**20][:2]
    for frame in raw:
        file[frame.stored_start + frame.stored_size // 2] ^= 1
    path = tmp_path / "damaged.tar.zst"
    path.write_bytes(file)

    for _ in range(5):
        with pytest.raises(IntegrityError, match=f"frame at byte {raw[0].stored_start} cannot be decoded"):
            verify_bundle(path)


MADE_BY_TOOLS = {
    "zstd": "has the right content, but is not the file that edgelift wrote: it has no seek table",
    "tar": "has another header where that of oci-layout should be",
}


@pytest.mark.parametrize("tool", MADE_BY_TOOLS)
def test_bundle_made_again_by_tools_is_refused(mixed: Assembled, tmp_path: Path, tool: str) -> None:
    """What `zstd` makes of the same tar has no seek table; what `tar` makes of the same members is another tar."""
    again, plain = tmp_path / "again.tar.zst", tmp_path / "plain.tar"
    plain.write_bytes(tar_of_parts(parts_of(mixed.lock, mixed.content)))
    if tool == "zstd":
        subprocess.run([require_tool("zstd"), "-q", "-19", plain, "-o", again], check=True)
    else:
        tar = require_tool("tar")
        subprocess.run([tar, "-xf", plain, "-C", tmp_path], check=True)
        names = [part.name for part in parts_of(mixed.lock, mixed.content)]
        subprocess.run([tar, "--zstd", "-cf", again, "-C", tmp_path, *names], check=True)

    with pytest.raises(BundleError, match=MADE_BY_TOOLS[tool]):
        verify_bundle(again)


def _padding(parts: list[Part]) -> bytes:
    parts[0].padding = parts[0].padding[:-1] + b"\1"
    return tar_of_parts(parts)


def _end(parts: list[Part]) -> bytes:
    return tar_of_parts(parts, end=END_OF_TAR[:-1] + b"\1")


def _document(name: str) -> Callable[[list[Part]], bytes]:
    def change(parts: list[Part]) -> bytes:
        part = next(part for part in parts if part.name == name)
        part.content = part.content.replace(b"e", b"f", 1)
        return tar_of_parts(parts)

    return change


def _longer_definition(parts: list[Part]) -> bytes:
    part = parts[2]
    part.content += b"# a comment\n"
    part.padding = bytes(-len(part.content) % 512)
    part.header = tar_header(part.name, len(part.content))
    return tar_of_parts(parts)


CHANGES: dict[str, tuple[Callable[[list[Part]], bytes], str]] = {
    "padding": (_padding, "the padding after oci-layout"),
    "end of the tar": (_end, "the end differs"),
    "oci-layout": (_document("oci-layout"), "oci-layout differs"),
    "index.json": (_document("index.json"), "index.json differs"),
    "definition": (_document("edgelift/definition.yaml"), "definition.yaml differs"),
    "longer definition": (_longer_definition, "definition.yaml has another size"),
}


@pytest.mark.parametrize(("change", "named"), CHANGES.values(), ids=CHANGES)
def test_tar_that_differs_from_the_lock_is_refused(
    mixed: Assembled, tmp_path: Path, change: Callable[[list[Part]], bytes], named: str
) -> None:
    """Under a seal and checksums that are right, every byte must still be what the lock gives."""
    path = craft(tmp_path, change(parts_of(mixed.lock, mixed.content)))

    with pytest.raises(BundleError, match=named):
        verify_bundle(path)


def test_damaged_frame_is_named_with_what_it_holds(large: Assembled, tmp_path: Path) -> None:
    """Damage in the middle of a blob is told with the place in the file and the blob's name."""
    file = bytearray(large.path.read_bytes())
    file[9 * 2**20] ^= 1
    path = tmp_path / "b"
    path.write_bytes(file)
    layer = large.lock.images[0].blobs[1]

    with pytest.raises(IntegrityError, match=rf"frame at byte 8\d+ .*blobs/sha256/{layer.digest.hex}"):
        verify_bundle(path)


def test_seal_of_another_file_is_damage(mixed: Assembled, tmp_path: Path) -> None:
    """A seal that is not that of the frames is told, with its place."""
    file = bytearray(mixed.path.read_bytes())
    position = file.rindex(b"\x5d\x2a\x4d\x18")
    file[position + 20] ^= 1
    path = tmp_path / "b"
    path.write_bytes(file)

    with pytest.raises(IntegrityError, match=f"at byte {position}, after its frames"):
        verify_bundle(path)


def test_definition_is_that_of_the_lock(mixed: Assembled) -> None:
    """The YAML in the bundle reads back as the lock's definition."""
    tar = zstandard.ZstdDecompressor().stream_reader(io.BytesIO(mixed.path.read_bytes()), read_across_frames=True)

    assert documents_of(mixed.lock)["edgelift/definition.yaml"] in tar.read()


@pytest.mark.parametrize("name", ["mixed", "large"])
def test_the_structure_of_a_bundle_as_written_is_right(request: pytest.FixtureRequest, name: str) -> None:
    """What is counted is what a whole verification counts; content is not looked at."""
    bundle: Assembled = request.getfixturevalue(name)

    with BundleReader.open(bundle.path) as reader:
        assert verify_structure(reader) == verify_bundle(bundle.path)


@pytest.mark.parametrize("spans", [spans for spans, _ in OTHER_FORMS.values()][:3], ids=[*OTHER_FORMS][:3])
def test_the_structure_of_another_form_is_not(
    mixed: Assembled, tmp_path: Path, spans: Callable[[Assembled], list[Span] | None]
) -> None:
    """Frames that are cut otherwise, or compressed where they should be raw, are told from the seek table alone."""
    path = craft(tmp_path, tar_of_parts(parts_of(mixed.lock, mixed.content)), spans(mixed))

    with BundleReader.open(path) as reader, pytest.raises(BundleError, match="it is cut otherwise at byte"):
        verify_structure(reader)
