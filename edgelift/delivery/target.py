"""Where a reference lands at the target registry. Pure: names in, names out.

The default keeps the source host as a path component, as Palette's external registries expect it; mapping rules
replace the longest matching source prefix instead (Palette's `registryMappingRules`).
"""

import re
from dataclasses import dataclass
from typing import Self

from edgelift.errors import ConfigurationError, MalformedReferenceError
from edgelift.oci.digest import Digest
from edgelift.oci.reference import (
    DOCKER_HUB,
    NAME_LIMIT,
    ImageReference,
    canonical_registry,
    is_registry,
    is_repository,
)

KEEP_TAG = "edgelift-"  # Zot and Harbor delete untagged manifests, so a digest-only reference gets a tag


@dataclass(frozen=True)
class MappingRule:
    """Replace the source prefix `source` (host and path) by `target`, a repository path on the target registry."""

    source: str
    target: str

    @classmethod
    def parse(cls, text: str, registry: str) -> Self:
        """Read `SRC=DST`; DST may name the target `registry` host or leave it out. Raises `ConfigurationError`."""
        source, equals, target = text.partition("=")
        source, target = source.strip().strip("/"), target.strip().strip("/")
        if not equals or not source:
            raise ConfigurationError(
                f"{text!r} is not a mapping rule",
                hint="write it as SRC=DST, for example quay.io/kairos=mirror.example:5000/edge/kairos",
            )
        host, _, path = target.partition("/")
        if host == registry:
            target = path
        elif is_registry(host) and ("." in host or ":" in host or host == "localhost"):
            raise ConfigurationError(
                f"the mapping rule {text!r} leads to the registry {host}, but the target is {registry}",
                hint="a push goes to one registry: name it in --registry, and only paths in the rules",
            )
        if target and not is_repository(target):
            raise ConfigurationError(f"{target!r} in the mapping rule {text!r} is not a repository path")
        first, _, rest = source.partition("/")
        return cls("/".join(part for part in (canonical_registry(first), rest) if part), target)

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
                f"{text!r} is not a target registry",
                hint="write it as HOST[:PORT][/BASE] without a scheme, for example mirror.example:5000/spectro-images",
            )
        registry = canonical_registry(host)
        parsed = tuple(MappingRule.parse(rule, registry) for rule in rules)
        longest_first = sorted(parsed, key=lambda rule: len(rule.source), reverse=True)
        return cls(registry, base, tuple(longest_first), docker_hub_aliases)

    def __str__(self) -> str:
        return f"{self.registry}/{self.base}" if self.base else self.registry

    def names(self, reference: ImageReference, digest: Digest) -> tuple[TargetName, ...]:
        """Every name that `reference` gets, the main one first; raises `MalformedReferenceError` where none is valid.

        `digest` names the keep-tag of a reference that has no tag.
        """
        tag = reference.tag or f"{KEEP_TAG}{digest.hex[:16]}"
        repositories = [self._repository(reference)]
        if self.docker_hub_aliases and reference.registry == DOCKER_HUB and reference.repository.startswith("library/"):
            short = reference.repository.removeprefix("library/")
            repositories.append(self._default(f"{DOCKER_HUB}/{short}"))
        return tuple(TargetName(repository, tag) for repository in repositories)

    def _repository(self, reference: ImageReference) -> str:
        for rule in self.rules:
            mapped = rule.apply(reference.name)
            if mapped is not None:
                return self._checked(mapped, reference.name)
        return self._checked(self._default(reference.name), reference.name)

    def _default(self, name: str) -> str:
        host, _, path = name.partition("/")
        return "/".join(part for part in (self.base, re.sub(":([0-9]+)$", r"_\1", host), path) if part)

    def _checked(self, repository: str, name: str) -> str:
        if is_repository(repository) and len(self.registry) + 1 + len(repository) <= NAME_LIMIT:
            return repository
        raise MalformedReferenceError(
            f"{name} would become {repository!r} at {self.registry}, which is no valid repository name",
            hint="give it another name with a mapping rule, --map SRC=DST",
        )
