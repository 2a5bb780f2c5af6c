"""Exported profiles and saved answers of the API are read alike; a file that is neither says why."""

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgelift.errors import ProfileError
from edgelift.palette.export import parse_exported_profile
from edgelift.palette.models import ClusterProfile
from edgelift.palette.resolve import Resolution, resolve_profiles
from tests.palette.builders import messages, references

DATA = Path(__file__).parent / "data"
INFRASTRUCTURE = [
    "docker.io/calico/node-windows-amd64-nanoserver-ltsc2019:v3.29.1",
    "docker.io/rancher/mirrored-coredns-coredns:1.12.0",
    "docker.io/rancher/mirrored-pause:3.6",
    f"quay.io/tigera/operator@sha256:{'5e' * 32}",
    "registry.example.com/edge/agent-linux-amd64:v4.7.9",
    "registry.example.com/kairos/ubuntu:k3s-1.32.1-1.10",
]


def parse(text: str) -> ClusterProfile:
    """Read this text as an exported profile."""
    return parse_exported_profile(text, "profile.json")


def resolve(*names: str) -> Resolution:
    """Resolve these files of the test data."""
    return resolve_profiles([parse_exported_profile((DATA / name).read_text(), name) for name in names])


def test_an_exported_infrastructure_profile_resolves() -> None:
    """Composed names, digests, Windows names and container:// come out as references."""
    resolution = resolve("edge-infra.json")
    assert (references(resolution), resolution.problems) == (INFRASTRUCTURE, ())
    assert [chart.repository for chart in resolution.charts] == ["https://docs.tigera.io/calico/charts"]


def test_a_saved_answer_of_the_api_resolves_to_the_same() -> None:
    """The answer of the API holds what the export holds, in another shape."""
    exported, answered = resolve("edge-infra.json"), resolve("edge-infra-answer.json")
    assert (answered.images, answered.charts) == (exported.images, exported.charts)
    assert answered.profiles[0].uid == "65c90f2d0a1b2c3d4e5f6a70"


def test_an_exported_yaml_file_resolves() -> None:
    """Bare macros, anchors, variables and versions like floats come through YAML untouched."""
    resolution = resolve("site-add-on.yaml")
    assert references(resolution) == [
        "docker.io/library/busybox:1.37",
        "ghcr.io/example/store-front:3.0.1",
        "quay.io/example/sidecar:2.10",
        "quay.io/example/storage-operator:v1.11.0",
    ]
    assert resolution.profiles[0].version == "1.10"
    assert [message for message in messages(resolution, "warning") if "iamge" not in message] == []


def test_pack_manifests_are_kept() -> None:
    """The Kubernetes YAML of a layer comes with the profile."""
    profile = parse_exported_profile((DATA / "site-add-on.yaml").read_text(), "site-add-on.yaml")
    assert profile.packs[2].manifests[0].content == "apiVersion: v1\nkind: Namespace\n"


def test_a_byte_order_mark_is_ignored() -> None:
    """Windows editors put one at the start of a file; what follows is JSON all the same, surrogates included."""
    document = r'{"metadata":{"name":"x\ud83d\ude00"},"spec":{"template":{"type":"infra","packs":[]}}}'
    assert parse("\ufeff" + document).name == "x😀"


def test_numbers_in_json_stay_their_text() -> None:
    """A version without quotes keeps its zero."""
    document = '{"metadata":{"name":"x"},"spec":{"version":1.10,"template":{"type":"infra","packs":[]}}}'
    assert parse(document).version == "1.10"


def test_nulls_are_absent() -> None:
    """The API writes null for empty lists and texts."""
    document = '{"metadata":{"name":"x","uid":null},"spec":{"draft":null,"published":{"type":"infra","packs":null}}}'
    assert parse(document) == ClusterProfile(name="x", type="infra")


def test_a_draft_is_read_and_says_so() -> None:
    """A version that was never published is better than nothing, and no secret."""
    document = json.loads((DATA / "edge-infra-answer.json").read_text())
    document["spec"] |= {"draft": document["spec"]["published"], "published": None}
    profile = parse(json.dumps(document))
    assert (len(profile.packs), profile.notices) == (3, ("this version is not published: its draft was read",))


BROKEN = {
    "empty": ("", "holds no cluster profile"),
    "some YAML": ("a: 1\n", "holds no cluster profile"),
    "some text": ("hello", "holds no cluster profile"),
    "a list": ("[]", "holds no cluster profile"),
    "neither published nor draft": ('{"spec":{"published":null,"draft":null}}', "holds no cluster profile"),
    "broken JSON": ('{\n "spec": x}', "profile.json is not JSON: line 2, column 10"),
    "broken YAML": ("a:\n\tb: 1\n", "profile.json is not YAML: line 2, column 1"),
    "deep JSON": ('{"a":' * 200_000, "nested too deep"),
    "no name": ('{"spec":{"template":{"type":"infra","packs":[]}}}', "name: Field required"),
    "pack without name": ('{"metadata":{"name":"x"},"spec":{"template":{"packs":[{}]}}}', "packs.0.name"),
    "values that are no text": (
        '{"metadata":{"name":"x"},"spec":{"template":{"packs":[{"name":"p","values":{"a":1}}]}}}',
        "packs.0.values",
    ),
    "packs that are no list": ('{"metadata":{"name":"x"},"spec":{"template":{"packs":"p"}}}', "packs"),
}


@pytest.mark.parametrize(("text", "message"), BROKEN.values(), ids=BROKEN)
def test_a_file_that_is_no_profile_says_why(text: str, message: str) -> None:
    """Every wrong file is our error, names the file and the place, and exits as a wrong input."""
    with pytest.raises(ProfileError) as caught:
        parse(text)
    assert ("profile.json" in caught.value.message, message in caught.value.message) == (True, True)
    assert caught.value.exit_code == 2


def test_curly_quotes_in_json_are_named() -> None:
    """A file edited in a word processor gets told what happened to its quotes."""
    with pytest.raises(ProfileError) as caught:
        parse('{\n "spec": “x”}')
    assert caught.value.hint == "replace the curly quotes there by straight ones"


def test_values_are_in_no_representation() -> None:
    """Values may hold passwords, so that printing a profile shows none of them."""
    profile = parse('{"metadata":{"name":"x"},"spec":{"template":{"packs":[{"name":"p","values":"pw: hunter2"}]}}}')
    assert "hunter2" not in repr(profile)


@given(st.text(alphabet='{}[]":,- \nabspecmtadn', max_size=80))
def test_any_text_is_a_profile_or_our_error(text: str) -> None:
    """No text, however odd, makes the parser fail in a way of its own."""
    try:
        parse(text)
    except ProfileError as error:
        assert error.message.startswith("profile.json")  # noqa: PT017  # no profile comes out of this alphabet
