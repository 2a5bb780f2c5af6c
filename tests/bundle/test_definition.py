"""The definition: YAML that people edit."""

import pytest

from edgelift.bundle.definition import BundleDefinition, Origin, ProfileVersion, RequestedChart, RequestedImage
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
    "not YAML": ("a: [", "not YAML"),
    "a Python object": ("!!python/object/apply:os.system ['true']", "not YAML"),
    "a list": ("- nginx\n", "not a bundle definition"),
    "nothing": ("", "not a bundle definition"),
}


@pytest.mark.parametrize("definition", [FULL, BundleDefinition()], ids=["full", "empty"])
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
