"""Pull: registry → store, one task an image. What is in the store already is not asked for again."""

from collections.abc import Iterable, Sequence, Set
from contextlib import suppress
from functools import partial

from prefect import task, unmapped
from prefect.cache_policies import INPUTS, RUN_ID
from prefect.tasks import exponential_backoff
from pydantic import BaseModel, ConfigDict

from edgelift.bundle.kinds import count_kinds
from edgelift.bundle.lock import BundleLock, LockedImage
from edgelift.errors import EdgeliftError
from edgelift.oci.content import ImageContent
from edgelift.oci.descriptor import Descriptor
from edgelift.oci.digest import Digest
from edgelift.oci.pull import pull_content
from edgelift.oci.reference import ImageReference
from edgelift.oci.transfer import Transfer
from edgelift.packs.names import is_local
from edgelift.report.model import Step, Timing
from edgelift.site import RegistryAccess
from edgelift.store.working import WorkingStore
from edgelift.timetable import Window
from tasks.as_is import as_is
from tasks.connect import connect, open_existing, open_store
from tasks.events import announce
from tasks.limit import registry_slot
from tasks.narrate import describe, narrate, narrate_progress
from tasks.publish import progress_of
from tasks.record import measured, record, stage
from tasks.results import check_results
from tasks.settle import Settled, is_retryable, settle
from tasks.window import require_open


class PulledImage(BaseModel):
    """An image whose every byte is in the store; where they came from, and when."""

    model_config = ConfigDict(frozen=True)

    reference: str
    digest: Digest
    transfer: Transfer
    source: str = ""
    timing: Timing | None = None


@task(
    name="pull",
    task_run_name="pull {image.reference}",
    retries=2,
    retry_delay_seconds=exponential_backoff(2),
    retry_jitter_factor=0.5,
    retry_condition_fn=is_retryable,
    persist_result=True,
    cache_policy=(INPUTS - "window") + RUN_ID,
)
def pull_image(
    image: LockedImage,
    access: RegistryAccess,
    store: str | None,
    *,
    left_out: tuple[Digest, ...] = (),
    existing: tuple[str, ...] = (),
    window: Window | None = None,
) -> PulledImage:
    """Bring one image into the store, but for blobs that are `left_out`; from `existing` bundles where these have it.

    What refers to it comes with it. Nothing is begun once the `window` is closed.
    """
    require_open(window)
    reference = ImageReference.parse(image.reference)
    content, source = open_store(store), connect(access).source_for(image)
    pace = record().pace("pull", image.reference)
    with registry_slot(reference.registry, access), measured("pull", image.reference) as step:
        transfer = pull_content(
            source,
            reference.repository,
            image.content_without(frozenset(left_out)),
            content,
            nearby=open_existing(existing),
            progress=narrate_progress(f"pulling {image.reference}", image.size, pace),
        )
    places = source.served_by(reference.repository)
    if transfer.moved or transfer.taken:  # what was there already is summed up in one line
        narrate(f"pulled {image.reference}{' from ' if places else ''}{' and '.join(places)}: {describe(transfer)}")
    return PulledImage(
        reference=image.reference,
        digest=image.descriptor.digest,
        transfer=transfer,
        source=" and ".join(places) or reference.registry,
        timing=step.timing(),
    )


def pull_images(
    lock: BundleLock,
    access: RegistryAccess,
    store: str | None,
    existing: tuple[str, ...] = (),
    *,
    window: Window | None = None,
) -> Transfer:
    """Pull every image of the lock, each as a task of its own; raises `IncompleteError` naming all that failed.

    Those of which all is in the store then have their names there.
    Blobs that the lock leaves out are not pulled, and those in `existing` bundles, or folders of them, are taken there.
    Raises `WindowClosedError` where the `window` is closed, or closes before the last one begins.
    """
    require_open(window)
    check_results()
    images = tuple(image for image in lock.largest_first() if not is_local(image.reference))  # these are in the store
    left_out = lock.left_out
    open_existing(existing)  # before the tasks, which share them
    pull = partial(_pull, left_out=left_out, access=access, store=store, existing=existing, window=window)
    total, found = sum(blob.size for image in images for blob in image.content_without(left_out).blobs), record()
    names = [image.reference for image in images]
    with stage("pull"), progress_of("pull", lock.definition.name, total, lambda: found.done("pull", names)):
        settled = pull(images)
        # A result that Prefect took over from an earlier attempt says nothing about the disk of this worker.
        content = open_store(store)
        cached = [image for image, outcome in zip(images, settled, strict=True) if outcome.is_cached]
        lost = [image for image in cached if not _is_here(image.content_without(left_out), content)]
        again = {outcome.result.reference: outcome for outcome in pull(lost, refresh=True)}
    pulled = [again.get(outcome.result.reference, outcome).result for outcome in settled]
    moved = sum((image.transfer for image in pulled), Transfer())
    narrate(f"pulled {count_kinds(image.kind for image in images)}: {describe(moved)}")
    announce("pulled", images=len(images), moved_bytes=moved.moved_bytes, taken_bytes=moved.taken_bytes)
    return moved


def _pull(
    images: Sequence[LockedImage],
    *,
    left_out: Set[Digest],
    access: RegistryAccess,
    store: str | None,
    existing: tuple[str, ...],
    window: Window | None,
    refresh: bool = False,
) -> list[Settled[PulledImage]]:
    pull = pull_image.with_options(refresh_cache=True) if refresh else pull_image
    futures = pull.map(
        as_is(list(images)),
        access=as_is(unmapped(access)),
        store=store,
        left_out=as_is([tuple(blob.digest for blob in image.all_blobs if blob.digest in left_out) for image in images]),
        existing=unmapped(existing),
        window=unmapped(window),
    )
    by_name, content = {image.reference: image for image in images}, open_store(store)
    fresh, earlier = list[LockedImage](), list[LockedImage]()

    def note(reference: str, outcome: Settled[PulledImage]) -> None:
        _note(reference, outcome)
        (earlier if outcome.is_cached else fresh).append(by_name[reference])

    def tag() -> None:
        here = [image for image in earlier if _is_here(image.content_without(left_out), content)]
        _tag([*fresh, *here], left_out, content)

    try:
        settled = settle("pulled", [image.reference for image in images], futures, note)
    except EdgeliftError:
        with suppress(EdgeliftError):  # why the others failed matters more
            tag()
        raise
    tag()
    return settled


def _tag(images: Iterable[LockedImage], left_out: Set[Digest], store: WorkingStore) -> None:
    """Name `images`, which are in the store but for what was left out, and what refers to them; none that lacks any."""
    names: dict[str, Descriptor] = {}
    for image in images:
        if all(store.exists(blob) for blob in image.all_blobs if blob.digest in left_out):
            names[image.reference] = image.descriptor
            names |= {image.name_of(referrer): referrer.manifests[-1] for referrer in image.referrers}
    if names:
        store.tag(names)


def _note(reference: str, outcome: Settled[PulledImage]) -> None:
    pulled = outcome.result
    state = "earlier" if outcome.is_cached else "done"
    record().steps["pull", reference] = Step(state, pulled.timing, pulled.transfer, pulled.source)


def _is_here(content: ImageContent, store: WorkingStore) -> bool:
    return all(store.exists(each) for each in (*content.manifests, *content.blobs))
