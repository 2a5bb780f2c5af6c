"""What may go from a store, by rule: ages, sizes, locks that are kept, and leftovers."""

import time
from collections.abc import Callable
from pathlib import Path

import pytest

from edgelift.demo.content import SampleImage, SampleLayer, make_image
from edgelift.oci.content import CHUNK
from edgelift.oci.digest import Digest
from edgelift.store.layout import index_document
from edgelift.store.local import LocalStore
from edgelift.store.runs import RunLocks
from edgelift.store.sweep import Rules, Sweep, plan_sweep, sweep_store
from tests.store.content import (
    blobs_in,
    contents_of,
    describe,
    files_in,
    keep,
    keep_image,
    lock_of,
    make_older,
    name_of,
)

DAY = 86_400
LAYER = SampleLayer("tar", 100_000)
OLD = make_image("team/old", layers=(LAYER,), base="alpine")
MIDDLE = make_image("team/middle", architectures=("amd64", "arm64"), layers=(LAYER,), base="alpine")
NEW = make_image("team/new", layers=(LAYER,))
SIZE_OF_NEW = sum(map(len, NEW.contents.values()))


@pytest.fixture
def store(tmp_path: Path) -> LocalStore:
    """Three images that were pulled 60, 20 and 1 days ago; the first two share a base."""
    store = LocalStore(tmp_path / "store")
    keep_image(store, OLD, days=60)
    keep_image(store, MIDDLE, days=20)
    keep_image(store, NEW, days=1)
    return store


def sweep(store: LocalStore, **rules: object) -> Sweep:
    """Delete by `rules`, with a week of grace unless they say something else."""
    planned = plan_sweep(store, Rules(**{"grace": 7 * DAY, **rules}), time.time())  # type: ignore[arg-type]
    sweep_store(store, planned)
    return planned


RULES: dict[str, tuple[dict[str, object], tuple[SampleImage, ...]]] = {
    "none": ({}, (OLD, MIDDLE, NEW)),
    "an age that one exceeds": ({"older_than": 30 * DAY}, (MIDDLE, NEW)),
    "an age that two exceed": ({"older_than": 10 * DAY}, (NEW,)),
    "an age that none exceeds": ({"older_than": 90 * DAY}, (OLD, MIDDLE, NEW)),
    "a size that all fit into": ({"max_size": 2**30}, (OLD, MIDDLE, NEW)),
    "a size that the newest fits into": ({"max_size": SIZE_OF_NEW}, (NEW,)),
    "a size that nothing fits into": ({"max_size": 0}, ()),
    "an age and a size": ({"older_than": 30 * DAY, "max_size": SIZE_OF_NEW}, (NEW,)),
    "a lock to be kept": ({"max_size": 0, "keep": (lock_of(OLD),)}, (OLD,)),
    "two locks to be kept": ({"older_than": 0.0, "keep": (lock_of(OLD), lock_of(NEW))}, (OLD, NEW)),
}


@pytest.mark.parametrize(("rules", "stay"), RULES.values(), ids=RULES)
def test_what_stays(store: LocalStore, rules: dict[str, object], stay: tuple[SampleImage, ...]) -> None:
    """Images stay whole, with what they share, or go with their name and all that only they need."""
    done = sweep(store, **rules)

    assert set(store.references()) == {name_of(image) for image in stay}
    assert blobs_in(store) == contents_of(*stay)
    assert done.remaining == sum({digest: len(raw) for each in stay for digest, raw in each.contents.items()}.values())
    assert done.size == sum(blob.size for blob in done.blobs)


def test_a_plan_deletes_nothing(store: LocalStore) -> None:
    """What would go is told, and the store is as before."""
    before = files_in(store.root)
    planned = plan_sweep(store, Rules(grace=0, max_size=0), time.time() + 1)

    assert [image.reference for image in planned.images] == [name_of(each) for each in (OLD, MIDDLE, NEW)]
    assert before == files_in(store.root)


def test_a_pull_counts_as_use(store: LocalStore) -> None:
    """An image that was there already when it was pulled yesterday is not an old one."""
    store.tag({name_of(OLD): OLD.root})

    assert [image.reference for image in sweep(store, older_than=10 * DAY).images] == [name_of(MIDDLE)]


def test_reading_is_no_use(store: LocalStore) -> None:
    """Checking or assembling everything makes nothing younger: disks keep times of access by their own rules."""
    for descriptor in (*OLD.blobs, *OLD.manifests):
        list(store.read(descriptor))

    assert [image.reference for image in sweep(store, older_than=30 * DAY).images] == [name_of(OLD)]


def test_two_names_of_one_image(store: LocalStore) -> None:
    """What stands under two names goes with the last of them, and only then counts as less."""
    other = f"{name_of(NEW)}-alias"
    store.tag({other: NEW.root})
    make_older(store.path(NEW.root.digest), 90)

    assert {image.reference for image in sweep(store, older_than=80 * DAY).images} == {name_of(NEW), other}
    assert blobs_in(store) == contents_of(OLD, MIDDLE)


def test_an_image_that_has_lost_its_manifest_goes_first(store: LocalStore) -> None:
    """Nothing says when it was pulled, and it is of no use as it is."""
    store.path(NEW.root.digest).unlink()

    assert [image.reference for image in sweep(store, older_than=90 * DAY).images] == [name_of(NEW)]


# Runs


def test_what_a_run_has_planned_stays(store: LocalStore) -> None:
    """A failed run can be retried for a week without fetching anything again, whatever the rules say."""
    RunLocks(store.root).keep("run", lock_of(OLD))

    sweep(store, older_than=1.0, max_size=0)

    assert blobs_in(store) == contents_of(OLD)
    assert RunLocks(store.root).recall("run") == lock_of(OLD)


def test_what_was_planned_and_not_pulled_yet_stays(tmp_path: Path) -> None:
    """The manifests that a plan has read have no name in the index, and cost requests to read again."""
    store = LocalStore(tmp_path / "store")
    keep_image(store, OLD, days=60)
    store.untag([name_of(OLD)])
    RunLocks(store.root).keep("run", lock_of(OLD))

    sweep(store)

    assert blobs_in(store) == contents_of(OLD)


def test_the_lock_of_a_dead_run_goes(store: LocalStore) -> None:
    """After a week without an attempt nobody retries it, and its lock keeps nothing any more."""
    runs = RunLocks(store.root)
    runs.keep("dead", lock_of(OLD))
    runs.keep("alive", lock_of(MIDDLE))
    make_older(store.root / "runs" / "dead" / "lock.json", 8)

    done = sweep(store, max_size=0)

    assert ([each.name for each in done.runs], runs.recall("dead")) == (["dead"], None)
    assert blobs_in(store) == contents_of(MIDDLE)


def test_a_retry_keeps_the_lock_alive(store: LocalStore) -> None:
    """The age of a run's lock counts from the last attempt."""
    runs = RunLocks(store.root)
    runs.keep("run", lock_of(OLD))
    make_older(store.root / "runs" / "run" / "lock.json", 8)
    runs.recall("run")

    assert sweep(store).runs == ()


@pytest.mark.parametrize("content", [None, b"", b"{}"], ids=["none", "empty", "of something else"])
def test_a_run_without_a_lock_keeps_nothing(store: LocalStore, content: bytes | None) -> None:
    """What a killed run left is no obstacle, and goes with its time."""
    folder = store.root / "runs" / "run"
    folder.mkdir(parents=True)
    if content is not None:
        (folder / "lock.json").write_bytes(content)
        make_older(folder / "lock.json", 8)
    make_older(folder, 8)

    assert [each.name for each in sweep(store, max_size=0).runs] == [folder.name]
    assert (blobs_in(store), folder.exists()) == (set(), False)


# What has no name


def test_content_without_a_name_goes_with_its_time(store: LocalStore) -> None:
    """What an unfinished pull has brought is there for the next attempt, for a week."""
    young, old = keep(store, b"young"), keep(store, b"old")
    make_older(store.path(old.digest), 8)

    done = sweep(store)

    assert [blob.digest for blob in done.blobs] == [old.digest]
    assert store.exists(young)


def test_leftovers_go_with_their_time(store: LocalStore) -> None:
    """Partial downloads and quarantine are kept for a week."""
    for folder in ("partial", "quarantine"):
        for days in (1, 8):
            path = store.root / folder / f"sha256-{describe(bytes(days)).digest.hex}"
            path.write_bytes(bytes(days))
            make_older(path, days)

    done = sweep(store)

    assert (len(done.leftovers), done.size) == (2, 16)
    for folder in ("partial", "quarantine"):
        assert list(files_in(store.root / folder).values()) == [bytes(1)]


def test_what_another_tool_listed_stays(store: LocalStore) -> None:
    """An entry of the index without a name of ours is not ours to drop, nor what it leads to."""
    entry = NEW.root.model_dump(mode="json", by_alias=True, exclude_none=True)
    (store.root / "index.json").write_bytes(index_document([entry]))

    sweep(store, older_than=0.0, max_size=0, grace=0.0)

    assert blobs_in(store) == contents_of(NEW)
    assert [each.digest for each in store.unnamed()] == [NEW.root.digest]


def test_the_index_that_an_architecture_was_chosen_from_stays(store: LocalStore) -> None:
    """With it the next plan asks one HEAD; it goes with the image."""
    index = keep(store, b"an index")
    make_older(store.path(index.digest), 20)
    store.remember(name_of(MIDDLE), index)

    sweep(store)
    assert (store.exists(index), store.recall(name_of(MIDDLE))) == (True, index)

    sweep(store, older_than=10 * DAY)
    assert (store.exists(index), store.recall(name_of(MIDDLE))) == (False, None)


def test_hints_at_what_is_gone_go(store: LocalStore) -> None:
    """What a reference stood for is forgotten with its manifest; other hints stay."""
    store.remember(name_of(OLD), OLD.root)
    store.remember(name_of(NEW), NEW.root)

    sweep(store, older_than=30 * DAY)

    assert (store.recall(name_of(OLD)), store.recall(name_of(NEW))) == (None, NEW.root.plain())


STRANGERS: dict[str, Callable[[Path, Digest], object]] = {
    "a link": lambda path, digest: (path / digest.hex).symlink_to("/etc/hostname"),
    "a folder": lambda path, digest: (path / digest.hex).mkdir(),
    "a file of another name": lambda path, digest: (path / "README").write_text("hands off"),
}


@pytest.mark.parametrize("make", STRANGERS.values(), ids=STRANGERS)
def test_what_is_no_blob_is_left_alone(store: LocalStore, make: Callable[[Path, Digest], object]) -> None:
    """Only plain files with a digest as their name are taken away."""
    make(store.root / "blobs" / "sha256", describe(b"stranger").digest)
    before = len(list((store.root / "blobs" / "sha256").iterdir()))

    sweep(store, grace=0.0)

    assert len(list((store.root / "blobs" / "sha256").iterdir())) == before


def test_content_comes_back(store: LocalStore) -> None:
    """After a sweep the store takes what it is given, as before."""
    content = bytes(3 * CHUNK)
    sweep(store, max_size=0, grace=0.0)

    assert content == b"".join(store.read(keep(store, content)))
