"""References that stand in parts: registry, repository, tag and digest, each under a key of its own."""

import re
from collections.abc import Mapping
from dataclasses import replace
from typing import Any, NamedTuple

from edgelift.palette.undeclared.hits import Hit, Surroundings, line_of, text_of
from edgelift.palette.undeclared.references import UNKNOWN, has_version, is_on_known_host, is_prefix, read_reference

_REPOSITORIES = ("repository", "imageRepository", "repo", "imageName")
_NAMES = ("image", "name")  # of a repository, in a section that is called an image
_REGISTRIES = ("registryOverwrite", "registryOverride", "imageRegistry", "registry", "hub")
_TAGS = ("tag", "imageTag", "tagOverwrite", "tagOverride")
_DIGESTS = ("digest", "imageDigest", "sha")
_DIGEST = re.compile(r"(?:sha256:)?([0-9a-f]{64})\Z")
_VERSION = re.compile(r"v?\d[\w.+-]*\Z")


class _Parts(NamedTuple):
    registry: str
    repository: str
    tag: str
    digest: str

    @property
    def text(self) -> str:
        prefix = f"{self.registry.rstrip('/')}/" if self.registry else ""
        digest = _DIGEST.match(self.digest)
        version = f":{self.tag}" if self.tag else ""
        return f"{prefix}{self.repository.lstrip('/')}{version}" + (f"@sha256:{digest[1]}" if digest else "")


def compose_image(section: Mapping[Any, Any], around: Surroundings, *, is_image: bool) -> Hit | None:
    """The image whose parts `section` holds, or None. `is_image` says that the section is called one."""
    key = next((name for name in _REPOSITORIES if text_of(section, name)), None)
    if key is None and is_image:
        key = next((name for name in _NAMES if text_of(section, name)), None)
    if key is None and _has_own_tag(section, "image"):
        key = "image"
    if key is None or has_version(section[key]):
        return None
    return _judge(section, key, around, is_image=is_image or key.startswith("image"))


def _has_own_tag(section: Mapping[Any, Any], key: str) -> bool:
    """Whether the reference at `key` has its tag or digest under another key of `section`."""
    named = text_of(section, key)
    return bool(named) and not has_version(named) and any(text_of(section, name) for name in (*_TAGS, *_DIGESTS))


def _judge(section: Mapping[Any, Any], key: str, around: Surroundings, *, is_image: bool) -> Hit | None:
    parts = _Parts(
        registry=_registry(section, section[key], around),
        repository=section[key],
        tag=next(filter(None, (text_of(section, name) for name in _TAGS)), ""),
        digest=next(filter(None, (text_of(section, name) for name in _DIGESTS)), ""),
    )
    says_version = bool(parts.tag or _DIGEST.match(parts.digest))
    if not (is_image or says_version or any(name in section for name in _TAGS)):
        return None
    if not says_version:
        parts = parts._replace(tag=_tag_from_elsewhere(section, around))
    is_host_alone = is_prefix(parts.repository) and "/" not in parts.text  # kubeadm's imageRepository
    if is_host_alone or not is_readable(parts.text):
        return None
    is_whole = bool(parts.tag or _DIGEST.match(parts.digest))
    reason = "its parts stand in one section" if is_whole else "its tag is its chart's to say"
    hit = Hit(parts.text, "likely", reason, f"{around.path}.{key}", line_of(section[key])).judged()
    if is_whole:
        return hit
    untagged = replace(hit, text=f"{hit.text}:{UNKNOWN}", is_complete=False)
    # A tag that is there and empty is how charts say that it follows from their own version.
    is_left_open = any(name in section for name in _TAGS) and (is_image or is_on_known_host(parts.text))
    return untagged if is_left_open else untagged.capped("possible", "its tag is not in the values, but in the chart")


def is_readable(text: str) -> bool:
    """Whether `text` is a reference, whatever the macros in it stand for."""
    return read_reference(re.sub(r"\{\{[^{}]*\}\}", "x", text).replace(UNKNOWN, "x")) is not None


def _registry(section: Mapping[Any, Any], repository: str, around: Surroundings) -> str:
    own = next(filter(None, (text_of(section, name) for name in _REGISTRIES)), "")
    if around.forced_registry:
        return around.forced_registry
    if own:
        return own
    return "" if is_prefix(repository) else around.registry


def _tag_from_elsewhere(section: Mapping[Any, Any], around: Surroundings) -> str:
    version = text_of(section, "version")
    return version if _VERSION.match(version) else around.tag
