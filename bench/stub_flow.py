"""One run over images whose pulls have nothing to do: `python -m bench.stub_flow FOLDER [--alone]`; see `stub_images`.

With `--alone` the library does the same without Prefect. What it took is printed as one line of JSON.
"""

import argparse
import json
import resource
import sys
import time
from dataclasses import asdict, dataclass
from pathlib import Path

from bench.engine import each_image
from edgelift.access import open_registries
from edgelift.bundle.assembly import Assembly
from edgelift.bundle.definition import BundleDefinition, RequestedImage
from edgelift.bundle.lock import BundleLock, LockedImage
from edgelift.demo.content import SampleLayer, make_image
from edgelift.oci.pull import pull_content
from edgelift.oci.reference import ImageReference
from edgelift.site import RegistryAccess
from edgelift.store.local import LocalStore

ACCESS = RegistryAccess(docker_config=False)
_NAME = "stub"
_LAYERS = (SampleLayer("tar", 16),)


@dataclass(frozen=True)
class Taken:
    """Seconds of wall and processor time and the most memory (bytes) of a run; `run` is the flow run's id, or empty."""

    wall: float
    cpu: float
    memory: int
    run: str


def main() -> None:
    """Do one run."""
    parser = argparse.ArgumentParser(prog="python -m bench.stub_flow", description=__doc__)
    parser.add_argument("folder", type=Path, help="what `stub_images` has made")
    parser.add_argument("--alone", action="store_true", help="without Prefect")
    options = parser.parse_args()
    work = _alone if options.alone else _with_prefect
    started, cpu = time.monotonic(), time.process_time()
    run = work(options.folder)
    memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    taken = Taken(time.monotonic() - started, time.process_time() - cpu, memory, run)
    sys.stdout.write(f"{json.dumps(asdict(taken))}\n")


def stub_images(folder: Path, host: str, count: int) -> None:
    """`count` tiny images of the registry at `host`, in `folder`: a lock, and a store that has all of them already."""
    store, pinned = LocalStore(folder / "store"), []
    for number in range(count):
        image = make_image(f"stub/{number:05}", layers=_LAYERS)
        for each in (*image.blobs, *image.manifests):
            store.write(each, image.contents[each.digest])
        reference = f"{host}/{image.repository}:{image.tag}"
        pinned.append(
            LockedImage(reference=reference, descriptor=image.root, manifests=image.manifests, blobs=image.blobs)
        )
    asked = tuple(RequestedImage(reference=image.reference) for image in pinned)
    lock = BundleLock(definition=BundleDefinition(name=_NAME, images=asked, signatures=False), images=tuple(pinned))
    _lock_path(folder).write_bytes(lock.to_json())


def _with_prefect(folder: Path) -> str:
    from flows.rebuild_bundle import rebuild_bundle  # noqa: PLC0415 - loads Prefect, which the other way does without

    state = rebuild_bundle(
        _NAME,
        str(_lock_path(folder)),
        output=str(folder / "with-prefect"),
        access=ACCESS,
        store=str(folder / "store"),
        return_state=True,
    )
    state.result()
    return str(state.state_details.flow_run_id)


def _alone(folder: Path) -> str:
    path = _lock_path(folder)
    lock, store = BundleLock.from_json(path.read_bytes(), str(path)), LocalStore(folder / "store")
    with open_registries(ACCESS) as connections, Assembly(lock, store, folder / "alone" / "stub.tar.zst") as assembly:

        def pull_image(image: LockedImage) -> None:
            repository = ImageReference.parse(image.reference).repository
            pull_content(connections.source_for(image), repository, image.content, store)

        each_image(lock, pull_image)
        assembly.finish()
    return ""


def _lock_path(folder: Path) -> Path:
    return folder / "stub.lock.json"


if __name__ == "__main__":
    main()
