"""A hit: one place of a tree or text at which an image is named, with how sure it is that it is one."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, NamedTuple, Self

from edgelift.palette.undeclared.findings import CONFIDENCES, Confidence
from edgelift.palette.undeclared.references import UNKNOWN, is_made_up, is_prefix

_SWITCHES = ("enabled", "create", "install", "deploy")
_DEFAULTS = ("global", "defaults", "default", "common")
_PREFIXES = ("imageRegistry", "baseRepo", "baseRegistry", "registry", "hub", "imageHub")


@dataclass(frozen=True)
class Hit:
    """An image as it is named at `path`; `text` is what stands there, or what its parts make together."""

    text: str
    confidence: Confidence
    reason: str
    path: str = ""
    line: int | None = None
    is_complete: bool = True

    def capped(self, confidence: Confidence, reason: str) -> Self:
        """The same, at most as sure as `confidence`; `reason` says why, where it is less sure than before."""
        if CONFIDENCES.index(confidence) <= CONFIDENCES.index(self.confidence):
            return self
        return replace(self, confidence=confidence, reason=reason)

    def judged(self) -> Self:
        """The same with what its own text says against it: a macro that is not known, an example to be filled in."""
        if UNKNOWN in self.text or "{{" in self.text:
            unknown = self.capped("possible", "a part of it is not known before it is installed")
            return replace(unknown, is_complete=False)
        return self.capped("possible", "it is an example that has to be filled in") if is_made_up(self.text) else self


class Surroundings(NamedTuple):
    """What the sections around a place say: a registry and a tag for all below, and whether they are turned off."""

    path: str = ""
    registry: str = ""
    forced_registry: str = ""  # Bitnami's global.imageRegistry goes before the image's own
    tag: str = ""
    is_off: bool = False
    is_about_images: bool = False

    def inside(self, section: Mapping[Any, Any]) -> Self:
        """For what stands in `section`."""
        found = self
        for defaults in (section.get(name) for name in _DEFAULTS):
            if isinstance(defaults, Mapping):
                found = found._with_defaults(defaults)
        own = next(filter(is_prefix, (text_of(section, name) for name in _PREFIXES)), "")
        return found._replace(
            registry=own or found.registry,
            is_off=found.is_off or any(text_of(section, name).lower() == "false" for name in _SWITCHES),
        )

    def at(self, key: str) -> Self:
        """For what stands under `key`."""
        path = f"{self.path}.{key}" if self.path else key
        return self._replace(path=path, is_about_images=self.is_about_images or "image" in key.lower())

    def at_index(self, index: int) -> Self:
        """For an entry of a list."""
        return self._replace(path=f"{self.path}[{index}]")

    def _with_defaults(self, defaults: Mapping[Any, Any]) -> Self:
        image = defaults.get("image")
        image = image if isinstance(image, Mapping) else {}
        registry = next(filter(None, (text_of(each, name) for each in (image, defaults) for name in _PREFIXES)), "")
        return self._replace(
            registry=registry if is_prefix(registry) else self.registry,
            forced_registry=text_of(defaults, "imageRegistry") or self.forced_registry,
            tag=text_of(image, "tag") or text_of(defaults, "tag") or self.tag,
        )


def text_of(section: Mapping[Any, Any], key: str) -> str:
    """The text at `key`, or "" where there is none."""
    found = section.get(key)
    return found if isinstance(found, str) else ""


def line_of(found: object) -> int | None:
    """The line of a text that knows it."""
    return getattr(found, "line", None)
