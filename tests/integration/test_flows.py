"""Between attempts, and between images: what is done is not done again, and no more is done at a time than agreed."""

import os
import subprocess
import sys
import threading
import time
from collections import Counter
from pathlib import Path

import pytest

from blocks import RegistryCredentials
from edgelift.bundle.definition import BundleDefinition, RequestedImage
from edgelift.bundle.lock import BundleLock, LockedImage
from edgelift.serve.access import Login
from edgelift.site import ContentSource, RegistryAccess, TargetSettings
from flows.build_bundle import build_bundle
from flows.push_bundle import push_bundle
from flows.rebuild_bundle import rebuild_bundle
from flows.sync_site import sync_site
from tests.images import make_image_set, rename_image
from tests.integration.prefect_server import ROOT, Attempt, PrefectServer, TaskRun
from tests.integration.sites import NAME, Site, content_requests, site_in, sync
from tests.simulators.registry import RegistrySimulator

WORKERS = 4

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
    assert len(site.fetched_blobs) == len(set(site.fetched_blobs))


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
    assert site.fetched_blobs == [f"/v2/{site.images[2].repository}/blobs/{lost.digest}"]
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


def test_an_edited_definition_is_built_and_a_part_of_it_pushed(prefect: PrefectServer, site: Site) -> None:
    """Without Palette, from a file on the worker; only what is selected leaves, and the receipt says so."""
    references = sorted(map(site.reference, site.images))
    asked = [RequestedImage(reference=each) for each in references]
    asked[1] = RequestedImage(reference=references[1], annotations={"tier": "web"})
    path = site.folder / "edited.yaml"
    path.write_text(BundleDefinition(name="other", images=tuple(asked)).to_yaml())
    access = RegistryAccess(docker_config=False)
    built = prefect.run(
        build_bundle,
        {"name": NAME, "source": ContentSource(definition_file=str(path)), "access": access, **site.places},
    )
    site.forget_requests()
    target = TargetSettings(registry=f"{site.target.host}/edge")
    pushed = prefect.run(
        push_bundle,
        {
            "bundle": str(site.bundle),
            "target": target,
            "output": site.places["output"],
            "access": access,
            "annotation_selector": "tier=web",
        },
    )

    delivered = [image for image in site.images if site.delivered(image) is not None]
    assert (built.state, pushed.state) == ("COMPLETED", "COMPLETED")
    assert [site.reference(image) for image in delivered] == [references[1]]
    assert (site.receipt["selection"], site.receipt["whole"], len(site.receipt["proofs"])) == ("tier=web", True, 1)


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
import sys
from types import SimpleNamespace
from edgelift.bundle.lock import LockedImage
from edgelift.site import RegistryAccess, TargetSettings
from tasks.pull import pull_image
from tasks.push import push_image

image = LockedImage.model_validate_json(sys.argv[1])
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
    locked = LockedImage(
        reference=f"registry.example/{image.repository}:{image.tag}",
        descriptor=image.root.plain(),
        manifests=tuple(each.plain() for each in image.manifests),
        blobs=tuple(each.plain() for each in image.blobs),
    )
    run = subprocess.run(
        [sys.executable, "-c", CACHE_KEYS, locked.model_dump_json(by_alias=True), content],
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
    assert len(site.fetched_blobs) == len(set(site.fetched_blobs)) == len(image.blobs)


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
        running = threading.Thread(target=lambda: attempts.append(sync(prefect, site, parallel=32)))
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


def verbs(task_runs: list[TaskRun], *wanted: str) -> Counter[tuple[str, str]]:
    """How many task runs of each of the `wanted` verbs ended in each state."""
    pairs = ((task.name.partition(" ")[0], task.state) for task in task_runs)
    return Counter(pair for pair in pairs if pair[0] in wanted)


def pulling(site: Site) -> set[str]:
    """The repositories with a download that has begun."""
    return {each.path.partition("/blobs/")[0] for each in site.source.requests if "/blobs/" in each.path}


def save_login(prefect: PrefectServer, password: str, host: str = "registry.example") -> None:
    """Write the block that holds the login of the source."""
    with prefect.as_api():
        block = RegistryCredentials(registry=host, username="courier", password=password)
        block.save("source", overwrite=True)
