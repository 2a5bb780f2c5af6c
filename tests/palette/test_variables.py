"""Values of variables: what a profile says about them is held against what a site gives them."""

import pytest

from edgelift.palette.models import ProfileVariable
from edgelift.palette.resolve import resolve_profiles
from edgelift.palette.variables import explain_refusal, matches
from tests.palette.builders import image_values, make_pack, make_profile, messages, references

FORMATS = {
    "string": (["", "anything at all"], []),
    "number": (["1", "-1.5", "1e3"], ["one", "", "1.2.3"]),
    "boolean": (["true", "false"], ["yes", "True", ""]),
    "ipv4": (["10.0.0.1", "0.0.0.0"], ["10.0.0.256", "10.0.0.0/8", "::1"]),
    "ipv4cidr": (["10.0.0.0/8", "10.1.2.3/24"], ["10.0.0.1", "10.0.0.0/33"]),
    "ipv6": (["::1", "2001:db8::1"], ["10.0.0.1", "2001:db8"]),
    "version": (["1.32.1", "v1.2", "1.31.2-rev2", "2"], ["latest", "1..2", ""]),
    "base64": (["aGVsbG8=", ""], ["hello!", "aGVsbG8"]),
    "a format of tomorrow": (["anything"], []),
}


@pytest.mark.parametrize("kind", FORMATS)
def test_a_value_has_the_format_of_its_variable(kind: str) -> None:
    """What Palette's form would take is taken, and what it would refuse is refused."""
    variable = ProfileVariable(name="X", format=kind)
    good, bad = FORMATS[kind]

    assert [explain_refusal(variable, value) for value in good] == [None] * len(good)
    assert [explain_refusal(variable, value) for value in bad] == [f"it has to be of the format {kind}"] * len(bad)


def test_a_value_is_one_of_the_options() -> None:
    """A list to choose from is named in full."""
    variable = ProfileVariable.model_validate({"name": "X", "options": [{"value": "small"}, {"value": "large"}]})

    assert explain_refusal(variable, "small") is None
    assert explain_refusal(variable, "medium") == "it has to be one of small, large"


PATTERNS = {
    "it matches": ("^v[0-9]+$", "v12", True),
    "it matches a part": ("[0-9]", "v12", True),
    "it does not": ("^v[0-9]+$", "12", False),
    "another dialect": ("\\pL+", "abc", None),
    "no pattern at all": ("(", "abc", None),
}


@pytest.mark.parametrize(("pattern", "text", "expected"), PATTERNS.values(), ids=PATTERNS)
def test_a_pattern_is_held_against_a_value(pattern: str, text: str, expected: bool | None) -> None:
    """Patterns are Go's; one that cannot be read here is not held against anything."""
    assert matches(pattern, text) is expected


def test_a_pattern_that_takes_for_ever_is_given_up() -> None:
    """A hostile pattern costs its patience, and no more."""
    assert matches("^(a+)+$", "a" * 200 + "!", patience=0.5) is None


def test_a_value_that_differs_from_the_pattern_is_refused() -> None:
    """The reason shows the pattern, never the value."""
    assert explain_refusal(ProfileVariable(name="X", regex="^v"), "1") == "it has to match ^v"


OVERRIDES = {"with its kind": "var.TAG", "bare": "TAG", "as a macro": "{{ .spectro.var.TAG }}"}


@pytest.mark.parametrize("name", OVERRIDES.values(), ids=OVERRIDES)
def test_a_site_gives_a_variable_its_own_value(name: str) -> None:
    """The value of the site takes the place of the default, however the setting is written."""
    variable = ProfileVariable(name="TAG", default_value="1.0", format="version")
    profile = make_profile(make_pack(image_values("'quay.io/x:{{ .spectro.var.TAG }}'")), variables=(variable,))

    assert references(resolve_profiles([profile], {name: "2.0"})) == ["quay.io/x:2.0"]
    (message,) = messages(resolve_profiles([profile], {name: "hunter2"}))
    assert message.startswith("site@1.0.0 > variable TAG: this variable cannot have the value that it is given: ")
    assert "hunter2" not in message


def test_a_setting_that_nothing_asks_for_is_named() -> None:
    """It may be misspelt, and then the default would be carried in silence."""
    profile = make_profile(make_pack(image_values("quay.io/x:1")))
    resolution = resolve_profiles([profile], {"var.TAGG": "2.0"})

    assert messages(resolution, "warning") == [
        "no macro of these profiles' images or charts asks for the setting var.TAGG"
    ]
