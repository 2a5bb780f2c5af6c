"""Registry content in a directory: clients push to it, and it is all there again after a restart.

blobs/<algorithm>/<hex>                          verified content, manifests too, each once
repositories/<name>/_blobs/<algorithm>/<hex>     the repository refers to that blob (an empty file)
repositories/<name>/_manifests/<algorithm>/<hex> the repository has that manifest (its media type)
repositories/<name>/_tags/<tag>                  what the tag points to (a digest)
repositories/<name>/_uploads/<session>           what has arrived of a blob

No component of a repository name begins with an underscore, so these folders stand beside deeper repositories.
"""

import os
from collections.abc import Iterator, Sequence
from contextlib import nullcontext, suppress
from pathlib import Path

from edgelift.documents import write_document
from edgelift.errors import MalformedReferenceError
from edgelift.oci.content import LOOK
from edgelift.oci.descriptor import Descriptor
from edgelift.oci.digest import Digest
from edgelift.oci.manifest import Manifest
from edgelift.oci.reference import is_repository, is_tag
from edgelift.serve.content import Served, select_referrers
from edgelift.serve.part import BlobPart
from edgelift.serve.uploads import UploadFolder
from edgelift.store.disk import disk_errors


class DirectoryContent:
    """Writable registry content under `root`, for several threads. Implements `WritableContent`."""

    def __init__(self, root: Path) -> None:
        self._root = root
        with disk_errors(f"open the registry in {root}"):
            (root / "repositories").mkdir(parents=True, exist_ok=True)

    def repositories(self) -> Sequence[str]:
        """All repositories with a manifest, sorted."""
        return sorted(self._walk(self._root / "repositories"))

    def tags(self, repository: str) -> Sequence[str] | None:
        """The tags, in any order."""
        home = self._home(repository)
        with disk_errors(f"look at {home}"):
            exists = (home / "_manifests").is_dir()
        return _names(home / "_tags") if exists else None

    def resolve(self, repository: str, selector: str | Digest) -> Served | None:
        """The manifest of a tag or a digest."""
        digest = selector if isinstance(selector, Digest) else self._tagged(repository, selector)
        if digest is None:
            return None
        media_type = _read_text(self._link(repository, "_manifests", digest))
        if media_type is None:
            return None
        with disk_errors(f"read the manifest {digest}"):
            raw = self._blob(digest).read_bytes()
        return Descriptor(media_type=media_type, digest=digest, size=len(raw)), raw

    def referrers(self, repository: str, subject: Digest) -> Sequence[Descriptor]:
        """The manifests that name `subject`."""
        served = (self.resolve(repository, digest) for digest in self._manifests(repository))
        return select_referrers(subject, (each for each in served if each is not None))

    def blob_size(self, repository: str, digest: Digest) -> int | None:
        """The size of a blob that the repository refers to; None also where its file is gone."""
        with disk_errors(f"look at the blob {digest}"), suppress(FileNotFoundError):
            if self._link(repository, "_blobs", digest).exists():
                return self._blob(digest).stat().st_size
        return None

    def read_blob_range(
        self,
        repository: str,  # noqa: ARG002 - `blob_size` has checked it; the bytes are the same for all
        digest: Digest,
        start: int,
        stop: int,
    ) -> BlobPart:
        """Bytes `start` to `stop` (exclusive)."""
        path = self._blob(digest)

        def read(offset: int, limit: int) -> bytes:  # no file stays open between two looks
            with disk_errors(f"read the blob {digest}"), path.open("rb", buffering=0) as file:
                return os.pread(file.fileno(), min(limit, LOOK), offset)

        return BlobPart(nullcontext(read), start, stop)

    def begin_upload(self, repository: str) -> str:
        """Begin an upload session."""
        return self._uploads(repository).begin()

    def upload_offset(self, repository: str, session: str) -> int | None:
        """How many bytes of the session have arrived."""
        return self._uploads(repository).offset(session)

    def append_upload(self, repository: str, session: str, offset: int, chunk: bytes) -> bool:
        """Add `chunk` at `offset`."""
        return self._uploads(repository).append(session, offset, chunk)

    def commit_upload(self, repository: str, session: str, digest: Digest) -> bool:
        """Check the session's bytes and give them the name `digest`."""
        committed = self._uploads(repository).commit(session, digest, self._blob(digest))
        if committed:
            self._refer(repository, digest)
        return committed

    def cancel_upload(self, repository: str, session: str) -> bool:
        """Drop the session."""
        return self._uploads(repository).cancel(session)

    def mount_blob(self, source: str, repository: str, digest: Digest) -> bool:
        """Let `repository` refer to a blob of `source`."""
        if self.blob_size(source, digest) is None:
            return False
        self._refer(repository, digest)
        return True

    def write_manifest(self, repository: str, manifest: Manifest, tag: str | None) -> None:
        """Keep `manifest`, then point `tag` at it."""
        digest = manifest.descriptor.digest
        write_document(self._blob(digest), manifest.raw)
        write_document(self._link(repository, "_manifests", digest), manifest.descriptor.media_type.encode())
        if tag is not None:
            self.point_tag(repository, tag, digest)

    def point_tag(self, repository: str, tag: str, digest: Digest) -> None:
        """Point `tag` at a manifest of the repository."""
        if not is_tag(tag):
            raise MalformedReferenceError(f"{tag!r} is not a tag")
        write_document(self._home(repository) / "_tags" / tag, digest.encode())

    def delete_manifest(self, repository: str, digest: Digest) -> bool:
        """Forget a manifest and the tags on it; the bytes stay."""
        for tag in self.tags(repository) or ():
            if self._tagged(repository, tag) == digest:
                self.delete_tag(repository, tag)
        return _unlink(self._link(repository, "_manifests", digest))

    def delete_blob(self, repository: str, digest: Digest) -> bool:
        """Let `repository` refer to a blob no longer; the bytes stay, for other repositories."""
        return _unlink(self._link(repository, "_blobs", digest))

    def delete_tag(self, repository: str, tag: str) -> bool:
        """Forget a tag."""
        return is_tag(tag) and _unlink(self._home(repository) / "_tags" / tag)

    def _home(self, repository: str) -> Path:
        if not is_repository(repository):  # the name becomes a path here: never trust a caller with that
            raise MalformedReferenceError(f"{repository!r} is not a repository name")
        return self._root / "repositories" / repository

    def _blob(self, digest: Digest) -> Path:
        return self._root / "blobs" / digest.algorithm / digest.hex

    def _link(self, repository: str, kind: str, digest: Digest) -> Path:
        return self._home(repository) / kind / digest.algorithm / digest.hex

    def _tagged(self, repository: str, tag: str) -> Digest | None:
        text = _read_text(self._home(repository) / "_tags" / tag) if is_tag(tag) else None
        return None if text is None else Digest(text)

    def _manifests(self, repository: str) -> Iterator[Digest]:
        folder = self._home(repository) / "_manifests"
        for algorithm in _names(folder):
            yield from (Digest(f"{algorithm}:{name}") for name in _names(folder / algorithm))

    def _walk(self, folder: Path) -> Iterator[str]:
        for name in _names(folder):
            if name == "_manifests":
                yield str(folder.relative_to(self._root / "repositories"))
            elif not name.startswith("_"):
                yield from self._walk(folder / name)

    def _refer(self, repository: str, digest: Digest) -> None:
        link = self._link(repository, "_blobs", digest)
        with disk_errors(f"refer to the blob {digest}"):
            link.parent.mkdir(parents=True, exist_ok=True)
            link.touch()

    def _uploads(self, repository: str) -> UploadFolder:
        return UploadFolder(self._home(repository) / "_uploads")


def _names(folder: Path) -> list[str]:
    """What is in `folder`, without the temporary files of writers at work."""
    with disk_errors(f"list {folder}"):
        try:
            return [entry.name for entry in folder.iterdir() if not entry.name.startswith(".")]
        except FileNotFoundError:
            return []


def _read_text(path: Path) -> str | None:
    with disk_errors(f"read {path}"):
        try:
            return path.read_text()
        except FileNotFoundError:
            return None


def _unlink(path: Path) -> bool:
    with disk_errors(f"remove {path}"):
        try:
            path.unlink()
        except FileNotFoundError:
            return False
    return True
