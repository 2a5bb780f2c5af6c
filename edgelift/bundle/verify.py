"""Verify: every byte of a bundle is looked at, and must be what the writer makes of its lock.

`zstd -t` and `tar -t` let a changed header, changed padding or a changed seek table pass; this does not.
"""

from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import zip_longest
from pathlib import Path
from typing import NamedTuple

from edgelift.bundle.canonical import FrameCheck
from edgelift.bundle.container import END_OF_TAR, Blob, Member, Span, documents_of
from edgelift.bundle.file_digest import FileDigest, PartDigests
from edgelift.bundle.front import Front
from edgelift.bundle.lock import BundleLock
from edgelift.bundle.parts import PartsIndex
from edgelift.bundle.reader import BundleReader
from edgelift.bundle.referrer import LockedReferrer, Pinned
from edgelift.bundle.seek_table import Frame
from edgelift.bundle.seekable import may_be_raw
from edgelift.bundle.spanned import SpannedFile
from edgelift.bundle.stream import BundleStream, TarStream
from edgelift.bundle.writer import Progress
from edgelift.errors import BundleError, EdgeliftError, IntegrityError, UnseekableError
from edgelift.oci.descriptor import Descriptor
from edgelift.oci.digest import Digest
from edgelift.oci.manifest import MANIFEST_LIMIT, parse_manifest

_AGAIN = "copy or assemble the bundle again"
_PIN_AGAIN = "pin and assemble it again"


@dataclass(frozen=True)
class Verification:
    """What was found right. `content_size` is that of the blobs, in bytes."""

    members: int
    content_size: int
    file_size: int
    frames: int


def verify_bundle(
    place: Path | str, *, digest: FileDigest | None = None, progress: Progress | None = None
) -> Verification:
    """Check all of the bundle at `place`, a path or s3://bucket/key, once from front to back.

    Raises `IntegrityError` where bytes are damaged and `BundleError` where the file is not to the byte the one that its
    lock gives, also where it holds the right content in another form. Both name the first bad place. `digest` gets all
    bytes of the file on the way.
    """
    try:
        with BundleReader.open(place) as bundle:
            return verify_open(bundle, digest=digest, progress=progress)
    except UnseekableError as error:
        with BundleStream.open(place, digest) as stream:
            needs = _check_members(stream.front, stream.tar, progress)
            _check_images(stream.name, stream.lock, needs)
        raise UnseekableError(
            f"{stream.name} has the right content, but is not the file that edgelift wrote: it has no seek table",
            hint=f"its digest and signature are not those of the bundle; {error.hint}",
        ) from None


def verify_open(
    bundle: BundleReader, *, digest: FileDigest | None = None, progress: Progress | None = None
) -> Verification:
    """As `verify_bundle`, of the file that `bundle` has open, whatever has its name by now.

    Where that is in parts, what their index says is checked as well.
    """
    source = bundle.tar.source
    if not isinstance(source, SpannedFile):
        return _verify_all(bundle, [digest] if digest is not None else [], progress)
    with FileDigest() as own, PartDigests(source.index.part_size) as parts:
        whole = digest or own
        outcome = _verify_all(bundle, [whole, parts], progress)
        _check_index(source.index, whole.value(), parts.values())
    return outcome


def _verify_all(bundle: BundleReader, digests: Sequence[FileDigest], progress: Progress | None) -> Verification:
    frames = FrameCheck(bundle.tar, bundle.container, digests)
    needs = _check_members(bundle.front, TarStream(bundle.name, frames.contents()), progress)
    frames.finish(bundle.size)
    _check_images(bundle.name, bundle.lock, needs)
    container = bundle.container
    return Verification(len(container.members), container.content_size, bundle.size, len(bundle.tar.table))


def _check_index(index: PartsIndex, whole: Digest, parts: Sequence[Digest]) -> None:
    if (index.digest, [part.digest for part in index.parts]) != (whole, list(parts)):
        raise BundleError(
            f"the index of the parts of {index.name} is not right, but the parts are: it has other digests",
            hint="get the index again from where the bundle was built",
        )


def verify_structure(bundle: BundleReader) -> Verification:
    """See that lock, headers and seek table of `bundle` fit each other; at content nothing looks.

    Raises `BundleError` where they do not.
    """
    bundle.check_headers()
    frames = (frame for frame in bundle.tar.table if frame.size)
    for frame, span in zip_longest(frames, bundle.container.frames()):
        if frame is None or span is None or not _is_cut_as(frame, span):
            place = span or frame
            raise BundleError(
                f"{bundle.name} is not what its lock gives: it is cut otherwise at byte {place.start} of its tar",
                hint=_AGAIN,
            )
    container = bundle.container
    return Verification(len(container.members), container.content_size, bundle.size, len(bundle.tar.table))


def _is_cut_as(frame: Frame, span: Span) -> bool:
    return (frame.start, frame.stop) == (span.start, span.stop) and (may_be_raw(frame) or not span.is_raw)


class _Needs(NamedTuple):
    """What a manifest is, and what it names."""

    media_type: str
    manifests: tuple[Digest, ...]
    blobs: tuple[Descriptor, ...]
    subject: Digest | None


def _check_members(front: Front, tar: TarStream, progress: Progress | None) -> dict[Digest, _Needs]:
    """Compare every member with what the lock says of it; gives what each manifest needs."""
    documents = documents_of(front.lock, front.signature)
    manifests = {each.digest for each in front.lock.unique_manifests()}
    needs = {}
    for member in front.container.members:
        tar.expect(member.header, f"the header of {member.name}")
        if not isinstance(member, Blob):
            _check_document(tar, member, documents[member.name])
        elif member.descriptor.digest in manifests:
            needs[member.descriptor.digest] = _needs_of(tar, member, progress)
        else:
            deque(_content(tar, member, progress), maxlen=0)
        tar.expect(member.padding, f"the padding after {member.name}")
    tar.expect(END_OF_TAR, "the end")
    tar.expect_end()
    return needs


def _check_document(tar: TarStream, member: Member, expected: bytes) -> None:
    if member.size != len(expected):
        raise BundleError(f"{tar.name} is not what its lock gives: {member.name} has another size", hint=_AGAIN)
    tar.expect(expected, member.name)


def _content(tar: TarStream, blob: Blob, progress: Progress | None) -> Iterator[memoryview]:
    """The content of `blob`; in the end raises `IntegrityError` where its digest is another."""
    hasher = blob.descriptor.digest.hasher()
    for piece in tar.take(blob.size):
        hasher.update(piece)
        yield piece
        if progress is not None:
            progress(len(piece))
    if hasher.hexdigest() != blob.descriptor.digest.hex:
        raise IntegrityError(f"{tar.name} is damaged: {blob.name} is not what its name says", hint=_AGAIN)


def _needs_of(tar: TarStream, blob: Blob, progress: Progress | None) -> _Needs:
    if blob.size > MANIFEST_LIMIT:
        raise BundleError(f"{tar.name} holds a manifest of {blob.size:,} bytes, {blob.name}, which is absurd")
    raw = b"".join(_content(tar, blob, progress))
    try:
        manifest = parse_manifest(raw, blob.descriptor.media_type)
    except EdgeliftError as error:
        raise BundleError(f"{tar.name} holds {blob.name}, which is no manifest: {error.message}") from None
    children = tuple(child.digest for child in manifest.children)
    blobs = tuple(needed.plain() for needed in manifest.blobs)
    return _Needs(manifest.descriptor.media_type, children, blobs, manifest.subject)


def _check_images(name: str, lock: BundleLock, needs: dict[Digest, _Needs]) -> None:
    """Every image of the lock can be delivered: it is whole, in an order in which registries take it."""
    for image in lock.images:
        for part in (image, *image.referrers):
            problem = _problem_of(part, needs)
            if problem is not None:
                what = f"{part} of {image.reference}" if isinstance(part, LockedReferrer) else image.reference
                raise BundleError(f"{name} has a lock in which {what} {problem}", hint=_PIN_AGAIN)


def _problem_of(image: Pinned, needs: dict[Digest, _Needs]) -> str | None:
    before, blobs = set[Digest](), set[Descriptor]()
    for manifest in image.manifests:
        if manifest.media_type != needs[manifest.digest].media_type:
            return f"has {manifest.digest} as {manifest.media_type}, which it is not"
        for child in needs[manifest.digest].manifests:
            if child not in before:
                return f"lacks {child} before {manifest.digest}, which needs it"
        before.add(manifest.digest)
        blobs.update(needs[manifest.digest].blobs)
    for blob in image.missing(blobs):
        return f"lacks {blob.digest}, which it needs"
    for other in {blob.plain() for blob in (*image.blobs, *image.external)} - blobs:
        return f"has {other.digest} as {other.media_type} of {other.size} bytes, which none of its manifests names so"
    said = needs[image.descriptor.digest].subject
    if isinstance(image, LockedReferrer) and image.tag is None and said != image.subject:
        return f"is said to refer to {image.subject}, which it does not"
    return None
