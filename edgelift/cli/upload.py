"""`upload`: a file to an edge host, through the documented API of its Local UI."""

import os
import sys
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from pydantic import SecretStr

from edgelift.access import transport_settings
from edgelift.bundle.container import SIGNATURE_SIZES
from edgelift.bundle.file_digest import digest_of
from edgelift.bundle.opening import open_source
from edgelift.bundle.placing import SIGNATURE_SUFFIX
from edgelift.cli import options, signing
from edgelift.cli.access import CaCert, Insecure, read_access
from edgelift.cli.console import say, say_json, set_verbosity, tell
from edgelift.documents import read_document
from edgelift.edge.host import Address, EdgeHost, UploadKind
from edgelift.edge.upload import Upload, check_upload, kind_of, upload_file, wait_for_sync
from edgelift.errors import ConfigurationError, IncompleteError, IntegrityError, SignatureError
from edgelift.keys import find_public_key
from edgelift.progress import Pace
from edgelift.sizes import format_size

if TYPE_CHECKING:
    from edgelift.bundle.signature import PublicKey
    from edgelift.bundle.source import ByteSource

PASSWORD = "EDGELIFT_EDGE_PASSWORD"  # noqa: S105 - the name of a variable
_STDIN = Path("-")
_WARNING = (
    "warning: edge hosts are known to take content bundles in Palette's own format, which is not published, and "
    "cluster definitions. Nothing says that they take a bundle of edgelift: push that to a registry"
)


def upload(
    file: Annotated[
        str,
        typer.Argument(
            metavar="FILE",
            help="A cluster definition (.tgz), or a content bundle: a file, the index of its parts, s3://bucket/key.",
        ),
    ],
    host: Annotated[
        str, typer.Argument(metavar="HOST", help="The edge host, HOST[:PORT]; the port of its Local UI is 5080.")
    ],
    user: Annotated[
        str, typer.Option("--user", "-u", metavar="NAME", help="User of its Local UI.", rich_help_panel=options.ACCESS)
    ],
    password_file: Annotated[
        Path | None,
        typer.Option(
            "--password-file",
            metavar="FILE",
            help=f"Read the password from here, or from standard input (-); default: {PASSWORD}.",
            rich_help_panel=options.ACCESS,
        ),
    ] = None,
    kind: Annotated[
        UploadKind | None, typer.Option("--kind", help="What the file is, where its name does not say so.")
    ] = None,
    signature: Annotated[
        Path | None, typer.Option("--signature", metavar="FILE", help="The detached signature of the file.")
    ] = None,
    wait: Annotated[
        int, typer.Option("--wait", min=0, metavar="SECONDS", help="Wait so long for the host to sync its content.")
    ] = 0,
    public_key: signing.PublicKeyFile = None,
    ca_cert: CaCert = None,
    insecure: Insecure = False,
    as_json: options.Json = False,
    verbose: options.Verbose = False,
    quiet: options.Quiet = False,
) -> None:
    """Upload a file to an edge host, and compare the sha256 that the host tells of it.

    Through the documented API of its Local UI. What Palette's own command line uses besides, to send chunks that can
    be continued, is not documented and is left alone on purpose: an upload that is cut has to be made again.

    Example: edgelift upload demo.tgz 10.0.0.7 --user admin --password-file password.txt --ca-cert site-ca.pem
    """
    set_verbosity(verbose=verbose, quiet=quiet)
    chosen = kind or kind_of(file)
    settings = transport_settings(read_access(ca_cert=ca_cert, insecure=insecure, parallel=1))
    address = Address.parse(host)
    key, detached = find_public_key(public_key), read_document(signature) if signature is not None else None
    with closing(open_source(file)) as source:
        if key is not None:
            _check_signed(source, detached, key)
        password = _password(password_file)
        if chosen == "content" and not quiet:
            tell(_WARNING)
        with EdgeHost(address, settings) as edge_host:
            edge_host.log_in(user, password)
            sent = upload_file(edge_host, source, chosen, detached, _tell_progress(source.size, quiet=quiet))
            _check(edge_host, file, sent, as_json=as_json)
            if wait:
                wait_for_sync(edge_host, wait)
                tell(f"{edge_host.name} has nothing left to sync")


def _check(edge_host: EdgeHost, file: str, sent: Upload, *, as_json: bool) -> None:
    """Say whether the host has got what was sent; raises `IntegrityError` or `IncompleteError` unless it has."""
    document = {"file": file, "host": edge_host.name, **sent.document()}
    try:
        check_upload(edge_host, sent)
    except (IncompleteError, IntegrityError) as error:
        if as_json:
            say_json({**document, "verdict": "differs" if isinstance(error, IntegrityError) else "not-checkable"})
        raise
    if as_json:
        say_json({**document, "verdict": "ok"})
    else:
        say(f"{file}: ok at {edge_host.name}, {format_size(sent.size)}, {sent.digest}")


def _password(path: Path | None) -> SecretStr:
    """The password, from where it is kept; raises `ConfigurationError` where there is none."""
    if path == _STDIN:
        text = sys.stdin.buffer.readline().decode(errors="replace")
    elif path is not None:
        text = read_document(path).decode(errors="replace")
    else:
        text = os.environb.get(PASSWORD.encode(), b"").decode(errors="replace")
    if not text.rstrip("\r\n"):
        raise ConfigurationError(
            "there is no password for the edge host",
            hint=f"set {PASSWORD}, or name a file with --password-file (- reads standard input)",
        )
    return SecretStr(text.rstrip("\r\n"))


def _check_signed(source: "ByteSource", signature: bytes | None, key: "PublicKey") -> None:
    """Raises `SignatureError` unless `key` accepts the file's signature: the one given, else the one beside it."""
    found = signature or source.read_beside(SIGNATURE_SUFFIX, SIGNATURE_SIZES.stop)
    if found is None:
        raise SignatureError(
            f"{source.name} is not signed, and {key.name} demands it", hint="name its signature with --signature"
        )
    key.check(found, digest_of(source), source.name)


def _tell_progress(size: int, *, quiet: bool) -> Callable[[int], None]:
    pace = Pace()

    def on_progress(count: int) -> None:
        done = pace.add(count)
        if done and not quiet:
            tell(f"uploaded {format_size(done)} of {format_size(size)}")

    return on_progress
