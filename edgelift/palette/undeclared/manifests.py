"""Images in Kubernetes manifests: documents of YAML, one after the other, as they are given to a cluster. Pure."""

import re
from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any, NamedTuple

from edgelift.errors import ProfileError
from edgelift.palette.undeclared.content import Budget
from edgelift.palette.undeclared.hits import Hit
from edgelift.palette.undeclared.references import UNKNOWN, read_reference
from edgelift.palette.undeclared.tree import find_in_tree
from edgelift.palette.values import load_placed

UNSURE = "\ue001"  # in a comment at the end of a line that only some clusters get

_LINE = re.compile(r"[ \t]*(?:-[ \t]{1,8})?['\"]?image['\"]?[ \t]{0,8}:[ \t]{1,8}['\"]?([^\s'\"#]{1,1024})")
_SOURCE = re.compile(r"# Source: (\S{1,1024})")


class _Document(NamedTuple):
    text: str
    first_line: int
    source: str  # the template that helm says it comes from, or ""


def find_in_manifests(text: str, budget: Budget) -> Iterator[tuple[str, Hit]]:
    """Every image of the manifests in `text`, with the template that helm's comment says it comes from, or "".

    A document that is not YAML, such as a template that could not be evaluated, is read line by line.
    """
    lines = text.split("\n")
    for document in _documents(lines):
        budget.spend(1 + document.text.count("\n"))
        for hit in _find(document, budget):
            line = document.first_line + hit.line - 1 if hit.line is not None else None
            is_unsure = line is not None and UNSURE in lines[line - 1]
            placed = replace(hit, line=line)
            yield (
                document.source,
                placed.capped("likely", "only some clusters get it, by what they are") if is_unsure else placed,
            )


def _documents(lines: list[str]) -> Iterator[_Document]:
    first, source = 0, ""
    for number, line in enumerate([*lines, "---"]):
        if line.startswith("---") and not line[3:].strip(" \t\r").startswith("-"):
            body = lines[first:number]
            source = next((found[1] for each in body[:3] if (found := _SOURCE.match(each))), "")
            yield _Document("\n".join(body), first + 1, source)
            first = number + 1


def _find(document: _Document, budget: Budget) -> Iterator[Hit]:
    try:
        tree = load_placed(document.text)
    except ProfileError:
        yield from _find_by_line(document.text)
        return
    if _is_definition(tree):
        return
    hits = list(find_in_tree(tree, budget, in_manifest=True))
    yield from hits
    if UNSURE in document.text:  # of keys that are there twice, one for each kind of cluster, a tree keeps one
        known = {hit.text for hit in hits}
        yield from (hit for hit in _find_by_line(document.text) if hit.text not in known)


def _is_definition(tree: Any) -> bool:
    """Whether `tree` defines a kind of resource: what looks like images there are descriptions and defaults."""
    return isinstance(tree, Mapping) and tree.get("kind") == "CustomResourceDefinition"


def _find_by_line(text: str) -> Iterator[Hit]:
    for number, line in enumerate(text.split("\n"), 1):
        found = _LINE.match(line)
        if found is not None and read_reference(found[1].replace(UNKNOWN, "x")) is not None:
            yield Hit(found[1], "likely", "a line names it", "image", number).judged()
