"""The storage that a registry redirects blob downloads to, with signed addresses, on a port of its own."""

import secrets
from urllib.parse import parse_qs

from starlette.responses import PlainTextResponse
from starlette.types import ASGIApp, Receive, Scope, Send

_PREFIX = "/storage"


class BlobStorage:
    """Serves the blobs of `registry` to those who bring a signature and, as S3 insists, no other credentials."""

    def __init__(self, registry: ASGIApp, *, single_use: bool) -> None:
        self._registry = registry
        self._single_use = single_use
        self._signatures: set[str] = set()
        self.host = ""

    def sign(self, path: str) -> str:
        """The address of the blob at `path` of the registry."""
        signature = secrets.token_hex(16)
        self._signatures.add(signature)
        return f"{_PREFIX}{path}?X-Amz-Signature={signature}"

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve a signed request."""
        signature = parse_qs(scope["query_string"].decode()).get("X-Amz-Signature", [""])[0]
        app: ASGIApp = self._registry
        if b"authorization" in dict(scope["headers"]):
            app = PlainTextResponse("Only one auth mechanism allowed", 400)
        elif signature not in self._signatures:
            app = PlainTextResponse("the signature is unknown, or expired", 403)
        elif self._single_use:
            self._signatures.discard(signature)
        await app({**scope, "path": scope["path"].removeprefix(_PREFIX)}, receive, send)
