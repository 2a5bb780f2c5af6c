"""Several places that hold the same content, read as one registry: each is asked in turn until one gives it.

A tag is resolved at the first place that answers, which may have an older one than the original; all else is asked for
by digest and checked, so that it does not matter where it came from. Only reading goes through here.
"""

import copy
import logging
import threading
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import NamedTuple, TypeVar

from edgelift.errors import ConfigurationError, EdgeliftError, IntegrityError, RegistryError, UnreachableError
from edgelift.oci.descriptor import Descriptor
from edgelift.oci.digest import Digest
from edgelift.oci.download import BlobBody
from edgelift.oci.manifest import Manifest
from edgelift.oci.mirrors import Place
from edgelift.oci.pacing import Clock
from edgelift.oci.registry import Registry
from edgelift.oci.slots import STRAIN, Slots

REST = 300.0  # seconds for which a mirror that does not answer is not asked
LAST_REST = 20.0  # seconds for the last place, after which there is none to ask
STALLED_BLOBS = 3  # of a mirror, after which it rests
_log = logging.getLogger(__name__)

Answer = TypeVar("Answer")


class Rests:
    """The registries that are not asked for now, and why; shared by all sources of a run, and by their threads."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._until: dict[str, tuple[float, EdgeliftError]] = {}

    def begin(self, host: str, seconds: float, error: EdgeliftError) -> None:
        """Leave `host` alone for `seconds`, because of `error`."""
        # A copy has no traceback, which would keep alive what failed, and grow with every thread that is told.
        self._until[host] = (self._clock.now() + seconds, copy.copy(error))

    def why(self, host: str) -> EdgeliftError | None:
        """Why `host` is not to be asked now; None where it may be."""
        resting = self._until.get(host)
        return copy.copy(resting[1]) if resting is not None and resting[0] > self._clock.now() else None


@dataclass(frozen=True)
class PlacedRegistry:
    """A place, the client for its registry, and how long it is left alone where it does not answer (seconds)."""

    place: Place
    registry: Registry
    rest: float = REST


class _Candidate(NamedTuple):
    at: PlacedRegistry
    repository: str  # as we know it
    name: str  # as it is called there


class MirroredRegistry:
    """The registry `host`, read at `places` in their order. Implements `oci.source.Source`; safe to share.

    A place that does not answer, has nothing, refuses, or gives wrong bytes is passed over. The last one's word is
    final.
    """

    def __init__(self, host: str, places: Sequence[PlacedRegistry], rests: Rests) -> None:
        self.host = host
        self._places = tuple(places)
        self._rests = rests
        self._lock = threading.Lock()
        self._lacking: set[tuple[Place, str]] = set()  # a place, and a repository that it last had nothing of
        self._serving: dict[Digest, PlacedRegistry] = {}  # who gives, or has given, the bytes of a blob
        self._failed = Counter[tuple[Place, str]]()  # how often bytes of a blob stopped coming, or were wrong
        self._stalled = defaultdict[Place, set[Digest]](set)  # the blobs whose bytes did not come in time
        self._gave: set[tuple[Place, str]] = set()  # a place, and a repository that it gave something of

    def log_in(self) -> None:
        """Prove that one of the places is there and lets us in."""

        def ask(registry: Registry, _: str) -> bool:
            registry.log_in()
            return True

        self._ask([_Candidate(each, "", "") for each in self._places], ask)

    def read_manifest(self, repository: str, selector: str) -> Manifest:
        """The manifest or index of a tag or digest, from the first place that gives it."""
        candidates = self._candidates(repository, selector)
        return self._ask(candidates, lambda registry, name: registry.read_manifest(name, selector))

    def peek(self, repository: str, selector: str) -> Descriptor | None:
        """What a tag or digest stands for at the first place that tells, as a hint; None where none tells."""
        candidates = self._candidates(repository, selector)
        return self._ask(candidates, lambda registry, name: registry.peek(name, selector))

    def describe(self, repository: str, selector: str, *, certain: bool = False) -> Descriptor | None:
        """What a tag or digest stands for at the first place that has it; None where none has it."""

        def ask(registry: Registry, name: str) -> Descriptor | None:
            return registry.describe(name, selector, certain=certain)

        return self._ask(self._candidates(repository, selector), ask, learns=not certain)

    def list_referrers(self, repository: str, subject: Digest) -> tuple[Descriptor, ...] | None:
        """What refers to the manifest `subject` at the first place that knows of something; None where none does."""
        candidates = self._candidates(repository, "")
        return self._ask(candidates, lambda registry, name: registry.list_referrers(name, subject), learns=False)

    def blob_size(self, repository: str, digest: Digest) -> int | None:
        """The size of a blob in bytes at the first place that has it; None where none has it."""
        candidates = self._candidates(repository, digest)
        return self._ask(candidates, lambda registry, name: registry.blob_size(name, digest))

    @contextmanager
    def open_blob(
        self, repository: str, descriptor: Descriptor, offset: int = 0, *, held: Slots | None = None
    ) -> Iterator[BlobBody]:
        """The bytes of a blob from `offset`, wherever those before it came from; the turn held is at who gives them."""
        with ExitStack() as turn:

            def ask(candidate: _Candidate) -> BlobBody:
                asked = candidate.at.registry.open_blob(candidate.name, descriptor, offset, held=held)
                body = turn.enter_context(asked)
                self._serving[descriptor.digest] = candidate.at
                return body

            yield self._ask_each(self._candidates(repository, descriptor.digest), ask)

    def served_by(self, repository: str) -> tuple[str, ...]:
        """The places that have given something of `repository` so far, in their order."""
        return tuple(str(each.place) for each in self._places if (each.place, repository) in self._gave)

    def recover(self, blob: Descriptor, attempt: int, error: UnreachableError | IntegrityError) -> None:
        """Turn to the place that has failed least with this blob, without waiting; where all have failed, wait."""
        serving = self._serving.get(blob.digest, self._places[-1])
        with self._lock:
            self._failed[serving.place, blob.digest] += 1
            is_last = all((each.place, blob.digest) in self._failed for each in self._places)
            if is_last and isinstance(error, IntegrityError):
                # Whoever only stopped may have sent the wrong bytes before: the last place is asked for all of them.
                del self._failed[self._places[-1].place, blob.digest]
            if isinstance(error, UnreachableError) and error.is_timeout:
                self._note_stall(serving, blob.digest, error)
        if is_last:
            serving.registry.recover(blob, attempt, error)

    def _note_stall(self, at: PlacedRegistry, digest: Digest, error: UnreachableError) -> None:
        """Let a mirror rest that stalls again and again, once another place has shown that it serves."""
        stalled = self._stalled[at.place]
        stalled.add(digest)
        serving = {place.host for place, _ in tuple(self._gave)} - {at.place.host}
        if at is self._places[-1] or len(stalled) < STALLED_BLOBS or all(map(self._rests.why, serving)):
            return
        stalled.clear()
        self._rests.begin(at.place.host, at.rest, error)
        _log.warning("%s is passed over for %.0f s, since it stalls: %s", at.place, at.rest, error.message)

    def _candidates(self, repository: str, selector: str) -> list[_Candidate]:
        """Whom to ask, in order. What is known by digest is the same everywhere, so likely places come first then."""
        located = ((each, each.place.locate(repository)) for each in self._places)
        candidates = [_Candidate(at, repository, name) for at, name in located if name is not None]
        if not candidates:
            raise ConfigurationError(
                f"{self.host}/{repository} can have no name where it is to be found instead",
                hint="give the mirror or rewrite of this registry another prefix",
            )
        if ":" in selector:
            candidates.sort(key=lambda each: self._doubts(each, selector))
        return candidates

    def _doubts(self, candidate: _Candidate, digest: str) -> tuple[int, bool]:
        place = candidate.at.place
        return self._failed[place, digest], (place, candidate.repository) in self._lacking

    def _ask(
        self, candidates: Sequence[_Candidate], ask: Callable[[Registry, str], Answer], *, learns: bool = True
    ) -> Answer:
        return self._ask_each(candidates, lambda candidate: ask(candidate.at.registry, candidate.name), learns=learns)

    def _ask_each(
        self, candidates: Sequence[_Candidate], ask: Callable[[_Candidate], Answer], *, learns: bool = True
    ) -> Answer:
        """The first answer; else what the last candidate said: nothing (None), or an error, which is raised.

        A place that has nothing of what need not be there is not asked any later for the rest: then nobody `learns`.
        """
        failures: list[EdgeliftError] = []
        for candidate in candidates:
            try:
                answer = self._ask_one(candidate, ask, learns)
            except (RegistryError, IntegrityError) as error:
                failures.append(error)
                if candidate is candidates[-1]:
                    raise _all_of(failures) from None
                continue
            if answer is not None or candidate is candidates[-1]:
                return answer
        raise AssertionError("there is a candidate")

    def _ask_one(self, candidate: _Candidate, ask: Callable[[_Candidate], Answer], learns: bool) -> Answer:
        at, key = candidate.at, (candidate.at.place, candidate.repository)
        error = self._rests.why(at.place.host)
        if error is not None:
            raise error
        try:
            answer = ask(candidate)
        except (RegistryError, IntegrityError) as refused:
            self._note(candidate, refused, learns)
            raise
        if answer is not None or learns:
            (self._lacking.add if answer is None else self._lacking.discard)(key)
        if answer is not None and candidate.repository and key not in self._gave:
            self._gave.add(key)
            _log.info("%s/%s comes from %s", self.host, candidate.repository, at.place)
        return answer

    def _note(self, candidate: _Candidate, error: EdgeliftError, learns: bool) -> None:
        """Remember a failure, so that the next image does not run into it."""
        at = candidate.at
        is_down = isinstance(error, UnreachableError) or getattr(error, "status", None) in STRAIN
        is_last, is_login = at is self._places[-1], not candidate.repository
        if is_down or (is_login and not is_last):  # there is no need to have a wrong password refused for every image
            self._rests.begin(at.place.host, at.rest, error)
        elif not is_login and learns:
            self._lacking.add((at.place, candidate.repository))
        if not is_last:
            level, rest = (logging.WARNING, f" for {at.rest:.0f} s") if is_down else (logging.INFO, "")
            _log.log(level, "%s is passed over%s: %s", at.place, rest, error.message)


def _all_of(failures: Sequence[EdgeliftError]) -> EdgeliftError:
    """The last failure, which tells of the others; it is worth another attempt where one of them is."""
    last = copy.copy(failures[-1])
    if len(failures) > 1:
        last.message += f" (before that: {'; '.join(each.message for each in failures[:-1])})"
    last.retryable = any(each.retryable for each in failures)
    return last
