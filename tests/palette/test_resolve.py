"""Resolving profiles: every image and chart once with all its origins, every problem at once with its place."""

import pytest

from edgelift.bundle.definition import Origin, ProfileVersion, RequestedChart
from edgelift.errors import ProfileError
from edgelift.palette.models import ClusterProfile
from edgelift.palette.resolve import resolve_profiles
from tests.palette.builders import image_values, make_pack, make_profile, messages, references

DIGEST = f"sha256:{'a' * 64}"


def test_an_image_is_listed_once_with_all_its_origins() -> None:
    """The same image asked for by two packs and two profiles is one image that knows all four places."""
    site = make_profile(make_pack(image_values("a/x:1", "a/x:1"), "one"), make_pack(image_values("a/x:1"), "two"))
    other = make_profile(make_pack(image_values("b/y:1", "a/x:1"), "three"), name="other")
    image = next(each for each in resolve_profiles([site, other]).images if each.reference == "docker.io/a/x:1")
    assert [str(origin) for origin in image.origins] == [
        "site@1.0.0 > one > pack.content.images[0].image",
        "site@1.0.0 > one > pack.content.images[1].image",
        "site@1.0.0 > two > pack.content.images[0].image",
        "other@1.0.0 > three > pack.content.images[1].image",
    ]


def test_images_are_sorted_by_canonical_reference() -> None:
    """The order of packs and entries does not show in the list of images."""
    profile = make_profile(make_pack(image_values("quay.io/b:1", "nginx:1", "ghcr.io/a:2", "ghcr.io/a:1")))
    assert references(resolve_profiles([profile])) == [
        "docker.io/library/nginx:1",
        "ghcr.io/a:1",
        "ghcr.io/a:2",
        "quay.io/b:1",
    ]


SAME_IMAGE = {
    "Docker Hub's names": ["busybox:1", "docker.io/busybox:1", "index.docker.io/library/busybox:1"],
    "latest": ["quay.io/a/b", "quay.io/a/b:latest"],
    "case of the host": ["Quay.IO/a/b:1", "quay.io/a/b:1"],
    "container scheme": ["container://quay.io/a/b:1", "quay.io/a/b:1"],
    "spaces": ['"quay.io/a/b:1 "', "quay.io/a/b:1"],
    "digest": [f"quay.io/a/b@{DIGEST}", f'"quay.io/a/b@{DIGEST}"'],
}


@pytest.mark.parametrize("spellings", SAME_IMAGE.values(), ids=SAME_IMAGE)
def test_spellings_of_one_image_are_merged(spellings: list[str]) -> None:
    """However an image is written, it is one, with an origin for each spelling."""
    (image,) = resolve_profiles([make_profile(make_pack(image_values(*spellings)))]).images
    assert len(image.origins) == len(spellings)


def test_tag_and_digest_of_one_repository_stay_two_images() -> None:
    """What is pinned is not what is tagged."""
    profile = make_profile(make_pack(image_values("quay.io/a:1", f"quay.io/a@{DIGEST}", f"quay.io/a:1@{DIGEST}")))
    assert len(resolve_profiles([profile]).images) == 3


def test_a_windows_image_is_an_image() -> None:
    """Whether a platform can be had is for the plan to say; the name is taken as it is."""
    name = "quay.io/prometheus/exporter-windows-amd64-nanoserver-ltsc2019:0.30"
    assert references(resolve_profiles([make_profile(make_pack(image_values(name)))])) == [name]


def test_charts_are_merged_like_images() -> None:
    """A chart that two packs ask for is one chart with two origins."""
    values = "pack: {content: {charts: [{repo: 'https://example.com/charts%s', name: web, version: v1.10}]}}"
    profile = make_profile(make_pack(values % "/", "one"), make_pack(values % "", "two"))
    path = "pack.content.charts[0]"
    assert resolve_profiles([profile]).charts == (
        RequestedChart(
            repository="https://example.com/charts",
            name="web",
            version="v1.10",
            origins=(
                Origin(profile="site@1.0.0", pack="one", path=path),
                Origin(profile="site@1.0.0", pack="two", path=path),
            ),
        ),
    )


def test_macros_in_charts_are_expanded() -> None:
    """Charts may take their version from the values, as images do."""
    values = "v: 1.10\npack: {content: {charts: [{repo: example.com, name: web, version: '{{.spectro.pack.web.v}}'}]}}"
    (chart,) = resolve_profiles([make_profile(make_pack(values))]).charts
    assert chart.version == "1.10"


def test_profiles_are_recorded_as_they_were_read() -> None:
    """The resolution says which versions it comes from and how many packs they had."""
    profile = make_profile(make_pack(), make_pack(name="db"), uid="65c90f2d0a1b2c3d4e5f6a70")
    assert resolve_profiles([profile]).profiles == (
        ProfileVersion(name="site", version="1.0.0", uid="65c90f2d0a1b2c3d4e5f6a70", type="add-on", packs=2),
    )


def test_a_profile_named_twice_counts_once() -> None:
    """The same infrastructure profile given twice is one profile, not two that compete."""
    profile = make_profile(make_pack(image_values("a/x:1")), type="infra")
    resolution = resolve_profiles([profile, profile.model_copy()])
    assert (len(resolution.profiles), len(resolution.images[0].origins), resolution.problems) == (1, 1, ())


INFRASTRUCTURE = {
    "two infrastructure": (["infra", "infra"], True),
    "infrastructure and full": (["infra", "cluster"], True),
    "two full": (["cluster", "cluster"], True),
    "infrastructure and add-ons": (["infra", "add-on", "add-on"], False),
    "full and add-on": (["cluster", "addon"], False),
    "system profiles": (["infra", "system"], False),
    "add-ons alone": (["add-on", "add-on"], False),
}


@pytest.mark.parametrize(("types", "is_refused"), INFRASTRUCTURE.values(), ids=INFRASTRUCTURE)
def test_one_profile_at_most_has_infrastructure(types: list[str], is_refused: bool) -> None:
    """A cluster has one infrastructure, and so has what is bundled for it."""
    profiles = [make_profile(make_pack(), name=f"p{n}", type=each) for n, each in enumerate(types)]
    assert bool(messages(resolve_profiles(profiles))) is is_refused


def test_competing_infrastructure_profiles_are_named() -> None:
    """The message tells which profiles compete."""
    profiles = [make_profile(make_pack(), name=each, type="infra") for each in ("north", "south")]
    (message,) = messages(resolve_profiles(profiles))
    assert ("north@1.0.0 (infra)" in message, "south@1.0.0 (infra)" in message) == (True, True)


def test_without_a_type_the_pack_layers_decide() -> None:
    """Profiles that come without a type are infrastructure when they hold an operating system or Kubernetes."""
    layers = ["os", "k8s", "addon"]
    profiles = [make_profile(make_pack(layer=each), name=each, type="") for each in layers]
    (message,) = messages(resolve_profiles(profiles))
    assert "os@1.0.0 (by its packs), k8s@1.0.0 (by its packs);" in message


def test_all_problems_are_reported_together() -> None:
    """Macros, references, lists and broken values of several packs come in one error, each with its place."""
    profile = make_profile(
        make_pack(image_values('"{{ .spectro.system.cluster.name }}/x:1"', "good/one:1"), "macro"),
        make_pack(image_values("Quay.io/Upper:1"), "name"),
        make_pack("pack:\n  content:\n    images: nginx\n", "list"),
        make_pack("pack:\n\tcontent: x\n", "tab"),
    )
    resolution = resolve_profiles([profile])
    with pytest.raises(ProfileError) as caught:
        resolution.raise_for_errors()
    places = [
        "site@1.0.0 > tab: its values cannot be read: line 2, column 1",
        "site@1.0.0 > macro > pack.content.images[0].image: {{ .spectro.system.cluster.name }} cannot be expanded",
        "site@1.0.0 > name > pack.content.images[0].image: 'Quay.io/Upper:1' is not an image reference",
        "site@1.0.0 > list > pack.content.images: this is not a list",
    ]
    assert [place in str(caught.value) for place in places] == [True] * 4
    assert (references(resolution), caught.value.exit_code) == (["docker.io/good/one:1"], 2)


def test_settings_resolve_what_profiles_cannot() -> None:
    """A setting given for the macro makes the reference whole."""
    profile = make_profile(make_pack(image_values('"{{ .spectro.system.cluster.name }}/x:1"')))
    resolution = resolve_profiles([profile], {"cluster.name": "edge.example.com"})
    assert (references(resolution), resolution.problems) == (["edge.example.com/x:1"], ())


def test_warnings_alone_raise_nothing() -> None:
    """A misspelt key is reported, and what is right is resolved."""
    values = "pack:\n  content:\n    images:\n      - iamge: a/x:1\n      - image: a/y:1\n"
    resolution = resolve_profiles([make_profile(make_pack(values))])
    resolution.raise_for_errors()
    assert (references(resolution), len(messages(resolution, "warning"))) == (["docker.io/a/y:1"], 1)


COMPOSED = """
pack:
  content:
    images:
      - image: "{{.spectro.pack.edge-native-byoi.options.system.uri}}"
options:
  system.uri: "{{ .spectro.pack.edge-native-byoi.options.system.registry }}/ubuntu\
:k3s-{{ .spectro.system.kubernetes.version }}-{{ .spectro.pack.edge-native-byoi.options.system.customTag }}"
  system.registry: ttl.sh
  system.customTag: 1.10
"""


def infrastructure(os_values: str) -> ClusterProfile:
    """An infrastructure profile with these values of its operating system pack."""
    return make_profile(
        make_pack(os_values, "edge-native-byoi", layer="os"),
        make_pack("", "edge-k3s", layer="k8s", version="1.32.1"),
        name="infra",
        type="infra",
    )


def test_the_composed_image_of_an_operating_system_pack_is_resolved() -> None:
    """The provider image of an edge host is put together from the pack's own options and the Kubernetes version."""
    assert references(resolve_profiles([infrastructure(COMPOSED)])) == ["ttl.sh/ubuntu:k3s-1.32.1-1.10"]


def test_an_operating_system_pack_without_an_image_is_in_order() -> None:
    """`NA` says that the host brings its own system: nothing to pull and nothing to report."""
    values = image_values('"{{.spectro.pack.edge-native-byoi.system.uri}}"') + "system.uri: NA\n"
    assert resolve_profiles([infrastructure(values)]).model_dump(include={"images", "problems"}) == {
        "images": (),
        "problems": (),
    }


def test_an_image_that_expands_to_nothing_is_reported() -> None:
    """An empty option leaves no image, which somebody may have meant otherwise."""
    values = image_values('"{{.spectro.pack.edge-native-byoi.system.uri}}"') + "system.uri:\n"
    assert "expands to nothing" in messages(resolve_profiles([infrastructure(values)]), "warning")[0]


def test_curly_quotes_are_read_and_named_with_their_line() -> None:
    """An image pasted with curly quotes is plain enough; Palette itself takes the quotes for a part of the name."""
    resolution = resolve_profiles([make_profile(make_pack(image_values("“nginx:1.27”")))])
    (message,) = messages(resolution, "warning")
    assert references(resolution) == ["docker.io/library/nginx:1.27"]
    assert message.startswith("site@1.0.0 > web: line 4 of its values has curly quotes")


def test_prose_in_curly_quotes_is_not_named() -> None:
    """A sentence in somebody's description harms nobody."""
    values = image_values("nginx:1.27") + "title: “Hello” says the pack\nmotto: “well done”\n# see “x”\n"
    assert resolve_profiles([make_profile(make_pack(values))]).problems == ()


def test_half_curly_quotes_are_an_error_with_their_line() -> None:
    """Quotes that open and do not close leave no plain meaning."""
    (message,) = messages(resolve_profiles([make_profile(make_pack(image_values("“nginx:1.27")))]))
    assert message.endswith("(line 4 of the values); it stands in curly quotes, use straight ones")


def test_misplaced_content_is_named_with_its_line() -> None:
    """Content at the margin is reported once, with the line to indent."""
    values = "pack:\n  namespace: web\ncontent:\n  images:\n    - image: nginx:1.27\n"
    (message,) = messages(resolve_profiles([make_profile(make_pack(values))]), "warning")
    assert message.startswith("site@1.0.0 > web > content: 'content:' stands beside 'pack:'")
    assert message.endswith("(line 3 of the values)")


def test_an_invalid_pack_is_a_warning_while_its_values_are_there() -> None:
    """A pack whose tag left its pack registry still says what it needs."""
    pack = make_pack(image_values("a/x:1"), is_invalid=True, invalid_reason="tag\ndeleted")
    resolution = resolve_profiles([make_profile(pack)])
    assert references(resolution) == ["docker.io/a/x:1"]
    assert messages(resolution, "warning") == [
        "site@1.0.0 > web: Palette calls this pack invalid (tag deleted): its tag 1.0.0 is gone from its pack registry"
    ]


def test_an_invalid_pack_without_values_is_an_error() -> None:
    """Nothing can tell what such a pack needs."""
    assert len(messages(resolve_profiles([make_profile(make_pack("", is_invalid=True))]))) == 1


NAMED = "{}  spectrocloud.com/display-name: {}\n"


def test_a_pack_used_twice_under_display_names_is_told_apart() -> None:
    """Origins carry the display name, and nothing is reported."""
    values = image_values("a/x:1")
    profile = make_profile(*(make_pack(NAMED.format(values, name)) for name in ("front", "back")))
    resolution = resolve_profiles([profile])
    assert [origin.pack for origin in resolution.images[0].origins] == ["web (front)", "web (back)"]
    assert resolution.problems == ()


def test_a_pack_used_twice_without_display_names_is_reported() -> None:
    """Palette itself tells two uses of a pack apart by their display names only."""
    profile = make_profile(make_pack(image_values("a/x:1")), make_pack(image_values("a/y:1")))
    resolution = resolve_profiles([profile])
    assert (len(resolution.images), len(messages(resolution, "warning"))) == (2, 1)


def test_notices_of_a_profile_are_warnings() -> None:
    """What the reader of a profile noticed reaches the report."""
    profile = make_profile(make_pack(), notices=("this version is not published: its draft was read",))
    assert messages(resolve_profiles([profile]), "warning") == [
        "site@1.0.0: this version is not published: its draft was read"
    ]


def test_a_profile_without_packs_is_reported() -> None:
    """Nothing to bundle is seldom what was meant."""
    assert messages(resolve_profiles([make_profile()]), "warning") == ["site@1.0.0: this profile has no packs"]


def test_no_profiles_resolve_to_nothing() -> None:
    """Extra images alone need no profile."""
    resolve_profiles([]).raise_for_errors()
    assert resolve_profiles([]).images == ()
