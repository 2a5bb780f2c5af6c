"""Commands about one bundle: what is in it, and whether every byte of it is right."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from edgelift.bundle.file_digest import FileDigest
from edgelift.bundle.part_files import bad_parts_named, parts_of
from edgelift.bundle.reader import BundleReader
from edgelift.bundle.signed import check_lock, read_bundle_signature, write_signed
from edgelift.bundle.stream import BundleStream, open_for_lock
from edgelift.bundle.summary import summarise
from edgelift.bundle.verify import verify_bundle, verify_open, verify_structure
from edgelift.cli import options, signing
from edgelift.cli.console import say, say_json, tell
from edgelift.cli.lock import show_base, show_cluster_definition, show_lock
from edgelift.errors import BundleError, PartsError, UnseekableError
from edgelift.keys import find_public_key
from edgelift.sizes import count, format_size

if TYPE_CHECKING:
    from edgelift.bundle.signature import PublicKey


def inspect(
    bundle: options.Bundle,
    definition: Annotated[
        bool, typer.Option("--definition", help="Print its definition, as --metadata-file takes it, and nothing else.")
    ] = False,
    cluster_definition: Annotated[
        Path | None,
        typer.Option("--cluster-definition", metavar="FILE", help="Write the cluster definition that it holds here."),
    ] = None,
    public_key: signing.PublicKeyFile = None,
    as_json: options.Json = False,
) -> None:
    """Show what a bundle holds, without unpacking it.

    Example: edgelift inspect site-7.tar.zst --cluster-definition site-7.tgz --public-key site.pub
    """
    key = find_public_key(public_key)
    with open_for_lock(bundle) as opened:
        check_lock(opened, key)
        if cluster_definition is not None:
            _write_cluster_definition(opened, cluster_definition)
        is_seekable = isinstance(opened, BundleReader)
        signature = _signature(is_there=opened.lock_signature is not None, is_checked=key is not None)
        told = {"file_size": opened.size, "seekable": is_seekable, "signature": signature}
        document = {"file": bundle, **told, **summarise(opened.lock)}
        asked = opened.lock.definition
    if not is_seekable:
        tell(f"warning: {bundle} has no seek table, so it cannot be pushed or served: see edgelift reassemble --help")
    if definition:
        say(asked.to_yaml().rstrip())
        return
    if as_json:
        say_json(document)
        return
    show_lock(document)
    for profile in document["profiles"]:
        say(f"profile {profile['name']} {profile['version']} ({profile['type']}, {count(profile['packs'], 'pack')})")
    say(f"signature of the lock: {signature}")


def _write_cluster_definition(bundle: BundleReader | BundleStream, path: Path) -> None:
    """Write the one in `bundle` to `path`, once all of it has been seen to be what the lock says."""
    definition = bundle.lock.cluster_definition
    if definition is None:
        raise BundleError(f"{bundle.name} holds no cluster definition", hint="it was built without one")
    write_signed(path, definition.read_from(bundle), None)
    tell(f"cluster definition: {path}")


def verify(
    bundle: options.Bundle,
    quick: Annotated[
        bool, typer.Option("--quick", help="Look at lock, headers, seek table and the lock's signature; at no content.")
    ] = False,
    public_key: signing.PublicKeyFile = None,
    as_json: options.Json = False,
) -> None:
    """Read a whole bundle and check every byte of it: container, lock, manifests, blobs; with a key its signatures.

    Of a bundle in parts, all that are missing or damaged are named.
    """
    key = find_public_key(public_key)
    try:
        if quick:
            _verify_structure(bundle, key, as_json=as_json)
            return
        with bad_parts_named(bundle):
            _verify_all(bundle, key, as_json=as_json)
    except PartsError as error:
        if as_json:
            say_json({"file": bundle, "verdict": "parts are not right", "parts": error.parts})
        raise


def _verify_all(bundle: str, key: "PublicKey | None", *, as_json: bool) -> None:
    try:
        with BundleReader.open(bundle) as reader, FileDigest() as digest:
            check_lock(reader, key)
            detached = read_bundle_signature(reader) if key is not None else b""
            outcome = verify_open(reader, digest=digest)
            if key is not None:
                key.check(detached, digest.value(), bundle)
            signature = _signature(is_there=reader.lock_signature is not None, is_checked=key is not None)
            summary = summarise(reader.lock)
    except UnseekableError:
        verify_bundle(bundle)  # raises what is to be said of it once all of it has been read
        raise
    told = {"digest": digest.value(), "size": outcome.file_size, "signature": signature, "base": summary["base"]}
    told |= {"cluster_definition": summary["cluster_definition"]} if summary["cluster_definition"] else {}
    parts = parts_of(reader.tar.source)
    told |= {"parts": len(parts)} if parts else {}
    if as_json:
        say_json({"file": bundle, "verdict": "ok", **told})
        return
    say(f"{bundle}: ok, {count(outcome.members, 'member')}, {format_size(outcome.file_size)}, {digest.value()}")
    show_base(summary["base"], summary["totals"]["carried_bytes"])
    show_cluster_definition(summary["cluster_definition"])
    say(f"signature: {signature}")


def _verify_structure(bundle: str, key: "PublicKey | None", *, as_json: bool) -> None:
    with BundleReader.open(bundle) as reader:
        check_lock(reader, key)
        outcome = verify_structure(reader)
        signature = _signature(is_there=reader.lock_signature is not None, is_checked=key is not None)
    if as_json:
        say_json({"file": bundle, "verdict": "structure ok", "size": outcome.file_size, "signature": signature})
        return
    members = count(outcome.members, "member")
    say(f"{bundle}: structure ok, {members}, {format_size(outcome.file_size)}; content not looked at")
    say(f"signature of the lock: {signature}")


def _signature(*, is_there: bool, is_checked: bool) -> str:
    if is_checked:
        return "ok"
    return "not checked" if is_there else "none"
