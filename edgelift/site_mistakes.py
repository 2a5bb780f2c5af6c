"""What texts in a site file cannot be: references, rules, names of blocks. Pure.

The document itself is looked at, so that these mistakes are found beside those that make it no site file at all.
"""

import re
from collections.abc import Callable, Iterator

from edgelift.charts.repository import ChartName
from edgelift.delivery.target import MappingRule, Target
from edgelift.errors import ConfigurationError
from edgelift.oci.mirrors import Mirrors
from edgelift.oci.reference import ImageReference, canonical_registry, is_registry, is_repository
from edgelift.store.opening import BLOCK, is_block

Steps = tuple[str | int, ...]
Mistake = tuple[Steps, str]
_BLOCK = re.compile(r"[a-z0-9-]+")


def find_mistakes(document: object) -> Iterator[Mistake]:
    """Every text of the site file `document` that cannot be what it stands for: where it is, and why."""
    for steps, check in _CHECKS.items():
        for place, text in _texts(document, steps):
            yield from _mistake(place, check, text)
    yield from _wrong_rules(document)
    rewrites = [text for _, text in _texts(document, ("access", "rewrites"))]
    if not any(_mistake((), _check_rewrites, text) for text in rewrites):  # else each wrong one has been named
        yield from _mistake(("access", "rewrites"), _check_rewrites, *rewrites)


def _wrong_rules(document: object) -> Iterator[Mistake]:
    registry = next((text for _, text in _texts(document, ("target", "registry"))), "")
    host = canonical_registry(registry.partition("/")[0])
    sources = set[str]()
    for place, text in _texts(document, ("target", "rules")):
        try:
            rule = MappingRule.parse(text, host)
        except ConfigurationError as error:
            yield place, _say(error)
            continue
        if rule.source in sources:
            yield place, f"there is another rule for {rule.source}; keep the one that is meant"
        sources.add(rule.source)


def _mistake(place: Steps, check: Callable[..., object], *texts: str) -> list[Mistake]:
    try:
        check(*texts)
    except ConfigurationError as error:
        return [(place, _say(error))]
    return []


def _say(error: ConfigurationError) -> str:
    return f"{error.message}; {error.hint}" if error.hint else error.message


def _texts(document: object, steps: Steps) -> Iterator[tuple[Steps, str]]:
    """The text at `steps`, or the texts in the list there."""
    value = document
    for step in steps:
        value = value.get(step) if isinstance(value, dict) else None
    for index, each in enumerate(value if isinstance(value, list) else ()):
        if isinstance(each, str):
            yield (*steps, index), each
    if isinstance(value, str):
        yield steps, value


def _check_profile(text: str) -> None:
    name, at, version = text.partition("@")
    if not name.strip() or (at and not version.strip()):
        raise ConfigurationError("this names no profile", hint="write its uid, its name, or NAME@VERSION")


def _check_tag(text: str) -> None:
    key, _, value = text.partition(":")
    if not (key.strip() and value.strip()):
        raise ConfigurationError("this is no tag of edge hosts", hint="write it as key:value")


def _check_block(text: str) -> None:
    if not _BLOCK.fullmatch(text):
        raise ConfigurationError("this is no name of a block", hint="they are of small letters, digits and dashes")


def _check_store(text: str) -> None:
    scheme, separator, bucket = text.partition("://")
    if is_block(text):
        _check_block(text.removeprefix(BLOCK))
    elif separator and not (scheme == "s3" and bucket.partition("/")[0] and text.isprintable()):
        raise ConfigurationError("this names no store", hint="write a folder, s3://bucket/prefix or block:NAME")


def _check_artifact(text: str) -> None:
    host, _, repository = text.partition("/")
    if not (is_registry(host) and is_repository(repository)):
        raise ConfigurationError("this is no repository", hint="write it as HOST[:PORT]/REPOSITORY, without a tag")


def _check_undeclared(text: str) -> None:
    if text not in ("none", "confident", "all"):
        ImageReference.parse(text)


def _check_mirror(text: str) -> None:
    Mirrors.parse((text,))


def _check_rewrites(*texts: str) -> None:
    Mirrors.parse((), texts)


_CHECKS: dict[Steps, Callable[[str], object]] = {
    ("source", "profiles"): _check_profile,
    ("source", "exclude_profiles"): _check_profile,
    ("source", "cluster_definition", "profiles"): _check_profile,
    ("source", "edge_hosts"): _check_tag,
    ("source", "palette"): _check_block,
    ("source", "images"): ImageReference.parse,
    ("source", "charts"): ChartName.parse,
    ("source", "include_undeclared"): _check_undeclared,
    ("target", "registry"): Target.parse,
    ("access", "registries"): _check_block,
    ("access", "mirrors"): _check_mirror,
    ("access", "rewrites"): _check_rewrites,
    ("store",): _check_store,
    ("archive", "block"): _check_block,
    ("archive", "artifact"): _check_artifact,
    ("signing", "block"): _check_block,
}
