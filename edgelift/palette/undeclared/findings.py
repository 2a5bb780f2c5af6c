"""What a look at a pack finds. Frozen, and printed as JSON for scripts."""

from typing import Literal

from pydantic import BaseModel, ConfigDict

Confidence = Literal["certain", "likely", "possible"]
CONFIDENCES: tuple[Confidence, ...] = ("certain", "likely", "possible")  # the surest first
CONFIDENT: frozenset[Confidence] = frozenset({"certain", "likely"})
UNKNOWN_TAG = ":…"  # how the name of an image ends of which nothing else is known
RemarkKind = Literal["unused", "floating", "typo", "windows", "known-issue", "unread"]


class _Finding(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Evidence(_Finding):
    """Where an image is used: the file, its line where that is known, the path in its YAML, and what stands there."""

    file: str
    line: int | None = None
    path: str = ""
    text: str = ""

    def __str__(self) -> str:
        line = f":{self.line}" if self.line is not None else ""
        path = f" {self.path}" if self.path else ""
        return f"{self.file}{line}{path}"


class UsedImage(_Finding):
    """An image that a pack uses: how sure that is, why, and where.

    Of one that is not `is_complete` the tag, or a macro in it, is not known: it cannot be carried by this name. `tags`
    are then those that it may have, by the version of its chart or pack. `declared_as` are references to the same
    repository that are declared.
    """

    image: str
    confidence: Confidence
    reason: str
    is_complete: bool = True
    is_floating: bool = False
    tags: tuple[str, ...] = ()
    declared_as: tuple[str, ...] = ()
    evidence: tuple[Evidence, ...] = ()

    @property
    def is_confident(self) -> bool:
        """Whether it can be carried without asking: its name is known, and that it is used is certain or likely."""
        return self.is_complete and self.confidence in CONFIDENT

    @property
    def untagged(self) -> str | None:
        """Its name as it is written, where only its tag is not known, and that it is used is certain or likely."""
        is_one = not self.is_complete and self.confidence in CONFIDENT and self.image.endswith(UNKNOWN_TAG)
        return self.image.removesuffix(UNKNOWN_TAG) if is_one else None


class Remark(_Finding):
    """Something about the declarations of a pack that an operator should know."""

    kind: RemarkKind
    message: str


class PackReport(_Finding):
    """What a look at one pack has found."""

    profile: str = ""
    pack: str
    undeclared: tuple[UsedImage, ...] = ()
    remarks: tuple[Remark, ...] = ()
