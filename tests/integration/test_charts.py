"""Charts in the flows: from HTTP repositories and registries they go the way of images, and a lock gives them again."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from edgelift.demo.charts import DemoChart, build_registry_charts, make_chart
from edgelift.site import RegistryAccess
from flows.rebuild_bundle import rebuild_bundle
from tests.integration.prefect_server import PrefectServer
from tests.integration.sites import Site, sync
from tests.simulators.charts import ChartRepositorySimulator

WEB = make_chart("web", "1.2.3")
APP = DemoChart("app", "2.0.0+edge.1", "team")


@pytest.fixture
def charts() -> Iterator[ChartRepositorySimulator]:
    """A repository with a chart that is signed."""
    with ChartRepositorySimulator() as simulator:
        simulator.add(WEB, provenance=b"-----BEGIN PGP SIGNED MESSAGE-----\n")
        yield simulator


@pytest.mark.parametrize("direct", [False, True])
def test_a_site_gets_its_charts(
    prefect: PrefectServer, site: Site, charts: ChartRepositorySimulator, direct: bool
) -> None:
    """By way of a bundle or without one: all is proved, and the receipt says what is a chart."""
    site.source.put_image(*build_registry_charts([APP]))
    asked = (f"{charts.url}#web:^1.2", f"oci://{site.source.host}/team/app:2.0.0+edge.1")
    attempt = sync(prefect, site, direct=direct, charts=asked)

    assert (attempt.state, site.receipt["whole"]) == ("COMPLETED", True)
    kinds = [proof.get("kind") for proof in site.receipt["proofs"]]
    assert (kinds.count("chart"), len(kinds)) == (2, 2 + len(site.images))


def test_a_lock_gives_its_charts_again(
    prefect: PrefectServer, site: Site, charts: ChartRepositorySimulator, tmp_path: Path
) -> None:
    """From an empty store, to the byte, without the index that the version was chosen from."""
    sync(prefect, site, charts=(f"{charts.url}#web:*",))
    charts.entries.clear()
    rebuilt = prefect.run(
        rebuild_bundle,
        {
            "name": "again",
            "lock_file": str(site.bundle.with_name("harbour.lock.json")),
            "output": str(tmp_path / "again"),
            "store": str(tmp_path / "empty"),
            "access": RegistryAccess(docker_config=False),
        },
    )

    assert rebuilt.state == "COMPLETED"
    assert (tmp_path / "again" / "again.tar.zst").read_bytes() == site.bundle.read_bytes()
