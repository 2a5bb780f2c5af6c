"""Manifests are read document by document; definitions of resources hold no images, broken documents are searched."""

from edgelift.palette.undeclared.content import Budget
from edgelift.palette.undeclared.manifests import UNSURE, find_in_manifests
from edgelift.palette.undeclared.references import UNKNOWN
from tests.palette.charts import deployment

DEFINITION = """\
apiVersion: apiextensions.k8s.io/v1
kind: CustomResourceDefinition
spec:
  versions:
    - schema: {properties: {image: {default: team/app:1}}}
"""
RESOURCE = "kind: Prometheus\nspec:\n  image: quay.io/team/prometheus\n  version: v2.1.0\n"


def find(text: str) -> list[tuple[str, str, int | None]]:
    """What is found: text, confidence, line."""
    return [(hit.text, hit.confidence, hit.line) for _, hit in find_in_manifests(text, Budget(10_000))]


def test_each_document_has_its_own_lines() -> None:
    """The line is that of the file, not of the document."""
    text = deployment("team/one:1") + "---\n" + deployment("team/two:2")

    assert find(text) == [("team/one:1", "certain", 10), ("team/two:2", "certain", 21)]


def test_a_definition_of_a_resource_names_no_image() -> None:
    """What its schema has as default or example is not pulled."""
    assert find(DEFINITION) == []


def test_a_resource_of_an_operator_is_likely() -> None:
    """What its controller makes of it is not known here."""
    assert [(text, confidence) for text, confidence, _ in find(RESOURCE)] == [("quay.io/team/prometheus", "likely")]


def test_the_template_that_helm_names_is_told() -> None:
    """Helm says in a comment where each document comes from."""
    text = "---\n# Source: web/templates/dep.yaml\n" + deployment("a/b:1")
    ((source, hit),) = find_in_manifests(text, Budget(10_000))

    assert (source, hit.text) == ("web/templates/dep.yaml", "a/b:1")


def test_a_document_that_is_no_yaml_is_searched_line_by_line() -> None:
    """One broken document hides neither its own images nor those of the others."""
    text = "kind: [\n  image: team/broken:1\n---\n" + deployment("team/whole:1")

    assert find(text) == [("team/broken:1", "likely", 2), ("team/whole:1", "certain", 13)]


def test_a_marked_line_is_not_certain() -> None:
    """Only some clusters get it."""
    assert find(deployment(f"team/app:1 #{UNSURE}")) == [("team/app:1", "likely", 10)]


def test_of_an_unknown_tag_the_rest_is_told() -> None:
    """The image is named, and cannot be carried by that name."""
    ((_, hit),) = find_in_manifests(deployment(f"team/app:{UNKNOWN}"), Budget(10_000))

    assert (hit.confidence, hit.is_complete) == ("possible", False)


def test_an_image_that_is_mounted_is_found() -> None:
    """A volume may be an image as well."""
    text = "kind: Pod\nspec:\n  volumes:\n    - name: models\n      image: {reference: quay.io/team/models:1}\n"

    assert find(text) == [("quay.io/team/models:1", "likely", 5)]
