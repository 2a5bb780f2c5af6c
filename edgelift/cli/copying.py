"""The command that copies from registry to registry, without a bundle: a lock's content, one image, a kept bundle."""

from collections.abc import Iterator
from pathlib import Path
from typing import Annotated

import typer

from edgelift.access import Connections, open_registries
from edgelift.archive.place import names_beside
from edgelift.bundle.cluster_definition import LockedClusterDefinition
from edgelift.bundle.lock import BundleLock
from edgelift.bundle.parts import whole_name
from edgelift.bundle.reader import BundleReader
from edgelift.bundle.selection import select_entries
from edgelift.bundle.signed import check_lock, read_bundle_signature, read_signed
from edgelift.cli import options, selection, signing
from edgelift.cli.access import takes_access
from edgelift.cli.console import say_json, say_table, set_verbosity, tell
from edgelift.cli.places import OCI, parse_kept
from edgelift.cli.receipt import show_receipt
from edgelift.cli.stores import open_named
from edgelift.definition_file import read_definition
from edgelift.delivery.copying import copy_entries, copy_reference
from edgelift.delivery.preflight import check_delivery
from edgelift.delivery.receipt import Proof
from edgelift.delivery.target import Target
from edgelift.delivery.validate import validate_lock
from edgelift.documents import write_document
from edgelift.errors import ConfigurationError, IncompleteError, PlanError
from edgelift.keys import find_public_key
from edgelift.oci.content import ContentStore
from edgelift.oci.reference import ImageReference, names_registry
from edgelift.oci.registry import Registry
from edgelift.oci.transfer import Transfer
from edgelift.plan import plan_bundle
from edgelift.site import DEFAULT_ACCESS, OnConflict, RegistryAccess
from edgelift.sizes import count, format_size

_FILES = (".json", ".yaml", ".yml", ".tar.zst")  # what ends so is a file, unless it begins with oci://


@takes_access
def copy(
    source: Annotated[
        str,
        typer.Argument(
            metavar="SOURCE",
            help="A lock or definition (a file), an image, or a kept bundle: oci://HOST/REPOSITORY:TAG.",
        ),
    ],
    target: Annotated[
        str,
        typer.Argument(
            metavar="TARGET",
            help=r"Of a file the registry, HOST[:PORT]\[/BASE]; else HOST[:PORT]/REPOSITORY[:TAG].",  # no closing tag
        ),
    ],
    maps: options.Maps = [],  # noqa: B006 - typer copies it
    hub_aliases: options.HubAliases = False,
    on_conflict: options.Conflict = "fail",
    annotation_selector: selection.Selector = None,
    receipt: Annotated[
        Path | None,
        typer.Option(metavar="OUT.json", help="Write the receipt of a file here.", rich_help_panel=options.OUTPUT),
    ] = None,
    store: options.Store = None,
    access: RegistryAccess = DEFAULT_ACCESS,
    public_key: signing.PublicKeyFile = None,
    as_json: options.Json = False,
    verbose: options.Verbose = False,
    quiet: options.Quiet = False,
) -> None:
    """Copy from registry to registry, then prove what arrived. No bundle is made, and no blob touches the disk.

    Example: edgelift copy site-7.lock.json mirror.example:5000/spectro-images

    Example: edgelift copy quay.io/team/app:2 mirror.example:5000/team/app
    """
    set_verbosity(verbose=verbose, quiet=quiet)
    content = open_named(store)
    if source.endswith(_FILES) and not source.startswith(OCI):
        place = Target.parse(target, tuple(maps), docker_hub_aliases=hub_aliases)
        with open_registries(access) as connections:
            lock = _lock_of(Path(source), public_key, connections, content)
            _copy_lock(
                lock,
                place,
                connections,
                content,
                on_conflict,
                annotation_selector,
                receipt,
                as_json=as_json,
                quiet=quiet,
            )
        return
    if maps or hub_aliases or annotation_selector or receipt:
        raise ConfigurationError(f"{source[:200]} is one image: leave out the options that are for a lock")
    with open_registries(access) as connections:
        pairs = list(_pairs(source, target, connections, public_key))
        outcomes = [copy_reference(one, other, connections, content, on_conflict=on_conflict) for one, other in pairs]
    _show_proofs(outcomes, as_json=as_json)


def _lock_of(path: Path, public_key: Path | None, connections: Connections, store: ContentStore) -> BundleLock:
    """The lock at `path`, or that of the definition there, as its tags stand now."""
    if path.name.endswith(".tar.zst"):
        raise ConfigurationError(f"{path} is a bundle", hint=f"push it: edgelift push --file {path} --registry …")
    key = find_public_key(public_key)
    if path.suffix == ".json":
        return BundleLock.from_json(read_signed(path, key), str(path))
    if key is not None:
        raise ConfigurationError("a public key is configured, and a definition is not signed", hint="copy a lock")
    plan = plan_bundle(read_definition(path), connections.registries, store)
    for warning in plan.warnings:
        tell(f"warning: {warning}")
    plan.raise_for_errors()
    return plan.lock


def _copy_lock(
    lock: BundleLock,
    target: Target,
    connections: Connections,
    store: ContentStore,
    on_conflict: OnConflict,
    selector: str | None,
    receipt: Path | None,
    *,
    as_json: bool,
    quiet: bool,
) -> None:
    chosen = select_entries(lock, selector).model_copy(update={"base": None})  # nothing is left out here
    registry = connections.registry(target.registry)
    preflight = check_delivery(chosen, target, registry, on_conflict)
    for warning in preflight.warnings:
        tell(f"warning: {warning}")
    if lock.cluster_definition is not None:
        tell(f"warning: {_left_behind(lock.cluster_definition)}")
    if preflight.errors:
        raise PlanError(f"{target.registry} cannot take this as it stands; nothing was moved", preflight.errors)
    transfer = copy_entries(chosen, target, registry, connections, store, on_conflict=on_conflict)
    proved = validate_lock(lock, target, registry, selector=selector)
    if receipt is not None:
        write_document(receipt, proved.to_json())
    if as_json:
        say_json(proved.document() | {"transfer": transfer.model_dump()})
    elif not quiet:
        show_receipt(proved)
        tell(_describe(transfer))
    proved.raise_unless_whole()


def _left_behind(definition: LockedClusterDefinition) -> str:
    return (
        f"the cluster definition {definition.name} is in no registry, so that it is not copied: it is in the bundle, "
        "and goes where that is copied to (copy oci://…)"
    )


def _pairs(
    source: str, target: str, connections: Connections, public_key: Path | None
) -> Iterator[tuple[ImageReference, ImageReference]]:
    """What is to be copied, and where to: one image, or a kept bundle with what is kept beside it, itself the last."""
    reference = parse_kept(source) if source.startswith(OCI) else ImageReference.parse(source)
    destination = _destination(target, reference)
    if source.startswith(OCI):
        name = reference.selector
        if whole_name(name) is not None:
            raise ConfigurationError(f"{source} is a bundle in parts, of which each tag has to be copied by itself")
        registry = connections.registry(reference.registry)
        _check_kept(registry, reference, public_key)
        for beside in names_beside(name):
            if registry.describe(reference.repository, beside) is not None:
                yield _tagged(reference, beside), _tagged(destination, beside)
    yield reference, destination


def _check_kept(registry: Registry, reference: ImageReference, public_key: Path | None) -> None:
    """Raise `SignatureError` where a public key is configured and the kept bundle, or its lock, is not signed."""
    key = find_public_key(public_key)
    if key is None:
        return
    from edgelift.archive.artifact import ArtifactArchive  # noqa: PLC0415 - loads oras

    archive = ArtifactArchive(registry, reference.repository)
    digest = archive.digest_of(reference.selector)  # its bytes are compared with it while they are copied
    with BundleReader.of(archive.open(reference.selector)) as bundle:
        check_lock(bundle, key)
        key.check(read_bundle_signature(bundle), digest, bundle.name)


def _destination(text: str, reference: ImageReference) -> ImageReference:
    """What `text` names, with the tag of `reference` where it has none; raises `ConfigurationError`."""
    plain = text.removeprefix(OCI)
    host, _, path = plain.partition("/")
    destination = ImageReference.parse(plain) if path and names_registry(host) else None
    if destination is None or destination.digest is not None:
        raise ConfigurationError(
            f"{text[:200]!r} is no place for an image", hint="write it as HOST[:PORT]/REPOSITORY or with :TAG"
        )
    if plain.endswith(f":{destination.tag}"):
        return destination
    if reference.tag is None:
        raise ConfigurationError(f"{reference} has no tag", hint=f"say what it is to be there: {plain}:TAG")
    return _tagged(destination, reference.tag)


def _tagged(reference: ImageReference, tag: str) -> ImageReference:
    return ImageReference(reference.registry, reference.repository, tag)


def _show_proofs(outcomes: list[tuple[Proof, Transfer]], *, as_json: bool) -> None:
    proofs = [proof for proof, _ in outcomes]
    transfer = sum((each for _, each in outcomes), Transfer())
    if as_json:
        copied = [proof.model_dump(mode="json", exclude_none=True) for proof in proofs]
        say_json({"copied": copied, "transfer": transfer.model_dump()})
    else:
        say_table(("VERDICT", "TARGET", "DIGEST"), [(each.verdict, each.target, each.expected) for each in proofs])
        tell(_describe(transfer))
    failures = [f"{each.target}: {each.verdict}, {each.reason}" for each in proofs if each.verdict != "ok"]
    if failures:
        raise IncompleteError("what was copied is not proved", failures, hint="run it again")


def _describe(transfer: Transfer) -> str:
    blobs = f"{count(transfer.moved, 'blob')}, {transfer.mounted} mounted, {transfer.present} there already"
    return f"{format_size(transfer.moved_bytes)} moved in {blobs}"
