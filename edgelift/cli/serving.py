"""Serving a bundle, a store or a directory as a registry."""

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from edgelift.bundle.part_files import find_index
from edgelift.bundle.reader import BundleReader
from edgelift.bundle.signed import check_lock
from edgelift.bundle.source import is_object
from edgelift.cli import options, signing
from edgelift.cli.console import set_verbosity
from edgelift.errors import ConfigurationError, SignatureError
from edgelift.keys import find_public_key

if TYPE_CHECKING:
    from edgelift.serve.content import RegistryContent


def serve(
    content: Annotated[
        str | None,
        typer.Argument(
            metavar="BUNDLE|STORE",
            help="A bundle (NAME.tar.zst, index of its parts, s3://bucket/key), or a store, to serve read-only.",
        ),
    ] = None,
    writable: Annotated[
        Path | None, typer.Option(metavar="DIR", help="Serve this directory as a registry that takes pushes.")
    ] = None,
    host: Annotated[str, typer.Option(metavar="H", help="Address to listen on.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(metavar="N", help="Port to listen on; 0 takes a free one.")] = 5000,
    tls_cert: Annotated[
        Path | None, typer.Option(metavar="PEM", help="Serve over TLS with this certificate and its chain.")
    ] = None,
    tls_key: Annotated[Path | None, typer.Option(metavar="PEM", help="The private key of --tls-cert.")] = None,
    login: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Let only those in who have this login: USER:PASSWORD.")
    ] = None,
    public_key: signing.PublicKeyFile = None,
    verbose: options.Verbose = False,
) -> None:
    """Serve a bundle, a store or a directory as an OCI registry, until interrupted.

    Example: edgelift serve site.tar.zst --port 5000, then: skopeo inspect docker://127.0.0.1:5000/quay.io/…

    For others than this machine: --host 0.0.0.0 --tls-cert site.crt --tls-key site.key --login readers.txt
    """
    from edgelift.serve.access import read_login  # noqa: PLC0415
    from edgelift.serve.registry import create_registry  # noqa: PLC0415
    from edgelift.serve.sending import READERS, READERS_FROM_AFAR  # noqa: PLC0415
    from edgelift.serve.server import serve_forever  # noqa: PLC0415 - loaded when it is needed

    set_verbosity(verbose=verbose, quiet=False, informative=True)
    if (content is None) == (writable is None):
        raise ConfigurationError("name either a bundle or store to serve, or --writable DIR")
    if writable is not None and public_key is not None:
        raise ConfigurationError("--public-key is for a bundle: what --writable takes is not signed")
    if (tls_cert is None) != (tls_key is None):
        raise ConfigurationError("TLS needs both, --tls-cert and --tls-key")
    admitted = read_login(login) if login is not None else None
    with (
        _served(content, writable, public_key) as served,
        suppress(KeyboardInterrupt),  # that is how it is meant to end
    ):
        readers = READERS_FROM_AFAR if content is not None and is_object(content) else READERS
        registry = create_registry(served, login=admitted, readers=readers)
        serve_forever(registry, host, port, certfile=tls_cert, keyfile=tls_key)


@contextmanager
def _served(content: str | None, writable: Path | None, public_key: Path | None) -> Iterator["RegistryContent"]:
    from edgelift.serve.pinned import BundleContent, StoreContent  # noqa: PLC0415 - loads what serves

    if writable is not None:
        from edgelift.serve.directory import DirectoryContent  # noqa: PLC0415

        yield DirectoryContent(writable)
        return
    key = find_public_key(public_key)
    if content is not None and not is_object(content) and Path(content).is_dir() and not find_index(Path(content)):
        if key is not None:
            raise SignatureError(f"{content} is a store, which nobody signs", hint="serve a bundle that is signed")
        from edgelift.store.local import LocalStore  # noqa: PLC0415 - which no bundle needs

        yield StoreContent(LocalStore(Path(content)))
    elif content is not None:
        with BundleReader.open(content) as reader:
            check_lock(reader, key)
            yield BundleContent(reader, is_signed=key is not None)
