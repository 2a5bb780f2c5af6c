"""Push: store or bundle → target registry, one task an image."""

from collections.abc import Sequence
from typing import NamedTuple

from prefect import task, unmapped
from prefect.cache_policies import INPUTS, NO_CACHE, RUN_ID
from prefect.tasks import exponential_backoff
from pydantic import BaseModel, ConfigDict

from edgelift.bundle.kinds import count_kinds
from edgelift.bundle.lock import BundleLock, LockedImage
from edgelift.delivery.delta import complete_content
from edgelift.delivery.receipt import DeliveryReceipt
from edgelift.delivery.send import send_to_all
from edgelift.delivery.target import TargetName
from edgelift.delivery.validate import prove_image
from edgelift.oci.reference import ImageReference
from edgelift.oci.registry import Registry
from edgelift.oci.transfer import Transfer
from edgelift.packs.names import is_local
from edgelift.report.model import Step, Timing
from edgelift.site import RegistryAccess, TargetSettings
from edgelift.sizes import count, format_size
from edgelift.timetable import Window
from tasks.as_is import as_is
from tasks.connect import connect, known_blobs, open_bundle, open_content, target_of
from tasks.events import announce
from tasks.narrate import describe, narrate, narrate_progress
from tasks.publish import progress_of
from tasks.record import measured, record, stage, staged
from tasks.results import check_results
from tasks.settle import Settled, is_retryable, settle
from tasks.validate import validate_target
from tasks.window import require_open


class PushedImage(BaseModel):
    """An image under all its names at the target registry; where its blobs came from, and when."""

    model_config = ConfigDict(frozen=True)

    reference: str
    targets: tuple[str, ...]
    transfer: Transfer
    source: str = ""
    timing: Timing | None = None


@task(name="open bundle", task_run_name="open {bundle}", cache_policy=NO_CACHE, persist_result=False)
@staged("open")
def open_lock(bundle: str, public_key: str | None = None, archive_block: str | None = None) -> BundleLock:
    """The lock inside a bundle, whose signature is right where a public key is configured; see `open_bundle`."""
    lock = open_bundle(bundle, public_key, archive_block).lock
    record().name, record().lock = lock.definition.name, lock
    narrate(f"opened {bundle}: {count_kinds(image.kind for image in lock.images)}, {format_size(lock.carried_size)}")
    if lock.base is not None:
        size = format_size(lock.left_out_size)
        narrate(f"it is a delta of {lock.base}, which has brought {count(len(lock.left_out), 'blob')}, {size}")
    return lock


@task(
    name="push",
    task_run_name="push {image.reference}",
    retries=2,
    retry_delay_seconds=exponential_backoff(2),
    retry_jitter_factor=0.5,
    retry_condition_fn=is_retryable,
    persist_result=True,
    cache_policy=(INPUTS - "content" - "archive_block" - "window") + RUN_ID,  # the same image, wherever it is read from
)
def push_image(
    image: LockedImage,
    content: str,
    access: RegistryAccess,
    target: TargetSettings,
    *,
    public_key: str | None = None,
    archive_block: str | None = None,
    direct: bool = False,
    force: bool = False,
    window: Window | None = None,
) -> PushedImage:
    """Send one image, and what refers to it, to each of its names.

    It comes from `content`: the path of a store, or a bundle as `open_bundle` takes it.

    With `direct` only manifests come from there, blobs from the image's own registry, if it has one. `force` sends all
    of it, whatever the target says it has. Nothing is begun once the `window` is closed.
    """
    require_open(window)
    registry, names = _destination(image, access, target)
    source = open_content(content, public_key, archive_block)
    source = complete_content(source, registry, known_blobs(target))
    own = connect(access).source_for(image) if direct and not is_local(image.reference) else None
    pace = record().pace("push", image.reference)
    progress = narrate_progress(f"pushing {image.reference}", image.size * len(names), pace)
    with measured("push", image.reference) as step:
        transfer = send_to_all(
            image,
            names,
            source,
            registry,
            copied_from=own,
            known=known_blobs(target),
            on_conflict=target.on_conflict,
            force=force,
            progress=progress,
        )
    narrate(f"pushed {image.reference}: {describe(transfer)}")
    return PushedImage(
        reference=image.reference,
        targets=tuple(f"{registry.host}/{name}" for name in names),
        transfer=transfer,
        source=ImageReference.parse(image.reference).registry if own is not None else "",
        timing=step.timing(),
    )


def push_images(
    lock: BundleLock,
    content: str,
    access: RegistryAccess,
    target: TargetSettings,
    *,
    public_key: str | None = None,
    archive_block: str | None = None,
    direct: bool = False,
    window: Window | None = None,
) -> list[PushedImage]:
    """Push every image of the lock, each as a task of its own; raises `IncompleteError` naming all that failed.

    Raises `WindowClosedError` where the `window` is closed, or closes before the last one begins.
    """
    require_open(window)
    check_results()
    open_content(content, public_key, archive_block)  # before the tasks, which share it
    known_blobs(target)  # likewise
    inputs = _Inputs(content, access, target, public_key, archive_block, direct, window)
    images = lock.largest_first()
    total, found = _bytes_to_send(images, target), record()
    names = [image.reference for image in images]
    with stage("push"), progress_of("push", lock.definition.name, total, lambda: found.done("push", names)):
        settled = _push(images, inputs)
        # A result taken over from an earlier attempt proves nothing about the registry as it is now.
        cached = [image for image, outcome in zip(images, settled, strict=True) if outcome.is_cached]
        lost = [image for image in cached if not _is_there(image, access, target)]
        again = {outcome.result.reference: outcome for outcome in _push(lost, inputs, force=True)}
    pushed = [again.get(outcome.result.reference, outcome).result for outcome in settled]
    moved = sum((image.transfer for image in pushed), Transfer())
    narrate(f"pushed {count_kinds(image.kind for image in images)}: {describe(moved)}")
    announce("pushed", registry=target.registry, images=len(images), moved_bytes=moved.moved_bytes)
    return pushed


def mend_target(
    receipt: DeliveryReceipt,
    lock: BundleLock,
    content: str,
    access: RegistryAccess,
    target: TargetSettings,
    *,
    public_key: str | None = None,
    archive_block: str | None = None,
    direct: bool = False,
) -> DeliveryReceipt:
    """Send again what validation found incomplete at the target, and validate once more; else the receipt as it is."""
    broken = [image for image in lock.images if image.reference in receipt.broken]
    if not broken:
        return receipt
    narrate(f"{target.registry} does not have all of {count(len(broken), 'image')}: sending again", warn=True)
    with stage("push again"):
        _push(broken, _Inputs(content, access, target, public_key, archive_block, direct), force=True)
    return validate_target(as_is(lock), access, target, deep=receipt.deep, selector=receipt.selection)


class _Inputs(NamedTuple):
    """What all pushes of a run have in common."""

    content: str
    access: RegistryAccess
    target: TargetSettings
    public_key: str | None
    archive_block: str | None
    direct: bool
    window: Window | None = None


def _push(images: Sequence[LockedImage], inputs: _Inputs, *, force: bool = False) -> list[Settled[PushedImage]]:
    verb = "copy" if inputs.direct else "push"
    push = push_image.with_options(task_run_name=f"{verb} {{image.reference}}", refresh_cache=force)
    constant = {name: as_is(unmapped(value)) for name, value in inputs._asdict().items()}
    futures = push.map(as_is(list(images)), **constant, force=force)
    return settle("pushed", [image.reference for image in images], futures, _note)


def _note(reference: str, outcome: Settled[PushedImage]) -> None:
    pushed = outcome.result
    state = "earlier" if outcome.is_cached else "done"
    record().steps["push", reference] = Step(state, pushed.timing, pushed.transfer, pushed.source)


def _bytes_to_send(images: Sequence[LockedImage], target: TargetSettings) -> int:
    """What is done, in bytes, once every image stands under each of its names; what is there already counts, too."""
    names = target_of(target).names_of
    return sum(blob.size * len(names(image)) for image in images for blob in image.all_blobs)


def _is_there(image: LockedImage, access: RegistryAccess, target: TargetSettings) -> bool:
    """Whether all of the image is at the target under each of its names."""
    registry, names = _destination(image, access, target)
    proofs = [prove_image(image, name, registry, target_of(target)) for name in names]
    kept = target.on_conflict == "keep"  # another digest may stand there, but something has to
    return all(proof.verdict == "ok" or (kept and proof.verdict == "differs") for proof in proofs)


def _destination(
    image: LockedImage, access: RegistryAccess, target: TargetSettings
) -> tuple[Registry, tuple[TargetName, ...]]:
    destination = target_of(target)
    names = destination.names_of(image)
    connections = connect(access)
    registry = connections.target(destination.registry, create_repositories=target.create_repositories)
    return registry, names
