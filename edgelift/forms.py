"""Forms: what the schema of a model says to whoever draws one, which is Prefect's UI."""

from typing import Any


def in_order(schema: dict[str, Any]) -> None:
    """Have the fields of a model drawn in the order they are written in, which no database promises to keep."""
    for position, field in enumerate(schema.get("properties", {}).values()):
        field["position"] = position
