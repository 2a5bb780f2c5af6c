"""Faults F11, F12, F24 and F25: full disks, disks that fail, and what somebody or something did to the files."""

import json
import os
import shutil
import subprocess
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from edgelift.bundle.verify import verify_bundle
from edgelift.demo.content import SampleLayer, make_image
from edgelift.errors import EdgeliftError, StoreError
from edgelift.store.local import LocalStore
from tests.cli.commands import CommandLine, references
from tests.faults.children import Children, run_alone
from tests.faults.jobs import Job
from tests.faults.parts import (
    assert_nothing_wrong_has_a_name,
    assert_store_is_whole,
    fill_store,
    layer_of,
    leftovers,
    names_in,
    open_registry,
    pull,
    read_lock,
    sent_blobs,
    size_of,
    write_lock,
)
from tests.faults.table import Notes
from tests.real_parts import require_tool
from tests.simulators.registry import RegistrySimulator

APP = make_image("team/app", layers=(SampleLayer("tar", 3_000_000), SampleLayer("gzip", 90_000)))
LAYER = layer_of(APP)
SMALL = make_image("team/small")
OLD = b"the bundle that stood here before"


@pytest.fixture
def lock(sim: RegistrySimulator, tmp_path: Path) -> Path:
    """The lock of both images."""
    sim.put_image(APP, SMALL)
    path = write_lock(tmp_path / "lock.json", sim.host, APP, SMALL)
    sim.forget_requests()
    return path


# F11


class SmallDisk:
    """A disk of its own for one command: a file system in memory, in a namespace that ends with the command."""

    def __init__(self, folder: Path, options: str) -> None:
        self.path = folder / "disk"
        self.kept = folder / "kept"
        self.path.mkdir()
        self._options = options

    def within(self, before: str = "true") -> list[str]:
        """What a command has to be run within; `before` is done on the disk first. What is on it in the end is kept."""
        script = (
            f"mount -t tmpfs -o {self._options} tmpfs {self.path} && (cd {self.path}; {before});"
            f' "$@"; code=$?; cp -a {self.path} {self.kept}; exit $code'
        )
        return [require_tool("unshare"), "-rm", "sh", "-c", script, "sh"]


@pytest.fixture
def small_disk(tmp_path: Path) -> Callable[[str], SmallDisk]:
    """Makes disks; skips where nobody may mount one."""
    probe = subprocess.run([require_tool("unshare"), "-rm", "mount", "-t", "tmpfs", "tmpfs", "/mnt"], check=False)
    if probe.returncode != 0:
        pytest.skip("no file system may be mounted here, not even in a namespace of one's own")
    return lambda options: SmallDisk(tmp_path, options)


def test_f11_the_disk_is_full_in_a_blob(
    small_disk: Callable[[str], SmallDisk], lock: Path, sim: RegistrySimulator, note: Notes
) -> None:
    """A full disk ends the pull with what is needed and free; with more room only the rest is fetched."""
    disk = small_disk("size=1m")
    outcome = run_alone(Job(("pull",), str(lock), str(disk.path / "store")), within=disk.within())

    store = LocalStore(disk.kept / "store")
    kept = (store.root / "partial" / f"sha256-{LAYER.digest.hex}").stat().st_size
    assert outcome.code == 3
    assert "the disk is full; " in outcome.said
    assert f"{LAYER.size:,} bytes are needed, " in outcome.said
    assert "bytes are free" in outcome.said
    assert sim.count("GET", LAYER.digest) == 1
    assert kept > 0
    assert_nothing_wrong_has_a_name(store)

    first = sent_blobs(sim)
    sim.forget_requests()
    pull(open_registry(sim.host), APP, store)
    pull(open_registry(sim.host), SMALL, store)
    assert [each.headers["range"] for each in sim.requests if LAYER.digest in each.path] == [f"bytes={kept}-"]
    assert_store_is_whole(store, APP, SMALL)
    note(
        "a disk of 1 MiB, full in a blob of 3 MB",
        f"exit 3, needed and free told; the re-run continued after {kept:,} bytes",
        moved=first + sent_blobs(sim),
        needed=size_of(APP, SMALL),
    )


def test_f11_the_disk_is_full_in_the_index(
    small_disk: Callable[[str], SmallDisk], lock: Path, sim: RegistrySimulator, tmp_path: Path, note: Notes
) -> None:
    """A disk that takes the content and not the index ends the pull; what is there stays, the rest comes later."""
    assert run_alone(Job(("pull",), str(lock), str(tmp_path / "whole"))).code == 0
    sim.forget_requests()
    things = len(list((tmp_path / "whole").rglob("*")))
    disk = small_disk(f"size=16m,nr_inodes={things + 1}")  # with the two folders above, one too few for the index
    outcome = run_alone(Job(("pull",), str(lock), str(disk.path / "store"), images=1), within=disk.within())

    store, first = LocalStore(disk.kept / "store"), sent_blobs(sim)
    sim.forget_requests()
    assert outcome.code == 3
    assert "No space left on device" in outcome.said or "the disk is full" in outcome.said
    assert_nothing_wrong_has_a_name(store)
    again = run_alone(Job(("pull",), str(lock), str(store.root)))
    assert (again.code, leftovers(store)) == (0, set())
    assert len(store.references()) == 2
    assert sent_blobs(sim) == 0
    note("a disk that takes no index", "exit 3, the blobs stay", moved=first, needed=size_of(APP, SMALL))


def test_f11_the_disk_is_full_in_the_bundle(
    small_disk: Callable[[str], SmallDisk], lock: Path, tmp_path: Path, note: Notes
) -> None:
    """A bundle that does not fit leaves the old one as it was, and nothing beside it."""
    (tmp_path / "old").write_bytes(OLD)
    disk = small_disk("size=1m")
    job = Job(("build",), str(lock), str(tmp_path / "store"), str(disk.path / "site.tar.zst"))
    outcome = run_alone(job, within=disk.within(f"cp {tmp_path}/old site.tar.zst"))

    assert outcome.code == 1
    assert "site.tar.zst: the disk is full; up to " in outcome.said
    assert names_in(disk.kept) == {"site.tar.zst"}
    assert (disk.kept / "site.tar.zst").read_bytes() == OLD
    note("a disk of 1 MiB, full in the bundle", "exit 1, needed and free told; the old bundle untouched")


def test_f11_the_disk_is_full_in_the_lock(
    small_disk: Callable[[str], SmallDisk], sim: RegistrySimulator, tmp_path: Path, note: Notes
) -> None:
    """A plan whose lock does not fit says so, and leaves the old lock as it was."""
    sim.put_image(APP)
    (tmp_path / "old").write_bytes(OLD)
    disk = small_disk("size=64m,nr_inodes=2")  # for the folder and the old lock
    outcome = CommandLine(tmp_path).run(
        "plan",
        *("--image", references(sim.host, APP)[0], "--store", tmp_path / "store"),
        *("--output", disk.path / "site.lock.json"),
        within=disk.within(f"cp {tmp_path}/old site.lock.json"),
    )

    assert (outcome.code, "Traceback" in outcome.err) == (1, False)
    assert f"cannot write {disk.path / 'site.lock.json'}: No space left on device" in outcome.error
    assert "→" in outcome.error
    assert names_in(disk.kept) == {"site.lock.json"}
    assert (disk.kept / "site.lock.json").read_bytes() == OLD
    note("a disk that is full in the lock", "exit 1; the old lock untouched")


def test_f11_no_file_of_that_size(
    lock: Path, tmp_path: Path, sim: RegistrySimulator, children: Children, note: Notes
) -> None:
    """A limit on the size of files is told as a full disk is, and only the image it meets is missing."""
    job = Job(("pull",), str(lock), str(tmp_path / "store"), limits=(("RLIMIT_FSIZE", 1_000_000),))
    outcome = children.run(job)

    store = LocalStore(tmp_path / "store")
    assert outcome.code == 3
    assert "takes no file of that size" in outcome.said
    assert "team/app" in outcome.said
    assert "team/small" not in outcome.said
    assert_nothing_wrong_has_a_name(store)
    first = sent_blobs(sim)
    sim.forget_requests()
    assert children.run(Job(("pull",), str(lock), str(store.root))).code == 0
    assert_store_is_whole(store, APP, SMALL)
    assert sent_blobs(sim) == LAYER.size - 1_000_000
    note(
        "files of at most 1 MB",
        "exit 3, one image named, the other done; the re-run continued",
        moved=first + sent_blobs(sim),
        needed=size_of(APP, SMALL),
    )


def test_f11_nobody_takes_what_is_said(sim: RegistrySimulator, tmp_path: Path, note: Notes) -> None:
    """With a log that cannot be written the work is done all the same; a result that cannot be is an error."""
    sim.put_image(APP)
    arguments = ("plan", "--image", references(sim.host, APP)[0], "--store", tmp_path / "store")
    command = CommandLine(tmp_path)
    output = ("--verbose", "--output", tmp_path / "site.lock.json")
    without_log = command.run(*arguments, *output, within=["sh", "-c", 'exec "$@" 2>/dev/full', "sh"])
    without_result = command.run(*arguments, "--json", within=["sh", "-c", 'exec "$@" >/dev/full', "sh"])

    assert without_log.code == 0
    assert len(read_lock(tmp_path / "site.lock.json").images) == 1
    assert (without_result.code, without_result.error) == (1, "cannot write the result: No space left on device")
    note("a log, or a result, into `/dev/full`", f"done without a log; without a result exit {without_result.code}")


# F12


BROKEN: dict[str, tuple[str, str]] = {
    "every fsync in a pull": ("pull", "enable name=posix/io/sync/fsync,failinfo=5"),
    "the first fsync in a pull": ("pull", "enable name=posix/io/sync/fsync,failinfo=5,onetime"),
    "every rename in a pull": ("pull", "enable name=posix/io/dir/rename,failinfo=5"),
    "every write into a blob": ("pull", "enable name=posix/io/rw/pwrite,failinfo=5"),
    "a tenth of the writes": ("pull", "enable_random name=posix/io/rw/pwrite,failinfo=5,probability=0.1"),
    "every truncation": ("pull", "enable name=posix/io/rw/ftruncate,failinfo=5"),
    "every read of a blob": ("assemble", "enable name=posix/io/rw/readv,failinfo=5"),
    "a fifth of the reads": ("assemble", "enable_random name=posix/io/rw/readv,failinfo=5,probability=0.2"),
    "a write into the bundle": ("assemble", "enable name=posix/io/rw/write,failinfo=5,onetime"),
    "the fsync of the bundle": ("assemble", "enable name=posix/io/sync/fsync,failinfo=5"),
    "the rename of the bundle": ("assemble", "enable name=posix/io/dir/rename,failinfo=5"),
}


@pytest.mark.parametrize(("what", "fault"), BROKEN.items(), ids=BROKEN)
def test_f12_a_disk_that_fails(
    *,
    what: str,
    fault: tuple[str, str],
    lock: Path,
    tmp_path: Path,
    sim: RegistrySimulator,
    children: Children,
    note: Notes,
) -> None:
    """EIO, wherever it comes, ends the run with an error, with nothing wrong under a name; a sound disk continues."""
    store, bundle = LocalStore(tmp_path / "store"), tmp_path / "site.tar.zst"
    step, rule = fault
    whole = Job(("build",), str(lock), str(store.root), str(bundle))
    if step == "assemble":
        assert children.run(replace(whole, steps=("pull",))).code == 0
    bundle.write_bytes(OLD)
    broken = replace(whole, steps=(step,))
    outcome = run_alone(broken, within=[require_tool("fiu-run"), "-x", "-c", rule])

    assert_nothing_wrong_has_a_name(store)
    by_chance = "enable_random" in rule
    assert outcome.code == (3 if step == "pull" else 1) or (by_chance and outcome.code == 0)
    if outcome.code:
        assert ("Input/output error" in outcome.said, "→" in outcome.said) == (True, True)
        assert bundle.read_bytes() == OLD
        assert sorted(path.name for path in tmp_path.glob(".site*")) == []
    assert "Traceback" not in outcome.said
    again = children.run(whole)
    assert (again.code, again.said) == (0, "")
    assert_store_is_whole(store, APP, SMALL)
    verify_bundle(bundle)
    ended = f"exit {outcome.code}; the old bundle untouched, the re-run completed"
    note(f"EIO from {what}", ended, moved=sent_blobs(sim), needed=size_of(APP, SMALL))


# F24


def _flip(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.chmod(0o644)
    path.write_bytes(content)


def _rewrite(path: Path, content: bytes) -> None:
    path.chmod(0o644)
    path.write_bytes(content)


def _make_link(path: Path) -> None:
    elsewhere = path.parents[3] / "elsewhere"
    path.replace(elsewhere)
    path.symlink_to(elsewhere)


def _make_folder(path: Path) -> None:
    path.unlink()
    (path / "with").mkdir(parents=True)
    (path / "with" / "something").touch()


DAMAGE: dict[str, Callable[[Path], None]] = {
    "one bit flipped": _flip,
    "truncated": lambda path: _rewrite(path, path.read_bytes()[:-1]),
    "longer": lambda path: _rewrite(path, path.read_bytes() + b"x"),
    "empty": lambda path: _rewrite(path, b""),
    "without any right to read it": lambda path: path.chmod(0),
    "a link": _make_link,
    "a folder": _make_folder,
}


@pytest.fixture
def shelter() -> Iterator[Path]:
    """A folder that belongs to somebody who is not root, for whom rights count."""
    folder = Path(tempfile.mkdtemp(prefix="edgelift-nobody-"))
    yield folder
    shutil.rmtree(folder)


@pytest.mark.parametrize(("what", "damage"), DAMAGE.items(), ids=DAMAGE)
def test_f24_a_blob_in_the_store_is_damaged(
    *,
    what: str,
    damage: Callable[[Path], None],
    sim: RegistrySimulator,
    lock: Path,
    shelter: Path,
    children: Children,
    note: Notes,
) -> None:
    """A damaged blob gets into no bundle: without a registry its images are named, with one it alone is fetched."""
    nobody = 65534 if os.getuid() == 0 else 0
    store, bundle = fill_store(LocalStore(shelter / "store"), APP, SMALL), shelter / "site.tar.zst"
    shutil.copy(lock, shelter / "lock.json")
    (shelter / "lock.json").chmod(0o644)
    damage(store.path(LAYER.digest))
    _give_to(shelter, nobody)
    steps = Job(("assemble",), str(shelter / "lock.json"), str(store.root), str(bundle), user=nobody)
    offline = children.run(steps)

    assert offline.code == 1
    assert LAYER.digest in offline.said
    assert "team/app:1.0" in offline.said
    assert "team/small" not in offline.said
    assert not bundle.exists()
    online = children.run(Job(("pull", *steps.steps), *_fields(steps), user=nobody))
    assert (online.code, online.said) == (0, "")
    verify_bundle(bundle)
    assert sent_blobs(sim) == LAYER.size
    assert_store_is_whole(store, APP, SMALL)
    note(
        f"a stored blob: {what}",
        "no bundle, its image named; with the registry at hand it alone is fetched",
        moved=sent_blobs(sim),
        needed=LAYER.size,
    )


def _give_to(folder: Path, user: int) -> None:
    if user:
        for each in (folder, *folder.rglob("*")):
            os.lchown(each, user, user)


def _fields(job: Job) -> tuple[str, str, str]:
    return job.lock, job.store, job.bundle


# F25


TORN = {
    "cut in its middle": lambda raw: raw[: len(raw) // 2],
    "empty": lambda _: b"",
    "zeros": lambda raw: bytes(len(raw)),
}


@pytest.mark.parametrize(("what", "tear"), TORN.items(), ids=TORN)
def test_f25_a_torn_index(
    *,
    sim: RegistrySimulator,
    children: Children,
    what: str,
    tear: Callable[[bytes], bytes],
    store: LocalStore,
    lock: Path,
    note: Notes,
) -> None:
    """A torn index is refused with the way out, never taken for an empty one; taking the advice brings all back."""
    job = Job(("pull",), str(lock), str(store.root))
    assert children.run(job).code == 0
    index = store.root / "index.json"
    before = index.read_bytes()
    index.write_bytes(tear(before))

    outcome = children.run(job)
    with pytest.raises(StoreError, match=r"index\.json is damaged"):
        store.references()

    assert outcome.code == 3
    assert f"{index} is damaged" in outcome.said
    assert "delete that file" in outcome.said
    index.unlink()
    sim.forget_requests()
    assert children.run(job).code == 0
    assert (index.read_bytes(), sent_blobs(sim)) == (before, 0)
    note(f"`index.json` {what}", "refused with the way out; rebuilt without a byte from the registry")


def test_f25_what_others_wrote_into_the_index(store: LocalStore, note: Notes) -> None:
    """Entries and members that we do not know survive a new name beside them."""
    first = {"mediaType": APP.root.media_type, "digest": APP.root.digest, "size": APP.root.size}
    known = first | {"annotations": {"org.opencontainers.image.ref.name": "theirs:1", "vendor.example/x": "kept"}}
    unknown = first | {"vendorMember": [1, 2]}
    (store.root / "index.json").write_text(json.dumps({"schemaVersion": 2, "manifests": [known, unknown]}))

    store.tag({"docker.io/library/small:1": SMALL.root})

    entries = json.loads((store.root / "index.json").read_bytes())["manifests"]
    assert [entry for entry in (known, unknown) if entry not in entries] == []
    assert set(store.references()) == {"theirs:1", "docker.io/library/small:1"}
    note("entries of other tools in `index.json`", "kept beside a new name")


def test_f25_a_torn_marker(store: LocalStore, note: Notes) -> None:
    """An `oci-layout` that a power cut emptied is written again: other tools need it."""
    marker = store.root / "oci-layout"
    whole = marker.read_bytes()
    marker.write_bytes(b"")

    LocalStore(store.root)

    assert marker.read_bytes() == whole
    note("`oci-layout` empty", "written again")


def test_f25_another_version(store: LocalStore, note: Notes) -> None:
    """A store of a version that we do not know is not touched."""
    (store.root / "oci-layout").write_text('{"imageLayoutVersion":"2.0.0"}')

    with pytest.raises(StoreError, match=r"version '2\.0\.0'"):
        LocalStore(store.root)

    assert (store.root / "oci-layout").read_text() == '{"imageLayoutVersion":"2.0.0"}'
    note("a layout of another version", "refused, untouched")


@pytest.mark.parametrize("content", [b"", b'{"format": "edgelift.lock/v1", "ima', b'{"format": "edgelift.lock/v9"}'])
def test_f25_a_torn_lock(content: bytes, store: LocalStore, tmp_path: Path, note: Notes) -> None:
    """A lock that is torn, or of another version, is refused as a whole."""
    path = tmp_path / "torn.json"
    path.write_bytes(content)

    with pytest.raises(EdgeliftError, match="is not a bundle lock"):
        read_lock(path)

    note(f"a lock that holds `{content.decode()}`", "refused")
