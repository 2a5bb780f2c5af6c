"""The definition: YAML that people edit."""

import pytest

from edgelift.bundle.definition import (
    BundleDefinition,
    Origin,
    ProfileVersion,
    Release,
    RequestedChart,
    RequestedImage,
)
from edgelift.errors import ConfigurationError

ORIGIN = Origin(profile="edge-infra", pack="nginx", path="pack.content.images[0].image")
FULL = BundleDefinition(
    name="site-7_b.2",
    architecture="arm64",
    profiles=(ProfileVersion(name="edge", version="1.0.0", uid="66a", type="infra", packs=4),),
    images=(
        RequestedImage(reference="nginx", origins=(ORIGIN, Origin(profile="übung", pack="", path=""))),
        RequestedImage(reference="quay.io/a/b@sha256:" + "0" * 64),
    ),
    charts=(RequestedChart(repository="oci://ghcr.io/charts", name="app", version="1.2.3", origins=(ORIGIN,)),),
)
REFUSED = {
    "unknown key": ("name: x\nimagse: []\n", "imagse"),
    "unknown key of an image": ("images:\n- reference: nginx\n  tag: '1'\n", r"images\.0\.tag"),
    "malformed reference": ("images:\n- reference: 'UPPER/Case:1'\n", r"images\.0\.reference"),
    "another format": ("format: edgelift.definition/v2\n", "format"),
    "a name with a path": ("name: ../../etc/cron.d/x\n", "name"),
    "an unknown architecture": ("architecture: riscv64\n", "architecture"),
    "signatures that are required and left out": ("signatures: false\nrequire_signatures: true\n", "leaves out"),
    "a key for signatures that nobody requires": ("cosign_key: x\n", "does not require"),
    "an annotation that is no text": ("annotations: {tier: 5}\n", r"annotations\.tier"),
    "an annotation with a space in its key": ("annotations: {'a b': c}\n", "annotations"),
    "an annotation with a comma": ("annotations: {a: 'b,c'}\n", "annotations"),
    "an annotation of ours": ("annotations: {edgelift.pack: nginx}\n", "follow from what is carried"),
    "a release that says nothing": ("release: {}\n", "release"),
    "an unknown key of the release": ("release: {tag: x}\n", r"release\.tag"),
    "not YAML": ("a: [", "not YAML"),
    "a Python object": ("!!python/object/apply:os.system ['true']", "not YAML"),
    "a list": ("- nginx\n", "not a bundle definition"),
    "nothing": ("", "not a bundle definition"),
}


SAID = FULL.model_copy(
    update={
        "release": Release(name="shop", version="2.0", notes="Faster.\nSmaller.\n"),
        "annotations": {"customer": "harbour", "stage": "früh"},
        "images": (RequestedImage(reference="nginx", annotations={"tier": "web", "team": "shop"}),),
        "charts": (FULL.charts[0].model_copy(update={"annotations": {"tier": "web"}}),),
    }
)


@pytest.mark.parametrize("definition", [FULL, BundleDefinition(), SAID], ids=["full", "empty", "annotated"])
def test_yaml_round_trip(definition: BundleDefinition) -> None:
    """What is written is read back the same, and written again to the same bytes."""
    text = definition.to_yaml()

    read = BundleDefinition.from_yaml(text)

    assert definition == read
    assert text == read.to_yaml()


def test_what_is_said_of_signatures_is_there_only_where_it_says_something() -> None:
    """A definition of before has the same text; true for what is so anyway, and false for what is not, say nothing."""
    plain = BundleDefinition(signatures=True, require_signatures=False)
    strict = BundleDefinition(require_signatures=True, cosign_key="a public key")

    assert (plain, "signatures" in plain.to_yaml()) == (BundleDefinition(), False)
    assert BundleDefinition.from_yaml(strict.to_yaml()) == strict
    assert "signatures: false" in BundleDefinition(signatures=False).to_yaml()


@pytest.mark.parametrize(("text", "named"), REFUSED.values(), ids=REFUSED)
def test_mistakes_are_refused_by_name(text: str, named: str) -> None:
    """A mistake is a `ConfigurationError` that names the file and the place."""
    with pytest.raises(ConfigurationError, match=named) as caught:
        BundleDefinition.from_yaml(text, "site.yaml")

    assert "site.yaml" in str(caught.value)


def test_what_nobody_says_has_no_key() -> None:
    """A definition without release and annotations has the bytes that it had before there were any."""
    text = FULL.to_yaml()

    assert "annotations" not in text
    assert "release" not in text
    assert BundleDefinition.from_yaml("annotations: {}\nimages: [{reference: nginx, annotations: {}}]\n").to_yaml() == (
        BundleDefinition(images=(RequestedImage(reference="nginx"),)).to_yaml()
    )


def test_annotations_come_by_their_keys() -> None:
    """However they are written down, the bytes are the same."""
    one, other = (
        BundleDefinition.from_yaml(f"annotations: {{{text}}}\n").to_yaml() for text in ("a: x, b: y", "b: y, a: x")
    )

    assert one == other


def test_references_become_canonical() -> None:
    """Short names are written out, so that one image is asked for in one way."""
    assert [image.reference for image in FULL.images] == [
        "docker.io/library/nginx:latest",
        "quay.io/a/b@sha256:" + "0" * 64,
    ]


def test_errors_do_not_repeat_values() -> None:
    """What stands in a wrong place may be a secret: the message does not show it."""
    with pytest.raises(ConfigurationError) as caught:
        BundleDefinition.from_yaml("password: hunter2\narchitecture: hunter2\n")

    assert "hunter2" not in str(caught.value)
