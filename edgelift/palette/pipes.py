"""What stands inside the braces of a macro: names, texts and numbers, joined by functions of Go's templates and Sprig.

`.spectro.var.TAG | trimPrefix "v" | default "latest"`: what comes through a pipe is the last argument of the next
function. Only functions that make one text of others are here: none that reads files, the clock or the environment.
"""

import json
import re
from collections.abc import Callable, Mapping, Sequence
from typing import Literal, NamedTuple

_WORD = re.compile(
    r'(?P<text>"(?:[^"\\]|\\.)*"|`[^`]*`)|(?P<number>-?\d{1,6})|(?P<macro>\.spectro\.[^\s|"`()]+)|(?P<name>[A-Za-z]\w*)'
)
_VERB = re.compile(r"%(.?)", re.DOTALL)
_LONGEST = 8192  # characters that a function may make; a reference has a few hundred


class Word(NamedTuple):
    """One word of a command."""

    kind: Literal["text", "number", "macro", "name"]
    text: str


Command = Sequence[Word]  # a function and its arguments, or a single value


def parse_pipeline(expression: str) -> list[Command] | None:
    """The commands of a macro, in the order of the pipe; None where this is no pipeline that edgelift knows."""
    commands: list[list[Word]] = [[]]
    position, end = 0, len(expression)
    while position < end:
        if expression[position] == "|":
            commands.append([])
            position += 1
        elif expression[position].isspace():
            position += 1
        else:
            found = _WORD.match(expression, position)
            if found is None or not _ends(expression, found.end()):
                return None
            word = _word(found)
            if word is None:
                return None
            commands[-1].append(word)
            position = found.end()
    has_macro = any(word.kind == "macro" for command in commands for word in command)
    return list(commands) if has_macro and all(commands) else None


def apply_function(name: str, arguments: Sequence[str]) -> str | None:
    """What the function `name` makes of `arguments`; None where it does not take these. `name` is one of FUNCTIONS."""
    count, function = FUNCTIONS[name]
    if count is not None and len(arguments) != count:
        return None
    try:
        result = function(*arguments)
    except ValueError:
        return None
    return result if len(result) <= _LONGEST else None


def _ends(expression: str, position: int) -> bool:
    return position == len(expression) or expression[position] == "|" or expression[position].isspace()


def _word(found: re.Match[str]) -> Word | None:
    text = found[0]
    if found["text"] and text[0] == "`":
        return Word("text", text[1:-1])
    if found["text"]:
        try:
            return Word("text", json.loads(text))
        except ValueError:  # an escape of Go's that JSON has not
            return None
    kind: Literal["number", "macro", "name"] = "number" if found["number"] else "macro" if found["macro"] else "name"
    return Word(kind, text)


def _default(fallback: str, text: str) -> str:
    return text or fallback


def _quote(text: str) -> str:
    return json.dumps(text, ensure_ascii=False)


def _squote(text: str) -> str:
    return f"'{text}'"


def _replace(old: str, new: str, text: str) -> str:
    if len(text) + text.count(old) * len(new) > _LONGEST:
        raise ValueError
    return text.replace(old, new)


def _substr(start: str, end: str, text: str) -> str:
    # Sprig's rule: a negative start means the beginning, an end that is negative or too far means the end.
    first, last = int(start), int(end)
    return text[max(first, 0) : last if last >= 0 else None]


def _trim_prefix(prefix: str, text: str) -> str:
    return text.removeprefix(prefix)


def _trim_suffix(suffix: str, text: str) -> str:
    return text.removesuffix(suffix)


def _trim_all(characters: str, text: str) -> str:
    return text.strip(characters) if characters else text


def _trunc(count: str, text: str) -> str:
    # Sprig's rule: a negative count keeps so many from the end.
    number = int(count)
    return text[:number] if number >= 0 else text[number:]


def _printf(*arguments: str) -> str:
    if not arguments:
        raise ValueError
    form, *left = arguments

    def fill(match: re.Match[str]) -> str:
        verb = match[1]
        if verb == "%":
            return "%"
        if verb not in _VERBS or not left:
            raise ValueError
        return _VERBS[verb](left.pop(0))

    text = _VERB.sub(fill, form)
    if left:
        raise ValueError
    return text


_VERBS: Mapping[str, Callable[[str], str]] = {"s": str, "v": str, "q": _quote, "d": lambda text: str(int(text))}

# Each function with the number of its arguments, what comes through the pipe included; None means any.
FUNCTIONS: Mapping[str, tuple[int | None, Callable[..., str]]] = {
    "default": (2, _default),
    "lower": (1, str.lower),
    "printf": (None, _printf),
    "quote": (1, _quote),
    "replace": (3, _replace),
    "squote": (1, _squote),
    "substr": (3, _substr),
    "trim": (1, str.strip),
    "trimAll": (2, _trim_all),
    "trimPrefix": (2, _trim_prefix),
    "trimSuffix": (2, _trim_suffix),
    "trunc": (2, _trunc),
    "upper": (1, str.upper),
}
