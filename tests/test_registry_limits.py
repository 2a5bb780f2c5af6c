"""Limits that all runs share, as a site file writes them."""

import pytest
from pydantic import ValidationError

from edgelift.errors import ConfigurationError
from edgelift.registry_limits import limit_name, parse_limits
from edgelift.site import RegistryAccess

LIMITS = {
    "none": ((), {}),
    "two": (("quay.io=4", "mirror.example:5000=12"), {"quay.io": 4, "mirror.example:5000": 12}),
    "every name of Docker Hub": (("index.docker.io=3", "docker.io=3"), {"docker.io": 3}),
    "in capitals": (("QUAY.io=4",), {"quay.io": 4}),
}


@pytest.mark.parametrize(("texts", "limits"), LIMITS.values(), ids=LIMITS)
def test_limits_are_read(texts: tuple[str, ...], limits: dict[str, int]) -> None:
    """By the one spelling of a host, whichever was written; a site file takes the texts as they are."""
    assert parse_limits(RegistryAccess(registry_limits=texts).registry_limits) == limits


def test_two_limits_of_a_registry_are_told() -> None:
    """All runs share it, so it cannot be two."""
    with pytest.raises(ConfigurationError, match=r"quay\.io is limited to 4 images at once, and to 5"):
        parse_limits(("quay.io=4", "quay.io=5"))


@pytest.mark.parametrize("text", ["quay.io", "quay.io=", "quay.io=0", "quay.io=x", "=4", "quay.io/team=4", "a b=4"])
def test_a_wrong_limit_is_refused_with_the_site_file(text: str) -> None:
    """Before anything is deployed or run."""
    with pytest.raises(ValidationError):
        RegistryAccess(registry_limits=(text,))


def test_a_limit_is_called_after_its_registry() -> None:
    """So that people find it in Prefect's UI."""
    assert limit_name("mirror.example:5000") == "registry-mirror.example:5000"
