"""The tables in docs/palette-cli.md: no flag of Palette's command lines is missing, and what they name is there."""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest

from tests.cli.surface import options_of

TESTS = Path(__file__).parent
PAGE = (TESTS.parent / "docs" / "palette-cli.md").read_text()
REASONS = ("not needed: ", "cannot be had: ")
TRUST = ["--ca-cert", "--help", "--insecure", "--progress", "--tls-cert", "--tls-key"]  # what most of them take

# The flags by command, as Palette's documentation has them for the CLI 4.10, and older ones that people still use.
FLAGS = {
    "palette content build": [
        *TRUST,
        *("--application-release-name", "--application-release-notes", "--application-release-version"),
        *("--arch", "--build-type", "--cluster-definition-name", "--cluster-definition-profile-ids"),
        *("--compression-level", "--custom-ui", "--download-cluster-config-only", "--encryption-passphrase"),
        *("--existing-bundles", "--exclude-profiles", "--fips", "--images-only", "--include-all-palette-images"),
        *("--include-core-palette-images-only", "--include-packs", "--include-service-images", "--metadata-file"),
        *("--metadata-only", "--name", "--output", "--packs", "--private-key", "--profiles", "--project-id", "--push"),
        *("--registry", "--skip-cleanup", "INCLUDE_COMPLIANCE_IMAGES"),
    ],
    "palette content push": [*TRUST, "--annotation-selector", "--arch", "--file", "--registry"],
    "palette content copy": [*TRUST, "--annotation-selector", "--arch", "--destination", "--source"],
    "palette content definition": [*TRUST, "PATH", "--arch"],
    "palette content list": [*TRUST, "--arch", "--repo"],
    "palette content registry-login": [*TRUST, "--arch", "--password", "--registry", "--username"],
    "palette content save": [*TRUST, "--arch", "--compression-level", "--definition-only", "--output", "--source"],
    "palette content serve": [*TRUST, "--arch", "--bundle", "--disk", "--host", "--port"],
    "palette content upload": [
        *("HOST", "--ca", "--chunk-size", "--cluster-export", "--connections", "--file", "--full-verify", "--help"),
        *("--insecure", "--legacy", "--port", "--resume", "--signature", "--src-url", "--tls", "--token"),
    ],
    "palette-edge build": [
        *("--api-key", "--cluster-definition-name", "--cluster-definition-profile-ids", "--cluster-profile-ids"),
        *("--config", "--cred-file-path", "--debug", "--export-for-connected", "--help", "--include-core-images-only"),
        *("--include-palette-content", "--iso", "--logfile", "--outfile", "--palette-endpoint", "--private-key"),
        *("--project-id", "--trace"),
    ],
    "palette-edge deploy": ["--export", "--password", "--url", "--username"],
    "palette-edge, the rest": ["build-from-local", "show", "upload"],
}


class Row(NamedTuple):
    """One flag: what does it here, and what shows that."""

    command: str
    flag: str
    here: str
    shown_by: str

    @property
    def reason(self) -> str | None:
        """Why no test shows it; None where one does."""
        return next((reason for reason in REASONS if self.shown_by.startswith(reason)), None)


def rows() -> Iterator[Row]:
    """The rows of all tables of flags."""
    for section in PAGE.partition("\n## Every flag\n")[2].split("\n### ")[1:]:
        command, _, text = section.partition("\n")
        for line in text.splitlines():
            if line.startswith("| `"):
                flag, here, shown_by = (cell.strip() for cell in line.strip("|").split("|"))
                yield Row(command, flag.strip("`"), here, shown_by)


ROWS = list(rows())
SHOWN = [row for row in ROWS if row.reason is None]


@pytest.mark.parametrize("command", FLAGS)
def test_no_flag_is_missing(command: str) -> None:
    """Each flag of a command has one row, and there is none beside them."""
    assert sorted(FLAGS[command]) == sorted(row.flag for row in ROWS if row.command == command)


def test_no_command_is_missing() -> None:
    """The tables are those of the commands."""
    assert list(FLAGS) == list(dict.fromkeys(row.command for row in ROWS))


@pytest.mark.parametrize("row", ROWS, ids=lambda row: f"{row.command} {row.flag}")
def test_each_row_says_something(row: Row) -> None:
    """A row names what does it and the test, or why it is not needed or cannot be had."""
    if row.reason is None:
        assert row.here
    else:
        assert len(row.shown_by) > len(row.reason) + 10
        assert row.here == ""


@pytest.mark.parametrize("row", SHOWN, ids=lambda row: f"{row.command} {row.flag}")
def test_each_command_and_option_is_there(row: Row) -> None:
    """What a row says to use can be used."""
    for span in re.findall(r"`edgelift ([^`]+)`", row.here):
        words = span.split()
        known = options_of(tuple(words))

        assert known is not None, span
        assert {word for word in words if word.startswith("--")} <= known, span


@pytest.mark.parametrize("row", SHOWN, ids=lambda row: f"{row.command} {row.flag}")
def test_each_test_is_there(row: Row) -> None:
    """Files exist, and hold a test of that name."""
    named = re.findall(r"`([\w/]+\.py)::(test_\w+)`", row.shown_by)

    assert named
    assert re.sub(r"`[\w/]+\.py::test_\w+`", "", row.shown_by).strip(" ,") == ""
    for path, test in named:
        assert f"def {test}(" in (TESTS / path).read_text(), (path, test)


def test_examples_name_commands_that_are_there() -> None:
    """So do the tables of tasks, and what is typed in the examples, but for placeholders."""
    before = PAGE.partition("\n## Every flag\n")[0]
    spans = [*re.findall(r"`edgelift ([^`]+)`", before), *re.findall(r"^\$ edgelift (.+)$", before, re.MULTILINE)]
    assert len(spans) > 10

    for span in spans:
        words = span.split()
        known = options_of(tuple(words))
        assert known is not None, span
        assert {word for word in words if word.startswith("--")} <= known, span
