"""The `index.json` of an OCI image layout (image-spec image-layout.md), shared by several processes."""

import fcntl
import json
import os
from collections.abc import Collection, Iterator, Mapping
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
_VERSION = "1.0.0"


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
        _mark(root / "oci-layout")

    def read(self) -> dict[str, Descriptor]:
        """Every tagged manifest by its full reference; raises `StoreError` where the file is damaged."""
        return {name: descriptor for descriptor, entry in self._entries() if (name := _name(entry)) is not None}

    def put(self, names: Mapping[str, Descriptor]) -> None:
        """Give manifests their `names`; nothing is written where they all have them already.

        Entries that we did not write stay as they are: another tool may have put them there.
        """
        with self._locked():
            found = self._entries()
            standing = {_name(entry): descriptor for descriptor, entry in found}
            if all(standing.get(name) == descriptor.plain() for name, descriptor in names.items()):
                return
            others = [entry for _, entry in found if _name(entry) not in names]
            entries = [*others, *(name_descriptor(name, descriptor) for name, descriptor in names.items())]
            entries.sort(key=lambda entry: (_name(entry) or "", str(entry["digest"])))
            self._remove_leftovers()
            write_document(self._path, index_document(entries))

    def unnamed(self) -> list[Descriptor]:
        """What is listed without a name; raises `StoreError` where the file is damaged."""
        return [descriptor for descriptor, entry in self._entries() if _name(entry) is None]

    def remove(self, references: Collection[str]) -> None:
        """Take the names `references` away; nothing is written where none of them stands there."""
        with self._locked():
            found = [entry for _, entry in self._entries()]
            entries = [entry for entry in found if _name(entry) not in references]
            if len(entries) < len(found):
                self._remove_leftovers()
                write_document(self._path, index_document(entries))

    def _entries(self) -> list[tuple[Descriptor, dict[str, Any]]]:
        """What the file lists: what is described, and the whole entry."""
        try:
            entries = json.loads(self._path.read_bytes())["manifests"]
            return [(Descriptor.model_validate(entry).plain(), entry) for entry in entries]
        except FileNotFoundError:
            return []
        except (ValueError, KeyError, TypeError, RecursionError, ValidationError):
            raise StoreError(
                f"{self._path} is damaged", hint="delete that file: its names come back as images are pulled again"
            ) from None

    def _remove_leftovers(self) -> None:
        """Remove what killed writers left; who holds the lock is the only one at work."""
        for each in self._path.parent.glob(f".{self._path.name}.*"):
            each.unlink(missing_ok=True)

    @contextmanager
    def _locked(self) -> Iterator[None]:
        file = os.open(self._lock_path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
        try:
            fcntl.flock(file, fcntl.LOCK_EX)
            yield
        finally:
            os.close(file)


def _name(entry: dict[str, Any]) -> str | None:
    name: str | None = (entry.get("annotations") or {}).get(REF_NAME)
    return name


def _mark(marker: Path) -> None:
    """Say that the folder of `marker` is an image layout; raises `StoreError` where it is one that we do not know."""
    try:
        version = json.loads(marker.read_bytes())["imageLayoutVersion"]
    except (FileNotFoundError, ValueError, KeyError, TypeError, RecursionError):  # missing, or torn by a power cut
        write_document(marker, LAYOUT)
    else:
        if version != _VERSION:
            raise StoreError(
                f"{marker.parent} holds an image layout of version {str(version)[:32]!r}, not {_VERSION!r}",
                hint="name another folder, or use the edgelift that made this one",
            )
