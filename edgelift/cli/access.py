"""The options that say how to get into registries, for commands that take them as one thing."""

import inspect
from collections.abc import Callable
from typing import Any

from edgelift.cli import options
from edgelift.site import RegistryAccess


def read_access(
    cred_file: options.CredFile = None,
    ca_cert: options.CaCert = None,
    insecure: options.Insecure = False,
    insecure_registry: options.InsecureRegistries = [],  # noqa: B006 - typer copies it
    cert_dir: options.CertDir = None,
    plain_http: options.PlainHttp = [],  # noqa: B006
    trusted_realm: options.TrustedRealms = [],  # noqa: B006
    aws: options.Aws = False,
    parallel: options.Parallel = 8,
) -> RegistryAccess:
    """What the options say; raises `ConfigurationError` where that makes no sense."""
    return options.access_of(
        cred_file=cred_file,
        ca_cert=ca_cert,
        insecure=insecure,
        insecure_registries=insecure_registry,
        cert_dir=cert_dir,
        plain_http=plain_http,
        trusted_realms=trusted_realm,
        aws=aws,
        parallel=parallel,
    )


def takes_access(command: Callable[..., None]) -> Callable[..., None]:
    """`command` with the options of `read_access` where its parameter `access` stands, which gets what these say."""
    own, ways = (inspect.signature(each, eval_str=True).parameters for each in (command, read_access))
    merged = [each for name, one in own.items() for each in (ways.values() if name == "access" else (one,))]

    def run(**given: Any) -> None:
        access = read_access(**{name: given.pop(name) for name in ways})
        command(**given, access=access)

    run.__name__, run.__doc__ = command.__name__, command.__doc__
    run.__annotations__ = {each.name: each.annotation for each in merged}
    run.__signature__ = inspect.Signature(merged)  # type: ignore[attr-defined] # what typer reads the options from
    return run
