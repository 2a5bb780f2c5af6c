"""Profiles → one content bundle."""

from prefect import flow

from edgelift.bundle.attached import NOTHING
from edgelift.bundle.definition import BundleName
from edgelift.bundle.parts import PartSize
from edgelift.site import DEFAULT_ACCESS, ArchiveSettings, ContentSource, RegistryAccess, SigningSettings
from tasks.archive import archive_bundle, check_archive, prune_archived
from tasks.as_is import as_is
from tasks.assemble import BuiltBundle, assemble_content, begin_assembly
from tasks.attach import attach_to
from tasks.events import announce_failure
from tasks.log_in import log_in
from tasks.plan import plan_lock
from tasks.pull import pull_images
from tasks.resolve import resolve_source
from tasks.runner import choose_task_runner
from tasks.sign import check_signing
from tasks.sum_up import begin_report, sum_up


@flow(
    name="build-bundle",
    flow_run_name="build {name}",
    task_runner=choose_task_runner(),
    persist_result=False,
    on_completion=[sum_up],
    on_failure=[sum_up, announce_failure],
    on_crashed=[announce_failure],
)
def build_bundle(
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
) -> BuiltBundle:
    """Build one content bundle for cluster profiles.

    Args:
        name: Name of the bundle; its file is NAME.tar.zst.
        source: Profiles, exported profiles, further images, packs, and the cluster definition.
        output: Folder of the worker that the bundle and its lock are written to.
        access: How to get into the registries that hold the images.
        archive: Where the bundle is kept, too.
        store: The working store: a folder, s3://bucket/prefix or block:NAME; empty for the worker's own.
        signing: The key that signs the bundle and its lock.
        base: What the site has already: path of a receipt, a lock or a bundle, or s3://bucket/key. It is left out.
        existing_bundles: Paths of bundles, or folders of them, that blobs are taken from instead of a registry.
        part_size: Bytes of a part, where the bundle is written in parts; empty for one file.
    """
    check_signing(signing)
    begin_report(name, output, pulls=True)
    definition = resolve_source(name, source, access, store)
    attached = attach_to(name, source, access, store) if source.has_attachments else NOTHING
    log_in(as_is(definition), access)
    if archive:
        check_archive(archive, access)
    lock = plan_lock(as_is(definition), access, store, output, base=base, part_size=part_size, attached=as_is(attached))
    with begin_assembly(lock, name, store, output, signing, archive=archive, part_size=part_size) as assembly:
        pulled = pull_images(lock, access, store, existing_bundles)
        bundle = assemble_content(assembly, as_is(lock), name, output, signing, pulled=pulled)
    if archive:
        bundle = archive_bundle(bundle, as_is(lock), archive, access)
        prune_archived(as_is(bundle), archive)
    return bundle
