"""Functions of Go templates, sprig and Helm that decide about images. What is not here gives `UNKNOWN`. Pure.

Values are those of YAML read as text: "false" and "0" are as empty as false and 0.
"""

import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import yaml

from edgelift.palette.undeclared.references import UNKNOWN

_LONGEST = 1_000_000  # characters that one call is given
_WIDEST = 100  # of an indent
_VERB = re.compile(r"%(?:[-+ 0#]{0,4}\d{0,3}(?:\.\d{0,3})?([a-zA-Z])|(%))")


def call_function(name: str, arguments: Sequence[Any]) -> Any:
    """The result of a call, or `UNKNOWN`."""
    if _size(arguments) > _LONGEST:
        return UNKNOWN
    lenient = _LENIENT.get(name)
    function = lenient or _STRICT.get(name)
    if function is None or (lenient is None and any(is_unknown(each) for each in arguments)):
        return UNKNOWN
    try:
        return function(*arguments)
    except (TypeError, ValueError, IndexError, KeyError, AttributeError, yaml.YAMLError, RecursionError):
        return UNKNOWN


def is_unknown(value: object) -> bool:
    """Whether `value`, or a part of its text, is not known."""
    return isinstance(value, str) and UNKNOWN in value


def truth(value: object) -> bool | None:
    """Whether `value` counts as true in a condition; None where that is not known."""
    if value == UNKNOWN:
        return None
    return value not in (None, False, "", "false", "0", 0) and value not in ({}, [])


def to_text(value: object) -> str:
    """How `value` is written into the output."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, Mapping | list):
        return UNKNOWN
    return "" if value is None else str(value)


def _size(arguments: Sequence[Any]) -> int:
    total = 0
    for each in arguments:
        parts = each if isinstance(each, list) else [each]
        total += sum(len(part) for part in parts if isinstance(part, str))
    return total


def _default(fallback: Any, value: Any = None) -> Any:
    return UNKNOWN if truth(value) is None else value if truth(value) else fallback


def _and(*values: Any) -> Any:
    for value in values:
        if truth(value) is False:
            return value
    return UNKNOWN if any(truth(value) is None for value in values) else values[-1]


def _or(*values: Any) -> Any:
    for value in values:
        if truth(value):
            return value
        if truth(value) is None:
            return UNKNOWN
    return values[-1]


def _not(value: Any) -> Any:
    known = truth(value)
    return UNKNOWN if known is None else not known


def _coalesce(*values: Any) -> Any:
    return _or(*values, None)


def _ternary(yes: Any, no: Any, condition: Any) -> Any:
    known = truth(condition)
    return UNKNOWN if known is None else yes if known else no


def _printf(form: str, *arguments: Any) -> str:
    given = iter(arguments)

    def write(match: re.Match[str]) -> str:
        if match[2]:
            return "%"
        text = to_text(next(given, UNKNOWN))
        return f'"{text}"' if match[1] == "q" else text

    return _VERB.sub(write, form)


def _dict(*pairs: Any) -> dict[Any, Any]:
    return dict(zip(pairs[::2], pairs[1::2], strict=False))


def _get(mapping: Mapping[Any, Any], key: Any) -> Any:
    return UNKNOWN if is_unknown(mapping) else mapping.get(key)


def _index(value: Any, *keys: Any) -> Any:
    for key in keys:
        if value is None or is_unknown(value) or is_unknown(key):
            return value and UNKNOWN
        value = value[int(key)] if isinstance(value, list) else value.get(key)
    return value


def _dig(*arguments: Any) -> Any:
    *keys, fallback, value = arguments
    for key in keys:
        if is_unknown(value):
            return UNKNOWN
        if not isinstance(value, Mapping) or key not in value:
            return fallback
        value = value[key]
    return value


def _has_key(mapping: Any, key: Any) -> Any:
    return UNKNOWN if is_unknown(mapping) else key in mapping


def _equal(value: Any, *others: Any) -> bool:
    return any(to_text(value) == to_text(other) for other in others)


def _indent(width: Any, text: str) -> str:
    if not 0 <= int(width) <= _WIDEST or (text.count("\n") + 1) * int(width) > _LONGEST:
        return UNKNOWN
    return "\n".join(" " * int(width) + line for line in to_text(text).split("\n"))


def _replace(old: str, new: str, text: str) -> str:
    if not old or text.count(old) * len(new) > _LONGEST:
        return UNKNOWN
    return text.replace(old, new)


def _trunc(length: Any, text: str) -> str:
    return text[: int(length)] if int(length) >= 0 else text[int(length) :]


def _kind(value: Any) -> str:
    if isinstance(value, Mapping):
        return "map"
    return {list: "slice", str: "string", bool: "bool", int: "int"}.get(type(value), "invalid")


def _kind_is(kind: str, value: Any) -> Any:
    # A text may be one of YAML's other scalars: only mappings and lists are sure.
    found = _kind(value)
    return found == kind if found in ("map", "slice", "invalid") or kind in ("map", "slice") else UNKNOWN


def _to_yaml(value: Any) -> str:
    text: str = yaml.safe_dump(value, sort_keys=True, width=10_000)
    return text.removesuffix("\n...\n").rstrip("\n")


def _set(mapping: dict[Any, Any], key: Any, value: Any) -> Any:
    mapping[key] = value
    return mapping


def _merge(target: dict[Any, Any], *sources: Mapping[Any, Any]) -> dict[Any, Any]:
    for source in sources:
        target.update({key: value for key, value in source.items() if key not in target})
    return target


def _merge_over(target: dict[Any, Any], *sources: Mapping[Any, Any]) -> dict[Any, Any]:
    for source in sources:
        target.update(source)
    return target


# These look at what is not known themselves.
_LENIENT: dict[str, Callable[..., Any]] = {
    "default": _default,
    "and": _and,
    "or": _or,
    "not": _not,
    "empty": _not,
    "coalesce": _coalesce,
    "ternary": _ternary,
    "printf": _printf,
    "print": lambda *values: "".join(map(to_text, values)),
    "dict": _dict,
    "list": lambda *values: list(values),
    "tuple": lambda *values: list(values),
    "get": _get,
    "index": _index,
    "dig": _dig,
    "hasKey": _has_key,
    "set": _set,
    "required": lambda _message, value: value,
    "toString": to_text,
    "quote": lambda *values: " ".join(f'"{to_text(value)}"' for value in values),
    "squote": lambda *values: " ".join(f"'{to_text(value)}'" for value in values),
    "trim": lambda text: to_text(text).strip(),
    "nindent": lambda width, text: "\n" + _indent(width, text),
    "indent": _indent,
    "deepCopy": lambda value: value,
    "merge": _merge,
    "mergeOverwrite": _merge_over,
    "fail": lambda _message: "",
    "lookup": lambda *_what: {},
    "toYaml": _to_yaml,
}
_STRICT: dict[str, Callable[..., Any]] = {
    "eq": _equal,
    "ne": lambda one, other: not _equal(one, other),
    "lower": str.lower,
    "upper": str.upper,
    "trimPrefix": lambda prefix, text: text.removeprefix(prefix),
    "trimSuffix": lambda suffix, text: text.removesuffix(suffix),
    "trimAll": lambda characters, text: text.strip(characters),
    "hasPrefix": lambda prefix, text: text.startswith(prefix),
    "hasSuffix": lambda suffix, text: text.endswith(suffix),
    "contains": lambda part, text: part in text,
    "replace": _replace,
    "trunc": _trunc,
    "join": lambda separator, values: separator.join(map(to_text, values)),
    "splitList": lambda separator, text: text.split(separator),
    "first": lambda values: values[0] if values else None,
    "last": lambda values: values[-1] if values else None,
    "has": lambda value, values: value in values,
    "len": len,
    "int": int,
    "kindIs": _kind_is,
    "kindOf": lambda value: _kind(value) if isinstance(value, Mapping | list) else UNKNOWN,
    "gt": lambda one, other: float(one) > float(other),
    "ge": lambda one, other: float(one) >= float(other),
    "lt": lambda one, other: float(one) < float(other),
    "le": lambda one, other: float(one) <= float(other),
}
