"""The options that say how to get into registries, where a command takes them as one thing."""

from pathlib import Path

import typer
from typer.main import get_command
from typer.testing import CliRunner

from edgelift.cli.access import takes_access
from edgelift.cli.app import app
from edgelift.site import DEFAULT_ACCESS, RegistryAccess

TAKE_ACCESS = ("copy", "images", "list", "restore")


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
    """Under the same names as commands that list them by themselves."""
    commands = getattr(get_command(app), "commands", {})
    options = {name: {option for each in commands[name].params for option in each.opts} for name in TAKE_ACCESS}

    for known in options.values():
        assert {"--ca-cert", "--insecure", "--insecure-registry", "--cert-dir", "--cred-file-path", "--aws"} <= known
