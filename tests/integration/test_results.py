"""Results that workers share: a retry on another one repeats only what failed, and storage that fails is told of."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from prefect.settings import (
    PREFECT_RESULTS_DEFAULT_STORAGE_BLOCK,
    PREFECT_RESULTS_LOCAL_STORAGE_PATH,
    temporary_settings,
)
from pydantic import SecretStr

from blocks.results import ResultStorage
from edgelift.errors import ConfigurationError, StoreError
from flows.sync_site import sync_site
from tests.integration.prefect_server import Attempt, PrefectServer
from tests.integration.sites import Site, content_requests
from tests.real_parts import RunningS3

WHOLE = {"ok": 4, "differs": 0, "missing": 0, "not-checkable": 0}


@contextmanager
def on_worker(home: Path, results: str | None = None) -> Iterator[None]:
    """What runs in this process runs as on a worker with a `home` of its own, which keeps `results` in that block."""
    settings = {PREFECT_RESULTS_LOCAL_STORAGE_PATH: home, PREFECT_RESULTS_DEFAULT_STORAGE_BLOCK: results}
    with temporary_settings({name: value for name, value in settings.items() if value is not None}):
        yield


@pytest.fixture(scope="module")
def storage(prefect: PrefectServer, s3_server: RunningS3) -> str:
    """The block of a bucket that keeps results."""
    block = bucket_block(s3_server, s3_server.make_bucket("results"))
    with prefect.as_api():
        block.save("shared", overwrite=True)
    return "result-storage/shared"


def bucket_block(server: RunningS3, bucket: str) -> ResultStorage:
    """The block of `bucket`, with the keys to it."""
    keys = {"access_key": SecretStr(server.access_key), "secret_key": SecretStr(server.secret_key)}
    return ResultStorage(bucket=bucket, prefix="results/", endpoint=server.endpoint, **keys)


def attempt(prefect: PrefectServer, site: Site, first: Attempt | None = None) -> Attempt:
    """Synchronise `site`, or retry the `first` attempt at that, with the store of whichever worker this is."""
    places = {**site.places, "store": None}  # the one in the user's cache: every worker has its own
    parameters = {"site": site.settings(), **places}
    return prefect.run(sync_site, parameters) if first is None else prefect.run_again(sync_site, parameters, first)


def test_a_retry_elsewhere_repeats_only_what_failed(prefect: PrefectServer, site: Site, storage: str) -> None:
    """A worker with another home and the same store asks for the image that failed, and for no other."""
    failing = site.images[2]
    site.source.deny(f"/{failing.repository}/blobs/")
    parameters = {"site": site.settings(), **site.places}
    with on_worker(site.folder / "home-1", storage):
        first = prefect.run(sync_site, parameters)
    site.source.heal()
    site.forget_requests()
    with on_worker(site.folder / "home-2", storage):
        second = prefect.run_again(sync_site, parameters, first)

    assert (first.state, second.state, site.receipt["counts"]) == ("FAILED", "COMPLETED", WHOLE)
    assert content_requests(site.source, "GET", "HEAD") == {failing.repository}
    assert [path for home in ("home-1", "home-2") for path in (site.folder / home).rglob("*")] == []


def test_a_retry_elsewhere_keeps_to_the_first_lock(
    prefect: PrefectServer, site: Site, storage: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A worker with a store of its own finds the lock beside the results: a tag that has moved changes nothing."""
    site.source.deny(f"/{site.images[2].repository}/blobs/")
    monkeypatch.setenv("XDG_CACHE_HOME", str(site.folder / "cache-1"))
    with on_worker(site.folder / "home-1", storage):
        first = attempt(prefect, site)
    site.move_tag(site.images[0])
    site.source.heal()
    monkeypatch.setenv("XDG_CACHE_HOME", str(site.folder / "cache-2"))
    with on_worker(site.folder / "home-2", storage):
        second = attempt(prefect, site, first)

    assert (first.state, second.state, site.receipt["counts"]) == ("FAILED", "COMPLETED", WHOLE)
    assert [site.delivered(image) for image in site.images] == [image.root.digest for image in site.images]
    assert (site.folder / "cache-2").is_dir()


def test_storage_that_fails_is_told_of(prefect: PrefectServer, site: Site, s3_server: RunningS3) -> None:
    """A bucket that is not there would make every retry repeat everything, in silence: the run ends before it moves."""
    with prefect.as_api():
        bucket_block(s3_server, "no-such-bucket").save("lost", overwrite=True)
    with on_worker(site.folder / "home", "result-storage/lost"):
        outcome = prefect.run(sync_site, {"site": site.settings(), **site.places}).outcome

    assert isinstance(outcome, ConfigurationError)
    assert "the block result-storage/lost, and a retry would repeat everything" in outcome.message
    assert "NoSuchBucket" in outcome.message
    assert s3_server.secret_key not in str(outcome)
    assert site.source.count("GET", "/blobs/") == 0


def test_a_folder_that_fails_is_told_of(prefect: PrefectServer, site: Site) -> None:
    """So would a folder that cannot be written to."""
    site.folder.joinpath("home").write_text("a file stands there")
    with on_worker(site.folder / "home"):
        outcome = prefect.run(sync_site, {"site": site.settings(), **site.places}).outcome

    assert isinstance(outcome, ConfigurationError)
    assert f"results cannot be kept in {site.folder / 'home'}" in outcome.message


def test_results_are_kept_under_the_prefix(storage: str, prefect: PrefectServer, s3_server: RunningS3) -> None:
    """What is written comes back, what is not there is no error of the server, and one bucket may hold other things."""
    with prefect.as_api():
        block = ResultStorage.load("shared")
    block.write_path("a/b", b"content")

    listed = s3_server.client().list_objects_v2(Bucket="results", Prefix="results/a/")["Contents"]
    assert (block.read_path("a/b"), [each["Key"] for each in listed]) == (b"content", ["results/a/b"])
    with pytest.raises(ValueError, match="there is no result at a/c"):
        block.read_path("a/c")
    with pytest.raises(StoreError, match="NoSuchBucket"):
        bucket_block(s3_server, "no-such-bucket").write_path("a/b", b"content")
