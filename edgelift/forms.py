"""Forms: what people fill in, as files or in Prefect's UI, and what the schema says to whoever draws them."""

from typing import Any

from pydantic import BaseModel, ConfigDict

_POSITION = "position"


def in_order(schema: dict[str, Any]) -> None:
    """Have the fields of a model drawn in the order they are written in, which no database promises to keep."""
    for position, field in enumerate(schema.get("properties", {}).values()):
        field[_POSITION] = position


def without_positions(schema: dict[str, Any]) -> dict[str, Any]:
    """`schema` for those who draw no form of it."""
    for form in (schema, *schema.get("$defs", {}).values()):
        for field in form.get("properties", {}).values():
            field.pop(_POSITION, None)
    return schema


class Form(BaseModel):
    """A part of a request: frozen, and unknown keys are errors, so that a typo is never silent."""

    # Most commands name it, few make one.
    model_config = ConfigDict(frozen=True, extra="forbid", defer_build=True, json_schema_extra=in_order)
