"""Charts on their way, by the library alone: planned, pulled into a store, pushed, proved."""

from edgelift.access import open_registries
from edgelift.bundle.definition import BundleDefinition, RequestedChart, RequestedImage
from edgelift.bundle.lock import BundleLock
from edgelift.delivery.receipt import DeliveryReceipt
from edgelift.delivery.target import Target
from edgelift.delivery.validate import validate_lock
from edgelift.oci.pull import pull_content
from edgelift.oci.push import KnownBlobs, push_content
from edgelift.oci.reference import ImageReference
from edgelift.plan import Plan, plan_bundle
from edgelift.site import RegistryAccess
from edgelift.store.local import LocalStore

_ACCESS = RegistryAccess(docker_config=False)


def plan(store: LocalStore, *charts: RequestedChart, images: tuple[str, ...] = ()) -> Plan:
    """The plan for these charts and images."""
    definition = BundleDefinition(images=tuple(RequestedImage(reference=each) for each in images), charts=charts)
    with open_registries(_ACCESS) as connections:
        return plan_bundle(definition, connections.registries, store)


def pull(lock: BundleLock, store: LocalStore) -> None:
    """Bring all of `lock` into `store`."""
    with open_registries(_ACCESS) as connections:
        for image in lock.images:
            repository = ImageReference.parse(image.reference).repository
            pull_content(connections.source_for(image), repository, image.content, store)


def deliver(lock: BundleLock, store: LocalStore, target: Target) -> DeliveryReceipt:
    """Push all of `lock` from `store`, and prove that it arrived by reading it back."""
    with open_registries(_ACCESS) as connections:
        registry = connections.registry(target.registry)
        for image in lock.images:
            (name,) = target.names(ImageReference.parse(image.reference), image.descriptor.digest)
            push_content(store, image.content, registry, name, known=KnownBlobs())
        return validate_lock(lock, target, registry, deep=True)
