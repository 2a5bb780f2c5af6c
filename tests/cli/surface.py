"""What the command line offers, for tests of what pages say of it."""

from collections.abc import Iterator
from functools import cache

from typer.main import get_command

from edgelift.cli.app import app


@cache
def options_of(words: tuple[str, ...]) -> set[str] | None:
    """The options of the command that `words` begin with, which may be one below another; None where there is none."""
    command = get_command(app)
    for word in words:
        below = getattr(command, "commands", {})
        if word in list(below):
            command = below[word]
    if command.name not in words:
        return None
    return {"--help", *(option for parameter in command.params for option in parameter.opts)}


def all_options() -> set[str]:
    """Those of all commands."""
    return set[str]().union(*(options_of(command) or () for command in all_commands()))


def all_commands() -> Iterator[tuple[str, ...]]:
    """Every command as it is typed, with those below another one."""
    for name, command in getattr(get_command(app), "commands", {}).items():
        yield (name,)
        yield from ((name, below) for below in getattr(command, "commands", ()))
