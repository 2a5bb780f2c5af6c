"""YAML of strangers, read as it comes: every scalar is text, nothing is expanded, what is not wanted costs no memory.

An index of twenty thousand charts is gone through in seconds this way, where a tree of it would take a gigabyte.
"""

from collections.abc import Iterator
from typing import Any

import yaml

from edgelift.errors import RegistryError

try:
    from yaml import CSafeLoader as _Loader
except ImportError:  # PyYAML built without libyaml: ten times slower, the same result
    from yaml import SafeLoader as _Loader  # type: ignore[assignment]  # same interface

_DEPTH_LIMIT = 100
_NULLS = frozenset({"", "~", "null", "Null", "NULL"})


class YamlReader:
    """The events of one document, forward only. Every method raises `RegistryError`, which names `where` alone."""

    def __init__(self, content: bytes, where: str) -> None:
        self._where = where
        self._events = yaml.parse(content, _Loader)
        self._depth = 0
        while isinstance(event := self._next(), yaml.StreamStartEvent | yaml.DocumentStartEvent):
            pass
        self.root: yaml.Event = event

    def mapping(self, event: yaml.Event) -> Iterator[tuple[str, yaml.Event]]:
        """The keys of the mapping that begins with `event`, each with the event that its value begins with.

        Nothing, where it is no mapping. A value has to be read, or passed over (`skip`), before the next key.
        """
        if not isinstance(event, yaml.MappingStartEvent):
            self.skip(event)
            return
        while not isinstance(key := self._next(), yaml.MappingEndEvent):
            name = self.text(key)
            value = self._next()
            if name is None:
                self.skip(value)
            else:
                yield name, value

    def sequence(self, event: yaml.Event) -> Iterator[yaml.Event]:
        """What each entry of the sequence that begins with `event` begins with; as with `mapping`."""
        if not isinstance(event, yaml.SequenceStartEvent):
            self.skip(event)
            return
        while not isinstance(entry := self._next(), yaml.SequenceEndEvent):
            yield entry

    def text(self, event: yaml.Event) -> str | None:
        """The scalar at `event` as it is written; None where it is null, or something else, which is passed over."""
        if not isinstance(event, yaml.ScalarEvent):
            self.skip(event)
            return None
        is_plain = not event.style
        return None if is_plain and event.value in _NULLS else str(event.value)

    def tree(self, event: yaml.Event) -> Any:
        """All that begins with `event` as mappings, lists, texts and None; an alias, whatever it repeats, is None."""
        if isinstance(event, yaml.MappingStartEvent):
            return {key: self.tree(value) for key, value in self.mapping(event)}
        if isinstance(event, yaml.SequenceStartEvent):
            return [self.tree(entry) for entry in self.sequence(event)]
        return self.text(event)

    def skip(self, event: yaml.Event) -> None:
        """Pass over all that begins with `event`."""
        if isinstance(event, yaml.CollectionStartEvent):
            end = self._depth - 1
            while self._depth > end:
                self._next()

    def _next(self) -> yaml.Event:
        try:
            event = next(self._events)
        except StopIteration:
            raise RegistryError(f"{self._where} holds no YAML document") from None
        except (yaml.YAMLError, ValueError, RecursionError):  # ValueError: bytes that are no text
            raise RegistryError(
                f"{self._where} is not YAML", hint="a proxy, or a page that asks for a login, may have answered"
            ) from None
        self._depth += isinstance(event, yaml.CollectionStartEvent) - isinstance(event, yaml.CollectionEndEvent)
        if self._depth > _DEPTH_LIMIT:
            raise RegistryError(f"{self._where} is nested more than {_DEPTH_LIMIT} deep")
        return event
