"""What a run has proved or found, as JSON in a file that people keep and scripts read. No I/O."""

import json
from collections.abc import Set
from typing import Any, ClassVar, Self

from pydantic import BaseModel, ConfigDict, ValidationError

from edgelift.errors import ConfigurationError
from edgelift.explain import explain


class ResultDocument(BaseModel):
    """Such a document: its fields, and beside them what follows from these, which is written and never read back."""

    model_config = ConfigDict(frozen=True, extra="forbid")
    what: ClassVar[str]  # it is, for messages
    derived_keys: ClassVar[Set[str]] = frozenset({"whole"})

    def derived(self) -> dict[str, Any]:
        """What follows from the fields, under `derived_keys`."""
        raise NotImplementedError

    def document(self) -> dict[str, Any]:
        """All of it for scripts, the verdict on the whole included."""
        return self.model_dump(mode="json", exclude_none=True) | self.derived()

    def to_json(self) -> bytes:
        """It as it is kept in a file."""
        return (json.dumps(self.document(), indent=2, sort_keys=True, ensure_ascii=False) + "\n").encode()

    @classmethod
    def from_json(cls, content: bytes, where: str = "this") -> Self:
        """Read one; raises `ConfigurationError` that names `where` and every wrong key."""
        try:
            document = json.loads(content)
            fields = {key: document[key] for key in document.keys() - cls.derived_keys}
            return cls.model_validate_json(json.dumps(fields))
        except ValidationError as error:
            raise ConfigurationError(f"{where} is not {cls.what}: {explain(error)}") from None
        except (ValueError, AttributeError, RecursionError):
            raise ConfigurationError(f"{where} is not {cls.what}: it is not a JSON object") from None
