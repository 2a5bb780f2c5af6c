"""Profiles as a faithful Palette would give them: read over HTTP, resolved, and each with what has to come out."""

from collections.abc import Sequence
from typing import NamedTuple

import pytest
from pydantic import SecretStr

from edgelift.palette.client import PaletteClient
from edgelift.palette.models import ClusterProfile, Pack, PackManifest
from edgelift.palette.resolve import Resolution, resolve_profiles
from tests.palette.builders import image_values, make_pack, make_profile, messages, references
from tests.simulators.palette import PaletteSimulator

KEY = "a1b2c3d4e5f6-secret-key"
DIGEST = f"sha256:{'b' * 64}"
DISPLAY_NAME = "{}  spectrocloud.com/display-name: {}\n"
COMPOSED = """\
pack:
  content:
    images:
      - image: "{{.spectro.pack.edge-native-byoi.options.system.uri}}"
options:
  system.uri: "{{ .spectro.pack.edge-native-byoi.options.system.registry }}/ubuntu:k3s-\
{{ .spectro.system.kubernetes.version }}-{{ .spectro.pack.edge-native-byoi.options.system.customTag }}"
  system.registry: ttl.sh
  system.customTag: 1.10
"""
CHART = "pack:\n  content:\n    charts:\n      - {repo: https://charts.example, name: app, version: 1.2.3}\n"
DEPLOYMENT = "kind: Deployment\nspec: {template: {spec: {containers: [{image: 'quay.io/main:1'}]}}}\n"
MANIFEST = PackManifest(name="m", uid="m1", content=DEPLOYMENT)
KUBERNETES = make_pack("", "edge-k3s", layer="k8s", version="1.32.1")


class Fixture(NamedTuple):
    """Profiles, the references that they resolve to, and parts of the errors and warnings that they give."""

    profiles: Sequence[ClusterProfile]
    expected: Sequence[str] = ()
    errors: Sequence[str] = ()
    warnings: Sequence[str] = ()


def infrastructure(values: str, **fields: str) -> ClusterProfile:
    """An infrastructure profile whose operating system pack has these values."""
    system = make_pack(values, "edge-native-byoi", layer="os")
    return make_profile(system, KUBERNETES, **{"name": "infra", "type": "infra"} | fields)


def add_on(*packs: Pack, **fields: str) -> ClusterProfile:
    """An add-on profile with these packs."""
    return make_profile(*packs, **{"name": "apps"} | fields)


def declaring(*images: str) -> Pack:
    """A pack that declares these images."""
    return make_pack(image_values(*images))


FIXTURES = {
    "infrastructure and add-on": Fixture(
        [infrastructure(image_values("quay.io/os:1")), add_on(declaring("quay.io/app:1"))],
        ["quay.io/app:1", "quay.io/os:1"],
    ),
    "full and infrastructure": Fixture(
        [
            infrastructure(image_values("quay.io/a:1")),
            infrastructure(image_values("quay.io/b:1"), name="full", type="cluster"),
        ],
        ["quay.io/a:1", "quay.io/b:1"],
        errors=["only one profile may have infrastructure layers"],
    ),
    "two infrastructures": Fixture(
        [infrastructure(""), infrastructure("", name="other")],
        errors=["only one profile may have infrastructure layers"],
    ),
    "draft": Fixture(
        [add_on(declaring("quay.io/app:1"), name="draft")], ["quay.io/app:1"], warnings=["its draft was read"]
    ),
    "pack twice under display names": Fixture(
        [add_on(*(make_pack(DISPLAY_NAME.format(image_values(f"quay.io/{name}:1"), name)) for name in ("a", "b")))],
        ["quay.io/a:1", "quay.io/b:1"],
    ),
    "pack twice without": Fixture(
        [add_on(declaring("quay.io/a:1"), declaring("quay.io/b:1"))], ["quay.io/a:1", "quay.io/b:1"], warnings=["twice"]
    ),
    "system.uri is NA": Fixture(
        [infrastructure(image_values('"{{.spectro.pack.edge-native-byoi.system.uri}}"') + "system.uri: NA\n")]
    ),
    "system.uri is composed": Fixture([infrastructure(COMPOSED)], ["ttl.sh/ubuntu:k3s-1.32.1-1.10"]),
    "macro without quotes": Fixture(
        [infrastructure(image_values("quay.io/x:1", "{{ .spectro.pack.edge-k3s.uri }}"))],
        ["quay.io/x:1"],
        errors=["that pack has no single value there"],
    ),
    "misspelt key": Fixture(
        [add_on(make_pack("pack:\n  content:\n    images:\n    - iamge: quay.io/a:1\n    - image: quay.io/b:1\n"))],
        ["quay.io/b:1"],
        warnings=["did you mean 'image' where it says 'iamge'?"],
    ),
    "for Windows only": Fixture(
        [add_on(declaring("grafana/promtail:2.9-windows-amd64-nanoserver-ltsc2019"))],
        ["docker.io/grafana/promtail:2.9-windows-amd64-nanoserver-ltsc2019"],
    ),
    "digest": Fixture([add_on(declaring(f"nvcr.io/driver@{DIGEST}"))], [f"nvcr.io/driver@{DIGEST}"]),
    "container scheme": Fixture(
        [infrastructure(image_values('"container://us-docker.pkg.dev/palette-images/edge/stylus-linux-amd64:v4.7.9"'))],
        ["us-docker.pkg.dev/palette-images/edge/stylus-linux-amd64:v4.7.9"],
    ),
    "macro of a running cluster": Fixture(
        [add_on(declaring("'quay.io/x:{{ .spectro.system.cluster.name }}'"))],
        errors=["--set system.cluster.name=VALUE"],
    ),
    "chart and no image": Fixture(
        [add_on(make_pack(CHART, type="helm"))], warnings=["only Palette knows where its Helm registry is"]
    ),
    "pack manifests": Fixture(
        [add_on(make_pack(image_values("quay.io/app:1"), type="manifest", manifests=(MANIFEST,)))],
        ["quay.io/app:1"],
    ),
    "invalid pack": Fixture(
        [add_on(make_pack(image_values("quay.io/app:1"), is_invalid=True, invalid_reason="tag deleted"))],
        ["quay.io/app:1"],
        warnings=["Palette calls this pack invalid (tag deleted)"],
    ),
}


def read(given: Sequence[ClusterProfile]) -> tuple[list[ClusterProfile], Resolution]:
    """The profiles as the client reads them from a listening Palette, by name, and what they resolve to."""
    uids = [f"65c90f2d0a1b2c3d4e5f6a{number:02x}" for number in range(len(given))]
    profiles = [each.model_copy(update={"uid": uid}) for each, uid in zip(given, uids, strict=True)]
    drafts = frozenset(each.uid for each in profiles if each.name == "draft")
    with (
        PaletteSimulator(profiles, KEY, drafts=drafts) as palette,
        PaletteClient(palette.url, SecretStr(KEY), project="demo", sleep=lambda _seconds: None) as client,
    ):
        found = [client.read_profile(f"{each.name}@{each.version}") for each in profiles]
    return found, resolve_profiles(found)


@pytest.mark.parametrize("fixture", FIXTURES.values(), ids=FIXTURES)
def test_a_profile_read_from_palette_gives_what_it_should(fixture: Fixture) -> None:
    """References, errors and warnings, all of them and no other."""
    _, resolution = read(fixture.profiles)
    errors, warnings = messages(resolution), messages(resolution, "warning")

    assert references(resolution) == list(fixture.expected)
    assert [len(errors), len(warnings)] == [len(fixture.errors), len(fixture.warnings)]
    for part, message in zip((*fixture.errors, *fixture.warnings), (*errors, *warnings), strict=True):
        assert part in message


def test_the_contents_of_pack_manifests_come_with_the_profile() -> None:
    """Whoever looks for images in them finds them there."""
    (profile,), _ = read(FIXTURES["pack manifests"].profiles)

    assert [manifest.content for pack in profile.packs for manifest in pack.manifests] == [DEPLOYMENT]


def test_a_chart_of_a_helm_pack_is_declared() -> None:
    """Such a pack has no image of its own in its content."""
    _, resolution = read(FIXTURES["chart and no image"].profiles)

    assert [(each.name, each.version) for each in resolution.charts] == [("app", "1.2.3")]
