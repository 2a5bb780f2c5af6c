"""Flows on a store in S3: the same bundle, the same delivery, whatever machine does it."""

from typing import Any

import pytest

from blocks import BlobStore
from edgelift.oci.digest import Digest
from edgelift.store.s3 import S3Store
from flows.sync_site import sync_site
from tests.integration.prefect_server import Attempt, PrefectServer
from tests.integration.sites import NAME, Site, sync
from tests.real_parts import RunningS3


@pytest.fixture
def block(prefect: PrefectServer, s3_server: RunningS3) -> BlobStore:
    """A block for a bucket of its own, saved as `shared`."""
    bucket = s3_server.make_bucket(f"machines-{prefect.folder.name}")
    block = BlobStore(
        bucket=bucket,
        prefix="store",
        **s3_server.access,
    )
    with prefect.as_api():
        block.save("shared", overwrite=True)
    return block


def run_elsewhere(prefect: PrefectServer, site: Site, store: str | None, **settings: Any) -> Attempt:
    """Synchronise `site` with an output folder of its own, and no folder for a store."""
    parameters = {"site": site.settings(**settings), "output": str(site.folder / "elsewhere"), "store": store}
    return prefect.run(sync_site, parameters)


def test_a_site_is_synchronised_through_a_store_in_s3(
    prefect: PrefectServer, site: Site, block: BlobStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Directly, with the block as the parameter; with a bundle, where the worker's environment names the block.

    The bundle is that of a store in a folder, to the byte, and the second run fetches no blob that is there.
    """
    monkeypatch.setenv("XDG_CACHE_HOME", str(site.folder / "cache"))
    direct = run_elsewhere(prefect, site, "block:shared", direct=True)
    monkeypatch.setenv("EDGELIFT_STORE", "block:shared")
    whole = run_elsewhere(prefect, site, None)
    site.forget_requests()
    again = run_elsewhere(prefect, site, None)
    fetched = site.fetched_blobs
    monkeypatch.delenv("EDGELIFT_STORE")
    local = sync(prefect, site)

    assert [each.state for each in (direct, whole, again, local)] == ["COMPLETED"] * 4, (direct.outcome, whole.outcome)
    assert fetched == []
    assert (site.folder / "elsewhere" / f"{NAME}.tar.zst").read_bytes() == site.bundle.read_bytes()
    assert not (site.folder / "cache" / "edgelift" / "store").exists()
    assert [site.delivered(image) for image in site.images] == [image.root.digest for image in site.images]
    store: S3Store = block.get_client()
    assert store.references().keys() == {site.reference(image) for image in site.images}
    assert store.runs.find(_lock_digest(site)) is not None


def _lock_digest(site: Site) -> Digest:
    return Digest.of((site.folder / "elsewhere" / f"{NAME}.lock.json").read_bytes())
