"""Palette's own services: their versions, the manifests of their resources, and the images that these name.

The agent of an edge host (`stylus`) and what manages a cluster are such services. They are no part of any profile.
"""

import re
from collections.abc import Mapping
from dataclasses import replace
from typing import Annotated, Any
from urllib.parse import quote

from pydantic import AliasPath, FailFast, Field

from edgelift.bundle.definition import Architecture
from edgelift.errors import PaletteError, ProfileError
from edgelift.oci.reference import ImageReference
from edgelift.palette.images import clean_reference
from edgelift.palette.models import FromPalette, Get
from edgelift.palette.values import load_documents, load_yaml

_ARCHITECTURES: tuple[Architecture, ...] = ("amd64", "arm64")
_SUFFIX = re.compile(r"-linux-(?:amd64|arm64)\Z")
_CONTAINER = "container://"


class ServiceManifest(FromPalette):
    """Kubernetes YAML that a service consists of."""

    name: str
    content: str = Field(default="", repr=False)


class Service(FromPalette):
    """One version of a service."""

    name: str
    version: str
    manifests: Annotated[tuple[ServiceManifest, ...], FailFast()] = ()

    @property
    def origin_label(self) -> str:
        """How origins and messages name it."""
        return f"service {self.name} {self.version}"


class _Version(FromPalette):
    content: str = Field(default="", validation_alias=AliasPath("spec", "latestVersion", "content"))


class _Manifests(FromPalette):
    manifests: Annotated[tuple[ServiceManifest, ...], FailFast()] = Field(
        default=(), validation_alias=AliasPath("spec", "manifests")
    )


def read_service(get: Get, scope: str | None, name: str, version: str | None = None) -> Service:
    """The service `name` with the manifests of its resources; without a version, the latest one."""
    known = version or _read_version(get, scope, name)
    path = f"/v1/services/{quote(name, safe='')}/versions/{quote(known, safe='')}/manifest?action=resources"
    return Service(name=name, version=known, manifests=get(_Manifests, path, scope).manifests)


def find_manifest_images(text: str) -> list[str]:
    """The images that Kubernetes documents name, each once, as they stand there; raises `ProfileError` for broken YAML.

    An image is the text of a key `image`, and any text that begins with `container://`.
    """
    found: dict[str, None] = {}
    left: list[Any] = load_documents(text)
    seen: set[int] = set()  # aliases lead to one tree in endless ways
    while left:
        tree = left.pop()
        if id(tree) in seen:
            continue
        if isinstance(tree, Mapping):
            seen.add(id(tree))
            found |= dict.fromkeys(_images(tree))
            left.extend(tree.values())
        elif isinstance(tree, list):
            seen.add(id(tree))
            left.extend(tree)
        elif isinstance(tree, str) and tree.startswith(_CONTAINER):
            found[tree] = None
    return [text for text in found if clean_reference(text) is not None]


def for_architectures(reference: ImageReference, architecture: Architecture | None) -> list[ImageReference]:
    """`reference` for `architecture`, or for all where it is None.

    Palette keeps the agent in one repository for each architecture, `…/stylus-linux-amd64`, instead of in an index.
    """
    if reference.digest is not None or not _SUFFIX.search(reference.repository):
        return [reference]
    wanted = (architecture,) if architecture is not None else _ARCHITECTURES
    return [replace(reference, repository=_SUFFIX.sub(f"-linux-{each}", reference.repository)) for each in wanted]


def _images(fields: Mapping[Any, Any]) -> list[str]:
    image = fields.get("image")
    return [image] if isinstance(image, str) else []


def _read_version(get: Get, scope: str | None, name: str) -> str:
    path = f"/v1/services/{quote(name, safe='')}/version"
    content = get(_Version, path, scope).content
    try:
        document = load_yaml(content)  # YAML inside JSON
    except ProfileError as error:
        raise PaletteError(f"the version of the service {name} cannot be read: {error.message}") from None
    version = document.get("version") if isinstance(document, Mapping) else None
    if not isinstance(version, str) or not version:
        raise PaletteError(
            f"Palette names no version of the service {name}", hint="name one under versions in the agent services"
        )
    return version
