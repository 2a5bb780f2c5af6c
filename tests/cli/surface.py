"""What the command line offers, for tests of what pages say of it."""

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
    found = set[str]()
    for name, command in getattr(get_command(app), "commands", {}).items():
        for below in ((), *((each,) for each in getattr(command, "commands", ()))):
            found |= options_of((name, *below)) or set()
    return found
