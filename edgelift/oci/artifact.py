"""Files as OCI artifacts (image-spec manifest.md, "Guidelines for Artifact Usage"): one file, one layer, one tag.

oras-py knows the form of an artifact and the protocol of a chunked upload, which gets through proxies that limit the
size or the time of a request. It does not carry the requests: its own session would take credentials to any realm,
retry every failure for minutes and read the environment. Our channel carries them, as it does for images.
"""

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import oras.container
import oras.defaults
import oras.oci
import oras.provider

from edgelift.errors import BundleError, IntegrityError, RegistryError, StoreError
from edgelift.oci.chunked import choose_chunk
from edgelift.oci.descriptor import Descriptor
from edgelift.oci.digest import Digest
from edgelift.oci.manifest import OCI_MANIFEST, ImageManifest
from edgelift.oci.pull import BlobStream
from edgelift.oci.registry import Registry
from edgelift.oci.session import SLOWEST_COMMIT, session_of, with_digest
from edgelift.oci.transfer import Progress
from edgelift.oci.upload import UPLOADS, scope_of
from edgelift.oci.wire import ATTEMPTS, Call

ARTIFACT_TYPE = "application/vnd.edgelift.archive.v1"
_EMPTY = "application/vnd.oci.empty.v1+json"  # image-spec manifest.md, "Guidance for an Empty Descriptor"
_SESSION_LOST = frozenset({"BLOB_UPLOAD_UNKNOWN", "BLOB_UPLOAD_INVALID"})


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
        with oras.provider.temporary_empty_config() as empty:
            _Courier(registry, repository, Path(empty), Descriptor.model_validate(manifest["config"])).bring()
        _Courier(registry, repository, path, file, progress).bring()
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
    return Artifact(manifest.descriptor, parsed.layers[0].plain())


def read_artifact(registry: Registry, repository: str, artifact: Artifact) -> Iterator[bytes]:
    """The bytes of the artifact's file, not hashed here; errors are those of `BlobStream`."""
    yield from BlobStream(registry, repository, artifact.file)


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
    """oras-py's upload of one file, carried by our channel; what is sent is hashed and counted on its way."""

    def __init__(
        self, registry: Registry, repository: str, path: Path, blob: Descriptor, progress: Progress | None = None
    ) -> None:
        super().__init__(hostname=registry.host)
        del self.session, self.auth  # there is no way around the channel
        self._channel = registry.channel
        self._repository = repository
        self._path = path
        self._blob = blob
        self._progress = progress
        self._hasher = blob.digest.hasher()
        self._sent = self._furthest = 0
        self._session = ""  # the URL that the registry named last for this upload

    def bring(self) -> None:
        """Upload the file unless the registry has it. Few registries keep what was cut: each attempt begins anew."""
        container = oras.container.Container("name", registry=self._channel.host)
        container.registry, container.repository = self._channel.host, self._repository  # its parser guesses; we know
        chunk = choose_chunk(self._channel.host)
        layer = {"digest": str(self._blob.digest), "size": self._blob.size}
        for attempt in range(1, UPLOADS + 1):
            try:
                self.upload_blob(str(self._path), container, layer, do_chunked=True, chunk_size=chunk)
                break
            except RegistryError as error:
                if attempt == UPLOADS or not (error.retryable or error.code in _SESSION_LOST):
                    raise
                self._channel.back_off(attempt, error)
        if self._progress is not None:
            self._progress(self._blob.size - self._furthest)  # all of it, where the registry had the blob

    def do_request(  # noqa: PLR0917 - oras-py's signature
        self,
        url: str,
        method: str = "GET",
        data: bytes | None = None,
        headers: dict[str, str] | None = None,
        json: None = None,  # noqa: ARG002 - oras-py's signature
        stream: bool = False,  # noqa: ARG002 - oras-py's signature
    ) -> _Answer:
        """Carry one request of oras-py's; a refusal is raised as our error."""
        if method == "POST":
            self._hasher, self._sent = self._blob.digest.hasher(), 0
        elif method == "PUT":
            self._check_sent()
        call = Call(
            method,
            self._address(method, url),
            f"upload {self._blob.digest} to {self._repository}",
            self._repository,
            (scope_of(self._repository, "pull,push"),),
            headers=headers or {},
            # Of an iterator nothing is left in the request, which httpx keeps until the next garbage collection.
            content=None if data is None else lambda: iter([data]),
            attempts=1 if method in {"PATCH", "PUT"} else ATTEMPTS,  # some registries keep twice what comes twice
            extra_time=self._blob.size / SLOWEST_COMMIT if method == "PUT" else 0.0,
        )
        reply = self._channel.exchange(call)
        if not httpx.codes.is_success(reply.status) and (method, reply.status) != ("HEAD", httpx.codes.NOT_FOUND):
            raise self._channel.refusal(call, reply)
        if data is not None:
            self._count(data)
        if method in {"POST", "PATCH"}:
            self._session = session_of(self._channel, call, reply)
            return _Answer(httpx.codes.ACCEPTED, {"location": self._session})  # all that oras-py would take for done
        return _Answer(reply.status, reply.headers)

    def _address(self, method: str, url: str) -> str:
        """Where a request goes: the registry, or the upload's URL to the letter, which oras-py would write anew."""
        if method == "PATCH":
            return self._session
        if method == "PUT":
            return with_digest(self._session, self._blob.digest)
        return "/" + url.removeprefix(f"{self.prefix}://{self._channel.host}/")

    def _count(self, chunk: bytes) -> None:
        self._hasher.update(chunk)
        self._sent += len(chunk)
        if self._sent > self._furthest:
            if self._progress is not None:
                self._progress(self._sent - self._furthest)
            self._furthest = self._sent

    def _check_sent(self) -> None:
        """Raise `IntegrityError` before the blob gets its name, where what was sent is not it."""
        if self._hasher.hexdigest() != self._blob.digest.hex:
            raise IntegrityError(
                f"{self._path} is not what its digest says: {self._hasher.hexdigest()}, not {self._blob.digest}",
                hint="the file was changed or damaged after its digest was taken; build or archive it again",
            )
