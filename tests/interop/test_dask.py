"""The flows on a Dask cluster of two processes, with a store in S3: each blob fetched once, the bundle as ever."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from blocks import BlobStore
from flows.sync_site import sync_site
from tasks.runner import ADDRESS, choose_task_runner
from tests.integration.prefect_server import PrefectServer, prefect_server_at
from tests.integration.sites import NAME, Site, site_in, sync
from tests.real_parts import RunningS3

distributed = pytest.importorskip("distributed", reason="install edgelift[dask]")
pytest.importorskip("prefect_dask", reason="install edgelift[dask]")


@pytest.fixture(scope="session")
def prefect(tmp_path_factory: pytest.TempPathFactory) -> Iterator[PrefectServer]:
    """A real Prefect server with an empty database."""
    with prefect_server_at(tmp_path_factory.mktemp("prefect")) as server:
        yield server


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Site]:
    """Eight images to move."""
    with site_in(tmp_path, 8, multi_arch=2) as site:
        yield site


@pytest.fixture
def block(prefect: PrefectServer, s3_server: RunningS3) -> str:
    """A store in S3, as flows name it."""
    bucket = s3_server.make_bucket("dask-store")
    with prefect.as_api():
        BlobStore(
            bucket=bucket,
            **s3_server.access,
        ).save("dask", overwrite=True)
    return "block:dask"


@pytest.fixture
def cluster(prefect: PrefectServer, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """The address of a scheduler with two workers, each a process of its own with two threads."""
    for name, value in prefect.environment.items():
        monkeypatch.setenv(name, value)
    with distributed.LocalCluster(n_workers=2, threads_per_worker=2, processes=True, dashboard_address=None) as cluster:
        yield cluster.scheduler_address


def test_a_site_is_synchronised_on_a_cluster(
    prefect: PrefectServer, site: Site, block: str, cluster: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The same flow with another task runner: pulls and pushes run in the workers, the bundle is the same."""
    monkeypatch.setenv(ADDRESS, cluster)
    on_cluster = sync_site.with_options(task_runner=choose_task_runner())
    elsewhere = site.folder / "elsewhere"

    run = prefect.run(on_cluster, {"site": site.settings(), "output": str(elsewhere), "store": block})

    fetched = [path.rpartition("/")[2] for path in site.fetched_blobs]
    blobs = {str(blob.digest) for image in site.images for blob in image.blobs}
    assert run.state == "COMPLETED", run.outcome
    assert sorted(fetched) == sorted(blobs)
    assert [site.delivered(image) for image in site.images] == [image.root.digest for image in site.images]
    assert sync(prefect, site).state == "COMPLETED"
    assert (elsewhere / f"{NAME}.tar.zst").read_bytes() == site.bundle.read_bytes()
