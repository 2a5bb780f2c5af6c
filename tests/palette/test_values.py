"""Pack values are raw text: no scalar has a type, macros need no quotes, and errors point at line and column."""

import pytest

from edgelift.errors import ProfileError
from edgelift.palette.values import find_lines, load_documents, load_values

RAW = {
    "float that would lose its zero": ("tag: 1.10", "1.10"),
    "octal number": ("tag: 0777", "0777"),
    "YAML 1.1 boolean": ("tag: yes", "yes"),
    "date": ("tag: 2024-01-01", "2024-01-01"),
    "number in base sixty": ("tag: 12:30:45", "12:30:45"),
    "explicit type": ("tag: !!float 1.10", "1.10"),
    "unknown type": ("tag: !vault 1.10", "1.10"),
    "exponent": ("tag: 1e3", "1e3"),
    "text that begins like null": ("tag: nginx", "nginx"),
    "quoted null": ("tag: 'null'", "null"),
    "null": ("tag: null", None),
    "tilde": ("tag: ~", None),
    "nothing": ("tag:", None),
    "curly quotes": ("tag: “1.0”", "1.0"),
    "single curly quotes": ("tag: ‘1.0’", "1.0"),  # noqa: RUF001
    "curly quotes around nothing": ("tag: “”", ""),
    "curly quotes inside straight ones": ("tag: '“1.0”'", "“1.0”"),
    "curly quotes inside a text": ("tag: a “b” c", "a “b” c"),
    "two texts in curly quotes": ("tag: “a” “b”", "“a” “b”"),
    "bare macro in curly quotes": ("tag: “{{ .spectro.var.A }}:1”", "{{ .spectro.var.A }}:1"),
    "bare macro": ("tag: {{ .spectro.var.TAG }}", "{{ .spectro.var.TAG }}"),
    "bare macros in text": ("tag: {{.spectro.var.A}}:{{.spectro.var.B}} #x", "{{.spectro.var.A}}:{{.spectro.var.B}}"),
    "bare macro with quotes inside": ("tag: {{ .spectro.var.A | x 'y' }}", "{{ .spectro.var.A | x 'y' }}"),
    "bare macro, Windows line ends": ("tag: {{ .spectro.var.A }}\r\nother: 1\r\n", "{{ .spectro.var.A }}"),
    "dotted key is one key": ("a.b: {c: 1}\ntag: x", "x"),
    "merge": ("base: &base {tag: inherited}\n<<: *base", "inherited"),
    "merge of several, the first wins": ("<<: [{tag: first}, {tag: second}]", "first"),
    "merge, own key wins": ("<<: {tag: inherited}\ntag: own", "own"),
}  # fmt: skip


@pytest.mark.parametrize(("text", "expected"), RAW.values(), ids=RAW)
def test_a_scalar_is_its_raw_text(text: str, expected: str | None) -> None:
    """What stands in the YAML is what is read, and only a null is nothing."""
    assert load_values(text)["tag"] == expected


def test_bare_macros_in_lists_are_text() -> None:
    """A macro without quotes is text as a list entry and as a value inside a list entry too."""
    tree = load_values("images:\n- image: {{ .spectro.var.A }}\n- {{ .spectro.var.B }}\n")
    assert tree["images"] == [{"image": "{{ .spectro.var.A }}"}, "{{ .spectro.var.B }}"]


def test_quoted_macros_stay_as_they_are_beside_bare_ones() -> None:
    """Mending a bare macro leaves quoted ones alone."""
    tree = load_values("a: {{ .spectro.var.A }}\nb: \"{{ .spectro.var.B }}\"\nc: 'x{{ .spectro.var.C }}'\n")
    assert tree == {"a": "{{ .spectro.var.A }}", "b": "{{ .spectro.var.B }}", "c": "x{{ .spectro.var.C }}"}


@pytest.mark.parametrize("text", ["", "\n", "# only a comment\n", "---\n"])
def test_empty_values_are_an_empty_tree(text: str) -> None:
    """Packs with an empty values file declare nothing."""
    assert load_values(text) == {}


BROKEN = {
    "tab as indentation": ("a:\n\tb: 1\n", "line 2, column 1"),
    "quote never closed": ("a: 1\nb: 'x\n", "line 3, column 1"),
    "unknown anchor": ("a: *missing\n", "line 1, column 4"),
    "second document": ("a: 1\n---\nb: 2\n", "line 2, column 1"),
    "control character": ("a: 1\nb: \x01\n", "line 2"),
    "anchor inside itself": ("a: &a {b: *a}\n", "line 1, column 4"),
    "list": ("- a\n", "not a YAML mapping"),
    "bare macro in a flow list": ("a: 1\nb: [{{ .spectro.var.A }}]\n", "line 2, column 6"),
    "nested absurdly deep": ("a: " + "[" * 200_000, "nested more than 100 deep"),
}


@pytest.mark.parametrize(("text", "place"), BROKEN.values(), ids=BROKEN)
def test_broken_values_say_where(text: str, place: str) -> None:
    """Every kind of broken YAML is one of our errors, with the place."""
    with pytest.raises(ProfileError) as caught:
        load_values(text)
    assert place in caught.value.message


def test_an_error_never_quotes_the_values() -> None:
    """Values may hold passwords, so that a message about broken ones shows none of them."""
    with pytest.raises(ProfileError) as caught:
        load_values("password: hunter2\nother: 'hunter2\n")
    assert "hunter2" not in str(caught.value)


def test_curly_quotes_near_an_error_are_named() -> None:
    """Values pasted from a document that made its quotes curly get told so."""
    with pytest.raises(ProfileError) as caught:
        load_values("a: 1\nb: “x: ” : y\n")
    assert caught.value.hint == "replace the curly quotes there by straight ones"


FLAT = "".join(f"x{n}: &x{n} {{<<: [*x{n - 1}, *x{n - 1}]}}\n" for n in range(1, 60))


def test_merges_of_merges_cost_nothing() -> None:
    """Anchors that double at each step, sixty steps deep, are still read at once."""
    assert load_values(f"x0: &x0 {{a: 1}}\n{FLAT}")["x59"] == {"a": "1"}


LINES = {
    "one line": ("a\nb: x\nc", r"b:", [2]),
    "none": ("a\nb", r"c", []),
    "several": ("x\nx", r"x", [1, 2]),
    "at the margin": ("pack:\n  content:\ncontent:\n", r"^content\s*:", [3]),
}


@pytest.mark.parametrize(("text", "pattern", "expected"), LINES.values(), ids=LINES)
def test_lines_are_found_by_a_pattern(text: str, pattern: str, expected: list[int]) -> None:
    """Every line that matches is numbered, from 1."""
    assert find_lines(text, pattern) == expected


def test_several_documents_are_read_in_turn() -> None:
    """Kubernetes puts many objects into one file; macros without quotes are text there, too."""
    assert load_documents("a: 1.10\n---\nb: {{ .spectro.var.B }}\n---\n") == [
        {"a": "1.10"},
        {"b": "{{ .spectro.var.B }}"},
        None,
    ]
