"""How many requests are on their way to one registry at once: fewer when it shows strain, more when it copes.

Bodies of blobs wait their turn, the largest first, so that no large one is left for the end, where it would travel
alone. Small requests never wait for bodies alone.
"""

import threading
from collections.abc import Iterator
from contextlib import contextmanager

STRAIN = frozenset({429, 502, 503, 504})  # statuses that say that a registry has too much to do


class Slots:
    """The slots of one registry, `most` at the best of times; safe to share between threads."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._limit = most
        self._bodies = 0
        self._small = 0
        self._waiting: list[int] = []  # sizes of bodies, in bytes
        self._answers = 0  # good ones since the limit was last changed
        self._has_coped = True  # since the limit was last lowered
        self._changed = threading.Condition()

    @property
    def limit(self) -> int:
        """How many requests may be on their way now."""
        return self._limit

    @contextmanager
    def body(self, size: int) -> Iterator[None]:
        """Hold a slot for a body of `size` bytes, up or down. One slot is left to small requests, if there are two."""
        with self._changed:
            self._waiting.append(size)
            try:
                self._changed.wait_for(lambda: self._has_room() and size == max(self._waiting))
                self._bodies += 1
            finally:
                self._waiting.remove(size)
                self._changed.notify_all()
        try:
            yield
        finally:
            with self._changed:
                self._bodies -= 1
                self._changed.notify_all()

    @contextmanager
    def small(self) -> Iterator[None]:
        """Hold a slot for a request without a large body; one such is always let through."""
        with self._changed:
            self._changed.wait_for(lambda: self._small == 0 or self._bodies + self._small < self._limit)
            self._small += 1
        try:
            yield
        finally:
            with self._changed:
                self._small -= 1
                self._changed.notify_all()

    def _has_room(self) -> bool:
        """Whether another body may begin."""
        return self._bodies < max(1, self._limit - 1) and self._bodies + self._small < max(2, self._limit)

    def report_strain(self) -> None:
        """The registry could not cope: halve the limit, once for all requests that were on their way together."""
        with self._changed:
            if self._has_coped:
                self._limit = max(1, self._limit // 2)
            self._has_coped, self._answers = False, 0

    def report_success(self) -> None:
        """The registry has answered well: after as many answers as there are slots there is one more."""
        with self._changed:
            self._has_coped = True
            self._answers += 1
            if self._limit < self._most and self._answers >= self._limit:
                self._limit, self._answers = self._limit + 1, 0
                self._changed.notify_all()
