"""Direct copies, and targets that turn out to miss content: the site's registry ends up whole, and proved."""

from pathlib import Path

import pytest

from edgelift.bundle.lock import BundleLock
from edgelift.errors import ConfigurationError
from edgelift.site import EdgeSite
from tests.integration.prefect_server import PrefectServer
from tests.integration.sites import Site, sync


def test_a_direct_site_gets_its_images_without_a_bundle(prefect: PrefectServer, site: Site) -> None:
    """From registry to registry: the worker keeps the lock and the receipt, no bundle and no blob."""
    attempt = sync(prefect, site, direct=True)

    output = site.folder / "output"
    lock = BundleLock.from_json((output / "harbour.lock.json").read_bytes())
    assert (attempt.state, site.receipt["whole"]) == ("COMPLETED", True)
    assert not site.bundle.exists()
    assert not any(site.store.exists(blob) for blob in lock.unique_blobs())
    assert [site.delivered(image) for image in site.images] == [image.root.digest for image in site.images]


def test_a_direct_run_that_failed_copies_only_what_is_left(prefect: PrefectServer, site: Site) -> None:
    """A retry takes over the copies that were made, and replays the lock."""
    failing = site.images[2]
    site.target.deny(f"/{failing.repository}/manifests/", "PUT")
    first = sync(prefect, site, direct=True)
    site.target.heal()
    site.forget_requests()
    second = sync(prefect, site, first, direct=True)

    assert (first.state, second.state) == ("FAILED", "COMPLETED")
    assert {path.split("/blobs/")[0] for path in site.fetched_blobs} <= {f"/v2/{failing.repository}"}
    assert site.receipt["whole"]


@pytest.mark.parametrize("direct", [False, True])
def test_what_the_target_has_lost_is_sent_again(prefect: PrefectServer, site: Site, direct: bool) -> None:
    """A tag that stands hides a blob that is gone; validation finds it, and the run mends it before it reports."""
    sync(prefect, site, direct=direct)
    victim = site.images[1]
    site.lose_blob(max(victim.blobs, key=lambda blob: blob.size).digest)
    site.forget_requests()
    again = sync(prefect, site, direct=direct)

    sent = {each.path.partition("/blobs/")[0] for each in site.target.requests if each.method == "PUT"}
    assert (again.state, site.receipt["whole"]) == ("COMPLETED", True)
    assert any(victim.repository in path for path in sent)


def test_a_direct_site_cannot_ask_for_an_archive(tmp_path: Path) -> None:
    """There is no bundle to be archived; the file says so before anything runs."""
    text = (
        "name: harbour\nsource: {images: [quay.io/app:1]}\ntarget: {registry: mirror.example}\n"
        f"archive: {{directory: {tmp_path}}}\ndirect: true\n"
    )
    with pytest.raises(ConfigurationError, match="leave out direct or archive"):
        EdgeSite.from_yaml(text, "harbour.yaml")
