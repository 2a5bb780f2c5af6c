"""Image references: what people write, made canonical.

The grammar is the distribution specification's (spec.md, "Pulling manifests"); the Docker Hub conventions
(`nginx` is `docker.io/library/nginx:latest`, `index.docker.io` is `docker.io`) are the container world's habit.
"""

import re
from dataclasses import dataclass, replace
from typing import Self

from edgelift.errors import MalformedReferenceError
from edgelift.oci.digest import Digest

DOCKER_HUB = "docker.io"
_DOCKER_HUB_ALIASES = frozenset({"docker.io", "index.docker.io", "registry-1.docker.io", "registry.hub.docker.com"})

_HOST = re.compile(
    r"(?:[A-Za-z0-9](?:[A-Za-z0-9-]*[A-Za-z0-9])?(?:\.[A-Za-z0-9](?:[A-Za-z0-9-]*[A-Za-z0-9])?)*"
    r"|\[[0-9a-fA-F:]+\])(?::(?P<port>[0-9]{1,5}))?"
)
_COMPONENT = r"[a-z0-9]+(?:(?:\.|_|__|-+)[a-z0-9]+)*"
_REPOSITORY = re.compile(rf"{_COMPONENT}(?:/{_COMPONENT})*")
_TAG = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._-]{0,127}")
NAME_LIMIT = 255  # host + "/" + repository: the cap of many clients (spec.md, "Pulling manifests")
_SHOWN = 300  # characters of a refused text
_LOGIN = re.compile(r"\A[^:]*:.*@(?!sha\d)", re.DOTALL)  # user:password@ before a host: never shown


@dataclass(frozen=True)
class ImageReference:
    """One image as asked for: registry, repository, and a tag, a digest or both.

    `str()` gives the canonical text, with the registry always named; `parse(str(x)) == x`.
    """

    registry: str
    repository: str
    tag: str | None = None
    digest: Digest | None = None

    @classmethod
    def parse(cls, text: str) -> Self:
        """The reference that `text` means; raises `MalformedReferenceError` where it means none."""
        rest, at, digest_text = text.partition("@")
        digest = _parse_digest(digest_text, text) if at else None
        rest, tag = _split_tag(rest, text)
        if not rest:
            raise _malformed(text, "it names no repository")
        registry, repository = _split_registry(rest)
        if tag is None and digest is None:
            tag = "latest"
        _check(registry, repository, tag, text)
        return cls(registry, repository, tag, digest)

    @property
    def name(self) -> str:
        """Registry and repository, without tag and digest."""
        return f"{self.registry}/{self.repository}"

    @property
    def selector(self) -> str:
        """What the manifest is asked for by: the digest where there is one, else the tag."""
        return self.digest or self.tag or "latest"

    def without_digest(self) -> Self:
        """The same reference by tag only (unchanged where it has no tag)."""
        return replace(self, digest=None) if self.tag else self

    def __str__(self) -> str:
        tag = f":{self.tag}" if self.tag else ""
        digest = f"@{self.digest}" if self.digest else ""
        return f"{self.name}{tag}{digest}"


def is_repository(text: str) -> bool:
    """Whether `text` is a repository name."""
    return _REPOSITORY.fullmatch(text) is not None


def is_registry(text: str) -> bool:
    """Whether `text` is a host with an optional port."""
    found = _HOST.fullmatch(text)
    return found is not None and 0 < int(found["port"] or 443) < 2**16


def names_registry(first: str) -> bool:
    """Whether `first`, what stands before the first slash, names a registry and not a part of a repository."""
    return "." in first or ":" in first or first == "localhost"


def is_tag(text: str) -> bool:
    """Whether `text` is a tag."""
    return _TAG.fullmatch(text) is not None


def canonical_registry(host: str) -> str:
    """One spelling per registry: lower case, and `docker.io` for each of Docker Hub's names."""
    lowered = host.lower() if host.isascii() else host  # some letters that are not ASCII become ones that are
    return DOCKER_HUB if lowered in _DOCKER_HUB_ALIASES else lowered


def _parse_digest(digest: str, text: str) -> Digest:
    try:
        return Digest(digest)
    except MalformedReferenceError as error:
        raise _malformed(text, "what follows the @ is not a digest", error.hint) from None


def _split_tag(name: str, text: str) -> tuple[str, str | None]:
    head, colon, tail = name.rpartition(":")
    if not colon or "/" in tail:
        return name, None
    if not is_tag(tail):
        raise _malformed(text, f"{for_message(tail)!r} is not a tag")
    return head, tail


def _split_registry(name: str) -> tuple[str, str]:
    first, slash, rest = name.partition("/")
    if slash and names_registry(first):
        registry, repository = canonical_registry(first), rest
    else:
        registry, repository = DOCKER_HUB, name
    if registry == DOCKER_HUB and "/" not in repository:
        repository = f"library/{repository}"
    return registry, repository


def _check(registry: str, repository: str, tag: str | None, text: str) -> None:
    if len(registry) + 1 + len(repository) > NAME_LIMIT:
        raise _malformed(text, f"its name is longer than {NAME_LIMIT} characters")
    if not is_registry(registry):
        raise _malformed(text, f"{registry!r} is not a registry host")
    if not is_repository(repository):
        raise _malformed(text, f"{repository!r} is not a repository name")
    if tag is not None and not is_tag(tag):
        raise _malformed(text, f"{tag!r} is not a tag")


def _malformed(text: str, reason: str, hint: str | None = None) -> MalformedReferenceError:
    return MalformedReferenceError(
        f"{for_message(text)!r} is not an image reference: {reason}",
        hint=hint or "write it as registry/repository:tag or registry/repository@sha256:…, in lower case, no scheme",
    )


def for_message(text: str) -> str:
    """What a message may show of a refused `text`: not all of a long one, and nothing that may be a login."""
    plain = _LOGIN.sub("…@", text)
    return plain if len(plain) <= _SHOWN else plain[:_SHOWN] + "…"
