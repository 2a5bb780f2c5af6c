"""What is wrong with a document, for the person who wrote it: every place, no value (values may be secret). No I/O."""

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


def explain(error: ValidationError) -> str:
    """All problems of a validation error in one line, each with its place."""
    problems = error.errors(include_url=False, include_input=False, include_context=False)
    return "; ".join(f"{'.'.join(map(str, each['loc'])) or 'document'}: {_plain(each['msg'])}" for each in problems)


def _plain(message: str) -> str:
    if message == "Extra inputs are not permitted":
        return "unknown key"
    return " ".join(_WORDS.get(word, word) for word in message.split())
