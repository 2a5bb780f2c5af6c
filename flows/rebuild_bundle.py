"""A lock → the content bundle it describes, byte for byte the one it described before."""

from prefect import flow

from edgelift.bundle.definition import BundleName
from edgelift.bundle.parts import PartSize
from edgelift.site import DEFAULT_ACCESS, ArchiveSettings, RegistryAccess, SigningSettings
from tasks.archive import archive_bundle, check_archive, prune_archived
from tasks.as_is import as_is
from tasks.assemble import BuiltBundle, assemble_content, begin_assembly
from tasks.events import announce_failure
from tasks.log_in import log_in
from tasks.plan import replay_lock
from tasks.pull import pull_images
from tasks.runner import choose_task_runner
from tasks.sign import check_signing
from tasks.sum_up import begin_report, sum_up


@flow(
    name="rebuild-bundle",
    flow_run_name="rebuild {name}",
    task_runner=choose_task_runner(),
    persist_result=False,
    on_completion=[sum_up],
    on_failure=[sum_up, announce_failure],
    on_crashed=[announce_failure],
)
def rebuild_bundle(
    name: BundleName,
    lock_file: str,
    output: str = "~/edgelift/bundles",
    access: RegistryAccess = DEFAULT_ACCESS,
    archive: ArchiveSettings | None = None,
    store: str | None = None,
    signing: SigningSettings | None = None,
    public_key: str | None = None,
    existing_bundles: tuple[str, ...] = (),
    part_size: PartSize | None = None,
    packs: tuple[str, ...] = (),
) -> BuiltBundle:
    """Build the content bundle of a lock that was made before; no tag is looked up again.

    Args:
        name: Name of the bundle; its file is NAME.tar.zst.
        lock_file: Path of the lock.
        output: Folder of the worker that the bundle and its lock are written to.
        access: How to get into the registries that hold the images.
        archive: Where the bundle is kept, too.
        store: The working store: a folder, s3://bucket/prefix or block:NAME; empty for the worker's own.
        signing: The key that signs the bundle and its lock.
        public_key: Path of the public key that the lock is checked with; empty for EDGELIFT_PUBLIC_KEY.
        existing_bundles: Paths of bundles, or folders of them, that blobs are taken from instead of a registry.
        part_size: Bytes of a part, where the bundle is written in parts; empty for one file.
        packs: Paths of the local packs that the lock holds, where they are not in the store any more.
    """
    check_signing(signing)
    lock = replay_lock(
        lock_file, name, store, output, public_key, part_size=part_size, existing=existing_bundles, packs=packs
    )
    begin_report(name, output, pulls=True)
    log_in(as_is(lock.definition), access)
    if archive:
        check_archive(archive, access)
    with begin_assembly(lock, name, store, output, signing, archive=archive, part_size=part_size) as assembly:
        pulled = pull_images(lock, access, store, existing_bundles)
        bundle = assemble_content(assembly, as_is(lock), name, output, signing, pulled=pulled)
    if archive:
        bundle = archive_bundle(bundle, as_is(lock), archive, access)
        prune_archived(as_is(bundle), archive, public_key)
    return bundle
