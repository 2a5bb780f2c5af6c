"""Send: one image to each of its names at the target, and all that refers to it after it; or many images at once."""

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import NamedTuple

from edgelift.bundle.lock import LockedImage
from edgelift.delivery.target import TargetName
from edgelift.errors import EdgeliftError
from edgelift.oci.attach import attach
from edgelift.oci.content import ContentReader, ImageContent
from edgelift.oci.copy import Origin, copy_content
from edgelift.oci.push import KnownBlobs, OnConflict, push_content
from edgelift.oci.reference import ImageReference
from edgelift.oci.registry import Registry
from edgelift.oci.source import Source
from edgelift.oci.transfer import Progress, Transfer

PARALLEL_IMAGES = 4


class Sent(NamedTuple):
    """What all images took together, and each that could not be sent, with its error."""

    transfer: Transfer
    failures: tuple[tuple[LockedImage, EdgeliftError], ...]


def send_each(images: Sequence[LockedImage], send: Callable[[LockedImage], Transfer]) -> Sent:
    """Have every one of `images` sent, several at a time; all settle, whatever becomes of one of them.

    Raises what is no error of ours, once all have settled.
    """
    with ThreadPoolExecutor(PARALLEL_IMAGES, thread_name_prefix="send") as pool:
        futures = [pool.submit(send, image) for image in images]
    failures = list[tuple[LockedImage, EdgeliftError]]()
    transfer = Transfer()
    for image, future in zip(images, futures, strict=True):
        try:
            transfer += future.result()
        except EdgeliftError as error:
            failures.append((image, error))
    return Sent(transfer, tuple(failures))


def send_to_all(
    image: LockedImage,
    names: Sequence[TargetName],
    source: ContentReader,
    registry: Registry,
    *,
    copied_from: Source | None = None,
    known: KnownBlobs,
    on_conflict: OnConflict = "fail",
    force: bool = False,
    progress: Progress | None = None,
) -> Transfer:
    """Bring `image` to each of `names`: see `send_image`."""
    transfer = Transfer()
    for name in names:
        transfer += send_image(
            image,
            source,
            registry,
            name,
            copied_from=copied_from,
            known=known,
            on_conflict=on_conflict,
            force=force,
            progress=progress,
        )
    return transfer


def send_image(
    image: LockedImage,
    source: ContentReader,
    registry: Registry,
    name: TargetName,
    *,
    copied_from: Source | None = None,
    known: KnownBlobs,
    on_conflict: OnConflict = "fail",
    force: bool = False,
    progress: Progress | None = None,
) -> Transfer:
    """Bring `image` from `source` to `name`, as `push_content` does, and then its referrers, so that they are found.

    Of an image that is `copied_from` its own registry only manifests come from `source`. Where another image is kept
    under its name, nothing is sent: what would refer to it is not there.
    """

    def send(content: ImageContent, destination: TargetName) -> Transfer:
        if copied_from is None:
            return push_content(
                source,
                content,
                registry,
                destination,
                known=known,
                on_conflict=on_conflict,
                force=force,
                progress=progress,
            )
        return copy_content(
            Origin(copied_from, ImageReference.parse(image.reference).repository, source),
            content,
            registry,
            destination,
            known=known,
            on_conflict=on_conflict,
            force=force,
            progress=progress,
        )

    transfer = send(image.content, name)
    if image.referrers and on_conflict == "keep" and not _stands(image, registry, name):
        return transfer
    for referrer in image.referrers:
        digest = referrer.descriptor.digest
        transfer += send(referrer.content, TargetName(name.repository, referrer.tag or digest))
        if referrer.tag is None:
            attach(registry, name.repository, referrer.subject, digest)
    return transfer


def _stands(image: LockedImage, registry: Registry, name: TargetName) -> bool:
    standing = registry.describe(name.repository, name.tag)
    return standing is not None and standing.digest == image.descriptor.digest
