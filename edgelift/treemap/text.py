"""Text as pages and pictures have it: harmless whatever it says, and no wider than its place. Pure."""

from html import escape
from itertools import islice
from unicodedata import east_asian_width

_FEWEST = 4  # characters: less than that says nothing


def clean(text: str) -> str:
    """`text` as XML and HTML have it, in which nothing is markup, and nothing can turn the line around."""
    return escape("".join(each if each.isprintable() else "\N{REPLACEMENT CHARACTER}" for each in text))


def fit(text: str, cells: int) -> str:
    """As much of the end of `text` as has room in `cells` characters; nothing, where that would say nothing."""
    if width(text) <= cells:
        return text
    if cells < _FEWEST:
        return ""
    kept, left = list[str](), cells - 1
    for each in islice(reversed(text), cells):
        left -= width(each)
        if left < 0:
            break
        kept.append(each)
    return "…" + "".join(reversed(kept))


def width(text: str) -> int:
    """How many characters wide `text` is: those of Chinese, Japanese and Korean take two places."""
    return sum(2 if east_asian_width(each) in "WF" else 1 for each in text)
