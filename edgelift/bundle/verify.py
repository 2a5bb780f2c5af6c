"""Verify: every byte of a bundle is looked at, and must be what the writer makes of its lock.

`zstd -t` and `tar -t` let a changed header, changed padding or a changed seek table pass; this does not.
"""

from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from edgelift.bundle.canonical import FrameCheck
from edgelift.bundle.container import END_OF_TAR, Blob, Member, documents_of
from edgelift.bundle.file_digest import FileDigest
from edgelift.bundle.reader import BundleReader
from edgelift.bundle.writer import Progress
from edgelift.errors import BundleError, EdgeliftError, IntegrityError
from edgelift.oci.digest import Digest
from edgelift.oci.manifest import MANIFEST_LIMIT, parse_manifest

_AGAIN = "copy or assemble the bundle again"


@dataclass(frozen=True)
class Verification:
    """What was found right. `content_size` is that of the blobs, `digest` that of the whole file."""

    members: int
    content_size: int
    file_size: int
    frames: int
    digest: Digest


def verify_bundle(path: Path, *, progress: Progress | None = None) -> Verification:
    """Check all of the bundle at `path`, once from front to back.

    Raises `IntegrityError` where bytes are damaged and `BundleError` where the file is not to the byte the one that its
    lock gives, also where it holds the right content in another form. Both name the first bad place.
    """
    with BundleReader.open(path) as bundle, FileDigest() as digest:
        frames = FrameCheck(bundle.content, bundle.container, digest)
        named = _check_members(bundle, _Tar(str(path), frames.contents()), progress)
        frames.finish(bundle.size)
        _check_families(bundle, named)
        container = bundle.container
        return Verification(
            *(len(container.members), container.content_size, bundle.size, len(bundle.content.table), digest.value())
        )


class _Tar:
    """The decoded tar, taken from front to back."""

    def __init__(self, name: str, source: Iterator[memoryview]) -> None:
        self.name = name
        self._source = source
        self._position = 0
        self._rest = memoryview(b"")

    def take(self, size: int) -> Iterator[memoryview]:
        """The next `size` bytes in pieces."""
        while size:
            self._rest = self._rest or next(self._source, memoryview(b""))
            if not self._rest:
                raise BundleError(f"{self.name} ends early, at byte {self._position} of its tar", hint=_AGAIN)
            piece, self._rest = self._rest[:size], self._rest[size:]
            size -= len(piece)
            self._position += len(piece)
            yield piece

    def expect(self, content: bytes, what: str) -> None:
        """The next bytes are `content`; raises `BundleError` that says `what` is not."""
        start = self._position
        if b"".join(self.take(len(content))) != content:
            raise BundleError(
                f"{self.name} is not what its lock gives: {what} differs, at byte {start} of its tar", hint=_AGAIN
            )

    def expect_end(self) -> None:
        """Nothing follows; this also makes sure that every frame was looked at."""
        if self._rest or next(self._source, None) is not None:
            raise BundleError(f"{self.name} goes on after the end of its tar", hint=_AGAIN)


def _check_members(bundle: BundleReader, tar: _Tar, progress: Progress | None) -> dict[Digest, frozenset[Digest]]:
    """Compare every member with what the lock says of it; gives what each manifest names."""
    documents = documents_of(bundle.lock)
    manifests = {each.digest for each in bundle.lock.unique_manifests()}
    named = {}
    for member in bundle.members():
        tar.expect(member.header, f"the header of {member.name}")
        if not isinstance(member, Blob):
            _check_document(tar, member, documents[member.name])
        elif member.descriptor.digest in manifests:
            named[member.descriptor.digest] = _named_by(tar, member, progress)
        else:
            deque(_content(tar, member, progress), maxlen=0)
        tar.expect(member.padding, f"the padding after {member.name}")
    tar.expect(END_OF_TAR, "the end")
    tar.expect_end()
    return named


def _check_document(tar: _Tar, member: Member, expected: bytes) -> None:
    if member.size != len(expected):
        raise BundleError(f"{tar.name} is not what its lock gives: {member.name} has another size", hint=_AGAIN)
    tar.expect(expected, member.name)


def _content(tar: _Tar, blob: Blob, progress: Progress | None) -> Iterator[memoryview]:
    """The content of `blob`; in the end raises `IntegrityError` where its digest is another."""
    hasher = blob.descriptor.digest.hasher()
    for piece in tar.take(blob.size):
        hasher.update(piece)
        yield piece
        if progress is not None:
            progress(len(piece))
    if hasher.hexdigest() != blob.descriptor.digest.hex:
        raise IntegrityError(f"{tar.name} is damaged: {blob.name} is not what its name says", hint=_AGAIN)


def _named_by(tar: _Tar, blob: Blob, progress: Progress | None) -> frozenset[Digest]:
    """The manifests and blobs that a manifest needs."""
    if blob.size > MANIFEST_LIMIT:
        raise BundleError(f"{tar.name} holds a manifest of {blob.size:,} bytes, {blob.name}, which is absurd")
    raw = b"".join(_content(tar, blob, progress))
    try:
        manifest = parse_manifest(raw, blob.descriptor.media_type)
    except EdgeliftError as error:
        raise BundleError(f"{tar.name} holds {blob.name}, which is no manifest: {error.message}") from None
    return frozenset(each.digest for each in (*manifest.children, *manifest.blobs))


def _check_families(bundle: BundleReader, named: dict[Digest, frozenset[Digest]]) -> None:
    """Every image of the lock is whole: what its manifests name is with it."""
    for image in bundle.lock.images:
        held = {each.digest for each in (*image.manifests, *image.blobs)}
        missing = {digest for each in image.manifests for digest in named[each.digest]} - held
        if missing:
            raise BundleError(
                f"{bundle.path} has a lock that leaves out {min(missing)}, which {image.reference} needs",
                hint="pin and assemble it again",
            )
