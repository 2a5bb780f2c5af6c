"""Bundles kept as OCI artifacts in a registry: where there is one that takes them, no other place is needed."""

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from edgelift.archive.artifact_file import ArtifactFile
from edgelift.archive.landing import write_continued
from edgelift.archive.place import UNDATED, ArchivedBundle, KeptFile, Leftover, Progress, is_ours
from edgelift.bundle.parts import whole_name
from edgelift.bundle.parts_afar import open_parts_afar
from edgelift.bundle.source import ByteSource
from edgelift.errors import BundleError, ConfigurationError, NotFoundError
from edgelift.oci.artifact import find_artifact, push_artifact
from edgelift.oci.digest import Digest
from edgelift.oci.reference import is_tag
from edgelift.oci.registry import Registry

_PARALLEL = 8

_MEDIA_TYPES = {
    ".tar.zst": "application/vnd.edgelift.bundle.v1.tar+zstd",
    ".json": "application/json",
    ".yaml": "application/yaml",
}


class ArtifactArchive:
    """Keeps each file as an artifact in one repository, with the file's name as the tag."""

    def __init__(self, registry: Registry, repository: str) -> None:
        self._registry = registry
        self._repository = repository

    def store(
        self, path: Path, *, digest: Digest, name: str | None = None, progress: Progress | None = None
    ) -> ArchivedBundle:
        """Push `path` to the repository; see `Archive.store`."""
        tag = _tag(name or path.name)
        artifact = push_artifact(
            self._registry,
            self._repository,
            tag,
            path,
            digest=digest,
            media_type=_media_type(path),
            progress=progress,
        )
        return ArchivedBundle(url=self._url(tag, artifact.manifest.digest), size=artifact.file.size, digest=digest)

    def restore(
        self,
        name: str,
        destination: Path,
        *,
        digest: Digest | None = None,
        progress: Progress | None = None,
        confirm: Callable[[Path], None] | None = None,
    ) -> ArchivedBundle:
        """Fetch `name`, going on where an earlier run broke off; see `RestorableArchive.restore`."""
        tag = _tag(name)
        artifact = find_artifact(self._registry, self._repository, tag)
        url, expected = self._url(tag, artifact.manifest.digest), digest or artifact.file.digest
        source = ArtifactFile(self._registry, self._repository, artifact, url, self._reader_beside(tag))
        write_continued(destination, source, digest=expected, confirm=confirm, progress=progress)
        return ArchivedBundle(url=url, size=source.size, digest=expected)

    def url(self, name: str) -> str:
        """See `ListableArchive.url`."""
        place = f"oci://{self._registry.host}/{self._repository}"
        return f"{place}:{name}" if name else place

    def files(self) -> Iterator[KeptFile]:
        """See `ListableArchive.files`. A registry does not tell when it got them."""
        tags = self._registry.list_tags(self._repository)
        with ThreadPoolExecutor(_PARALLEL, thread_name_prefix="list") as pool:
            yield from pool.map(self._kept, tags)

    def leftovers(self) -> Iterator[Leftover]:
        """None: a registry keeps to itself what was begun and not ended."""
        return iter(())

    def open(self, name: str) -> ByteSource:
        """Open what is kept under `name` for reading in place; raises `RegistryError`, and `BundleError` for others'.

        The bytes of a file come from one manifest, also where another gets its name meanwhile.
        """
        whole = whole_name(name)
        if whole is None:
            return self._open(name)
        return open_parts_afar(whole, self.url(whole), self._open, self._reader_beside(whole))

    def digest_of(self, name: str) -> Digest:
        """The digest of the file that is kept under `name`, as its manifest has it."""
        return find_artifact(self._registry, self._repository, _tag(name)).file.digest

    def noted_digest(self, name: str) -> Digest | None:
        """See `RestorableArchive.noted_digest`."""
        try:
            return self.digest_of(name)
        except NotFoundError:
            return None

    def _open(self, name: str, *, is_read_next: bool = True) -> ArtifactFile:  # noqa: ARG002 - its end is read when it is
        tag = _tag(name)
        artifact = find_artifact(self._registry, self._repository, tag)
        return ArtifactFile(self._registry, self._repository, artifact, self.url(tag), self._reader_beside(tag))

    def _kept(self, tag: str) -> KeptFile:
        if is_ours(tag):
            try:
                artifact = find_artifact(self._registry, self._repository, tag)
                return KeptFile(tag, artifact.file.size, UNDATED, artifact.manifest.digest)
            except (BundleError, NotFoundError):
                pass  # it is called as ours are; who opens it is told
        return KeptFile(tag, 0, UNDATED, "")

    def _reader_beside(self, tag: str) -> Callable[[str, int], bytes | None]:
        def read_beside(suffix: str, limit: int) -> bytes | None:
            try:
                file = self._open(f"{tag}{suffix}")
            except NotFoundError:
                return None
            return file.read_at(0, min(limit, file.size))

        return read_beside

    def _url(self, tag: str, manifest: Digest) -> str:
        return f"oci://{self._registry.host}/{self._repository}:{tag}@{manifest}"


def _tag(name: str) -> str:
    if not is_tag(name):
        raise ConfigurationError(
            f"{name[:100]!r} cannot be the name of a bundle archived in a registry, where names are tags",
            hint="use up to 128 letters, digits, dots, dashes and underscores",
        )
    return name


def _media_type(path: Path) -> str:
    return next((kind for end, kind in _MEDIA_TYPES.items() if path.name.endswith(end)), "application/octet-stream")
