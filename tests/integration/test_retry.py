"""Retry from Prefect's UI, on a real server with a real worker: only what failed runs again."""

from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest

from edgelift.demo.content import SampleImage
from tests.integration.prefect_server import PrefectServer, TaskRun
from tests.integration.sites import NAME, Site, content_requests, site_in

WHOLE = {"ok": 20, "differs": 0, "missing": 0, "not-checkable": 0}


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Site]:
    """Twenty images to move, five of them for two architectures."""
    with site_in(tmp_path, 20, multi_arch=5) as site:
        yield site


def test_a_retry_repeats_only_the_failed_pulls(worker: PrefectServer, site: Site) -> None:
    """Three of twenty pulls fail, all are named, and after Retry only these three bodies run, on the first lock."""
    failing = [site.images[number] for number in (3, 7, 11)]
    for image in failing:
        site.source.deny(f"/{image.repository}/blobs/")
    run = worker.start(worker.deploy(site.settings()), site.places)

    first = worker.wait(run)

    assert (first.type, first.message.count("403 DENIED")) == ("FAILED", 3)
    assert all(site.reference(image) in first.message for image in failing)
    expected = [*before(), *moves("pull", site, "Completed", failing, "Failed")]
    assert sorted(expected) == worker.task_runs(run, 1, len(expected))
    assert names_in_the_store(site) == {site.reference(image) for image in site.images if image not in failing}

    site.move_tag(site.images[0])
    site.source.heal()
    site.forget_requests()
    worker.retry(run)
    second = worker.wait(run)

    assert (second.type, second.message) == ("COMPLETED", "")
    expected = [
        *before(),
        *moves("pull", site, "Cached", failing, "Completed"),
        *moves("push", site, "Completed"),
        *after(site),
    ]
    assert sorted(expected) == worker.task_runs(run, 2, len(expected))
    assert content_requests(site.source, "GET", "HEAD") == {image.repository for image in failing}
    assert names_in_the_store(site) == set(map(site.reference, site.images))
    log = worker.log_of(run, last="Finished in state Completed")
    assert [line.startswith("replaying the lock") for line in log].count(True) == 1
    engine = [line.partition("(")[0] for line in log if line.startswith("Finished in state")]
    assert Counter(engine) == {
        "Finished in state Failed": 4,
        "Finished in state Cached": 17,
        "Finished in state Completed": 1,
    }
    assert (site.receipt["counts"], site.receipt["whole"]) == (WHOLE, True)
    assert [site.delivered(image) for image in site.images] == [image.root.digest for image in site.images]
    shown = worker.flow_run(run)
    assert (shown["name"], shown["run_count"]) == (f"sync {NAME}", 2)


def test_a_retry_repeats_only_the_failed_pushes(worker: PrefectServer, site: Site) -> None:
    """Three of twenty pushes fail; after Retry these three bodies run, nothing is pulled and nothing else is sent."""
    failing = [site.images[number] for number in (2, 5, 9)]
    for image in failing:
        site.target.deny(f"/{image.repository}/manifests/{image.tag}$", "PUT")
    run = worker.start(worker.deploy(site.settings()), site.places)

    first = worker.wait(run)

    assert (first.type, first.message.count("403 DENIED")) == ("FAILED", 3)
    assert all(site.reference(image) in first.message for image in failing)
    expected = [
        *before(),
        *moves("pull", site, "Completed"),
        TaskRun(f"assemble {NAME}", "Completed"),
        *moves("push", site, "Completed", failing, "Failed"),
    ]
    assert sorted(expected) == worker.task_runs(run, 1, len(expected))

    site.target.heal()
    site.forget_requests()
    worker.retry(run)
    second = worker.wait(run)

    assert (second.type, second.message) == ("COMPLETED", "")
    expected = [
        *before(),
        *moves("pull", site, "Cached"),
        *moves("push", site, "Cached", failing, "Completed"),
        *after(site),
    ]
    assert sorted(expected) == worker.task_runs(run, 2, len(expected))
    assert content_requests(site.source, "GET", "HEAD") == set()
    assert content_requests(site.target, "PUT", "POST", "PATCH") == {site.repository(image) for image in failing}
    assert (site.receipt["counts"], site.receipt["whole"]) == (WHOLE, True)


def names_in_the_store(site: Site) -> set[str]:
    """The references of what the worker's store has whole."""
    return set(site.store.references())


def before() -> list[TaskRun]:
    """What every attempt does first."""
    return [TaskRun(name, "Completed") for name in (f"resolve the content of {NAME}", "log in", f"plan {NAME}")]


def after(site: Site) -> list[TaskRun]:
    """What an attempt does besides, once nothing fails any more."""
    place = f"{site.target.host}/edge"
    return [TaskRun(name, "Completed") for name in (f"assemble {NAME}", f"validate {place}", f"report on {place}")]


def moves(verb: str, site: Site, state: str, apart: Sequence[SampleImage] = (), their_state: str = "") -> list[TaskRun]:
    """One task run an image, all in one `state` but for some that stand `apart`."""
    states = [their_state if image in apart else state for image in site.images]
    return [TaskRun(f"{verb} {site.reference(image)}", each) for image, each in zip(site.images, states, strict=True)]
