"""Where the packs of profiles are: the OCI pack registries that Palette knows, as places for a registry client. No I/O.

What Palette says of a registry's login is masked, and not read.
"""

import re
from collections.abc import Callable, Collection
from typing import Annotated, Any, NamedTuple, TypeVar

from pydantic import AliasPath, FailFast, Field, ValidationError

from edgelift.errors import PaletteError
from edgelift.explain import explain
from edgelift.palette.models import FromPalette

Get = Callable[[str], Any]  # path → the JSON document there

_REGISTRIES = "/v1/registries/oci"
_PACKS = "pack"  # provider type of a registry that holds packs; others hold charts or Zarf packages
_REGION = re.compile(r"\{\{\s*\.spectro\.system\.aws\.region\s*\}\}")
_ARTIFACTORY = "artifactory/api/docker/"  # before the repository in Palette's endpoint; clients leave it out

_Model = TypeVar("_Model", bound=FromPalette)


class PackRegistry(NamedTuple):
    """An OCI registry of Palette's: `place` is host and base path, None where it holds something else than packs."""

    name: str
    place: str | None


class _Summary(FromPalette):
    uid: str = Field(validation_alias=AliasPath("metadata", "uid"))
    name: str = Field(default="", validation_alias=AliasPath("metadata", "name"))
    kind: str | None = Field(default=None, validation_alias=AliasPath("spec", "registryType"))
    provider: str | None = Field(default=None, validation_alias=AliasPath("spec", "providerType"))


class _Summaries(FromPalette):
    items: Annotated[tuple[_Summary, ...], FailFast()] = ()


class _Settings(FromPalette):
    endpoint: str = Field(validation_alias=AliasPath("spec", "endpoint"))
    base: str | None = Field(default=None, validation_alias=AliasPath("spec", "basePath"))
    content_base: str | None = Field(default=None, validation_alias=AliasPath("spec", "baseContentPath"))
    region: str | None = Field(default=None, validation_alias=AliasPath("spec", "defaultRegion"))


def find_pack_registries(get: Get, uids: Collection[str]) -> dict[str, PackRegistry]:
    """The OCI registries among `uids`; raises `PaletteError`."""
    listed = _parse(_Summaries, get(f"{_REGISTRIES}/summary"), "its OCI registries")
    return {each.uid: PackRegistry(each.name, _place(get, each)) for each in listed.items if each.uid in uids}


def place_of(endpoint: str, base: str, region: str = "") -> str:
    """Registry and base path for a registry client, from the `endpoint` and the base path as Palette has them."""
    endpoint = _REGION.sub(lambda _: region, endpoint).strip().removeprefix("https://").removeprefix("http://")
    endpoint = endpoint.rstrip("/").removesuffix("/v2")
    host, _, path = endpoint.partition("/")
    parts = f"{host}/{path.removeprefix(_ARTIFACTORY)}/{base.strip()}".split("/")
    return "/".join(part for part in parts if part)


def _place(get: Get, summary: _Summary) -> str | None:
    if summary.provider != _PACKS:
        return None
    kind = "ecr" if summary.kind == "ecr" else "basic"
    found = _parse(_Settings, get(f"{_REGISTRIES}/{summary.uid}/{kind}"), f"its registry {summary.name}")
    return place_of(found.endpoint, found.content_base or found.base or "", found.region or "")


def _parse(model: type[_Model], document: object, what: str) -> _Model:
    try:
        return model.model_validate(document)
    except ValidationError as error:
        raise PaletteError(f"Palette describes {what} in an unknown way: {explain(error)}") from None
