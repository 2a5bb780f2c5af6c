"""What Palette tells of the packs of a profile when it is asked for their contents, brought to the packs. No I/O."""

from collections.abc import Iterable
from typing import Annotated

from pydantic import AliasPath, FailFast, Field

from edgelift.palette.models import FromPalette, Pack, PackManifest


class _PackContent(FromPalette):
    name: str = Field(validation_alias=AliasPath("spec", "name"))
    values: str = Field(default="", repr=False, validation_alias=AliasPath("spec", "values"))
    manifests: Annotated[tuple[PackManifest, ...], FailFast()] = Field(
        default=(), validation_alias=AliasPath("spec", "manifests")
    )


class PackContents(FromPalette):
    """The answer: one entry for each pack of a profile."""

    packs: Annotated[tuple[_PackContent, ...], FailFast()] = Field(
        default=(), validation_alias=AliasPath("spec", "packs")
    )


def complete_packs(packs: Iterable[Pack], contents: PackContents) -> tuple[Pack, ...]:
    """`packs` with the contents of their manifests, and their values where the profile itself left them out.

    A pack that stands twice is known by its turn.
    """
    manifests = {manifest.uid: manifest for content in contents.packs for manifest in content.manifests if manifest.uid}
    values: dict[str, list[str]] = {}
    for content in contents.packs:
        values.setdefault(content.name, []).append(content.values)
    whole = []
    for pack in packs:
        left = values.get(pack.name, [])
        listed = left.pop(0) if left else ""
        given = tuple(manifests.get(manifest.uid, manifest) for manifest in pack.manifests)
        whole.append(pack.model_copy(update={"manifests": given, "values": pack.values or listed}))
    return tuple(whole)
