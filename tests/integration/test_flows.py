"""The traps between tasks and flows: what fails is told, nothing failed is called done, and nothing done is lost."""

import json
import os
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from prefect import flow, task

from blocks import RegistryCredentials
from edgelift.bundle.definition import BundleDefinition
from edgelift.bundle.lock import BundleLock
from edgelift.errors import (
    ConfigurationError,
    DeniedError,
    IncompleteError,
    IntegrityError,
    NotFoundError,
    PlanError,
    RefusedError,
    RegistryError,
    UnreachableError,
)
from edgelift.serve.access import Login
from flows.build_bundle import build_bundle
from flows.push_bundle import push_bundle
from flows.rebuild_bundle import rebuild_bundle
from flows.sync_site import sync_site
from tasks.archive import archive_bundle
from tasks.pull import pull_image
from tasks.push import push_image
from tasks.settle import is_retryable, settle
from tests.images import make_image_set, rename_image
from tests.integration.prefect_server import ROOT, Attempt, PrefectServer, TaskRun
from tests.integration.sites import NAME, Site, content_requests, site_in
from tests.simulators.registry import RegistrySimulator

WORKERS = 4


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Site]:
    """Four images to move, one of them for two architectures."""
    with site_in(tmp_path, 4) as site:
        yield site


def sync(prefect: PrefectServer, site: Site, first: Attempt | None = None, **settings: Any) -> Attempt:
    """Synchronise `site` in this process; after a `first` attempt, retry that."""
    parameters = {"site": site.settings(**settings), **site.places}
    return prefect.run(sync_site, parameters) if first is None else prefect.run_again(sync_site, parameters, first)


def verbs(task_runs: list[TaskRun], *wanted: str) -> Counter[tuple[str, str]]:
    """How many task runs of each of the `wanted` verbs ended in each state."""
    pairs = ((task.name.partition(" ")[0], task.state) for task in task_runs)
    return Counter(pair for pair in pairs if pair[0] in wanted)


# Failures


def test_a_failed_pull_fails_the_run(prefect: PrefectServer, site: Site) -> None:
    """With one pull of four failed the run is Failed, names that one only, and there is neither bundle nor push."""
    failing = site.images[2]
    site.source.deny(f"/{failing.repository}/blobs/")

    attempt = sync(prefect, site)

    assert (attempt.state, type(attempt.outcome)) == ("FAILED", IncompleteError)
    assert [line.partition(": ")[0] for line in attempt.outcome.failures] == [site.reference(failing)]
    assert (site.bundle.exists(), site.target.count("PUT", "/manifests/")) == (False, 0)


def test_a_failed_push_fails_the_run(prefect: PrefectServer, site: Site) -> None:
    """With one push of four failed the run is Failed, names that one only, and there is no receipt."""
    failing = site.images[1]
    site.target.deny(f"/{failing.repository}/manifests/", "PUT")

    attempt = sync(prefect, site)

    assert (attempt.state, type(attempt.outcome)) == ("FAILED", IncompleteError)
    assert [line.partition(": ")[0] for line in attempt.outcome.failures] == [site.reference(failing)]
    assert not (site.folder / "output" / f"{NAME}.receipt.json").exists()


def test_what_is_not_proved_fails_the_run(prefect: PrefectServer, site: Site) -> None:
    """Where the target does not serve what was pushed, the run is Failed, and its receipt says what is wrong."""
    digest = site.images[3].blobs[0].digest
    site.target.fail("HEAD", f"/{site.repository(site.images[3])}/blobs/{digest}", status=404, times=None, skip=1)

    attempt = sync(prefect, site)

    assert (attempt.state, type(attempt.outcome)) == ("FAILED", IncompleteError)
    assert site.receipt["counts"] == {"ok": 3, "differs": 0, "missing": 1, "not-checkable": 0}


def test_every_failure_is_told(prefect: PrefectServer) -> None:
    """All tasks settle, whatever they end with, and one error has a line for each that did not complete."""
    outcomes = {
        "good": None,
        "denied": DeniedError("the door is shut", hint="knock"),
        "broken": ValueError("no value"),
        "slow and good": None,
    }
    done = []

    @task
    def move(name: str) -> str:
        error = outcomes[name]
        if error is not None:
            raise error
        time.sleep(0.1 * name.count("slow"))
        done.append(name)
        return name

    @flow
    def move_all() -> list[str]:
        waits_in_vain = move.submit("denied")
        futures = move.map([*outcomes, waits_in_vain])
        return settle("moved", [*outcomes, "waits in vain"], futures)

    error = prefect.run(move_all, {}).outcome

    assert isinstance(error, IncompleteError)
    assert error.message == "3 of 5 images could not be moved; the others are done and stay done"
    assert error.failures == (
        "denied: the door is shut\n  → knock",
        "broken: ValueError: no value",
        "waits in vain: it never ended (NotReady)",
    )
    assert sorted(done) == ["good", "slow and good"]


def test_nothing_moves_where_the_plan_finds_problems(prefect: PrefectServer, site: Site) -> None:
    """A missing image stops the run before any blob; once it is there, a retry plans anew and completes."""
    missing = rename_image(site.images[0], "sample/late", "1.0")
    wanted = (*(site.reference(image) for image in site.images), site.reference(missing))

    first = sync(prefect, site, images=wanted)
    blobs = site.source.count("GET", "/blobs/")
    site.source.put_image(missing)
    second = sync(prefect, site, first, images=wanted)

    assert (first.state, type(first.outcome), len(first.outcome.failures)) == ("FAILED", PlanError, 1)
    assert blobs == 0
    assert (second.state, site.receipt["counts"]["ok"]) == ("COMPLETED", 5)


RETRIED_BY_ITSELF: dict[str, tuple[Exception, int]] = {
    "not there": (NotFoundError("404", status=404), 1),
    "denied": (DeniedError("403", status=403), 1),
    "refused": (RefusedError("413", status=413), 1),
    "wrong bytes": (IntegrityError("other bytes"), 1),
    "settings": (ConfigurationError("no such block"), 1),
    "defect": (KeyError("a defect of ours"), 1),
    "no answer": (UnreachableError("connection refused"), 3),
    "too many requests": (RegistryError("429", status=429, retryable=True), 3),
    "server error": (RegistryError("503", status=503, retryable=True), 3),
}


@pytest.mark.parametrize(("error", "tries"), RETRIED_BY_ITSELF.values(), ids=RETRIED_BY_ITSELF)
def test_only_what_may_pass_is_retried(prefect: PrefectServer, error: Exception, tries: int) -> None:
    """Prefect repeats a task on its own only after an error that may pass."""
    seen = []

    @task(retries=2, retry_delay_seconds=0, retry_condition_fn=is_retryable)
    def move() -> None:
        seen.append(1)
        raise error

    @flow
    def move_one() -> None:
        move()

    attempt = prefect.run(move_one, {})

    assert (attempt.state, type(attempt.outcome), len(seen)) == ("FAILED", type(error), tries)


def test_moving_tasks_are_retried_on_that_condition() -> None:
    """Pull, push and archive are the tasks that talk to servers at length: each has the condition, and two retries."""
    tasks = (pull_image, push_image, archive_bundle)

    assert [(task.retries, task.retry_condition_fn) for task in tasks] == [(2, is_retryable)] * 3


# What is remembered between attempts


def test_a_flow_that_retries_itself_repeats_only_what_failed(prefect: PrefectServer, site: Site) -> None:
    """With `retries` set on the flow, too, the second attempt pulls the failed image only."""
    failing = site.images[3]
    site.source.fail("GET", f"/{failing.repository}/blobs/", status=403, times=1)
    patient = sync_site.with_options(retries=1, retry_delay_seconds=0)

    attempt = prefect.run(patient, {"site": site.settings(), **site.places})

    pulls = verbs(prefect.task_runs(attempt.run, 2, 3 + 4 + 4 + 3), "pull", "push")
    assert attempt.state == "COMPLETED"
    assert pulls == {("pull", "Cached"): 3, ("pull", "Completed"): 1, ("push", "Completed"): 4}
    assert len(attempt_blobs(site)) == len(set(attempt_blobs(site)))


def test_what_is_gone_from_the_store_is_pulled_again(prefect: PrefectServer, site: Site) -> None:
    """A pull that is remembered, but whose blob is not there any more, runs again, and no other does."""
    site.target.deny(f"/{site.images[0].repository}/manifests/", "PUT")
    first = sync(prefect, site)
    lost = site.images[2].blobs[-1]
    site.store.path(lost.digest).unlink()
    site.target.heal()
    site.forget_requests()

    second = sync(prefect, site, first)

    pulls = verbs(prefect.task_runs(second.run, 2, 3 + 5 + 4 + 3), "pull")
    assert (first.state, second.state) == ("FAILED", "COMPLETED")
    assert pulls == {("pull", "Cached"): 4, ("pull", "Completed"): 1}
    assert attempt_blobs(site) == [f"/v2/{site.images[2].repository}/blobs/{lost.digest}"]
    assert site.receipt["whole"]


@pytest.mark.parametrize("on_conflict", ["fail", "keep", "replace"])
def test_what_is_gone_from_the_target_is_pushed_again(prefect: PrefectServer, site: Site, on_conflict: str) -> None:
    """A push that is remembered, but whose tag is not there any more, runs again, and no other does."""
    failing, lost = site.images[0], site.images[3]
    site.target.deny(f"/{failing.repository}/manifests/", "PUT")
    first = sync(prefect, site, on_conflict=on_conflict)
    site.lose_tag(lost)
    site.target.heal()

    second = sync(prefect, site, first, on_conflict=on_conflict)

    pushes = verbs(prefect.task_runs(second.run, 2, 3 + 4 + 5 + 3), "push")
    assert (first.state, second.state) == ("FAILED", "COMPLETED")
    assert pushes == {("push", "Cached"): 3, ("push", "Completed"): 2}
    assert site.delivered(lost) == lost.root.digest


def test_a_new_run_asks_for_everything_anew(prefect: PrefectServer, site: Site) -> None:
    """Results are remembered within one run: the next scheduled run looks at every image itself."""
    first, second = sync(prefect, site), sync(prefect, site)

    task_runs = prefect.task_runs(second.run, 1, 3 + 4 + 4 + 3)
    assert first.run != second.run
    assert verbs(task_runs, "pull", "push") == {("pull", "Completed"): 4, ("push", "Completed"): 4}


def test_a_changed_password_counts_at_the_next_attempt(prefect: PrefectServer, tmp_path: Path) -> None:
    """A password that is changed in its block between run and retry is used, and what is done stays done."""
    save_login(prefect, "old")
    with site_in(tmp_path, 4, login=Login("courier", "old")) as site:
        save_login(prefect, "old", site.source.host)
        site.source.deny(f"/{site.images[2].repository}/blobs/")
        first = sync(prefect, site, registries=("source",))
    port = int(site.source.host.rpartition(":")[2])
    login = Login("courier", "new")
    with (
        RegistrySimulator(tmp_path / "source", login=login, port=port) as source,
        RegistrySimulator(tmp_path / "target", port=int(site.target.host.rpartition(":")[2])),
    ):
        save_login(prefect, "new", site.source.host)
        second = sync(prefect, site, first, registries=("source",))

    pulls = verbs(prefect.task_runs(second.run, 2, 3 + 4 + 4 + 3), "pull")
    assert (first.state, second.state) == ("FAILED", "COMPLETED")
    assert pulls == {("pull", "Cached"): 3, ("pull", "Completed"): 1}
    assert content_requests(source, "GET") == {site.images[2].repository}


def test_keys_of_results_are_the_same_in_every_process() -> None:
    """A retry may run in another process, on another machine: neither its hashes nor the bundle's path count."""
    keys = [cache_keys(seed, content) for seed, content in (("1", "/here/a.tar.zst"), ("2", "/there/b.tar.zst"))]

    assert keys[0] == keys[1]
    assert len(set(keys[0])) == 2


CACHE_KEYS = """
import json, sys
from types import SimpleNamespace
from edgelift.bundle.lock import LockedImage
from edgelift.site import RegistryAccess, TargetSettings
from tasks.pull import pull_image
from tasks.push import push_image

image = LockedImage.model_validate(json.loads(sys.argv[1]))
access = RegistryAccess(registries=("b", "a"), plain_http=("y", "x"), ca_cert="/ca.pem")
target = TargetSettings(registry="mirror.example", rules=("quay.io/z=z", "quay.io/a=a"))
context = SimpleNamespace(task_run=SimpleNamespace(flow_run_id="the run"))
for task, inputs in (
    (pull_image, {"image": image, "access": access, "store": "/store"}),
    (push_image, {"image": image, "access": access, "target": target, "content": sys.argv[2]}),
):
    print(task.cache_policy.compute_key(context, inputs, {}))
"""


def cache_keys(seed: str, content: str) -> list[str]:
    """The cache keys of a pull and a push in a process of its own."""
    image = make_image_set(1, 1)[0]
    locked = {
        "reference": f"registry.example/{image.repository}:{image.tag}",
        "descriptor": image.root.plain().model_dump(mode="json", by_alias=True, exclude_none=True),
        "manifests": [
            each.plain().model_dump(mode="json", by_alias=True, exclude_none=True) for each in image.manifests
        ],
        "blobs": [each.plain().model_dump(mode="json", by_alias=True, exclude_none=True) for each in image.blobs],
    }
    run = subprocess.run(
        [sys.executable, "-c", CACHE_KEYS, json.dumps(locked), content],
        cwd=ROOT,
        env={**os.environ, "PYTHONHASHSEED": seed},
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    )
    return run.stdout.split()


# How many, and how often


def test_an_image_asked_for_twice_is_moved_once(prefect: PrefectServer, site: Site) -> None:
    """A reference that is named twice is one task, and two tags of one image do not fetch a blob twice."""
    image = site.images[0]
    alias = rename_image(image, image.repository, "also")
    site.source.put_image(alias)
    wanted = (site.reference(image), site.reference(image), site.reference(alias))

    attempt = sync(prefect, site, images=wanted)

    assert attempt.state == "COMPLETED", attempt.outcome
    assert verbs(prefect.task_runs(attempt.run, 1, 3 + 2 + 2 + 3), "pull", "push") == {
        ("pull", "Completed"): 2,
        ("push", "Completed"): 2,
    }
    assert len(attempt_blobs(site)) == len(set(attempt_blobs(site))) == len(image.blobs)


def test_nothing_to_pull_is_no_failure(prefect: PrefectServer, tmp_path: Path) -> None:
    """A lock without images is built into a bundle without images."""
    lock_file = tmp_path / "empty.lock.json"
    lock_file.write_bytes(BundleLock(definition=BundleDefinition(name="empty"), images=()).to_json())
    places = {"output": str(tmp_path / "output"), "store": str(tmp_path / "store")}

    attempt = prefect.run(rebuild_bundle, {"name": "empty", "lock_file": str(lock_file), **places})

    assert (attempt.state, attempt.outcome.images) == ("COMPLETED", 0)


def test_no_more_images_are_pulled_at_a_time_than_there_are_workers(prefect: PrefectServer, tmp_path: Path) -> None:
    """With every download stalled, as many images are under way as the flow has workers, and not one more."""
    with site_in(tmp_path, 8, multi_arch=0) as site:
        site.source.stall("GET", "/blobs/", after_bytes=None, times=None)
        attempts: list[Attempt] = []
        running = threading.Thread(target=lambda: attempts.append(sync(prefect, site)))
        running.start()
        deadline = time.monotonic() + 30
        while len(pulling(site)) < WORKERS and time.monotonic() < deadline:
            time.sleep(0.02)
        time.sleep(0.5)
        at_once = len(pulling(site))
        site.source.heal()
        running.join()

    assert at_once == WORKERS
    assert [attempt.state for attempt in attempts] == ["COMPLETED"]


def test_every_flow_has_a_bound() -> None:
    """Prefect's default is a thread for every image."""
    flows = (build_bundle, push_bundle, rebuild_bundle, sync_site)

    assert [flow.task_runner._max_workers for flow in flows] == [WORKERS] * 4


def attempt_blobs(site: Site) -> list[str]:
    """The blobs that the source was asked for and gave."""
    return [each.path for each in site.source.requests if "/blobs/" in each.path and each.status == 200]


def pulling(site: Site) -> set[str]:
    """The repositories with a download that has begun."""
    return {each.path.partition("/blobs/")[0] for each in site.source.requests if "/blobs/" in each.path}


def save_login(prefect: PrefectServer, password: str, host: str = "registry.example") -> None:
    """Write the block that holds the login of the source."""
    with prefect.as_api():
        block = RegistryCredentials(registry=host, username="courier", password=password)
        block.save("source", overwrite=True)
