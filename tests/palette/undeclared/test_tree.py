"""Images are found in values and manifests, however their parts are spread; what only looks like one is not taken."""

import pytest

from edgelift.errors import ProfileError
from edgelift.palette.undeclared.content import Budget
from edgelift.palette.undeclared.hits import Hit
from edgelift.palette.undeclared.references import UNKNOWN
from edgelift.palette.undeclared.tree import find_in_tree
from edgelift.palette.values import load_placed


def find(text: str, *, in_manifest: bool = False) -> list[Hit]:
    """The hits in this YAML."""
    return list(find_in_tree(load_placed(text), Budget(10_000), in_manifest=in_manifest))


def texts(text: str, confidence: str = "likely") -> list[str]:
    """What is found in this YAML that is as sure as that."""
    return [hit.text for hit in find(text) if hit.confidence == confidence]


LIKELY = {
    "repository and tag": ("image:\n  repository: team/app\n  tag: 1.10", "team/app:1.10"),
    "registry, repository and tag": (
        "image: {registry: quay.io, repository: team/app, tag: v1}",
        "quay.io/team/app:v1",
    ),
    "repository with its registry": ("app: {repository: quay.io/team/app, tag: v1}", "quay.io/team/app:v1"),
    "digest": (f"image: {{repository: quay.io/a, digest: 'sha256:{'a' * 64}'}}", f"quay.io/a@sha256:{'a' * 64}"),
    "bare digest": (f"image: {{repository: quay.io/a, tag: v1, sha: {'a' * 64}}}", f"quay.io/a:v1@sha256:{'a' * 64}"),
    "image and tag side by side": ("cli:\n  image: ghcr.io/team/cli\n  tag: v2", "ghcr.io/team/cli:v2"),
    "name and tag of an image": ("image: {name: team/app, tag: v1}", "team/app:v1"),
    "one text": ("image: team/app:1", "team/app:1"),
    "one text in quotes": ("image: 'team/app:1'", "team/app:1"),
    "a key that ends like one": ("imageEnvoy: x\nproxyImage: envoyproxy/envoy:v1.25", "envoyproxy/envoy:v1.25"),
    "an official name alone": ("test: {image: busybox}", "busybox"),
    "a known host without a tag": ("cacheImage: gcr.io/google-containers/busybox", "gcr.io/google-containers/busybox"),
    "a list of images": ("image:\n  options:\n    - team/one:v1", "team/one:v1"),
    "environment": ("env:\n  - {name: RELATED_IMAGE_PROXY, value: 'team/proxy:1'}", "team/proxy:1"),
    "environment as a section": ("env:\n  OPERAND_IMAGE: team/operand:3", "team/operand:3"),
    "an option": ("args: ['--sidecar-image=quay.io/team/side:1']", "quay.io/team/side:1"),
    "a line of a text": ("config: |\n  sidecar:\n    image: team/side:2\n", "team/side:2"),
    "a container of somebody's own": ("initContainers:\n  - {name: a, image: 'busybox:1.37'}", "busybox:1.37"),
    "a scheme of Palette's": (
        "stylusPackage: container://us-docker.pkg.dev/x/y:v1",
        "container://us-docker.pkg.dev/x/y:v1",
    ),
    "a registry for all": (
        "global: {imageRegistry: mirror.acme.io}\nimage: {repository: a/b, tag: '1'}",
        "mirror.acme.io/a/b:1",
    ),
    "a default registry": (
        "defaults: {image: {registry: docker.io}}\nx: {image: {repository: a/b, tag: '1'}}",
        "docker.io/a/b:1",
    ),
    "a default registry that is overruled": (
        "defaults: {image: {registry: docker.io}}\nx: {image: {repository: a/b, registryOverwrite: gcr.io, tag: '1'}}",
        "gcr.io/a/b:1",
    ),
    "a default tag": (
        "p: {defaults: {image: {tag: 2.3.0}}, x: {image: {repository: a/b, tagOverwrite: }}}",
        "a/b:2.3.0",
    ),
    "a registry above": (
        "image: {baseRepo: registry.k8s.io, nfs: {repository: /sig/nfs, tag: v4}}",
        "registry.k8s.io/sig/nfs:v4",
    ),
}


@pytest.mark.parametrize(("values", "image"), LIKELY.values(), ids=LIKELY)
def test_an_image_is_found_where_its_parts_stand(values: str, image: str) -> None:
    """Each way in which charts write their images is read, and gives one."""
    assert texts(values) == [image]


NOTHING = {
    "a pull policy": "image: {pullPolicy: Always}",
    "a policy in the environment": "env: [{name: IMAGE_PULL_POLICY, value: IfNotPresent}]",
    "features of another image": "imageFeatures: layering",
    "a URL": "repository: https://charts.example/x\ntag: v1",
    "a chart": "repo: oci://quay.io/charts/x\nversion: 1.2.3",
    "a picture": "image: logo.png",
    "a number": "image: 12",
    "a switch": "image: true",
    "null": "image: null",
    "an address": "address: 10.0.0.1:8080",
    "a path": "mount: /var/lib/x:1",
    "an ARN": "role: arn:aws:iam::1234:role/reader",
    "a placeholder": "image: <your image>",
    "a registry for what is not named": "etcd: {imageRepository: registry.k8s.io, imageTag: 3.5.0}",
    "a list of secrets": "imagePullSecrets: [pull]",
}


@pytest.mark.parametrize("values", NOTHING.values(), ids=NOTHING)
def test_what_only_looks_like_an_image_is_not_taken(values: str) -> None:
    """A report full of what is none would not be read."""
    assert [hit for hit in find(values) if hit.confidence != "possible"] == []


POSSIBLE = {
    "turned off": ("exporter: {enabled: false, image: {repository: team/app, tag: v1}}", "turned off", True),
    "not made": ("redis: {create: false, image: 'redis:7'}", "turned off", True),
    "off further up": ("metrics: {enabled: false, exporter: {image: 'team/app:1'}}", "turned off", True),
    "an example": ("image: registry.example.com/your-app:1", "has to be filled in", True),
    "no tag": ("image: {repository: team/app}", "tag is not in the values", False),
    "a tag of what may be no image": ("source: {repository: team/app, tag: ''}", "tag is not in the values", False),
    "a tag that is left open in what is off": ("x: {enabled: false, image: {repository: a/b, tag: }}", "off", False),
    "a tag that is left open in an example": ("image: {repository: your-registry/b, tag: ''}", "filled in", False),
    "a macro": ("image: 'team/app:{{ .spectro.var.TAG }}'", "not known", False),
    "a shape alone": ("server: team/app:1.2", "shape", True),
    "an image of machines": ("osImage: team/os:1.2", "its key is osImage", True),
}


@pytest.mark.parametrize(("values", "reason", "is_complete"), POSSIBLE.values(), ids=POSSIBLE)
def test_what_may_be_one_is_told_as_possible(values: str, reason: str, is_complete: bool) -> None:
    """It is shown with the reason to doubt, and is not carried without being asked for."""
    (hit,) = find(values)

    assert (hit.confidence, hit.is_complete) == ("possible", is_complete)
    assert reason in hit.reason


LEFT_OPEN = {
    "an empty text": "image: {repository: team/app, tag: ''}",
    "a null": "image: {repository: team/app, tag: }",
    "under a key of its own": "image: {registry: quay.io, repository: team/app, imageTag: ''}",
    "on a host of images": "agent: {repository: quay.io/team/app, tag: ''}",
}


@pytest.mark.parametrize("values", LEFT_OPEN.values(), ids=LEFT_OPEN)
def test_a_tag_that_is_left_to_the_chart(values: str) -> None:
    """That the image is used is likely; which one it is, only the chart knows."""
    (hit,) = find(values)

    assert (hit.confidence, hit.is_complete, hit.text.endswith(f"team/app:{UNKNOWN}")) == ("likely", False, True)


def test_a_container_of_a_manifest_is_certain() -> None:
    """A literal reference in a pod spec will be pulled; its place is told by path and line."""
    (hit,) = find("kind: Pod\nspec:\n  containers:\n    - name: app\n      image: busybox\n", in_manifest=True)

    assert hit == Hit("busybox", "certain", "it is in a pod spec", "spec.containers[0].image", 5)


def test_the_line_of_a_text_inside_a_text_is_told() -> None:
    """Of a configuration that a ConfigMap holds, the line in the file counts."""
    (hit,) = find("data:\n  config: |\n    one: 1\n    image: team/app:1\n", in_manifest=True)

    assert (hit.text, hit.line) == ("team/app:1", 4)


def test_aliases_that_unfold_endlessly_are_given_up() -> None:
    """A few lines that stand for a billion entries are refused instead of walked."""
    levels = "".join(f"l{level}: &l{level} [{', '.join([f'*l{level - 1}'] * 9)}]\n" for level in range(1, 12))
    with pytest.raises(ProfileError):
        find(f"l0: &l0 [x, x]\n{levels}")
