"""Resolve: what is asked for → the definition of a bundle, with every reference and where it comes from."""

from prefect import task
from prefect.cache_policies import NO_CACHE

from blocks.load import load_block
from blocks.palette import PaletteCredentials
from edgelift.access import palette_from_environment
from edgelift.bundle.definition import BundleDefinition
from edgelift.carried import CarriedContent
from edgelift.define import define_bundle
from edgelift.palette.client import PaletteClient
from edgelift.site import ContentSource, RegistryAccess
from edgelift.sizes import count
from tasks.connect import connect, open_store
from tasks.narrate import narrate
from tasks.record import staged


@task(name="resolve", task_run_name="resolve the content of {name}", cache_policy=NO_CACHE, persist_result=False)
@staged("resolve")
def resolve_source(
    name: str, source: ContentSource, access: RegistryAccess, store: str | None = None
) -> BundleDefinition:
    """Read the profiles, from Palette and from files, and list what they declare.

    Where undeclared images are looked for, the charts and packs that are carried come into the store for that.
    """
    defined = define_bundle(
        name,
        source,
        lambda: open_palette(source, access),
        lambda: CarriedContent(connect(access).registries, open_store(store)),
    )
    for note in defined.notes:
        narrate(note)
    for warning in defined.warnings:
        narrate(warning, warn=True)
    definition = defined.definition
    found = ((definition.images, "image"), (definition.charts, "chart"), (definition.packs or (), "pack"))
    told = ", ".join(count(len(each), noun) for each, noun in found)
    narrate(f"resolved {count(len(definition.profiles), 'profile')}: {told}")
    return definition


def open_palette(source: ContentSource, access: RegistryAccess) -> PaletteClient:
    """A client with the key of the block that `source` names, else of the environment."""
    if source.palette is not None:
        return load_block(PaletteCredentials, source.palette).get_client(source.project)
    return palette_from_environment(source.project, access=access)
