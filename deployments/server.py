"""The Prefect server that deployments and blocks are for."""

from prefect.settings import PREFECT_API_URL

from edgelift.errors import ConfigurationError


def require_server() -> str:
    """The address of the server; raises `ConfigurationError` where none is set.

    Prefect would start one for this command alone, and what is saved there would help nobody.
    """
    address = PREFECT_API_URL.value()
    if not address:
        raise ConfigurationError(
            "PREFECT_API_URL is not set, so there is no Prefect server to work with",
            hint="set it, for example to http://127.0.0.1:4200/api of a server started with prefect server start",
        )
    return str(address)
