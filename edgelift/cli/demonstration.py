"""The demo: the whole job on loopback, with a stand-in Palette, a source registry and a target of our own."""

import json
import os
import socket
import sys
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path

from edgelift.attachments import ClusterDefinitionSource, PackSource
from edgelift.bundle.kinds import count_kinds
from edgelift.cli.console import say, tell
from edgelift.cli.prefect_api import running_api
from edgelift.cli.receipt import show_receipt
from edgelift.delivery.receipt import DeliveryReceipt
from edgelift.demo.packs import write_pack
from edgelift.demo.palette_api import DEMO_PROJECT, create_palette_api
from edgelift.demo.profiles import demo_profiles
from edgelift.demo.servers import chart_repository, source_registry, target_registry
from edgelift.demo.services import demo_tenant
from edgelift.documents import read_document, write_document
from edgelift.palette.models import ClusterProfile
from edgelift.serve.server import RunningServer
from edgelift.site import ArchiveSettings, ContentSource, EdgeSite, RegistryAccess, TargetSettings

SITE = "demo-site"
DEFINITION = "demo-cluster"
EDGELIFT = sys.argv[0]  # as the user called it; a virtual environment need not be on the PATH
_SERVERS = ("source", "charts", "target")
API_KEY = "the-key-of-the-demo"  # of the stand-in, which is gone when the demo ends


def run_demo(directory: Path, *, quiet: bool) -> None:
    """Run `sync_site` for the demo's site; everything it makes lies in `directory`, and a second run finds it there."""
    folder = directory.absolute()
    (folder / "archive").mkdir(parents=True, exist_ok=True)
    ports = _ports(folder / "ports.json")
    with ExitStack() as servers, running_api(quiet=quiet):
        source = servers.enter_context(source_registry(folder / "source-registry", ports["source"]))
        target = servers.enter_context(target_registry(folder / "target-registry", ports["target"]))
        charts = servers.enter_context(chart_repository(ports["charts"]))
        profiles = demo_profiles(source.host, charts)
        stand_in = create_palette_api(profiles, API_KEY, tenant=demo_tenant(source.host))
        palette = servers.enter_context(RunningServer(stand_in))
        tell(f"stand-in Palette {palette.url}, source registry {source.host}, target registry {target.host}")
        tell(f"chart repository {charts}")
        os.environ |= {"PALETTE_API_KEY": API_KEY, "PALETTE_ENDPOINT": palette.url}
        os.environ.pop("EDGELIFT_PUBLIC_KEY", None)  # the user's own bundles are signed, the demo's is not
        site = EdgeSite(
            name=SITE,
            source=demo_source(tuple(profile.name for profile in profiles), write_pack(folder / "packs")),
            target=TargetSettings(registry=f"{target.host}/spectro-images"),
            access=RegistryAccess(docker_config=False),
            archive=ArchiveSettings(directory=str(folder / "archive")),
        )
        from flows.sync_site import sync_site  # noqa: PLC0415 - loads Prefect

        report = sync_site(site, str(folder / "site"), str(folder / "store"))
    _show(folder, target.host, report.receipt_path, profiles)


def demo_source(profiles: tuple[str, ...], pack: Path) -> ContentSource:
    """All kinds of content: the profiles, a local pack, the images of Palette's agent, and the cluster definition."""
    return ContentSource(
        profiles=profiles,
        project=DEMO_PROJECT.name,
        agent_images="core",
        packs=PackSource(paths=(str(pack),)),
        cluster_definition=ClusterDefinitionSource(name=DEFINITION, profiles=profiles),
    )


def _show(folder: Path, target: str, receipt_path: str, profiles: Sequence[ClusterProfile]) -> None:
    """Where everything lies and how to look at it; the receipt comes last."""
    bundle = folder / "site" / f"{SITE}.tar.zst"
    receipt = DeliveryReceipt.from_json(read_document(Path(receipt_path)), receipt_path)
    port = target.rpartition(":")[2]
    say("")
    show_receipt(receipt)
    say("")
    say(f"profiles  {', '.join(f'{each.name} {each.version} ({each.type})' for each in profiles)}")
    say(f"bundle    {bundle}")
    say(f"          look: {EDGELIFT} inspect {bundle}")
    say(f"lock      {folder / 'site' / f'{SITE}.lock.json'}")
    say(f"cluster   {folder / 'site' / f'{DEFINITION}.tgz'}")
    say(f"archive   {folder / 'archive'}")
    say(f"settings  {folder / 'site' / f'{SITE}.site-settings.yaml'}")
    say(f"target    look: {EDGELIFT} serve --writable {folder / 'target-registry'} --port {port}")
    say(f"report    {folder / 'site' / f'{SITE}.report.html'}")
    kinds = count_kinds(proof.kind for proof in receipt.proofs)
    say(f"receipt   {receipt_path}")
    say(f"          {receipt.counts['ok']} of {len(receipt.proofs)} references ok: {kinds}")
    if receipt.cluster_definition is not None:
        say(f"          {receipt.cluster_definition}")


def _ports(note: Path) -> dict[str, int]:
    """The ports of the first run, where they are still free: those of sources are part of what is in them."""
    try:
        ports: dict[str, int] = json.loads(note.read_bytes())
        if tuple(ports) == _SERVERS and all(_is_free(port) for port in ports.values()):
            return ports
    except (OSError, ValueError, AttributeError, TypeError):
        pass
    with ExitStack() as opened:
        probes = {name: opened.enter_context(socket.create_server(("127.0.0.1", 0))) for name in _SERVERS}
        ports = {name: probe.getsockname()[1] for name, probe in probes.items()}
    write_document(note, json.dumps(ports).encode())
    return ports


def _is_free(port: int) -> bool:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True
