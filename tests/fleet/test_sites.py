"""The sites of a fleet."""

import pytest

from edgelift.errors import ConfigurationError
from edgelift.fleet.sites import choose_canaries
from tests.fleet.sites import make_site


def test_a_site_that_waits_for_approval_is_in_no_fleet() -> None:
    """A fleet asks nobody, so it does not push where somebody has to be asked."""
    with pytest.raises(ConfigurationError, match="deliveries to b wait for approval"):
        choose_canaries([make_site("a"), make_site("b", approval=True)], ())


def test_canaries_are_named_in_files_or_by_hand() -> None:
    """Both count."""
    sites = choose_canaries([make_site("a", canary=True), make_site("b"), make_site("c")], ["b"])

    assert [(site.name, site.canary) for site in sites] == [("a", True), ("b", True), ("c", False)]


@pytest.mark.parametrize(
    ("names", "canaries", "message"),
    [((), (), "a fleet of no sites"), ("aa", (), "two sites are called a"), ("a", ("b",), "'b' is to be a canary")],
    ids=["no site", "one name twice", "an unknown canary"],
)
def test_a_fleet_that_cannot_be_is_refused(names: str, canaries: tuple[str, ...], message: str) -> None:
    """Before anything is planned."""
    with pytest.raises(ConfigurationError, match=message):
        choose_canaries([make_site(name) for name in names], canaries)
