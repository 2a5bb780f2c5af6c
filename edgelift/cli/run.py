"""Commands that run a flow: the only ones that load Prefect."""

from pathlib import Path
from typing import Annotated, Literal

import typer

from edgelift.access import find_public_key
from edgelift.bundle.definition import COMPRESSION_LEVEL
from edgelift.bundle.reader import BundleReader
from edgelift.bundle.signed import read_bundle_signature
from edgelift.cli import options, signing
from edgelift.cli.console import say, say_json, say_table, set_verbosity, tell
from edgelift.cli.content import check_rebuilt
from edgelift.cli.planning import check_locally, rehearse_push
from edgelift.cli.prefect_api import running_api, start_server
from edgelift.cli.receipt import show_delivery
from edgelift.define import check_name
from edgelift.documents import read_document
from edgelift.errors import ConfigurationError, PlanError
from edgelift.site import ArchiveSettings, ContentSource, EdgeSite, RegistryAccess, TargetSettings


def build(
    name: Annotated[
        str | None, typer.Option("--name", "-n", help="Name of the bundle.", rich_help_panel=options.OUTPUT)
    ] = None,
    profile_files: options.ProfileFiles = [],  # noqa: B006 - typer copies it
    profiles: options.Profiles = "",
    project_id: options.ProjectId = None,
    image: options.Images = [],  # noqa: B006
    arch: options.Arch = None,
    allow_external_layers: options.AllowExternalLayers = False,
    compression_level: options.CompressionLevel = COMPRESSION_LEVEL,
    settings: options.Settings = [],  # noqa: B006
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
    """Build a content bundle: DIR/NAME.tar.zst and DIR/NAME.lock.json; with a key, a signature (.sig) beside each.

    Example: edgelift build --profile-file infra.json --profile-file addon.json --name site-7

    Or, of one that stands: edgelift build --check output/content-bundle/site-7.tar.zst
    """
    set_verbosity(verbose=verbose, quiet=quiet)
    access = options.access_of(
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
    )
    if check is not None:
        check_rebuilt(check, as_json=as_json)
        return
    if name is None:
        raise ConfigurationError("the bundle has no name", hint="give it one with --name")
    check_name(name)
    archive = _archive(archive_directory, archive_block, archive_artifact)
    source = _source_or_lock(
        lock,
        profile_files,
        profiles,
        project_id,
        image,
        arch,
        settings,
        allow_external_layers=allow_external_layers,
        compression_level=compression_level,
    )
    check_locally(source, public_key)
    signs = signing.signing_of(
        key=signing_key, key_fd=signing_key_fd, block=signing_key_block, passphrase_fd=passphrase_fd
    )
    with running_api(quiet=quiet):
        if isinstance(source, Path):
            from flows.rebuild_bundle import rebuild_bundle  # noqa: PLC0415 - loads Prefect

            bundle = rebuild_bundle(
                name, str(source), str(output), access, archive, _text(store), signs, _text(public_key)
            )
        else:
            from flows.build_bundle import build_bundle  # noqa: PLC0415 - loads Prefect

            bundle = build_bundle(name, source, str(output), access, archive, _text(store), signs)
    if as_json:
        say_json(bundle.model_dump(mode="json"))
    else:
        say(bundle.path)


def push(
    file: Annotated[
        str,
        typer.Option("--file", "-f", metavar="BUNDLE", help="The bundle to push: NAME.tar.zst or s3://bucket/key."),
    ],
    registry: options.RegistryOption,
    maps: options.Maps = [],  # noqa: B006 - typer copies it
    hub_aliases: options.HubAliases = False,
    on_conflict: options.Conflict = "fail",
    create_repositories: options.CreateRepositories = False,
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
    """Push a bundle to a registry, then prove what arrived.

    Example: edgelift push --file site-7.tar.zst --registry mirror.example:5000/spectro-images
    """
    set_verbosity(verbose=verbose, quiet=quiet)
    target = options.target_settings(
        registry, maps=maps, aliases=hub_aliases, conflict=on_conflict, create=create_repositories
    )
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
    if create_repositories and not aws:
        raise ConfigurationError("--create-repositories needs AWS credentials", hint="allow yours to be used: --aws")
    if dry_run:
        _rehearse(file, target, access, public_key, as_json=as_json)
        return
    with BundleReader.open(file) as reader:  # a file that is no bundle is told before Prefect starts
        if find_public_key(public_key) is not None:
            read_bundle_signature(reader)  # the flow checks it
    with running_api(quiet=quiet):
        from flows.push_bundle import push_bundle  # noqa: PLC0415 - loads Prefect

        report = push_bundle(file, target, str(output), access, deep, _text(receipt), _text(public_key))
    if as_json:
        say_json(report.model_dump(mode="json"))
    else:
        show_delivery(report.receipt_path, report.settings_path)


def sync(
    site_file: Annotated[Path, typer.Argument(metavar="SITE.yaml", help="Site file, see deployments/sites.")],
    output: Annotated[
        Path, typer.Option("--output", "-o", metavar="DIR", help="Folder of bundle, lock and receipt.")
    ] = Path("output/sites"),
    create_repositories: options.CreateRepositories = False,
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

        report = sync_site(site, str(output), _text(store))
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
    bundle: str, target: TargetSettings, access: RegistryAccess, public_key: Path | None, *, as_json: bool
) -> None:
    rehearsal = rehearse_push(bundle, target, access, public_key)
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


def _source_or_lock(
    lock: Path | None,
    profile_files: list[Path],
    profiles: str,
    project: str | None,
    images: list[str],
    arch: Literal["amd64", "arm64"] | None,
    settings: list[str],
    *,
    allow_external_layers: bool,
    compression_level: int,
) -> ContentSource | Path:
    if lock is None:
        return options.source_of(
            profile_files=profile_files,
            profiles=profiles,
            project=project,
            images=images,
            arch=arch,
            allow_external_layers=allow_external_layers,
            compression_level=compression_level,
            settings=settings,
        )
    is_compressed_otherwise = compression_level != COMPRESSION_LEVEL
    if profiles or profile_files or images or arch or allow_external_layers or is_compressed_otherwise or settings:
        raise ConfigurationError("--lock is built as it is: leave out the options that say what to carry")
    return lock


def _archive(directory: Path | None, block: str | None, artifact: str | None) -> ArchiveSettings | None:
    places = {"directory": _text(directory), "block": block, "artifact": artifact}
    named = {kind: place for kind, place in places.items() if place is not None}
    if len(named) > 1:
        raise ConfigurationError("a bundle is archived in one place: name one of the --archive options")
    return ArchiveSettings.model_validate(named) if named else None


def _text(path: Path | None) -> str | None:
    return str(path.absolute()) if path is not None else None
