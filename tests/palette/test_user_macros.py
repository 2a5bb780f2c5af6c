"""User macros: read where a profile asks for them, the nearest level counts, and no value is told to anybody."""

import logging
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from pydantic import SecretStr

from edgelift.bundle.definition import BundleDefinition
from edgelift.demo.palette_tenant import TENANT_UID, DemoTenant
from edgelift.errors import PaletteError
from edgelift.palette.client import PaletteClient
from edgelift.palette.macros import MacroExpander
from edgelift.palette.models import ClusterProfile
from edgelift.palette.resolve import Resolution, resolve_profiles
from tests.palette.builders import image_values, load_packs, make_pack, make_profile, messages, references, variables
from tests.simulators.palette import PaletteSimulator

KEY = "a1b2c3d4e5f6-secret-key"
UID = "65c90f2d0a1b2c3d4e5f6a70"
TENANT = DemoTenant(
    macros={"registry": "tenant.example", "team": "tenants"}, system_macros={"team": "all", "zone": "z1"}
)
LISTS = ["/v1/users/info", f"/v1/tenants/{TENANT_UID}/macros", "/v1/users/system/macros"]


def asking(*images: str) -> ClusterProfile:
    """A profile that declares these images."""
    return make_profile(make_pack(image_values(*(f"'{image}'" for image in images))), uid=UID)


@contextmanager
def palette(profile: ClusterProfile, tenant: DemoTenant = TENANT, **macros: str) -> Iterator[PaletteSimulator]:
    """A Palette with this profile, and these macros of its project."""
    with PaletteSimulator([profile], KEY, macros=macros, tenant=tenant) as simulator:
        yield simulator


def read(simulator: PaletteSimulator, project: str | None = "demo") -> ClusterProfile:
    """The profile as the client gives it."""
    with PaletteClient(simulator.url, SecretStr(KEY), project=project, sleep=lambda _seconds: None) as client:
        return client.read_profile(UID)


def resolve(profile: ClusterProfile, tenant: DemoTenant = TENANT, **macros: str) -> Resolution:
    """What it resolves to, read from Palette."""
    with palette(profile, tenant, **macros) as simulator:
        return resolve_profiles([read(simulator)])


PRECEDENCE = {
    "project before tenant": ("registry", "project.example"),
    "tenant before system": ("team", "tenants"),
    "system alone": ("zone", "z1"),
}


@pytest.mark.parametrize(("name", "expected"), PRECEDENCE.values(), ids=PRECEDENCE)
def test_the_nearest_level_counts(name: str, expected: str) -> None:
    """A project's macro hides the tenant's of the same name, and that one the system's."""
    profile = asking(f"quay.io/x:{{{{ .spectro.macro.{name} }}}}")

    assert references(resolve(profile, registry="project.example")) == [f"quay.io/x:{expected}"]


def test_the_lists_of_all_are_asked_for_without_a_project() -> None:
    """In the scope of a project Palette would answer with another list."""
    with palette(asking("{{ .spectro.macro.registry }}/x:1")) as simulator:
        read(simulator)
    scopes = {exchange.path: exchange.headers.get("projectuid") for exchange in simulator.exchanges}

    assert [scopes[path] for path in LISTS] == [None] * 3


def test_nobody_asks_for_macros_that_no_profile_names() -> None:
    """Profiles without user macros cost no request more, and need no right to read macros."""
    with palette(asking("quay.io/x:1")) as simulator:
        read(simulator)

    assert not [path for path in simulator.paths if "macros" in path or "users" in path]


def test_the_lists_are_read_once() -> None:
    """Several profiles of one project share them."""
    with (
        palette(asking("{{ .spectro.macro.registry }}/x:1")) as simulator,
        PaletteClient(simulator.url, SecretStr(KEY), project="demo", sleep=lambda _seconds: None) as client,
    ):
        assert client.read_profile(UID) == client.read_profile(UID)

    assert [simulator.paths.count(path) for path in LISTS] == [1] * 3


def test_the_tenant_is_known_by_its_uid() -> None:
    """A profile that asks for the tenant's uid gets it, without any macro being read."""
    with palette(asking("quay.io/t:{{ .spectro.system.tenant.uid }}")) as simulator:
        resolution = resolve_profiles([read(simulator)])

    assert references(resolution) == [f"quay.io/t:{TENANT_UID}"]
    assert not [path for path in simulator.paths if "macros" in path]


def test_levels_that_the_key_may_not_see_are_named_where_they_matter() -> None:
    """What the project itself has is enough; a macro that may be elsewhere is an error that says so."""
    hidden = DemoTenant(shows_macros=False)
    profile = asking("{{ .spectro.macro.registry }}/x:1", "{{ .spectro.macro.zone }}/x:1")
    resolution = resolve(profile, hidden, registry="project.example")
    (message,) = messages(resolution)

    assert references(resolution) == ["project.example/x:1"]
    assert "does not show this API key those of the tenant and the system" in message


def test_an_older_palette_names_no_tenant() -> None:
    """Where nobody says which tenant it is, its macros are hidden, and the project's are there."""
    with palette(asking("{{ .spectro.macro.registry }}/x:1"), registry="project.example") as simulator:
        simulator.answers_with(404, body=b"{}", path="/users/info$")
        profile = read(simulator)

    assert references(resolve_profiles([profile])) == ["project.example/x:1"]
    assert profile.user_macros is not None
    assert profile.user_macros.hidden == ("tenant",)


def test_a_server_in_trouble_is_not_a_list_that_is_hidden() -> None:
    """Macros that could not be read are an error: another level's value would be the wrong one."""
    with palette(asking("{{ .spectro.macro.registry }}/x:1")) as simulator:
        simulator.answers_with(500, path="/tenants/.*/macros$", times=None)
        with pytest.raises(PaletteError, match="500"):
            read(simulator)


def test_an_exported_profile_has_no_values_of_user_macros() -> None:
    """The sentence says why, and how to give the value."""
    (message,) = messages(resolve_profiles([asking("{{ .spectro.macro.registry }}/x:1")]))

    assert "not part of an exported profile" in message
    assert "--set macro.registry=VALUE" in message


SECRET = "hunter2"

LEAKS = {
    "no reference": ("{{ .spectro.macro.password }}:::", SECRET),
    "in upper case": ("quay.io/{{ .spectro.macro.password | upper }}/x:1", SECRET),
    "braces in the value": ("quay.io/x:{{ .spectro.macro.password }}", f"{{{{ {SECRET} }}}}"),
    "half a brace in the value": ("quay.io/x:{{ .spectro.macro.password }}", f"{SECRET}{{{{"),
    "a word in the value": ("quay.io/x:{{ .spectro.macro.password }}", "{{ .spectro.var.A | hunter2 }}"),
    "through the value of a pack": ("{{ .spectro.pack.other.place }}", f"//{SECRET}"),
    "far too long": ("quay.io/x:{{ .spectro.macro.password }}", SECRET * 1000),
}  # fmt: skip


@pytest.mark.parametrize(("image", "value"), LEAKS.values(), ids=LEAKS)
def test_no_message_shows_the_value_of_a_user_macro(image: str, value: str, caplog: pytest.LogCaptureFixture) -> None:
    """Macros hold passwords, too: what becomes no reference is neither in an error nor in a log."""
    other = make_pack("place: '{{ .spectro.macro.password }}:x:y'", "other")
    profile = make_profile(make_pack(image_values(f"'{image}'")), other, uid=UID)
    with caplog.at_level(logging.DEBUG):
        resolution = resolve(profile, password=value)

    assert messages(resolution)
    for told in (*messages(resolution), caplog.text, repr(resolution)):
        assert SECRET.lower() not in told.lower()


def test_neither_a_profile_nor_an_expander_shows_values() -> None:
    """What prints a profile prints no macro."""
    with palette(asking("{{ .spectro.macro.password }}/x:1"), password=SECRET) as simulator:
        profile = read(simulator)

    assert SECRET not in f"{profile!r}{profile.user_macros!r}{profile.model_dump()!r}"


def test_what_ends_in_a_reference_is_in_the_definition() -> None:
    """A registry's name may come from a macro: the reference is what is carried, and nothing else of it is kept."""
    resolution = resolve(asking("{{ .spectro.macro.registry }}/x:1"), registry="project.example", password=SECRET)
    text = BundleDefinition(images=resolution.images).to_yaml()

    assert ("project.example/x:1" in text, SECRET in text) == (True, False)


def test_a_login_does_not_get_into_the_address_of_a_chart() -> None:
    """A chart repository with a login out of macros would put it into the lock."""
    values = (
        "pack:\n  content:\n    charts:\n      - name: app\n        version: 1.0.0\n"
        "        repo: 'https://u:{{ .spectro.macro.password }}@charts.example'\n"
    )
    resolution = resolve(make_profile(make_pack(values), uid=UID), password=SECRET)
    (message,) = messages(resolution)

    assert (resolution.charts, SECRET in message, "credentials file" in message) == ((), False, True)


def test_a_macro_inside_a_macro_is_expanded() -> None:
    """The value of a user macro may name another macro."""
    profile = make_profile(
        make_pack(image_values("'quay.io/x:{{ .spectro.macro.tag }}'")), uid=UID, variables=variables(TAG="2.0")
    )

    assert references(resolve(profile, tag="v{{ .spectro.var.TAG }}")) == ["quay.io/x:v2.0"]


def test_a_setting_wins_over_a_user_macro() -> None:
    """A site may have another registry than its project."""
    with palette(asking("{{ .spectro.macro.registry }}/x:1"), registry="project.example") as simulator:
        profile = read(simulator)
    packs = load_packs(profile)

    expander = MacroExpander(packs, {"macro.registry": "site.example"})
    expansion = expander.expand("{{ .spectro.macro.registry }}", packs[0])

    assert (expansion.text, expansion.is_secret) == ("site.example", False)
