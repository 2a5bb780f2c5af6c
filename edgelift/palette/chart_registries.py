"""Where Palette keeps Helm registries: the addresses behind the uids that packs of type `helm` have.

Their logins are masked in every answer, so that they are never taken from here.
"""

from collections.abc import Callable
from typing import Annotated, Any, TypeVar
from urllib.parse import quote

from pydantic import AliasPath, FailFast, Field, ValidationError

from edgelift.errors import PaletteError
from edgelift.palette.models import FromPalette

_HELM = "/v1/registries/helm"
_PAGES = 100  # of fifty registries each
_UNKNOWN = frozenset({403, 404})

Get = Callable[[str], Any]  # the document at a path of the API


class _Registry(FromPalette):
    uid: str = Field(default="", validation_alias=AliasPath("metadata", "uid"))
    endpoint: str = Field(default="", validation_alias=AliasPath("spec", "endpoint"))
    base_path: str = Field(default="", validation_alias=AliasPath("spec", "basePath"))
    content_path: str = Field(default="", validation_alias=AliasPath("spec", "baseContentPath"))


class _Registries(FromPalette):
    items: Annotated[tuple[_Registry, ...], FailFast()] = ()
    further: str = Field(default="", validation_alias=AliasPath("listmeta", "continue"))


_Model = TypeVar("_Model", bound=FromPalette)


class ChartRegistries:
    """The Helm registries of one Palette, read when the first is asked for."""

    def __init__(self, get: Get) -> None:
        self._get = get
        self._by_uid: dict[str, str] | None = None

    def address(self, uid: str) -> str:
        """The address of the registry with this `uid`; "" where this API key is shown none. Raises `PaletteError`."""
        if self._by_uid is None:
            self._by_uid = self._list()
        if uid and uid not in self._by_uid:
            found = self._read(_Registry, f"/v1/registries/oci/{quote(uid, safe='')}/basic")
            self._by_uid[uid] = _oci_address(found) if found is not None else ""
        return self._by_uid.get(uid, "")

    def _list(self) -> dict[str, str]:
        found: dict[str, str] = {}
        path = _HELM
        for _ in range(_PAGES):
            page = self._read(_Registries, path)
            if page is None:
                break
            found |= {each.uid: each.endpoint for each in page.items}
            if not page.further:
                break
            path = f"{_HELM}?continue={quote(page.further, safe='')}"
        return found

    def _read(self, model: type[_Model], path: str) -> _Model | None:
        try:
            return model.model_validate(self._get(path))
        except PaletteError as error:
            if error.status in _UNKNOWN:
                return None
            raise
        except ValidationError:
            raise PaletteError(f"Palette answered GET {path.partition('?')[0]} with something else") from None


def _oci_address(registry: _Registry) -> str:
    host = registry.endpoint.rpartition("://")[2].rstrip("/")
    path = (registry.content_path or registry.base_path).strip("/")
    return f"oci://{host}/{path}".rstrip("/") if host else ""
