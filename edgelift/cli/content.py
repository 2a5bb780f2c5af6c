"""Commands about content: what profiles declare, what it resolves to, what is in a bundle."""

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from edgelift.access import find_public_key
from edgelift.bundle.definition import COMPRESSION_LEVEL
from edgelift.bundle.file_digest import FileDigest
from edgelift.bundle.reader import BundleReader
from edgelift.bundle.signed import check_lock, read_bundle_signature
from edgelift.bundle.stream import BundleStream, open_for_lock, reassemble_bundle
from edgelift.bundle.summary import summarise
from edgelift.bundle.verify import verify_bundle, verify_open, verify_structure
from edgelift.cli import options, signing
from edgelift.cli.console import say, say_json, say_table, set_verbosity, tell
from edgelift.cli.planning import plan_delivery
from edgelift.define import read_exported
from edgelift.errors import ProfileError, UnseekableError
from edgelift.palette.resolve import resolve_profiles
from edgelift.sizes import format_size

if TYPE_CHECKING:
    from edgelift.bundle.signature import PublicKey


def images(
    files: Annotated[list[Path], typer.Argument(metavar="FILE...", help="Exported profiles, JSON or YAML.")],
    settings: options.Settings = [],  # noqa: B006 - typer copies it
    as_json: options.Json = False,
) -> None:
    """List the images and charts that exported profiles declare, and where they say so. Needs no network.

    Example: edgelift images infra.json addon.yaml --json
    """
    resolution = resolve_profiles(read_exported([str(path) for path in files]), options.settings_of(settings))
    document = resolution.model_dump(mode="json", include={"images", "charts", "problems"})
    if as_json:
        say_json(document)
    else:
        _print_resolution(document)
    errors = [str(problem) for problem in resolution.problems if problem.severity == "error"]
    if errors:
        count = f"{len(errors)} problems have" if len(errors) > 1 else "a problem has"
        raise ProfileError(f"{count} to be mended before a bundle can be built")


def plan(
    profile_files: options.ProfileFiles = [],  # noqa: B006 - typer copies it
    profiles: options.Profiles = "",
    project_id: options.ProjectId = None,
    image: options.Images = [],  # noqa: B006
    arch: options.Arch = None,
    allow_external_layers: options.AllowExternalLayers = False,
    compression_level: options.CompressionLevel = COMPRESSION_LEVEL,
    settings: options.Settings = [],  # noqa: B006
    name: Annotated[str, typer.Option(help="Name of the bundle.", rich_help_panel=options.SOURCE)] = "bundle",
    registry: options.OptionalRegistry = None,
    maps: options.Maps = [],  # noqa: B006
    hub_aliases: options.HubAliases = False,
    on_conflict: options.Conflict = "fail",
    output: Annotated[
        Path | None, typer.Option(metavar="L.json", help="Write the lock here.", rich_help_panel=options.OUTPUT)
    ] = None,
    mirror: options.MirrorRules = [],  # noqa: B006
    rewrite: options.Rewrites = [],  # noqa: B006
    store: options.Store = None,
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
    """Resolve and pin everything, find every problem, move no blob.

    Example: edgelift plan --profile-file infra.json --registry mirror.example:5000/spectro --output site.lock.json
    """
    set_verbosity(verbose=verbose, quiet=quiet)
    outcome = plan_delivery(
        name,
        options.source_of(
            profile_files=profile_files,
            profiles=profiles,
            project=project_id,
            images=image,
            arch=arch,
            allow_external_layers=allow_external_layers,
            compression_level=compression_level,
            settings=settings,
        ),
        options.access_of(
            cred_file=cred_file,
            ca_cert=ca_cert,
            insecure=insecure,
            plain_http=plain_http,
            trusted_realms=trusted_realm,
            insecure_registries=insecure_registry,
            cert_dir=cert_dir,
            mirrors=mirror,
            rewrites=rewrite,
            aws=aws,
            parallel=parallel,
        ),
        options.target_settings(registry, maps=maps, aliases=hub_aliases, conflict=on_conflict) if registry else None,
        store,
        output,
    )
    if not quiet:
        for warning in outcome.warnings:
            tell(f"warning: {warning}")
        for budget in outcome.budgets:
            tell(budget)
    if as_json:
        say_json(outcome.document())
    else:
        _print_lock(outcome.document())
    outcome.raise_for_errors()
    if output is not None and not quiet:
        tell(f"lock: {output}")


def inspect(bundle: options.Bundle, public_key: signing.PublicKeyFile = None, as_json: options.Json = False) -> None:
    """Show what a bundle holds, without unpacking it."""
    key = find_public_key(public_key)
    with open_for_lock(bundle) as opened:
        check_lock(opened, key)
        is_seekable = isinstance(opened, BundleReader)
        signature = _signature(is_there=opened.lock_signature is not None, is_checked=key is not None)
        told = {"file_size": opened.size, "seekable": is_seekable, "signature": signature}
        document = {"file": bundle, **told, **summarise(opened.lock)}
    if not is_seekable:
        tell(f"warning: {bundle} has no seek table, so it cannot be pushed or served: see edgelift reassemble --help")
    if as_json:
        say_json(document)
        return
    _print_lock(document)
    for profile in document["profiles"]:
        say(f"profile {profile['name']} {profile['version']} ({profile['type']}, {profile['packs']} packs)")
    say(f"signature of the lock: {signature}")


def verify(
    bundle: options.Bundle,
    quick: Annotated[
        bool, typer.Option("--quick", help="Look at lock, headers, seek table and the lock's signature; at no content.")
    ] = False,
    public_key: signing.PublicKeyFile = None,
    as_json: options.Json = False,
) -> None:
    """Read a whole bundle and check every byte of it: container, lock, manifests, blobs; with a key its signatures."""
    key = find_public_key(public_key)
    if quick:
        _verify_structure(bundle, key, as_json=as_json)
        return
    try:
        with BundleReader.open(bundle) as reader, FileDigest() as digest:
            check_lock(reader, key)
            detached = read_bundle_signature(reader) if key is not None else b""
            outcome = verify_open(reader, digest=digest)
            if key is not None:
                key.check(detached, digest.value(), bundle)
            signature = _signature(is_there=reader.lock_signature is not None, is_checked=key is not None)
    except UnseekableError:
        verify_bundle(bundle)  # raises what is to be said of it once all of it has been read
        raise
    told = {"digest": digest.value(), "size": outcome.file_size, "signature": signature}
    if as_json:
        say_json({"file": bundle, "verdict": "ok", **told})
        return
    say(f"{bundle}: ok, {outcome.members} members, {format_size(outcome.file_size)}, {digest.value()}")
    say(f"signature: {signature}")


def _verify_structure(bundle: str, key: "PublicKey | None", *, as_json: bool) -> None:
    with BundleReader.open(bundle) as reader:
        check_lock(reader, key)
        outcome = verify_structure(reader)
        signature = _signature(is_there=reader.lock_signature is not None, is_checked=key is not None)
    if as_json:
        say_json({"file": bundle, "verdict": "structure ok", "size": outcome.file_size, "signature": signature})
        return
    say(f"{bundle}: structure ok, {outcome.members} members, {format_size(outcome.file_size)}; content not looked at")
    say(f"signature of the lock: {signature}")


def _signature(*, is_there: bool, is_checked: bool) -> str:
    if is_checked:
        return "ok"
    return "not checked" if is_there else "none"


def reassemble(
    bundle: options.Bundle,
    output: Annotated[Path, typer.Option("--output", "-o", metavar="NEW.tar.zst", help="Write the bundle here.")],
) -> None:
    """Make a bundle that another tool has compressed again what it was: with a seek table, and its own digest.

    Example: edgelift reassemble recompressed.tar.zst --output site-7.tar.zst
    """
    with open_for_lock(bundle) as opened:
        # The same open file, whatever has its name by now: what is checked is what is written.
        stream = opened if isinstance(opened, BundleStream) else BundleStream(opened.tar.source)
        check_lock(stream, find_public_key(None))
        summary = reassemble_bundle(stream, output)
    say(f"{summary.path}: {summary.images} images, {format_size(summary.size)}")


def _print_resolution(document: dict[str, Any]) -> None:
    say_table(("IMAGE", "ASKED FOR BY"), _with_origins(document["images"], "reference"))
    if document["charts"]:
        say("")
        charts = [chart | {"chart": f"{chart['name']} {chart['version']}"} for chart in document["charts"]]
        say_table(("CHART", "ASKED FOR BY"), _with_origins(charts, "chart"))
    for problem in document["problems"]:
        origin = problem.get("origin") or {}
        place = " > ".join(part for part in origin.values() if part)
        tell(f"{problem['severity']}: {place}{': ' if place else ''}{problem['message']}")
    tell(f"{len(document['images'])} images, {len(document['charts'])} charts, {len(document['problems'])} problems")


def _with_origins(entries: list[dict[str, Any]], key: str) -> Iterator[tuple[str, str]]:
    for entry in entries:
        for position, origin in enumerate(entry["origins"]):
            asked = " > ".join(part for part in origin.values() if part)
            yield (entry[key] if position == 0 else "", asked)


def _print_lock(document: dict[str, Any]) -> None:
    rows = [
        (image["reference"], image["digest"][:19], format_size(image["size"]), str(image["manifests"]))
        for image in document["images"]
    ]
    say_table(("IMAGE", "DIGEST", "SIZE", "MANIFESTS"), rows)
    totals = document["totals"]
    size = format_size(totals["unique_bytes"])
    say(f"{totals['images']} images, {totals['unique_blobs']} unique blobs, {size} unique")
