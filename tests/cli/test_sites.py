"""The commands about site files: `edgelift sites check` and `edgelift sites list`."""

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from tests.cli.commands import CommandLine

PLAIN = """\
name: plant-7
source: {images: [nginx]}
target: {registry: "mirror.example:5000"}
"""
FULL = """\
name: harbour-12
description: Berth 12.
source:
  profiles: [edge-infra@1.0.0, apps]
  architecture: amd64
  require_signatures: true
  include_undeclared: confident
target: {registry: registry.example/edge, on_conflict: replace}
archive: {block: bundles}
window: {start: "22:00", end: "04:30", timezone: Europe/Berlin}
schedules:
  - {name: nightly, cron: 15 2 * * *, timezone: Europe/Berlin}
  - {name: weekly, cron: 0 3 * * 0, timezone: Europe/Berlin, active: false, deep: true}
"""


@pytest.fixture
def sites(tmp_path: Path) -> Path:
    """The folder that is looked at where none is named."""
    folder = tmp_path / "deployments" / "sites"
    folder.mkdir(parents=True)
    (folder / "a.yaml").write_text(PLAIN)
    (folder / "b.yaml").write_text(FULL)
    return folder


def test_right_files_are_counted(command_line: CommandLine, sites: Path) -> None:
    """Without paths it is the usual folder; all is right, and the exit code says so."""
    plain, document = command_line.run("sites", "check"), command_line.run("sites", "check", sites, "--json")

    assert (plain.code, plain.out, plain.err) == (0, "2 site files are right\n", "")
    assert (document.code, document.document) == (0, {"files": 2, "problems": []})


def test_all_mistakes_are_told_with_file_and_line(command_line: CommandLine, sites: Path) -> None:
    """One run names all of them, also for scripts, and ends with the exit code of wrong settings."""
    (sites / "c.yaml").write_text(PLAIN.replace("[nginx]", "[Nginx]") + "depp: true\n")
    (sites / "d.yaml").write_text("name: [")

    plain, document = command_line.run("sites", "check"), command_line.run("sites", "check", "--json")

    lines = plain.err.splitlines()
    assert (plain.code, plain.out, lines[0]) == (2, "", "error: 2 of 4 site files cannot be used")
    assert [line.split(": ")[:2] for line in lines[1:3]] == [
        ["  - deployments/sites/c.yaml:2", "source.images.0"],
        ["  - deployments/sites/c.yaml:4", "depp"],
    ]
    assert lines[3].startswith("  - deployments/sites/d.yaml is not YAML at line 1")
    assert document.code == 2
    assert [(each["file"][-6:], each["line"], each["place"]) for each in document.document["problems"]] == [
        ("c.yaml", 2, "source.images.0"),
        ("c.yaml", 4, "depp"),
        ("d.yaml", None, ""),
    ]


def test_a_list_shows_what_sites_are(command_line: CommandLine, sites: Path) -> None:
    """Name, target, profiles, schedules, window, way and policies of each site; wrong files are told, too."""
    (sites / "c.yaml").write_text("name: [")

    listed = command_line.run("sites", "list")

    rows = [line.split("  ") for line in listed.out.splitlines()]
    plain, full = ([cell.strip() for cell in row if cell] for row in rows[1:])
    assert [cell.strip() for cell in rows[0] if cell] == [
        *("NAME", "TARGET", "PROFILES", "SCHEDULE", "NEXT", "WINDOW", "HOW", "POLICY"),
    ]
    assert plain == ["plant-7", "mirror.example:5000", "-", "by hand", "-", "-", "bundle", "-"]
    assert full[:4] == [
        *("harbour-12", "registry.example/edge", "edge-infra@1.0.0, apps"),
        "15 2 * * * Europe/Berlin; 0 3 * * 0 Europe/Berlin (off)",
    ]
    assert full[5:] == [
        *("22:00-04:30 Europe/Berlin", "archive bundles"),
        "signatures required, undeclared: confident, on conflict replace",
    ]
    assert (listed.code, "c.yaml is not YAML" in listed.err) == (2, True)


def test_a_list_for_scripts_has_the_next_run(command_line: CommandLine, sites: Path) -> None:
    """It is the next time of a schedule that is active, in the time zone of the site."""
    before = datetime.now(UTC)
    plain, full = command_line.run("sites", "list", "--json", sites).document

    following = datetime.fromisoformat(full["next"])
    assert (following.hour, following.minute) == (2, 15)
    assert timedelta(0) <= following - before <= timedelta(hours=26)
    assert (plain["next"], plain["schedules"], plain["images"]) == (None, [], 1)
    assert [each["name"] for each in full["schedules"]] == ["nightly", "weekly"]
    assert (full["file"], full["direct"], full["archive"]) == (str(sites / "b.yaml"), False, {"block": "bundles"})
    assert full["policy"] == {
        "on_conflict": "replace",
        "require_signatures": True,
        "include_undeclared": "confident",
        "deep": False,
    }


def test_a_place_without_site_files_is_told(command_line: CommandLine, tmp_path: Path) -> None:
    """A wrong path is no empty list."""
    (tmp_path / "empty").mkdir()

    outcomes = [command_line.run("sites", "list", path) for path in ("empty", "nowhere")]

    assert [outcome.code for outcome in outcomes] == [2, 2]
    assert ["there is no site file in empty" in outcomes[0].err, "cannot read nowhere" in outcomes[1].err] == [True] * 2
