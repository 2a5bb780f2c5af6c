"""Local packs: read from folders and archives. Name and version are those of pack.json, whatever the file is called.

Nothing of where a pack lies goes any further: a bundle says the same on every machine.
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from edgelift.errors import ConfigurationError, MalformedReferenceError
from edgelift.explain import explain
from edgelift.oci.digest import Digest
from edgelift.oci.reference import ImageReference
from edgelift.packs.archive import archive_folder, find_files, read_file
from edgelift.packs.names import LOCAL_REGISTRY, pack_reference
from edgelift.palette.models import ClusterProfile, Pack

_DESCRIPTION, _VALUES = "pack.json", "values.yaml"
_HINT = "name a folder with a pack.json in it, or such a folder as a .tar.gz"


class _Description(BaseModel):
    """What we read of a pack.json."""

    model_config = ConfigDict(frozen=True, extra="ignore", coerce_numbers_to_str=True)

    name: str = Field(min_length=1)
    version: str = Field(min_length=1)
    layer: str = ""


@dataclass(frozen=True)
class LocalPack:
    """A pack of this machine: its `archive`, and its `values` as text. `layer` is the one that it is for."""

    name: str
    version: str
    layer: str
    values: str = field(repr=False)
    archive: bytes = field(repr=False)

    @property
    def reference(self) -> ImageReference:
        """What it is called, as if it came from a registry; raises `MalformedReferenceError` where it cannot be."""
        return pack_reference(LOCAL_REGISTRY, self.name, self.version)

    @property
    def file_name(self) -> str:
        """What its archive is called."""
        return f"{self.name}-{self.version}.tar.gz"


def read_packs(paths: Sequence[str]) -> tuple[LocalPack, ...]:
    """The packs at `paths`, in the order of their references; the same pack given twice is there once.

    Raises `ConfigurationError`, which names the path, for what is no pack, and for two that differ under one name.
    """
    packs, places = dict[str, LocalPack](), dict[str, str]()
    for path in paths:
        pack = read_pack(Path(path))
        reference = str(pack.reference)
        known = packs.setdefault(reference, pack)
        if Digest.of(known.archive) != Digest.of(pack.archive):
            raise ConfigurationError(
                f"{places[reference]} and {path} are both pack {pack.name} {pack.version}, and differ",
                hint="give one of them another version in its pack.json, or leave one out",
            )
        places.setdefault(reference, path)
    return tuple(packs[reference] for reference in sorted(packs))


def read_pack(path: Path) -> LocalPack:
    """The pack at `path`; raises `ConfigurationError`."""
    if path.is_dir():
        files = {name: read_file(path / name) for name in (_DESCRIPTION, _VALUES) if (path / name).exists()}
        archive = b""
    else:
        archive = read_file(path.resolve())
        files = find_files(archive, _DESCRIPTION, (_VALUES,), str(path))
    if _DESCRIPTION not in files:
        raise ConfigurationError(f"{path} is no pack: there is no {_DESCRIPTION} in it", hint=_HINT)
    description = _describe(files[_DESCRIPTION], path)
    try:
        values = files.get(_VALUES, b"").decode()
    except UnicodeDecodeError:
        raise ConfigurationError(f"{path}: its {_VALUES} is not a text file in UTF-8") from None
    pack = LocalPack(description.name, description.version, description.layer, values, archive)
    try:
        str(pack.reference)
    except MalformedReferenceError as error:
        raise ConfigurationError(f"{path}: {error.message}", hint=error.hint) from None
    if archive:
        return pack
    return replace(pack, archive=archive_folder(path, f"{pack.name}-{pack.version}"))


def profile_of(packs: Sequence[LocalPack]) -> ClusterProfile:
    """A profile without a name that has these packs, so that what they declare is found as in any other."""
    return ClusterProfile(
        name="",
        type="add-on",
        packs=tuple(
            Pack(name=pack.name, version=pack.version, tag=pack.version, layer=pack.layer, values=pack.values)
            for pack in packs
        ),
    )


def _describe(content: bytes, path: Path) -> _Description:
    try:
        # Numbers stay text: a version 1.10 without quotes is not 1.1.
        return _Description.model_validate(json.loads(content, parse_float=str, parse_int=str))
    except ValidationError as error:
        raise ConfigurationError(f"{path}: its {_DESCRIPTION} is not that of a pack: {explain(error)}") from None
    except (ValueError, RecursionError):
        raise ConfigurationError(f"{path}: its {_DESCRIPTION} is not JSON", hint=_HINT) from None
