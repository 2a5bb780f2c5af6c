"""What of a pack is looked at, as plain values, wherever it comes from: Palette's API, an export, a folder."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Self

from edgelift.errors import ProfileError


@dataclass(frozen=True)
class PackFile:
    """A Kubernetes manifest of a pack: its path in the pack or its name, and its text, Go templates and all."""

    path: str
    text: str = field(repr=False)


@dataclass(frozen=True)
class ChartArchive:
    """A Helm chart as the bytes of its `.tgz`, and the path or URL that it is known by."""

    path: str
    data: bytes = field(repr=False)


@dataclass(frozen=True)
class PackContent:
    """One pack with what of it is at hand; one that `is_chart` is a chart of some Helm registry, and nothing else."""

    name: str
    version: str = ""
    layer: str = ""
    values: str = field(default="", repr=False)
    manifests: tuple[PackFile, ...] = ()
    charts: tuple[ChartArchive, ...] = ()
    missing_charts: tuple[str, ...] = ()  # those it has, and that are not at hand
    unread: tuple[str, ...] = ()  # what else could not be read, and why
    is_chart: bool = False

    def with_charts(self, charts: Mapping[str, ChartArchive | str]) -> Self:
        """The same with these charts by their names; of one that could not be read there is the reason."""
        found = tuple(each for each in charts.values() if isinstance(each, ChartArchive))
        return replace(
            self,
            charts=(*self.charts, *found),
            missing_charts=tuple(name for name in self.missing_charts if name not in charts),
            unread=(*self.unread, *(f"{name}: {why}" for name, why in charts.items() if isinstance(why, str))),
        )


class Budget:
    """How much may still be looked at: content is a stranger's, and a few lines of it can stand for a billion."""

    def __init__(self, steps: int) -> None:
        self._left = steps

    def spend(self, steps: int = 1) -> None:
        """Take `steps` off; raises `ProfileError` where nothing is left."""
        self._left -= steps
        if self._left < 0:
            raise ProfileError("it unfolds to more than is looked at")
