"""Versions of charts and the ranges that people ask for, as Helm reads them (Masterminds/semver 3). Pure.

`1.2` and `v1.2.0` are versions of three numbers; a range is made of comparisons (`^1.2`, `~1.2`, `>=1 <2`, `1.x`, `*`,
`1.2 - 1.4`), all of which have to hold, and of alternatives between `||`.
"""

import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import total_ordering
from typing import Self

_SUFFIX = r"(?:-(?P<pre>[0-9A-Za-z-]+(?:\.[0-9A-Za-z-]+)*))?(?:\+[0-9A-Za-z-]+(?:\.[0-9A-Za-z-]+)*)?"
_NUMBER = r"[0-9]{1,18}"
_VERSION = re.compile(rf"v?(?P<major>{_NUMBER})(?:\.(?P<minor>{_NUMBER}))?(?:\.(?P<patch>{_NUMBER}))?{_SUFFIX}")
_PART = rf"{_NUMBER}|[xX*]"
_PATTERN = rf"v?(?P<major>{_PART})(?:\.(?P<minor>{_PART}))?(?:\.(?P<patch>{_PART}))?{_SUFFIX}"
_COMPARISON = re.compile(rf"\s*(?P<sign>!=|>=|=>|<=|=<|~>|[=><~^]|)\s*{_PATTERN}(?=[\s,]|\Z)[\s,]*")
_HYPHEN = re.compile(r"(?P<low>[^\s,|]+)\s+-\s+(?P<high>[^\s,|]+)")
_WILD = frozenset({"x", "X", "*", None})
_LONGEST = 256  # characters of a range


@total_ordering
@dataclass(frozen=True)
class Version:
    """A semantic version; what follows a `+` does not count."""

    major: int
    minor: int = 0
    patch: int = 0
    pre: str = ""

    @classmethod
    def parse(cls, text: str) -> Self | None:
        """The version that `text` is, with or without `v` and of one to three numbers; None where it is none."""
        found = _VERSION.fullmatch(text)
        if found is None:
            return None
        major, minor, patch = (int(found[name] or 0) for name in ("major", "minor", "patch"))
        return cls(major, minor, patch, found["pre"] or "")

    def __lt__(self, other: "Version") -> bool:
        return self._rank < other._rank

    @property
    def _rank(self) -> tuple[object, ...]:
        """Pre-releases come before what they lead to; their numbers count as such, and before their words."""
        words = tuple((0, int(each), "") if each.isdecimal() else (1, 0, each) for each in self.pre.split("."))
        return self.major, self.minor, self.patch, not self.pre, words


@dataclass(frozen=True)
class _Comparison:
    """One condition: a sign, and a version of which the last parts may be left open."""

    sign: str
    bound: Version
    is_open: bool = False  # some part is
    is_minor_open: bool = False
    is_patch_open: bool = False

    def allows(self, version: Version) -> bool:
        """Whether `version` is within."""
        return _SIGNS[self.sign](self, version)

    def equals(self, version: Version) -> bool:
        """Whether `version` is the bound, or, where that is open, one of those that begin with it."""
        return self.is_near(version) if self.is_open else version == self.bound

    def differs(self, version: Version) -> bool:
        """The contrary of `equals`."""
        return not self.equals(version)

    def is_below(self, version: Version) -> bool:
        """Whether `version` is greater; `>11` begins with 12, `>11.1` with 11.2."""
        bound = self.bound
        if not self.is_open:
            return version > bound
        if version.major != bound.major:
            return version.major > bound.major
        return self.is_patch_open and version.minor > bound.minor

    def is_above(self, version: Version) -> bool:
        """Whether `version` is less."""
        return version < self.bound

    def is_at_most(self, version: Version) -> bool:
        """Whether `version` is not less."""
        return version >= self.bound

    def is_at_least(self, version: Version) -> bool:
        """Whether `version` is not greater; `<=11` holds all of 11."""
        bound = self.bound
        if not self.is_open:
            return version <= bound
        if version.major != bound.major:
            return version.major < bound.major
        return self.is_minor_open or version.minor <= bound.minor

    def is_near(self, version: Version) -> bool:
        """`~1.2.3`: the last number may grow; `~1`: the last two may."""
        bound = self.bound
        if version < bound:
            return False
        is_any = bound == Version(0) and not (self.is_minor_open or self.is_patch_open)
        return is_any or (version.major == bound.major and (self.is_minor_open or version.minor == bound.minor))

    def is_compatible(self, version: Version) -> bool:
        """`^1.2.3`: all may grow that comes after the first number that is not zero."""
        bound = self.bound
        if version < bound or version.major != bound.major:
            return False
        if bound.major or self.is_minor_open:
            return True
        if bound.minor or self.is_patch_open:
            return version.minor == bound.minor
        return version.minor == 0 and version.patch == bound.patch


_SIGNS: dict[str, Callable[[_Comparison, Version], bool]] = {
    "": _Comparison.equals,
    "=": _Comparison.equals,
    "!=": _Comparison.differs,
    ">": _Comparison.is_below,
    "<": _Comparison.is_above,
    ">=": _Comparison.is_at_most,
    "=>": _Comparison.is_at_most,
    "<=": _Comparison.is_at_least,
    "=<": _Comparison.is_at_least,
    "~": _Comparison.is_near,
    "~>": _Comparison.is_near,
    "^": _Comparison.is_compatible,
}


@dataclass(frozen=True)
class VersionRange:
    """What versions are asked for: alternatives, each of conditions that all have to hold."""

    _alternatives: tuple[tuple[_Comparison, ...], ...]

    @classmethod
    def parse(cls, text: str) -> Self | None:
        """The range that `text` is; None where it is none."""
        if len(text) > _LONGEST:
            return None
        alternatives = [_parse_conditions(part) for part in text.split("||")]
        known = tuple(each for each in alternatives if each)
        return cls(known) if len(known) == len(alternatives) else None

    def allows(self, version: Version) -> bool:
        """Whether `version` is in the range; a pre-release only where one of the conditions names one."""
        return any(
            all(each.allows(version) for each in conditions)
            and (not version.pre or any(each.bound.pre for each in conditions))
            for conditions in self._alternatives
        )

    @property
    def is_single(self) -> bool:
        """Whether it is no range at all, but one whole version."""
        return len(self._alternatives) == 1 and [
            (each.sign in ("", "="), each.is_open) for each in self._alternatives[0]
        ] == [(True, False)]


def choose_version(asked: str, offered: Iterable[str]) -> str | None:
    """Which of the `offered` versions is meant by `asked`: itself, else the greatest in its range; None where none is.

    Where several differ in nothing that counts, the first is.
    """
    listed = list(offered)
    if asked in listed:
        return asked
    wanted = VersionRange.parse(asked)
    if wanted is None:
        return None
    parsed = ((Version.parse(text), text) for text in listed)
    allowed = [(version, text) for version, text in parsed if version is not None and wanted.allows(version)]
    return max(allowed, key=lambda each: each[0])[1] if allowed else None


def is_range(text: str) -> bool:
    """Whether `text` asks for more than one version, so that one has to know which there are."""
    wanted = VersionRange.parse(text)
    return wanted is not None and not wanted.is_single


def _parse_conditions(text: str) -> tuple[_Comparison, ...]:
    """The conditions in `text`; none where it is malformed."""
    text, position, conditions = _HYPHEN.sub(r">=\g<low> <=\g<high>", text.strip()), 0, list[_Comparison]()
    while position < len(text):
        found = _COMPARISON.match(text, position)
        if found is None:
            return ()
        conditions.append(_comparison(found))
        position = found.end()
    return tuple(conditions)


def _comparison(found: re.Match[str]) -> _Comparison:
    major, minor, patch = (None if found[name] in _WILD else int(found[name]) for name in ("major", "minor", "patch"))
    pre = found["pre"] or ""
    if major is None:
        return _Comparison(found["sign"], Version(0, pre=pre), is_open=True)
    if minor is None:
        return _Comparison(found["sign"], Version(major, pre=pre), is_open=True, is_minor_open=True)
    if patch is None:
        return _Comparison(found["sign"], Version(major, minor, pre=pre), is_open=True, is_patch_open=True)
    return _Comparison(found["sign"], Version(major, minor, patch, pre))
