"""The Prefect server that deployments and blocks are for."""

import httpx
from prefect.settings import PREFECT_API_URL

from edgelift.errors import ConfigurationError


def server_address() -> str:
    """The address of the server as it may be shown: a login, or a token in the query, may be written into it."""
    try:
        address = httpx.URL(str(PREFECT_API_URL.value() or ""))
        return f"{address.scheme}://{address.netloc.decode()}{address.path}"
    except (httpx.InvalidURL, ValueError):
        return "the address in PREFECT_API_URL, which is none"


def explain_failure(error: httpx.HTTPError) -> str:
    """Why the server cannot be worked with; the text of a refusal would hold its whole address."""
    if isinstance(error, httpx.HTTPStatusError):
        return f"it answers {error.response.status_code}"
    return str(error) or type(error).__name__


def require_server() -> None:
    """Raise `ConfigurationError` where the address of no server is set.

    Prefect would start one for this command alone, and what is saved there would help nobody.
    """
    if not PREFECT_API_URL.value():
        raise ConfigurationError(
            "PREFECT_API_URL is not set, so there is no Prefect server to work with",
            hint="set it, for example to http://127.0.0.1:4200/api of a server started with prefect server start",
        )
