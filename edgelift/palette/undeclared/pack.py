"""A pack by its files: pack.json, values.yaml, and the manifests and charts that pack.json names. Pure."""

import json
from collections.abc import Mapping
from typing import Any

from edgelift.errors import ProfileError
from edgelift.palette.models import ClusterProfile, Pack
from edgelift.palette.undeclared.archive import below_top, read_files
from edgelift.palette.undeclared.content import ChartArchive, PackContent, PackFile

DESCRIPTION, VALUES = "pack.json", "values.yaml"
_MOST_FILES = 500  # that a pack names


def read_pack_archive(data: bytes) -> PackContent:
    """The pack in an archive, `NAME-VERSION.tar.gz`; raises `ProfileError` where there is none."""
    return read_pack(below_top(read_files(data), DESCRIPTION))


def read_pack(files: Mapping[str, bytes]) -> PackContent:
    """The pack that `files` make, by their paths in it; what it names and they lack is told in it.

    Raises `ProfileError` where they make no pack.
    """
    described = _describe(files.get(DESCRIPTION, b""))
    manifests, charts = _paths(described, "kubeManifests"), _paths(described, "charts")
    name, version, layer = (str(described.get(key, "")) for key in ("name", "version", "layer"))
    return PackContent(
        name=name,
        version=version,
        layer=layer,
        values=_decode(files.get(VALUES, b"")),
        manifests=tuple(PackFile(path, _decode(files[path])) for path in manifests if path in files),
        charts=tuple(ChartArchive(path, files[path]) for path in charts if path in files),
        missing_charts=tuple(path for path in (*manifests, *charts) if path not in files),
    )


def named_files(description: bytes) -> list[str]:
    """The paths of the files that a pack.json names; raises `ProfileError` where it is none."""
    described = _describe(description)
    return [*_paths(described, "kubeManifests"), *_paths(described, "charts")]


def profile_of(content: PackContent) -> ClusterProfile:
    """A profile without a name that has just this pack."""
    pack = Pack(
        name=content.name, version=content.version, tag=content.version, layer=content.layer, values=content.values
    )
    return ClusterProfile(name="", packs=(pack,))


def _describe(content: bytes) -> dict[str, Any]:
    try:
        # Numbers stay text: a version 1.10 without quotes is not 1.1.
        described = json.loads(content, parse_float=str, parse_int=str)
    except (ValueError, RecursionError):
        raise ProfileError(f"it is no pack: {DESCRIPTION} is missing, or is not JSON") from None
    if not isinstance(described, dict) or not described.get("name"):
        raise ProfileError(f"it is no pack: {DESCRIPTION} gives no name")
    return described


def _paths(described: Mapping[str, Any], kind: str) -> list[str]:
    listed = described.get(kind)
    return [each for each in listed[:_MOST_FILES] if isinstance(each, str)] if isinstance(listed, list) else []


def _decode(data: bytes) -> str:
    return data.decode("utf-8", "replace").removeprefix("\ufeff")
