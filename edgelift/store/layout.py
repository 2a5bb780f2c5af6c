"""The `index.json` of an OCI image layout (image-spec image-layout.md), shared by several processes."""

import fcntl
import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from edgelift.documents import write_document
from edgelift.errors import StoreError
from edgelift.oci.descriptor import Descriptor
from edgelift.oci.manifest import OCI_INDEX

REF_NAME = "org.opencontainers.image.ref.name"
CONTAINERD_NAME = "io.containerd.image.name"
LAYOUT = b'{"imageLayoutVersion":"1.0.0"}\n'


def name_descriptor(reference: str, descriptor: Descriptor) -> dict[str, Any]:
    """The index entry that names a manifest by its full reference, as skopeo and containerd read it."""
    entry = descriptor.plain().model_dump(mode="json", by_alias=True, exclude_none=True)
    return entry | {"annotations": {CONTAINERD_NAME: reference, REF_NAME: reference}}


def index_document(entries: list[dict[str, Any]]) -> bytes:
    """An image index of `entries`, in deterministic bytes."""
    document = {"schemaVersion": 2, "mediaType": OCI_INDEX, "manifests": entries}
    return (json.dumps(document, separators=(",", ":"), sort_keys=True) + "\n").encode()


class LayoutIndex:
    """The tagged manifests of the layout in `root`."""

    def __init__(self, root: Path) -> None:
        self._path = root / "index.json"
        self._lock_path = root / "index.lock"
        marker = root / "oci-layout"
        if not marker.exists():
            write_document(marker, LAYOUT)

    def read(self) -> dict[str, Descriptor]:
        """Every tagged manifest by its full reference; raises `StoreError` where the file is damaged."""
        try:
            document = json.loads(self._path.read_bytes())
            entries = [Descriptor.model_validate(entry) for entry in document["manifests"]]
        except FileNotFoundError:
            return {}
        except (ValueError, KeyError, TypeError, RecursionError, ValidationError):
            raise StoreError(
                f"{self._path} is damaged", hint="delete that file: its names come back as images are pulled again"
            ) from None
        named = ((entry.annotations or {}).get(REF_NAME) for entry in entries)
        return {name: entry.plain() for name, entry in zip(named, entries, strict=True) if name is not None}

    def put(self, reference: str, descriptor: Descriptor) -> None:
        """Name `descriptor`; nothing is written where it has that name already."""
        with self._locked():
            named = self.read()
            if named.get(reference) == descriptor.plain():
                return
            named[reference] = descriptor.plain()
            write_document(self._path, index_document([name_descriptor(*item) for item in sorted(named.items())]))

    @contextmanager
    def _locked(self) -> Iterator[None]:
        file = os.open(self._lock_path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
        try:
            fcntl.flock(file, fcntl.LOCK_EX)
            yield
        finally:
            os.close(file)
