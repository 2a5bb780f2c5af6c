"""The options that say how to get into registries, where a command takes them as one thing."""

from pathlib import Path
from typing import Any

import typer
from typer.main import get_command
from typer.testing import CliRunner

from edgelift.cli.access import takes_access
from edgelift.cli.app import app
from edgelift.site import DEFAULT_ACCESS, RegistryAccess

TAKE_ACCESS = ("build", "copy", "images", "list", "plan", "push", "restore", "store fsck", "validate")
READ_SOURCES = ("build", "plan", "store fsck")
ACCESS = {
    *("--cred-file-path", "--ca-cert", "--insecure", "--insecure-registry", "--cert-dir", "--plain-http"),
    *("--trusted-realm", "--aws", "--parallel"),
}


def test_options_of_access_become_one_setting(tmp_path: Path) -> None:
    """The command gets what they say, and nothing of it is lost; without any, it is what it always is."""
    given: list[tuple[str, RegistryAccess]] = []

    @takes_access
    def command(place: str, access: RegistryAccess = DEFAULT_ACCESS) -> None:
        """Note what is given."""
        given.append((place, access))

    alone = typer.Typer()
    alone.command()(command)
    authority, certificates = tmp_path / "ca.pem", tmp_path / "certs.d"
    authority.touch()
    certificates.mkdir()
    said = ["--ca-cert", authority, "--insecure", "--insecure-registry", "b:5000", "--cert-dir", certificates]
    arguments = (["here", *map(str, said), "--parallel", "2"], ["there"])
    outcomes = [CliRunner().invoke(alone, each) for each in arguments]

    assert [outcome.exit_code for outcome in outcomes] == [0, 0], outcomes
    (first, access), (second, default) = given
    assert (first, second, default) == ("here", "there", DEFAULT_ACCESS)
    assert (access.ca_cert, access.insecure, access.insecure_hosts, access.certs_dir, access.parallel) == (
        *(str(authority), True, ("b:5000",), str(certificates), 2),
    )


def test_commands_have_them() -> None:
    """Under the same names, and with the same help, for each; mirrors only where content is read."""
    known = {name: {each.opts[0]: each.help for each in command_of(name).params} for name in TAKE_ACCESS}
    fsck = known["store fsck"]

    for name, options in known.items():
        mirrors = {"--mirror", "--rewrite"} if name in READ_SOURCES else set()
        assert ACCESS | mirrors <= options.keys()
        assert options.keys() & {"--mirror", "--rewrite"} == mirrors
        assert {option: fsck[option] for option in ACCESS | mirrors}.items() <= options.items()


def command_of(name: str) -> Any:
    """The command that is called so: `store fsck` is one of several."""
    command: Any = get_command(app)
    for part in name.split():
        command = command.commands[part]
    return command
