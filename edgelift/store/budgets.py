"""What registries have said last of the pulls that remain, kept for the next run: of another site, or tomorrow's.

A hint, as what references stood for is one: each plan hears the truth with its first answer, and only says beforehand
what it knows. One small file a registry, so that threads and processes need no lock.
"""

import os
import tempfile
from collections.abc import Mapping
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path

from pydantic import BaseModel, ConfigDict, ValidationError

from edgelift.oci.budget import Budget
from edgelift.oci.digest import Digest

WINDOW = 21_600  # seconds; of Docker Hub, where a registry does not say


class KnownBudget(BaseModel):
    """The `budget` of the registry `host`, as it was said at the moment `noted`."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    host: str
    budget: Budget
    noted: datetime

    @property
    def expires(self) -> datetime:
        """When all that was counted then is counted no more."""
        return self.noted + timedelta(seconds=self.budget.window or WINDOW)

    def __str__(self) -> str:
        budget, moment = self.budget, f"{self.noted:%Y-%m-%d %H:%M} UTC"
        of = f" of {budget.limit}" if budget.limit is not None else ""
        counted = f", counted for {budget.counted}" if budget.counted else ""
        after = f"; {self.expires:%H:%M} UTC at the latest there are more" if not budget.remaining else ""
        return f"{self.host}: {budget.remaining}{of} pulls remained at {moment}{counted}{after}"


class KnownBudgets:
    """The memory in `folder`, which is made when there is something to keep; without one, nothing is remembered."""

    def __init__(self, folder: Path | None) -> None:
        self._folder = folder

    @classmethod
    def of(cls, store: Path | None) -> "KnownBudgets":
        """The memory in the folder of a store; a store that is in none has no memory."""
        return cls(store / "budgets" if store is not None else None)

    def recall(self, now: datetime) -> list[KnownBudget]:
        """What is known and still of use at the moment `now`, by host; what cannot be read is not known."""
        found = [_read(path) for path in sorted(self._folder.glob("*.json"))] if self._folder is not None else []
        current = [each for each in found if each is not None and each.noted <= now < each.expires]
        return sorted(current, key=lambda each: each.host)

    def keep(self, budgets: Mapping[str, Budget], now: datetime | None = None) -> None:
        """Keep what registries have said by the moment `now`. A disk that does not take it is no reason to fail."""
        if self._folder is None:
            return
        moment = now or datetime.now(UTC)
        with suppress(OSError):
            for host, budget in budgets.items():
                _write(KnownBudget(host=host, budget=budget, noted=moment), self._folder)


def _write(known: KnownBudget, folder: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    handle, temporary = tempfile.mkstemp(dir=folder, prefix=".")
    try:
        with os.fdopen(handle, "w") as file:  # without fsync: a hint that a crash takes away is no loss
            file.write(known.model_dump_json())
        Path(temporary).replace(folder / f"{Digest.of(known.host.encode()).hex}.json")
    except BaseException:
        Path(temporary).unlink(missing_ok=True)
        raise


def _read(path: Path) -> KnownBudget | None:
    try:
        return KnownBudget.model_validate_json(path.read_bytes())
    except (OSError, ValidationError):
        return None
