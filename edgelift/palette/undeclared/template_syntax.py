"""The syntax of Go templates as charts use them: text, `{{ actions }}`, and what stands between them. Pure, linear."""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, NamedTuple

from edgelift.errors import ProfileError

LONGEST_ACTION = 8192  # characters
_DEPTH_LIMIT = 40  # of blocks and parentheses in one another
_KEYWORDS = re.compile(r"(if|with|range|else|end|define|block|template|break|continue)\b\s*")
_TOKEN = re.compile(
    r"""(?P<space>\s+)
    |(?P<string>"(?:[^"\\]|\\.)*"|`[^`]*`|'(?:[^'\\]|\\.)*')
    |(?P<number>[+-]?\d[\w.]*)
    |(?P<variable>\$\w*(?:\.[A-Za-z_]\w*)*)
    |(?P<field>\.[A-Za-z_]\w*(?:\.[A-Za-z_]\w*)*|\.)
    |(?P<name>[A-Za-z_]\w*)
    |(?P<mark>:=|[=|(),])""",
    re.VERBOSE,
)
_ESCAPES = {"n": "\n", "t": "\t", "r": "\r"}


@dataclass(frozen=True)
class Operand:
    """What a command is made of: a value, a function's name, a pipeline in parentheses; `path` is read below it."""

    kind: Literal["literal", "dot", "variable", "function", "pipeline"]
    value: Any = None
    path: tuple[str, ...] = ()


@dataclass(frozen=True)
class Pipeline:
    """Commands, each of which gets the result of the one before; `variables` are set to the last result."""

    commands: tuple[tuple[Operand, ...], ...]
    variables: tuple[str, ...] = ()
    is_declaration: bool = False


@dataclass(frozen=True)
class Output:
    """An action whose result is written."""

    pipeline: Pipeline


@dataclass(frozen=True)
class Call:
    """`template "name" pipeline`, which writes what another template gives."""

    name: str
    pipeline: Pipeline | None


@dataclass(frozen=True)
class Branch:
    """`if`, `with` or `range`, with what is written where its pipeline is empty."""

    kind: str
    pipeline: Pipeline
    body: "Body"
    otherwise: "Body"


Body = tuple["str | Output | Call | Branch", ...]


@dataclass
class Template:
    """What a file holds: its own body, and the templates that it defines by their names."""

    body: Body = ()
    defined: dict[str, Body] = field(default_factory=dict)


def parse_template(text: str) -> Template:
    """The template in `text`; raises `ProfileError` where it is none."""
    template = Template()
    parser = _Parser(list(_split(text)), template.defined)
    template.body, end = parser.body(0)
    if end:
        raise _malformed(f"it has an '{end}' too many")
    return template


def _split(text: str) -> Iterator[tuple[bool, str]]:
    """Texts, and actions without their braces; the spaces that an action trims are gone."""
    position, trims = 0, False
    while True:
        start = text.find("{{", position)
        literal = text[position : start if start >= 0 else len(text)]
        if trims:
            literal = literal.lstrip()
        if start < 0:
            yield False, literal
            return
        end = _end_of_action(text, start + 2)
        inner = text[start + 2 : end]
        trims_before = inner.startswith("-") and inner[1:2].isspace()
        trims = inner.endswith("-") and (inner[-2:-1].isspace() or inner.endswith("*/-"))
        yield False, literal.rstrip() if trims_before else literal
        action = inner[trims_before : len(inner) - trims].strip()
        if not action.startswith("/*"):
            yield True, action
        position = end + 2


def _end_of_action(text: str, position: int) -> int:
    """Where the braces stand that close the action which begins at `position`."""
    limit = min(len(text), position + LONGEST_ACTION)
    if text[position : position + 4].lstrip("- ").startswith("/*"):
        end = text.find("*/", position)  # a comment may be longer
        position, limit = (end, len(text)) if end >= 0 else (limit, limit)
    quote = ""
    while position < limit:
        here = text[position]
        if quote:
            if here == "\\" and quote != "`":
                position += 1
            elif here == quote:
                quote = ""
        elif here in "\"`'":
            quote = here
        elif here == "}" and text.startswith("}}", position):
            return position
        position += 1
    raise _malformed("an action is not closed")


class _Parser:
    """Reads the pieces of a template in order; `defined` takes what it defines."""

    def __init__(self, pieces: list[tuple[bool, str]], defined: dict[str, Body]) -> None:
        self._pieces = pieces
        self._next = 0
        self._defined = defined

    def body(self, depth: int) -> tuple[Body, str]:
        """Everything up to the `end` or `else` of this block, and that word with what follows it; "" at the end."""
        if depth > _DEPTH_LIMIT:
            raise _malformed("its blocks are nested too deep")
        found: list[str | Output | Call | Branch] = []
        while self._next < len(self._pieces):
            is_action, text = self._pieces[self._next]
            self._next += 1
            if not is_action:
                found.append(text)
                continue
            word = _KEYWORDS.match(text)
            if word is None:
                found.append(Output(_parse_pipeline(text)))
            elif word[1] in ("end", "else"):
                return tuple(found), text
            elif word[1] not in ("break", "continue"):
                found.extend(self._block(word[1], text[word.end() :], depth))
        return tuple(found), ""

    def _block(self, word: str, rest: str, depth: int) -> Iterator[Call | Branch]:
        if word == "template":
            yield _parse_call(rest)
        elif word in ("define", "block"):
            call = _parse_call(rest)
            self._defined[call.name], end = self.body(depth + 1)
            _expect_end(end)
            if word == "block":
                yield call
        else:
            yield self._branch(word, rest, depth)

    def _branch(self, kind: str, rest: str, depth: int) -> Branch:
        pipeline = _parse_pipeline(rest)
        body, end = self.body(depth + 1)
        otherwise: Body = ()
        if end.startswith("else"):
            other = _KEYWORDS.match(end[len("else") :].lstrip())
            if other is not None:  # else if, else with: a block of its own that shares this one's end
                rest = end[len("else") :].lstrip()[other.end() :]
                return Branch(kind, pipeline, body, (self._branch(other[1], rest, depth + 1),))
            otherwise, end = self.body(depth + 1)
        _expect_end(end)
        return Branch(kind, pipeline, body, otherwise)


def _expect_end(end: str) -> None:
    if end != "end":
        raise _malformed("a block is not closed")


def _parse_call(text: str) -> Call:
    tokens = _tokens(text)
    if not tokens or tokens[0].kind != "string":
        raise _malformed("a template has no name")
    pipeline = _parse_pipeline(text[tokens[0].end :]) if len(tokens) > 1 else None
    return Call(_unquote(tokens[0].text), pipeline)


class _Token(NamedTuple):
    kind: str
    text: str
    start: int
    end: int


def _tokens(text: str) -> list[_Token]:
    found: list[_Token] = []
    position = 0
    while position < len(text):
        match = _TOKEN.match(text, position)
        if match is None:
            raise _malformed("an action is not one of a Go template")
        position = match.end()
        if match.lastgroup != "space":
            found.append(_Token(str(match.lastgroup), match[0], match.start(), match.end()))
    return found


def _parse_pipeline(text: str) -> Pipeline:
    tokens = _tokens(text)
    mark = next((index for index, token in enumerate(tokens) if token.text in (":=", "=")), None)
    variables: tuple[str, ...] = ()
    if mark is not None:
        variables = tuple(token.text[1:] for token in tokens[:mark] if token.kind == "variable")
    rest = tokens[mark + 1 :] if mark is not None else tokens
    commands, position = _parse_commands(rest, 0, 0)
    if position != len(rest):
        raise _malformed("an action has a parenthesis too many")
    return Pipeline(commands, variables, mark is not None and tokens[mark].text == ":=")


def _parse_commands(tokens: Sequence[_Token], position: int, depth: int) -> tuple[tuple[tuple[Operand, ...], ...], int]:
    if depth > _DEPTH_LIMIT:
        raise _malformed("its parentheses are nested too deep")
    commands: list[tuple[Operand, ...]] = []
    operands: list[Operand] = []
    while position < len(tokens) and tokens[position].text != ")":
        token = tokens[position]
        position += 1
        if token.text == "|" and token.kind == "mark":
            commands.append(tuple(operands))
            operands = []
        elif token.text == "(":
            inner, position = _parse_commands(tokens, position, depth + 1)
            if position >= len(tokens):
                raise _malformed("a parenthesis is not closed")
            closed = tokens[position].end
            path: tuple[str, ...] = ()
            position += 1
            if position < len(tokens) and tokens[position].kind == "field" and tokens[position].start == closed:
                path = _path(tokens[position].text)
                position += 1
            operands.append(Operand("pipeline", Pipeline(inner), path))
        elif token.kind != "mark":
            operands.append(_operand(token))
    commands.append(tuple(operands))
    return tuple(commands), position


def _operand(token: _Token) -> Operand:
    if token.kind == "string":
        return Operand("literal", _unquote(token.text))
    if token.kind == "number":
        return Operand("literal", token.text)
    if token.kind == "variable":
        name, *path = token.text[1:].split(".")
        return Operand("variable", name, tuple(path))
    if token.kind == "field":
        return Operand("dot", None, _path(token.text))
    if token.text in ("true", "false", "nil"):
        return Operand("literal", {"true": True, "false": False}.get(token.text))
    return Operand("function", token.text)


def _path(text: str) -> tuple[str, ...]:
    return tuple(filter(None, text.split(".")))


def _unquote(text: str) -> str:
    inner = text[1:-1]
    if text[0] == "`":
        return inner
    return re.sub(r"\\(.)", lambda match: _ESCAPES.get(match[1], match[1]), inner, flags=re.DOTALL)


def _malformed(reason: str) -> ProfileError:
    return ProfileError(f"the template cannot be read: {reason}")
