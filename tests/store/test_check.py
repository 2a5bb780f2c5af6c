"""A store is looked through: what rots is found, told by the images that need it, and mended from where it came."""

import os
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from edgelift.bundle.reader import BundleReader
from edgelift.bundle.writer import assemble_bundle
from edgelift.demo.content import SampleLayer, make_image
from edgelift.errors import StoreError
from edgelift.oci.content import CHUNK
from edgelift.oci.credentials import Credentials
from edgelift.oci.descriptor import Descriptor
from edgelift.oci.registries import Registries
from edgelift.store.check import Problem, check_store
from edgelift.store.contents import list_strays
from edgelift.store.local import LocalStore
from edgelift.store.mending import BundleMending, RegistryMending
from edgelift.store.runs import RunLocks
from edgelift.transport import TransportSettings
from tests.simulators.registry import RegistrySimulator
from tests.store.content import (
    blobs_in,
    contents_of,
    describe,
    files_in,
    keep,
    keep_image,
    lock_of,
    make_bytes,
    name_of,
)
from tests.store.workers import begin, worker

LAYER = SampleLayer("tar", 2 * CHUNK, seed="in both")
APP = make_image("team/app", architectures=("amd64", "arm64"), layers=(LAYER,))
PLAIN = make_image("team/plain", layers=(LAYER, SampleLayer("gzip", 5_000)))
SHARED = max(PLAIN.blobs, key=lambda blob: blob.size)
OWN = min(PLAIN.blobs, key=lambda blob: blob.size)


@pytest.fixture
def store(tmp_path: Path) -> LocalStore:
    """A store with both images, from a process before this one."""
    keep_image(LocalStore(tmp_path / "store"), APP)
    keep_image(LocalStore(tmp_path / "store"), PLAIN)
    return LocalStore(tmp_path / "store")


@pytest.fixture
def sim(tmp_path: Path) -> Iterator[RegistrySimulator]:
    """A registry that has both."""
    with RegistrySimulator(tmp_path / "registry") as simulator:
        simulator.put_image(APP, PLAIN)
        yield simulator


@pytest.fixture
def registries() -> Iterator[Registries]:
    """Clients for loopback registries."""
    with Registries(TransportSettings(), Credentials()) as opened:
        yield opened


@pytest.fixture
def bundle(store: LocalStore, tmp_path: Path) -> Iterator[BundleReader]:
    """A bundle of both images, made while the store was right."""
    lock = lock_of(APP, PLAIN)
    with BundleReader.open(assemble_bundle(lock, store, tmp_path / "site.tar.zst").path) as reader:
        yield reader


def damage(store: LocalStore, descriptor: Descriptor) -> bytes:
    """Flip a bit of a blob; gives what is in its file now."""
    path = store.path(descriptor.digest)
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.chmod(0o644)
    path.write_bytes(content)
    return bytes(content)


def lose(store: LocalStore, *descriptors: Descriptor) -> None:
    """Remove blobs behind the store's back."""
    for descriptor in descriptors:
        store.path(descriptor.digest).unlink()


def test_a_store_that_is_right(store: LocalStore) -> None:
    """Every byte is looked at, nothing is touched."""
    before, told = files_in(store.root), list[int]()
    outcome = check_store(store, progress=told.append)

    assert (outcome.problems, outcome.strays, outcome.images) == ((), (), 2)
    assert outcome.blobs == len(contents_of(APP, PLAIN))
    assert outcome.size == sum(told) == sum(path.stat().st_size for path in (store.root / "blobs").glob("*/*"))
    assert before == files_in(store.root)


def test_an_empty_store(tmp_path: Path) -> None:
    """There is nothing to complain of."""
    outcome = check_store(LocalStore(tmp_path / "store"))

    assert (outcome.blobs, outcome.size, outcome.problems) == (0, 0, ())


def test_a_flipped_bit(store: LocalStore) -> None:
    """The blob is in quarantine as it was found, and every image that needs it is named."""
    found = damage(store, SHARED)
    outcome = check_store(store)

    assert outcome.problems == (Problem(SHARED.digest, "wrong", SHARED.plain(), (name_of(APP), name_of(PLAIN))),)
    assert outcome.unmended == outcome.problems
    assert files_in(store.root / "quarantine") == {f"sha256-{SHARED.digest.hex}": found}
    assert not store.exists(SHARED)


def test_a_blob_of_another_size(store: LocalStore) -> None:
    """One that was cut is wrong whatever its first bytes are."""
    path = store.path(OWN.digest)
    path.chmod(0o644)
    os.truncate(path, OWN.size - 1)

    assert [(each.digest, each.kind) for each in check_store(store).problems] == [(OWN.digest, "wrong")]


def test_what_is_found_once_is_missing_the_next_time(store: LocalStore) -> None:
    """As long as an image needs it, each check says so."""
    damage(store, OWN)

    assert [[each.kind for each in check_store(store).problems] for _ in range(2)] == [["wrong"], ["missing"]]


def test_damage_that_no_image_needs(store: LocalStore) -> None:
    """It is told once; in quarantine it is no damage any more."""
    descriptor = keep(store, make_bytes(500))
    damage(store, descriptor)
    store = LocalStore(store.root)

    assert [each.images for each in check_store(store).problems] == [()]
    assert check_store(store).problems == ()


@pytest.mark.parametrize("lost", [APP.manifests[0], APP.root, PLAIN.root], ids=["a child", "an index", "a manifest"])
def test_a_lost_manifest(store: LocalStore, lost: Descriptor) -> None:
    """A name that leads to a manifest that is not there, at any depth, is told."""
    lose(store, lost)
    needed = name_of(APP if lost in APP.manifests else PLAIN)

    assert check_store(store).problems == (Problem(lost.digest, "missing", lost.plain(), (needed,)),)


ODD: dict[str, Callable[[Path], object]] = {
    "a link": lambda path: path.symlink_to("/etc/hostname"),
    "a link to nowhere": lambda path: path.symlink_to("nowhere"),
    "a folder": lambda path: path.mkdir(),
    "a pipe": os.mkfifo,
}


@pytest.mark.parametrize("make", ODD.values(), ids=ODD)
def test_what_is_no_file(store: LocalStore, bundle: BundleReader, make: Callable[[Path], object]) -> None:
    """Something else in the place of a blob is told, never followed, and replaced when the blob is brought."""
    lose(store, OWN)
    make(store.path(OWN.digest))

    assert [(each.digest, each.kind) for each in check_store(store).problems] == [(OWN.digest, "unreadable")]
    assert check_store(store, sources=[BundleMending(bundle)]).unmended == ()
    assert check_store(store).problems == ()


class FailingDisk(LocalStore):
    """A store on a disk that does not give `lost` back."""

    lost = OWN.digest

    def read(self, descriptor: Descriptor) -> Iterator[bytes]:
        """As the store does, but for what is lost."""
        if descriptor.digest == self.lost:
            raise StoreError("cannot read it: Input/output error")
        return super().read(descriptor)


def test_what_the_disk_does_not_give_back(store: LocalStore, bundle: BundleReader) -> None:
    """It loses its name: a pull would take its size for a sign that all is well, and never replace it."""
    failing = FailingDisk(store.root)

    outcome = check_store(failing, sources=[BundleMending(bundle)])

    assert [(each.digest, each.kind) for each in outcome.problems] == [(OWN.digest, "unreadable")]
    assert (outcome.unmended, check_store(store).problems) == ((), ())


def test_a_layer_that_may_not_be_distributed(tmp_path: Path) -> None:
    """An image may be carried without it, so it is not missed."""
    store = LocalStore(tmp_path / "store")
    foreign = describe(b"windows").model_copy(
        update={"media_type": "application/vnd.docker.image.rootfs.foreign.diff.tar.gzip"}
    )
    config = keep(store, b"{}")
    raw = (
        '{"schemaVersion":2,"mediaType":"application/vnd.oci.image.manifest.v1+json",'
        f'"config":{config.model_dump_json(by_alias=True, exclude_none=True)},'
        f'"layers":[{foreign.model_dump_json(by_alias=True, exclude_none=True)}]}}'
    ).encode()
    manifest = describe(raw).model_copy(update={"media_type": "application/vnd.oci.image.manifest.v1+json"})
    store.write(manifest, raw)
    store.tag({"registry.example/windows:1": manifest})

    assert check_store(store).problems == ()


def test_strays(store: LocalStore) -> None:
    """What no edgelift put there is listed, left alone, and no damage; our own marks and leftovers are not listed."""
    RunLocks(store.root).keep("run", lock_of(APP))
    store.remember(name_of(APP), APP.root)
    (store.root / ".index.json.killed").touch()
    for name in ("notes.txt", "blobs/sha256/half.tmp", "blobs/md5", "partial/sha256-x", "quarantine/what"):
        (store.root / name).touch()
    outcome = check_store(store)

    assert outcome.strays == (
        *("blobs/md5", "blobs/sha256/half.tmp", "notes.txt", "partial/sha256-x", "quarantine/what"),
    )
    assert outcome.problems == ()
    assert list_strays(store.root) == list(outcome.strays)


def test_a_damaged_index(store: LocalStore) -> None:
    """It is told before anything is hashed, with what to do about it."""
    (store.root / "index.json").write_bytes(b"{")
    told: list[int] = []

    with pytest.raises(StoreError, match="damaged") as caught:
        check_store(store, progress=told.append)

    assert ("delete that file" in str(caught.value.hint), told) == (True, [])


# Mending


def test_mending_from_a_bundle(store: LocalStore, bundle: BundleReader) -> None:
    """Blobs and manifests come out of a bundle by digest, whatever kind of damage there is."""
    damage(store, SHARED)
    lose(store, OWN, APP.root)

    outcome = check_store(store, sources=[BundleMending(bundle)])

    assert {each.digest: each.mended_from for each in outcome.problems} == dict.fromkeys(
        (SHARED.digest, OWN.digest, APP.root.digest), bundle.name
    )
    assert (outcome.unmended, check_store(LocalStore(store.root)).problems) == ((), ())


def test_mending_as_far_as_a_manifest_leads(store: LocalStore, bundle: BundleReader) -> None:
    """What a lost index names is found out when the index is back, and mended as well."""
    lose(store, *APP.manifests, *(blob for blob in APP.blobs if blob not in PLAIN.blobs))

    outcome = check_store(store, sources=[BundleMending(bundle)])

    assert (outcome.unmended, blobs_in(store)) == ((), contents_of(APP, PLAIN))


def test_a_bundle_that_does_not_hold_it(store: LocalStore, tmp_path: Path) -> None:
    """What is not in the bundle stays missing, without a failure: it was not promised."""
    path = assemble_bundle(lock_of(PLAIN), store, tmp_path / "plain.tar.zst").path
    lose(store, APP.root)
    with BundleReader.open(path) as reader:
        outcome = check_store(store, sources=[BundleMending(reader)])

    assert outcome.unmended == (Problem(APP.root.digest, "missing", APP.root.plain(), (name_of(APP),)),)


def test_a_damaged_bundle_mends_nothing(store: LocalStore, bundle: BundleReader) -> None:
    """Its bytes are checked on the way; nothing wrong gets a name, and the problem says why it remains."""
    lose(store, SHARED)
    path, needle = Path(bundle.name), APP.contents[SHARED.digest][CHUNK : CHUNK + 64]
    content = bytearray(path.read_bytes())
    content[content.index(needle)] ^= 1
    path.write_bytes(content)

    (problem,) = check_store(store, sources=[BundleMending(bundle)]).unmended

    assert "damaged" in problem.failures[0]
    assert not store.exists(SHARED)


def test_mending_from_the_registry(
    store: LocalStore, sim: RegistrySimulator, registries: Registries, tmp_path: Path
) -> None:
    """Manifests and blobs are asked of the registry that the image is named after, and nothing else is."""
    store = LocalStore(tmp_path / "pulled")
    keep_image(store, APP, host=sim.host)
    damage(store, SHARED)
    lose(store, APP.manifests[0])

    outcome = check_store(LocalStore(store.root), sources=[RegistryMending(registries.source)])

    assert {each.mended_from for each in outcome.problems} == {f"{sim.host}/team/app"}
    assert sim.count("GET", SHARED.digest) == sim.count("GET", APP.manifests[0].digest) == 1
    assert check_store(LocalStore(store.root)).problems == ()


def test_another_image_may_still_have_it(tmp_path: Path, sim: RegistrySimulator, registries: Registries) -> None:
    """Where the first image that needs a blob is gone from its registry, the next one is asked."""
    store = LocalStore(tmp_path / "pulled")
    gone = make_image("gone/app", layers=(LAYER,))
    keep_image(store, gone, host=sim.host)
    keep_image(store, PLAIN, host=sim.host)
    lose(store, SHARED)

    (problem,) = check_store(store, sources=[RegistryMending(registries.source)]).problems

    assert problem.images[0] == name_of(gone, sim.host)
    assert problem.mended_from == f"{sim.host}/team/plain"


def test_a_registry_that_lost_it(tmp_path: Path, sim: RegistrySimulator, registries: Registries) -> None:
    """What the registry says is part of the problem, and the other problems are mended all the same."""
    store = LocalStore(tmp_path / "pulled")
    keep_image(store, PLAIN, host=sim.host)
    lose(store, SHARED, OWN)
    sim.fail("GET", SHARED.digest, status=404, times=None)

    outcome = check_store(store, sources=[RegistryMending(registries.source)])

    (problem,) = outcome.unmended
    assert (problem.digest, len(outcome.problems), len(problem.failures)) == (SHARED.digest, 2, 1)
    assert sim.host in problem.failures[0]


def test_the_second_source_is_asked(
    store: LocalStore, tmp_path: Path, sim: RegistrySimulator, registries: Registries
) -> None:
    """Where a bundle does not hold it, the registry may."""
    path = assemble_bundle(lock_of(PLAIN), store, tmp_path / "plain.tar.zst").path
    pulled = LocalStore(tmp_path / "pulled")
    keep_image(pulled, APP, host=sim.host)
    lose(pulled, SHARED, APP.root)
    with BundleReader.open(path) as reader:
        outcome = check_store(pulled, sources=[BundleMending(reader), RegistryMending(registries.source)])

    assert {each.digest: each.mended_from for each in outcome.problems} == {
        SHARED.digest: str(path),
        APP.root.digest: f"{sim.host}/team/app",
    }


def test_content_of_a_run_that_is_not_done(tmp_path: Path, sim: RegistrySimulator, registries: Registries) -> None:
    """What a pull has brought has no name yet; the run's lock says where it is from."""
    store = LocalStore(tmp_path / "pulled")
    keep(store, PLAIN.contents[SHARED.digest])
    RunLocks(store.root).keep("run", lock_of(PLAIN, host=sim.host))
    damage(store, SHARED)

    (problem,) = check_store(LocalStore(store.root), sources=[RegistryMending(registries.source)]).problems

    assert (problem.kind, problem.mended_from) == ("wrong", f"{sim.host}/team/plain")
    assert problem.images == (name_of(PLAIN, sim.host),)


def test_a_name_of_another_tool_leads_nowhere(tmp_path: Path, sim: RegistrySimulator, registries: Registries) -> None:
    """`latest` is what others write into a layout: nobody is asked for docker.io/library/latest."""
    store = LocalStore(tmp_path / "store")
    store.tag({"latest": PLAIN.root})

    (problem,) = check_store(store, sources=[RegistryMending(registries.source)]).unmended

    assert (problem.kind, problem.failures, sim.requests) == ("missing", (), [])


# Beside runs


SLOWLY = """
content = make_bytes(int(sys.argv[2]))
with store.ingest(describe(content)) as partial:
    for start in range(0, len(content), 100_000):
        partial.write(content[start : start + 100_000])
        time.sleep(0.02)
    partial.commit()
print("brought it")
"""


def test_a_check_beside_a_pull(tmp_path: Path) -> None:
    """What is on its way is no concern of a check, however often it looks."""
    size = 3 * CHUNK
    with worker(SLOWLY, tmp_path / "store", str(size)) as process:
        begin(process)
        outcomes = [check_store(LocalStore(tmp_path / "store"))]
        while process.poll() is None:
            outcomes.append(check_store(LocalStore(tmp_path / "store")))
        said = process.communicate()[0]

    assert (said, [each for outcome in outcomes for each in outcome.problems]) == ("brought it\n", [])
    assert b"".join(LocalStore(tmp_path / "store").read(describe(make_bytes(size)))) == make_bytes(size)


def test_a_blob_that_goes_while_it_is_checked(store: LocalStore) -> None:
    """What another reader has put into quarantine meanwhile is told as missing, not as a failure of the check."""
    gone = threading.Event()

    def on_progress(_: int) -> None:
        if not gone.is_set():
            gone.set()
            for descriptor in PLAIN.blobs:
                store.path(descriptor.digest).unlink(missing_ok=True)
            time.sleep(0.05)

    kinds = {each.kind for each in check_store(store, progress=on_progress).problems}

    assert kinds == {"missing"}
