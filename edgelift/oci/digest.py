"""Digests as the OCI image specification writes them (descriptor.md, "Digests")."""

import hashlib
import re
from typing import Any, Self

from pydantic import GetCoreSchemaHandler
from pydantic_core import CoreSchema, core_schema

from edgelift.errors import MalformedReferenceError

_HEX_LENGTHS = {"sha256": 64, "sha512": 128}


class Digest(str):
    """A digest such as `sha256:…`, valid by construction: safe to put into a URL or a path.

    Only the registered algorithms sha256 and sha512 are known; hex is lower-case and of the exact length.
    """

    __slots__ = ()

    def __new__(cls, text: str) -> Self:
        """Raises `MalformedReferenceError` unless `text` is a digest of a known algorithm."""
        algorithm, _, encoded = text.partition(":")
        length = _HEX_LENGTHS.get(algorithm)
        if length is None or not re.fullmatch(f"[0-9a-f]{{{length}}}", encoded):
            shown = text if len(text) <= 160 else text[:157] + "…"  # noqa: PLR2004 - a sha512 digest fits
            raise MalformedReferenceError(
                f"{shown!r} is not a digest",
                hint="a digest is sha256: and 64, or sha512: and 128 lower-case hexadecimal digits",
            )
        return super().__new__(cls, text)

    @classmethod
    def of(cls, content: bytes) -> Self:
        """The sha256 digest of `content`."""
        return cls("sha256:" + hashlib.sha256(content).hexdigest())

    @property
    def algorithm(self) -> str:
        """`sha256` or `sha512`."""
        return self.partition(":")[0]

    @property
    def hex(self) -> str:
        """The part after the colon."""
        return self.partition(":")[2]

    def hasher(self) -> "hashlib._Hash":
        """A fresh hash object of this digest's algorithm."""
        return hashlib.new(self.algorithm)

    def matches(self, content: bytes) -> bool:
        """Whether `content` has this digest."""
        return hashlib.new(self.algorithm, content).hexdigest() == self.hex

    @classmethod
    def __get_pydantic_core_schema__(cls, source: type[Any], handler: GetCoreSchemaHandler) -> CoreSchema:
        return core_schema.no_info_after_validator_function(
            _validate,
            core_schema.str_schema(),
            serialization=core_schema.plain_serializer_function_ser_schema(str, return_schema=core_schema.str_schema()),
        )


def _validate(text: str) -> Digest:
    try:
        return Digest(text)
    except MalformedReferenceError as error:
        raise ValueError(error.message) from None
