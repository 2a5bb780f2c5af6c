"""Our engine alone, without Prefect, as one process: `python -m bench.engine pull|push|copy …`.

It does what the flows do, image by image in four threads, and ends with its own peak of memory (VmHWM, kB) on standard
output: `ru_maxrss`, which the peers are measured by, would count what the parent had before the process began.
"""

import argparse
import re
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from edgelift.access import Connections, open_registries
from edgelift.bundle.definition import BundleDefinition, RequestedImage
from edgelift.bundle.lock import BundleLock, LockedImage
from edgelift.bundle.reader import BundleReader
from edgelift.bundle.writer import assemble_bundle
from edgelift.delivery.target import Target
from edgelift.oci.content import ContentReader
from edgelift.oci.pull import pull_content
from edgelift.oci.push import KnownBlobs, push_content
from edgelift.oci.reference import ImageReference
from edgelift.plan import plan_bundle
from edgelift.site import RegistryAccess
from edgelift.store.local import LocalStore

PARALLEL_IMAGES = 4  # as the flows


def main() -> None:
    """Do one work and print the peak of memory."""
    parser = argparse.ArgumentParser(prog="python -m bench.engine", description=__doc__)
    parser.add_argument("work", choices=("pull", "push", "copy"))
    parser.add_argument("--references", type=Path, help="file with one reference a line")
    parser.add_argument("--folder", type=Path, required=True, help="the store is in it")
    parser.add_argument("--bundle", type=Path)
    parser.add_argument("--target", help="HOST[:PORT]")
    options = parser.parse_args()
    with open_registries(RegistryAccess(docker_config=False)) as connections:
        if options.work == "pull":
            pull(connections, options.references.read_text().split(), options.folder, options.bundle)
        elif options.work == "push":
            push(connections, options.bundle, options.target)
        else:
            copy(connections, options.references.read_text().split(), options.folder, options.target)
    sys.stdout.write(f"{peak()}\n")


def pull(connections: Connections, references: list[str], folder: Path, bundle: Path) -> None:
    """Registry → bundle."""
    store = LocalStore(folder)
    assemble_bundle(fetch(connections, references, store), store, bundle)


def push(connections: Connections, bundle: Path, target: str) -> None:
    """Bundle → registry."""
    with BundleReader.open(bundle) as reader:
        send(connections, reader.lock, reader, target)


def copy(connections: Connections, references: list[str], folder: Path, target: str) -> None:
    """Registry → registry."""
    store = LocalStore(folder)
    send(connections, fetch(connections, references, store), store, target)


def fetch(connections: Connections, references: list[str], store: LocalStore) -> BundleLock:
    """Pin the references and pull what the store lacks."""
    definition = BundleDefinition(images=tuple(RequestedImage(reference=reference) for reference in references))
    plan = plan_bundle(definition, connections.registries, store)
    plan.raise_for_errors()

    def pull_image(image: LockedImage) -> None:
        parsed = ImageReference.parse(image.reference)
        pull_content(connections.registry(parsed.registry), parsed.repository, image.content, store)

    each_image(plan.lock, pull_image)
    return plan.lock


def send(connections: Connections, lock: BundleLock, source: ContentReader, target: str) -> None:
    """Push every image under the name that it gets at `target`."""
    destination, known = Target.parse(target), KnownBlobs()
    registry = connections.registry(destination.registry)

    def push_image(image: LockedImage) -> None:
        for name in destination.names(ImageReference.parse(image.reference), image.descriptor.digest):
            push_content(source, image.content, registry, name, known=known, on_conflict="replace")

    each_image(lock, push_image)


def each_image(lock: BundleLock, work: Callable[[LockedImage], None]) -> None:
    """Do `work` for every image of the lock, several at a time."""
    with ThreadPoolExecutor(PARALLEL_IMAGES) as pool:
        list(pool.map(work, lock.images))


def peak() -> int:
    """The most memory that this process has had, kB."""
    found = re.search(r"VmHWM:\s+(\d+) kB", Path("/proc/self/status").read_text())
    return int(found[1]) if found else 0


if __name__ == "__main__":
    main()
