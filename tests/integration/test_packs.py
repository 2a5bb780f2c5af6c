"""Packs and the cluster definition all the way: from Palette, a pack registry and a folder to a real registry."""

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest
from pydantic import SecretStr

from blocks import PaletteCredentials
from edgelift.bundle.reader import BundleReader
from edgelift.demo.charts import make_chart
from edgelift.demo.content import make_image
from edgelift.demo.palette_api import DEMO_PROJECT
from edgelift.demo.palette_tenant import DemoRegistry, DemoTenant
from edgelift.oci.digest import Digest
from edgelift.site import ArchiveSettings, ContentSource, EdgeSite, RegistryAccess, SigningSettings, TargetSettings
from flows.push_bundle import push_bundle
from flows.sync_fleet import sync_fleet
from flows.sync_site import sync_site
from tests.images import load_image, make_artifact
from tests.integration.prefect_server import Attempt, PrefectServer
from tests.keys import KeyFiles, openssl_accepts
from tests.packs.samples import make_pack_folder
from tests.palette.builders import image_values, make_pack, make_profile
from tests.real_parts import RunningRegistry
from tests.simulators.charts import ChartRepositorySimulator
from tests.simulators.palette import PaletteSimulator

NAME, KEY, UID = "harbour", "a key of Palette's", "65c90f2d0a1b2c3d4e5f6a70"
APP = make_image("team/app", architectures=("amd64", "arm64"))
EXTRA = make_image("team/extra")
PACK = make_artifact("palette/spectro-packs/archive/web", "1.0.0", payload=b"the archive of a pack")


@dataclass(frozen=True)
class Stage:
    """A site whose profile has a pack in the source registry; a local pack brings another image."""

    folder: Path
    source: RunningRegistry
    target: RunningRegistry
    palette: PaletteSimulator
    keys: KeyFiles

    def settings(self, **parts: Any) -> EdgeSite:
        """The site."""
        content: dict[str, Any] = {
            "profiles": (UID,),
            "project": DEMO_PROJECT.name,
            "palette": "packs",
            "packs": {"include": True, "paths": (str(self.folder / "pack"),)},
            "cluster_definition": {"name": "cluster", "profiles": (UID,)},
        }
        return EdgeSite(
            name=NAME,
            source=ContentSource.model_validate(content),
            target=TargetSettings(registry=f"{self.target.host}/edge"),
            access=RegistryAccess(docker_config=False),
            signing=SigningSettings(file=str(self.keys.private)),
            **parts,
        )

    def sync(self, prefect: PrefectServer, **parts: Any) -> Attempt:
        """Synchronise the site."""
        save_palette(prefect, self)
        places = {"output": str(self.folder / "output"), "store": str(self.folder / "store")}
        return prefect.run(sync_site, {"site": self.settings(**parts), **places})

    @property
    def receipt(self) -> dict[str, Any]:
        """The receipt."""
        found: dict[str, Any] = json.loads((self.folder / "output" / f"{NAME}.receipt.json").read_bytes())
        return found

    def manifest(self, repository: str, tag: str) -> httpx.Response:
        """What the target has there."""
        accept = {"Accept": "application/vnd.oci.image.manifest.v1+json"}
        return httpx.get(f"{self.target.url}/v2/edge/{repository}/manifests/{tag}", headers=accept, trust_env=False)


@pytest.fixture
def stage(tmp_path: Path, docker_registries: Callable[[], RunningRegistry]) -> Iterator[Stage]:
    """Two real registries, and a Palette that says where the packs are."""
    source, target = docker_registries(), docker_registries()
    for image in (APP, EXTRA, PACK):
        load_image(source.host, image.repository, image.tag, image)
    values = image_values(f"{source.host}/{APP.repository}:{APP.tag}")
    profile = make_profile(make_pack(values, name="web", registry_uid="packs"), uid=UID)
    make_pack_folder(tmp_path / "pack", image_values(f"{source.host}/{EXTRA.repository}:{EXTRA.tag}"))
    registry = DemoRegistry("packs", "Packs", "oci", f"{source.url}/v2/", base_path="/palette/")
    with PaletteSimulator([profile], KEY, tenant=DemoTenant(registries=[registry])) as palette:
        yield Stage(tmp_path, source, target, palette, KeyFiles.write(tmp_path / "keys", "site"))


def save_palette(prefect: PrefectServer, stage: Stage) -> None:
    """Have a block with the key of the site's Palette."""
    with prefect.as_api():
        block = PaletteCredentials(endpoint=stage.palette.url, api_key=SecretStr(KEY))
        block.save("packs", overwrite=True)


def digests_at(stage: Stage) -> list[Digest]:
    """The digests of the two packs at the target."""
    return [Digest.of(stage.manifest(f"spectro-packs/archive/{name}", "1.0.0").content) for name in ("web", "greeting")]


def test_packs_and_cluster_definition_arrive(prefect: PrefectServer, stage: Stage) -> None:
    """Both packs in the project of packs, the images that both declare, the file signed, and all of it proved."""
    shelf = stage.folder / "shelf"
    shelf.mkdir()
    attempt = stage.sync(prefect, archive=ArchiveSettings(directory=str(shelf)))
    assert attempt.state == "COMPLETED", attempt.outcome
    with BundleReader.open(stage.folder / "output" / f"{NAME}.tar.zst") as bundle:
        packs = {image.reference: image.descriptor.digest for image in bundle.lock.images if image.kind == "pack"}
        definition = bundle.lock.cluster_definition
        assert definition is not None
        content = definition.read_from(bundle)

    assert (stage.receipt["whole"], stage.receipt["counts"]["ok"]) == (True, 4)
    assert stage.receipt["cluster_definition"] == {
        "name": "cluster",
        "digest": definition.digest,
        "present": True,
        "reason": "",
    }
    assert digests_at(stage) == [PACK.root.digest, packs["local.invalid/spectro-packs/archive/greeting:1.0.0"]]
    layer = stage.manifest("spectro-packs/archive/greeting", "1.0.0").json()["layers"][0]
    assert layer["annotations"] == {"org.opencontainers.image.title": "greeting-1.0.0.tar.gz"}
    kept = {shelf / f"{NAME}.cluster-definition.tgz", stage.folder / "output" / "cluster.tgz"}
    assert {path.read_bytes() for path in kept} == {content}
    assert all(openssl_accepts(path, stage.keys.public) for path in kept)


def test_a_direct_copy_brings_them_too(prefect: PrefectServer, stage: Stage) -> None:
    """Without a bundle: a pack of this machine is sent from the store, the cluster definition lies beside the lock."""
    attempt = stage.sync(prefect, direct=True)

    assert (attempt.state, stage.receipt["whole"]) == ("COMPLETED", True), attempt.outcome
    assert stage.receipt["cluster_definition"]["present"] is True
    assert digests_at(stage)[0] == PACK.root.digest
    assert openssl_accepts(stage.folder / "output" / "cluster.tgz", stage.keys.public)


def test_a_fleet_brings_them_to_each_site(prefect: PrefectServer, stage: Stage) -> None:
    """As bundle and as direct copy, with a chart, planned once, in the store of the first site that asks for it."""
    save_palette(prefect, stage)
    with ChartRepositorySimulator() as charts:
        charts.add(make_chart("web", "1.2.3"))
        source = stage.settings().source.model_copy(update={"charts": (f"{charts.url}#web:^1.2",)})

        def site(name: str, **settings: Any) -> EdgeSite:
            target = TargetSettings(registry=f"{stage.target.host}/{name}")
            own = {"name": name, "source": source, "target": target, "store": str(stage.folder / f"of-{name}")}
            return stage.settings(**settings).model_copy(update=own)

        sites = [site("one"), site("two", direct=True)]
        attempt = prefect.run(sync_fleet, {"sites": sites, "output": str(stage.folder / "output")})

    assert (attempt.state, attempt.outcome.builds) == ("COMPLETED", 2), attempt.outcome
    for name in ("one", "two"):
        receipt = json.loads((stage.folder / "output" / f"{name}.receipt.json").read_bytes())
        kinds = sorted(str(proof.get("kind")) for proof in receipt["proofs"])
        assert (receipt["whole"], kinds) == (True, ["None", "None", "chart", "pack", "pack"])
        assert receipt["cluster_definition"]["present"] is True
    assert openssl_accepts(stage.folder / "output" / "cluster.tgz", stage.keys.public)
    assert ((stage.folder / "of-one").is_dir(), (stage.folder / "of-two").exists()) == (True, False)


def test_the_far_side_needs_the_bundle_alone(prefect: PrefectServer, stage: Stage) -> None:
    """Pushed again elsewhere from the file, under a public key: Palette, the pack registry and the folder are gone."""
    stage.sync(prefect)
    parameters = {
        "bundle": str(stage.folder / "output" / f"{NAME}.tar.zst"),
        "target": TargetSettings(registry=f"{stage.target.host}/far"),
        "output": str(stage.folder / "far"),
        "access": RegistryAccess(docker_config=False),
        "public_key": str(stage.keys.public),
    }
    asked = len(stage.palette.paths)
    attempt = prefect.run(push_bundle, parameters)
    receipt = json.loads((stage.folder / "far" / f"{NAME}.receipt.json").read_bytes())

    assert (attempt.state, receipt["whole"], receipt["cluster_definition"]["present"]) == ("COMPLETED", True, True)
    assert sorted(proof["target"] for proof in receipt["proofs"] if "spectro-packs" in proof["target"]) == [
        f"{stage.target.host}/far/spectro-packs/archive/greeting:1.0.0",
        f"{stage.target.host}/far/spectro-packs/archive/web:1.0.0",
    ]
    assert len(stage.palette.paths) == asked
