"""Stopping: once this process is told to end, its transfers end where they are, at the next piece of a body.

What has arrived stays as it is, to be continued. Who waits for a silent server is woken.
"""

import os
import signal
import socket
import threading
from collections.abc import Callable
from contextlib import suppress
from weakref import WeakSet

from edgelift.errors import StoppedError

_told = threading.Event()
_sockets = WeakSet[socket.socket]()
_guard = threading.Lock()  # of the sockets


def stop_transfers() -> None:
    """From now on every request, every body and every pause of this process ends with `StoppedError`, for good."""
    _told.set()
    with _guard:
        for each in _sockets:
            with suppress(OSError):  # closed meanwhile
                # Not TLS's own way, which would say farewell to who may not listen.
                socket.socket.shutdown(each, socket.SHUT_RDWR)


def wake_at_stop(connected: socket.socket) -> None:
    """See that who waits for `connected`, however long, is woken as soon as this process is told to end.

    Raises `StoppedError` where it is told so already.
    """
    with _guard:
        _sockets.add(connected)
    raise_if_stopped()


def raise_if_stopped() -> None:
    """Raise `StoppedError` where this process is told to end."""
    if _told.is_set():
        raise StoppedError("stopped: this process is told to end", hint="run the same again: it continues")


def sleep(seconds: float) -> None:
    """Sleep; raises `StoppedError` as soon as this process is told to end."""
    _told.wait(seconds)
    raise_if_stopped()


def watch_signals(watch: Callable[[int], None]) -> None:
    """Have `watch` read the numbers of the signals to come, a byte each, from a file, in a thread of its own.

    It sees them on their way to whoever handles them. To be called in the main thread; where somebody else watches
    already, nothing changes.
    """
    reader, writer = os.pipe()
    os.set_blocking(writer, False)
    before = signal.set_wakeup_fd(writer, warn_on_full_buffer=False)
    if before != -1:
        signal.set_wakeup_fd(before, warn_on_full_buffer=False)
        os.close(reader)
        os.close(writer)
        return
    threading.Thread(target=watch, args=(reader,), name="signals", daemon=True).start()
