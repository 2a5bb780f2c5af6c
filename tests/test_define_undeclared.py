"""Undeclared images are looked for in all that is carried: charts of repositories and registries, and packs."""

import json
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from edgelift.access import open_registries
from edgelift.bundle.definition import BundleDefinition
from edgelift.carried import CarriedContent
from edgelift.define import Defined, define_bundle
from edgelift.demo.charts import DemoChart, chart_image
from edgelift.demo.palette_api import export_document
from edgelift.palette.client import PaletteClient
from edgelift.palette.models import ClusterProfile
from edgelift.site import ContentSource, RegistryAccess
from edgelift.store.local import LocalStore
from tests.images import make_artifact
from tests.packs.samples import archive_of, make_pack_folder, pack_files
from tests.palette.builders import make_pack, make_profile
from tests.palette.charts import chart_files, deployment, pack_chart
from tests.simulators.charts import ChartRepositorySimulator
from tests.simulators.http_faults import Answer
from tests.simulators.registry import RegistrySimulator

IMAGE = '"{{ .Values.image.repository }}:{{ .Values.image.tag }}"'
CHART = pack_chart(chart_files(values="image: {repository: team/app, tag: v1}", dep=deployment(IMAGE)))
DECLARES = "pack: {content: {images: [{image: 'team/declared:1'}]}}\n"


@pytest.fixture
def charts() -> Iterator[ChartRepositorySimulator]:
    """A repository with a chart whose templates name an image."""
    with ChartRepositorySimulator() as simulator:
        simulator.add(CHART)
        yield simulator


@pytest.fixture
def registry(tmp_path: Path) -> Iterator[RegistrySimulator]:
    """A registry with that chart, and with a pack that has it inside."""
    files = pack_files("", name="web", charts=["charts/web.tgz"]) | {"charts/web.tgz": CHART}
    archive = archive_of({f"web-1.0.0/{name}": content for name, content in files.items()})
    with RegistrySimulator(tmp_path / "registry") as simulator:
        simulator.put_image(chart_image(DemoChart("web", "1.2.3", "team"), CHART))
        simulator.put_image(make_artifact("spectro-packs/archive/web", "1.0.0", payload=archive))
        yield simulator


def no_palette() -> PaletteClient:
    """For definitions that need none."""
    raise AssertionError("Palette was asked for")


def define(folder: Path, *profiles: ClusterProfile, policy: str = "confident", **fields: object) -> Defined:
    """The definition of `profiles`; charts and packs are read from where they are."""
    paths = [folder / f"{profile.name}.json" for profile in profiles]
    for path, profile in zip(paths, profiles, strict=True):
        path.write_text(json.dumps(export_document(profile)))
    document = {"profile_files": list(map(str, paths)), "include_undeclared": policy, **fields}
    source, store = ContentSource.model_validate(document), folder / "store"
    with open_registries(RegistryAccess(docker_config=False)) as connections:
        return define_bundle(
            "site", source, no_palette, lambda: CarriedContent(connections.registries, LocalStore(store))
        )


def origins(definition: BundleDefinition) -> dict[str, list[str]]:
    """Where each undeclared image is used; without lines, which helm would not tell."""
    told = {
        image.reference: [re.sub(r":\d+ ", " ", str(origin)) for origin in image.origins] for image in definition.images
    }
    return {reference: places for reference, places in told.items() if "undeclared" in str(places)}


def asking(repository: str, tag: str = "v2") -> ClusterProfile:
    """A profile whose pack declares the chart, and gives it a value."""
    chart = f"{{repo: '{repository}', name: web, version: ^1}}"
    values = f"pack: {{content: {{charts: [{chart}]}}}}\ncharts: {{web: {{image: {{tag: {tag}}}}}}}\n"
    return make_profile(make_pack(values, name="shop"))


USED_AT = "undeclared: web-1.2.3.tgz:web/templates/dep.yaml spec.template.spec.containers[0].image"


def test_charts_of_repositories_are_looked_into(charts: ChartRepositorySimulator, tmp_path: Path) -> None:
    """With the values that the pack gives the chart; the pack is who uses the image."""
    definition = define(tmp_path, asking(charts.url)).definition

    assert origins(definition) == {"docker.io/team/app:v2": [f"site@1.0.0 > shop > {USED_AT}"]}


def test_charts_of_registries_are_looked_into(registry: RegistrySimulator, tmp_path: Path) -> None:
    """What was read for that is in the store, where the pull finds it."""
    definition = define(tmp_path, asking(f"oci://{registry.host}/team")).definition

    assert origins(definition) == {"docker.io/team/app:v2": [f"site@1.0.0 > shop > {USED_AT}"]}
    assert CHART in [path.read_bytes() for path in (tmp_path / "store" / "blobs").glob("*/*")]


def test_a_chart_that_is_named_stands_for_itself(charts: ChartRepositorySimulator, tmp_path: Path) -> None:
    """It is installed with its own values, as far as anybody knows."""
    definition = define(tmp_path, charts=[f"{charts.url}#web:1.2.3"]).definition

    assert origins(definition) == {"docker.io/team/app:v1": [f"web > {USED_AT}"]}


def test_packs_of_registries_are_looked_into(registry: RegistrySimulator, tmp_path: Path) -> None:
    """A pack that is carried holds the charts that the values of a profile are for."""
    profile = make_profile(make_pack(DECLARES + "charts: {web: {image: {tag: v3}}}\n"))
    packs = {"include": True, "registry": registry.host}
    place = USED_AT.replace("web-1.2.3.tgz", "charts/web.tgz")

    assert origins(define(tmp_path, profile, packs=packs).definition) == {
        "docker.io/team/app:v3": [f"site@1.0.0 > web > {place}"]
    }
    assert origins(define(tmp_path, profile).definition) == {}


def test_local_packs_are_looked_into(tmp_path: Path) -> None:
    """As a whole, and without a network."""
    folder = make_pack_folder(tmp_path / "pack", DECLARES, extra={"charts/web.tgz": CHART}, charts=["charts/web.tgz"])
    definition = define(tmp_path, packs={"paths": [str(folder)]}).definition

    assert list(origins(definition)) == ["docker.io/team/app:v1"]


def test_nothing_is_fetched_unasked(charts: ChartRepositorySimulator, tmp_path: Path) -> None:
    """Only who wants undeclared images has charts looked into before the plan."""
    assert origins(define(tmp_path, asking(charts.url), policy="none").definition) == {}
    assert charts.asked == []


def test_a_chart_that_cannot_be_read_stops_nothing_here(charts: ChartRepositorySimulator, tmp_path: Path) -> None:
    """The plan, which needs it as well, says what is wrong with it."""
    charts.answers["/stable/index.yaml"] = Answer(404)
    definition = define(tmp_path, asking(charts.url)).definition

    assert (len(definition.charts), origins(definition)) == (1, {})


def test_what_an_excluded_profile_uses_is_at_the_site(charts: ChartRepositorySimulator, tmp_path: Path) -> None:
    """Its charts are looked into as well, so that their images are not carried again."""
    held = tmp_path / "held.json"
    held.write_text(json.dumps(export_document(asking(charts.url))))
    other = make_profile(make_pack(DECLARES), *asking(charts.url).packs, name="other")
    definition = define(tmp_path, other, exclude_profile_files=[str(held)]).definition

    assert [image.reference for image in definition.images] == ["docker.io/team/declared:1"]
