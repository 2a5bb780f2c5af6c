"""What is wrong with a document, for the person who wrote it: every place, no value (values may be secret). No I/O."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import yaml
from pydantic import ValidationError

from edgelift.errors import ConfigurationError

# pydantic speaks of Python's types, the people who write YAML of its own.
_WORDS = {"tuple": "list", "dictionary": "table of keys and values", "string": "text"}


class _Loader(yaml.SafeLoader):
    """Refuses merge keys: a few lines of them, each naming the one before ten times, would fill any memory."""

    def flatten_mapping(self, node: yaml.MappingNode) -> None:
        """Raises `ConstructorError` where `node` has a merge key."""
        for key, _ in node.value:
            if key.tag == "tag:yaml.org,2002:merge":
                raise yaml.constructor.ConstructorError(None, None, "merge keys (<<) are not taken", key.start_mark)


def load_yaml(text: str, where: str) -> object:
    """What the YAML `text` says; raises `ConfigurationError` that names `where`, line and column, and no content."""
    return read_yaml(text, where)[0]


def read_yaml(text: str, where: str) -> tuple[object, yaml.Node | None]:
    """What the YAML `text` says, and its nodes, which have their places; raises `ConfigurationError` as `load_yaml`."""
    try:
        loader = _Loader(text)
        node = loader.get_single_node()
        return (loader.construct_document(node) if node is not None else None), node
    except yaml.MarkedYAMLError as error:  # its own text would show the line, and with it what may be a secret
        mark = error.problem_mark
        place = f" at line {mark.line + 1}, column {mark.column + 1}" if mark is not None else ""
        raise ConfigurationError(f"{where} is not YAML{place}: {error.problem or error.context}") from None
    except (yaml.YAMLError, RecursionError, ValueError):  # ValueError: a date or a number that is none
        raise ConfigurationError(
            f"{where} is not YAML: it holds a character, date or number that is none, or is nested too deep",
            hint="put values that look like a date or a number in quotes",
        ) from None


@dataclass(frozen=True)
class Problem:
    """Something wrong in a document: the `place` as a path of keys, its line where that is known, and what is wrong."""

    place: str
    line: int | None
    message: str

    def __str__(self) -> str:
        line = f" (line {self.line})" if self.line is not None else ""
        return f"{self.place}{line}: {self.message}"


def explain(error: ValidationError, text: str | None = None) -> str:
    """All problems of a validation error in one line, each with its place, and its line in the YAML `text`."""
    root = yaml.compose(text, _Loader) if text is not None else None
    return "; ".join(map(str, find_problems(error, root)))


def find_problems(error: ValidationError, root: yaml.Node | None = None) -> list[Problem]:
    """All problems of a validation error, with their lines in the document `root`."""
    found = error.errors(include_url=False, include_input=False, include_context=False)
    return [problem_at(each["loc"], _plain(each["msg"]), root) for each in found]


def problem_at(steps: Sequence[int | str], message: str, root: yaml.Node | None) -> Problem:
    """What is wrong at `steps` below `root`."""
    line = _line(steps, root) if root is not None else None
    return Problem(".".join(map(str, steps)) or "document", line, message)


def find_repeated_keys(root: yaml.Node | None) -> Iterator[Problem]:
    """Keys that stand twice in a table: YAML would take the last one, and nobody would miss the first."""
    waiting: list[tuple[tuple[str, ...], yaml.Node]] = [((), root)] if root is not None else []
    seen = set[int]()
    while waiting:
        steps, node = waiting.pop()
        if id(node) in seen:  # an alias; it may be that of a node around it
            continue
        seen.add(id(node))
        if isinstance(node, yaml.MappingNode):
            lines = dict[str, int]()
            for key, below in node.value:
                place, line = (*steps, str(key.value)), key.start_mark.line + 1
                if place[-1] in lines:
                    yield Problem(".".join(place), line, f"the key stands in line {lines[place[-1]]} already")
                lines.setdefault(place[-1], line)
                waiting.append((place, below))
        elif isinstance(node, yaml.SequenceNode):
            waiting += [((*steps, str(index)), below) for index, below in enumerate(node.value)]


def _line(steps: Sequence[int | str], node: yaml.Node) -> int | None:
    """The line of the value at `steps` below `node`, or of the last part of the way there; None for the top."""
    line = None
    for step in steps:
        below: yaml.Node | None = None
        if isinstance(node, yaml.MappingNode):
            key, below = next((pair for pair in node.value if pair[0].value == str(step)), (None, None))
            line = key.start_mark.line + 1 if key is not None else line
        elif isinstance(node, yaml.SequenceNode) and isinstance(step, int) and step < len(node.value):
            below = node.value[step]
            line = below.start_mark.line + 1
        if below is None:
            break
        node = below
    return line


def _plain(message: str) -> str:
    if message == "Extra inputs are not permitted":
        return "unknown key"
    return " ".join(_WORDS.get(word, word) for word in message.removeprefix("Value error, ").split())
