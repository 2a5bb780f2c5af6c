"""Publish: what operators look at in Prefect, as artifacts. An API that is away or slow spoils nobody's run.

Keys are the same for each run of a site, so that Prefect keeps their history.
"""

import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, Literal
from uuid import UUID

from prefect.artifacts import (
    create_markdown_artifact,
    create_progress_artifact,
    create_table_artifact,
    update_progress_artifact,
)

from edgelift.bundle.lock import BundleLock
from edgelift.oci.digest import Digest
from edgelift.progress import Standing, watching
from edgelift.report.plan_page import plan_page
from tasks.narrate import narrate
from tasks.record import record

Kind = Literal["plan", "pull", "assemble", "push", "images", "delivery-receipt", "delivery-report", "run-report"]
_MARK = 6  # hexadecimal digits


def artifact_key(kind: Kind, name: str) -> str:
    """The key of an artifact about the bundle or site `name`: lower-case letters, digits and dashes.

    Where that loses something of the name, its digest tells it from others.
    """
    plain = re.sub(r"[^a-z0-9]+", "-", name.lower()).strip("-")
    return f"{kind}-{plain}" if plain == name else f"{kind}-{plain}-{Digest.of(name.encode()).hex[:_MARK]}"


def publish_markdown(kind: Kind, name: str, text: str, description: str | None = None) -> None:
    """Keep a page of Markdown."""
    key = artifact_key(kind, name)
    _try(key, lambda: create_markdown_artifact(key=key, markdown=text, description=description))


def publish_table(kind: Kind, name: str, rows: list[dict[str, Any]], description: str | None = None) -> None:
    """Keep a table; its cells are Markdown."""
    key = artifact_key(kind, name)
    _try(key, lambda: create_table_artifact(key=key, table=rows, description=description))


def publish_plan(lock: BundleLock) -> None:
    """Keep what will be done, before anything moves, and what need not be done, as far as the record knows."""
    found = record()
    publish_markdown("plan", found.name or lock.definition.name, plan_page(lock, found.present, found.warnings))


@contextmanager
def progress_of(kind: Kind, name: str, total: int, done: Callable[[], int]) -> Iterator[None]:
    """While the block runs, show in an artifact how many of `total` bytes are `done`; nothing for short work.

    It is called as the run's report is, else `name`.
    """
    name, is_whole = record().name or name, False
    tell = ProgressArtifact(artifact_key(kind, name), f"{kind} {name}")
    # What an earlier attempt has done is known only in the end, and nobody has counted its bytes.
    with watching(total, lambda: total if is_whole else done(), tell):
        yield
        is_whole = True


class ProgressArtifact:
    """An artifact that is made when there is something to tell, and updated from then on."""

    def __init__(self, key: str, what: str) -> None:
        self._key, self._what = key, what
        self._artifact: UUID | None = None

    def __call__(self, standing: Standing) -> None:
        """Show how it stands."""
        share, told = round(standing.share, 1), f"{self._what}: {standing}"
        if self._artifact is None:
            self._artifact = create_progress_artifact(progress=share, key=self._key, description=told)
        else:
            update_progress_artifact(self._artifact, progress=share, description=told)


def _try(key: str, publish: Callable[[], object]) -> None:
    try:
        publish()
    except Exception as error:  # noqa: BLE001 - whatever Prefect's client raises: the run does not depend on it
        narrate(f"the artifact {key} could not be published: {type(error).__name__}", warn=True)
