"""The site files of a fleet."""

import json
from pathlib import Path

import pytest

from edgelift.errors import ConfigurationError
from edgelift.fleet.sites import choose_canaries, read_sites
from tests.fleet.sites import make_site


def write(folder: Path, name: str) -> Path:
    """A site file."""
    folder.mkdir(exist_ok=True)
    path = folder / f"{name}.yaml"
    path.write_text(json.dumps(make_site(name).model_dump(mode="json", exclude_defaults=True)))
    return path


def test_files_and_folders_are_read(tmp_path: Path) -> None:
    """A folder stands for its site files, by name; other files in it are left alone."""
    alone = write(tmp_path / "alone", "zeta")
    for name in ("beta", "alpha"):
        write(tmp_path / "sites", name)
    (tmp_path / "sites" / "README.md").write_text("about the sites")

    assert [site.name for site in read_sites([alone, tmp_path / "sites"])] == ["zeta", "alpha", "beta"]


def test_a_site_that_waits_for_approval_is_in_no_fleet() -> None:
    """A fleet asks nobody, so it does not push where somebody has to be asked."""
    with pytest.raises(ConfigurationError, match="deliveries to b wait for approval"):
        choose_canaries([make_site("a"), make_site("b", approval=True)], ())


def test_an_empty_folder_is_no_fleet(tmp_path: Path) -> None:
    """Whoever names the wrong folder is told."""
    with pytest.raises(ConfigurationError, match="has no site files"):
        read_sites([tmp_path])


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
