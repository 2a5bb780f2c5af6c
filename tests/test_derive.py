"""Deriving: what a source leaves open comes from the site's edge hosts, and what it says stays."""

import pytest

from edgelift.derive import derive_source
from edgelift.errors import ConfigurationError, PaletteError
from edgelift.palette.edge_hosts import EdgeHost, HostProfile
from edgelift.site import ContentSource

INFRASTRUCTURE = HostProfile(uid="65c90f2d0a1b2c3d4e5f6a70", name="edge-infra", version="1.0.0")
APPS = HostProfile(uid="65c90f2d0a1b2c3d4e5f6a71", name="apps", version="2.1.0")


def host(name: str, architecture: str = "amd64", *profiles: HostProfile) -> EdgeHost:
    """An edge host."""
    return EdgeHost(uid=name, name=name, architecture=architecture, profiles=profiles)


def source(**fields: object) -> ContentSource:
    """A source that asks for the hosts of a site."""
    return ContentSource.model_validate({"edge_hosts": "site:harbour-12", **fields})


def test_profiles_and_architecture_are_the_hosts() -> None:
    """Each profile once, by uid, and the architecture that all of them have."""
    hosts = [host("a", "arm64", INFRASTRUCTURE, APPS), host("b", "arm64", INFRASTRUCTURE)]
    derived, lines = derive_source(source(), hosts)

    assert (derived.profiles, derived.architecture) == ((INFRASTRUCTURE.uid, APPS.uid), "arm64")
    assert lines == [
        "2 edge hosts have the tag site:harbour-12: a (arm64), b (arm64)",
        "only arm64 is carried for them",
        "they run apps@2.1.0, edge-infra@1.0.0",
    ]


ARCHITECTURES = {
    "several": (["amd64", "arm64"], None),
    "one that has not been told": (["amd64", ""], None),
    "one that nobody knows": (["riscv64"], None),
    "one": (["amd64", "amd64"], "amd64"),
}


@pytest.mark.parametrize(("told", "expected"), ARCHITECTURES.values(), ids=ARCHITECTURES)
def test_hosts_of_several_architectures_keep_all(told: list[str], expected: str | None) -> None:
    """Nothing is left out that one of the hosts may need."""
    hosts = [host(f"host-{number}", each, APPS) for number, each in enumerate(told)]

    assert derive_source(source(), hosts)[0].architecture == expected


def test_what_the_source_says_stays() -> None:
    """Who names profiles and an architecture means them; the hosts are listed all the same."""
    wanted = source(profiles=["other"], architecture="amd64")
    derived, lines = derive_source(wanted, [host("a", "arm64", APPS)])

    assert (derived, len(lines)) == (wanted, 1)


def test_many_hosts_are_counted() -> None:
    """A line stays a line."""
    _, lines = derive_source(source(), [host(f"host-{number:03}", "amd64", APPS) for number in range(60)])

    assert lines[0].startswith("60 edge hosts have the tag site:harbour-12: host-000 (amd64), ")
    assert lines[0].endswith(" and 50 more")


def test_no_host_is_an_error() -> None:
    """A misspelt tag does not build an empty bundle."""
    with pytest.raises(PaletteError, match="no edge host with the tag site:harbour-12"):
        derive_source(source(), [])


def test_hosts_without_profiles_are_an_error_where_nothing_else_is_asked_for() -> None:
    """Hosts that have just been registered run nothing yet; with images by name there is something to carry."""
    with pytest.raises(ConfigurationError, match="has cluster profiles"):
        derive_source(source(), [host("new")])

    assert derive_source(source(images=["nginx"]), [host("new")])[0].profiles == ()
