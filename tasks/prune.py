"""Prune: let old bundles, and what killed uploads have left, go from an archive, or tell what would go."""

from datetime import UTC, datetime, timedelta

from prefect import task
from prefect.artifacts import create_markdown_artifact
from prefect.cache_policies import NO_CACHE
from pydantic import BaseModel, ConfigDict

from blocks.archive import BundleArchive
from blocks.load import load_block
from edgelift.archive.directory import DirectoryArchive
from edgelift.archive.place import BrowsableArchive
from edgelift.archive.retention import Pruned, Pruning, Retention, plan_pruning, prune_archive
from edgelift.archive.survey import Survey, survey_archive
from edgelift.errors import ConfigurationError, IncompleteError
from edgelift.keys import find_public_key
from edgelift.site import ArchiveSettings
from edgelift.sizes import count, format_size
from tasks.connect import optional_path, path_of
from tasks.narrate import narrate

_SHOWN = 100  # bundles in the artifact


class ArchivePruning(BaseModel):
    """What went, or would go, of an archive: how many bundles with `size` in bytes, and uploads; how many `kept`."""

    model_config = ConfigDict(frozen=True)

    is_deleted: bool
    bundles: int
    size: int
    uploads: int
    kept: int

    def __str__(self) -> str:
        verb = "deleted" if self.is_deleted else "would delete"
        return (
            f"{verb} {count(self.bundles, 'bundle')}, {format_size(self.size)}, and "
            f"{count(self.uploads, 'unfinished upload')}; {count(self.kept, 'bundle stays', 'bundles stay')}"
        )


@task(name="prune", task_run_name="prune the archive", cache_policy=NO_CACHE, persist_result=False)
def prune_place(
    archive: ArchiveSettings,
    *,
    keep: int | None = None,
    older_than_days: float | None = None,
    leftovers_days: float = 1,
    delete: bool = False,
    public_key: str | None = None,
) -> ArchivePruning:
    """Find what the rules let go of, as `edgelift prune` does, and with `delete` take it away.

    Without a rule those of the archive's block hold. The artifact `archive-pruning` says what went. Raises
    `IncompleteError` with all that could not be deleted.
    """
    place, rules = _open(archive), _rules(archive, keep, older_than_days, leftovers_days)
    survey = survey_archive(place, find_public_key(optional_path(public_key)))
    pruning = plan_pruning(survey, rules, datetime.now(UTC))
    pruned = prune_archive(place, pruning) if delete else Pruned((), (), 0)
    outcome = ArchivePruning(
        is_deleted=delete,
        bundles=len(pruning.bundles),
        size=pruning.size,
        uploads=len(pruning.leftovers),
        kept=len(pruning.kept),
    )
    create_markdown_artifact(key="archive-pruning", markdown=_markdown(place.url(""), survey, pruning, outcome))
    narrate(f"{place.url('')}: {outcome}")
    for warning in survey.warnings:
        narrate(warning, warn=True)
    if pruned.versions:
        narrate(f"the bucket keeps {count(pruned.versions, 'deleted file')} among its older versions", warn=True)
    if pruned.failures:
        many = f"{count(len(pruned.failures), 'file')} could not be deleted"
        raise IncompleteError(many, pruned.failures, hint="the rest is done")
    return outcome


def _open(archive: ArchiveSettings) -> BrowsableArchive:
    if archive.artifact is not None:
        raise ConfigurationError(
            "what a registry keeps is not pruned from here", hint="let go of old tags with the registry's own rules"
        )
    if archive.block is not None:
        return load_block(BundleArchive, archive.block).get_client()
    return DirectoryArchive(path_of(str(archive.directory)))


def _rules(
    archive: ArchiveSettings, keep: int | None, older_than_days: float | None, leftovers_days: float
) -> Retention:
    leftovers = timedelta(days=leftovers_days)
    own = load_block(BundleArchive, archive.block).retention() if archive.block is not None else None
    if keep is None and older_than_days is None and own is not None:
        return Retention(own.keep, own.older_than, leftovers)
    return Retention(keep, timedelta(days=older_than_days) if older_than_days is not None else None, leftovers)


def _markdown(url: str, survey: Survey, pruning: Pruning, outcome: ArchivePruning) -> str:
    rows = [
        f"| {each.file.modified:%Y-%m-%d %H:%M} | {format_size(each.size)} | {each.bundle} | `{each.file.name}` |"
        for each in pruning.bundles[:_SHOWN]
    ]
    table = ["\n".join(["| date | size | bundle | file |", "|---|---|---|---|", *rows])] if rows else []
    more = [f"and {len(pruning.bundles) - _SHOWN:,} more"] if len(pruning.bundles) > _SHOWN else []
    unread = [f"Files that cannot be read as bundles, and stay: {len(survey.unreadable)}."] if survey.unreadable else []
    return "\n\n".join([f"# {url}", f"{outcome}.", *table, *more, *unread])
