"""The README: what it says to type can be typed, what it links to is there, and it leaves nothing out."""

import re
from pathlib import Path

import pytest
from prefect.blocks.core import Block

import blocks
from edgelift.cli.commands import COMMANDS
from tests.cli.surface import all_options, options_of

ROOT = Path(__file__).parents[1]
TEXT = (ROOT / "README.md").read_text()
PROSE = re.sub(r"^```.*?^```$", "", TEXT, flags=re.MULTILINE | re.DOTALL)
TYPED = re.findall(r"^\$ edgelift ([^#\n]+)", TEXT, re.MULTILINE)
SPANS = [" ".join(span.replace("\\|", "|").split()) for span in re.findall(r"`([^`]+)`", PROSE)]
SAID = [span.removeprefix("edgelift ") for span in SPANS if span.removeprefix("edgelift ").split()[0] in COMMANDS]
BLOCKS = [each for each in vars(blocks).values() if isinstance(each, type) and issubclass(each, Block)]


@pytest.mark.parametrize("line", [*TYPED, *SAID])
def test_what_it_says_to_type_can_be_typed(line: str) -> None:
    """The command is there, with each of these options."""
    words = tuple(line.split())
    known = options_of(words)

    assert known is not None
    assert {word for word in words if re.match("--[a-z]", word)} <= known


def test_every_option_that_it_names_is_one() -> None:
    """Of whichever command."""
    named = {span.split()[0] for span in SPANS if re.match("--[a-z]", span)}

    assert len(named) > 20
    assert named <= all_options()


def test_it_names_every_command() -> None:
    """In the table of what there is to use."""
    table = TEXT.partition("| command | does |")[2].partition("\n\n")[0]
    first = " ".join(line.split(" | ")[0] for line in table.splitlines())

    assert [name for name in COMMANDS if f"`{name}" not in first] == []


@pytest.mark.parametrize("block", BLOCKS, ids=lambda block: block.__name__)
def test_it_names_every_setting_of_a_block(block: type[Block]) -> None:
    """Whoever fills in the form finds each field in the table."""
    own = block.model_fields.keys() - Block.model_fields.keys()
    _, _, rows = TEXT.partition(f"| {block.get_block_type_name()} |")
    rows = re.split(r"\n\| [A-Z]|\n\n", rows)[0]

    assert sorted(name for name in own if f"`{name}`" not in rows) == []


def test_what_it_links_to_is_there() -> None:
    """Files of the project, and headings of pages."""
    for link in re.findall(r"\]\((?!https?:)([^)#\s]+)", TEXT):
        assert (ROOT / link).exists(), link
