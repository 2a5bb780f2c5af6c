"""Versions and ranges mean what they mean to Helm."""

import pytest

from edgelift.charts.versions import Version, choose_version, is_range

OFFERED = ("2.0.0", "1.10.0", "1.9.3", "1.9.2", "1.2.0", "1.0.0", "0.3.1", "0.3.0", "0.2.9", "0.0.3", "0.0.2")
PRE = ("2.1.0-rc.2", "2.1.0-rc.1", "2.1.0-alpha", "2.0.0", "1.0.0-beta")

RANGES = {
    "^1.2": "1.10.0",
    "^1": "1.10.0",
    "^1.x": "1.10.0",
    "^0.3.0": "0.3.1",
    "^0.2": "0.2.9",
    "^0.0.2": "0.0.2",
    "^0": "0.3.1",
    "~1.9": "1.9.3",
    "~1.9.2": "1.9.3",
    "~1": "1.10.0",
    "~>1.9.0": "1.9.3",
    ">=1 <2": "1.10.0",
    ">=1, <1.9.3": "1.9.2",
    ">= 1.0.0, < 1.9": "1.2.0",
    "<1": "0.3.1",
    "<=1.9": "1.9.3",
    "<=1": "1.10.0",
    ">1": "2.0.0",
    ">1.9": "2.0.0",
    ">1.9.2 <2": "1.10.0",
    "=>1.9.3 =<1.9.3": "1.9.3",
    "1.x": "1.10.0",
    "1.9.x": "1.9.3",
    "1.X.X": "1.10.0",
    "1.*": "1.10.0",
    "1": "1.10.0",
    "1.9": "1.9.3",
    "*": "2.0.0",
    "x": "2.0.0",
    "1.0 - 1.9.2": "1.9.2",
    "1.0.0 - 1.2": "1.2.0",
    "0.2.x || 0.0.x": "0.2.9",
    "3.x || ^1.9": "1.10.0",
    "!=2.0.0": "1.10.0",
    "!=2.x <1.10": "1.9.3",
    "=1.2.0": "1.2.0",
    "v1.2.0": "1.2.0",
    "1.2.0": "1.2.0",
}


@pytest.mark.parametrize(("asked", "chosen"), RANGES.items(), ids=RANGES)
def test_the_greatest_version_in_a_range_is_chosen(asked: str, chosen: str) -> None:
    """Every form of range that Helm knows gives the greatest version in it."""
    assert choose_version(asked, OFFERED) == chosen


NOTHING = ("3.x", ">2", "^3", "1.2.1", "nonsense", ">", "1..2", "", ">=1 nonsense", "1.2.3.4", "1 || ", "x" * 300)


@pytest.mark.parametrize("asked", NOTHING)
def test_what_is_not_there_or_no_range_chooses_nothing(asked: str) -> None:
    """Neither an empty range nor a text that is none gives a version."""
    assert choose_version(asked, OFFERED) is None


PRE_RELEASES = {
    "*": "2.0.0",
    ">=1": "2.0.0",
    ">=2.1.0-0": "2.1.0-rc.2",
    "^2.1.0-alpha": "2.1.0-rc.2",
    "~2.1.0-rc.1": "2.1.0-rc.2",
    ">1.0.0-alpha <2": "1.0.0-beta",
    "2.1.0-alpha": "2.1.0-alpha",
    "!=2.0.0": None,
}


@pytest.mark.parametrize(("asked", "chosen"), PRE_RELEASES.items(), ids=PRE_RELEASES)
def test_a_pre_release_is_chosen_only_where_one_is_named(asked: str, chosen: str | None) -> None:
    """A range without a pre-release in it holds none."""
    assert choose_version(asked, PRE) == chosen


SPELLINGS = {
    "with v, asked without": ("1.2.3", ("v1.2.4", "v1.2.3"), "v1.2.3"),
    "without v, asked with": ("v1.2.3", ("1.2.4", "1.2.3"), "1.2.3"),
    "what follows a plus does not count": ("1.2.3", ("1.2.4", "1.2.3+k3s1"), "1.2.3+k3s1"),
    "but may be asked for": ("1.2.3+b", ("1.2.3+a", "1.2.3+b"), "1.2.3+b"),
    "no version, but there": ("nightly", ("1.0.0", "nightly"), "nightly"),
    "what is no version is passed over": ("*", ("nightly", "1.0.0"), "1.0.0"),
    "short versions": ("^1.1", ("1", "1.1", "1.2"), "1.2"),
}


@pytest.mark.parametrize(("asked", "offered", "chosen"), SPELLINGS.values(), ids=SPELLINGS)
def test_versions_have_several_spellings(asked: str, offered: tuple[str, ...], chosen: str) -> None:
    """A version is found however it is written, and given as it is offered."""
    assert choose_version(asked, offered) == chosen


def test_versions_have_an_order() -> None:
    """Numbers count as numbers, pre-releases come before their release (semver.org, 11)."""
    texts = ["1.0.0-alpha", "1.0.0-alpha.1", "1.0.0-alpha.beta", "1.0.0-beta", "1.0.0-beta.2", "1.0.0-beta.11"]
    texts += ["1.0.0-rc.1", "1.0.0", "1.2", "1.10.0", "2"]
    versions = [Version.parse(text) for text in texts]
    assert sorted({*versions}, key=lambda each: each or Version(0)) == versions


@pytest.mark.parametrize(
    ("text", "expected"),
    {"1.2.3": False, "v1.2.3+a": False, "=1.2.3": False, "1.2": True, "*": True, "nightly": False}.items(),
)
def test_only_ranges_need_to_know_what_there_is(text: str, expected: bool) -> None:
    """One whole version can be asked for by its name."""
    assert is_range(text) is expected
