"""The Palette client: reads cluster profiles, by name or uid, in the scope of a project or of the tenant.

It also finds the edge hosts of a site, and the manifests of Palette's own services.
"""

import re
import time
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Annotated, Any, Self

import httpx
from pydantic import AliasPath, FailFast, Field, SecretStr, ValidationError

from edgelift.errors import ConfigurationError, PaletteError, ProfileError
from edgelift.explain import explain
from edgelift.palette.api import PaletteApi, parse_endpoint
from edgelift.palette.chart_registries import ChartRegistries
from edgelift.palette.cluster_definition import (
    CLUSTER_DEFINITIONS,
    check_archive,
    check_project,
    explain_refusal,
    question_for,
)
from edgelift.palette.edge_hosts import EdgeHost, find_edge_hosts
from edgelift.palette.export import profile_from_document
from edgelift.palette.models import ClusterProfile, FromPalette, Model, Pack, ProfileVariable, UserMacros
from edgelift.palette.pack_contents import PackContents, complete_packs
from edgelift.palette.pack_registries import PackRegistry, find_pack_registries
from edgelift.palette.services import Service, read_service
from edgelift.palette.user_macros import asks_for_tenant, asks_for_user_macros, read_tenant_uid, read_user_macros
from edgelift.transport import TransportSettings, open_client

_UID = re.compile(r"[0-9a-f]{24}")
_PROJECTS = "/v1/dashboard/projects/metadata"
_PROFILES = "/v1/dashboard/clusterprofiles/metadata"
_KEY_STATUSES = frozenset({401, 403, 404})  # Palette has been seen to call a wrong key "ResourceNotFound"
_NOT_FOUND = 404
_NAMED = 10  # names that a message lists at most


class _Listed(FromPalette):
    uid: str = Field(pattern=r"^[A-Za-z0-9_-]{1,64}$", validation_alias=AliasPath("metadata", "uid"))
    name: str = Field(validation_alias=AliasPath("metadata", "name"))
    version: str = Field(default="", validation_alias=AliasPath("spec", "version"))


class _Listing(FromPalette):
    items: Annotated[tuple[_Listed, ...], FailFast()] = ()


class _Variables(FromPalette):
    variables: Annotated[tuple[ProfileVariable, ...], FailFast()] = ()


class PaletteClient:
    """Reads from one Palette with one API key; safe to share between threads.

    `endpoint` is `api.spectrocloud.com` or the address of a self-hosted Palette; `project` the uid or name of a
    project, None means the tenant. `ca_cert`, `insecure` and `proxy` say how to reach it, unless `http` brings a
    client of its own. Every refusal is a `PaletteError`, every unusable argument a `ConfigurationError`.
    """

    def __init__(
        self,
        endpoint: str,
        api_key: SecretStr,
        *,
        project: str | None = None,
        http: httpx.Client | None = None,
        ca_cert: Path | None = None,
        insecure: bool = False,
        proxy: str | None = None,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        scheme, host = parse_endpoint(endpoint, insecure=insecure)
        plain_http = frozenset({host}) if scheme == "http" else frozenset[str]()
        settings = TransportSettings(ca_cert=ca_cert, insecure=insecure, plain_http=plain_http, proxy=proxy)
        self._owns_http = http is None
        self._api = PaletteApi(scheme, host, api_key, http or open_client(settings, host), sleep)
        self._wanted_project = project
        self._projects: tuple[_Listed, ...] | None = None
        self._tenant_uid: str | None = None
        self._user_macros: UserMacros | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close the connections, unless they are the caller's."""
        if self._owns_http:
            self._api.http.close()

    def check(self) -> None:
        """Make sure that Palette takes the key and knows the project; raises `PaletteError` where it does not."""
        self._project()

    def read_profile(self, profile: str) -> ClusterProfile:
        """The profile with that uid or name; `NAME@VERSION` picks one of several versions.

        A version that was never published is read as its draft, and says so in its notices.
        """
        project = self._project()
        scope = project.uid if project else None
        uid, version = self._find_profile(profile, scope)
        document = self._read_document(uid, profile, scope)
        try:
            found = profile_from_document(document, f"the answer of {self._api.host} for profile {profile}")
        except ProfileError as error:
            raise PaletteError(error.message, hint="the profile may have been emptied; open it in Palette") from None
        if version and found.version != version:
            raise PaletteError(
                f"profile {uid} is version {found.version}, not {version}", hint="each version has a uid of its own"
            )
        contents = self._get(PackContents, f"/v1/clusterprofiles/{uid}/packs/manifests", scope)
        registries = ChartRegistries(lambda path: self._api.get(path, scope))
        whole = found.model_copy(
            update={
                "uid": uid,
                "packs": tuple(_place_chart(pack, registries) for pack in complete_packs(found.packs, contents)),
                "variables": self._read_variables(uid, scope) or found.variables,
                "project_uid": project.uid if project else "",
                "project_name": project.name if project else "",
            }
        )
        return self._with_macros(whole, scope)

    def find_edge_hosts(self, tag: str) -> tuple[EdgeHost, ...]:
        """The edge hosts that have `tag` (`key:value`), by name; there may be none."""
        project = self._project()
        return find_edge_hosts(self._search, project.uid if project else None, tag)

    def read_service(self, name: str, version: str | None = None) -> Service:
        """The manifests of Palette's own service `name`, of `version` or of the one that Palette would roll out."""
        project = self._project()
        return read_service(self._get, project.uid if project else None, name, version)

    def _with_macros(self, profile: ClusterProfile, scope: str | None) -> ClusterProfile:
        """`profile` with the values beyond it that its macros ask for; they are asked for once."""
        if not asks_for_tenant(profile):
            return profile
        if self._tenant_uid is None:
            self._tenant_uid = read_tenant_uid(self._get)
        if asks_for_user_macros(profile) and self._user_macros is None:
            self._user_macros = read_user_macros(self._get, scope, self._tenant_uid)
        return profile.model_copy(update={"tenant_uid": self._tenant_uid, "user_macros": self._user_macros})

    def download_cluster_definition(self, profiles: Sequence[ClusterProfile]) -> bytes:
        """The archive that Palette makes of `profiles`, which have been read with this client.

        Raises `ConfigurationError` without a project, `PaletteError` where one of them is not in it, or what comes is
        no archive.
        """
        project = self._project()
        if project is None:
            raise ConfigurationError(
                "a cluster definition is made of profiles of one project, and no project is named",
                hint="name it with --project-id (in a site file: project)",
            )
        listed = {each.uid for each in self._get(_Listing, _PROFILES, project.uid).items}
        check_project(profiles, listed, project.name)
        question = question_for([each.uid for each in profiles])
        try:
            content = self._api.download(CLUSTER_DEFINITIONS, question, project.uid)
        except PaletteError as error:
            raise explain_refusal(error) from None
        check_archive(content, self._api.host)
        return content

    def find_pack_registries(self, uids: Collection[str]) -> dict[str, PackRegistry]:
        """The OCI registries among `uids`, which packs name."""
        project = self._project()
        scope = project.uid if project else None
        return find_pack_registries(lambda path: self._api.get(path, scope), uids)

    def _project(self) -> _Listed | None:
        # Always the first question: it proves the key, so that a later 404 means what it says.
        if self._projects is None:
            self._projects = self._list_projects()
        if self._wanted_project is None:
            return None
        for attribute in ("uid", "name"):
            for project in self._projects:
                if getattr(project, attribute) == self._wanted_project:
                    return project
        raise PaletteError(
            f"Palette at {self._api.host} shows this API key no project {self._wanted_project!r}",
            hint=f"it shows: {_join(project.name for project in self._projects)}",
            status=_NOT_FOUND,
        )

    def _list_projects(self) -> tuple[_Listed, ...]:
        try:
            return self._get(_Listing, _PROJECTS, None).items
        except PaletteError as error:
            if error.status not in _KEY_STATUSES:
                raise
            raise PaletteError(
                f"Palette at {self._api.host} refused the API key ({error.status})",
                hint="check the key and that it belongs to this Palette; create one under User Menu > My API Keys",
                status=error.status,
            ) from None

    def _find_profile(self, profile: str, scope: str | None) -> tuple[str, str]:
        """The uid that `profile` means, and the version it insists on, if any."""
        name, _, version = profile.partition("@")
        if _UID.fullmatch(name):
            return name, version
        named = [each for each in self._get(_Listing, _PROFILES, scope).items if each.name == name]
        found = [each for each in named if version in ("", each.version)]
        if len(found) == 1:
            return found[0].uid, version
        if found:
            candidates = _join(f"{each.version} ({each.uid})" for each in found)
            raise PaletteError(
                f"{len(found)} profiles are called {profile}: {candidates}",
                hint=f"choose one as {name}@VERSION or by its uid",
            )
        if named:
            raise PaletteError(
                f"profile {name} has no version {version}",
                hint=f"it has: {_join(each.version for each in named)}",
                status=_NOT_FOUND,
            )
        raise self._unknown_profile(profile)

    def _read_document(self, uid: str, profile: str, scope: str | None) -> Any:
        try:
            return self._api.get(f"/v1/clusterprofiles/{uid}", scope)
        except PaletteError as error:
            if error.status == _NOT_FOUND:
                raise self._unknown_profile(profile) from None
            raise

    def _read_variables(self, uid: str, scope: str | None) -> tuple[ProfileVariable, ...]:
        try:
            return self._get(_Variables, f"/v1/clusterprofiles/{uid}/variables", scope).variables
        except PaletteError as error:
            if error.status == _NOT_FOUND:  # a self-hosted Palette from before there were variables
                return ()
            raise

    def _get(self, model: type[Model], path: str, scope: str | None) -> Model:
        return self._read(model, self._api.get(path, scope), f"GET {path}")

    def _search(self, model: type[Model], path: str, scope: str | None, document: Mapping[str, Any]) -> Model:
        return self._read(model, self._api.search(path, document, scope), f"POST {path}")

    def _read(self, model: type[Model], document: Any, asked: str) -> Model:
        try:
            return model.model_validate(document)
        except ValidationError as error:
            raise PaletteError(f"{self._api.host} answered {asked} with something else: {explain(error)}") from None

    def _unknown_profile(self, profile: str) -> PaletteError:
        place = f"project {self._wanted_project}" if self._wanted_project else "the tenant's own scope"
        advice = "check the uid or the name" if self._wanted_project else "name its project with --project-id"
        return PaletteError(
            f"Palette at {self._api.host} has no cluster profile {profile!r} in {place}",
            hint=advice,
            status=_NOT_FOUND,
        )


def _place_chart(pack: Pack, registries: ChartRegistries) -> Pack:
    """`pack`, with the address of its Helm registry where it is a chart."""
    if not pack.is_chart:
        return pack
    return pack.model_copy(update={"chart_repository": registries.address(pack.registry_uid)})


def _join(names: Iterable[str]) -> str:
    listed = sorted(names)
    rest = f" and {len(listed) - _NAMED} more" if len(listed) > _NAMED else ""
    return ", ".join(listed[:_NAMED]) + rest if listed else "none"
