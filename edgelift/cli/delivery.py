"""Validating what a registry serves: needs no flow."""

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from edgelift.access import open_registries
from edgelift.bundle.lock import BundleLock
from edgelift.bundle.selection import select_entries
from edgelift.bundle.signed import check_lock, read_signed
from edgelift.bundle.stream import open_for_lock
from edgelift.cli import options, selection, signing
from edgelift.cli.access import takes_access
from edgelift.cli.console import say_json, set_verbosity, tell
from edgelift.cli.receipt import show_receipt
from edgelift.delivery.attached import prove_cluster_definition
from edgelift.delivery.receipt import DefinitionProof, Proof
from edgelift.delivery.target import Target
from edgelift.delivery.validate import validate_lock
from edgelift.documents import write_document
from edgelift.errors import ConfigurationError
from edgelift.keys import find_public_key
from edgelift.progress import Pace
from edgelift.site import DEFAULT_ACCESS, RegistryAccess

if TYPE_CHECKING:
    from edgelift.bundle.signature import PublicKey


@takes_access
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
    annotation_selector: selection.Selector = None,
    deep: Annotated[bool, typer.Option("--deep", help="Read every blob back and hash it.")] = False,
    public_key: signing.PublicKeyFile = None,
    receipt: Annotated[
        Path | None, typer.Option(metavar="OUT.json", help="Write the receipt here.", rich_help_panel=options.OUTPUT)
    ] = None,
    access: RegistryAccess = DEFAULT_ACCESS,
    as_json: options.Json = False,
    verbose: options.Verbose = False,
    quiet: options.Quiet = False,
) -> None:
    """Compare what a registry really serves with a bundle or its lock. Changes nothing.

    Example: edgelift validate --file site.tar.zst --registry mirror.example:5000/spectro --deep
    """
    set_verbosity(verbose=verbose, quiet=quiet)
    target = Target.parse(registry, tuple(maps), docker_hub_aliases=hub_aliases)
    expected, definition = _read_lock(file, lock, find_public_key(public_key))
    chosen = select_entries(expected, annotation_selector)
    with open_registries(access) as registries:
        client = registries.registry(target.registry)
        client.log_in()
        on_proof = _tell_progress(len(chosen.images), quiet)
        proved = validate_lock(expected, target, client, deep=deep, selector=annotation_selector, on_proof=on_proof)
    proved = proved.model_copy(update={"cluster_definition": definition})
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


def _read_lock(
    file: str | None, lock: Path | None, key: "PublicKey | None"
) -> tuple[BundleLock, DefinitionProof | None]:
    """The lock, and of a bundle whether the cluster definition is in it; a lock alone says nothing of that."""
    if lock is not None and file is None:
        return BundleLock.from_json(read_signed(lock, key), str(lock)), None
    if file is not None and lock is None:
        with open_for_lock(file) as opened:
            check_lock(opened, key)
            definition = opened.lock.cluster_definition
            proof = prove_cluster_definition(definition, opened) if definition is not None else None
            return opened.lock, proof
    raise ConfigurationError("name either --file BUNDLE or --lock L.json")
