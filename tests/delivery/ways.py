"""The way of images without Prefect: planned and pulled into a store, then sent to a target and proved there."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Self

from edgelift.bundle.definition import BundleDefinition, RequestedImage
from edgelift.bundle.lock import BundleLock
from edgelift.delivery.receipt import DeliveryReceipt, Proof
from edgelift.delivery.send import send_image
from edgelift.delivery.target import Target
from edgelift.delivery.validate import validate_lock
from edgelift.oci.content import ContentReader
from edgelift.oci.credentials import Credentials
from edgelift.oci.pull import pull_content
from edgelift.oci.push import KnownBlobs, OnConflict
from edgelift.oci.reference import ImageReference
from edgelift.oci.registries import Registries
from edgelift.plan import plan_bundle
from edgelift.store.local import LocalStore
from edgelift.transport import TransportSettings
from tests.oci.clocks import Hands


@contextmanager
def registries_without_waiting() -> Iterator[Registries]:
    """Clients that do not wait between attempts."""
    with Registries(TransportSettings(), Credentials(), clock=Hands().clock) as registries:
        yield registries


@dataclass
class Way:
    """A store that holds what was planned and pulled, the lock of it, and the registry that it came from."""

    source: str
    registries: Registries
    store: LocalStore
    lock: BundleLock

    @classmethod
    def to(cls, name: str, registries: Registries, folder: Path, **fields: object) -> Self:
        """Plan the image `name` and pull it into a store in `folder`; `fields` are further ones of the definition."""
        definition = BundleDefinition.model_validate({"images": [RequestedImage(reference=name)], **fields})
        store, reference = LocalStore(folder), ImageReference.parse(name)
        plan = plan_bundle(definition, registries, store)
        assert plan.errors == ()
        source = registries.source(reference.registry, reference.repository)
        for image in plan.lock.images:
            pull_content(source, reference.repository, image.content_without(), store)
        return cls(reference.registry, registries, store, plan.lock)

    def send(
        self,
        host: str,
        content: ContentReader | None = None,
        *,
        direct: bool = False,
        on_conflict: OnConflict = "fail",
        aliases: bool = False,
        force: bool = False,
    ) -> None:
        """Send every image of the lock to all its names at `host`."""
        target, registry = self.target(host, aliases=aliases), self.registries.registry(host)
        for image in self.lock.images:
            reference = ImageReference.parse(image.reference)
            for name in target.names(reference, image.descriptor.digest):
                send_image(
                    image,
                    content or self.store,
                    registry,
                    name,
                    copied_from=self.registries.source(reference.registry, reference.repository) if direct else None,
                    known=KnownBlobs(),
                    on_conflict=on_conflict,
                    force=force,
                )

    def target(self, host: str, *, aliases: bool = False) -> Target:
        """Where content goes at `host`: images of the source to where those of quay.io would."""
        return Target.parse(f"{host}/edge", (f"{self.source}={host}/edge/quay.io",), docker_hub_aliases=aliases)

    def validate(self, host: str, *, deep: bool = False) -> DeliveryReceipt:
        """The receipt for the lock at `host`."""
        return validate_lock(self.lock, self.target(host), self.registries.registry(host), deep=deep)

    def prove(self, host: str) -> Proof:
        """The verdict on the one image."""
        (proof,) = self.validate(host).proofs
        return proof
