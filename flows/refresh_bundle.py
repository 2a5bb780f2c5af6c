"""What has moved since the last build → a delta on top of it; nothing where nothing has."""

from prefect import flow
from prefect.task_runners import ThreadPoolTaskRunner

from edgelift.bundle.attached import NOTHING
from edgelift.bundle.definition import BundleName
from edgelift.bundle.parts import PartSize
from edgelift.site import DEFAULT_ACCESS, ArchiveSettings, ContentSource, RegistryAccess, SigningSettings
from tasks.archive import archive_bundle, check_archive, prune_archived
from tasks.as_is import as_is
from tasks.assemble import assemble_content, begin_assembly
from tasks.attach import attach_to
from tasks.events import announce_failure
from tasks.log_in import log_in
from tasks.plan import plan_lock
from tasks.pull import pull_images
from tasks.refresh import RefreshReport, look_for_moves, report_moves
from tasks.resolve import resolve_source
from tasks.sign import check_signing
from tasks.sum_up import begin_report, sum_up


@flow(
    name="refresh-bundle",
    flow_run_name="refresh {name}",
    task_runner=ThreadPoolTaskRunner(max_workers=4),
    persist_result=False,
    on_completion=[sum_up],
    on_failure=[sum_up, announce_failure],
    on_crashed=[announce_failure],
)
def refresh_bundle(
    name: BundleName,
    source: ContentSource,
    output: str = "~/edgelift/bundles",
    access: RegistryAccess = DEFAULT_ACCESS,
    archive: ArchiveSettings | None = None,
    store: str | None = None,
    signing: SigningSettings | None = None,
    base: str | None = None,
    existing_bundles: tuple[str, ...] = (),
    part_size: PartSize | None = None,
) -> RefreshReport:
    """Build a delta where a profile's version or a tag's digest has moved since the last lock; else build nothing.

    Args:
        name: Name of the bundle; its first file is NAME.tar.zst, that of each delta NAME-<12 hex>.tar.zst.
        source: Profiles, exported profiles, further images, packs, and the cluster definition.
        output: Folder of the worker that holds the last lock, and that the delta and its lock are written to.
        access: How to get into the registries that hold the images.
        archive: Where the delta is kept, too.
        store: The working store: a folder, s3://bucket/prefix or block:NAME; empty for the worker's own.
        signing: The key that signs the delta and its lock.
        base: What to compare with: path of a receipt, a lock or a bundle, or s3://bucket/key; empty for the last lock.
        existing_bundles: Paths of bundles, or folders of them, that blobs are taken from instead of a registry.
        part_size: Bytes of a part, where the delta is written in parts; empty for one file.
    """
    check_signing(signing)
    begin_report(name, output, pulls=True)
    definition = resolve_source(name, source, access, store)
    attached = attach_to(name, source, access, store) if source.has_attachments else NOTHING
    log_in(as_is(definition), access)
    if archive:
        check_archive(archive, access)
    now = plan_lock(as_is(definition), access, store, None, attached=as_is(attached))
    refresh = look_for_moves(as_is(now), name, store, output, base=base, part_size=part_size)
    if not refresh.is_needed:
        return report_moves(as_is(refresh), name, output)
    lock = refresh.lock
    with begin_assembly(lock, refresh.name, store, output, signing, archive=archive, part_size=part_size) as assembly:
        pulled = pull_images(lock, access, store, existing_bundles)
        bundle = assemble_content(assembly, as_is(lock), refresh.name, output, signing, pulled=pulled)
    if archive:
        bundle = archive_bundle(bundle, as_is(lock), archive, access)
        prune_archived(as_is(bundle), archive)
    return report_moves(as_is(refresh), name, output, as_is(bundle))
