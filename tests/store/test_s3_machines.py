"""Two machines, which share nothing but a bucket: what one fetches the other need not, also where one of them dies."""

import json
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from edgelift.bundle.writer import assemble_bundle
from edgelift.demo.content import SampleImage, SampleLayer, make_image
from edgelift.store.local import LocalStore
from tests.archive.buckets import Bucket
from tests.images import make_image_set
from tests.simulators.registry import RegistrySimulator
from tests.store.content import keep_image, lock_of
from tests.store.s3_content import PIECE, keys_in, store_in, uploads_in
from tests.store.workers import begin

PATIENCE = 60.0  # seconds
SHORT, LONG = 1.0, 60.0  # seconds that a lease holds; the short one is for a machine that is about to die
MACHINE = """
import json, sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from edgelift.access import open_registries
from edgelift.bundle.lock import BundleLock
from edgelift.oci.pull import pull_content
from edgelift.oci.reference import ImageReference
from edgelift.oci.transfer import Transfer
from edgelift.site import RegistryAccess
from tests.archive.buckets import Bucket
from tests.real_parts import RunningS3
from tests.store.s3_content import store_in

given = json.loads(Path(sys.argv[1]).read_text())
lock = BundleLock.from_json(Path(given["lock"]).read_bytes())
store = store_in(Bucket(RunningS3(**given["server"]), given["bucket"]), lease_seconds=given["lease"])
print("ready", flush=True)
sys.stdin.readline()
with open_registries(RegistryAccess(docker_config=False)) as connections, ThreadPoolExecutor(4) as pool:

    def pull(image):
        repository = ImageReference.parse(image.reference).repository
        return pull_content(connections.source_for(image), repository, image.content, store)

    print(sum(pool.map(pull, lock.largest_first()), Transfer()).model_dump_json())
"""


@pytest.fixture
def sim(tmp_path: Path) -> Iterator[RegistrySimulator]:
    """An empty registry."""
    with RegistrySimulator(tmp_path / "registry") as simulator:
        yield simulator


@contextmanager
def machine(
    bucket: Bucket, folder: Path, sim: RegistrySimulator, *images: SampleImage, lease: float = LONG
) -> Iterator[subprocess.Popen[str]]:
    """A process that waits for `begin` to pull `images` into the bucket, and says what it did; killed at the end."""
    (folder / "lock.json").write_bytes(lock_of(*images, host=sim.host).to_json())
    server = {name: getattr(bucket.server, name) for name in ("endpoint", "access_key", "secret_key")}
    given = {"lock": str(folder / "lock.json"), "server": server, "bucket": bucket.name, "lease": lease}
    (folder / "given.json").write_text(json.dumps(given))
    process = subprocess.Popen(
        [sys.executable, "-c", MACHINE, str(folder / "given.json")],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        cwd=Path(__file__).parents[2],
    )
    try:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
        yield process
    finally:
        process.kill()
        process.communicate()


def test_two_machines_fetch_each_blob_once(bucket: Bucket, tmp_path: Path, sim: RegistrySimulator) -> None:
    """Both pull the same images at once: each blob is sent once, and the bundle is that of a single machine."""
    images = make_image_set(12, multi_arch=3)
    sim.put_image(*images)
    lock = lock_of(*images, host=sim.host)
    with machine(bucket, tmp_path, sim, *images) as one, machine(bucket, tmp_path, sim, *images) as other:
        begin(one, other)
        said = [json.loads(each.communicate(timeout=PATIENCE)[0]) for each in (one, other)]

    sent = [each.path.rpartition("/")[2] for each in sim.requests if each.method == "GET" and "/blobs/" in each.path]
    assert sorted(sent) == sorted(str(blob.digest) for blob in lock.unique_blobs())
    assert sum(each["moved"] for each in said) == len(sent)
    assert keys_in(bucket, "leases/") == keys_in(bucket, "partial/") == uploads_in(bucket) == []
    local = LocalStore(tmp_path / "store")
    for image in images:
        keep_image(local, image, host=sim.host)
    assemble_bundle(lock, local, tmp_path / "local.tar.zst")
    assemble_bundle(lock, store_in(bucket), tmp_path / "shared.tar.zst")
    assert (tmp_path / "shared.tar.zst").read_bytes() == (tmp_path / "local.tar.zst").read_bytes()


def test_a_machine_that_dies_is_continued_by_another(bucket: Bucket, tmp_path: Path, sim: RegistrySimulator) -> None:
    """It is killed in the middle of a blob: the other takes over when its lease has run out, and fetches the rest."""
    image = make_image("team/model", layers=(SampleLayer("tar", 3 * PIECE),))
    blob = max(image.blobs, key=lambda each: each.size)
    sim.put_image(image)
    sim.stall("GET", f"/blobs/{blob.digest}", after_bytes=2 * PIECE + 1000)
    small = {f"blobs/sha256/{each.digest.hex}" for each in image.blobs if each != blob}

    def stuck_at_two_pieces() -> bool:
        """What is small is there, and nobody at work on it any more."""
        is_left = len(keys_in(bucket, "partial/")) == 2 and small <= set(keys_in(bucket, "blobs/"))
        return is_left and len(keys_in(bucket, "leases/")) == 1

    with machine(bucket, tmp_path, sim, image, lease=SHORT) as one, machine(bucket, tmp_path, sim, image) as other:
        begin(one)
        deadline = time.monotonic() + PATIENCE
        while not stuck_at_two_pieces():
            assert time.monotonic() < deadline, "no pieces came"
            time.sleep(0.05)
        one.kill()
        one.wait()
        sim.heal()
        begin(other)
        said = json.loads(other.communicate(timeout=PATIENCE)[0])

    asked = [each.headers.get("range") for each in sim.requests if each.path.endswith(blob.digest)]
    assert asked == [None, f"bytes={2 * PIECE}-"]
    assert said["moved_bytes"] <= blob.size - 2 * PIECE + sum(each.size for each in image.blobs if each != blob)
    assert b"".join(store_in(bucket).read(blob)) == image.contents[blob.digest]
    assert keys_in(bucket, "leases/") == keys_in(bucket, "partial/") == uploads_in(bucket) == []
