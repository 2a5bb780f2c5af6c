"""A registry that is after our login, or has been taken over: it asks for one, then sends who is let in elsewhere."""

import json
from dataclasses import dataclass, field
from typing import Literal

from edgelift.demo.content import SampleImage
from edgelift.oci.digest import Digest
from edgelift.oci.manifest import OCI_MANIFEST
from tests.security.canaries import (
    BASIC,
    COOKIE,
    IDENTITY_BASIC,
    MIRROR_BASIC,
    MIRROR_TOKEN,
    SIGNATURE,
    STATE,
    TOKEN,
)
from tests.simulators.http_faults import Answer, Request

Kind = Literal["basic", "bearer", "identity"]
Lure = Literal[
    "token realm",
    "late realm",
    "token redirect",
    "redirect",
    "upload location",
    "chunk location",
    "next page",
    "layer urls",
    "none",
]
Headers = tuple[tuple[str, str], ...]

FOREIGN_LAYER = "application/vnd.oci.image.layer.nondistributable.v1.tar+gzip"


@dataclass
class HostileRegistry:
    """Has one `image`, takes uploads, and asks for a login of the given `kind`; a mirror for one of its own.

    `lure` is what it uses to send its clients to `elsewhere`, the base URL of another server.
    """

    image: SampleImage
    kind: Kind
    lure: Lure
    elsewhere: str = ""
    is_mirror: bool = False
    kept: dict[str, tuple[str, bytes]] = field(default_factory=dict)  # what was brought here, by tag or digest
    _sent: bytes = b""

    def respond(self, request: Request) -> Answer:
        """The answer to one request, always with a cookie to keep."""
        answer = self._answer(request, request.target.partition("?")[0])
        return Answer(answer.status, (*answer.headers, ("Set-Cookie", f"session={COOKIE}; Path=/")), answer.body)

    def _answer(self, request: Request, path: str) -> Answer:
        home = f"http://{request.headers['host']}"
        if path == "/token":
            return self._redirect("/token") if self.lure == "token redirect" else Answer(body=_json(token=self._token))
        if self.lure == "token realm":
            return _challenge(f'Bearer realm="{self.elsewhere}/token",service="x"')
        if request.headers.get("authorization") not in self._accepted:
            return _challenge("Basic realm=x" if self.kind == "basic" else f'Bearer realm="{home}/token",service="x"')
        if self.lure == "late realm":
            return _challenge(f'Bearer realm="{self.elsewhere}/token",service="x"')
        if self.lure == "redirect" and path != "/v2/":
            return self._redirect(request.target)
        return self._serve(request, path)

    @property
    def _token(self) -> str:
        return MIRROR_TOKEN if self.is_mirror else TOKEN

    @property
    def _accepted(self) -> tuple[str, ...]:
        if self.kind != "basic":
            return (f"Bearer {self._token}",)
        return (f"Basic {MIRROR_BASIC}",) if self.is_mirror else (f"Basic {BASIC}", f"Basic {IDENTITY_BASIC}")

    def _redirect(self, target: str) -> Answer:
        return Answer(307, (("Location", f"{self.elsewhere}{target.partition('?')[0]}?X-Amz-Signature={SIGNATURE}"),))

    def _serve(self, request: Request, path: str) -> Answer:
        if path.endswith(("/tags/list", "/_catalog")):
            link = f'<{self.elsewhere}{path}?last=x>; rel="next"' if self.lure == "next page" else ""
            names = ["1.0"] if path.endswith("list") else ["team/app"]
            return Answer(200, (("Link", link),) if link else (), _json(tags=names, repositories=names))
        if "/uploads/" in path:
            return self._upload(request, path)
        if request.method == "PUT":
            described = (request.headers["content-type"], request.body)
            self.kept |= {path.rpartition("/")[2]: described, str(Digest.of(request.body)): described}
            return Answer(201)
        return self._content(path.rpartition("/")[2]) if path != "/v2/" else Answer(body=b"{}")

    def _upload(self, request: Request, path: str) -> Answer:
        if request.method in {"POST", "PATCH"}:
            is_lured = self.lure == ("upload location" if request.method == "POST" else "chunk location")
            base = self.elsewhere if is_lured else ""
            location = f"{base}{path if request.method == 'PATCH' else path + '1'}?_state={STATE}"
            self._sent = self._sent + request.body if request.method == "PATCH" else b""
            return Answer(202, (("Location", location), ("Range", f"0-{max(len(self._sent) - 1, 0)}")))
        if request.method == "PUT":
            digest = request.target.rpartition("digest=")[2]
            self.kept[digest] = ("application/octet-stream", self._sent + request.body)
            return Answer(201)
        return Answer(204)

    def _content(self, selector: str) -> Answer:
        if self.lure == "layer urls" and selector == self.image.tag:
            return Answer(200, (("Content-Type", OCI_MANIFEST),), self.manifest_with_urls())
        kinds = {str(each.digest): each.media_type for each in self.image.manifests}
        own = {
            str(digest): (kinds.get(digest, "application/octet-stream"), content)
            for digest, content in self.image.contents.items()
        }
        found = (own | self.kept).get(self.image.root.digest if selector == self.image.tag else selector)
        if found is None:
            return Answer(404, body=b'{"errors":[{"code":"MANIFEST_UNKNOWN"}]}')
        return Answer(200, (("Content-Type", found[0]), ("Docker-Content-Digest", str(Digest.of(found[1])))), found[1])

    def manifest_with_urls(self) -> bytes:
        """A manifest whose only layer is said to lie elsewhere; it is not here."""
        config = self.image.blobs[0].model_dump(mode="json", by_alias=True, exclude_none=True)
        absent = {"mediaType": FOREIGN_LAYER, "digest": str(Digest.of(b"elsewhere")), "size": 9}
        layer = {**absent, "urls": [f"{self.elsewhere}/layer"]}
        return json.dumps({"schemaVersion": 2, "mediaType": OCI_MANIFEST, "config": config, "layers": [layer]}).encode()


def _challenge(text: str) -> Answer:
    return Answer(401, (("WWW-Authenticate", text),), b'{"errors":[{"code":"UNAUTHORIZED"}]}')


def _json(**document: object) -> bytes:
    return json.dumps(document).encode()
