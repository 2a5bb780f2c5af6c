"""Uploading a file to an edge host, and finding out whether it has arrived."""

import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Any

from edgelift.bundle.source import ByteSource
from edgelift.edge.form import UploadForm
from edgelift.edge.host import EdgeHost, SyncStatus, UploadedContent, UploadKind
from edgelift.errors import EdgeHostError, IncompleteError, IntegrityError
from edgelift.oci.digest import Digest

_LOOKS = 4  # at what the host says of the last upload, until that is ours
_PAUSE = 1.0  # seconds between two of them
_SYNC_PAUSE = 5.0  # seconds between two looks at how far it is
_CALM = 2  # looks in a row without anything pending: just after an upload, the host has not begun yet

Sleep = Callable[[float], None]


@dataclass(frozen=True)
class Upload:
    """A file that was sent, all of it: its name, size (bytes) and digest, and the `path` that it got on the host."""

    kind: UploadKind
    name: str
    size: int
    digest: Digest
    path: str

    def document(self) -> dict[str, Any]:
        """The same for scripts."""
        told = {"name": self.name, "size": self.size, "digest": self.digest}
        return {"kind": self.kind, **told, "upload_path": self.path}


def kind_of(name: str) -> UploadKind:
    """What a file is, by its name: a cluster definition ends in .tgz."""
    return "cluster-definition" if name.endswith(".tgz") else "content"


def upload_file(
    host: EdgeHost,
    source: ByteSource,
    kind: UploadKind,
    signature: bytes | None = None,
    on_progress: Callable[[int], None] = lambda _: None,
) -> Upload:
    """Send the file of `source`, piece by piece, with its `signature` where there is one.

    Raises `EdgeHostError`. What was broken off has to be sent again as a whole: no documented endpoint continues it.
    """
    form = UploadForm(source, source.name.rpartition("/")[2], signature)
    try:
        path = host.upload(kind, form, on_progress)
    except EdgeHostError as error:
        if error.status is not None or not error.retryable:
            raise
        again = "an upload cannot be continued: run it again, all of the file is sent then"
        raise EdgeHostError(error.message, hint=again, retryable=True) from None
    return Upload(kind, form.name, form.file_size, form.digest, path)


def check_upload(host: EdgeHost, upload: Upload, *, sleep: Sleep = time.sleep) -> None:
    """Compare what `host` says that it has got with what was sent.

    Raises `IntegrityError` where these differ, and `IncompleteError` where the host does not say.
    """
    reason = "it says nothing of it"
    for look in range(_LOOKS):
        if look:
            sleep(_PAUSE)
        try:
            told = host.last_upload()
        except EdgeHostError as error:
            reason = error.message
            continue
        if _is_same(told, upload):
            return
        if told.sha256 and told.file_name in {upload.name, PurePosixPath(upload.path).name}:
            raise IntegrityError(
                f"{host.name} has not got what was sent as {upload.name}: it tells of {told.size} bytes with the "
                f"sha256 {told.sha256[:80]}, and {upload.size} bytes with {upload.digest} were sent",
                hint="upload it again; where it happens twice, look at what lies in between, and at the host's disk",
            )
        reason = f"it tells of another file, {told.file_name[:200]!r}" if told.file_name else "it says nothing of it"
    raise IncompleteError(
        f"{upload.name} was sent to {host.name} as a whole, but whether it has arrived cannot be checked",
        [f"not checkable: {reason}"],
        hint=f"look at the content page of its Local UI; the sha256 has to be {upload.digest.hex}",
    )


def wait_for_sync(
    host: EdgeHost, seconds: float, *, sleep: Sleep = time.sleep, clock: Callable[[], float] = time.monotonic
) -> None:
    """Wait until `host` has nothing left to sync, for so many `seconds`.

    What it is busy with may have come from other uploads, too. Raises `IncompleteError` where something failed, where
    it takes longer, and where the host does not say.
    """
    deadline, calm = clock() + seconds, 0
    while True:
        try:
            waits_for = _pending(host, host.sync_status())
        except EdgeHostError as error:
            if not error.retryable:
                raise IncompleteError(
                    f"how far {host.name} is with its content cannot be checked", [f"not checkable: {error.message}"]
                ) from None
            waits_for = [error.message]
        calm = 0 if waits_for else calm + 1
        if calm == _CALM:
            return
        if clock() >= deadline:
            raise IncompleteError(
                f"{host.name} has not synced its content within {seconds:.0f} seconds",
                waits_for or ["it has only just become calm"],
                hint="the upload is done: wait for the rest in its Local UI",
            )
        sleep(_SYNC_PAUSE)


def _is_same(told: UploadedContent, upload: Upload) -> bool:
    digest = told.sha256.strip().lower().removeprefix("sha256:")
    return digest == upload.digest.hex and told.size in (None, upload.size)


def _pending(host: EdgeHost, status: SyncStatus) -> list[str]:
    """What is still to be done; raises `IncompleteError` where something failed."""
    items = status.items or ()
    failed = [f"{item.name}:{item.version}: {item.reason}" for item in items if item.status == "failed"]
    failed += [f"{name}: {reason}" for name, reason in (status.errors or {}).items()]
    if failed:
        raise IncompleteError(
            f"{host.name} could not sync {len(failed)} of its contents",
            [line[:300] for line in failed],
            hint="its Local UI says more",
        )
    return [f"{item.name[:200]}:{item.version[:100]}" for item in items if item.status != "completed"]
