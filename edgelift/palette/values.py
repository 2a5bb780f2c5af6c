"""Pack values: YAML read as raw text. No scalar gets a type, so that `1.10` stays `1.10` and `0777` stays `0777`.

Trees are plain: mappings, lists, texts, and None where the YAML has nothing or a null. Text that was pasted in curly
quotes loses them, as it would lose straight ones.
"""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import yaml

from edgelift.errors import ProfileError
from edgelift.palette.models import ClusterProfile, Pack

try:
    from yaml import CSafeLoader as _BaseLoader
except ImportError:  # PyYAML built without libyaml: ten times slower, the same result
    from yaml import SafeLoader as _BaseLoader  # type: ignore[assignment]  # same interface

Tree = Mapping[str, Any]
DISPLAY_NAME = "spectrocloud.com/display-name"
CURLY_QUOTES = "‘’“”"  # noqa: RUF001  # they are what is looked for
# A value or an entry in curly quotes, without spaces but for those in macros: no sentence of somebody's prose.
CURLY_QUOTED = r"[:-]\s+[‘“](?:\{\{[^{}]*\}\}|[^\s‘’“”{}])+[’”]\s*(?:#.*)?$"  # noqa: RUF001
_IN_CURLY_QUOTES = re.compile(r"“([^“”]*)”|‘([^‘’]*)’")  # noqa: RUF001
_DEPTH_LIMIT = 100  # real packs nest about 25 deep; far beyond this the C parser would overrun its stack
_MERGE_LIMIT = 1_000_000  # entries that merge keys bring in one document
_NULL = re.compile(r"(?:~|null|Null|NULL|)\Z")
_UNQUOTED_MACRO = re.compile(r"([ \t]*(?:-[ \t]+)*(?:[^\s#'\"{}:-][^#'\"{}:]*:[ \t]+)?)(\{\{.*)")


class _RawLoader(_BaseLoader):
    """Knows nulls and text; merge keys (`<<`) are joined by `_construct_mapping`, up to a limit for the document."""

    merged = 0

    def flatten_mapping(self, node: yaml.MappingNode) -> None:
        """Joins nothing: PyYAML's own way has no limit."""


def _construct_mapping(loader: _RawLoader, node: yaml.MappingNode) -> dict[Any, Any]:
    own = loader.construct_mapping(node, deep=True)
    merged = own.pop("<<", None)
    for source in merged if isinstance(merged, list) else [merged]:
        if isinstance(source, dict):
            loader.merged += len(source)
            if loader.merged > _MERGE_LIMIT:
                problem = f"its merge keys (<<) bring more than {_MERGE_LIMIT:,} entries"
                raise yaml.constructor.ConstructorError(None, None, problem, node.start_mark)
            own |= {key: value for key, value in source.items() if key not in own}
    return own


def _construct_other(loader: _RawLoader, node: yaml.Node) -> Any:
    if isinstance(node, yaml.MappingNode):
        return _construct_mapping(loader, node)
    if isinstance(node, yaml.SequenceNode):
        return loader.construct_sequence(node, deep=True)
    if not isinstance(node, yaml.ScalarNode) or node.style:  # a style: the quotes that YAML itself knows
        return node.value
    quoted = _IN_CURLY_QUOTES.fullmatch(node.value)
    return node.value if quoted is None else quoted[1] or quoted[2] or ""


_RawLoader.yaml_implicit_resolvers = {}
_RawLoader.yaml_constructors = {}
_RawLoader.add_implicit_resolver("tag:yaml.org,2002:null", _NULL, ["~", "n", "N", ""])
_RawLoader.add_constructor("tag:yaml.org,2002:null", lambda _loader, _node: None)
_RawLoader.add_constructor(None, _construct_other)  # None: any other tag


@dataclass(frozen=True)
class LoadedPack:
    """A pack of a profile with its values as a tree."""

    profile: ClusterProfile
    pack: Pack
    tree: Tree

    @property
    def display_name(self) -> str:
        """The name that tells it from another use of the same pack, or ""."""
        settings = self.tree.get("pack")
        name = settings.get(DISPLAY_NAME) if isinstance(settings, Mapping) else None
        return name if isinstance(name, str) else ""

    @property
    def label(self) -> str:
        """How origins name it."""
        return f"{self.pack.name} ({self.display_name})" if self.display_name else self.pack.name


def load_values(text: str) -> Tree:
    """The values of a pack as a tree; empty text gives an empty one. Raises `ProfileError` with line and column."""
    tree = load_yaml(text)
    if tree is None:
        return {}
    if not isinstance(tree, Mapping):
        raise ProfileError("the values are not a YAML mapping")
    return tree


def load_yaml(text: str) -> Any:
    """One YAML document as a tree, macros without quotes included. Raises `ProfileError` with line and column."""
    return _read(text, yaml.load)


def load_documents(text: str) -> list[Any]:
    """Every YAML document in `text` as a tree. Raises `ProfileError` as `load_yaml` does."""
    trees: list[Any] = _read(text, lambda given, loader: list(yaml.load_all(given, loader)))
    return trees


def find_lines(text: str, pattern: str) -> list[int]:
    """The numbers (from 1) of the lines of `text` that `pattern` matches in."""
    return [number for number, line in enumerate(text.split("\n"), 1) if re.search(pattern, line)]


_Load = Callable[[str, type[_RawLoader]], Any]


def _read(text: str, load: _Load) -> Any:
    try:
        return _load(text, load)
    except yaml.YAMLError as error:
        if "{{" not in text:
            raise _explain(error, text) from None
    try:
        return _load("\n".join(_quote_macro(line) for line in text.split("\n")), load)
    except yaml.YAMLError as error:
        raise _explain(error, text) from None


def _load(text: str, load: _Load) -> Any:
    depth = 0
    for event in yaml.parse(text, _RawLoader):
        depth += isinstance(event, yaml.CollectionStartEvent) - isinstance(event, yaml.CollectionEndEvent)
        if depth > _DEPTH_LIMIT:
            raise ProfileError(f"the YAML is nested more than {_DEPTH_LIMIT} deep")
    return load(text, _RawLoader)  # a safe loader with fewer types still


def _quote_macro(line: str) -> str:
    # `key: {{ .spectro.x }}` is a mapping of mappings to YAML, and what people mean is text.
    match = _UNQUOTED_MACRO.fullmatch(line)
    if match is None or not match[1].strip():
        return line
    value, space, comment = match[2].partition(" #")
    quoted = value.rstrip().replace("'", "''")
    return f"{match[1]}'{quoted}'{space}{comment}"


def _explain(error: yaml.YAMLError, text: str) -> ProfileError:
    # Only the parser's own words: its full message quotes the values, which may hold secrets.
    if isinstance(error, yaml.MarkedYAMLError) and error.problem_mark is not None:
        line, column = error.problem_mark.line + 1, error.problem_mark.column + 1
        reason = ", ".join(part for part in (error.context, error.problem) if part)
        return ProfileError(
            f"line {line}, column {column}: {reason}", hint=_hint(text.split("\n")[max(0, line - 2) : line])
        )
    if isinstance(error, yaml.reader.ReaderError):
        line = text.count("\n", 0, error.position) + 1
        return ProfileError(f"line {line}: a character that YAML does not allow")
    return ProfileError("it is not YAML")


def _hint(lines: list[str]) -> str | None:
    near = "\n".join(lines)
    if any(quote in near for quote in CURLY_QUOTES):
        return "replace the curly quotes there by straight ones"
    return "put quotes around the macro" if "{{" in near else None


class PlacedText(str):
    """A text of a tree that knows the line, from 1, at which it begins."""

    __slots__ = ("line",)
    line: int


class _PlacedLoader(_RawLoader):
    """The same tree, but each text is a `PlacedText`."""


def _construct_placed(loader: _PlacedLoader, node: yaml.Node) -> Any:
    found = _construct_other(loader, node)
    if isinstance(found, str):
        found = PlacedText(found)
        found.line = node.start_mark.line + 1
    return found


_PlacedLoader.add_constructor(None, _construct_placed)


def load_placed(text: str) -> Any:
    """As `load_yaml`, with `PlacedText` for every text that is not null."""
    load_yaml(text)  # for its limits, and the errors that it explains
    try:
        return yaml.load(text, _PlacedLoader)  # noqa: S506  # a safe loader with fewer types still
    except yaml.YAMLError:
        return yaml.load("\n".join(map(_quote_macro, text.split("\n"))), _PlacedLoader)  # noqa: S506  # the same
