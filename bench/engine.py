"""Our engine alone, without Prefect, as one process: `python -m bench.engine pull|push|copy …`.

It does what the flows do, with the same functions, image by image in as many threads.
"""

import argparse
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path

from edgelift.access import Connections, open_registries
from edgelift.bundle.assembly import Assembly
from edgelift.bundle.definition import BundleDefinition, RequestedImage
from edgelift.bundle.lock import BundleLock, LockedImage
from edgelift.bundle.reader import BundleReader
from edgelift.delivery.target import Target
from edgelift.oci.content import ContentReader
from edgelift.oci.copy import Origin, copy_content
from edgelift.oci.pull import pull_content
from edgelift.oci.push import KnownBlobs, push_content
from edgelift.oci.reference import ImageReference
from edgelift.plan import plan_bundle
from edgelift.site import RegistryAccess
from edgelift.store.local import LocalStore

PARALLEL_IMAGES = 4  # as the flows


def main() -> None:
    """Do one work."""
    parser = argparse.ArgumentParser(prog="python -m bench.engine", description=__doc__)
    parser.add_argument("work", choices=("pull", "push", "copy"))
    parser.add_argument("--references", type=Path, help="file with one reference a line (pull, copy)")
    parser.add_argument("--folder", type=Path, help="the store (pull, copy)")
    parser.add_argument("--bundle", type=Path, help="what pull makes and push reads")
    parser.add_argument("--target", help="HOST[:PORT] (push, copy)")
    options = parser.parse_args()
    with open_registries(RegistryAccess(docker_config=False)) as connections:
        if options.work == "pull":
            pull(connections, options.references.read_text().split(), options.folder, options.bundle)
        elif options.work == "push":
            push(connections, options.bundle, options.target)
        else:
            copy(connections, options.references.read_text().split(), options.folder, options.target)


def pull(connections: Connections, references: list[str], folder: Path, bundle: Path) -> None:
    """Registry → bundle, by way of the store in `folder`."""
    store = LocalStore(folder)
    lock = pin(connections, references, store)

    def pull_image(image: LockedImage) -> None:
        reference = ImageReference.parse(image.reference)
        source = connections.source(reference.registry, reference.repository)
        pull_content(source, reference.repository, image.content, store)

    with Assembly(lock, store, bundle) as assembly:
        each_image(lock, pull_image)
        assembly.finish()


def push(connections: Connections, bundle: Path, target: str) -> None:
    """Bundle → registry."""
    with BundleReader.open(bundle) as reader:
        send(connections, reader.lock, reader, target, direct=False)


def copy(connections: Connections, references: list[str], folder: Path, target: str) -> None:
    """Registry → registry; only manifests go into the store in `folder`."""
    store = LocalStore(folder)
    send(connections, pin(connections, references, store), store, target, direct=True)


def pin(connections: Connections, references: list[str], store: LocalStore) -> BundleLock:
    """The lock of all references."""
    asked = tuple(RequestedImage(reference=reference) for reference in references)
    definition = BundleDefinition(images=asked, signatures=False)  # its peers do not look for any either
    plan = plan_bundle(definition, connections.registries, store)
    plan.raise_for_errors()
    return plan.lock


def send(connections: Connections, lock: BundleLock, content: ContentReader, target: str, *, direct: bool) -> None:
    """Bring every image under the name that it gets at `target`; with `direct` its blobs come from its registry."""
    destination, known = Target.parse(target), KnownBlobs()
    registry = connections.target(destination.registry, create_repositories=False)

    def send_image(image: LockedImage) -> None:
        reference = ImageReference.parse(image.reference)
        send = partial(push_content, content, image.content)
        if direct:
            source = connections.source(reference.registry, reference.repository)
            send = partial(copy_content, Origin(source, reference.repository, content), image.content)
        for name in destination.names(reference, image.descriptor.digest):
            send(registry, name, known=known, on_conflict="replace")

    each_image(lock, send_image)


def each_image(lock: BundleLock, work: Callable[[LockedImage], None]) -> None:
    """Do `work` for every image of the lock, several at a time, in the order of the flows."""
    with ThreadPoolExecutor(PARALLEL_IMAGES) as pool:
        list(pool.map(work, lock.largest_first()))


if __name__ == "__main__":
    main()
