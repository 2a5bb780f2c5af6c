"""Markup of a page, made so that no text can become markup by mistake: what is not `Markup` is cleaned. Pure."""

from collections.abc import Iterable

from edgelift.treemap.text import clean

_LONGEST = 1000  # characters of one text; names and reasons are partly what strangers say
_EMPTY = frozenset({"br", "meta", "rect", "line", "path"})  # elements that hold nothing


class Markup(str):
    """Text that is markup already."""

    __slots__ = ()


def element(kind: str, /, *content: str, **attributes: object) -> Markup:
    """The element of a `kind` with its content and attributes; `class_` is `class`, and `_` in a name `-`."""
    given = "".join(
        f' {key.rstrip("_").replace("_", "-")}="{value if isinstance(value, Markup) else clean(one_line(str(value)))}"'
        for key, value in attributes.items()
        if value is not None
    )
    if kind in _EMPTY and not content:
        return Markup(f"<{kind}{given}/>")
    return Markup(f"<{kind}{given}>{join(content)}</{kind}>")


def join(parts: Iterable[str]) -> Markup:
    """`parts` one after the other; those that are no markup are cleaned."""
    return Markup("".join(part if isinstance(part, Markup) else clean(one_line(part)) for part in parts))


def section(heading: str, *content: str, class_: str | None = None) -> Markup:
    """A part of the page under its heading."""
    return element("section", element("h2", heading), *content, class_=class_)


def note(text: str) -> Markup:
    """A line that explains what is above or below it."""
    return element("p", text, class_="note")


def chip(text: str, style: str) -> Markup:
    """A word in the colours of a `style`: `good`, `care`, `bad` or `plain`."""
    return element("span", text, class_=f"chip {style}")


def table(headings: Iterable[Markup], rows: Iterable[Markup]) -> Markup:
    """A table of `rows` (`tr`) under its `headings` (`th`); a narrow page scrolls it sideways."""
    parts = element("thead", element("tr", *headings)), element("tbody", *rows)
    return element("div", element("table", *parts), class_="scroll")


def one_line(text: str, longest: int = _LONGEST) -> str:
    """`text` on one line, and no longer than `longest` characters."""
    line = " ".join(text.split())
    return line if len(line) <= longest else line[: longest - 1] + "…"


def code(text: str, longest: int = 500) -> str:
    """`text` on one line as Markdown's code, in which nothing is markup: names and reasons come from strangers, too.

    Prefect's pages take the cells of a table for Markdown as well.
    """
    line = one_line(text.replace("`", "'"), longest)
    return f"`{line}`" if line else ""


def cell(text: str, longest: int = 500) -> str:
    """The same in a table that is written as Markdown, where `|` ends a cell even in code."""
    return code(text, longest).replace("|", "\\|")
