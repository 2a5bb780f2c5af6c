"""User macros: the lists that Palette keeps for a project, for the tenant and for the system, joined into one."""

from collections.abc import Iterator
from http import HTTPStatus
from typing import Annotated

from pydantic import FailFast, Field

from edgelift.errors import PaletteError
from edgelift.palette.models import ClusterProfile, FromPalette, Get, UserMacro, UserMacros

_HIDDEN = frozenset({HTTPStatus.FORBIDDEN, HTTPStatus.NOT_FOUND})  # a key need not see what belongs to all


class _Macros(FromPalette):
    macros: Annotated[tuple[UserMacro, ...], FailFast()] = ()


class _UserInfo(FromPalette):
    tenant_uid: str = Field(default="", pattern=r"^[A-Za-z0-9_-]{0,64}$")


def asks_for_user_macros(profile: ClusterProfile) -> bool:
    """Whether some text of `profile` names a user macro."""
    return any(".spectro.macro." in text for text in _texts(profile))


def asks_for_tenant(profile: ClusterProfile) -> bool:
    """Whether some text of `profile` names the tenant, or what belongs to it."""
    return asks_for_user_macros(profile) or any(".spectro.system.tenant." in text for text in _texts(profile))


def read_tenant_uid(get: Get) -> str:
    """The uid of the tenant that the key belongs to; "" where Palette does not say."""
    try:
        return get(_UserInfo, "/v1/users/info", None).tenant_uid
    except PaletteError as error:
        if error.status in _HIDDEN:
            return ""
        raise


def read_user_macros(get: Get, project_uid: str | None, tenant_uid: str) -> UserMacros:
    """The macros that hold for `project_uid`: its own before the tenant's, and these before the system's."""
    found: dict[str, UserMacro] = {}
    hidden = []
    for level, path, scope in _lists(project_uid, tenant_uid):
        try:
            macros = get(_Macros, path, scope).macros if path else None
        except PaletteError as error:
            if error.status not in _HIDDEN:
                raise
            macros = None
        if macros is None:
            hidden.append(level)
        for macro in macros or ():
            found.setdefault(macro.name, macro)
    return UserMacros(values=tuple(found.values()), hidden=tuple(hidden))


def _lists(project_uid: str | None, tenant_uid: str) -> Iterator[tuple[str, str, str | None]]:
    # The tenant's and the system's are asked for without a project: in its scope Palette would look for another list.
    if project_uid is not None:
        yield "project", f"/v1/projects/{project_uid}/macros", project_uid
    yield "tenant", f"/v1/tenants/{tenant_uid}/macros" if tenant_uid else "", None
    yield "system", "/v1/users/system/macros", None


def _texts(profile: ClusterProfile) -> Iterator[str]:
    for pack in profile.packs:
        yield pack.values
        yield from (manifest.content for manifest in pack.manifests)
    yield from (variable.default_value for variable in profile.variables)
