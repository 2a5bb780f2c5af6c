"""The rounds: every client does every work, in an order that changes with the round, each in a folder of its own.

One client after the other does all its works, since what one work leaves the next begins with, and since the folders of
all of them together would not fit a disk: pull, push and copy, each first, again with nothing to do, and once three of
the images have changed.
"""

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bench.clients import KINDS, STATES, Client, Kind
from bench.image_layers import StoredSet, move_tags
from bench.measure import Peaks, RunError, Usage, Watch, run
from bench.registries import dying_with_us, serving, wrong_tags

_READ = 2**20  # bytes
Tell = Callable[[str], None]


@dataclass(frozen=True)
class Work:
    """One thing that every client does."""

    kind: Kind
    state: str

    def __str__(self) -> str:
        return self.kind if self.state == STATES[0] else f"{self.kind}, {self.state}"


WORKS = tuple(Work(kind, state) for state in STATES for kind in KINDS)


@dataclass(frozen=True)
class Source:
    """The registry that holds the image set, as it is first and as it is later."""

    host: str
    storage: Path
    first: StoredSet
    later: StoredSet

    def expected(self, state: str) -> StoredSet:
        """What the tags stand for in that state."""
        return self.later if state == "changed" else self.first


@dataclass(frozen=True)
class Sample:
    """One timed run of one work."""

    client: str
    work: Work
    usage: Usage


@dataclass(frozen=True)
class Account:
    """What a work moves and takes, from the one run of it that goes through counting forwarders, without a clock."""

    client: str
    work: Work
    peaks: Peaks
    source: Mapping[str, Any]  # a `wire.Tally`, as `target`; empty where the work has no such side
    target: Mapping[str, Any]
    bundle: int  # bytes


@dataclass(frozen=True)
class Failure:
    """A work that did not succeed, and what the client said."""

    client: str
    work: Work
    message: str


class Course:
    """One client, from an empty folder through its works; `parallel` holds its settings by kind."""

    def __init__(self, client: Client, source: Source, folder: Path, parallel: Mapping[Kind, int]) -> None:
        self._client = client
        self._source = source
        self._folder = folder
        self._parallel = parallel
        self._names: Sequence[str] = list(source.first.tags)

    def of_images(self, names: Sequence[str]) -> "Course":
        """The same for some of the images only."""
        self._names = names
        return self

    def timed(self, works: Sequence[Work]) -> Iterator[Sample | Failure]:
        """Do `works`; what comes after a failure is left out."""
        with self._targets() as targets:
            for work in works:
                try:
                    usage = self._run(work, self._source.host, targets.get(work.kind, ""))
                    self._check(work, self._source.host, targets.get(work.kind, ""))
                except RunError as error:
                    yield Failure(self._client.name, work, str(error))
                    return
                yield Sample(self._client.name, work, usage)

    def counted(self, works: Sequence[Work]) -> Iterator[Account | Failure]:
        """Do `works` once more through forwarders that count."""
        with ExitStack() as stack:
            targets = stack.enter_context(self._targets())
            source = stack.enter_context(forwarding(self._source.host))
            counters = {kind: stack.enter_context(forwarding(host)) for kind, host in targets.items()}
            for work in works:
                target = counters.get(work.kind)
                watch = Watch(self._folder)
                try:
                    self._run(work, source.host, target.host if target else "", watch)
                    tallies = source.take() if work.kind != "push" else {}, target.take() if target else {}
                    self._check(work, source.host, targets.get(work.kind, ""))
                except RunError as error:
                    yield Failure(self._client.name, work, str(error))
                    return
                bundle = self._bundle.stat().st_size if self._bundle.exists() else 0
                yield Account(self._client.name, work, watch.peaks, *tallies, bundle)

    @property
    def _bundle(self) -> Path:
        return self._folder / "bundle.tar.zst"

    @contextmanager
    def _targets(self) -> Iterator[dict[Kind, str]]:
        """The hosts of empty registries to push and to copy to; all is removed at the end, the client's folder too."""
        storages: dict[Kind, Path] = {
            "push": self._folder.with_name("target-push"),
            "copy": self._folder.with_name("target-copy"),
        }
        places = (self._folder, *storages.values())
        for place in places:
            shutil.rmtree(place, ignore_errors=True)
            place.mkdir(parents=True)
        try:
            with ExitStack() as stack:
                yield {kind: stack.enter_context(serving(place, place)) for kind, place in storages.items()}
        finally:
            for place in places:
                shutil.rmtree(place, ignore_errors=True)

    def _run(self, work: Work, source: str, target: str, watch: Watch | None = None) -> Usage:
        shutil.rmtree(self._folder / "unpacked", ignore_errors=True)
        environment = self._environment(work, source, target)
        move_tags(self._source.storage, self._source.expected(work.state))
        warm(self._bundle if work.kind == "push" else self._source.storage)
        os.sync()
        return run(self._client.scripts[work.kind], environment, self._folder / "log", watch)

    def _environment(self, work: Work, source: str, target: str) -> dict[str, str]:
        """Nothing of the user's own settings and logins, which would make runs differ."""
        home, names, references = (self._folder / each for each in ("home", "names", "references"))
        home.mkdir(exist_ok=True)
        names.write_text("".join(f"{name}\n" for name in self._names))
        references.write_text("".join(f"{source}/{name}\n" for name in self._names))
        kept = {name: value for name, value in os.environ.items() if name in ("PATH", "LANG", "LC_ALL", "TZ")}
        return kept | {
            "HOME": str(home),
            "XDG_CACHE_HOME": str(home / ".cache"),
            "XDG_DATA_HOME": str(home / ".data"),
            "TMPDIR": str(self._folder),
            "SOURCE": source,
            "TARGET": target,
            "NAMES": str(names),
            "REFERENCES": str(references),
            "FOLDER": str(self._folder),
            "LAYOUT": str(self._folder / "layout"),
            "UNPACKED": str(self._folder / "unpacked"),
            "BUNDLE": str(self._bundle),
            "PARALLEL": str(self._parallel.get(work.kind, 1)),
            "PYTHON": sys.executable,
            "EDGELIFT": str(Path(sys.executable).with_name("edgelift")),
            **self._client.environment,
        }

    def _check(self, work: Work, source: str, target: str) -> None:
        """Raises `RunError` where the target does not serve what the source does, digest for digest."""
        if work.kind == "pull":
            if not self._bundle.exists():
                raise RunError("there is no bundle")
            return
        prefix = f"{source.replace(':', '_')}/" if self._client.keeps_source_host else ""
        tags = self._source.expected(work.state).tags
        wrong = wrong_tags(target, {f"{prefix}{name}": tags[name] for name in self._names})
        if wrong:
            raise RunError(f"{len(wrong)} of {len(self._names)} tags do not stand for their digest, such as {wrong[0]}")


@dataclass(frozen=True)
class Forwarding:
    """A counting forwarder in a process of its own."""

    host: str
    process: subprocess.Popen[str]

    def take(self) -> dict[str, Any]:
        """What went through since the last call, as a `wire.Tally`."""
        if self.process.stdin is None or self.process.stdout is None:
            raise ValueError("a forwarder without pipes")
        self.process.stdin.write("\n")
        self.process.stdin.flush()
        tally: dict[str, Any] = json.loads(self.process.stdout.readline())
        return tally


@contextmanager
def forwarding(host: str) -> Iterator[Forwarding]:
    """A forwarder to `host` that counts."""
    command = [*dying_with_us(), sys.executable, "-m", "bench.wire", host]
    process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)  # noqa: S603 - ours
    try:
        yield Forwarding(process.stdout.readline().strip() if process.stdout else "", process)
    finally:
        process.kill()
        process.communicate()


def warm(place: Path) -> None:
    """Read all files of `place` into the page cache."""
    buffer = bytearray(_READ)
    files = (path for path in place.rglob("*") if path.is_file()) if place.is_dir() else iter([place])
    for path in files:
        with path.open("rb", buffering=0) as file:
            while file.readinto(buffer):
                pass


def choose_parallel(
    client: Client, source: Source, folder: Path, tell: Tell
) -> tuple[dict[Kind, int], dict[Kind, dict[int, float]]]:
    """The setting that is quickest for each kind, tried once with a sixth of the images, and what each of them took."""
    chosen: dict[Kind, int] = {}
    tried: dict[Kind, dict[int, float]] = {}
    names = list(source.first.tags)[1::6]  # with one of the huge layers
    widest = max((len(each) for each in client.parallel.values()), default=0)
    for place in range(widest):
        settings = {kind: each[min(place, len(each) - 1)] for kind, each in client.parallel.items()}
        kinds = [kind for kind in KINDS if place < len(client.parallel.get(kind, ())) or kind == "pull"]
        works = [Work(kind, STATES[0]) for kind in kinds]
        for outcome in Course(client, source, folder, settings).of_images(names).timed(works):
            if isinstance(outcome, Sample) and outcome.work.kind in settings:
                tried.setdefault(outcome.work.kind, {})[settings[outcome.work.kind]] = outcome.usage.wall
    for kind, walls in tried.items():
        chosen[kind] = min(walls, key=lambda setting: walls[setting])
        told = ", ".join(f"{setting}: {wall:.1f} s" for setting, wall in walls.items())
        tell(f"{client.name}, {kind}: {chosen[kind]} side by side ({told})")
    return chosen, tried
