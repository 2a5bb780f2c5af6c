"""The schemas for editors: kept beside the documentation, equal to the models, and true of real files."""

import json
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import yaml

from edgelift.bundle.definition import BundleDefinition, Origin, Release, RequestedImage
from edgelift.schemas import MODELS, Kind, schema_of

ROOT = Path(__file__).parents[1]
SITES = sorted((ROOT / "deployments" / "sites").glob("*.yaml"))
DEFINITION = BundleDefinition(
    name="site-7",
    release=Release(name="shop", version="2.0", notes="Faster.\n"),
    annotations={"customer": "harbour"},
    images=(
        RequestedImage(reference="nginx", origins=(Origin(profile="a", pack="b", path="c"),), annotations={"a": "b"}),
        RequestedImage(reference="quay.io/app:2"),
    ),
)


def check(kind: Kind, document: Any) -> None:
    """Raise unless the schema takes `document`."""
    validator = jsonschema.Draft202012Validator(json.loads(schema_of(kind)))
    validator.validate(document)


@pytest.mark.parametrize("kind", MODELS)
def test_the_kept_schema_is_that_of_the_model(kind: Kind) -> None:
    """`edgelift schema KIND > docs/schema/KIND.schema.json` after a change of the model."""
    assert (ROOT / "docs" / "schema" / f"{kind}.schema.json").read_text() == schema_of(kind)


def test_a_written_definition_is_valid() -> None:
    """What --metadata-only writes is what the schema says."""
    check("definition", yaml.safe_load(DEFINITION.to_yaml()))


@pytest.mark.parametrize("path", SITES, ids=[path.name for path in SITES])
def test_the_sites_of_the_examples_are_valid(path: Path) -> None:
    """So are the files that people begin from."""
    check("site", yaml.safe_load(path.read_text()))


@pytest.mark.parametrize(
    ("kind", "document"),
    [("definition", {"images": [{"reference": "nginx", "tag": "1"}]}), ("site", {"name": "x", "targte": {}})],
)
def test_a_typo_is_shown_by_the_editor(kind: Kind, document: dict[str, Any]) -> None:
    """Unknown keys are no more welcome there than to the program."""
    with pytest.raises(jsonschema.ValidationError):
        check(kind, document)
