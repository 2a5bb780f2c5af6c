"""Edge hosts as Palette knows them: which ones have a tag, of which architecture they are, which profiles they run."""

from typing import Annotated, Any
from urllib.parse import quote

from pydantic import AliasPath, FailFast, Field

from edgelift.errors import PaletteError
from edgelift.palette.models import FromPalette, Search

_PATH = "/v1/dashboard/edgehosts/search"
_PAGE = 50  # hosts; Palette refuses to list more at once
_PAGES = 200  # a site of ten thousand hosts is none


class HostProfile(FromPalette):
    """A cluster profile that an edge host runs."""

    uid: str = Field(pattern=r"^[A-Za-z0-9_-]{1,64}$")
    name: str = ""
    version: str = ""


class EdgeHost(FromPalette):
    """An edge host; `architecture` is `amd64`, `arm64`, or "" before the host has told it."""

    uid: str = Field(validation_alias=AliasPath("metadata", "uid"))
    name: str = Field(default="", validation_alias=AliasPath("metadata", "name"))
    architecture: str = Field(default="", validation_alias=AliasPath("spec", "device", "archType"))
    profiles: Annotated[tuple[HostProfile, ...], FailFast()] = Field(
        default=(), validation_alias=AliasPath("spec", "clusterProfileTemplates")
    )


class _Page(FromPalette):
    items: Annotated[tuple[EdgeHost, ...], FailFast()] = ()
    next: str = Field(default="", validation_alias=AliasPath("listmeta", "continue"))


def find_edge_hosts(search: Search, scope: str | None, tag: str) -> tuple[EdgeHost, ...]:
    """The edge hosts with `tag` in a project or, with None, in the tenant, sorted by name; read page by page."""
    found: dict[str, EdgeHost] = {}
    path, seen = f"{_PATH}?limit={_PAGE}", {""}
    for _ in range(_PAGES):
        page = search(_Page, path, scope, _question(tag))
        found |= {host.uid: host for host in page.items}
        if not page.next:
            return tuple(sorted(found.values(), key=lambda host: (host.name, host.uid)))
        if page.next in seen:
            break
        seen.add(page.next)
        path = f"{_PATH}?limit={_PAGE}&continue={quote(page.next, safe='')}"
    raise PaletteError(
        f"Palette lists the edge hosts with tag {tag!r} without end", hint="name architecture and profiles yourself"
    )


def _question(tag: str) -> dict[str, Any]:
    condition = {"string": {"operator": "eq", "match": {"conjunction": "or", "values": [tag]}}}
    filters = [{"property": "tags", "type": "string", "condition": condition}]
    groups = [{"conjunction": "and", "filters": filters}]
    return {"filter": {"conjunction": "and", "filterGroups": groups}, "sort": []}
