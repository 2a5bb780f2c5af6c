"""The demo: the whole job on loopback, with content of every kind."""

from pathlib import Path

import pytest

from edgelift.bundle.lock import BundleLock
from edgelift.delivery.receipt import DeliveryReceipt
from edgelift.demo.images import DEMO_IMAGES
from tests.cli.commands import CommandLine

README = Path(__file__).parents[2] / "README.md"
SUM = "16 of 16 references ok: 13 images, 2 charts, 1 pack"


@pytest.mark.timeout(300)
def test_the_demo_delivers_content_of_every_kind(api: str, tmp_path: Path) -> None:
    """Three profiles, charts of both sorts, a pack, the agent's images and the cluster definition: all of it proved."""
    outcome = CommandLine(tmp_path, {"PREFECT_API_URL": api}).run("demo", "--directory", "demo")
    assert outcome.code == 0, outcome.err
    site = tmp_path / "demo" / "site"
    lock = BundleLock.from_json((site / "demo-site.lock.json").read_bytes())
    receipt = DeliveryReceipt.from_json((site / "demo-site.receipt.json").read_bytes())

    assert [each.type for each in lock.definition.profiles] == ["infra", "add-on", "add-on"]
    delivered = [proof.target.partition("/spectro-images/")[2] for proof in receipt.proofs if proof.kind is None]
    assert {name.partition("/")[2] for name in delivered} == {f"{each.repository}:{each.tag}" for each in DEMO_IMAGES}
    archives = [image.archive is not None for image in lock.images if image.kind == "chart"]
    assert (sorted(archives), [proof.kind for proof in receipt.proofs].count("pack")) == ([False, True], 1)
    assert receipt.cluster_definition is not None
    assert (receipt.is_whole, receipt.cluster_definition.present) == (True, True)
    assert SUM in outcome.out


def test_the_readme_shows_how_the_demo_ends() -> None:
    """Its sample is what is printed today."""
    assert SUM in README.read_text()
