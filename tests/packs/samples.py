"""Local packs for tests: a folder as people write it, and archives of any content."""

import gzip
import io
import json
import tarfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

DESCRIPTION = {"name": "greeting", "displayName": "Greeting", "version": "1.0.0", "layer": "addon"}
VALUES = "pack:\n  namespace: greeting\n"


def make_pack_folder(
    folder: Path, values: str = VALUES, *, extra: Mapping[str, bytes] | None = None, **description: Any
) -> Path:
    """A pack in `folder`, with `extra` files; further arguments are what its pack.json says otherwise."""
    files = pack_files(values, **description) | {"charts/greeting-1.tgz": b"a made-up chart"} | dict(extra or {})
    for name, content in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
    return folder


def pack_files(values: str = VALUES, **description: Any) -> dict[str, bytes]:
    """The two files that every pack has."""
    return {"pack.json": json.dumps(DESCRIPTION | description).encode(), "values.yaml": values.encode()}


def archive_of(files: Mapping[str, bytes], *members: tarfile.TarInfo) -> bytes:
    """A gzipped tar of `files`, and further `members` without content."""
    tar_bytes = io.BytesIO()
    with tarfile.open(fileobj=tar_bytes, mode="w") as tar:
        for name, content in files.items():
            member = tarfile.TarInfo(name)
            member.size, member.mtime = len(content), 1_700_000_000
            tar.addfile(member, io.BytesIO(content))
        for member in members:
            tar.addfile(member)
    return gzip.compress(tar_bytes.getvalue())


def odd_member(name: str, kind: bytes, target: str = "") -> tarfile.TarInfo:
    """A member that is a link, a device, or whatever `kind` says."""
    member = tarfile.TarInfo(name)
    member.type, member.linkname = kind, target
    return member


def names_in(archive: bytes) -> list[str]:
    """The names of all members of a gzipped tar, in their order."""
    with tarfile.open(fileobj=io.BytesIO(archive), mode="r:gz") as tar:
        return tar.getnames()
