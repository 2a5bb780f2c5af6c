"""What is wrong with a document, for the person who wrote it: every place, no value (values may be secret). No I/O."""

from collections.abc import Sequence

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
    try:
        return yaml.load(text, _Loader)  # noqa: S506 - the safe loader, with less
    except yaml.MarkedYAMLError as error:  # its own text would show the line, and with it what may be a secret
        mark = error.problem_mark
        place = f" at line {mark.line + 1}, column {mark.column + 1}" if mark is not None else ""
        raise ConfigurationError(f"{where} is not YAML{place}: {error.problem or error.context}") from None
    except (yaml.YAMLError, RecursionError, ValueError):  # ValueError: a date or a number that is none
        raise ConfigurationError(
            f"{where} is not YAML: it holds a character, date or number that is none, or is nested too deep",
            hint="put values that look like a date or a number in quotes",
        ) from None


def explain(error: ValidationError, text: str | None = None) -> str:
    """All problems of a validation error in one line, each with its place, and its line in the YAML `text`."""
    problems = error.errors(include_url=False, include_input=False, include_context=False)
    root = yaml.compose(text, _Loader) if text is not None else None
    return "; ".join(f"{_place(each['loc'], root)}: {_plain(each['msg'])}" for each in problems)


def _place(steps: Sequence[int | str], root: yaml.Node | None) -> str:
    name = ".".join(map(str, steps)) or "document"
    line = _line(steps, root) if root is not None else None
    return name if line is None else f"{name} (line {line})"


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
    return " ".join(_WORDS.get(word, word) for word in message.split())
