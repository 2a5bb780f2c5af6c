"""Commands that run a flow: with `build` the only ones that load Prefect."""

from pathlib import Path
from typing import Annotated

import typer

from edgelift.bundle.reader import BundleReader
from edgelift.bundle.selection import select_entries
from edgelift.bundle.signed import read_bundle_signature
from edgelift.cli import options, selection, signing
from edgelift.cli.access import takes_access
from edgelift.cli.console import say_json, say_table, set_verbosity, tell
from edgelift.cli.paths import text_of
from edgelift.cli.planning import check_locally, rehearse_push
from edgelift.cli.prefect_api import running_api, start_server
from edgelift.cli.receipt import show_delivery
from edgelift.cli.stores import place_of
from edgelift.documents import read_document
from edgelift.errors import ConfigurationError, PlanError
from edgelift.keys import find_public_key
from edgelift.site import DEFAULT_ACCESS, EdgeSite, RegistryAccess, TargetSettings

CreateRepositories = Annotated[
    bool,
    typer.Option(
        "--create-repositories",
        help="Make repositories that are missing; Amazon ECR only.",
        rich_help_panel=options.TARGET,
    ),
]


@takes_access
def push(
    file: Annotated[
        str,
        typer.Option(
            "--file",
            "-f",
            metavar="BUNDLE",
            help="The bundle to push: NAME.tar.zst, the index of its parts or s3://bucket/key.",
        ),
    ],
    registry: options.RegistryOption,
    maps: options.Maps = [],  # noqa: B006 - typer copies it
    hub_aliases: options.HubAliases = False,
    on_conflict: options.Conflict = "fail",
    create_repositories: CreateRepositories = False,
    annotation_selector: selection.Selector = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Say what would be pushed, and what stands in the way.")
    ] = False,
    deep: Annotated[bool, typer.Option("--deep", help="Validate by reading every blob back.")] = False,
    public_key: signing.PublicKeyFile = None,
    receipt: Annotated[
        Path | None, typer.Option(metavar="OUT.json", help="Write the receipt here.", rich_help_panel=options.OUTPUT)
    ] = None,
    output: Annotated[
        Path, typer.Option(metavar="DIR", help="Folder of receipt and settings.", rich_help_panel=options.OUTPUT)
    ] = Path("output/delivery"),
    access: RegistryAccess = DEFAULT_ACCESS,
    as_json: options.Json = False,
    verbose: options.Verbose = False,
    quiet: options.Quiet = False,
) -> None:
    """Push a bundle to a registry, then prove what arrived.

    Example: edgelift push --file site-7.tar.zst --registry mirror.example:5000/spectro-images
    """
    set_verbosity(verbose=verbose, quiet=quiet)
    target = options.target_settings(
        registry, maps=maps, aliases=hub_aliases, conflict=on_conflict, create=create_repositories
    )
    if create_repositories and not access.aws:
        raise ConfigurationError("--create-repositories needs AWS credentials", hint="allow yours to be used: --aws")
    if dry_run:
        _rehearse(file, target, access, public_key, annotation_selector, as_json=as_json)
        return
    with BundleReader.open(file) as reader:  # a file that is no bundle is told before Prefect starts
        select_entries(reader.lock, annotation_selector)
        if find_public_key(public_key) is not None:
            read_bundle_signature(reader)  # the flow checks it
    with running_api(quiet=quiet):
        from flows.push_bundle import push_bundle  # noqa: PLC0415 - loads Prefect

        report = push_bundle(
            file,
            target,
            str(output),
            access,
            deep,
            text_of(receipt),
            text_of(public_key),
            annotation_selector=annotation_selector,
        )
    if as_json:
        say_json(report.model_dump(mode="json"))
    else:
        show_delivery(report.receipt_path, report.settings_path)


def sync(
    site_file: Annotated[Path, typer.Argument(metavar="SITE.yaml", help="Site file, see deployments/sites.")],
    output: Annotated[
        Path, typer.Option("--output", "-o", metavar="DIR", help="Folder of bundle, lock and receipt.")
    ] = Path("output/sites"),
    create_repositories: CreateRepositories = False,
    ignore_window: Annotated[
        bool, typer.Option("--ignore-window", help="Run outside the window of the site file, too.")
    ] = False,
    store: options.Store = None,
    as_json: options.Json = False,
    verbose: options.Verbose = False,
    quiet: options.Quiet = False,
) -> None:
    """Do all of it for one site: build, archive, push, validate.

    With `direct: true` in the site file, images are copied from registry to registry, and no bundle is made.
    """
    set_verbosity(verbose=verbose, quiet=quiet)
    site = EdgeSite.from_yaml(read_document(site_file).decode(errors="replace"), str(site_file))
    check_locally(site.source)
    target = options.target_settings(
        site.target.registry,
        maps=list(site.target.rules),
        aliases=site.target.docker_hub_aliases,
        conflict=site.target.on_conflict,
        create=create_repositories or site.target.create_repositories,
    )
    site = site.model_copy(update={"target": target})
    with running_api(quiet=quiet):
        from flows.sync_site import sync_site  # noqa: PLC0415 - loads Prefect

        report = sync_site(site, str(output), place_of(store), ignore_window=ignore_window)
    if as_json:
        say_json(report.model_dump(mode="json"))
    else:
        show_delivery(report.receipt_path, report.settings_path)


def demo(
    directory: Annotated[Path, typer.Option(metavar="DIR", help="Where everything of the demo lies.")] = Path(
        "output/demo"
    ),
    quiet: options.Quiet = False,
) -> None:
    """Run the whole job on loopback: a stand-in Palette, a source registry, an empty target. Needs no network."""
    from edgelift.cli.demonstration import run_demo  # noqa: PLC0415 - loads a web server

    set_verbosity(verbose=False, quiet=quiet)
    run_demo(directory, quiet=quiet)


def up(
    host: Annotated[str, typer.Option(metavar="H", help="Address of Prefect's server.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(metavar="N", help="Port of Prefect's server.")] = 4200,
    stop: Annotated[bool, typer.Option("--stop", help="Stop the server that was started before.")] = False,
) -> None:
    """Start a local Prefect server with its UI in the background, so that later commands start in 2-3 seconds."""
    tell(start_server(host, port, stop=stop))


def _rehearse(
    bundle: str,
    target: TargetSettings,
    access: RegistryAccess,
    public_key: Path | None,
    selector: str | None,
    *,
    as_json: bool,
) -> None:
    rehearsal = rehearse_push(bundle, target, access, public_key, selector)
    for warning in rehearsal.warnings:
        tell(f"warning: {warning}")
    if as_json:
        say_json(
            {
                "pushes": [{"reference": source, "target": name} for source, name in rehearsal.pushes],
                "errors": rehearsal.errors,
                "warnings": rehearsal.warnings,
            }
        )
    else:
        say_table(("IMAGE", "WOULD BECOME"), rehearsal.pushes)
    if rehearsal.errors:
        raise PlanError(f"{target.registry} cannot take this bundle as it stands", rehearsal.errors)
