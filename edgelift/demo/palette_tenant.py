"""What the stand-in Palette holds beside profiles: macros of tenant and system, edge hosts, services, registries.

Shapes follow Palette's published API description (4.8); every secret of a registry is masked, as Palette's are.
"""

import base64
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from edgelift.demo.images import AGENT_VERSION
from edgelift.demo.palette_documents import metadata
from edgelift.palette.models import ClusterProfile

TENANT_UID = "65c90f2d0a1b2c3d4e5f6b00"
_PAGE = 50  # entries that one answer has at most
_MASK = "abc***def"


@dataclass(frozen=True)
class DemoHost:
    """An edge host with its tags (`key:value`) and the profiles that it runs."""

    name: str
    architecture: str = "amd64"
    tags: tuple[str, ...] = ()
    profiles: tuple[ClusterProfile, ...] = ()


@dataclass(frozen=True)
class DemoService:
    """A service, and the manifests of its resources by name."""

    name: str
    version: str
    manifests: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class DemoRegistry:
    """A registry that profiles take packs or charts from; `kind` is `helm` or `oci`, `login` is `basic` or `ecr`."""

    uid: str
    name: str
    kind: str
    endpoint: str
    provider: str = "pack"
    base_path: str = ""
    is_private: bool = False
    login: str = "basic"
    region: str = ""

    def summary(self) -> dict[str, Any]:
        """How the list of OCI registries shows it."""
        spec = {
            "endpoint": self.endpoint,
            "providerType": self.provider,
            "registryType": self.login,
            "scope": "tenant",
            "isPrivate": self.is_private,
            "containsSpectroManifest": self.provider == "pack",
        }
        return metadata(self.uid, self.name) | {"spec": spec}

    def settings(self) -> dict[str, Any]:
        """How an OCI registry is shown by itself."""
        document = self.summary()
        paths = {"basePath": "", "baseContentPath": self.base_path, "defaultRegion": self.region or None}
        return document | {"spec": document["spec"] | _auth(self) | paths}


@dataclass(frozen=True)
class DemoTenant:
    """A tenant; with `shows_macros` false it keeps its own macros and the system's from the API key."""

    macros: Mapping[str, str] = field(default_factory=dict)
    system_macros: Mapping[str, str] = field(default_factory=dict)
    shows_macros: bool = True
    hosts: Sequence[DemoHost] = ()
    services: Sequence[DemoService] = ()
    registries: Sequence[DemoRegistry] = ()


DEMO_TENANT = DemoTenant(services=(DemoService("stylus", AGENT_VERSION.removeprefix("v")),))


def tenant_routes(tenant: DemoTenant, is_scoped: Callable[[Request], bool]) -> list[Route]:
    """The questions about `tenant`; its edge hosts belong to the project that `is_scoped` tells."""
    answers = _Answers(tenant, is_scoped)
    registries = [
        Route("/v1/registries/metadata", answers.list_registries),
        Route("/v1/registries/helm", answers.list_helm_registries),
        Route("/v1/registries/oci/summary", answers.list_oci_registries),
        Route("/v1/registries/oci/{uid}/{login}", answers.show_oci_registry),
    ]
    return [
        *(registries if tenant.registries else ()),
        Route("/v1/users/info", answers.show_user),
        Route("/v1/users/system/macros", answers.list_system_macros),
        Route("/v1/tenants/{uid}/macros", answers.list_tenant_macros),
        Route("/v1/dashboard/edgehosts/search", answers.search_hosts, methods=["POST"]),
        Route("/v1/services/{name}/version", answers.show_version),
        Route("/v1/services/{name}/versions/{version}/manifest", answers.show_manifests),
    ]


@dataclass(frozen=True)
class _Answers:
    tenant: DemoTenant
    is_scoped: Callable[[Request], bool]

    def show_user(self, _request: Request) -> Response:
        return JSONResponse({"orgName": "demo", "tenantUid": TENANT_UID, "userUid": "65c90f2d0a1b2c3d4e5f6b01"})

    def list_system_macros(self, request: Request) -> Response:
        return self._macros(request, self.tenant.system_macros)

    def list_tenant_macros(self, request: Request) -> Response:
        if request.path_params["uid"] != TENANT_UID:
            raise HTTPException(404, "the tenant was not found")
        return self._macros(request, self.tenant.macros)

    def _macros(self, request: Request, macros: Mapping[str, str]) -> Response:
        if not self.tenant.shows_macros:
            raise HTTPException(403, "the operation is not allowed")
        if "projectuid" in request.headers:  # in a project's scope there are only that project's
            macros = {}
        return JSONResponse({"macros": [{"name": name, "value": value} for name, value in macros.items()] or None})

    async def search_hosts(self, request: Request) -> Response:
        try:
            wanted = _tags((await request.json())["filter"])
            limit, start = int(request.query_params.get("limit", _PAGE)), _start(request.query_params)
        except (ValueError, KeyError, TypeError):
            raise HTTPException(400, "the body is not a search") from None
        if limit > _PAGE:
            raise HTTPException(422, f"the limit is {_PAGE}")
        hosts = self.tenant.hosts if self.is_scoped(request) else ()
        found = [host for host in hosts if wanted is None or wanted & set(host.tags)]
        end = start + limit
        listed = {"continue": _token(end, len(found)) if end < len(found) else "", "count": len(found)}
        items = [_host(host) for host in found[start:end]]
        return JSONResponse({"items": items, "listmeta": listed | {"limit": limit, "offset": start}})

    def show_version(self, request: Request) -> Response:
        """The first version that is listed; as Palette has it, YAML inside JSON."""
        service = self._service(request.path_params["name"])
        major = service.version.rpartition(".")[0]
        content = f'name: {service.name}\nversion: {service.version}\nbuildId: "20250401"\nmajorVersion: "{major}"\n'
        path = f"{service.name}/{service.version}/services.yaml"
        latest = {"content": content, "name": "manifest.yaml", "path": path}
        return JSONResponse(metadata("", "") | {"spec": {"latestVersion": latest, "name": service.name}})

    def show_manifests(self, request: Request) -> Response:
        if request.query_params.get("action") not in {"apply", "delete", "resources"}:
            raise HTTPException(400, "the action is missing")
        service = self._service(request.path_params["name"], request.path_params["version"])
        manifests = [
            {"name": name, "path": f"{service.name}/{name}", "content": content, "repoName": "", "sha": ""}
            for name, content in service.manifests.items()
        ]
        spec = {"name": service.name, "version": service.version, "manifests": manifests}
        return JSONResponse(metadata("", "") | {"spec": spec})

    def _service(self, name: str, version: str | None = None) -> DemoService:
        for service in self.tenant.services:
            if service.name == name and version in (None, service.version):
                return service
        raise HTTPException(404, "the service was not found")

    def list_registries(self, _request: Request) -> Response:
        return JSONResponse(
            {
                "items": [
                    {
                        "uid": each.uid,
                        "name": each.name,
                        "kind": each.kind,
                        "scope": "tenant",
                        "isDefault": False,
                        "isPrivate": each.is_private,
                    }
                    for each in self.tenant.registries
                ]
            }
        )

    def list_helm_registries(self, _request: Request) -> Response:
        items = [
            metadata(each.uid, each.name)
            | {"spec": {"name": each.name, "endpoint": each.endpoint, "isPrivate": each.is_private} | _auth(each)}
            for each in self._of_kind("helm")
        ]
        return JSONResponse({"items": items, "listmeta": {"continue": "", "count": len(items)}})

    def list_oci_registries(self, _request: Request) -> Response:
        return JSONResponse({"items": [each.summary() for each in self._of_kind("oci")] or None})

    def show_oci_registry(self, request: Request) -> Response:
        asked = (request.path_params["uid"], request.path_params["login"])
        registry = next((each for each in self._of_kind("oci") if (each.uid, each.login) == asked), None)
        if registry is None:
            raise HTTPException(404, "the registry was not found")
        return JSONResponse(registry.settings())

    def _of_kind(self, kind: str) -> list[DemoRegistry]:
        return [each for each in self.tenant.registries if each.kind == kind]


def _auth(registry: DemoRegistry) -> dict[str, Any]:
    if not registry.is_private:
        return {"auth": {"type": "noAuth"}}
    tls = {"enabled": True, "insecureSkipVerify": False}
    return {"auth": {"type": "basic", "username": "reader", "password": _MASK, "tls": tls}}


def _host(host: DemoHost) -> dict[str, Any]:
    templates = [
        {"uid": each.uid, "name": each.name, "version": each.version, "type": each.type, "cloudType": each.cloud_type}
        for each in host.profiles
    ]
    labels = dict(tag.split(":", 1) for tag in host.tags)
    return metadata(f"edge-{host.name}", host.name, labels=labels) | {
        "spec": {"device": {"archType": host.architecture}, "clusterProfileTemplates": templates or None},
        "status": {"state": "in-use" if templates else "ready", "health": {"state": "healthy"}},
    }


def _tags(search: Mapping[str, Any]) -> set[str] | None:
    """The tags of which a host needs one; None where the search does not ask for tags."""
    filters = [each for group in search.get("filterGroups", []) for each in group["filters"]]
    values = [each["condition"]["string"]["match"]["values"] for each in filters if each["property"] == "tags"]
    return set(values[0]) if values else None


def _token(offset: int, count: int) -> str:
    return base64.b64encode(json.dumps({"offset": offset, "count": count, "token": ""}).encode()).decode()


def _start(query: Mapping[str, str]) -> int:
    token = query.get("continue", "")
    return int(json.loads(base64.b64decode(token))["offset"]) if token else int(query.get("offset", 0))
