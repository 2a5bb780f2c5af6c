"""What fails in a run is told, all of it, and nothing that failed is ever called done."""

import importlib
import time

import pytest
from prefect import Task, flow, task

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
from tasks.settle import is_retryable, settle
from tests.images import rename_image
from tests.integration.prefect_server import ROOT, PrefectServer
from tests.integration.sites import NAME, Site, sync


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
    digest = site.images[3].blobs[-1].digest  # its config, which no other image has
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
    def move_all() -> None:
        waits_in_vain = move.submit("denied")
        futures = move.map([*outcomes, waits_in_vain])
        settle("moved", [*outcomes, "waits in vain"], futures)

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
    """What talks to servers at length has the condition and jitter; all else leaves retrying to its clients."""
    modules = [importlib.import_module(f"tasks.{path.stem}") for path in (ROOT / "tasks").glob("[a-z]*.py")]
    tasks = {each.name: each for module in modules for each in vars(module).values() if isinstance(each, Task)}
    retried = {name: each for name, each in tasks.items() if each.retries}

    assert {"plan", "credentials", "validate", "pull", "push", "archive"} <= set(tasks)
    assert {"pull", "push", "archive"} <= set(retried) <= {"pull", "push", "archive", "deliver"}
    policies = {(each.retries, each.retry_jitter_factor, each.retry_condition_fn) for each in retried.values()}
    assert policies == {(2, 0.5, is_retryable)}
