"""Files as OCI artifacts (image-spec manifest.md, "Guidelines for Artifact Usage"): one file, one layer, one tag.

oras-py knows the form of an artifact and the protocol of a chunked upload, which gets through proxies that limit the
size or the time of a request. It does not carry the requests: its own session would take credentials to any realm,
retry every failure for minutes and read the environment. Our channel carries them, as it does for images.
"""

import json
import logging
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import oras.container
import oras.defaults
import oras.oci
import oras.provider

from edgelift.errors import BundleError, IntegrityError, RegistryError, StoreError, UnreachableError
from edgelift.oci.channel import Channel
from edgelift.oci.descriptor import Descriptor
from edgelift.oci.digest import Digest
from edgelift.oci.manifest import OCI_MANIFEST, ImageManifest
from edgelift.oci.registry import Registry
from edgelift.oci.transfer import Progress
from edgelift.oci.upload import SLOWEST_COMMIT, UPLOADS, scope_of
from edgelift.oci.wire import ATTEMPTS, Call

ARTIFACT_TYPE = "application/vnd.edgelift.archive.v1"
_EMPTY = "application/vnd.oci.empty.v1+json"  # image-spec manifest.md, "Guidance for an Empty Descriptor"
_CHUNK = 16 * 2**20  # bytes of one request; Amazon's registry takes none below 5 MiB
_READ_ATTEMPTS = 6  # in a row without one new byte
_SESSION_LOST = frozenset({"BLOB_UPLOAD_UNKNOWN", "BLOB_UPLOAD_INVALID"})
_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Artifact:
    """An artifact in a registry: its manifest, and the one file in it."""

    manifest: Descriptor
    file: Descriptor


def push_artifact(
    registry: Registry,
    repository: str,
    tag: str,
    path: Path,
    *,
    digest: Digest,
    media_type: str,
    progress: Progress | None = None,
) -> Artifact:
    """Bring the file at `path` to `repository:tag`; what stood there under the tag is replaced.

    The file is hashed on its way. Raises `IntegrityError` where it is not what `digest` says, `StoreError` where it
    cannot be read, and `RegistryError`; the tag is set only when all is there.
    """
    try:
        file = Descriptor(media_type=media_type, digest=digest, size=path.stat().st_size)
        manifest = _manifest(path.name, file)
        courier = _Courier(registry, repository, file, progress)
        with oras.provider.temporary_empty_config() as empty:
            courier.bring(Path(empty), manifest["config"])
        courier.bring(path, manifest["layers"][0])
    except OSError as error:
        raise StoreError(f"cannot read {path}: {error.strerror}") from None
    raw = json.dumps(manifest, sort_keys=True, separators=(",", ":")).encode()
    artifact = Artifact(Descriptor(media_type=OCI_MANIFEST, digest=Digest.of(raw), size=len(raw)), file)
    if not _stands(registry, repository, tag, artifact):
        registry.write_manifest(repository, tag, raw, OCI_MANIFEST)
        if not _stands(registry, repository, tag, artifact):
            raise RegistryError(
                f"{registry.host} took {repository}:{tag}, but does not show it as it was sent",
                hint="look whether something else writes that tag",
                retryable=True,
            )
    return artifact


def find_artifact(registry: Registry, repository: str, tag: str) -> Artifact:
    """The artifact at `repository:tag`; raises `BundleError` where that is not one of ours, and `RegistryError`."""
    manifest = registry.read_manifest(repository, tag)
    parsed = manifest.parsed
    if not isinstance(parsed, ImageManifest) or parsed.artifact_type != ARTIFACT_TYPE or len(parsed.layers) != 1:
        raise BundleError(
            f"{registry.host}/{repository}:{tag} is not a bundle that edgelift archived", hint="check the tag"
        )
    return Artifact(manifest.descriptor, parsed.layers[0])


def read_artifact(registry: Registry, repository: str, artifact: Artifact) -> Iterator[bytes]:
    """The bytes of the artifact's file; a broken connection is continued as long as it brings new bytes.

    They are not hashed here. Raises `RegistryError`.
    """
    offset, stalled, size = 0, 0, artifact.file.size
    while offset < size:
        try:
            body = registry.read_blob(repository, artifact.file, offset)
            known = offset - body.offset  # bytes that come again, from a registry that cannot begin in the middle
            for chunk in body.chunks:
                fresh, known = chunk[known:], max(0, known - len(chunk))
                if fresh:
                    offset, stalled = offset + len(fresh), 0
                    yield fresh
        except UnreachableError as error:
            stalled += 1
            if stalled == _READ_ATTEMPTS:
                raise
            _log.info("%s; continuing after %d of %d bytes", error.message, offset, size)


def _manifest(title: str, file: Descriptor) -> dict[str, Any]:
    """The manifest of an artifact that holds `file`; the same file and title always give the same."""
    config, _ = oras.oci.ManifestConfig(media_type=_EMPTY)
    layer = {"mediaType": file.media_type, "digest": str(file.digest), "size": file.size}
    return {
        **oras.oci.NewManifest(),
        "artifactType": ARTIFACT_TYPE,
        "config": config,
        "layers": [{**layer, "annotations": {oras.defaults.annotation_title: title}}],
    }


def _stands(registry: Registry, repository: str, tag: str, artifact: Artifact) -> bool:
    """Whether the registry shows the artifact under `tag`, with a file of the right size."""
    standing = registry.describe(repository, tag)
    if standing is None or standing.digest != artifact.manifest.digest:
        return False
    return registry.blob_size(repository, artifact.file.digest) == artifact.file.size


@dataclass(frozen=True)
class _Answer:
    """What oras-py reads of an answer."""

    status_code: int
    headers: Mapping[str, str]


class _Courier(oras.provider.Registry):  # type: ignore[misc] # oras-py has no types
    """oras-py's uploads into one repository, carried by our channel; `file` is hashed and counted on its way."""

    def __init__(self, registry: Registry, repository: str, file: Descriptor, progress: Progress | None) -> None:
        super().__init__(hostname=registry.host)
        del self.session, self.auth  # there is no way around the channel
        self._channel: Channel = registry.channel
        self._repository = repository
        self._file = file
        self._progress = progress
        self._hasher = file.digest.hasher()
        self._sent = self._furthest = 0
        self._container = oras.container.Container("name", registry=registry.host)
        # Its parser guesses where the host ends; we know.
        self._container.registry, self._container.repository = registry.host, repository

    def bring(self, path: Path, blob: dict[str, Any]) -> None:
        """Upload the file at `path` unless the registry has it: few keep what was cut, so each attempt begins anew."""
        for attempt in range(1, UPLOADS):
            try:
                self.upload_blob(str(path), self._container, blob, do_chunked=True, chunk_size=_CHUNK)
            except RegistryError as error:
                if not error.retryable and error.code not in _SESSION_LOST:
                    raise
                self._channel.back_off(attempt, error)
            else:
                return
        self.upload_blob(str(path), self._container, blob, do_chunked=True, chunk_size=_CHUNK)

    def do_request(
        self,
        url: str,
        method: str = "GET",
        data: bytes | None = None,
        headers: dict[str, str] | None = None,
        json: None = None,
        stream: bool = False,
    ) -> _Answer:
        """Carry one request of oras-py; what it would take for a failure is raised as ours."""
        call = Call(
            method,
            self._address(url),
            f"upload {self._file.digest} to {self._repository}",
            self._repository,
            (scope_of(self._repository, "pull,push"),),
            headers=headers or {},
            content=data,
            attempts=ATTEMPTS if method in {"HEAD", "POST"} else 1,  # a chunk that comes twice is kept twice
            extra_time=self._sent / SLOWEST_COMMIT if method == "PUT" else 0.0,
        )
        reply = self._channel.exchange(call)
        absent = method == "HEAD" and reply.status == httpx.codes.NOT_FOUND
        if not absent and not httpx.codes.is_success(reply.status):
            raise self._channel.refusal(call, reply)
        return _Answer(reply.status, reply.headers)
