"""A pack as a folder holds it: pack.json, values.yaml, and the manifests and charts that pack.json names."""

import json
from pathlib import Path
from typing import Any

from edgelift.documents import read_document
from edgelift.errors import ConfigurationError
from edgelift.palette.models import ClusterProfile, Pack
from edgelift.palette.undeclared.archive import MAX_ARCHIVE
from edgelift.palette.undeclared.content import ChartArchive, PackContent, PackFile

_MOST_FILES = 500  # that a pack names


def read_pack_folder(folder: Path) -> tuple[ClusterProfile, PackContent]:
    """The pack in `folder`, alone in a profile without a name, and its content; files that are missing are told in it.

    Raises `ConfigurationError` where the folder holds no pack.
    """
    described = _describe(folder)
    values = _text(folder / "values.yaml")
    name, version, layer = (str(described.get(key, "")) for key in ("name", "version", "layer"))
    pack = Pack(name=name, version=version, tag=version, layer=layer, values=values)
    paths = {kind: _paths(described, kind, folder) for kind in ("kubeManifests", "charts")}
    manifests, charts = ([path for path in each if (folder / path).is_file()] for each in paths.values())
    content = PackContent(
        name=name,
        version=version,
        layer=layer,
        values=values,
        manifests=tuple(PackFile(path, _text(folder / path)) for path in manifests),
        charts=tuple(ChartArchive(path, _bytes(folder / path)) for path in charts),
        missing_charts=tuple(path for each in paths.values() for path in each if not (folder / path).is_file()),
    )
    return ClusterProfile(name="", packs=(pack,)), content


def _describe(folder: Path) -> dict[str, Any]:
    try:
        described = json.loads(read_document(folder / "pack.json"))
    except (ValueError, RecursionError):
        raise ConfigurationError(f"{folder / 'pack.json'} is not JSON") from None
    if not isinstance(described, dict) or not described.get("name"):
        raise ConfigurationError(f"{folder / 'pack.json'} does not describe a pack: it gives no name")
    return described


def _paths(described: dict[str, Any], kind: str, folder: Path) -> list[str]:
    """The paths that pack.json has under `kind`, none of which leads out of the folder."""
    listed = described.get(kind)
    paths = [each for each in listed[:_MOST_FILES] if isinstance(each, str)] if isinstance(listed, list) else []
    return [path for path in paths if (folder / path).resolve().is_relative_to(folder.resolve())]


def _text(path: Path) -> str:
    return read_document(path).decode("utf-8", "replace") if path.is_file() else ""


def _bytes(path: Path) -> bytes:
    with path.open("rb") as file:
        return file.read(MAX_ARCHIVE + 1)
