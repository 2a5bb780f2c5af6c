"""The flows that look after a store and an archive: what they tell, what they take away, and how they end."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from blocks import BlobStore, BundleArchive
from edgelift.archive.directory import DirectoryArchive
from edgelift.bundle.definition import RequestedChart
from edgelift.bundle.writer import assemble_bundle
from edgelift.demo.charts import make_chart
from edgelift.demo.content import SampleLayer, make_image
from edgelift.site import RegistryAccess
from edgelift.store.local import LocalStore
from edgelift.store.runs import RunLocks
from flows.keep_archive import keep_archive
from flows.keep_store import keep_store
from tests.archive.buckets import Bucket, digest_of
from tests.archive.bundles import files_of, make_bundle
from tests.charts.delivery import plan, pull
from tests.integration.prefect_server import PrefectServer
from tests.real_parts import RunningS3
from tests.simulators.charts import ChartRepositorySimulator
from tests.store.content import keep_image, lock_of, make_older, name_of
from tests.store.s3_content import keep_in_bucket, keys_in

OLD = make_image("team/old", layers=(SampleLayer("tar", 20_000),))
NEW = make_image("team/new", layers=(SampleLayer("tar", 30_000),))
LOST = max(NEW.blobs, key=lambda blob: blob.size)


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A store with two images, pulled 60 days ago and today; no process has it open."""
    store = LocalStore(tmp_path / "store")
    keep_image(store, OLD, days=60)
    keep_image(store, NEW)
    return store.root


def report(prefect: PrefectServer, key: str) -> str:
    """The newest artifact of that key."""
    return str(prefect.ask("GET", f"/artifacts/{key}/latest")["data"])


def test_a_store_is_told_of(prefect: PrefectServer, root: Path) -> None:
    """Without `delete` the report says what would go, and nothing does."""
    told = prefect.run(keep_store, {"store": str(root), "older_than_days": 30})

    swept = report(prefect, "store-sweep")
    assert (told.state, "would delete 1 image," in swept, name_of(OLD) in swept) == ("COMPLETED", True, True)
    assert len(LocalStore(root).references()) == 2


def test_a_store_is_swept_and_checked(prefect: PrefectServer, root: Path) -> None:
    """What is old goes, and what stays is hashed."""
    swept = prefect.run(keep_store, {"store": str(root), "older_than_days": 30, "delete": True, "wait": 0})

    assert (swept.state, swept.outcome.problems, swept.outcome.images) == ("COMPLETED", 0, 1), swept.outcome
    assert list(LocalStore(root).references()) == [name_of(NEW)]
    assert "deleted 1 image," in report(prefect, "store-sweep")
    assert "all is right" in report(prefect, "store-check")


def test_a_store_that_is_in_use_is_left_alone(prefect: PrefectServer, root: Path) -> None:
    """Whoever has it open is waited for, then the run fails, and nothing has been deleted."""
    user = LocalStore(root)

    refused = prefect.run(keep_store, {"store": str(root), "older_than_days": 30, "delete": True, "wait": 0})

    assert (refused.state, len(user.references())) == ("FAILED", 2)
    assert "is in use by another process; nothing was deleted" in refused.outcome.message


def test_a_damaged_store_is_mended(prefect: PrefectServer, root: Path, tmp_path: Path) -> None:
    """Damage fails the run and is named; with a bundle that holds the content it is mended."""
    bundle = tmp_path / "site.tar.zst"
    assemble_bundle(lock_of(NEW), LocalStore(root), bundle)
    (root / "blobs" / LOST.digest.algorithm / LOST.digest.hex).unlink()

    damaged = prefect.run(keep_store, {"store": str(root)})
    mended = prefect.run(keep_store, {"store": str(root), "repair_from": (str(bundle),)})

    assert damaged.state == "FAILED"
    assert str(LOST.digest) in str(damaged.outcome)
    assert (mended.state, mended.outcome.problems, mended.outcome.unmended) == ("COMPLETED", 1, 0)
    assert LocalStore(root).exists(LOST)


def test_a_chart_is_mended_of_what_it_was_made_of(prefect: PrefectServer, tmp_path: Path) -> None:
    """It is in no registry: the lock of the run that brought it says where its archive is."""
    store = LocalStore(tmp_path / "store")
    with ChartRepositorySimulator() as charts:
        charts.add(make_chart("web", "1.2.3"))
        lock = plan(store, RequestedChart(repository=charts.url, name="web", version="1.2.3")).lock
        pull(lock, store)
        store.tag({image.reference: image.descriptor for image in lock.images})
        RunLocks(store.root).keep("run", lock)
        for descriptor in lock.unique_blobs():
            store.path(descriptor.digest).unlink()
        asked = {"store": str(store.root), "access": RegistryAccess(docker_config=False)}
        damaged = prefect.run(keep_store, asked)
        mended = prefect.run(keep_store, {**asked, "repair": True})

    assert damaged.state == "FAILED"
    assert (mended.state, mended.outcome.unmended) == ("COMPLETED", 0), mended.outcome
    assert all(map(store.exists, lock.unique_blobs()))


def test_a_store_in_s3_is_swept_and_checked(prefect: PrefectServer, s3_server: RunningS3) -> None:
    """By the block that runs name, with the same reports."""
    bucket = Bucket(s3_server, s3_server.make_bucket("kept-store"))
    with prefect.as_api():
        block = BlobStore(
            bucket=bucket.name,
            **s3_server.access,
        )
        block.save("kept", overwrite=True)
    keep_in_bucket(block.get_client(), OLD, NEW)
    rules: dict[str, Any] = {"store": "block:kept", "max_size": 1}

    told = prefect.run(keep_store, rules)
    swept = prefect.run(keep_store, {**rules, "delete": True, "wait": 60})

    assert (told.state, swept.state) == ("COMPLETED", "COMPLETED"), swept.outcome
    assert (told.outcome.images, swept.outcome.images) == (2, 0)
    assert f"# s3://{bucket.name}" in report(prefect, "store-sweep")
    assert "all is right" in report(prefect, "store-check")
    assert keys_in(bucket, "blobs/") == []


def test_no_store_is_made_by_looking_after_it(prefect: PrefectServer, tmp_path: Path) -> None:
    """A worker without one says so."""
    failed = prefect.run(keep_store, {"store": str(tmp_path / "nothing")})

    assert (failed.state, "there is no store in" in str(failed.outcome)) == ("FAILED", True)
    assert not (tmp_path / "nothing").exists()


def test_old_bundles_go_from_a_directory(prefect: PrefectServer, tmp_path: Path) -> None:
    """Two of three by the rules of the run, once they are to be deleted; the newest stays."""
    share = tmp_path / "share"
    share.mkdir()
    fill(DirectoryArchive(share), tmp_path, 3, lambda number: make_older(share / f"{number}.tar.zst", 10 - number))
    rules: dict[str, Any] = {"archive": {"directory": str(share)}, "keep": 1}

    told = prefect.run(keep_archive, rules)
    kept = len(list(share.glob("*.tar.zst")))
    pruned = prefect.run(keep_archive, {**rules, "delete": True})

    assert (told.outcome.bundles, kept, pruned.outcome.bundles) == (2, 3, 2), pruned.outcome
    assert [path.name for path in share.glob("*.tar.zst")] == ["2.tar.zst"]
    assert "deleted 2 bundles" in report(prefect, "archive-pruning")


def test_old_bundles_go_from_a_bucket_as_its_block_says(
    prefect: PrefectServer, s3_server: RunningS3, tmp_path: Path
) -> None:
    """Without a rule of its own, a run keeps what the Bundle Archive block wants kept."""
    bucket = Bucket(s3_server, s3_server.make_bucket("housekeeping"))
    with prefect.as_api():
        block = BundleArchive(
            bucket=bucket.name,
            **s3_server.access,
            keep=1,
        )
        block.save("housekeeping", overwrite=True)
    fill(block.get_client(), tmp_path, 2)

    pruned = prefect.run(keep_archive, {"archive": {"block": "housekeeping"}, "delete": True})

    assert (pruned.state, pruned.outcome.bundles, pruned.outcome.kept) == ("COMPLETED", 1, 1), pruned.outcome
    assert len([key for key in bucket.state()[0] if key.endswith(".tar.zst")]) == 1


def test_a_registry_is_not_pruned(prefect: PrefectServer) -> None:
    """Its own rules do that; the error says so."""
    failed = prefect.run(keep_archive, {"archive": {"artifact": "mirror.example/bundles"}})

    assert "what a registry keeps is not pruned from here" in str(failed.outcome)


def fill(archive: Any, folder: Path, count: int, after: Callable[[int], None] = lambda _: None) -> None:
    """Archive `count` bundles of one name, 0.tar.zst first; `after` each is called with its number."""
    for number in range(count):
        path = folder / f"{number}.tar.zst"
        for file in files_of(path, make_bundle(path, seed=number)):
            archive.store(file, digest=digest_of(file))
        after(number)
