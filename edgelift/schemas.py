"""JSON schemas of the files that people edit, for editors that check and complete while one types."""

import json
from typing import Literal

from pydantic import BaseModel

from edgelift.bundle.definition import BundleDefinition
from edgelift.forms import without_positions
from edgelift.site import EdgeSite

Kind = Literal["definition", "site"]
MODELS: dict[Kind, type[BaseModel]] = {"definition": BundleDefinition, "site": EdgeSite}
_DRAFT = "https://json-schema.org/draft/2020-12/schema"


def schema_of(kind: Kind) -> str:
    """The schema as JSON with a newline at the end; the same release always gives the same text."""
    document = {"$schema": _DRAFT, **without_positions(MODELS[kind].model_json_schema())}
    return json.dumps(document, indent=2, sort_keys=True, ensure_ascii=False) + "\n"
