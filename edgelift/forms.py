"""Forms: what the schema of a model says to whoever draws one, which is Prefect's UI."""

from typing import Any

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
