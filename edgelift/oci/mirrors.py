"""Where else the content of a registry is: the rules that say so, as people write them. Pure."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Self

from edgelift.errors import ConfigurationError
from edgelift.oci.reference import (
    NAME_LIMIT,
    canonical_registry,
    for_message,
    is_registry,
    is_repository,
    names_registry,
)


@dataclass(frozen=True, order=True)
class Place:
    """A registry `host`, and where in it the repositories lie that begin with `prefix` in the names that we know.

    The prefix, which may be empty, is replaced by `path`, which may be, too.
    """

    host: str
    prefix: str = ""
    path: str = ""

    def locate(self, repository: str) -> str | None:
        """The name of `repository` at this place; None where it can have none."""
        rest = repository.removeprefix(self.prefix).strip("/")
        located = "/".join(part for part in (self.path, rest) if part)
        return located if is_repository(located) and len(self.host) + 1 + len(located) <= NAME_LIMIT else None

    def __str__(self) -> str:
        return f"{self.host}/{self.path}" if self.path else self.host


@dataclass(frozen=True)
class _Rule:
    source: str
    place: Place

    @classmethod
    def parse(cls, text: str) -> Self:
        source, equals, target = (part.strip().strip("/") for part in text.partition("="))
        (host, _, prefix), (place, _, path) = source.partition("/"), target.partition("/")
        is_named = equals and names_registry(host) and is_registry(host) and is_registry(place)
        if not is_named or not all(is_repository(each) for each in (prefix, path) if each):
            raise ConfigurationError(
                f"{for_message(text)!r} names no mirror",
                hint="write it as SOURCE=HOST[:PORT][/PREFIX] without scheme and tag, for example "
                "docker.io=mirror.example:5000/hub; SOURCE is a registry, or one with a path, such as ghcr.io/team",
            )
        host = canonical_registry(host)
        return cls(f"{host}/{prefix}".strip("/"), Place(canonical_registry(place), prefix, path))

    def matches(self, name: str) -> bool:
        return name == self.source or name.startswith(f"{self.source}/")


@dataclass(frozen=True)
class Mirrors:
    """Which places hold what, besides the registry that references name, or instead of it."""

    _mirrors: tuple[_Rule, ...] = ()
    _rewrites: tuple[_Rule, ...] = ()

    @classmethod
    def parse(cls, mirrors: Sequence[str], rewrites: Sequence[str] = ()) -> Self:
        """Read rules `SOURCE=HOST[:PORT][/PREFIX]`; raises `ConfigurationError`.

        Several `mirrors` of one source are asked in their order, then the original, or what a rewrite names instead.
        """
        replaced = [_Rule.parse(text) for text in rewrites]
        sources = [rule.source for rule in replaced]
        twice = next((source for source in sources if sources.count(source) > 1), None)
        if twice is not None:
            raise ConfigurationError(
                f"there are several rewrites of {twice}",
                hint="keep one of them, and name the others as mirrors, which are asked before it",
            )
        return cls(tuple(_Rule.parse(text) for text in mirrors), tuple(replaced))

    def places(self, host: str, repository: str) -> tuple[Place, ...]:
        """Where to ask for `repository` of the registry `host`, in order: of several sources the longest counts."""
        name = f"{host}/{repository}"
        return (*_of_longest(self._mirrors, name), *(_of_longest(self._rewrites, name) or (Place(host),)))


def _of_longest(rules: Sequence[_Rule], name: str) -> tuple[Place, ...]:
    matching = [rule for rule in rules if rule.matches(name)]
    longest = max((len(rule.source) for rule in matching), default=0)
    return tuple(rule.place for rule in matching if len(rule.source) == longest)
