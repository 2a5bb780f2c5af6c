"""A stand-in for the Palette API: the questions edgelift asks, answered as Palette answers them, over given profiles.

It reads; nothing can be changed. Shapes and statuses follow Palette's published API description (4.8).
"""

import hmac
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import yaml
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route
from starlette.types import ASGIApp, Receive, Scope, Send

from edgelift.demo.palette_documents import (
    cluster_definition,
    export_document,
    metadata,
    pack_summary,
    profile_document,
    variables,
)
from edgelift.demo.palette_limits import LimitedApp, RateLimits
from edgelift.demo.palette_tenant import DEMO_TENANT, DemoTenant, tenant_routes
from edgelift.demo.profiles import demo_profiles
from edgelift.palette.models import ClusterProfile

__all__ = ["DEMO_PROJECT", "DemoProject", "create_palette_api", "demo_profiles", "export_document"]


@dataclass(frozen=True)
class DemoProject:
    """The project that the stand-in's profiles belong to."""

    uid: str
    name: str


DEMO_PROJECT = DemoProject("65c90f2d0a1b2c3d4e5f6a00", "demo")


def create_palette_api(
    profiles: Sequence[ClusterProfile],
    api_key: str,
    *,
    project: DemoProject = DEMO_PROJECT,
    macros: Mapping[str, str] | None = None,
    denied_status: int = 401,
    drafts: frozenset[str] = frozenset(),
    tenant: DemoTenant = DEMO_TENANT,
    limits: RateLimits | None = None,
) -> Starlette:
    """The API over `profiles`, which all belong to `project`; `drafts` are the uids of those never published.

    `macros` are those of the project; `tenant` is what there is beside profiles. A wrong key gets `denied_status`. With
    404 Palette's message repeats the key, and so does this one. Without `limits` nobody asks too often.
    """
    palette = _Palette({profile.uid: profile for profile in profiles}, project, macros or {}, drafts)
    profile = "/v1/clusterprofiles/{uid}"
    routes = [
        *tenant_routes(tenant, palette._is_scoped),
        Route("/v1/dashboard/projects/metadata", palette.list_projects),
        Route("/v1/dashboard/clusterprofiles/metadata", palette.list_profiles),
        Route("/v1/clusterprofiles/macros", palette.list_macros),
        Route("/v1/projects/{uid}/macros", palette.list_macros),
        Route(profile, palette.show_profile),
        Route(f"{profile}/packs", palette.list_packs),
        Route(f"{profile}/packs/manifests", palette.list_pack_manifests),
        Route(f"{profile}/variables", palette.list_variables),
        Route(f"{profile}/export", palette.export_profile),
        Route("/v1/spectroclusters/spc/download", palette.download_cluster_definition, methods=["POST"]),
    ]
    app = Starlette(routes=routes, exception_handlers={HTTPException: _answer_error})
    app.add_middleware(_KeyCheck, api_key=api_key, denied_status=denied_status)
    if limits is not None:
        app.add_middleware(LimitedApp, limits=limits)
    return app


class _KeyCheck:
    """Lets a request through when its ApiKey header is right."""

    def __init__(self, app: ASGIApp, api_key: str, denied_status: int) -> None:
        self._app = app
        self._api_key = api_key
        self._denied_status = denied_status

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        given = Request(scope).headers.get("apikey", "")
        app: ASGIApp = self._app
        if not hmac.compare_digest(given.encode(), self._api_key.encode()):
            app = self._deny(given)
        await app(scope, receive, send)

    def _deny(self, given: str) -> Response:
        if self._denied_status == 404:  # noqa: PLR2004  # the one status that has a message of its own
            return _error(404, "ResourceNotFound", f"API key {given} not found")
        return _error(self._denied_status, "InvalidApiKey", "The API key is missing or not valid")


@dataclass(frozen=True)
class _Palette:
    profiles: Mapping[str, ClusterProfile]
    project: DemoProject
    macros: Mapping[str, str]
    drafts: frozenset[str]

    def list_projects(self, request: Request) -> Response:
        wanted = request.query_params.get("name", self.project.name)
        items = [metadata(self.project.uid, self.project.name)] if wanted == self.project.name else []
        return JSONResponse({"items": items})

    def list_profiles(self, request: Request) -> Response:
        profiles = self.profiles.values() if self._is_scoped(request) else ()
        return JSONResponse(
            {
                "items": [
                    metadata(each.uid, each.name) | {"spec": {"cloudType": each.cloud_type, "version": each.version}}
                    for each in profiles
                ]
            }
        )

    def list_macros(self, request: Request) -> Response:
        macros = self.macros if self._is_scoped(request) else {}
        return JSONResponse({"macros": [{"name": name, "value": value} for name, value in macros.items()]})

    def show_profile(self, request: Request) -> Response:
        profile = self._profile(request)
        return JSONResponse(profile_document(profile, is_draft=profile.uid in self.drafts))

    def list_packs(self, request: Request) -> Response:
        return JSONResponse({"items": [pack_summary(pack) for pack in self._profile(request).packs]})

    def list_pack_manifests(self, request: Request) -> Response:
        profile = self._profile(request)
        packs = [pack_summary(pack, with_manifests=True) for pack in profile.packs]
        return JSONResponse(metadata(profile.uid, profile.name) | {"spec": {"packs": packs}})

    def list_variables(self, request: Request) -> Response:
        return JSONResponse({"variables": variables(self._profile(request)) or None})

    def export_profile(self, request: Request) -> Response:
        profile = self._profile(request)
        document = export_document(profile)
        if request.query_params.get("format") == "yaml":
            return _download(yaml.safe_dump(document, sort_keys=False).encode(), f"{profile.name}.yaml")
        return _download(json.dumps(document, indent=2).encode(), f"{profile.name}.json")

    async def download_cluster_definition(self, request: Request) -> Response:
        try:
            body = await request.json()
            name, kind = body["metadata"]["name"], body["spec"]["cloudType"]
            uids = [str(each["uid"]) for each in body["spec"]["profiles"]]
        except (ValueError, KeyError, TypeError):
            raise HTTPException(400, "the body is not a cluster definition") from None
        if (name, kind) != ("cluster-profiles", "edge-native"):  # Palette's documentation insists on both
            raise HTTPException(400, "a cluster definition is asked for as cluster-profiles of edge-native")
        if not self._is_scoped(request) or not set(uids) <= self.profiles.keys():
            raise HTTPException(404, "a cluster profile was not found")
        return _download(cluster_definition([self.profiles[uid] for uid in uids]), f"{name}.tgz")

    def _is_scoped(self, request: Request) -> bool:
        given = request.headers.get("projectuid") or request.query_params.get("ProjectUid")
        return given == self.project.uid

    def _profile(self, request: Request) -> ClusterProfile:
        uid = request.path_params["uid"]
        profile = self.profiles.get(uid) if self._is_scoped(request) else None
        if profile is None:
            raise HTTPException(404, f"Cluster profile with uid '{uid}' not found")
        return profile


def _download(content: bytes, name: str) -> Response:
    safe = "".join(each for each in name if each.isalnum() or each in "._-")
    headers = {"Content-Disposition": f'attachment; filename="{safe}"'}
    return Response(content, media_type="application/octet-stream", headers=headers)


def _error(status: int, code: str, message: str) -> Response:
    return JSONResponse({"code": code, "details": None, "message": message, "ref": ""}, status_code=status)


def _answer_error(_request: Request, error: Exception) -> Response:
    if not isinstance(error, HTTPException):
        raise error
    codes = {400: "RequestError", 404: "ResourceNotFound"}
    return _error(error.status_code, codes.get(error.status_code, "StatusInternalServerError"), error.detail)
