"""Functions of macros: what each makes of its arguments is what Sprig's documentation says, and no more is taken."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgelift.palette.pipes import FUNCTIONS, Word, apply_function, parse_pipeline

# (function, arguments, result), after the examples of Sprig's documentation where it has one.
RESULTS = {
    "default of nothing": ("default", ["foo", ""], "foo"),
    "default of something": ("default", ["foo", "bar"], "bar"),
    "lower": ("lower", ["HELLO"], "hello"),
    "upper": ("upper", ["hello"], "HELLO"),
    "trim": ("trim", ["   hello    "], "hello"),
    "trimAll": ("trimAll", ["$", "$5.00$"], "5.00"),
    "trimAll of several": ("trimAll", ["-v", "v1-v"], "1"),
    "trimAll of nothing": ("trimAll", ["", " a "], " a "),
    "trimPrefix": ("trimPrefix", ["-", "-hello"], "hello"),
    "trimPrefix that is not there": ("trimPrefix", ["v", "1.0"], "1.0"),
    "trimSuffix": ("trimSuffix", ["-", "hello-"], "hello"),
    "trunc": ("trunc", ["5", "hello world"], "hello"),
    "trunc from the end": ("trunc", ["-5", "hello world"], "world"),
    "trunc of a short text": ("trunc", ["-9", "hello"], "hello"),
    "trunc to nothing": ("trunc", ["0", "hello"], ""),
    "substr": ("substr", ["0", "5", "hello world"], "hello"),
    "substr to the end": ("substr", ["2", "-1", "hello"], "llo"),
    "replace": ("replace", [" ", "-", "I Am Henry VIII"], "I-Am-Henry-VIII"),
    "replace everywhere": ("replace", [".", "", "1.32.1"], "1321"),
    "quote": ("quote", ['say "x"'], '"say \\"x\\""'),
    "squote": ("squote", ["x"], "'x'"),
    "printf": ("printf", ["%s-%v:%d", "a", "b", "3"], "a-b:3"),
    "printf of a percent sign": ("printf", ["100%%"], "100%"),
    "printf in quotes": ("printf", ["%q", "x"], '"x"'),
}


@pytest.mark.parametrize(("name", "arguments", "expected"), RESULTS.values(), ids=RESULTS)
def test_a_function_does_what_sprig_says(name: str, arguments: list[str], expected: str) -> None:
    """The result for these arguments."""
    assert apply_function(name, arguments) == expected


REFUSED = {
    "too few": ("replace", ["a", "b"]),
    "too many": ("lower", ["a", "b"]),
    "no number": ("trunc", ["x", "hello"]),
    "printf with too little": ("printf", ["%s%s", "a"]),
    "printf with too much": ("printf", ["%s", "a", "b"]),
    "printf without a form": ("printf", []),
    "a verb that is not known": ("printf", ["%x", "a"]),
    "a verb that is cut off": ("printf", ["%"]),
    "a number that is none": ("printf", ["%d", "a"]),
    "growing without end": ("replace", ["", "x" * 8000, "y" * 8000]),
}


@pytest.mark.parametrize(("name", "arguments"), REFUSED.values(), ids=REFUSED)
def test_a_function_refuses_what_it_does_not_take(name: str, arguments: list[str]) -> None:
    """Where Go would fail, or print its complaint into the text, there is no result."""
    assert apply_function(name, arguments) is None


PARSED = {
    "macro alone": (".spectro.var.A", [[Word("macro", ".spectro.var.A")]]),
    "a pipe without spaces": (".spectro.var.A|lower", [[Word("macro", ".spectro.var.A")], [Word("name", "lower")]]),
    "a pipe in quotes": (
        '.spectro.var.A | trimAll "|"',
        [[Word("macro", ".spectro.var.A")], [Word("name", "trimAll"), Word("text", "|")]],
    ),
    "raw text": ("trimPrefix `v\\` .spectro.var.A", [
        [Word("name", "trimPrefix"), Word("text", "v\\"), Word("macro", ".spectro.var.A")],
    ]),
    "escaped quotes": ('trimPrefix "\\"" .spectro.var.A', [
        [Word("name", "trimPrefix"), Word("text", '"'), Word("macro", ".spectro.var.A")],
    ]),
    "numbers": (".spectro.var.A | substr 0 -1", [
        [Word("macro", ".spectro.var.A")],
        [Word("name", "substr"), Word("number", "0"), Word("number", "-1")],
    ]),
}  # fmt: skip


@pytest.mark.parametrize(("text", "expected"), PARSED.values(), ids=PARSED)
def test_a_pipeline_is_read_word_by_word(text: str, expected: list[list[Word]]) -> None:
    """Values, texts, numbers and functions are told apart."""
    assert parse_pipeline(text) == expected


@pytest.mark.parametrize(
    "text",
    ["", "|", ".spectro.var.A |", "| lower", '"x"', ".Values.tag", "'v' .spectro.var.A", '"open .spectro.var.A',
     "(lower .spectro.var.A)", '.spectro.var.A | trimPrefix "\\x"', "1.5 .spectro.var.A", '"a""b" .spectro.var.A'],
)  # fmt: skip
def test_what_is_no_pipeline_is_told_apart(text: str) -> None:
    """Helm's templates, parentheses and half a text are none of Palette's macros."""
    assert parse_pipeline(text) is None


@given(st.sampled_from(sorted(FUNCTIONS)), st.lists(st.text(max_size=9), max_size=4))
def test_no_argument_breaks_a_function(name: str, arguments: list[str]) -> None:
    """Whatever it is given, there is a text or none."""
    assert isinstance(apply_function(name, arguments), str | None)
