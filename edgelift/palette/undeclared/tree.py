"""Images in a tree of YAML: the values of a pack or a chart, a Kubernetes manifest, a custom resource. Pure."""

import re
from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any

from edgelift.palette.undeclared.compose import compose_image, is_readable
from edgelift.palette.undeclared.content import Budget
from edgelift.palette.undeclared.findings import Confidence
from edgelift.palette.undeclared.hits import Hit, Surroundings, line_of, text_of
from edgelift.palette.undeclared.references import (
    LONGEST,
    has_version,
    is_official,
    is_on_known_host,
    looks_like_reference,
    read_reference,
)

_CONTAINERS = frozenset({"containers", "initContainers", "ephemeralContainers"})
_NOT_OF_CONTAINERS = frozenset({"osimage", "vmimage", "diskimage", "bootimage", "isoimage", "backgroundimage"})
_OPTION = re.compile(r"--?([A-Za-z0-9._-]{1,80})[= ]['\"]?([^\s'\"]{1,1024})")
_IMAGE_LINE = re.compile(r"[ \t]*(?:-[ \t]{1,8})?['\"]?image['\"]?[ \t]{0,8}:[ \t]{1,8}['\"]?([^\s'\"#]{1,1024})")


def find_in_tree(tree: Any, budget: Budget, *, in_manifest: bool, around: Surroundings | None = None) -> Iterator[Hit]:
    """Every image named in `tree`. `in_manifest` is for what is given to a cluster: its pod specs are certain.

    Raises `ProfileError` where the tree unfolds to more than `budget`.
    """
    return _Walk(budget, "certain" if in_manifest else "likely").visit(tree, around or Surroundings())


class _Walk:
    """One walk, and how sure an image in the pod specs of its tree is."""

    def __init__(self, budget: Budget, in_pod_specs: Confidence) -> None:
        self._budget = budget
        self._in_pod_specs = in_pod_specs

    def visit(self, node: Any, around: Surroundings, key: str = "") -> Iterator[Hit]:
        self._budget.spend()
        if isinstance(node, str):
            yield from self._visit_text(node, key, around)
        elif isinstance(node, Mapping):
            yield from self._visit_section(node, key, around.inside(node))
        elif isinstance(node, list):
            for index, each in enumerate(node):
                yield from self.visit(each, around.at_index(index), key)

    def _visit_section(self, section: Mapping[Any, Any], key: str, around: Surroundings) -> Iterator[Hit]:
        told = set()
        composed = compose_image(section, around, is_image=key.lower().endswith("image"))
        if composed is not None:
            told.add(composed.path.rpartition(".")[2])
            yield _switched(composed, around)
        contained = self._container(section, around) if key in _CONTAINERS and "name" in section else None
        if contained is not None:
            told.add("image")
            yield contained
        if _is_variable(section):
            told.add("value")
            hit = _judge_text(section["value"], section["name"].upper(), around.at("value"))
            if hit is not None:
                yield _switched(hit, around)
        for name, child in section.items():
            if isinstance(name, str) and not (name in told and isinstance(child, str)):
                yield from self.visit(child, around.at(name), name)

    def _container(self, section: Mapping[Any, Any], around: Surroundings) -> Hit | None:
        image = text_of(section, "image")
        if not is_readable(image):
            return None
        hit = Hit(image, self._in_pod_specs, "it is in a pod spec", f"{around.path}.image", line_of(image))
        return _switched(hit.judged(), around)

    def _visit_text(self, text: str, key: str, around: Surroundings) -> Iterator[Hit]:
        if "\n" in text.strip():
            yield from self._visit_lines(text, around)
            return
        hit = _judge_text(text, key, around)
        option = _OPTION.match(text) if hit is None and text.startswith("-") else None
        if option is not None:
            hit = _judge_option(option, around, line_of(text))
        if hit is not None:
            yield _switched(hit, around)

    def _visit_lines(self, text: str, around: Surroundings) -> Iterator[Hit]:
        """Images in a text of many lines, such as a configuration file that a ConfigMap holds."""
        first = line_of(text)
        for number, line in enumerate(text.splitlines(), 1):
            self._budget.spend()
            found = _IMAGE_LINE.match(line)
            named = found[1] if found is not None and read_reference(found[1]) is not None else ""
            if has_version(named) or "/" in named:
                at = first + number if first is not None else None
                hit = Hit(named, "likely", "a text in it has a line that names it", around.path, at)
                yield _switched(hit if has_version(named) else hit.capped("possible", hit.reason), around)


def _judge_text(text: str, key: str, around: Surroundings) -> Hit | None:
    """The image that `text` names, judged by its shape and by the `key` that it stands under."""
    plain = text.strip()
    if len(plain) > LONGEST or not is_readable(plain):
        return None
    is_telling = has_version(plain) or is_on_known_host(plain) or is_official(plain)
    hit = Hit(plain, "likely", f"its key is {key}", around.path, line_of(text)).judged()
    if key.lower() in _NOT_OF_CONTAINERS:
        return hit.capped("possible", hit.reason)
    if key.lower().endswith(("image", "images")):
        return hit if is_telling or (key == "image" and "/" in plain) else hit.capped("possible", hit.reason)
    if "IMAGE" in key and is_telling:
        return hit
    if not looks_like_reference(plain):
        return None
    shaped = replace(hit, reason="it has the shape of a reference")
    return shaped if around.is_about_images or is_on_known_host(plain) else shaped.capped("possible", shaped.reason)


def _judge_option(option: re.Match[str], around: Surroundings, line: int | None) -> Hit | None:
    name, text = option.groups()
    if read_reference(text) is None or not (looks_like_reference(text) or is_on_known_host(text)):
        return None
    confidence: Confidence = "likely" if "image" in name.lower() or is_on_known_host(text) else "possible"
    return Hit(text, confidence, f"an option --{name} names it", around.path, line).judged()


def _switched(hit: Hit, around: Surroundings) -> Hit:
    return hit.capped("possible", "its section is turned off") if around.is_off else hit


def _is_variable(section: Mapping[Any, Any]) -> bool:
    """Whether `section` is an environment variable that names an image: RELATED_IMAGE_PROXY, CONTROLLER_IMAGE."""
    return "IMAGE" in text_of(section, "name").upper() and bool(text_of(section, "value"))
