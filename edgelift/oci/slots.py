"""How many requests are on their way to one registry at once: fewer when it shows strain, more when it copes.

Bodies of blobs wait their turn, the largest first, so that no large one is left for the end, where it would travel
alone. Small requests never wait for bodies alone.
"""

import threading
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from heapq import heapify, heappop, heappush
from itertools import count

STRAIN = frozenset({429, 502, 503, 504})  # statuses that say that a registry has too much to do


class Slots:
    """The slots of one registry, `most` at the best of times; safe to share between threads."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._limit = most
        self._bodies = _Line()
        self._small = _Line()
        self._answers = 0  # good ones since the limit was last changed
        self._has_coped = True  # since the limit was last lowered
        self._lock = threading.Lock()

    @property
    def limit(self) -> int:
        """How many requests may be on their way now."""
        return self._limit

    @property
    def waiting(self) -> int:
        """How many bodies wait for their turn."""
        return len(self._bodies.waiting)

    def body(self, size: int) -> AbstractContextManager[None]:
        """Hold a slot for a body of `size` bytes, up or down. One slot is left to small requests, if there are two."""
        return self._held(self._bodies, -size)

    def small(self) -> AbstractContextManager[None]:
        """Hold a slot for a request without a large body; one such is always let through."""
        return self._held(self._small, 0)

    @contextmanager
    def _held(self, line: "_Line", rank: int) -> Iterator[None]:
        """Wait in `line`, where the lowest `rank` is first, and hold a slot."""
        with self._lock:
            turn = line.join(rank)
            self._admit()
        try:
            turn.acquire()
            yield
        finally:
            with self._lock:
                line.leave(turn)
                self._admit()

    def _admit(self) -> None:
        """Let in those for whom there is room. Each is woken by itself: all at once would fight for nothing."""
        while self._small.waiting and self._has_room_for_small():
            self._small.admit_first()
        while self._bodies.waiting and self._has_room():
            self._bodies.admit_first()

    def _has_room_for_small(self) -> bool:
        return self._small.inside == 0 or self._bodies.inside + self._small.inside < self._limit

    def _has_room(self) -> bool:
        """Whether another body may begin."""
        bodies, small = self._bodies.inside, self._small.inside
        return bodies < max(1, self._limit - 1) and bodies + small < max(2, self._limit)

    def report_strain(self) -> None:
        """The registry could not cope: halve the limit, once for all requests that were on their way together."""
        with self._lock:
            if self._has_coped:
                self._limit = max(1, self._limit // 2)
            self._has_coped, self._answers = False, 0

    def report_success(self) -> None:
        """The registry has answered well: after as many answers as there are slots there is one more."""
        with self._lock:
            self._has_coped = True
            self._answers += 1
            if self._limit < self._most and self._answers >= self._limit:
                self._limit, self._answers = self._limit + 1, 0
                self._admit()


class _Line:
    """Requests of one kind: how many are inside, and those that wait. To be used under the lock of the slots."""

    def __init__(self) -> None:
        self.inside = 0
        self.waiting: list[tuple[int, int, threading.Lock]] = []  # a heap: rank, order of coming, turn
        self._order = count()

    def join(self, rank: int) -> threading.Lock:
        """Wait: the turn, which can be acquired once its holder is inside."""
        turn = threading.Lock()
        turn.acquire()
        heappush(self.waiting, (rank, next(self._order), turn))
        return turn

    def admit_first(self) -> None:
        """Let in who waits with the lowest rank, and of those the one who came first."""
        heappop(self.waiting)[2].release()
        self.inside += 1

    def leave(self, turn: threading.Lock) -> None:
        """Go out, or out of the line: an interrupt may end the waiting."""
        left = [each for each in self.waiting if each[2] is not turn]
        if len(left) == len(self.waiting):
            self.inside -= 1
        else:
            heapify(left)
            self.waiting = left
