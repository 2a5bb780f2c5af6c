"""Annotations: what people say of a bundle and its entries beside what is in them. Keys and values; no I/O."""

import re
from typing import Annotated

from pydantic import AfterValidator, Field

BUILT_IN = "edgelift."  # keys that begin so follow from the definition and the lock: nobody gives them
_KEY = re.compile(r"[A-Za-z0-9][A-Za-z0-9._/-]{0,127}")
_VALUE_LIMIT = 1000  # characters
_MANY = 100


def is_key(text: str) -> bool:
    """Whether `text` can be the key of an annotation."""
    return _KEY.fullmatch(text) is not None


def is_value(text: str) -> bool:
    """Whether `text` can be the value of one: a line without commas, so that a selector can name it."""
    return len(text) <= _VALUE_LIMIT and "," not in text and (text.isprintable() or not text)


def _checked(annotations: dict[str, str] | None) -> dict[str, str] | None:
    """`annotations` by rising keys, or None for none: the same ones always give the same bytes."""
    for key, value in (annotations or {}).items():
        if not is_key(key):
            raise ValueError("a key takes up to 128 letters, digits, dots, slashes, dashes and underscores")
        if key.startswith(BUILT_IN):
            raise ValueError(f"keys that begin with {BUILT_IN} follow from what is carried, and cannot be given")
        if not is_value(value):
            raise ValueError(f"a value is one line of up to {_VALUE_LIMIT} characters, without commas")
    return dict(sorted(annotations.items())) if annotations else None


Annotations = Annotated[dict[str, str] | None, Field(max_length=_MANY), AfterValidator(_checked)]
