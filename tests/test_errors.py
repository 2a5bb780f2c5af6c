"""The error tree: what every error carries, prints, and keeps on its way between processes."""

import copy
import pickle
import re

import pytest

import edgelift.errors
from edgelift.errors import (
    ConfigurationError,
    EdgeliftError,
    IncompleteError,
    ManyError,
    NotFoundError,
    PaletteError,
    PlanError,
    RefusedError,
    RegistryError,
    UnreachableError,
)

CLASSES = {
    name: value
    for name, value in vars(edgelift.errors).items()
    if isinstance(value, type) and issubclass(value, EdgeliftError)
}


def make_error(kind: type[EdgeliftError]) -> EdgeliftError:
    """An error of `kind` with everything set that it can carry."""
    if issubclass(kind, ManyError):
        return kind("2 of 3 are missing", ["a: gone", "b: denied\n  → log in"], hint="run it again")
    if issubclass(kind, RegistryError):
        return kind("no", hint="ask", retryable=True, status=429, code="TOOMANYREQUESTS")
    if issubclass(kind, PaletteError):
        return kind("no", hint="ask", retryable=True, status=503)
    return kind("no", hint="ask", retryable=True)


@pytest.mark.parametrize("protocol", [2, pickle.HIGHEST_PROTOCOL])
@pytest.mark.parametrize("kind", CLASSES.values(), ids=CLASSES)
def test_every_error_pickles(kind: type[EdgeliftError], protocol: int) -> None:
    """Prefect carries errors between processes: nothing is lost on the way."""
    error = make_error(kind)
    error.add_note("seen by the pull")

    journeys = [pickle.loads(pickle.dumps(error, protocol)), copy.copy(error), copy.deepcopy(error)]

    assert [kind] * 3 == [type(each) for each in journeys]
    carried = vars(error) | {"retryable": error.retryable}
    assert [carried] * 3 == [vars(each) for each in journeys]
    assert [str(error)] * 3 == [str(each) for each in journeys]


@pytest.mark.parametrize("kind", CLASSES.values(), ids=CLASSES)
def test_every_error_prints_its_message_and_its_hint(kind: type[EdgeliftError]) -> None:
    """What happened comes first, the next step last, behind an arrow."""
    error = make_error(kind)
    lines = str(error).splitlines()

    assert (error.message, f"  → {error.hint}") == (lines[0], lines[-1])


def test_an_error_without_a_hint_is_its_message() -> None:
    """There is no arrow to nowhere."""
    assert [str(EdgeliftError("no")), str(ManyError("no", ["a"]))] == ["no", "no\n  - a"]


def test_failures_are_listed_with_their_own_hints() -> None:
    """Each failure has a line; its own hint stays below it and is not taken for the hint on the whole."""
    failures = ["a: gone", f"b: {ConfigurationError('no login', hint='log in')}"]
    error = IncompleteError("2 of 3 failed", failures, hint="x")

    assert str(error).splitlines() == ["2 of 3 failed", "  - a: gone", "  - b: no login", "    → log in", "  → x"]


def test_failures_cannot_be_changed() -> None:
    """The list that was given may change; the error does not."""
    failures = ["a"]
    error = PlanError("no", failures)
    failures.append("b")

    assert error.failures == ("a",)


EXIT_CODES = {
    **dict.fromkeys(("ConfigurationError", "MalformedReferenceError", "ProfileError", "SitesError"), 2),
    **dict.fromkeys(("IncompleteError", "WindowClosedError"), 3),
}


def test_exit_codes() -> None:
    """2 for what the caller has to mend, 3 for work that a re-run continues, 1 for the rest."""
    assert {name: EXIT_CODES.get(name, 1) for name in CLASSES} == {n: kind.exit_code for n, kind in CLASSES.items()}


def test_what_is_worth_another_try() -> None:
    """Only a server that did not answer is, unless whoever raises the error knows better."""
    by_default = {name for name, kind in CLASSES.items() if kind.retryable}

    assert by_default == {"UnreachableError"}
    assert [
        UnreachableError("no", retryable=False).retryable,
        UnreachableError("no").retryable,
        NotFoundError("no", retryable=True).retryable,
    ] == [False, True, True]


CODES = {"MANIFEST_BLOB_UNKNOWN": True, "BLOB_UNKNOWN": True, "MANIFEST_UNKNOWN": False, None: False}


@pytest.mark.parametrize(("code", "expected"), CODES.items(), ids=str)
def test_a_registry_that_misses_a_blob_says_so(code: str | None, expected: bool) -> None:
    """The registry's own code tells that content has to be sent first."""
    assert expected == RefusedError("no", code=code).says_blob_unknown


def test_the_tree_is_drawn_as_it_is() -> None:
    """The module's text shows every class, below the one that it comes from."""
    drawing = re.findall(r"^    ([│├└─ ]*)(\w+Error)\b", edgelift.errors.__doc__ or "", re.MULTILINE)
    above: dict[int, str] = {-1: "Exception"}
    drawn = {}
    for branch, name in drawing:
        depth = len(branch) // 4
        above[depth] = name
        drawn[name] = above[depth - 1]

    assert drawn == {name: kind.__base__.__name__ for name, kind in CLASSES.items() if kind.__base__ is not None}
