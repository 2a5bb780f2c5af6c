"""The images of Palette's agent: which services a source asks for, what they name, and where that stands."""

from collections.abc import Sequence
from typing import Any

import pytest
from pydantic import SecretStr

from edgelift.agent_images import AgentContent, read_agent_images
from edgelift.agent_services import DEFAULT_SERVICES, AgentServices
from edgelift.define import define_bundle
from edgelift.demo.palette_tenant import DemoService, DemoTenant
from edgelift.errors import ConfigurationError, PaletteError
from edgelift.palette.client import PaletteClient
from edgelift.site import ContentSource
from tests.simulators.palette import PaletteSimulator

KEY = "a1b2c3d4e5f6-secret-key"
AGENT = "us-docker.pkg.dev/palette-images/edge/stylus-linux-{}:v4.7.9"
STYLUS = DemoService(
    "stylus",
    "4.7.9",
    {"manifest.yaml": f"package: container://{AGENT.format('amd64')}\n---\nimage: quay.io/pause:3.10\n"},
)
ALLY = DemoService(
    "ally",
    "4.7.2",
    {"ally.yaml": "image: us-docker.pkg.dev/palette-images/ally:4.7.2\nother: {image: quay.io/pause:3.10}\n"},
)
SMALL = {"core": {"services": ["stylus"]}, "day_two": {"services": ["ally"]}}


def source(**fields: Any) -> ContentSource:
    """A source that asks for the agent's core, unless it says otherwise."""
    return ContentSource.model_validate({"agent_images": "core", "agent_services": SMALL, **fields})


def read(wanted: ContentSource, services: Sequence[DemoService] = (STYLUS, ALLY)) -> AgentContent:
    """What a Palette with these services gives for it."""
    with (
        PaletteSimulator([], KEY, tenant=DemoTenant(services=services)) as palette,
        PaletteClient(palette.url, SecretStr(KEY), sleep=lambda _seconds: None) as client,
    ):
        return read_agent_images(wanted, lambda: client)


def references(content: AgentContent) -> list[str]:
    """The references, sorted as they are."""
    return [image.reference for image in content.images]


def no_palette() -> PaletteClient:
    """For what needs none."""
    raise AssertionError("Palette was asked for")


def test_nothing_is_asked_for_by_default() -> None:
    """Unlike Palette's own tool, edgelift carries what profiles declare, and the agent where it is told to."""
    assert read_agent_images(ContentSource(images=("nginx",)), no_palette) == AgentContent([], [])


CHOICES = {
    "core": ({}, [AGENT.format("amd64"), AGENT.format("arm64"), "quay.io/pause:3.10"]),
    "core for one architecture": ({"architecture": "arm64"}, [AGENT.format("arm64"), "quay.io/pause:3.10"]),
    "all": (
        {"agent_images": "all", "architecture": "amd64"},
        [AGENT.format("amd64"), "quay.io/pause:3.10", "us-docker.pkg.dev/palette-images/ally:4.7.2"],
    ),
    "FIPS": (
        {"architecture": "amd64", "fips": True},
        [AGENT.format("amd64").replace("palette-images", "palette-images-fips"), "quay.io/pause:3.10"],
    ),
    "compliance alone": (
        {"agent_images": "none", "compliance_images": True,
         "agent_services": {"compliance": {"images": ["aquasec/kube-bench:v0.9"]}}},
        ["docker.io/aquasec/kube-bench:v0.9"],
    ),
    "an image beside the services": (
        {"architecture": "amd64", "agent_services": {"core": {"services": ["stylus"], "images": ["quay.io/more:1"]}}},
        [AGENT.format("amd64"), "quay.io/more:1", "quay.io/pause:3.10"],
    ),
}  # fmt: skip


@pytest.mark.parametrize(("fields", "expected"), CHOICES.values(), ids=CHOICES)
def test_what_is_asked_for_is_read(fields: dict[str, Any], expected: list[str]) -> None:
    """Services are read from Palette, images are named; each reference stands there once."""
    assert references(read(source(**fields))) == sorted(expected)


def test_each_image_says_which_service_names_it() -> None:
    """The origin has the service, its version and its manifest; an image of two services has two."""
    content = read(source(agent_images="all", architecture="amd64"))
    origins = {image.reference: [str(origin) for origin in image.origins] for image in content.images}

    assert origins[AGENT.format("amd64")] == ["service stylus 4.7.9 > manifest.yaml"]
    assert origins["quay.io/pause:3.10"] == ["service stylus 4.7.9 > manifest.yaml", "service ally 4.7.2 > ally.yaml"]


def test_a_version_of_a_service_may_be_pinned() -> None:
    """Hosts that are not at the latest version need the images of theirs."""
    older = DemoService("stylus", "4.5.5", {"manifest.yaml": "image: quay.io/agent:4.5.5\n"})
    pinned = SMALL | {"versions": {"stylus": "4.5.5"}}

    assert references(read(source(agent_services=pinned), [STYLUS, older])) == ["quay.io/agent:4.5.5"]


def test_a_service_that_palette_does_not_have_is_a_warning() -> None:
    """Palettes of other versions have other services; what is not carried is told."""
    content = read(source(agent_images="all"), [STYLUS])

    assert list(content.warnings) == ["Palette has no service ally, so its images are not carried"]
    assert "quay.io/pause:3.10" in references(content)


def test_a_palette_without_any_of_the_services_is_an_error() -> None:
    """Then nothing that was asked for is there."""
    with pytest.raises(PaletteError, match="none of these services: stylus"):
        read(source(), [])


ODD = {
    "broken YAML": ("a:\n\tb: 1\n", "service stylus 4.7.9 > x.yaml: this manifest cannot be read: line 2"),
    "no image": ("kind: ConfigMap\n", "service stylus 4.7.9: its manifests name no image"),
    "no reference": ("image: Quay.io/Upper:1\n", "so it is left out"),
    "a template": ("image: '{{ .Values.image }}'\n", "so it is left out"),
}


@pytest.mark.parametrize(("manifest", "warning"), ODD.values(), ids=ODD)
def test_what_cannot_be_read_is_told(manifest: str, warning: str) -> None:
    """The rest is carried, and nothing is passed over in silence."""
    content = read(source(agent_images="all"), [DemoService("stylus", "4.7.9", {"x.yaml": manifest}), ALLY])

    assert any(warning in each for each in content.warnings)
    assert "quay.io/pause:3.10" in references(content)


def test_compliance_images_have_to_be_listed() -> None:
    """Which ones Palette takes is not public: the error says where to write them down, before anybody is asked."""
    with pytest.raises(ConfigurationError, match="no service and no image is known for compliance") as caught:
        read_agent_images(source(agent_images="none", compliance_images=True), no_palette)

    assert "under compliance" in str(caught.value.hint)


def test_a_longer_beginning_of_a_name_decides_about_fips() -> None:
    """Rules are about whole parts of a name, and the one that says most counts."""
    rules = {"us-docker.pkg.dev/palette-images": "a.example/x", "us-docker.pkg.dev/palette-images/edge": "b.example/y"}
    services = SMALL | {"fips": rules, "core": {"images": [
        "us-docker.pkg.dev/palette-images/edge/one:1", "us-docker.pkg.dev/palette-images/two:1",
        "us-docker.pkg.dev/palette-images-x/three:1",
    ]}}  # fmt: skip

    assert references(read_agent_images_by_name(services)) == [
        "a.example/x/two:1", "b.example/y/one:1", "us-docker.pkg.dev/palette-images-x/three:1",
    ]  # fmt: skip


def read_agent_images_by_name(services: dict[str, Any]) -> AgentContent:
    """FIPS images of services that are images by name alone: Palette is not asked."""
    return read_agent_images(source(agent_services=services, fips=True), no_palette)


def test_agent_images_are_carried_beside_those_that_are_named() -> None:
    """One definition with all of them; an image that is asked for twice has both origins."""
    wanted = source(architecture="amd64", images=["quay.io/pause:3.10"])
    with PaletteSimulator([], KEY, tenant=DemoTenant(services=[STYLUS])) as palette:
        client = PaletteClient(palette.url, SecretStr(KEY), sleep=lambda _seconds: None)
        definition = define_bundle("site", wanted, lambda: client).definition

    assert {image.reference: [str(each) for each in image.origins] for image in definition.images} == {
        AGENT.format("amd64"): ["service stylus 4.7.9 > manifest.yaml"],
        "quay.io/pause:3.10": ["service stylus 4.7.9 > manifest.yaml", "name"],
    }


# The document


DOCUMENT = """\
core: {services: [stylus]}
day_two:
  services: [ally, palette]
  images: [quay.io/more:1]
versions: {stylus: 4.5.5}
fips: {quay.io/a: quay.io/b}
"""


def test_a_document_says_which_services_are_needed() -> None:
    """Every key has its place, and what it leaves out is the default's."""
    services = AgentServices.from_yaml(DOCUMENT, "services.yaml")

    assert (services.day_two.services, services.versions) == (("ally", "palette"), {"stylus": "4.5.5"})
    assert services.compliance == DEFAULT_SERVICES.compliance


@pytest.mark.parametrize("text", ["", "# nothing\n"])
def test_an_empty_document_is_the_default(text: str) -> None:
    """Nothing is said otherwise."""
    assert AgentServices.from_yaml(text, "services.yaml") == DEFAULT_SERVICES


WRONG = {
    "a misspelt key": ("cor: {services: [stylus]}", "cor"),
    "a path for a name": ("core: {services: ['../x']}", "core.services.0"),
    "a list": ("[stylus]", "document"),
    "no YAML": ("a: '", "is not YAML at line 1"),
}


@pytest.mark.parametrize(("text", "place"), WRONG.values(), ids=WRONG)
def test_a_wrong_document_says_where(text: str, place: str) -> None:
    """A typo is never silent."""
    with pytest.raises(ConfigurationError, match=r"services\.yaml") as caught:
        AgentServices.from_yaml(text, "services.yaml")
    assert place in caught.value.message
