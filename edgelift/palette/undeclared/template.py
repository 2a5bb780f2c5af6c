"""Evaluates Go templates as far as values alone can say: conservatively, with a budget, and without any I/O.

What only a cluster or a release knows is `UNKNOWN`, and so is all that depends on it. Of a block whose condition is not
known both sides are written: lines of it end in a comment with `UNSURE`, a part of a line is `UNKNOWN`.
"""

from collections import ChainMap
from collections.abc import Iterator, Mapping, MutableMapping, Sequence
from itertools import zip_longest
from typing import Any

from edgelift.errors import ProfileError
from edgelift.palette.undeclared.content import Budget
from edgelift.palette.undeclared.manifests import UNSURE
from edgelift.palette.undeclared.references import UNKNOWN
from edgelift.palette.undeclared.template_functions import call_function, is_unknown, to_text, truth
from edgelift.palette.undeclared.template_syntax import (
    Body,
    Branch,
    Call,
    Operand,
    Output,
    Pipeline,
    parse_template,
)

_DEPTH_LIMIT = 40  # of templates that include one another
_NESTING_LIMIT = 80  # of blocks in the templates that include one another

_Variables = MutableMapping[str, Any]


class Renderer:
    """Renders templates that may include those in `defined`."""

    def __init__(self, defined: Mapping[str, Body], budget: Budget) -> None:
        self._defined = dict(defined)
        self._budget = budget
        self._depth = 0
        self._nesting = 0

    def render(self, body: Body, dot: Any) -> str:
        """What `body` writes for `dot`; raises `ProfileError` where that is more than the budget."""
        return self._write(body, dot, ChainMap({"": dot}))

    def _write(self, body: Body, dot: Any, variables: _Variables) -> str:
        self._nesting += 1
        if self._nesting > _NESTING_LIMIT:
            raise ProfileError("its templates are nested too deep")
        pieces = []
        for node in body:
            piece = self._piece(node, dot, variables)
            self._budget.spend(1 + len(piece) // 64)
            pieces.append(piece)
        self._nesting -= 1
        return "".join(pieces)

    def _piece(self, node: str | Output | Call | Branch, dot: Any, variables: _Variables) -> str:
        if isinstance(node, str):
            return node
        if isinstance(node, Output):
            result = self._evaluate(node.pipeline, dot, variables)
            return "" if node.pipeline.variables else to_text(result)
        if isinstance(node, Call):
            given = self._evaluate(node.pipeline, dot, variables) if node.pipeline is not None else None
            return self._include(node.name, given)
        return self._branch(node, dot, variables)

    def _branch(self, node: Branch, dot: Any, variables: _Variables) -> str:
        inner = _below(variables)
        value = self._evaluate(node.pipeline, dot, inner)
        known = truth(value)
        if known is None or (node.kind == "range" and not isinstance(value, Mapping | list) and known):
            return self._both(node, dot, inner)
        if not known:
            return self._write(node.otherwise, dot, _below(variables))
        if node.kind == "range":
            return "".join(self._write(node.body, each, scope) for each, scope in _entries(node, value, variables))
        return self._write(node.body, value if node.kind == "with" else dot, inner)

    def _both(self, node: Branch, dot: Any, variables: _Variables) -> str:
        """Both sides of a block whose condition is not known; what either sets is not known afterwards."""
        before = dict(variables)
        for name in node.pipeline.variables:
            variables[name] = UNKNOWN
        sides = [
            self._write(node.body, dot if node.kind == "if" else UNKNOWN, _below(variables)),
            self._write(node.otherwise, dot, _below(variables)),
        ]
        for name, value in before.items():
            if variables.get(name) is not value:
                _assign(variables, name, UNKNOWN)
        if sides[0] == sides[1]:
            return sides[0]
        if not any("\n" in side.strip(" ") for side in sides):
            return UNKNOWN if any(side.strip() for side in sides) else ""
        return "\n".join(_unsure(line) for side in sides for line in side.split("\n"))

    def _include(self, name: str, dot: Any) -> str:
        body = self._defined.get(name)
        if body is None or self._depth >= _DEPTH_LIMIT:
            return UNKNOWN
        self._depth += 1
        text = self._write(body, dot, ChainMap({"": dot}))
        self._depth -= 1
        return text

    def _evaluate(self, pipeline: Pipeline, dot: Any, variables: _Variables) -> Any:
        result: Any = None
        for number, command in enumerate(pipeline.commands):
            result = self._command(command, dot, variables, [result] if number else [])
        if pipeline.variables:
            name = pipeline.variables[-1]
            if pipeline.is_declaration:
                variables[name] = result
            else:
                _assign(variables, name, result)
        return result

    def _command(self, command: Sequence[Operand], dot: Any, variables: _Variables, piped: list[Any]) -> Any:
        self._budget.spend()
        if not command:
            return UNKNOWN
        first, *rest = command
        if first.kind == "function":
            arguments = [*(self._operand(each, dot, variables) for each in rest), *piped]
            return self._call(first.value, arguments)
        if rest or piped:  # a method of something: nothing that is known has any
            return UNKNOWN
        return self._operand(first, dot, variables)

    def _call(self, name: str, arguments: list[Any]) -> Any:
        if name in ("include", "tpl"):
            text, given = (*arguments, None, None)[:2]
            if not isinstance(text, str):
                return UNKNOWN
            return self._include(text, given) if name == "include" else self._tpl(text, given)
        result = call_function(name, arguments)
        if isinstance(result, str):
            self._budget.spend(len(result) // 64)
        return result

    def _tpl(self, text: str, dot: Any) -> str:
        if "{{" not in text or is_unknown(text):
            return text
        if self._depth >= _DEPTH_LIMIT:
            return UNKNOWN
        try:
            template = parse_template(text)
        except ProfileError:
            return UNKNOWN
        self._depth += 1
        written = self._write(template.body, dot, ChainMap({"": dot}))
        self._depth -= 1
        return written

    def _operand(self, operand: Operand, dot: Any, variables: _Variables) -> Any:
        if operand.kind == "literal":
            return operand.value
        if operand.kind == "dot":
            return _below_path(dot, operand.path)
        if operand.kind == "variable":
            return _below_path(variables.get(operand.value, UNKNOWN), operand.path)
        if operand.kind == "pipeline":
            return _below_path(self._evaluate(operand.value, dot, variables), operand.path)
        return self._call(operand.value, [])


def _below(variables: _Variables) -> ChainMap[str, Any]:
    return ChainMap({}, *(variables.maps if isinstance(variables, ChainMap) else [variables]))


def _assign(variables: _Variables, name: str, value: Any) -> None:
    """Set a variable where it was declared."""
    maps = variables.maps if isinstance(variables, ChainMap) else [variables]
    for scope in maps:
        if name in scope:
            scope[name] = value
            return


def _below_path(value: Any, path: Sequence[str]) -> Any:
    for key in path:
        if value == UNKNOWN:
            return UNKNOWN
        value = value.get(key) if isinstance(value, Mapping) else None
    return value


def _entries(node: Branch, value: Any, variables: _Variables) -> Iterator[tuple[Any, _Variables]]:
    """Each entry of a `range` with its variables: one is the entry, of two the first is its key or number."""
    pairs = sorted(value.items(), key=lambda pair: str(pair[0])) if isinstance(value, Mapping) else enumerate(value)
    for key, each in pairs:
        scope = _below(variables)
        names = node.pipeline.variables
        scope.update(zip_longest(names, (key, each)[-len(names) :] if names else ()))
        yield each, scope


def _unsure(line: str) -> str:
    return f"{line} #{UNSURE}" if line.strip() and UNSURE not in line else line
