"""The table in docs/security.md: each test that it names is there."""

import re
from pathlib import Path

import pytest

TESTS = Path(__file__).parents[1]
TABLE = (TESTS.parent / "docs" / "security.md").read_text().partition("## Rows and tests")[2].partition("\n## ")[0]
ROWS = [line for line in TABLE.splitlines() if line.startswith("| ") and "`" in line]


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.split("|")[1].strip()[:40])
def test_each_row_names_tests_that_are_there(row: str) -> None:
    """Files exist, and hold a test of that name, or one that begins like it where the name is cut."""
    file = TESTS
    named = re.findall(r"`([\w/]+\.py)?(?:::(\w+…?))?`", row)
    found = [(path, test) for path, test in named if path or test]

    assert found
    for path, test in found:
        file = TESTS / path if path else file
        assert file.is_file()
        assert f"def {test.removesuffix('…')}" in file.read_text() or not test


def test_the_table_is_there() -> None:
    """The rows of the table are found, so that the test above has something to look at."""
    assert len(ROWS) > 15
