"""Check: every blob of the working store against its digest, mended where asked for; runs may go on meanwhile."""

from prefect import task
from prefect.artifacts import create_markdown_artifact
from prefect.cache_policies import NO_CACHE
from pydantic import BaseModel, ConfigDict

from edgelift.errors import IncompleteError
from edgelift.site import RegistryAccess
from edgelift.sizes import count, format_size
from edgelift.store.check import StoreCheck, check_store
from edgelift.store.mending import mending_sources
from edgelift.store.opening import holdings_of
from tasks.connect import connect, path_of
from tasks.narrate import narrate, narrate_progress
from tasks.sweep import standing_store

_SHOWN = 100  # problems in the artifact


class StoreHealth(BaseModel):
    """What was looked at (`size` in bytes), how many problems there were, and how many of them remain."""

    model_config = ConfigDict(frozen=True)

    blobs: int
    size: int
    images: int
    problems: int
    unmended: int

    def __str__(self) -> str:
        found = f"{count(self.problems, 'problem')}, {self.problems - self.unmended} of them mended"
        verdict = found if self.problems else "all is right"
        return f"{count(self.blobs, 'blob')}, {format_size(self.size)}, {count(self.images, 'image')}: {verdict}"


@task(name="check store", cache_policy=NO_CACHE, persist_result=False)
def check_content(
    store: str | None, access: RegistryAccess, *, repair: bool = False, repair_from: tuple[str, ...] = ()
) -> StoreHealth:
    """Hash all of the store, as `edgelift store fsck` does; the artifact `store-check` says what was found.

    What is wrong is taken from the bundles `repair_from`, then with `repair` from where its image or chart is. Raises
    `IncompleteError` with all that remains.
    """
    content = standing_store(store)
    holdings = holdings_of(content)
    total = sum(blob.size for blob in holdings.blobs())
    with mending_sources(holdings, map(path_of, repair_from), connect(access) if repair else None) as sources:
        checked = check_store(content, sources=sources, progress=narrate_progress("checking the store", total))
    health = StoreHealth(
        blobs=checked.blobs,
        size=checked.size,
        images=checked.images,
        problems=len(checked.problems),
        unmended=len(checked.unmended),
    )
    create_markdown_artifact(key="store-check", markdown=_markdown(holdings.place, checked, health))
    narrate(f"{holdings.place}: {health}", warn=health.problems > 0)
    if checked.unmended:
        raise IncompleteError(
            f"{len(checked.unmended)} contents of the store are not as they should be",
            [str(problem) for problem in checked.unmended],
            hint="run it with repair, or build the images that need it again: a run fetches what is not there",
        )
    return health


def _markdown(root: str, checked: StoreCheck, health: StoreHealth) -> str:
    lines = [f"- `{' '.join(str(problem).split())}`" for problem in checked.problems[:_SHOWN]]
    more = [f"- and {len(checked.problems) - _SHOWN:,} more"] if len(checked.problems) > _SHOWN else []
    strays = [f"Files that are none of the store's: {len(checked.strays)}."] if checked.strays else []
    return "\n\n".join([f"# {root}", f"{health}.", *(["\n".join(lines + more)] if lines else []), *strays])
