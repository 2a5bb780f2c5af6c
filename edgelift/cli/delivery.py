"""Commands about delivery that need no flow: validate a registry, serve content as one."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from edgelift.access import open_registries
from edgelift.bundle.lock import BundleLock
from edgelift.bundle.part_files import find_index
from edgelift.bundle.reader import BundleReader
from edgelift.bundle.signed import check_lock, read_signed
from edgelift.bundle.source import is_object
from edgelift.bundle.stream import open_for_lock
from edgelift.cli import options, signing
from edgelift.cli.console import say_json, set_verbosity, tell
from edgelift.cli.receipt import show_receipt
from edgelift.delivery.receipt import Proof
from edgelift.delivery.target import Target
from edgelift.delivery.validate import validate_lock
from edgelift.documents import write_document
from edgelift.errors import ConfigurationError, SignatureError
from edgelift.keys import find_public_key
from edgelift.progress import Pace
from edgelift.store.local import LocalStore

if TYPE_CHECKING:
    from edgelift.bundle.signature import PublicKey
    from edgelift.serve.content import RegistryContent


def validate(
    registry: options.RegistryOption,
    file: Annotated[
        str | None,
        typer.Option(
            "--file",
            "-f",
            metavar="BUNDLE",
            help="Bundle that should be there: a path (of an index, too) or s3://bucket/key.",
        ),
    ] = None,
    lock: Annotated[Path | None, typer.Option(metavar="L.json", help="Lock that should be there.")] = None,
    maps: options.Maps = [],  # noqa: B006 - typer copies it
    hub_aliases: options.HubAliases = False,
    deep: Annotated[bool, typer.Option("--deep", help="Read every blob back and hash it.")] = False,
    public_key: signing.PublicKeyFile = None,
    receipt: Annotated[
        Path | None, typer.Option(metavar="OUT.json", help="Write the receipt here.", rich_help_panel=options.OUTPUT)
    ] = None,
    cred_file: options.CredFile = None,
    ca_cert: options.CaCert = None,
    insecure: options.Insecure = False,
    insecure_registry: options.InsecureRegistries = [],  # noqa: B006
    cert_dir: options.CertDir = None,
    plain_http: options.PlainHttp = [],  # noqa: B006
    trusted_realm: options.TrustedRealms = [],  # noqa: B006
    aws: options.Aws = False,
    parallel: options.Parallel = 8,
    as_json: options.Json = False,
    verbose: options.Verbose = False,
    quiet: options.Quiet = False,
) -> None:
    """Compare what a registry really serves with a bundle or its lock. Changes nothing.

    Example: edgelift validate --file site.tar.zst --registry mirror.example:5000/spectro --deep
    """
    set_verbosity(verbose=verbose, quiet=quiet)
    target = Target.parse(registry, tuple(maps), docker_hub_aliases=hub_aliases)
    access = options.access_of(
        cred_file=cred_file,
        ca_cert=ca_cert,
        insecure=insecure,
        plain_http=plain_http,
        trusted_realms=trusted_realm,
        insecure_registries=insecure_registry,
        cert_dir=cert_dir,
        aws=aws,
        parallel=parallel,
    )
    expected = _read_lock(file, lock, find_public_key(public_key))
    with open_registries(access) as registries:
        client = registries.registry(target.registry)
        client.log_in()
        on_proof = _tell_progress(len(expected.images), quiet)
        proved = validate_lock(expected, target, client, deep=deep, on_proof=on_proof)
    if receipt is not None:
        write_document(receipt, proved.to_json())
    if as_json:
        say_json(proved.document())
    elif not quiet:
        show_receipt(proved)
    proved.raise_unless_whole()


def _tell_progress(images: int, quiet: bool) -> Callable[[Proof], None]:
    pace = Pace()

    def on_proof(_: Proof) -> None:
        done = pace.add(1)
        if done and not quiet:
            tell(f"validated {done} of {images} images")

    return on_proof


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
        serve_forever(create_registry(served, login=admitted), host, port, certfile=tls_cert, keyfile=tls_key)


@contextmanager
def _served(content: str | None, writable: Path | None, public_key: Path | None) -> Iterator["RegistryContent"]:
    from edgelift.serve.directory import DirectoryContent  # noqa: PLC0415 - loads a web server
    from edgelift.serve.pinned import BundleContent, StoreContent  # noqa: PLC0415

    if writable is not None:
        yield DirectoryContent(writable)
        return
    key = find_public_key(public_key)
    if content is not None and not is_object(content) and Path(content).is_dir() and not find_index(Path(content)):
        if key is not None:
            raise SignatureError(f"{content} is a store, which nobody signs", hint="serve a bundle that is signed")
        yield StoreContent(LocalStore(Path(content)))
    elif content is not None:
        with BundleReader.open(content) as reader:
            check_lock(reader, key)
            yield BundleContent(reader, is_signed=key is not None)


def _read_lock(file: str | None, lock: Path | None, key: "PublicKey | None") -> BundleLock:
    if lock is not None and file is None:
        return BundleLock.from_json(read_signed(lock, key), str(lock))
    if file is not None and lock is None:
        with open_for_lock(file) as opened:
            check_lock(opened, key)
            return opened.lock
    raise ConfigurationError("name either --file BUNDLE or --lock L.json")
