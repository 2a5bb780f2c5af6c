"""Defining: what is asked for, from files, from Palette and by name, becomes one definition."""

import itertools
import json
from collections.abc import Sequence
from pathlib import Path

import pytest
from pydantic import SecretStr

from edgelift.bundle.definition import BundleDefinition, Release
from edgelift.define import BY_NAME, Defined, check_name, define_bundle, read_exported
from edgelift.demo.images import PROFILE_IMAGES
from edgelift.demo.palette_api import DEMO_PROJECT, export_document
from edgelift.demo.profiles import demo_profiles
from edgelift.errors import ConfigurationError, MalformedReferenceError, ProfileError
from edgelift.palette.client import PaletteClient
from edgelift.palette.models import ClusterProfile
from edgelift.site import ContentSource
from tests.palette.builders import image_values, make_pack, make_profile
from tests.simulators.palette import PaletteSimulator

HOST = "registry.example"
DEMO = demo_profiles(HOST)


def no_palette() -> PaletteClient:
    """For definitions that need none."""
    raise AssertionError("Palette was asked for")


def write(folder: Path, *profiles: ClusterProfile) -> tuple[str, ...]:
    """Export `profiles` into files."""
    paths = [folder / f"{number}.json" for number, _ in enumerate(profiles)]
    for path, profile in zip(paths, profiles, strict=True):
        path.write_text(json.dumps(export_document(profile)))
    return tuple(map(str, paths))


def define(profile_files: Sequence[str] = (), images: Sequence[str] = (), **fields: object) -> Defined:
    """The definition `site` of what stands in files and is named."""
    source = ContentSource.model_validate({"profile_files": profile_files, "images": images, **fields})
    return define_bundle("site", source, no_palette)


def references(definition: BundleDefinition) -> list[str]:
    """The references of a definition."""
    return [image.reference for image in definition.images]


def test_files_and_palette_give_the_same_images(tmp_path: Path) -> None:
    """Profiles read from Palette and the same ones exported declare the same images."""
    with PaletteSimulator(DEMO, "a key") as palette:
        source = ContentSource(profiles=tuple(each.name for each in DEMO), project=DEMO_PROJECT.name)
        client = PaletteClient(palette.url, SecretStr("a key"), project=source.project)
        online = define_bundle("site", source, lambda: client).definition
    exported = define(write(tmp_path, *DEMO)).definition

    assert len(online.images) == len(PROFILE_IMAGES)
    assert references(online) == references(exported)
    assert [(each.name, each.version) for each in online.profiles] == [
        ("edge-infra", "1.0.0"),
        ("hello-site", "1.4.0"),
        ("site-logging", "2.0.1"),
    ]


def test_palette_is_not_asked_where_files_suffice(tmp_path: Path) -> None:
    """Without profiles of Palette no client is made, so that no key is needed."""
    assert len(define(write(tmp_path, *DEMO)).definition.images) == len(PROFILE_IMAGES)


def test_the_order_of_what_is_asked_for_does_not_matter(tmp_path: Path) -> None:
    """Files and images in any order give the same bytes: the lock of the same content is the same."""
    shared = image_values(f"{HOST}/shared:1", f"{HOST}/own:1")
    profiles = [make_profile(make_pack(shared), name=name) for name in ("beta", "alpha", "gamma")]
    images = ("nginx", f"{HOST}/shared:1", "busybox:1.36")
    orders = [*itertools.permutations(zip(profiles, images, strict=True))]
    texts = {
        define(write(tmp_path, *(each for each, _ in order)), [image for _, image in order]).definition.to_yaml()
        for order in orders
    }

    assert (len(orders), len(texts)) == (6, 1)


def test_images_by_name_come_beside_those_of_profiles(tmp_path: Path) -> None:
    """An image that a profile declares, and somebody names as well, is there once, with both origins."""
    files = write(tmp_path, make_profile(make_pack(image_values("nginx:1.27"))))
    definition = define(files, ["docker.io/library/nginx:1.27", "quay.io/app:2"]).definition

    assert references(definition) == ["docker.io/library/nginx:1.27", "quay.io/app:2"]
    assert [str(origin) for origin in definition.images[0].origins] == [
        "site@1.0.0 > web > pack.content.images[0].image",
        "name",
    ]
    assert definition.images[1].origins == (BY_NAME,)


def test_an_image_named_twice_is_there_once() -> None:
    """Two spellings of one reference are one image, asked for once."""
    definition = define(images=["nginx", "docker.io/library/nginx:latest", "index.docker.io/nginx"]).definition

    assert [(each.reference, each.origins) for each in definition.images] == [
        ("docker.io/library/nginx:latest", (BY_NAME,))
    ]


def test_all_malformed_references_are_named_at_once() -> None:
    """Who types three names with two mistakes hears of both."""
    with pytest.raises(MalformedReferenceError) as caught:
        define(images=["https://quay.io/app", "nginx", "Upper/Case:1"])

    assert "'https://quay.io/app'" in caught.value.message
    assert "'Upper/Case:1'" in caught.value.message
    assert "no scheme" in str(caught.value.hint)


def test_malformed_references_are_found_before_palette_is_asked() -> None:
    """A mistake that needs no server is told without one."""
    source = ContentSource(profiles=("edge-infra",), images=("UPPER",))
    with pytest.raises(MalformedReferenceError):
        define_bundle("site", source, no_palette)


def test_the_architecture_is_kept() -> None:
    """The definition says what it is reduced to."""
    assert define(images=["nginx"], architecture="arm64").definition.architecture == "arm64"


def test_settings_answer_macros(tmp_path: Path) -> None:
    """A value for a macro that the profiles cannot give comes from the settings."""
    files = write(tmp_path, make_profile(make_pack(image_values("app:{{ .spectro.system.kubernetes.version }}"))))
    definition = define(files, settings={"kubernetes.version": "1.32.1"}).definition

    assert references(definition) == ["docker.io/library/app:1.32.1"]


def test_an_unresolved_macro_stops_it(tmp_path: Path) -> None:
    """The error names the profile, the pack, the place and the macro."""
    files = write(tmp_path, make_profile(make_pack(image_values("app:{{ .spectro.var.NOBODY }}"))))
    with pytest.raises(ProfileError) as caught:
        define(files)

    assert "site@1.0.0 > web > pack.content.images[0]" in caught.value.message
    assert "NOBODY" in caught.value.message


def test_two_infrastructure_profiles_stop_it(tmp_path: Path) -> None:
    """A cluster has one infrastructure profile; both are named."""
    one, two = (make_profile(make_pack(image_values("app:1")), name=name, type="infra") for name in ("one", "two"))
    with pytest.raises(ProfileError, match=r"only one profile may have infrastructure layers.*one@1.0.0.*two@1.0.0"):
        define(write(tmp_path, one, two))


def test_profiles_without_images_are_nothing_to_carry(tmp_path: Path) -> None:
    """An empty bundle is a mistake; the message says where images stand, and how to name others."""
    with pytest.raises(ConfigurationError, match="nothing to carry") as caught:
        define(write(tmp_path, make_profile(make_pack("pack: {}"))))

    assert "--image" in str(caught.value.hint)


def test_warnings_are_handed_on(tmp_path: Path) -> None:
    """What does not stop the build is told."""
    empty = make_profile(name="empty")
    warnings = define(write(tmp_path, make_profile(make_pack(image_values("app:1"))), empty)).warnings

    assert any("empty@1.0.0" in warning and "no packs" in warning for warning in warnings)


# Lists and definitions


def test_images_of_lists_come_beside_the_others(tmp_path: Path) -> None:
    """A list is as good as naming each of them."""
    (tmp_path / "images.txt").write_text("nginx # the web server\nquay.io/app:2\n")
    definition = define(images=["nginx", "busybox:1"], image_files=(str(tmp_path / "images.txt"),)).definition

    assert references(definition) == ["docker.io/library/busybox:1", "docker.io/library/nginx:latest", "quay.io/app:2"]
    assert {image.origins for image in definition.images} == {(BY_NAME,)}


def test_a_definition_is_built_as_it_is_edited(tmp_path: Path) -> None:
    """Without Palette, under the name of the build; what its file says of images, profiles and levels counts."""
    first = define(write(tmp_path, *DEMO), compression_level=5).definition
    path = tmp_path / "edited.yaml"
    path.write_text(first.to_yaml().replace("images:\n", "images:\n- reference: busybox:1\n", 1))

    built = define(definition_file=str(path)).definition

    assert references(built) == sorted(["docker.io/library/busybox:1", *references(first)])
    assert (built.name, built.profiles, built.compression_level) == ("site", first.profiles, 5)
    assert built.model_copy(update={"images": first.images}) == first


def test_a_release_goes_before_that_of_the_definition(tmp_path: Path) -> None:
    """A pipeline names the version of the day; what it does not name stays."""
    path = tmp_path / "definition.yaml"
    path.write_text(define(images=["nginx"], release={"name": "shop", "version": "1.0"}).definition.to_yaml())

    built = define(definition_file=str(path), release={"version": "2.0"}).definition

    assert built.release is not None
    assert built.release.model_dump(exclude_none=True) == {"name": "shop", "version": "2.0"}
    assert define(definition_file=str(path)).definition.release == Release(name="shop", version="1.0")


# Files


FILES = {
    "no file": (None, "cannot read"),
    "not text": (b"\xff\xfe\x00", "not a text file in UTF-8"),
    "no profile": (b"{}", "holds no cluster profile"),
    "half of one": (b'{"spec": {', "not JSON: line 1"),
    "empty": (b"", "holds no cluster profile"),
}


@pytest.mark.parametrize(("content", "message"), FILES.values(), ids=FILES)
def test_files_that_are_no_profiles_are_named(content: bytes | None, message: str, tmp_path: Path) -> None:
    """Every error about a file begins with, or holds, its path."""
    path = tmp_path / "exported.json"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(ConfigurationError, match=message) as caught:
        read_exported([str(path)])

    assert str(path) in caught.value.message


# Names


@pytest.mark.parametrize("name", ["site-7", "A", "9.1_x", "x" * 100])
def test_names_of_bundles(name: str) -> None:
    """What can be the name of a file everywhere can be the name of a bundle."""
    check_name(name)

    assert BundleDefinition(name=name).name == name


# What is excluded


def test_what_an_excluded_profile_holds_is_left_out(tmp_path: Path) -> None:
    """By reference, whoever else declares it; the definition says which profiles were excluded."""
    wanted = make_profile(make_pack(image_values(f"{HOST}/shared:1", f"{HOST}/own:1")), name="wanted")
    standing = make_profile(make_pack(image_values(f"{HOST}/shared:1", f"{HOST}/old:1")), name="standing")
    files = write(tmp_path, wanted, standing)

    definition = define(files[:1], exclude_profile_files=files[1:]).definition

    assert references(definition) == [f"{HOST}/own:1"]
    assert definition.excluded_profiles is not None
    assert [each.name for each in definition.excluded_profiles] == ["standing"]
    assert BundleDefinition.from_yaml(definition.to_yaml()) == definition


def test_profiles_of_palette_are_excluded_by_name(tmp_path: Path) -> None:
    """Palette is asked for those that are wanted and those that are not, with one client."""
    with PaletteSimulator(DEMO, "a key") as palette:
        source = ContentSource(
            profiles=tuple(each.name for each in DEMO), exclude_profiles=(DEMO[1].name,), project=DEMO_PROJECT.name
        )
        client = PaletteClient(palette.url, SecretStr("a key"), project=source.project)
        online = define_bundle("site", source, lambda: client).definition
    files = write(tmp_path, *DEMO)
    offline = define(files, exclude_profile_files=files[1:2]).definition
    held = {image.reference for image in define(files[1:2]).definition.images}

    assert references(online) == references(offline)
    assert held
    assert not held & set(references(online))


def test_an_image_that_is_named_is_carried_all_the_same(tmp_path: Path) -> None:
    """Who names an image wants it, whatever a profile holds."""
    files = write(tmp_path, make_profile(make_pack(image_values(f"{HOST}/shared:1"))))

    definition = define(images=[f"{HOST}/shared:1"], exclude_profile_files=files).definition

    assert references(definition) == [f"{HOST}/shared:1"]


def test_profiles_that_exclude_everything_leave_nothing(tmp_path: Path) -> None:
    """The error says whose doing it is."""
    files = write(tmp_path, make_profile(make_pack(image_values(f"{HOST}/shared:1"))))

    with pytest.raises(ConfigurationError, match="the excluded profiles hold every image"):
        define(files, exclude_profile_files=files)


def test_an_excluded_profile_that_cannot_be_resolved_is_an_error(tmp_path: Path) -> None:
    """What it holds is not known then, so that nobody can say what to leave out."""
    wanted = make_profile(make_pack(image_values(f"{HOST}/own:1")), name="wanted")
    broken = make_profile(make_pack(image_values("Upper/Case:1")), name="broken")
    files = write(tmp_path, wanted, broken)

    with pytest.raises(ProfileError, match="broken"):
        define(files[:1], exclude_profile_files=files[1:])


def test_a_definition_without_excluded_profiles_is_what_it_was(tmp_path: Path) -> None:
    """The key is there where it says something, and only there."""
    definition = define(write(tmp_path, *DEMO)).definition

    assert "excluded_profiles" not in definition.to_yaml()


@pytest.mark.parametrize("name", ["", "../site", "a/b", ".hidden", "-x", "a b", "x" * 101, "ü", "a\n"])
def test_what_cannot_be_the_name_of_a_bundle(name: str) -> None:
    """A name is never a path, and never an option."""
    with pytest.raises(ConfigurationError, match="cannot be the name of a bundle") as caught:
        define_bundle(name, ContentSource(images=("nginx",)), no_palette)

    assert "letters, digits" in str(caught.value.hint)


# Charts


def chart_values(*names: str) -> str:
    """Values that declare these charts of one repository."""
    entries = "".join(f"      - {{repo: 'https://charts.example', name: {name}, version: 1.0.0}}\n" for name in names)
    return f"pack:\n  content:\n    charts:\n{entries}"


def charts(definition: BundleDefinition) -> list[str]:
    """The charts of a definition."""
    return [f"{each.repository}#{each.name}:{each.version}" for each in definition.charts]


def test_charts_are_something_to_carry(tmp_path: Path) -> None:
    """A profile may have charts and no image, and charts may be asked for by name alone."""
    declared = define(write(tmp_path, make_profile(make_pack(chart_values("web"))))).definition
    named = define(charts=["oci://ghcr.io/team/app:^1.2"]).definition

    assert charts(declared) == ["https://charts.example#web:1.0.0"]
    assert charts(named) == ["oci://ghcr.io/team#app:^1.2"]


def test_charts_by_name_come_beside_those_of_profiles(tmp_path: Path) -> None:
    """One that a profile declares, and somebody names as well, is there once, with both origins."""
    files = write(tmp_path, make_profile(make_pack(chart_values("web"))))
    named = ["https://charts.example#web:1.0.0", "https://charts.example#app:2.x", "https://charts.example#app:2.x"]
    definition = define(files, charts=named).definition

    assert charts(definition) == ["https://charts.example#app:2.x", "https://charts.example#web:1.0.0"]
    assert definition.charts[0].origins == (BY_NAME,)
    assert [str(origin) for origin in definition.charts[1].origins] == [
        "site@1.0.0 > web > pack.content.charts[0]",
        "name",
    ]


def test_charts_of_excluded_profiles_are_left_out(tmp_path: Path) -> None:
    """As images are, but for those that are asked for by name; nothing left is a mistake."""
    wanted = make_profile(make_pack(chart_values("web", "app")), name="wanted")
    standing = make_profile(make_pack(chart_values("web")), name="standing")
    files = write(tmp_path, wanted, standing)

    assert charts(define(files[:1], exclude_profile_files=files[1:]).definition) == ["https://charts.example#app:1.0.0"]
    with pytest.raises(ConfigurationError, match="the excluded profiles hold every"):
        define(files[:1], exclude_profile_files=files[:1])
    kept = define(files[:1], exclude_profile_files=files[:1], charts=["https://charts.example#web:1.0.0"])
    assert charts(kept.definition) == ["https://charts.example#web:1.0.0"]


def test_a_text_that_names_no_chart_stops_it() -> None:
    """The message says how to write one."""
    with pytest.raises(ConfigurationError, match="'web' names no chart"):
        define(charts=["web"])


USES = "sidecar: {image: 'team/side:1'}\nold: {enabled: false, image: 'team/old:1'}\n"


@pytest.mark.parametrize(
    ("policy", "carried"),
    [
        ("none", []),
        ("confident", ["docker.io/team/side:1"]),
        ("all", ["docker.io/team/old:1", "docker.io/team/side:1"]),
        (["team/old:1"], ["docker.io/team/old:1"]),
    ],
)
def test_undeclared_images_are_carried_as_the_source_says(tmp_path: Path, policy: object, carried: list[str]) -> None:
    """Images that a pack uses and does not declare are left out, with a warning, or carried."""
    files = write(tmp_path, make_profile(make_pack(image_values("team/app:1") + USES)))
    defined = define(files, include_undeclared=policy)

    assert references(defined.definition) == sorted(["docker.io/team/app:1", *carried])
    is_left = "docker.io/team/side:1" not in carried
    assert [warning.partition(" are ")[0].partition(" is ")[0] for warning in defined.warnings] == ["1 image"] * is_left


def test_undeclared_images_of_excluded_profiles_are_left_out(tmp_path: Path) -> None:
    """What the site gets from elsewhere by the same policy, it has; what is declared there is not told as missing."""
    wanted = make_profile(make_pack(image_values("team/app:1") + USES), name="wanted")
    held = make_profile(make_pack(image_values("team/base:1") + USES), name="held")
    declares = make_profile(make_pack(image_values("team/side:1")), name="declares")
    (first, second, third) = write(tmp_path, wanted, held, declares)

    both = define([first], exclude_profile_files=[second], include_undeclared="confident").definition
    assert references(both) == ["docker.io/team/app:1"]
    assert define([first], exclude_profile_files=[third]).warnings == ()
