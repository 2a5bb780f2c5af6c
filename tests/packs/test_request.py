"""Which packs a definition asks for: those of profiles by Palette's registries, and local ones."""

import json
from pathlib import Path

import pytest
import yaml
from pydantic import SecretStr

from edgelift.attachments import PackSource
from edgelift.define import Defined, define_bundle
from edgelift.demo.palette_api import DEMO_PROJECT, export_document
from edgelift.demo.palette_tenant import DemoRegistry, DemoTenant
from edgelift.errors import ConfigurationError, ProfileError
from edgelift.palette.client import PaletteClient
from edgelift.palette.models import ClusterProfile
from edgelift.site import ContentSource
from tests.packs.samples import make_pack_folder
from tests.palette.builders import image_values, make_pack, make_profile
from tests.simulators.palette import PaletteSimulator

KEY = "a key"
UID = "65c90f2d0a1b2c3d4e5f6a70"
IMAGES = image_values("quay.io/app:1")
TENANT = DemoTenant(
    registries=(
        DemoRegistry("packs", "Edge Packs", "oci", "https://registry.example/v2/", base_path="/edge/"),
        DemoRegistry("charts", "Charts", "oci", "https://charts.example", provider="helm"),
    )
)


def profile(*registries: str, **fields: str) -> ClusterProfile:
    """A profile with one pack from each of `registries`, by uid."""
    packs = [make_pack(IMAGES, name=f"pack-{uid}", registry_uid=uid, **fields) for uid in registries]
    return make_profile(*packs, uid=UID)


def define_online(palette: PaletteSimulator, **packs: object) -> Defined:
    """What the profile in `palette` and its packs come to."""
    client = PaletteClient(palette.url, SecretStr(KEY), project=DEMO_PROJECT.name)
    source = ContentSource(
        profiles=(UID,), project=DEMO_PROJECT.name, packs=PackSource.model_validate({"include": True, **packs})
    )
    return define_bundle("site", source, lambda: client)


def no_palette() -> PaletteClient:
    """As on a machine without a key."""
    raise ConfigurationError("there is no API key")


def define(folder: Path, *profiles: ClusterProfile, images: tuple[str, ...] = (), **packs: object) -> Defined:
    """What exported profiles and packs come to, without Palette."""
    files = [folder / f"{number}.json" for number, _ in enumerate(profiles)]
    for file, each in zip(files, profiles, strict=True):
        file.write_text(json.dumps(export_document(each)))
    source = ContentSource(profile_files=tuple(map(str, files)), images=images, packs=PackSource.model_validate(packs))
    return define_bundle("site", source, no_palette)


def packs_of(defined: Defined) -> list[str]:
    """The references of the packs."""
    return [pack.reference for pack in defined.definition.packs or ()]


def test_a_pack_is_where_palette_says(tmp_path: Path) -> None:
    """Endpoint and base path of its registry, by the uid that the profile has; the origin names profile and pack."""
    with PaletteSimulator([profile("packs")], KEY, tenant=TENANT) as palette:
        defined = define_online(palette)

    (pack,) = defined.definition.packs or ()
    assert pack.reference == "registry.example/edge/spectro-packs/archive/pack-packs:1.0.0"
    assert [str(origin) for origin in pack.origins] == ["site@1.0.0 > pack-packs"]
    assert [image.reference for image in defined.definition.images] == ["quay.io/app:1"]


def test_what_is_no_pack_is_passed_over() -> None:
    """Charts and manifests of profiles are other things than packs, wherever they come from."""
    others = [make_pack(IMAGES, name=kind, type=kind, registry_uid="packs") for kind in ("helm", "manifest")]
    chart = make_pack(IMAGES, name="chart", type="oci", registry_uid="charts")
    site = make_profile(*others, chart, *profile("packs").packs, uid=UID)
    with PaletteSimulator([site], KEY, tenant=TENANT) as palette:
        assert packs_of(define_online(palette)) == ["registry.example/edge/spectro-packs/archive/pack-packs:1.0.0"]


def test_all_packs_without_a_place_are_named_at_once() -> None:
    """A registry that Palette does not list as one for packs stops the build, and the way out is told."""
    with (
        PaletteSimulator([profile("gone", "charts", "packs")], KEY, tenant=TENANT) as palette,
        pytest.raises(ProfileError) as caught,
    ):
        define_online(palette)

    assert "pack-gone: its registry, gone, is no OCI pack registry" in caught.value.message
    assert "pack-charts: its registry, Charts, is no OCI pack registry" in caught.value.message
    assert "pack-packs" not in caught.value.message
    assert "--pack-registry" in str(caught.value.hint)


def test_a_named_registry_needs_no_palette(tmp_path: Path) -> None:
    """With an exported profile alone the place has to be said; it stands for the registries of all packs."""
    defined = define(tmp_path, profile("any", "other"), include=True, registry="127.0.0.1:5000/edge")

    assert packs_of(defined) == [
        "127.0.0.1:5000/edge/spectro-packs/archive/pack-any:1.0.0",
        "127.0.0.1:5000/edge/spectro-packs/archive/pack-other:1.0.0",
    ]


def test_without_palette_and_without_a_registry_nobody_knows(tmp_path: Path) -> None:
    """The error says what only Palette knows, and how to do without."""
    with pytest.raises(ConfigurationError, match="only Palette knows where the packs are") as caught:
        define(tmp_path, profile("any"), include=True)

    assert "--pack-registry HOST/BASE" in str(caught.value.hint)


def test_packs_are_left_out_unless_they_are_wanted(tmp_path: Path) -> None:
    """A definition without packs has the bytes that it had before there were any."""
    text = define(tmp_path, profile("any")).definition.to_yaml()

    assert "packs" not in yaml.safe_load(text)
    assert "spectro-packs" not in text


def test_what_an_excluded_profile_has_is_left_out(tmp_path: Path) -> None:
    """As with its images: by reference."""
    excluded = tmp_path / "excluded.json"
    excluded.write_text(json.dumps(export_document(profile("any"))))
    wanted = tmp_path / "wanted.json"
    wanted.write_text(json.dumps(export_document(profile("any", "new"))))
    source = ContentSource(
        profile_files=(str(wanted),),
        exclude_profile_files=(str(excluded),),
        packs=PackSource(include=True, registry="registry.example"),
    )

    assert packs_of(define_bundle("site", source, no_palette)) == [
        "registry.example/spectro-packs/archive/pack-new:1.0.0"
    ]


# Local packs


def test_a_local_pack_brings_what_it_declares(tmp_path: Path) -> None:
    """Its images and charts are found as in a profile's pack; their origins say the pack, and no path."""
    charts = "    charts:\n      - {repo: https://charts.example, name: web, version: 1.0.0}\n"
    folder = make_pack_folder(tmp_path / "pack", IMAGES + charts)
    definition = define(tmp_path, paths=[str(folder)]).definition

    assert [str(origin) for origin in definition.images[0].origins] == ["greeting > pack.content.images[0].image"]
    assert [str(origin) for origin in definition.charts[0].origins] == ["greeting > pack.content.charts[0]"]
    assert [str(origin) for pack in definition.packs or () for origin in pack.origins] == ["greeting > pack.json"]
    assert definition.profiles == ()
    assert str(tmp_path) not in definition.to_yaml()


def test_an_image_of_a_profile_and_of_a_local_pack_is_there_once(tmp_path: Path) -> None:
    """With both origins; and the macros of a local pack see the packs of the profiles."""
    values = image_values("quay.io/app:{{ .spectro.pack.web.tag }}")
    folder = make_pack_folder(tmp_path / "pack", values)
    site = make_profile(make_pack(f"tag: '1'\n{IMAGES}"))
    definition = define(tmp_path, site, paths=[str(folder)]).definition

    assert [image.reference for image in definition.images] == ["quay.io/app:1"]
    assert len(definition.images[0].origins) == 2
    assert [each.name for each in definition.profiles] == ["site"]


def test_what_a_local_pack_uses_and_does_not_declare_is_found(tmp_path: Path) -> None:
    """Its manifests are looked at as those of profiles are; what cannot be looked at does not stop the build."""
    manifest = b"kind: Pod\nspec:\n  containers:\n  - {name: a, image: 'quay.io/team/forgotten:1.0'}\n"
    extra = {"manifests/pod.yaml": manifest, "charts/web.tgz": b"no chart"}
    named = {"kubeManifests": ["manifests/pod.yaml"], "charts": ["charts/web.tgz"]}
    folder = make_pack_folder(tmp_path / "pack", IMAGES, extra=extra, **named)
    source = ContentSource(packs=PackSource(paths=(str(folder),)), include_undeclared="confident")
    told = define(tmp_path, paths=[str(folder)]).warnings

    assert [image.reference for image in define_bundle("site", source, no_palette).definition.images] == [
        *("quay.io/app:1", "quay.io/team/forgotten:1.0")
    ]
    assert any("1 image is used by these packs, but not declared" in line for line in told)


def test_only_the_images_of_a_local_pack(tmp_path: Path) -> None:
    """What it declares is carried, the pack itself is not."""
    folder = make_pack_folder(tmp_path / "pack", IMAGES)
    definition = define(tmp_path, paths=[str(folder)], images_only=True).definition

    assert ([each.reference for each in definition.images], definition.packs) == (["quay.io/app:1"], None)


def test_a_pack_alone_is_something_to_carry(tmp_path: Path) -> None:
    """A local pack without images is a bundle of one."""
    definition = define(tmp_path, paths=[str(make_pack_folder(tmp_path / "pack"))]).definition

    assert [each.reference for each in definition.requested] == ["local.invalid/spectro-packs/archive/greeting:1.0.0"]


def test_the_order_of_local_packs_does_not_matter(tmp_path: Path) -> None:
    """The same packs give the same definition."""
    paths = [str(make_pack_folder(tmp_path / name, IMAGES, name=name)) for name in ("beta", "alpha")]

    assert define(tmp_path, paths=paths) == define(tmp_path, paths=paths[::-1])


CONTRADICTIONS = {
    "a registry for no packs": ({"registry": "registry.example"}, "say include"),
    "only images of nothing": ({"images_only": True}, "name their paths"),
    "only images, and packs": ({"images_only": True, "include": True, "paths": ("a",)}, "leave out include"),
}


@pytest.mark.parametrize(("fields", "says"), CONTRADICTIONS.values(), ids=CONTRADICTIONS)
def test_settings_that_contradict_each_other(fields: dict[str, object], says: str) -> None:
    """They are refused where they are written down."""
    with pytest.raises(ValueError, match=says):
        PackSource.model_validate(fields)
