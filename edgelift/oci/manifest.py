"""Manifests and indexes: raw bytes are the truth, the parsed model is a view (image-spec manifest.md, image-index.md).

Nothing here reads or writes; documents that could be taken for either kind are refused (CVE-2021-41190).
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Annotated, Any

from pydantic import BaseModel, BeforeValidator, ConfigDict, FailFast, Field, ValidationError

from edgelift.errors import IntegrityError, MalformedReferenceError, RefusedError
from edgelift.oci.descriptor import Descriptor, Platform
from edgelift.oci.digest import Digest
from edgelift.oci.reference import for_message

OCI_MANIFEST = "application/vnd.oci.image.manifest.v1+json"
OCI_INDEX = "application/vnd.oci.image.index.v1+json"
DOCKER_MANIFEST = "application/vnd.docker.distribution.manifest.v2+json"
DOCKER_INDEX = "application/vnd.docker.distribution.manifest.list.v2+json"
MANIFEST_TYPES = frozenset({OCI_MANIFEST, DOCKER_MANIFEST})
INDEX_TYPES = frozenset({OCI_INDEX, DOCKER_INDEX})
SCHEMA1_TYPES = frozenset(
    {
        "application/vnd.docker.distribution.manifest.v1+json",
        "application/vnd.docker.distribution.manifest.v1+prettyjws",
    }
)
# Sent as one line: some proxies keep only the last of several. Schema 1 is asked for so that it can be refused by name.
ACCEPT = ", ".join((OCI_INDEX, OCI_MANIFEST, DOCKER_INDEX, DOCKER_MANIFEST, *sorted(SCHEMA1_TYPES)))
MANIFEST_LIMIT = 8 * 2**20  # bytes read at most; registries hold 4 MiB at most
FOREIGN_LAYERS = ("nondistributable", "rootfs.foreign")
_SAYS_NOTHING = frozenset({"", "application/json", "application/octet-stream"})  # as static file servers answer
_BASELINES = {"amd64": "v1", "arm64": "v8"}  # the variant that every processor of the architecture runs


def _null_is_empty(value: object) -> object:
    return () if value is None else value


# Clients written in Go give null for a list of nothing.
# The first wrong entry is enough: errors take a hundred times the memory of what they complain of.
Descriptors = Annotated[tuple[Descriptor, ...], FailFast(), BeforeValidator(_null_is_empty)]


class ImageManifest(BaseModel):
    """One image or artifact: a config and layers."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    media_type: str | None = Field(default=None, alias="mediaType")
    config: Descriptor
    layers: Descriptors
    subject: Descriptor | None = None
    artifact_type: str | None = Field(default=None, alias="artifactType")
    annotations: dict[str, str] | None = None

    @property
    def blobs(self) -> tuple[Descriptor, ...]:
        """Config and layers, in that order."""
        return (self.config, *self.layers)


class ImageIndex(BaseModel):
    """Manifests, usually one per platform."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    media_type: str | None = Field(default=None, alias="mediaType")
    manifests: Descriptors
    subject: Descriptor | None = None
    artifact_type: str | None = Field(default=None, alias="artifactType")
    annotations: dict[str, str] | None = None

    def select(self, platform: Platform) -> Descriptor | None:
        """The first manifest for `platform`; a variant decides only where both sides name one.

        Without one the architecture's baseline comes first, so that amd64 is not answered with amd64/v3.
        """
        offers = [(entry, entry.platform) for entry in self.manifests if entry.platform is not None]
        wanted = (platform.os, platform.architecture)
        fitting = [(entry, offer.variant) for entry, offer in offers if (offer.os, offer.architecture) == wanted]
        plain = (None, platform.variant or _BASELINES.get(platform.architecture))
        preferred = [entry for entry, variant in fitting if variant in plain]
        others = [entry for entry, _ in fitting] if platform.variant is None else []
        return next(iter(preferred + others), None)

    @property
    def platforms(self) -> tuple[Platform, ...]:
        """The platforms offered; attestations (`unknown/unknown`) are left out."""
        offered = (entry.platform for entry in self.manifests)
        return tuple(platform for platform in offered if platform is not None and platform.os != "unknown")


@dataclass(frozen=True)
class Manifest:
    """The received bytes of a manifest or an index, their descriptor, and the parsed view of them."""

    raw: bytes = field(repr=False)
    descriptor: Descriptor
    parsed: ImageManifest | ImageIndex = field(repr=False)

    @property
    def children(self) -> tuple[Descriptor, ...]:
        """The manifests that an index names; none for an image manifest."""
        return self.parsed.manifests if isinstance(self.parsed, ImageIndex) else ()

    @property
    def blobs(self) -> tuple[Descriptor, ...]:
        """Config and layers of an image manifest; none for an index."""
        return self.parsed.blobs if isinstance(self.parsed, ImageManifest) else ()

    @property
    def subject(self) -> Digest | None:
        """The digest of the manifest that this one refers to."""
        return self.parsed.subject.digest if self.parsed.subject is not None else None

    @property
    def listed(self) -> Descriptor:
        """The descriptor as a list of referrers has it, with the artifact's type and its annotations."""
        config_type = self.parsed.config.media_type if isinstance(self.parsed, ImageManifest) else None
        extra = {"artifact_type": self.parsed.artifact_type or config_type, "annotations": self.parsed.annotations}
        return self.descriptor.plain().model_copy(update=extra)


def parse_manifest(raw: bytes, media_type: str, expected: Digest | None = None) -> Manifest:
    """The manifest in `raw`, served as `media_type` (parameters such as a charset are ignored).

    Raises `IntegrityError` where the bytes do not have the `expected` digest, are no manifest or could be taken for
    another kind, and `RefusedError` for Docker's schema 1.
    """
    if expected is not None and not expected.matches(raw):
        raise IntegrityError(f"the bytes of the manifest {expected} are not what its digest says")
    kind = _kind(media_type)
    document = _document(raw)
    declared = document.get("mediaType") or ""
    if {kind, declared} & SCHEMA1_TYPES or document.get("schemaVersion") == 1:
        raise RefusedError(
            "the image is in Docker's schema 1 format, which no current registry takes",
            hint="push it again with a current tool, then use the new tag",
        )
    if kind not in MANIFEST_TYPES | INDEX_TYPES:
        kind = declared or (_guess(document) if kind in _SAYS_NOTHING else kind)
    _check_structure(document, kind, declared or kind)
    descriptor = Descriptor(media_type=kind, digest=expected or Digest.of(raw), size=len(raw))
    model = ImageIndex if kind in INDEX_TYPES else ImageManifest
    try:
        return Manifest(raw, descriptor, model.model_validate(document))
    except ValidationError as error:
        problem = error.errors(include_url=False, include_input=False)[0]
        where = _shown(".".join(str(part) for part in problem["loc"]))
        raise IntegrityError(f"a manifest is malformed at {where}: {problem['msg']}") from None


def read_headers(headers: Mapping[str, str]) -> Descriptor | None:
    """The descriptor in the `headers` of an answer, if they are all there and legible."""
    media_type = headers.get("content-type", "").partition(";")[0].strip()
    length = headers.get("content-length", "")
    if media_type not in MANIFEST_TYPES | INDEX_TYPES or not length.isdecimal():
        return None
    try:
        digest = Digest(headers.get("docker-content-digest", ""))
        return Descriptor(media_type=media_type, digest=digest, size=int(length))
    except (MalformedReferenceError, ValueError):
        return None


def is_foreign(descriptor: Descriptor) -> bool:
    """Whether a layer may not be distributed by registries (image-spec layer.md): told by media type alone."""
    return any(marker in descriptor.media_type for marker in FOREIGN_LAYERS)


def _shown(text: str) -> str:
    """As much of a stranger's text as fits into a message, on one line."""
    return "".join(each if each.isprintable() else " " for each in for_message(text))


def _kind(media_type: str) -> str:
    return media_type.partition(";")[0].strip().lower()


def _guess(document: dict[str, Any]) -> str:
    return OCI_INDEX if "manifests" in document else OCI_MANIFEST


def _document(raw: bytes) -> dict[str, Any]:
    try:
        document = json.loads(raw.decode())  # UTF-8 alone, as other clients read it
    except (ValueError, RecursionError):
        raise IntegrityError(
            "a manifest is not JSON", hint="a proxy may have answered in the registry's place"
        ) from None
    if not isinstance(document, dict):
        raise IntegrityError("a manifest is not a JSON object")
    if not isinstance(document.get("mediaType"), str | None):
        raise IntegrityError("a manifest's mediaType is not a text")
    return document


def _check_structure(document: dict[str, Any], kind: str, declared: str) -> None:
    looks_like_index = "manifests" in document
    looks_like_manifest = "config" in document or "layers" in document
    if kind not in MANIFEST_TYPES | INDEX_TYPES:
        raise IntegrityError(f"{_shown(kind)!r} is not a manifest's media type")
    if declared != kind:
        raise IntegrityError(f"a manifest served as {kind} says it is {_shown(declared)}")
    if not looks_like_index and not looks_like_manifest:
        raise IntegrityError("a manifest names neither layers nor manifests")
    if looks_like_index and looks_like_manifest:
        raise IntegrityError("a manifest could be read as an index as well as an image")
    if looks_like_index != (kind in INDEX_TYPES):
        raise IntegrityError(f"a manifest served as {kind} is an {'index' if looks_like_index else 'image'}")
