"""What a chart says of itself, `Chart.yaml`, in the forms in which Helm puts it beside a chart in a registry. Pure.

Field by field as Helm's own type has them, in its order; what is not of a field's kind is left out, as Helm could not
read it.
"""

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from edgelift.charts.yaml_reading import YamlReader
from edgelift.errors import IntegrityError, RegistryError

CHART_YAML_LIMIT = 2**20  # bytes
_TITLE = "org.opencontainers.image."
_FIXED = (f"{_TITLE}version", f"{_TITLE}title")  # what annotations of the chart itself do not replace


@dataclass(frozen=True)
class ChartMetadata:
    """Name and version of a chart, and all of its `Chart.yaml` that Helm knows, in the order of Helm's fields."""

    name: str
    version: str
    fields: Mapping[str, Any] = field(repr=False)

    @classmethod
    def parse(cls, content: bytes, where: str) -> "ChartMetadata":
        """What `Chart.yaml` says; raises `IntegrityError` where it is none, with `where` it is from."""
        try:
            reader = YamlReader(content, f"the Chart.yaml of {where}")
            tree = reader.tree(reader.root)
        except RegistryError as error:
            raise IntegrityError(error.message) from None
        fields = _pick(tree if isinstance(tree, dict) else {}, _METADATA)
        name, version = fields.get("name"), fields.get("version")
        if not name or not version:
            raise IntegrityError(f"the Chart.yaml of {where} gives no name or no version")
        return cls(name, version, fields)

    def to_config(self) -> bytes:
        """The config of the chart's manifest."""
        return to_go_json(self.fields)

    def annotations(self) -> dict[str, str]:
        """The annotations of the chart's manifest as `helm push` writes them, but for the time of the push."""
        sources, authors = self.fields.get("sources", []), self.fields.get("maintainers", [])
        told = {
            "description": self.fields.get("description", ""),
            "title": self.name,
            "version": self.version,
            "url": self.fields.get("home", ""),
            "source": sources[0] if sources else "",
            "authors": ", ".join(map(_author, authors)),
        }
        ours = {f"{_TITLE}{key}": text for key, text in told.items() if text.strip()}
        own = {key: text for key, text in self.fields.get("annotations", {}).items() if key not in _FIXED}
        return dict(sorted((ours | own).items()))


def to_go_json(document: Mapping[str, Any]) -> bytes:
    """`document` as Go's encoder writes it, which keeps signs of HTML out of texts."""
    text = json.dumps(document, ensure_ascii=False, separators=(",", ":"))
    for character in "<>&\u2028\u2029":
        text = text.replace(character, f"\\u{ord(character):04x}")
    return text.encode()


def _author(maintainer: Mapping[str, str]) -> str:
    email = f" ({maintainer['email']})" if maintainer.get("email") else ""
    return maintainer.get("name", "") + email


_Read = Callable[[Any], Any]  # the value as Helm has it; None where it is empty, or of another kind


def _pick(tree: Mapping[str, Any], kinds: Mapping[str, _Read]) -> dict[str, Any]:
    found = ((key, read(tree.get(key))) for key, read in kinds.items())
    return {key: value for key, value in found if value is not None}


def _text(value: Any) -> str | None:
    return value if isinstance(value, str) and value else None


def _any_text(value: Any) -> str:
    return value if isinstance(value, str) else ""


def _texts(value: Any) -> list[str] | None:
    entries = value if isinstance(value, list) else []
    return [each for each in entries if isinstance(each, str)] or None


def _truth(value: Any) -> bool | None:
    return True if isinstance(value, str) and value.lower() in ("true", "yes", "on") else None


def _table(value: Any) -> dict[str, str] | None:
    entries = value if isinstance(value, dict) else {}
    return {key: text for key, text in sorted(entries.items()) if isinstance(text, str)} or None


def _entries_of(kinds: Mapping[str, _Read]) -> _Read:
    def read(value: Any) -> list[dict[str, Any]] | None:
        entries = value if isinstance(value, list) else []
        return [_pick(each, kinds) for each in entries if isinstance(each, dict)] or None

    return read


def _list(value: Any) -> list[Any] | None:
    return value if isinstance(value, list) and value else None


_MAINTAINER: Mapping[str, _Read] = {"name": _text, "email": _text, "url": _text}
_DEPENDENCY: Mapping[str, _Read] = {
    "name": _any_text,
    "version": _text,
    "repository": _any_text,
    "condition": _text,
    "tags": _texts,
    "enabled": _truth,
    "import-values": _list,
    "alias": _text,
}
_METADATA: Mapping[str, _Read] = {
    "name": _text,
    "home": _text,
    "sources": _texts,
    "version": _text,
    "description": _text,
    "keywords": _texts,
    "maintainers": _entries_of(_MAINTAINER),
    "icon": _text,
    "apiVersion": _text,
    "condition": _text,
    "tags": _text,
    "appVersion": _text,
    "deprecated": _truth,
    "annotations": _table,
    "kubeVersion": _text,
    "dependencies": _entries_of(_DEPENDENCY),
    "type": _text,
}
