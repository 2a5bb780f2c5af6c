"""Rules for mirrors and rewrites: which places hold a repository, in which order, and under which name."""

import pytest

from edgelift.errors import ConfigurationError
from edgelift.oci.mirrors import Mirrors

MIRRORS = [
    "docker.io=one.example:5000/hub",
    "docker.io=two.example",
    "docker.io/bitnami=three.example/b",
    "ghcr.io/team=one.example:5000",
    "Index.Docker.io/grafana = two.example/g/ ",
]
REWRITES = ["quay.io=inside.example/quay", "ghcr.io/team/secret=inside.example/s", "docker.io/bitnami=inside.example"]


def where(name: str, mirrors: list[str] = MIRRORS, rewrites: list[str] = REWRITES) -> list[str]:
    """The places for the repository `name`, as they are asked."""
    host, _, repository = name.partition("/")
    places = Mirrors.parse(mirrors, rewrites).places(host, repository)
    return [f"{place.host}/{place.locate(repository)}" for place in places]


FOUND = {
    "mirrors in order, then the original": (
        "docker.io/library/nginx",
        ["one.example:5000/hub/library/nginx", "two.example/library/nginx", "docker.io/library/nginx"],
    ),
    "of several sources the longest, and a rewrite in place of the original": (
        "docker.io/bitnami/redis",
        ["three.example/b/redis", "inside.example/redis"],
    ),
    "a path that is taken away": ("ghcr.io/team/app", ["one.example:5000/app", "ghcr.io/team/app"]),
    "mirrors and rewrites each by their own longest source": (
        "ghcr.io/team/secret/app",
        ["one.example:5000/secret/app", "inside.example/s/app"],
    ),
    "a rewrite alone": ("quay.io/kairos/core", ["inside.example/quay/kairos/core"]),
    "another spelling of the host": ("docker.io/grafana/loki", ["two.example/g/loki", "docker.io/grafana/loki"]),
    "a name that only begins alike": ("ghcr.io/teams/app", ["ghcr.io/teams/app"]),
    "a registry that no rule names": ("registry.k8s.io/pause", ["registry.k8s.io/pause"]),
}


@pytest.mark.parametrize(("name", "expected"), FOUND.values(), ids=FOUND)
def test_places_are_found(name: str, expected: list[str]) -> None:
    """Prefixes match whole path components, and are replaced by the path of the place."""
    assert where(name) == expected


def test_a_repository_without_a_name_at_a_place() -> None:
    """Where nothing is left of a name there is nothing to ask for at that place."""
    assert where("ghcr.io/team", ["ghcr.io/team=one.example"], []) == ["one.example/None", "ghcr.io/team"]


def test_a_name_that_becomes_too_long() -> None:
    """A place does not hold what it can have no valid name for."""
    long = "/".join(["part" * 10] * 5)

    assert where(f"quay.io/{long}", [f"quay.io=one.example/{'x' * 60}"], [])[0] == "one.example/None"


WRONG = {
    "no equals sign": "docker.io",
    "a scheme": "docker.io=https://mirror.example",
    "a source without a registry": "bitnami=mirror.example",
    "nothing to go to": "docker.io=",
    "nothing to come from": "=mirror.example",
    "a tag": "docker.io=mirror.example/hub:1",
    "a repository in upper case": "docker.io=mirror.example/Hub",
    "a login": "docker.io=courier:hunter2@mirror.example",
    "a port that is none": "docker.io=mirror.example:99999",
}


@pytest.mark.parametrize("text", WRONG.values(), ids=WRONG)
@pytest.mark.parametrize("kind", ["mirror", "rewrite"])
def test_a_rule_that_means_nothing_is_refused(text: str, kind: str) -> None:
    """The error shows the rule, how one is written, and no password."""
    with pytest.raises(ConfigurationError, match="names no mirror") as caught:
        Mirrors.parse(*([[text], []] if kind == "mirror" else [[], [text]]))

    assert "SOURCE=HOST" in str(caught.value.hint)
    assert "hunter2" not in str(caught.value)


def test_a_source_is_rewritten_once() -> None:
    """Several originals are a mistake; several mirrors are none."""
    with pytest.raises(ConfigurationError, match=r"several rewrites of docker\.io"):
        Mirrors.parse([], ["docker.io=one.example", "index.docker.io=two.example"])
