"""Bundles kept as OCI artifacts in a registry: where there is one that takes them, no other place is needed."""

from pathlib import Path

from edgelift.archive.place import ArchivedBundle, Progress, write_verified
from edgelift.errors import ConfigurationError
from edgelift.oci.artifact import find_artifact, push_artifact, read_artifact
from edgelift.oci.digest import Digest
from edgelift.oci.reference import is_tag
from edgelift.oci.registry import Registry

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
        self, name: str, destination: Path, *, digest: Digest | None = None, progress: Progress | None = None
    ) -> ArchivedBundle:
        """Fetch `name` from the repository; see `Archive.restore`."""
        tag = _tag(name)
        artifact = find_artifact(self._registry, self._repository, tag)
        url, expected = self._url(tag, artifact.manifest.digest), digest or artifact.file.digest
        chunks = read_artifact(self._registry, self._repository, artifact)
        size = write_verified(destination, chunks, digest=expected, source=url, progress=progress)
        return ArchivedBundle(url=url, size=size, digest=expected)

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
