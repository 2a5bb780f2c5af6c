"""What references stood for when they were last asked for: a hint, so that the next run asks whether that still holds.

One small file a reference, so that threads and processes need no lock. Nothing depends on it: what is lost or damaged
costs a larger request, and what is read is checked against the registry and the digest of the content.
"""

import os
import tempfile
from collections.abc import Callable
from pathlib import Path

from pydantic import ValidationError

from edgelift.oci.descriptor import Descriptor
from edgelift.oci.digest import Digest


class ResolvedNames:
    """The memory in `folder`, which is made when there is something to keep."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def recall(self, reference: str) -> Descriptor | None:
        """What `reference` stood for last; None where that is not known."""
        return _read(self._path(reference))

    def remember(self, reference: str, descriptor: Descriptor) -> None:
        """Keep what `reference` stands for; nothing is written where that is known. Raises `OSError`."""
        if self.recall(reference) == descriptor.plain():
            return
        self._folder.mkdir(parents=True, exist_ok=True)
        handle, temporary = tempfile.mkstemp(dir=self._folder, prefix=".")
        try:
            with os.fdopen(handle, "w") as file:  # without fsync: a hint that a crash takes away is no loss
                file.write(descriptor.plain().model_dump_json(by_alias=True, exclude_none=True))
            Path(temporary).replace(self._path(reference))
        except BaseException:
            Path(temporary).unlink(missing_ok=True)
            raise

    def forget(self, is_useless: Callable[[Descriptor], bool]) -> None:
        """Remove every hint at something useless, and what cannot be read. Raises `OSError`."""
        for path in self._folder.glob("*"):
            kept = _read(path)
            if kept is None or is_useless(kept):
                path.unlink(missing_ok=True)

    def _path(self, reference: str) -> Path:
        return self._folder / f"{Digest.of(reference.encode()).hex}.json"


def _read(path: Path) -> Descriptor | None:
    try:
        return Descriptor.model_validate_json(path.read_bytes())
    except (OSError, ValidationError):
        return None
