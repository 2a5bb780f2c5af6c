"""Expansion of Palette's macros, `{{ .spectro.… }}`, as far as profiles alone can say what they mean.

`.spectro.pack.NAME.PATH` reads the values of a pack, `.spectro.var.NAME` the default of a profile variable,
`.spectro.system.kubernetes.version` the version of the k8s pack. What only a running cluster knows has to be given
as a setting; a setting wins over anything else.
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple

from edgelift.palette.models import K8S_LAYER
from edgelift.palette.values import LoadedPack

_MACRO = re.compile(r"\{\{([^{}]*)\}\}")
_SUBSTR = re.compile(r"substr\s+(-?\d{1,6})\s+(-?\d{1,6})")
_INDEX = re.compile(r"\[?(\d{1,6})(?:\]\.?|\.|(?=\[)|$)")  # `0.` and `[0].`
_PREFIX = ".spectro."
_LENGTH_LIMIT = 8192  # characters; a reference has a few hundred
_NESTING_LIMIT = 50
_SPOTS_LIMIT = 200  # looked at for one path; real ones have a dozen keys

_Place = tuple[str, int]
_Spot = tuple[int, int]  # the identity of a tree, and the length of the path that is still to go


class Expansion(NamedTuple):
    """A text with its macros replaced. `unresolved` has one sentence for each macro that could not be."""

    text: str
    unresolved: tuple[str, ...] = ()


class _Found(NamedTuple):
    text: str
    pack: LoadedPack  # macros inside the text are read from where that pack stands


class MacroExpander:
    """Expands the macros in the values of `packs`, which may refer to one another.

    `settings` maps names to values: a full path (`spectro.system.cluster.name`), one without the leading `spectro`,
    or one without its kind too (`cluster.name`, the bare name of a variable).
    """

    def __init__(self, packs: Sequence[LoadedPack], settings: Mapping[str, str]) -> None:
        self._packs = packs
        self._settings = {_setting_name(name): value for name, value in settings.items()}
        self._known: dict[_Place, Expansion] = {}

    def expand(self, text: str, pack: LoadedPack) -> Expansion:
        """`text` with every macro expanded, as it stands in the values of `pack`."""
        return self._expand(text, pack, ())

    def _expand(self, text: str, pack: LoadedPack, trail: tuple[_Place, ...]) -> Expansion:
        unresolved: dict[str, None] = {}

        def replace(match: re.Match[str]) -> str:
            value = self._evaluate(match[1].strip("- \t\r\n"), pack, trail)
            unresolved.update(dict.fromkeys(value.unresolved))
            return value.text

        expanded = _MACRO.sub(replace, text)
        if len(expanded) > _LENGTH_LIMIT:
            return _failed(f"its macros expand to more than {_LENGTH_LIMIT} characters")
        if not unresolved and ("{{" in expanded or "}}" in expanded):
            return _failed(f"a macro is not closed in {expanded!r}")
        return Expansion(expanded, tuple(unresolved))

    def _evaluate(self, expression: str, pack: LoadedPack, trail: tuple[_Place, ...]) -> Expansion:
        name, *pipes = (part.strip() for part in expression.split("|"))
        if not name.startswith(_PREFIX) or name.split() != [name]:
            return _failed(f"{{{{ {expression} }}}} is not a Palette macro, so it cannot be expanded")
        value = self._value(name.removeprefix(_PREFIX), pack, trail)
        for pipe in pipes:
            if value.unresolved:
                break
            value = _apply_pipe(pipe, value.text, name)
        return value

    def _value(self, path: str, pack: LoadedPack, trail: tuple[_Place, ...]) -> Expansion:
        place = (path, id(pack))
        if place in trail:
            return _failed(_unresolved(path, "it leads back to itself"))
        if len(trail) >= _NESTING_LIMIT:
            return _failed(_unresolved(path, f"it is nested more than {_NESTING_LIMIT} deep"))
        if place not in self._known:
            found = self._find(path, pack)
            self._known[place] = (
                _failed(_unresolved(path, found))
                if isinstance(found, str)
                else self._expand(found.text, found.pack, (*trail, place))
            )
        return self._known[place]

    def _find(self, path: str, pack: LoadedPack) -> _Found | str:
        """The text that `path` stands for, or the reason why there is none."""
        kind, _, name = path.partition(".")
        for given in (path, name):
            if given in self._settings:
                return _Found(self._settings[given], pack)
        if kind == "pack":
            return self._find_in_packs(name, pack)
        if kind == "var":
            return _find_variable(name, pack)
        if kind == "macro":
            return "the values of Palette's own macros are not part of a profile"
        return self._find_system(path, pack)

    def _find_system(self, path: str, pack: LoadedPack) -> _Found | str:
        if path == "system.kubernetes.version":
            versions = {each.pack.version for each in self._packs if each.pack.layer == K8S_LAYER and each.pack.version}
            if len(versions) == 1:
                return _Found(versions.pop(), pack)
            return "several Kubernetes packs are asked for" if versions else "none of these profiles has a k8s pack"
        if path == "system.project.uid" and pack.profile.project_uid:
            return _Found(pack.profile.project_uid, pack)
        if path == "system.project.name" and pack.profile.project_name:
            return _Found(pack.profile.project_name, pack)
        return "its value is not part of the profiles"

    def _find_in_packs(self, path: str, pack: LoadedPack) -> _Found | str:
        # Nearest first: the pack itself, then the packs of its profile, then all the others.
        named = [each for each in self._packs if path.startswith(f"{each.pack.name}.")]
        same_profile = [each for each in named if each.profile is pack.profile]
        for group in ([each for each in named if each is pack], same_profile, named):
            found = [_Found(text, each) for each in group if (text := _read_pack(each, path)) is not None]
            if len({each.text for each in found}) > 1:
                return "several packs of that name give it different values"
            if found:
                return found[0]
        return "that pack has no single value there" if named else "none of these profiles has that pack"


def _find_variable(name: str, pack: LoadedPack) -> _Found | str:
    variable = next((each for each in pack.profile.variables if each.name == name), None)
    if variable is None:
        return f"profile {pack.profile.origin_label} has no such variable"
    if variable.is_sensitive:
        return "the default of a sensitive variable is not shown"
    return _Found(variable.default_value, pack) if variable.default_value else "that variable has no default value"


def _read_pack(pack: LoadedPack, path: str) -> str | None:
    return _read_path(pack.tree, path.removeprefix(f"{pack.pack.name}."), set())


def _read_path(tree: object, path: str, tried: set[_Spot]) -> str | None:
    """The text at `path` below `tree`; keys may hold dots themselves, so the longest that fit are tried first.

    `tried` keeps each spot from being looked at twice: keys `a` and `a.a` with aliases lead to one in endless ways.
    """
    if not path:
        return "" if tree is None else tree if isinstance(tree, str) else None
    if len(tried) > _SPOTS_LIMIT:
        return None
    for below, rest in _steps(tree, path):
        spot = (id(below), len(rest))
        if spot not in tried:
            tried.add(spot)
            if (text := _read_path(below, rest, tried)) is not None:
                return text
    return None


def _steps(tree: object, path: str) -> Iterator[tuple[object, str]]:
    if isinstance(tree, list):
        index = _INDEX.match(path)
        if index is not None and int(index[1]) < len(tree):
            yield tree[int(index[1])], path[index.end() :]
    elif isinstance(tree, Mapping):
        for key in sorted((key for key in tree if isinstance(key, str)), key=len, reverse=True):
            rest = path.removeprefix(key)
            if path.startswith(key) and (not rest or rest[0] in ".["):
                yield tree[key], rest.removeprefix(".")


def _apply_pipe(pipe: str, text: str, name: str) -> Expansion:
    substr = _SUBSTR.fullmatch(pipe)
    if substr is None:
        return _failed(
            f"the pipe '{pipe}' after {name} is not supported, only 'substr START END' is: "
            "write the value itself into the profile"
        )
    start, end = int(substr[1]), int(substr[2])
    # Sprig's rule: a negative start means the beginning, an end that is negative or too far means the end.
    return Expansion(text[max(start, 0) : end if end >= 0 else None])


def _setting_name(name: str) -> str:
    return name.strip("{} \t").removeprefix(".").removeprefix("spectro.")


def _unresolved(path: str, reason: str) -> str:
    return f"{{{{ {_PREFIX}{path} }}}} cannot be expanded: {reason}; give its value with --set {path}=VALUE"


def _failed(reason: str) -> Expansion:
    return Expansion("", (reason,))
