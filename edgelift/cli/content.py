"""Commands about content: what profiles declare, and what it resolves to."""

from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any

import typer

from edgelift.bundle.definition import COMPRESSION_LEVEL
from edgelift.cli import attaching, metadata, options, palette_content, reuse, signatures, undeclared
from edgelift.cli.access import takes_access, takes_source_access
from edgelift.cli.charts import Charts
from edgelift.cli.console import say, say_json, say_table, set_verbosity, tell
from edgelift.cli.lock import show_lock
from edgelift.cli.planning import plan_delivery
from edgelift.define import read_exported
from edgelift.errors import ConfigurationError, ProfileError
from edgelift.palette.resolve import resolve_profiles
from edgelift.site import DEFAULT_ACCESS, RegistryAccess
from edgelift.sizes import count


@takes_access
def images(
    files: Annotated[
        list[Path],
        typer.Argument(
            metavar="FILE...", help="Exported profiles, JSON or YAML; with --undeclared also packs: folders or .tar.gz."
        ),
    ],
    settings: palette_content.Settings = [],  # noqa: B006 - typer copies it
    find_undeclared: undeclared.FindUndeclared = False,
    fetch_charts: undeclared.FetchCharts = False,
    store: options.Store = None,
    access: RegistryAccess = DEFAULT_ACCESS,
    as_json: options.Json = False,
) -> None:
    """List the images and charts that exported profiles declare, and where they say so. Needs no network.

    Example: edgelift images infra.json addon.yaml --json

    Those that packs use and do not declare: edgelift images --undeclared infra.json packs/harbor-1.8.0

    With --fetch-charts, which needs the registries of the charts, also those that only their templates name.
    """
    if fetch_charts and not find_undeclared:
        raise ConfigurationError("--fetch-charts looks for undeclared images: give --undeclared, too")
    if find_undeclared:
        given = options.settings_of(settings)
        undeclared.show_undeclared(files, given, access, store, fetch=fetch_charts, as_json=as_json)
        return
    resolution = resolve_profiles(read_exported([str(path) for path in files]), options.settings_of(settings))
    document = resolution.model_dump(mode="json", include={"images", "charts", "problems"})
    if as_json:
        say_json(document)
    else:
        _print_resolution(document)
    errors = [str(problem) for problem in resolution.problems if problem.severity == "error"]
    if errors:
        problems = count(len(errors), "problem has", "problems have")
        raise ProfileError(f"{problems} to be mended before a bundle can be built")


@takes_source_access
def plan(
    profile_files: options.ProfileFiles = [],  # noqa: B006 - typer copies it
    profiles: options.Profiles = "",
    project_id: options.ProjectId = None,
    image: options.Images = [],  # noqa: B006
    chart: Charts = [],  # noqa: B006
    arch: options.Arch = None,
    allow_external_layers: options.AllowExternalLayers = False,
    compression_level: options.CompressionLevel = COMPRESSION_LEVEL,
    settings: palette_content.Settings = [],  # noqa: B006
    edge_hosts: palette_content.EdgeHosts = None,
    core_images: palette_content.CoreImages = False,
    service_images: palette_content.ServiceImages = False,
    compliance_images: palette_content.ComplianceImages = False,
    fips: palette_content.Fips = False,
    agent_services: palette_content.AgentServicesFile = None,
    exclude_profiles: reuse.ExcludeProfiles = "",
    exclude_profile_files: reuse.ExcludeProfileFiles = [],  # noqa: B006
    no_signatures: signatures.NoSignatures = False,
    require_signatures: signatures.RequireSignatures = False,
    cosign_key: signatures.CosignKeyFile = None,
    base: reuse.Base = None,
    include_packs: attaching.IncludePacks = False,
    pack_registry: attaching.PackRegistryOption = None,
    packs: attaching.Packs = [],  # noqa: B006
    images_only: attaching.ImagesOnly = False,
    cluster_definition_name: attaching.ClusterDefinitionName = None,
    cluster_definition_profile_ids: attaching.ClusterDefinitionProfiles = "",
    include_undeclared: undeclared.IncludeUndeclared = None,
    metadata_file: metadata.MetadataFile = None,
    images_from: metadata.ImagesFrom = [],  # noqa: B006
    release_name: metadata.ReleaseName = None,
    release_version: metadata.ReleaseVersion = None,
    release_notes: metadata.ReleaseNotes = None,
    name: Annotated[
        str | None,
        typer.Option(help="Name of the bundle; else that in the metadata file.", rich_help_panel=options.SOURCE),
    ] = None,
    registry: options.OptionalRegistry = None,
    maps: options.Maps = [],  # noqa: B006
    hub_aliases: options.HubAliases = False,
    on_conflict: options.Conflict = "fail",
    output: Annotated[
        Path | None, typer.Option(metavar="L.json", help="Write the lock here.", rich_help_panel=options.OUTPUT)
    ] = None,
    store: options.Store = None,
    access: RegistryAccess = DEFAULT_ACCESS,
    as_json: options.Json = False,
    verbose: options.Verbose = False,
    quiet: options.Quiet = False,
) -> None:
    """Resolve and pin everything, find every problem, move no blob.

    Example: edgelift plan --profile-file infra.json --registry mirror.example:5000/spectro --output site.lock.json
    """
    set_verbosity(verbose=verbose, quiet=quiet)
    source = metadata.source_of(
        metadata_file,
        metadata.release_of(release_name, release_version, release_notes),
        options.source_of,
        profile_files=profile_files,
        profiles=profiles,
        project=project_id,
        images=[*image, *metadata.images_in(images_from)],
        arch=arch,
        allow_external_layers=allow_external_layers,
        compression_level=compression_level,
        settings=settings,
        exclude_profiles=exclude_profiles,
        exclude_profile_files=exclude_profile_files,
        charts=chart,
        **palette_content.palette_content_of(
            edge_hosts,
            core=core_images,
            services=service_images,
            compliance=compliance_images,
            fips=fips,
            file=agent_services,
        ),
        **attaching.attached_of(
            include=include_packs,
            registry=pack_registry,
            packs=packs,
            images_only=images_only,
            definition=attaching.cluster_definition_of(cluster_definition_name, cluster_definition_profile_ids),
        ),
    )
    rules = signatures.rules_of(leave_out=no_signatures, require=require_signatures, cosign_key=cosign_key)
    source = signatures.with_rules(source, rules)
    outcome = plan_delivery(
        metadata.name_of(name, metadata_file) or "bundle",
        undeclared.with_undeclared(source, include_undeclared, access, store),
        access,
        options.target_settings(registry, maps=maps, aliases=hub_aliases, conflict=on_conflict) if registry else None,
        store,
        output,
        base,
    )
    if not quiet:
        for note in outcome.notes:
            tell(note)
        for warning in outcome.warnings:
            tell(f"warning: {warning}")
        for budget in outcome.budgets:
            tell(budget)
    if as_json:
        say_json(outcome.document())
    else:
        show_lock(outcome.document())
    outcome.raise_for_errors()
    if output is not None and not quiet:
        tell(f"lock: {output}")


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
    tell(", ".join(count(len(document[f"{noun}s"]), noun) for noun in ("image", "chart", "problem")))


def _with_origins(entries: list[dict[str, Any]], key: str) -> Iterator[tuple[str, str]]:
    for entry in entries:
        for position, origin in enumerate(entry["origins"]):
            asked = " > ".join(part for part in origin.values() if part)
            yield (entry[key] if position == 0 else "", asked)
