"""Where a reference lands at the target registry. Pure: names in, names out.

The default keeps the source host as a path component, as Palette's external registries expect it; mapping rules
replace the longest matching source prefix instead (Palette's `registryMappingRules`).
"""

import re
from dataclasses import dataclass
from typing import Self

from edgelift.bundle.lock import ArtifactKind, LockedImage
from edgelift.errors import ConfigurationError, MalformedReferenceError
from edgelift.oci.digest import Digest
from edgelift.oci.reference import (
    DOCKER_HUB,
    NAME_LIMIT,
    ImageReference,
    canonical_registry,
    for_message,
    is_registry,
    is_repository,
    names_registry,
)
from edgelift.packs.names import repository_of_pack

KEEP_TAG = "edgelift-"  # Zot and Harbor delete untagged manifests, so a digest-only reference gets a tag


@dataclass(frozen=True)
class MappingRule:
    """Replace the source prefix `source` (host and path) by `target`, a repository path on the target registry."""

    source: str
    target: str

    @classmethod
    def parse(cls, text: str, registry: str) -> Self:
        """Read `SRC=DST`; DST may name the target `registry` host or leave it out. Raises `ConfigurationError`."""
        source, _, target = (part.strip().strip("/") for part in text.partition("="))
        host, _, path = source.partition("/")
        if "=" not in text or not (names_registry(host) and is_registry(host)) or (path and not is_repository(path)):
            raise ConfigurationError(
                f"{for_message(text)!r} is not a mapping rule",
                hint="write it as SRC=DST without scheme and tag, for example "
                "quay.io/kairos=mirror.example:5000/edge/kairos; SRC begins with its registry, such as docker.io",
            )
        source = "/".join(part for part in (canonical_registry(host), path) if part)
        return cls(source, _target_path(target, registry, text))

    def apply(self, name: str) -> str | None:
        """The mapped name, or None where the rule does not match `name` on a `/` boundary."""
        if name == self.source:
            return self.target
        if name.startswith(f"{self.source}/"):
            return f"{self.target}{name[len(self.source) :]}".strip("/")
        return None


@dataclass(frozen=True, order=True)
class TargetName:
    """A repository and a tag at the target registry."""

    repository: str
    tag: str

    def __str__(self) -> str:
        return f"{self.repository}:{self.tag}"


@dataclass(frozen=True)
class Target:
    """The registry that content is pushed to, and how names are made there."""

    registry: str
    base: str = ""
    rules: tuple[MappingRule, ...] = ()
    docker_hub_aliases: bool = False

    @classmethod
    def parse(cls, text: str, rules: tuple[str, ...] = (), *, docker_hub_aliases: bool = False) -> Self:
        """Read `HOST[:PORT][/BASE]` and rules `SRC=DST`; raises `ConfigurationError`."""
        host, _, base = text.strip().partition("/")
        base = base.strip("/")
        if "://" in text or not is_registry(host) or (base and not is_repository(base)):
            raise ConfigurationError(
                f"{for_message(text)!r} is not a target registry",
                hint="write it as HOST[:PORT][/BASE] without scheme and login, BASE in lower case, "
                "for example mirror.example:5000/spectro-images",
            )
        registry = canonical_registry(host)
        parsed = [MappingRule.parse(rule, registry) for rule in rules]
        sources = [rule.source for rule in parsed]
        twice = next((source for source in sources if sources.count(source) > 1), None)
        if twice is not None:
            raise ConfigurationError(f"there are several mapping rules for {twice}", hint="keep the one that is meant")
        longest_first = sorted(parsed, key=lambda rule: len(rule.source), reverse=True)
        return cls(registry, base, tuple(longest_first), docker_hub_aliases)

    def __str__(self) -> str:
        return f"{self.registry}/{self.base}" if self.base else self.registry

    def names_of(self, image: LockedImage) -> tuple[TargetName, ...]:
        """Every name that `image` gets: see `names`."""
        return self.names(ImageReference.parse(image.reference), image.descriptor.digest, image.kind)

    def names(
        self, reference: ImageReference, digest: Digest, kind: ArtifactKind | None = None
    ) -> tuple[TargetName, ...]:
        """Every name that `reference` gets, the main one first; raises `MalformedReferenceError` where none is valid.

        `digest` names the keep-tag of a reference that has no tag. A pack is not kept below the host that it comes
        from, but where Palette looks for packs.
        """
        tag = reference.tag or f"{KEEP_TAG}{digest.hex[:16]}"
        sources = [reference.name]
        namespace, _, short = reference.repository.partition("/")
        is_official = reference.registry == DOCKER_HUB and namespace == "library" and "/" not in short
        if self.docker_hub_aliases and is_official and kind is None:
            sources.append(f"{DOCKER_HUB}/{short}")
        return tuple(dict.fromkeys(TargetName(self._repository(source, kind), tag) for source in sources))

    def _repository(self, name: str, kind: ArtifactKind | None) -> str:
        mapped = (rule.apply(name) for rule in self.rules)
        repository = next((path for path in mapped if path is not None), None)
        return self._checked(self._default(name, kind) if repository is None else repository, name)

    def _default(self, name: str, kind: ArtifactKind | None) -> str:
        host, _, path = name.partition("/")
        if kind == "pack":
            return "/".join(part for part in (self.base, repository_of_pack(path)) if part)
        return "/".join(part for part in (self.base, re.sub(":([0-9]+)$", r"_\1", host), path) if part)

    def _checked(self, repository: str, name: str) -> str:
        if not is_repository(repository):
            problem = "which is no valid repository name"
        elif len(self.registry) + 1 + len(repository) > NAME_LIMIT:
            problem = f"which with the registry is longer than {NAME_LIMIT} characters"
        else:
            return repository
        raise MalformedReferenceError(
            f"{name} would become {repository!r} at {self.registry}, {problem}",
            hint="give it another name with a mapping rule SRC=DST",
        )


def _target_path(target: str, registry: str, text: str) -> str:
    host, _, path = target.partition("/")
    if canonical_registry(host) == registry:
        return _checked_path(path, text)
    if names_registry(host) and is_registry(host):
        raise ConfigurationError(
            f"the mapping rule {text!r} leads to the registry {host}, but the target is {registry}",
            hint=f"a push goes to one registry; where {host} is meant as a path, write {registry}/{target}",
        )
    return _checked_path(target, text)


def _checked_path(path: str, text: str) -> str:
    if path and not is_repository(path):
        raise ConfigurationError(
            f"the mapping rule {for_message(text)!r} does not lead to a repository path",
            hint="write DST as a path in lower case, without scheme, login and tag",
        )
    return path
