"""Short ways to write profiles and packs in tests."""

from typing import Any

from edgelift.palette.models import ClusterProfile, Pack, ProfileVariable
from edgelift.palette.resolve import Resolution
from edgelift.palette.values import LoadedPack, load_values


def make_pack(values: str = "", name: str = "web", **fields: Any) -> Pack:
    """A pack of the add-on layer with these values."""
    return Pack(name=name, values=values, **{"version": "1.0.0", "tag": "1.0.0", "layer": "addon"} | fields)


def make_profile(*packs: Pack, name: str = "site", **fields: Any) -> ClusterProfile:
    """An add-on profile with these packs."""
    return ClusterProfile(name=name, packs=packs, **{"version": "1.0.0", "type": "add-on"} | fields)


def load_packs(*profiles: ClusterProfile) -> list[LoadedPack]:
    """Every pack of these profiles with its values as a tree."""
    return [LoadedPack(profile, pack, load_values(pack.values)) for profile in profiles for pack in profile.packs]


def variables(**defaults: str) -> tuple[ProfileVariable, ...]:
    """Variables with these defaults."""
    return tuple(ProfileVariable(name=name, default_value=value) for name, value in defaults.items())


def image_values(*references: str) -> str:
    """Values that declare these images."""
    return "pack:\n  content:\n    images:\n" + "".join(f"      - image: {reference}\n" for reference in references)


def references(resolution: Resolution) -> list[str]:
    """The references of a resolution."""
    return [image.reference for image in resolution.images]


def messages(resolution: Resolution, severity: str = "error") -> list[str]:
    """The problems of a resolution that are that severe, with their places."""
    return [str(problem) for problem in resolution.problems if problem.severity == severity]
