"""Commands for many sites, and for a site that has been synchronised: `fleet` and `audit`. Both run a flow."""

from pathlib import Path
from typing import Annotated

import typer

from edgelift.bundle.kinds import name_of
from edgelift.cli import options
from edgelift.cli.console import say, say_json, say_table, set_verbosity
from edgelift.cli.planning import check_locally
from edgelift.cli.prefect_api import running_api
from edgelift.cli.stores import place_of
from edgelift.delivery.drift import Drift
from edgelift.delivery.expected import drift_path, read_receipt
from edgelift.documents import read_document
from edgelift.errors import IncompleteError
from edgelift.fleet.sites import choose_canaries
from edgelift.fleet.summary import HEADINGS, FleetSummary
from edgelift.site_files import load_sites

Output = Annotated[Path, typer.Option("--output", "-o", metavar="DIR", help="Folder of bundles, locks and receipts.")]


def fleet(
    sites: Annotated[
        list[Path], typer.Argument(metavar="SITE.yaml|DIR…", help="Site files, and folders with all below them.")
    ],
    canaries: Annotated[
        list[str],
        typer.Option("--canary", metavar="NAME", help="A site that goes first, as with canary: true. Repeatable."),
    ] = [],  # noqa: B006 - typer copies it
    parallel: Annotated[int, typer.Option("--parallel", min=1, max=16, help="So many sites at a time.")] = 4,
    max_failures: Annotated[
        int,
        typer.Option(
            "--max-failures",
            metavar="P",
            min=0,
            max=100,
            help="Begin no further site once more than P percent of those that have ended are not whole.",
        ),
    ] = 25,
    output: Output = Path("output/sites"),
    store: options.Store = None,
    as_json: options.Json = False,
    verbose: options.Verbose = False,
    quiet: options.Quiet = False,
) -> None:
    """Synchronise many sites: build what they share once, then push to each and validate, canaries first.

    Example: edgelift fleet deployments/sites --canary harbour-12 --parallel 8
    """
    set_verbosity(verbose=verbose, quiet=quiet)
    chosen = choose_canaries(load_sites(sites), canaries)
    for site in chosen:
        check_locally(site.source)
    with running_api(quiet=quiet):
        from flows.sync_fleet import sync_fleet  # noqa: PLC0415 - loads Prefect

        try:
            sync_fleet(
                chosen,
                parallel=parallel,
                stop_on_failure_rate=max_failures / 100,
                output=str(output),
                store=place_of(store),
            )
        except IncompleteError:  # the summary is written, then it is raised
            _show_fleet(output, as_json=as_json)
            raise
    _show_fleet(output, as_json=as_json)


def audit(
    site_file: Annotated[Path, typer.Argument(metavar="SITE.yaml", help="Site file, see deployments/sites.")],
    output: Output = Path("output/sites"),
    store: options.Store = None,
    as_json: options.Json = False,
    verbose: options.Verbose = False,
    quiet: options.Quiet = False,
) -> None:
    """Say whether a site still has what was delivered to it, by the receipt in the output folder. Changes nothing.

    Example: edgelift audit deployments/sites/harbour-12.yaml
    """
    set_verbosity(verbose=verbose, quiet=quiet)
    (site,) = load_sites([site_file])
    read_receipt(output, site.name)  # where there is none yet, it is told before Prefect starts
    with running_api(quiet=quiet):
        from flows.audit_site import audit_site  # noqa: PLC0415 - loads Prefect

        try:
            audit_site(site, str(output), place_of(store))
        except IncompleteError:  # what was found is written, then it is raised
            _show_audit(output, site.name, as_json=as_json)
            raise
    _show_audit(output, site.name, as_json=as_json)


def _show_fleet(output: Path, *, as_json: bool) -> None:
    path = output / "fleet.json"
    summary = FleetSummary.from_json(read_document(path), str(path))
    if as_json:
        say_json(summary.document())
        return
    say_table([heading.upper() for heading in HEADINGS], [each.cells() for each in summary.sites])
    say(summary.headline)


def _show_audit(output: Path, site: str, *, as_json: bool) -> None:
    path = drift_path(output, site)
    drift = Drift.from_json(read_document(path), str(path))
    if as_json:
        say_json(drift.document())
        return
    if drift.changes:
        rows = [(each.change, each.since, name_of(each.target, each.kind), each.reason) for each in drift.changes]
        say_table(("CHANGE", "SINCE", "TARGET", "REASON"), rows)
    say(drift.headline)
