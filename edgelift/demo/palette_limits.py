"""How often the stand-in lets one address ask, as Palette does: so many requests at once, and so many a second."""

import time
from collections.abc import Callable
from dataclasses import dataclass, field

from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Receive, Scope, Send

_BURST = 5  # times the rate
_RATE = 10.0  # requests a second
_RATES = dict.fromkeys(("clusterprofiles", "spectroclusters", "cloudconfigs"), 50.0)


@dataclass
class RateLimits:
    """Counts by address and resource: `/v1/clusterprofiles/…` is one resource, whatever follows.

    `retry_after` is the header of a refusal in seconds; None leaves it out, as Palette's documentation does.
    """

    retry_after: int | None = None
    clock: Callable[[], float] = time.monotonic
    _left: dict[tuple[str, str], tuple[float, float]] = field(default_factory=dict, init=False, repr=False)

    def admits(self, address: str, path: str) -> bool:
        """Whether `address` may ask for `path` now; counts it if so."""
        resource = path.split("/")[2] if path.startswith("/v1/") else path
        rate, now = _RATES.get(resource, _RATE), self.clock()
        left, since = self._left.get((address, resource), (rate * _BURST, now))
        left = min(rate * _BURST, left + (now - since) * rate)
        self._left[address, resource] = (left - 1 if left >= 1 else left, now)
        return left >= 1


class LimitedApp:
    """Refuses what comes too often before `app` sees it."""

    def __init__(self, app: ASGIApp, limits: RateLimits) -> None:
        self._app = app
        self._limits = limits

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request, or let `app` do it."""
        app = self._app
        if scope["type"] == "http" and not self._limits.admits((scope.get("client") or ("",))[0], scope["path"]):
            after = self._limits.retry_after
            app = JSONResponse(
                {"code": "TooManyRequests", "details": None, "message": "Too Many Requests", "ref": ""},
                status_code=429,
                headers={"Retry-After": str(after)} if after is not None else None,
            )
        await app(scope, receive, send)
