"""How to get into registries: the options, and for commands that take all of them as one thing, what they come to."""

import inspect
from collections.abc import Callable, Collection
from pathlib import Path
from typing import Annotated, Any

import typer

from edgelift.cli.options import ACCESS
from edgelift.errors import ConfigurationError
from edgelift.site import RegistryAccess

CredFile = Annotated[
    Path | None,
    typer.Option(
        "--cred-file-path", metavar="F", help="Credentials file in palette-edge's format.", rich_help_panel=ACCESS
    ),
]
CaCert = Annotated[
    Path | None, typer.Option("--ca-cert", metavar="FILE", help="PEM file of your CA.", rich_help_panel=ACCESS)
]
Insecure = Annotated[
    bool, typer.Option("--insecure", "-i", help="Do not verify TLS certificates.", rich_help_panel=ACCESS)
]
InsecureRegistries = Annotated[
    list[str],
    typer.Option(
        "--insecure-registry",
        metavar="HOST",
        help="Do not verify the TLS certificate of this registry. Repeatable.",
        rich_help_panel=ACCESS,
    ),
]
CertDir = Annotated[
    Path | None,
    typer.Option(
        "--cert-dir",
        metavar="DIR",
        help="Certificates by host, as in /etc/docker/certs.d: HOST/ca.crt, client.cert, client.key.",
        rich_help_panel=ACCESS,
    ),
]
PlainHttp = Annotated[
    list[str],
    typer.Option(
        "--plain-http",
        metavar="HOST",
        help="A registry without TLS; loopback may go without it. Repeatable.",
        rich_help_panel=ACCESS,
    ),
]
TrustedRealms = Annotated[
    list[str],
    typer.Option(
        "--trusted-realm",
        metavar="HOST",
        help="A token server in another domain that may get its registry's login. Repeatable.",
        rich_help_panel=ACCESS,
    ),
]
MirrorRules = Annotated[
    list[str],
    typer.Option(
        "--mirror",
        metavar="SRC=PLACE",
        help="Read SRC (docker.io, ghcr.io/team) from PLACE (HOST:PORT/PREFIX) first. Repeatable, tried in order.",
        rich_help_panel=ACCESS,
    ),
]
Rewrites = Annotated[
    list[str],
    typer.Option(
        "--rewrite",
        metavar="SRC=PLACE",
        help="Read SRC from PLACE instead; SRC itself is never asked. Repeatable.",
        rich_help_panel=ACCESS,
    ),
]
Aws = Annotated[
    bool, typer.Option("--aws", help="Log in to Amazon ECR with your AWS credentials, too.", rich_help_panel=ACCESS)
]
Parallel = Annotated[
    int,
    typer.Option(
        "--parallel", min=1, max=64, help="At most so many requests at once to a registry.", rich_help_panel=ACCESS
    ),
]
_FOR_SOURCES = ("mirror", "rewrite")  # what is pushed goes where it is sent


def read_access(
    mirror: MirrorRules = [],  # noqa: B006 - typer copies it
    rewrite: Rewrites = [],  # noqa: B006
    cred_file: CredFile = None,
    ca_cert: CaCert = None,
    insecure: Insecure = False,
    insecure_registry: InsecureRegistries = [],  # noqa: B006
    cert_dir: CertDir = None,
    plain_http: PlainHttp = [],  # noqa: B006
    trusted_realm: TrustedRealms = [],  # noqa: B006
    aws: Aws = False,
    parallel: Parallel = 8,
) -> RegistryAccess:
    """What the options say; raises `ConfigurationError` where that makes no sense."""
    for option, path in (("--cred-file-path", cred_file), ("--ca-cert", ca_cert)):
        if path is not None and not path.is_file():
            raise ConfigurationError(f"{option}: there is no file {path}")
    if cert_dir is not None and not cert_dir.is_dir():
        raise ConfigurationError(f"--cert-dir: there is no folder {cert_dir}")
    from edgelift.oci.mirrors import Mirrors  # noqa: PLC0415 - loads the HTTP client, which not all commands need

    Mirrors.parse(mirror, rewrite)
    return RegistryAccess(
        credentials_file=str(cred_file.absolute()) if cred_file else None,
        ca_cert=str(ca_cert.absolute()) if ca_cert else None,
        insecure=insecure,
        plain_http=tuple(plain_http),
        trusted_realms=tuple(trusted_realm),
        insecure_hosts=tuple(insecure_registry),
        certs_dir=str(cert_dir.absolute()) if cert_dir else None,
        mirrors=tuple(mirror),
        rewrites=tuple(rewrite),
        aws=aws,
        parallel=parallel,
    )


def takes_access(command: Callable[..., None]) -> Callable[..., None]:
    """`command` with the options where its parameter `access` stands, which gets what these say: but for mirrors."""
    return _with_options(command, leave_out=_FOR_SOURCES)


def takes_source_access(command: Callable[..., None]) -> Callable[..., None]:
    """The same for a command that reads content from registries: `--mirror` and `--rewrite` say from which, too."""
    return _with_options(command, leave_out=())


def _with_options(command: Callable[..., None], *, leave_out: Collection[str]) -> Callable[..., None]:
    own, ways = (inspect.signature(each, eval_str=True).parameters for each in (command, read_access))
    taken = [each for name, each in ways.items() if name not in leave_out]
    merged = [each for name, one in own.items() for each in (taken if name == "access" else (one,))]

    def run(**given: Any) -> None:
        access = read_access(**{each.name: given.pop(each.name) for each in taken})
        command(**given, access=access)

    run.__name__, run.__doc__ = command.__name__, command.__doc__
    run.__annotations__ = {each.name: each.annotation for each in merged}
    run.__signature__ = inspect.Signature(merged)  # type: ignore[attr-defined] # what typer reads the options from
    return run
