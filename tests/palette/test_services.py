"""Palette's own services: their latest version, their manifests, and the images that Kubernetes documents name."""

from collections.abc import Iterator

import pytest
from pydantic import SecretStr

from edgelift.demo.palette_tenant import DemoService, DemoTenant
from edgelift.errors import PaletteError, ProfileError
from edgelift.oci.reference import ImageReference
from edgelift.palette.client import PaletteClient
from edgelift.palette.services import Service, find_manifest_images, for_architectures
from tests.simulators.palette import PaletteSimulator

KEY = "a1b2c3d4e5f6-secret-key"
STYLUS = DemoService("stylus", "4.7.9", {"agent.yaml": "image: quay.io/agent:4.7.9\n", "crd.yaml": "kind: X\n"})
OLDER = DemoService("stylus", "4.5.5", {"agent.yaml": "image: quay.io/agent:4.5.5\n"})


@pytest.fixture
def palette() -> Iterator[PaletteSimulator]:
    """A Palette with two versions of one service."""
    with PaletteSimulator([], KEY, tenant=DemoTenant(services=[STYLUS, OLDER])) as simulator:
        yield simulator


def read(palette: PaletteSimulator, name: str = "stylus", version: str | None = None) -> Service:
    """The service as the client gives it."""
    with PaletteClient(palette.url, SecretStr(KEY), sleep=lambda _seconds: None) as client:
        return client.read_service(name, version)


def test_the_latest_version_is_read(palette: PaletteSimulator) -> None:
    """The version stands in YAML inside JSON; the manifests are those of the service's resources."""
    service = read(palette)

    assert (service.origin_label, [each.name for each in service.manifests]) == (
        "service stylus 4.7.9",
        ["agent.yaml", "crd.yaml"],
    )
    assert palette.exchanges[-1].query == "action=resources"


def test_a_version_may_be_chosen(palette: PaletteSimulator) -> None:
    """Then nobody asks for the latest one."""
    assert read(palette, version="4.5.5").manifests[0].content == "image: quay.io/agent:4.5.5\n"
    assert "/v1/services/stylus/version" not in palette.paths


@pytest.mark.parametrize(("name", "version"), [("nothing", None), ("stylus", "9.9.9")])
def test_what_palette_does_not_have_is_not_found(palette: PaletteSimulator, name: str, version: str | None) -> None:
    """The status says so, for those who can do without."""
    with pytest.raises(PaletteError) as caught:
        read(palette, name, version)
    assert caught.value.status == 404


VERSIONS = {
    "no content": b'{"spec": {"latestVersion": {"content": ""}}}',
    "no version in it": b'{"spec": {"latestVersion": {"content": "name: stylus"}}}',
    "broken YAML": b'{"spec": {"latestVersion": {"content": "a: \'"}}}',
    "a list": b'{"spec": {"latestVersion": {"content": "[1]"}}}',
    "nothing": b"{}",
}


@pytest.mark.parametrize("body", VERSIONS.values(), ids=VERSIONS)
def test_a_version_that_cannot_be_read_is_an_error(palette: PaletteSimulator, body: bytes) -> None:
    """Palette has been seen to answer with empty content."""
    palette.answers_with(200, body=body, path="/version$")
    with pytest.raises(PaletteError, match="stylus"):
        read(palette)


def test_a_version_is_no_number(palette: PaletteSimulator) -> None:
    """Version 4.10 is not 4.1."""
    content = b'{"spec": {"latestVersion": {"content": "version: 4.10"}}}'
    palette.answers_with(200, body=content, path="/version$")
    palette.answers_with(200, body=b'{"spec": {"manifests": null}}', path="/manifest")

    assert read(palette) == Service(name="stylus", version="4.10")


DEPLOYMENT = """\
apiVersion: apps/v1
kind: Deployment
spec:
  template:
    spec:
      initContainers:
        - image: quay.io/init:1
      containers:
        - name: main
          image: "quay.io/main:1.10"
        - name: again
          image: quay.io/main:1.10
"""
DOCUMENTS = {
    "containers of a pod": (DEPLOYMENT, ["quay.io/init:1", "quay.io/main:1.10"]),
    "several documents": ("image: a:1\n---\n---\nimage: b:1\n", ["a:1", "b:1"]),
    "list of objects": ("kind: List\nitems:\n- spec: {image: a:1}\n", ["a:1"]),
    "container scheme anywhere": ("data: {package: 'container://quay.io/x:1'}", ["container://quay.io/x:1"]),
    "macro without quotes": ("image: {{ .spectro.macro.registry }}/x:1", ["{{ .spectro.macro.registry }}/x:1"]),
    "an image that is a mapping": ("image: {repository: a, tag: 1}", []),
    "no image": ("kind: ConfigMap\ndata: {image.tag: '1'}", []),
    "an empty image": ("image: ''", []),
    "nothing": ("", []),
    "an anchor": ("a: &a {image: a:1}\nb: *a\nc: [*a, *a]\n", ["a:1"]),
}


@pytest.mark.parametrize(("text", "expected"), DOCUMENTS.values(), ids=DOCUMENTS)
def test_images_are_found_in_kubernetes_documents(text: str, expected: list[str]) -> None:
    """Each once, whatever kind of object names it."""
    assert sorted(find_manifest_images(text)) == expected


def test_broken_documents_say_where() -> None:
    """As values do."""
    with pytest.raises(ProfileError, match="line 2, column 1"):
        find_manifest_images("a:\n\tb: 1\n")


def test_aliases_that_double_cost_nothing() -> None:
    """Sixty levels of aliases, each naming the one before twice, are walked once."""
    levels = "".join(f"x{n}: &x{n} [*x{n - 1}, *x{n - 1}]\n" for n in range(1, 60))

    assert find_manifest_images(f"x0: &x0 {{image: a:1}}\n{levels}") == ["a:1"]


def agents(*architectures: str) -> list[str]:
    """The agent of these architectures."""
    return [f"us-docker.pkg.dev/palette-images/edge/stylus-linux-{each}:v4.7.9" for each in architectures]


OTHERS = [
    f"quay.io/edge/stylus-linux-amd64@sha256:{'a' * 64}",
    "quay.io/edge/stylus-linux-amd64-debug:1",
    "quay.io/exporter-amd64:1",
    "quay.io/app:1-linux-amd64",
]


@pytest.mark.parametrize("given", ["amd64", "arm64"])
def test_an_agent_is_taken_in_the_architectures_that_are_asked_for(given: str) -> None:
    """Its architecture is a part of its name: one for one, both where all are kept."""
    (text,) = agents(given)
    reference = ImageReference.parse(text)

    assert [str(each) for each in for_architectures(reference, "arm64")] == agents("arm64")
    assert [str(each) for each in for_architectures(reference, "amd64")] == agents("amd64")
    assert [str(each) for each in for_architectures(reference, None)] == agents("amd64", "arm64")


@pytest.mark.parametrize("text", OTHERS)
def test_other_images_are_taken_as_they_are(text: str) -> None:
    """A digest names one of them, and other names only look alike."""
    reference = ImageReference.parse(text)

    assert (for_architectures(reference, None), for_architectures(reference, "arm64")) == ([reference], [reference])
