"""Attach: what comes from no registry, the cluster definition and local packs, into the store."""

from prefect import task
from prefect.cache_policies import NO_CACHE

from edgelift.attach import attach_content
from edgelift.bundle.attached import Attached
from edgelift.site import ContentSource, RegistryAccess
from edgelift.sizes import format_size
from tasks.connect import open_store
from tasks.narrate import narrate
from tasks.record import staged
from tasks.resolve import open_palette


@task(name="attach", task_run_name="attach to {name}", cache_policy=NO_CACHE, persist_result=False)
@staged("attach")
def attach_to(
    name: str,  # noqa: ARG001 - part of the name of the run
    source: ContentSource,
    access: RegistryAccess,
    store: str | None,
) -> Attached:
    """Have Palette make the cluster definition, read the local packs, and keep both in the store."""
    attached = attach_content(source, open_store(store), lambda: open_palette(source, access))
    definition = attached.cluster_definition
    if definition is not None:
        profiles = ", ".join(f"{each.name} {each.version}" for each in definition.profiles)
        size = format_size(definition.size)
        narrate(f"cluster definition {definition.name}: {size} of {profiles}, {definition.digest}")
    for pack in attached.packs:
        narrate(f"local pack {pack.reference.rpartition('/')[2]}: {format_size(pack.size)}, {pack.descriptor.digest}")
    return attached
