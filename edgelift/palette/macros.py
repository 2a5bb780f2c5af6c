"""Expansion of Palette's macros, `{{ .spectro.… }}`, as far as it can be said before there is a cluster.

`.spectro.pack.NAME.PATH` reads the values of a pack, `.spectro.var.NAME` the default of a profile variable,
`.spectro.macro.NAME` a user macro of the project, the tenant or the system, `.spectro.system.kubernetes.version` the
version of the k8s pack. What only a running cluster knows has to be given as a setting; a setting wins over anything
else. Values of user macros may be secret: no sentence of this module holds one.
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple

from edgelift.palette.models import K8S_LAYER
from edgelift.palette.pipes import FUNCTIONS, Command, Word, apply_function, parse_pipeline
from edgelift.palette.values import LoadedPack

_MACRO = re.compile(r"\{\{([^{}]*)\}\}")
_INDEX = re.compile(r"\[?(\d{1,6})(?:\]\.?|\.|(?=\[)|$)")  # `0.` and `[0].`
_PREFIX = ".spectro."
_LENGTH_LIMIT = 8192  # characters; a reference has a few hundred
_NESTING_LIMIT = 50
_SPOTS_LIMIT = 200  # looked at for one path; real ones have a dozen keys

_Place = tuple[str, int]
_Spot = tuple[int, int]  # the identity of a tree, and the length of the path that is still to go


class Expansion(NamedTuple):
    """A text with its macros replaced. `unresolved` has one sentence for each macro that could not be.

    `is_secret` says that the value of a user macro went into it, so that no message may show the text.
    """

    text: str
    unresolved: tuple[str, ...] = ()
    is_secret: bool = False


class _Found(NamedTuple):
    text: str
    pack: LoadedPack  # macros inside the text are read from where that pack stands
    is_secret: bool = False


class MacroExpander:
    """Expands the macros in the values of `packs`, which may refer to one another.

    `settings` maps names to values: a full path (`spectro.system.cluster.name`), one without the leading `spectro`,
    or one without its kind too (`cluster.name`, the bare name of a variable).
    """

    def __init__(self, packs: Sequence[LoadedPack], settings: Mapping[str, str]) -> None:
        self._packs = packs
        self._settings = {setting_name(name): value for name, value in settings.items()}
        self._known: dict[_Place, Expansion] = {}
        self.used: set[str] = set()  # names of the settings that some macro has asked for

    def expand(self, text: str, pack: LoadedPack) -> Expansion:
        """`text` with every macro expanded, as it stands in the values of `pack`."""
        return self._expand(text, pack, ())

    def _expand(self, text: str, pack: LoadedPack, trail: tuple[_Place, ...]) -> Expansion:
        if len(text) > _LENGTH_LIMIT:
            return _failed(f"it has more than {_LENGTH_LIMIT} characters")
        parts = _split(text)
        values = [self._evaluate(part, pack, trail) for part in parts[1::2]]
        parts[1::2] = [value.text for value in values]
        unresolved = dict.fromkeys(reason for value in values for reason in value.unresolved)
        expanded = "".join(parts)
        if len(expanded) > _LENGTH_LIMIT:
            return _failed(f"its macros expand to more than {_LENGTH_LIMIT} characters")
        if not unresolved and ("{{" in expanded or "}}" in expanded):
            place = f"the value of {_PREFIX}{trail[-1][0]}" if trail else repr(text)
            return _failed(f"a macro is not closed in {place}")
        return Expansion(expanded, tuple(unresolved), any(value.is_secret for value in values))

    def _evaluate(self, expression: str, pack: LoadedPack, trail: tuple[_Place, ...]) -> Expansion:
        commands = parse_pipeline(expression)
        if commands is None:
            return _failed(f"{{{{ {expression.strip()} }}}} is not a Palette macro, so it cannot be expanded")
        value: Expansion | None = None
        for command in commands:
            value = self._run(command, value, pack, trail)
            if value.unresolved:
                break
        return value or Expansion("")

    def _run(self, command: Command, piped: Expansion | None, pack: LoadedPack, trail: tuple[_Place, ...]) -> Expansion:
        """One command of a pipe; `piped` is what the command before it gave."""
        first, *others = command
        if first.kind != "name":
            if others or piped is not None:
                return _failed(f"'{first.text}' is no function, so a macro cannot give it anything")
            return self._word_value(first, pack, trail)
        if first.text not in FUNCTIONS:
            return _failed(
                f"the function '{first.text}' of a macro is not known here, only {', '.join(FUNCTIONS)} are: "
                "write the value itself into the profile"
            )
        arguments = [self._word_value(word, pack, trail) for word in others] + ([piped] if piped is not None else [])
        reasons = dict.fromkeys(reason for argument in arguments for reason in argument.unresolved)
        if reasons:
            return Expansion("", tuple(reasons))
        text = apply_function(first.text, [argument.text for argument in arguments])
        if text is None:
            return _failed(f"the function '{first.text}' of a macro does not take what it is given")
        return Expansion(text, (), any(argument.is_secret for argument in arguments))

    def _word_value(self, word: Word, pack: LoadedPack, trail: tuple[_Place, ...]) -> Expansion:
        if word.kind == "name":
            return _failed(f"'{word.text}' in a macro is neither a value nor in quotes")
        if word.kind == "macro":
            return self._value(word.text.removeprefix(_PREFIX), pack, trail)
        return Expansion(word.text)

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
                else self._expand_found(found, path, (*trail, place))
            )
        return self._known[place]

    def _expand_found(self, found: _Found, path: str, trail: tuple[_Place, ...]) -> Expansion:
        expansion = self._expand(found.text, found.pack, trail)
        if not found.is_secret:
            return expansion
        if expansion.unresolved:  # those sentences may quote the value
            return _failed(_unresolved(path, "its value holds what cannot be expanded"))
        return expansion._replace(is_secret=True)

    def _find(self, path: str, pack: LoadedPack) -> _Found | str:
        """The text that `path` stands for, or the reason why there is none."""
        kind, _, name = path.partition(".")
        for given in (path, name):
            if given in self._settings:
                self.used.add(given)
                return _Found(self._settings[given], pack)
        if kind == "pack":
            return self._find_in_packs(name, pack)
        if kind == "var":
            return _find_variable(name, pack)
        if kind == "macro":
            return _find_user_macro(name, pack)
        return self._find_system(path, pack)

    def _find_system(self, path: str, pack: LoadedPack) -> _Found | str:
        if path == "system.kubernetes.version":
            versions = {each.pack.version for each in self._packs if each.pack.layer == K8S_LAYER and each.pack.version}
            if len(versions) == 1:
                return _Found(versions.pop(), pack)
            return "several Kubernetes packs are asked for" if versions else "none of these profiles has a k8s pack"
        of_profile = {
            "system.project.uid": pack.profile.project_uid,
            "system.project.name": pack.profile.project_name,
            "system.tenant.uid": pack.profile.tenant_uid,
        }
        value = of_profile.get(path)
        return _Found(value, pack) if value else "its value is not part of the profiles"

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


def _find_user_macro(name: str, pack: LoadedPack) -> _Found | str:
    macros = pack.profile.user_macros
    if macros is None:
        return "the values of user macros are not part of an exported profile"
    for macro in macros.values:
        if macro.name == name:
            return _Found(macro.value.get_secret_value(), pack, is_secret=True)
    hidden = f" (Palette does not show this API key those of the {' and the '.join(macros.hidden)})"
    return f"Palette shows no user macro of that name{hidden if macros.hidden else ''}"


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


def setting_name(name: str) -> str:
    """The name of a setting as macros ask for it: `{{ .spectro.var.TAG }}`, `var.TAG` and so on are one."""
    return name.strip("{} \t").removeprefix(".").removeprefix("spectro.")


def _split(text: str) -> list[str]:
    """Texts and what stands in braces between them, in turn; `{{- ` and ` -}}` take away the space beyond them."""
    parts = _MACRO.split(text)
    for place in range(1, len(parts), 2):
        inside = parts[place]
        if inside[:1] == "-" and inside[1:2].isspace():
            parts[place - 1] = parts[place - 1].rstrip()
            inside = inside[1:]
        if inside[-1:] == "-" and inside[-2:-1].isspace():
            parts[place + 1] = parts[place + 1].lstrip()
            inside = inside[:-1]
        parts[place] = inside
    return parts


def _unresolved(path: str, reason: str) -> str:
    return f"{{{{ {_PREFIX}{path} }}}} cannot be expanded: {reason}; give its value with --set {path}=VALUE"


def _failed(reason: str) -> Expansion:
    return Expansion("", (reason,))
