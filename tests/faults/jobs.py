"""Work that a test hands to a process of its own, so that it can be killed, stopped, starved and lied to.

    python -m tests.faults.jobs '{"steps": ["build"], "lock": "…", "store": "…", "bundle": "…"}'    # one job, then exit
    python -m tests.faults.jobs serve                                                              # forks, a job a line

What is run is what the flows run, image by image: all that can be done is done, and every failure is named.
"""

import encodings.idna  # noqa: F401 - loaded at the first request otherwise, when it may be out of reach
import json
import os
import resource
import signal
import sys
import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from types import FrameType
from typing import Any

from edgelift.bundle.assembly import Assembly
from edgelift.bundle.lock import BundleLock, LockedImage
from edgelift.bundle.reader import BundleReader
from edgelift.bundle.writer import assemble_bundle
from edgelift.delivery.target import Target
from edgelift.delivery.validate import validate_lock
from edgelift.errors import EdgeliftError, IncompleteError
from edgelift.oci.credentials import Credentials
from edgelift.oci.pacing import Clock
from edgelift.oci.pull import pull_content
from edgelift.oci.push import KnownBlobs, push_content
from edgelift.oci.reference import ImageReference
from edgelift.oci.registry import Registry
from edgelift.store.local import LocalStore
from edgelift.transport import TransportSettings

# What changes a disk: where a crash is worth trying.
CHANGES = frozenset(
    {"chmod", "fchmod", "fsync", "ftruncate", "mkdir", "open", "pwrite", "rename", "replace", "rmdir", "unlink"}
    | {"write", "writev"}
)


@dataclass(frozen=True)
class Job:
    """What to do. Paths as text; `limits` are names of `resource` with bytes or counts; `crash` is the n-th change."""

    steps: tuple[str, ...]
    lock: str
    store: str = ""
    bundle: str = ""
    target: str = ""
    idle_timeout: float = 60.0
    connect_timeout: float = 10.0
    attempts: int = 8
    ca_cert: str = ""
    images: int = 4  # at a time
    limits: tuple[tuple[str, int], ...] = ()
    crash: int = 0
    user: int = 0


class _Run:
    """One job at work."""

    def __init__(self, job: Job) -> None:
        self._job = job
        self._lock = BundleLock.from_json(Path(job.lock).read_bytes())
        ca_cert = Path(job.ca_cert) if job.ca_cert else None
        self._settings = TransportSettings(
            idle_timeout=job.idle_timeout,
            connect_timeout=job.connect_timeout,
            attempts=job.attempts,
            ca_cert=ca_cert,
        )
        # Not `time.sleep`: the library that fakes the wall clock breaks it.
        self._clock = Clock(sleep=lambda seconds: threading.Event().wait(seconds) and None)
        self._registries: dict[str, Registry] = {}
        self._guard = threading.Lock()
        self._known = KnownBlobs()

    def run(self) -> None:
        """Take every step; raises the first one's failures."""
        for step in self._job.steps:
            getattr(self, step)()

    def pull(self) -> None:
        """Registry → store."""
        store = LocalStore(Path(self._job.store))

        def pull(image: LockedImage) -> None:
            reference = ImageReference.parse(image.reference)
            pull_content(self._registry(reference.registry), reference.repository, image.content, store)
            store.tag({image.reference: image.descriptor})

        self._each(pull)

    def assemble(self) -> None:
        """Store → bundle."""
        assemble_bundle(self._lock, LocalStore(Path(self._job.store)), Path(self._job.bundle))

    def build(self) -> None:
        """Registry → store → bundle, as the flows do both: at once."""
        with Assembly(self._lock, LocalStore(Path(self._job.store)), Path(self._job.bundle)) as assembly:
            self.pull()
            assembly.finish()

    def push(self) -> None:
        """Bundle, or store where the job names no bundle, → registry."""
        target = Target.parse(self._job.target)
        registry = self._registry(target.registry)
        source = BundleReader.open(Path(self._job.bundle)) if self._job.bundle else LocalStore(Path(self._job.store))

        def push(image: LockedImage) -> None:
            for name in target.names(ImageReference.parse(image.reference), image.descriptor.digest):
                push_content(source, image.content, registry, name, known=self._known)

        self._each(push)

    def validate(self) -> None:
        """Every byte at the target."""
        target = Target.parse(self._job.target)
        validate_lock(self._lock, target, self._registry(target.registry), deep=True).raise_unless_whole()

    def _each(self, work: Callable[[LockedImage], None]) -> None:
        with ThreadPoolExecutor(self._job.images) as pool:
            failures = [failure for failure in pool.map(lambda image: _try(work, image), self._lock.images) if failure]
        if failures:
            raise IncompleteError(f"{len(failures)} of {len(self._lock.images)} images are not done", failures)

    def _registry(self, host: str) -> Registry:
        with self._guard:
            if host not in self._registries:
                self._registries[host] = Registry(host, self._settings, Credentials(), clock=self._clock)
            return self._registries[host]


def _try(work: Callable[[LockedImage], None], image: LockedImage) -> str | None:
    try:
        work(image)
    except EdgeliftError as error:
        return f"{image.reference}: {error}"
    return None


def run_job(job: Job) -> int:
    """Do the job under its limits; the exit code is the command line's, and what is wrong goes to standard error."""
    try:
        if job.user:
            os.setgroups([])
            os.setresgid(job.user, job.user, job.user)
            os.setresuid(job.user, job.user, job.user)
        for name, limit in job.limits:
            resource.setrlimit(getattr(resource, name), (limit, limit))
        if job.crash:
            _crash_before(job.crash)
        _Run(job).run()
    except EdgeliftError as error:
        print(error, file=sys.stderr)  # noqa: T201 - this is a program
        return error.exit_code
    return 0


def _crash_before(count: int) -> None:
    """Kill this process, as a power button would, just before it changes the disk for the `count`-th time."""
    left = count

    def watch(_: FrameType, event: str, called: Any) -> None:
        nonlocal left
        if event == "c_call" and called.__name__ in CHANGES and getattr(called, "__module__", "") in ("posix", "_io"):
            left -= 1
            if left == 0:
                os.kill(os.getpid(), signal.SIGKILL)

    threading.setprofile(watch)
    sys.setprofile(watch)


def parse_job(text: str) -> Job:
    """The job that a line of JSON describes."""
    fields = json.loads(text)
    fields["limits"] = tuple((name, limit) for name, limit in fields.get("limits", ()))
    return Job(**{**fields, "steps": tuple(fields["steps"])})


def _serve() -> None:
    """For each line a child: its number at once; when it has ended its wait status, and its peak memory in KiB."""
    print("ready", flush=True)  # noqa: T201 - the protocol
    for line in sys.stdin:
        child = os.fork()
        if child == 0:
            _work(line)
        print(child, flush=True)  # noqa: T201
        _, status, used = os.wait4(child, 0)
        print(status, used.ru_maxrss, flush=True)  # noqa: T201


def _work(line: str) -> None:
    fields = json.loads(line)
    log = os.open(fields.pop("log"), os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o644)
    os.dup2(log, 2)
    code = 70
    try:
        code = run_job(parse_job(json.dumps(fields)))
    except BaseException:  # noqa: BLE001 - whatever it is, it must not run on in the parent's loop
        sys.excepthook(*sys.exc_info())
    finally:
        os._exit(code)


def main(arguments: Sequence[str]) -> int:
    """One job, or a line each."""
    os.environ["TZ"] = "UTC"
    time.tzset()
    if list(arguments) == ["serve"]:
        _serve()
        return 0
    return run_job(parse_job(arguments[0]))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
