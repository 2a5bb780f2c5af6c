"""The plan of a bundle: its tar headers, members and frames."""

import io
import tarfile

import pytest

from edgelift.bundle.container import Span, contents_of, documents_of, tar_header
from edgelift.bundle.lock import BundleLock, LockedImage
from edgelift.errors import BundleError
from edgelift.oci.descriptor import Descriptor
from edgelift.oci.digest import Digest
from tests.bundle.content import DOCKER_GZIP, GZIP, LAYER, ZSTD, MemoryContent, lock_of, mixed_content
from tests.bundle.crafting import container_of, parts_of, tar_of_parts

MIB = 2**20
SHA256_NAME = "blobs/sha256/" + "a" * 64
SHA512_NAME = "blobs/sha512/" + "b" * 128
HEADERS = {
    "empty": ("index.json", 0, 512),
    "sha256": (SHA256_NAME, 123, 512),
    "sha512 needs a pax header": (SHA512_NAME, 123, 1536),
    "the largest size of ustar": (SHA256_NAME, 8 * 2**30 - 1, 512),
    "8 GiB need a pax header": (SHA256_NAME, 8 * 2**30, 1536),
    "both": (SHA512_NAME, 9 * 2**40, 1536),
}
MEDIA_TYPES = {
    "oci gzip": (GZIP, True),
    "oci zstd": (ZSTD, True),
    "docker gzip": (DOCKER_GZIP, True),
    "docker foreign": ("application/vnd.docker.image.rootfs.foreign.diff.tar.gzip", True),
    "helm chart": ("application/vnd.cncf.helm.chart.content.v1.tar+gzip", True),
    "encrypted": ("application/vnd.oci.image.layer.v1.tar+gzip+encrypted", True),
    "oci tar": (LAYER, False),
    "config": ("application/vnd.oci.image.config.v1+json", False),
    "unknown": ("application/octet-stream", False),
    "gzip elsewhere in the name": ("application/gzip.description", False),
}


def _descriptor(seed: str, size: int, media_type: str) -> Descriptor:
    return Descriptor(media_type=media_type, digest=Digest("sha256:" + seed * 64), size=size)


def _lock_with(*blobs: Descriptor) -> BundleLock:
    manifest = _descriptor("0", 100, "application/vnd.oci.image.manifest.v1+json")
    return lock_of(
        LockedImage(reference="docker.io/library/a:1", descriptor=manifest, manifests=(manifest,), blobs=blobs)
    )


def _locks_at_odds() -> dict[str, tuple[BundleLock, str]]:
    image = _lock_with(_descriptor("1", 1, GZIP)).images[0]
    other_size = image.model_copy(update={"reference": "docker.io/library/b:1", "blobs": (_descriptor("1", 2, GZIP),)})
    return {
        "a reference twice": (lock_of(image, image), "twice"),
        "a digest with two sizes": (lock_of(image, other_size), "two sizes"),
    }


LOCKS_AT_ODDS = _locks_at_odds()


@pytest.mark.parametrize(("name", "size", "length"), HEADERS.values(), ids=HEADERS)
def test_header_is_read_back_by_tarfile(name: str, size: int, length: int) -> None:
    """Python's tarfile reads every header as a plain file of that name and size, owned by nobody, of no time."""
    header = tar_header(name, size)

    with tarfile.open(fileobj=io.BytesIO(header), mode="r:") as archive:
        member = archive.next()

    assert length == len(header)
    assert member is not None
    assert (name, size, tarfile.REGTYPE) == (member.name, member.size, member.type)
    assert (member.mode, member.uid, member.gid, member.mtime, member.uname, member.gname) == (0o644, 0, 0, 0, "", "")


@pytest.mark.parametrize("name", ["index.json", SHA256_NAME], ids=["document", "blob"])
def test_ustar_header_is_that_of_tarfile(name: str) -> None:
    """A header without pax is to the byte what Python's tarfile writes for ustar, device numbers apart."""
    member = tarfile.TarInfo(name)
    member.size = 4711
    theirs = member.tobuf(tarfile.USTAR_FORMAT)

    ours = tar_header(name, 4711)

    assert theirs[:148] == ours[:148]
    assert theirs[156:329] == ours[156:329]


@pytest.mark.parametrize("length", range(985, 995))
def test_pax_record_counts_its_own_length(length: int) -> None:
    """The length of a pax record is right around 1000, where the number of its own digits changes it."""
    name = "n" * length

    with tarfile.open(fileobj=io.BytesIO(tar_header(name, 1)), mode="r:") as archive:
        member = archive.next()

    assert member is not None
    assert (name, 1) == (member.name, member.size)


def test_members_are_documents_then_manifests_then_blobs() -> None:
    """The lock stands before the blobs, manifests before what they name, each content once, at a tar block's start.

    Blobs come in the order of a pull: the image with the largest blob first, and of each image the largest first.
    """
    lock, content = mixed_content()

    members = container_of(lock).members

    assert [each.name for each in members[:4]] == [
        "oci-layout",
        "index.json",
        "edgelift/definition.yaml",
        "edgelift/lock.json",
    ]
    images = sorted(lock.images, key=lambda image: -max(blob.size for blob in image.blobs))
    blobs = [blob for image in images for blob in sorted(image.blobs, key=lambda blob: -blob.size)]
    names = [f"blobs/{each.digest.replace(':', '/')}" for each in (*lock.unique_manifests(), *blobs)]
    expected = list(dict.fromkeys(names))
    assert expected == [each.name for each in members[4:]]
    assert {0} == {each.offset % 512 for each in members}
    assert len(content.blobs) == len(expected)


def test_offsets_and_size_are_those_of_the_tar() -> None:
    """Every member is where the plan says, and the tar is as long."""
    lock, content = mixed_content()
    container, parts = container_of(lock), parts_of(lock, content)

    tar = tar_of_parts(parts)

    assert container.size == len(tar)
    assert [part.content for part in parts] == [tar[each.offset : each.end] for each in container.members]


@pytest.mark.parametrize(("media_type", "is_raw"), MEDIA_TYPES.values(), ids=MEDIA_TYPES)
def test_media_type_alone_decides_what_is_raw(media_type: str, is_raw: bool) -> None:
    """What its media type calls compressed goes into raw frames; all else is compressed."""
    content = MemoryContent()
    layer = content.add(b"some content", media_type)
    lock = lock_of(content.add_image("docker.io/library/a:1", [layer]))

    assert [is_raw] == [blob.is_raw for blob in container_of(lock).blobs if blob.descriptor == layer]


def test_frames_cover_the_tar_without_a_gap() -> None:
    """Frames follow each other, raw ones hold nothing but one blob's content, and none is empty or over its limit."""
    container = container_of(mixed_content()[0])

    frames = list(container.frames())

    assert [0, *(frame.stop for frame in frames)] == [*(frame.start for frame in frames), container.size]
    raw = [(blob.offset, blob.end) for blob in container.blobs if blob.is_raw and blob.size]
    assert raw == [(frame.start, frame.stop) for frame in frames if frame.is_raw]
    assert all(frame.start < frame.stop for frame in frames)


def test_large_blobs_are_cut_at_the_limits() -> None:
    """Raw content is cut every 8 MiB from its own start, everything else every 1 MiB."""
    raw, plain = _descriptor("1", 17 * MIB, GZIP), _descriptor("2", 2 * MIB, LAYER)
    container = container_of(_lock_with(raw, plain))
    (raw_at, plain_at) = (blob.offset for blob in container.blobs[1:])

    frames = list(container.frames())

    after = raw_at + 17 * MIB
    assert [
        Span(0, raw_at, False),
        Span(raw_at, raw_at + 8 * MIB, True),
        Span(raw_at + 8 * MIB, raw_at + 16 * MIB, True),
        Span(raw_at + 16 * MIB, after, True),
        Span(after, after + MIB, False),
        Span(after + MIB, after + 2 * MIB, False),
        Span(after + 2 * MIB, container.size, False),
    ] == frames
    assert plain_at == after + 512


def test_content_that_is_manifest_and_blob_is_there_once() -> None:
    """A digest that one image names as a manifest and another as a layer is one member, among the manifests."""
    content = MemoryContent()
    first = content.add_image("docker.io/library/a:1", [])
    second = content.add_image("docker.io/library/b:1", [first.descriptor])

    names = [each.digest for each in contents_of(lock_of(first, second))]

    assert names.count(first.descriptor.digest) == 1
    assert names.index(first.descriptor.digest) < 2


def test_documents_follow_from_the_lock() -> None:
    """The index names every image by its full reference under both annotations; the definition is YAML."""
    lock, _ = mixed_content()

    documents = documents_of(lock)

    assert documents == documents_of(BundleLock.from_json(lock.to_json()))
    assert documents["oci-layout"] == b'{"imageLayoutVersion":"1.0.0"}\n'
    assert lock.definition.to_yaml().encode() == documents["edgelift/definition.yaml"]
    for image in lock.images:
        for annotation in ("org.opencontainers.image.ref.name", "io.containerd.image.name"):
            assert f'"{annotation}":"{image.reference}"'.encode() in documents["index.json"]


@pytest.mark.parametrize(("lock", "reason"), LOCKS_AT_ODDS.values(), ids=LOCKS_AT_ODDS)
def test_lock_at_odds_with_itself_is_refused(lock: BundleLock, reason: str) -> None:
    """No container follows from a lock that contradicts itself."""
    with pytest.raises(BundleError, match=reason):
        container_of(lock)
