"""`build`: it runs a flow, but for `--check`, which compares what stands."""

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal

import typer

from edgelift.bundle.definition import COMPRESSION_LEVEL, Release
from edgelift.cli import attaching, metadata, options, palette_content, parts, reuse, signatures, signing, undeclared
from edgelift.cli.access import takes_source_access
from edgelift.cli.charts import Charts
from edgelift.cli.console import say, say_json, set_verbosity
from edgelift.cli.paths import text_of
from edgelift.cli.planning import check_locally
from edgelift.cli.prefect_api import running_api
from edgelift.cli.rebuilt import check_rebuilt
from edgelift.cli.stores import place_of
from edgelift.define import check_name
from edgelift.errors import ConfigurationError
from edgelift.site import DEFAULT_ACCESS, ArchiveSettings, ContentSource, RegistryAccess


@takes_source_access
def build(
    name: Annotated[
        str | None, typer.Option("--name", "-n", help="Name of the bundle.", rich_help_panel=options.OUTPUT)
    ] = None,
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
    download_cluster_config_only: attaching.DownloadClusterConfigOnly = False,
    include_undeclared: undeclared.IncludeUndeclared = None,
    metadata_file: metadata.MetadataFile = None,
    images_from: metadata.ImagesFrom = [],  # noqa: B006
    release_name: metadata.ReleaseName = None,
    release_version: metadata.ReleaseVersion = None,
    release_notes: metadata.ReleaseNotes = None,
    metadata_only: metadata.MetadataOnly = False,
    lock: Annotated[
        Path | None, typer.Option(metavar="L.json", help="Build this lock instead.", rich_help_panel=options.SOURCE)
    ] = None,
    check: Annotated[
        Path | None,
        typer.Option(
            metavar="BUNDLE",
            help="Build nothing: say whether this bundle is, to the byte, what its lock gives. Needs no network.",
            rich_help_panel=options.SOURCE,
        ),
    ] = None,
    output: Annotated[
        Path,
        typer.Option("--output", "-o", metavar="DIR", help="Folder of the bundle.", rich_help_panel=options.OUTPUT),
    ] = Path("output/content-bundle"),
    part_size: parts.PartSizeOption = None,
    archive_directory: Annotated[
        Path | None,
        typer.Option(metavar="DIR", help="Keep the bundle in this folder, too.", rich_help_panel=options.OUTPUT),
    ] = None,
    archive_block: Annotated[
        str | None,
        typer.Option(metavar="NAME", help="Keep it in this Bundle Archive block, too.", rich_help_panel=options.OUTPUT),
    ] = None,
    archive_artifact: Annotated[
        str | None,
        typer.Option(
            metavar="HOST/REPOSITORY", help="Keep it as an OCI artifact, too.", rich_help_panel=options.OUTPUT
        ),
    ] = None,
    signing_key: signing.SigningKeyFile = None,
    signing_key_fd: signing.SigningKeyFd = None,
    signing_key_block: signing.SigningKeyBlock = None,
    passphrase_fd: signing.PassphraseFd = None,
    public_key: signing.PublicKeyFile = None,
    existing_bundles: reuse.ExistingBundles = [],  # noqa: B006
    store: options.Store = None,
    access: RegistryAccess = DEFAULT_ACCESS,
    as_json: options.Json = False,
    verbose: options.Verbose = False,
    quiet: options.Quiet = False,
) -> None:
    """Build a content bundle: DIR/NAME.tar.zst and DIR/NAME.lock.json; with a key, a signature (.sig) beside each.

    Example: edgelift build --profile-file infra.json --profile-file addon.json --name site-7

    Or what an edited definition says: edgelift build --metadata-file site-7.definition.yaml

    With --cluster-definition-name and --cluster-definition-profile-ids it holds the cluster definition, too, which also
    stands beside it. Local packs (--packs) have to be given again to build a --lock where they are not in the store.

    With --part-size 3GB it is in parts, of which `edgelift reassemble` makes a lost one again.

    Or, of one that stands: edgelift build --check output/content-bundle/site-7.tar.zst
    """
    set_verbosity(verbose=verbose, quiet=quiet)
    definition = attaching.cluster_definition_of(cluster_definition_name, cluster_definition_profile_ids)
    if check is not None:
        named = name or lock or profiles or profile_files or image or chart or metadata_file or images_from
        if named or base or edge_hosts or packs or include_packs or definition:
            raise ConfigurationError("--check builds nothing: leave out the options that say what to build")
        check_rebuilt(check, public_key, as_json=as_json)
        return
    if download_cluster_config_only:
        signs = signing.signing_of(
            key=signing_key, key_fd=signing_key_fd, block=signing_key_block, passphrase_fd=passphrase_fd
        )
        attaching.download_alone(definition, project_id, access, signs, output, as_json=as_json)
        return
    name = metadata.name_of(name, metadata_file)
    if name is None:
        raise ConfigurationError("the bundle has no name", hint="give it one with --name")
    check_name(name)
    size = parts.part_size_of(part_size)
    archive = _archive(archive_directory, archive_block, archive_artifact)
    source = _source_or_lock(
        lock,
        profile_files,
        profiles,
        project_id,
        [*image, *metadata.images_in(images_from)],
        chart,
        arch,
        settings,
        allow_external_layers=allow_external_layers,
        compression_level=compression_level,
        exclude_profiles=exclude_profiles,
        exclude_profile_files=exclude_profile_files,
        attached=attaching.attached_of(
            include=include_packs,
            registry=pack_registry,
            packs=packs if lock is None else [],  # with a lock they are read again, where they are not in the store
            images_only=images_only,
            definition=definition,
        ),
        palette=palette_content.palette_content_of(
            edge_hosts,
            core=core_images,
            services=service_images,
            compliance=compliance_images,
            fips=fips,
            file=agent_services,
        ),
        metadata_file=metadata_file,
        release=metadata.release_of(release_name, release_version, release_notes),
        rules=signatures.rules_of(leave_out=no_signatures, require=require_signatures, cosign_key=cosign_key),
    )
    if base is not None and lock is not None:
        raise ConfigurationError("--lock is built as it is, with the base that it names: leave out --base")
    check_locally(source, public_key)
    source = undeclared.with_undeclared(source, include_undeclared, access, store)
    if metadata_only:
        metadata.write(name, source, access, output, store, as_json=as_json, quiet=quiet)
        return
    base, existing = reuse.base_of(base, store), reuse.existing_of(existing_bundles)
    signs = signing.signing_of(
        key=signing_key, key_fd=signing_key_fd, block=signing_key_block, passphrase_fd=passphrase_fd
    )
    with running_api(quiet=quiet):
        if isinstance(source, Path):
            from flows.rebuild_bundle import rebuild_bundle  # noqa: PLC0415 - loads Prefect

            bundle = rebuild_bundle(
                name,
                str(source),
                str(output),
                access,
                archive,
                place_of(store),
                signs,
                text_of(public_key),
                existing,
                size,
                tuple(str(path.absolute()) for path in packs),
            )
        else:
            from flows.build_bundle import build_bundle  # noqa: PLC0415 - loads Prefect

            bundle = build_bundle(
                name, source, str(output), access, archive, place_of(store), signs, base, existing, size
            )
    if as_json:
        say_json(bundle.model_dump(mode="json"))
    else:
        say(bundle.path)


def _source_or_lock(
    lock: Path | None,
    profile_files: list[Path],
    profiles: str,
    project: str | None,
    images: list[str],
    charts: list[str],
    arch: Literal["amd64", "arm64"] | None,
    settings: list[str],
    *,
    allow_external_layers: bool,
    compression_level: int,
    exclude_profiles: str,
    exclude_profile_files: list[Path],
    attached: Mapping[str, Any],
    palette: Mapping[str, Any],
    metadata_file: Path | None,
    release: Release | None,
    rules: dict[str, Any],
) -> ContentSource | Path:
    if lock is None:
        source = metadata.source_of(
            metadata_file,
            release,
            options.source_of,
            profile_files=profile_files,
            profiles=profiles,
            project=project,
            images=images,
            arch=arch,
            allow_external_layers=allow_external_layers,
            compression_level=compression_level,
            settings=settings,
            exclude_profiles=exclude_profiles,
            exclude_profile_files=exclude_profile_files,
            charts=charts,
            **palette,
            **attached,
        )
        return signatures.with_rules(source, rules)
    is_compressed_otherwise = compression_level != COMPRESSION_LEVEL
    asked = palette.keys() - {"compliance_images"}  # which the environment may ask for, of every command
    is_otherwise = bool(
        arch
        or allow_external_layers
        or is_compressed_otherwise
        or settings
        or asked
        or attached
        or metadata_file
        or release
        or rules
    )
    if profiles or profile_files or images or charts or exclude_profiles or exclude_profile_files or is_otherwise:
        raise ConfigurationError("--lock is built as it is: leave out the options that say what to carry")
    return lock


def _archive(directory: Path | None, block: str | None, artifact: str | None) -> ArchiveSettings | None:
    places = {"directory": text_of(directory), "block": block, "artifact": artifact}
    named = {kind: place for kind, place in places.items() if place is not None}
    if len(named) > 1:
        raise ConfigurationError("a bundle is archived in one place: name one of the --archive options")
    return ArchiveSettings.model_validate(named) if named else None
