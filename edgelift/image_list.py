"""Lists of images: one reference a line with `#` comments, or a YAML list. Pure."""

from collections.abc import Iterator

from edgelift.errors import ConfigurationError, MalformedReferenceError
from edgelift.explain import load_yaml
from edgelift.oci.reference import ImageReference


def parse_image_list(text: str, where: str) -> tuple[str, ...]:
    """The references in `text`, canonical, each once.

    Raises `MalformedReferenceError` that names every bad one with its place in `where`, and `ConfigurationError` for a
    list that holds none, or is no YAML where it begins like it.
    """
    references, malformed = dict[str, None](), list[MalformedReferenceError]()
    lines = list(_lines(text))
    is_yaml = bool(lines) and lines[0][1].startswith(("- ", "["))
    for place, entry in _entries(text, where) if is_yaml else lines:
        try:
            references[str(ImageReference.parse(entry))] = None
        except MalformedReferenceError as error:
            malformed.append(MalformedReferenceError(f"{where}, {place}: {error.message}", hint=error.hint))
    if malformed:
        raise MalformedReferenceError("\n".join(each.message for each in malformed), hint=malformed[0].hint)
    if not references:
        raise ConfigurationError(f"{where} names no image", hint="write one reference a line")
    return tuple(references)


def _lines(text: str) -> Iterator[tuple[str, str]]:
    """What is on each line that says something, without comments, and where it is."""
    for number, line in enumerate(text.splitlines(), 1):
        entry = line.partition("#")[0].strip()
        if entry and entry != "---":
            yield f"line {number}", entry


def _entries(text: str, where: str) -> Iterator[tuple[str, str]]:
    """The entries of a YAML list, and which one each is; raises `ConfigurationError` where it holds anything else."""
    document = load_yaml(text, where)
    if not isinstance(document, list) or not all(isinstance(entry, str) for entry in document):
        raise ConfigurationError(
            f"{where} is not a list of references", hint="write one a line; a YAML list holds text only: - nginx:1.27"
        )
    for number, entry in enumerate(document, 1):
        yield f"entry {number}", entry
