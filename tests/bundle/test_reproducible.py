"""Two builds of one definition give the same bytes, whatever else is different between them."""

import gzip
import json
import os
import subprocess
import sys
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path

import pytest

from edgelift.bundle.container import CLUSTER_DEFINITION
from edgelift.bundle.definition import BundleDefinition, Origin, RequestedImage
from edgelift.bundle.reader import BundleReader
from edgelift.bundle.verify import verify_bundle
from edgelift.demo.content import SampleLayer, make_image
from edgelift.oci.manifest import OCI_INDEX
from tests.bundle.building import Build
from tests.images import make_artifact
from tests.keys import KeyFiles, openssl_accepts
from tests.packs.samples import make_pack_folder
from tests.real_parts import require_tool
from tests.simulators.registry import RegistrySimulator

PROJECT = Path(__file__).parents[2]
CLOCKWORK = {"FAKETIME_DONT_FAKE_MONOTONIC": "1"}  # as on a real machine, whose wall clock alone may be wrong
PRODUCTS = tuple(
    name for product in ("site.lock.json", "site.tar.zst", "harbour.tgz") for name in (product, f"{product}.sig")
)

# Layers of every kind, so that raw and compressed frames take turns; the plain one is a few compressed frames long.
LAYERS = (SampleLayer("gzip", 40_000), SampleLayer("zstd", 9_000), SampleLayer("tar", 3 * 2**20), SampleLayer("empty"))
INDEX = make_image("team/both", architectures=("amd64", "arm64"), base="alpine", attested=True)
PLAIN = make_image("team/plain", layers=LAYERS, base="alpine")
DOCKER = make_image("team/docker", flavour="docker")
ARTIFACT = make_artifact("team/plain", "notes", subject=PLAIN.root)
IMAGES = (INDEX, PLAIN, DOCKER, ARTIFACT)


@dataclass(frozen=True)
class Surroundings:
    """What one build is run under; all that is not said is as for the first build."""

    environment: Mapping[str, str] = field(default_factory=dict)
    clock: str = ""  # as faketime wants it
    umask: int = 0o022
    processors: int = 4
    images: int = 4  # pulled at a time
    seed: int = 0  # of the order in which they are pulled


ZONE = {"TZ": "Pacific/Kiritimati"}
ASCII = {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}
HASHES = {"PYTHONHASHSEED": "4242"}
OTHERS = {
    "nothing else": Surroundings(),
    "another day": Surroundings(clock="2041-06-07 08:09:10"),
    "another time zone": Surroundings(environment=ZONE),
    "another umask": Surroundings(umask=0o077),
    "another locale": Surroundings(environment=ASCII),
    "another hash seed": Surroundings(environment=HASHES),
    "one at a time": Surroundings(processors=1, images=1),
    "many at a time": Surroundings(processors=16, images=16),
    "another order": Surroundings(seed=1),
    "all at once": Surroundings(ZONE | ASCII | HASHES, "2033-12-31 23:59:58", 0o077, 1, 2, 2),
}


@dataclass(frozen=True)
class Site:
    """A definition over a registry that has its images, and a key to sign with; builds go into `folder`."""

    folder: Path
    definition: Path
    keys: KeyFiles
    cluster_definition: Path
    pack: Path

    def build(self, name: str, under: Surroundings) -> dict[str, bytes]:
        """All that a build in a process of its own leaves, by name."""
        folder = self.folder / name
        folder.mkdir()
        given = (self.definition, self.keys.private, self.cluster_definition, self.pack, folder)
        build = Build(*map(str, given), under.images, under.seed)
        done = subprocess.run(
            [*_clock(under.clock), sys.executable, "-c", _program(under.processors), json.dumps(asdict(build))],
            cwd=PROJECT,
            env={**os.environ, "PYTHONHASHSEED": "0", **under.environment, **CLOCKWORK},
            umask=under.umask,
            capture_output=True,
            text=True,
            check=False,
            timeout=120,
        )
        assert (done.returncode, done.stderr) == (0, "")
        return {product: (folder / product).read_bytes() for product in PRODUCTS}


def _clock(moment: str) -> list[str]:
    return [require_tool("faketime"), moment] if moment else []


def _program(processors: int) -> str:
    """The build on a machine that says it has so many processors; the library asks when it is loaded."""
    module = "import runpy; runpy.run_module('tests.bundle.building', run_name='__main__')"
    return f"import os; os.cpu_count = lambda: {processors}; {module}"


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """A site with layers of every kind, an index, an image of Docker's, artifacts, a pack and a cluster definition."""
    folder = tmp_path_factory.mktemp("reproducible")
    with RegistrySimulator(folder / "registry") as registry:
        registry.put_image(*IMAGES)
        origin = Origin(profile="edge-infra-ünï", pack="nginx", path="pack.content.images[0]")
        wanted = [
            RequestedImage(reference=f"{registry.host}/{each.repository}:{each.tag}", origins=(origin,))
            for each in IMAGES
        ]
        definition = folder / "definition.json"
        pack = make_pack_folder(folder / "pack", extra={"charts/grüße.yaml": b"a: 1\n"})
        packs = (RequestedImage(reference="local.invalid/spectro-packs/archive/greeting:1.0.0"),)
        asked = BundleDefinition(name="site", images=tuple(wanted), packs=packs)
        definition.write_text(asked.model_dump_json(), encoding="utf-8")
        (folder / "given.tgz").write_bytes(gzip.compress(b"what Palette made" * 500, mtime=0))
        yield Site(folder, definition, KeyFiles.write(folder / "keys", "site"), folder / "given.tgz", pack)


@pytest.fixture(scope="module")
def first(site: Site) -> dict[str, bytes]:
    """What the first build left."""
    return site.build("first", Surroundings())


@pytest.mark.parametrize("name", OTHERS)
def test_another_build_gives_the_same_bytes(site: Site, first: dict[str, bytes], name: str) -> None:
    """Bundle, lock, cluster definition and all signatures do not differ in a byte, built anew from the registry on."""
    again = site.build(name.replace(" ", "-"), OTHERS[name])

    assert [product for product in PRODUCTS if again[product] != first[product]] == []


def test_what_is_compared_has_everything_in_it(site: Site, first: dict[str, bytes]) -> None:
    """Raw and compressed frames, several of them in one layer, an index, an artifact, and signatures that hold."""
    path = site.folder / "first" / "site.tar.zst"
    verify_bundle(path)
    with BundleReader.open(path) as bundle:
        spans = list(bundle.container.frames())
        kinds = {each.media_type for image in bundle.lock.images for each in (image.descriptor, *image.blobs)}
        assert bundle.lock_signature == first["site.lock.json.sig"]
        assert [each.kind for each in bundle.lock.images].count("pack") == 1
        assert CLUSTER_DEFINITION in [member.name for member in bundle.container.members]

    assert {span.is_raw for span in spans} == {True, False}
    assert max(span.stop - span.start for span in spans if not span.is_raw) == 2**20
    assert {OCI_INDEX, ARTIFACT.blobs[1].media_type} < kinds
    assert all(openssl_accepts(site.folder / "first" / name, site.keys.public) for name in PRODUCTS[::2])
