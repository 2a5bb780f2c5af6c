"""Starting: commands that run no flow do not wait for what only flows need."""

import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from typer.testing import CliRunner

from edgelift.cli.app import app
from edgelift.cli.commands import COMMANDS as EVERY_COMMAND
from edgelift.demo.content import make_image
from edgelift.demo.palette_api import export_document
from tests.cli.commands import CommandLine, make_bundle, references
from tests.cli.surface import all_commands
from tests.palette.builders import image_values, make_pack, make_profile
from tests.simulators.registry import RegistrySimulator

APP = make_image("team/app")
SITES = Path(__file__).parents[2] / "deployments" / "sites"
HEAVY = ("prefect", "boto3", "botocore", "uvicorn", "starlette", "fastapi", "oras", "requests", "cryptography")
# Runs the command line in this interpreter, then tells which modules that took.
PROGRAM = """\
import sys
from edgelift.cli import main
sys.argv[0] = "edgelift"
try:
    main()
except SystemExit as end:
    code = end.code
print("LOADED", *sorted({name.partition(".")[0] for name in sys.modules}), file=sys.stderr)
sys.exit(code)
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where the files of all commands lie."""
    return tmp_path_factory.mktemp("start")


@pytest.fixture(scope="module")
def sim(folder: Path) -> Iterator[RegistrySimulator]:
    """A registry with one image."""
    with RegistrySimulator(folder / "registry") as simulator:
        simulator.put_image(APP)
        yield simulator


@pytest.fixture(scope="module")
def bundle(sim: RegistrySimulator, folder: Path) -> Path:
    """A bundle of that image."""
    return make_bundle(folder / "given", sim.host, APP)


COMMANDS: dict[str, Callable[[RegistrySimulator, Path], tuple[object, ...]]] = {
    "--help": lambda sim, bundle: ("--help",),
    "--version": lambda sim, bundle: ("--version",),
    "build --help": lambda sim, bundle: ("build", "--help"),
    "images": lambda sim, bundle: ("images", bundle.parent / "addon.yaml"),
    "plan": lambda sim, bundle: ("plan", "--image", references(sim.host, APP)[0]),
    "inspect": lambda sim, bundle: ("inspect", bundle),
    "verify": lambda sim, bundle: ("verify", bundle),
    "push --dry-run": lambda sim, bundle: ("push", "--dry-run", "--file", bundle, "--registry", sim.host),
    "sites check": lambda sim, bundle: ("sites", "check", SITES),
    "sites list": lambda sim, bundle: ("sites", "list", SITES),
    "validate": lambda sim, bundle: ("validate", "--file", bundle, "--registry", sim.host),
}


@pytest.mark.parametrize("make_arguments", COMMANDS.values(), ids=COMMANDS)
def test_commands_without_a_flow_load_nothing_heavy(
    make_arguments: Callable[[RegistrySimulator, Path], tuple[object, ...]], sim: RegistrySimulator, bundle: Path
) -> None:
    """Neither Prefect nor S3 nor a web server is loaded, and the command does its work."""
    (bundle.parent / "addon.yaml").write_text(_profile())
    arguments = [sys.executable, "-c", PROGRAM, *map(str, make_arguments(sim, bundle))]
    environment = CommandLine(bundle.parent).full_environment
    done = subprocess.run(arguments, capture_output=True, text=True, env=environment, timeout=60, check=False)
    _, found, loaded = done.stderr.rpartition("LOADED ")

    assert found, done.stderr
    assert done.returncode == (3 if "validate" in arguments else 0), done.stderr
    assert "typer" in loaded.split()
    assert sorted(set(HEAVY) & set(loaded.split())) == []


def test_every_command_has_an_example_or_an_obvious_use(command_line: CommandLine) -> None:
    """The list of commands is complete, each with a sentence, and the exit codes are told."""
    text = command_line.run("--help").out

    for command in EVERY_COMMAND:
        assert f" {command} " in text
    assert "3 incomplete" in text


@pytest.mark.parametrize("command", [(), *all_commands()], ids=" ".join)
def test_every_command_explains_itself(command: tuple[str, ...]) -> None:
    """Whatever brackets there are in what its help says."""
    shown = CliRunner().invoke(app, [*command, "--help"], catch_exceptions=False)

    assert shown.exit_code == 0
    assert "Usage: " in shown.output


def test_a_target_of_a_copy_is_explained_to_the_letter() -> None:
    """What looks like markup to the library that draws the help is none."""
    shown = CliRunner().invoke(app, ["copy", "--help"], env={"COLUMNS": "200"})

    assert "HOST[:PORT][/BASE]; else HOST[:PORT]/REPOSITORY[:TAG]" in shown.output


def test_sync_tells_of_direct_copies(command_line: CommandLine) -> None:
    """What only a site file can say is named where it is looked for."""
    assert "direct: true" in command_line.run("sync", "--help").out


@pytest.mark.parametrize("option", ["--mirror", "--rewrite"])
def test_where_content_is_read_from_is_a_way_to_get_in(option: str, command_line: CommandLine) -> None:
    """Mirrors say how registries are reached, like certificates, and nothing about what is wanted."""
    _, _, text = command_line.run("build", "--help").out.partition("How to get in")

    assert option in text.partition("╰")[0]


def test_no_command_is_a_request_for_help(command_line: CommandLine) -> None:
    """Without a command the help is shown, and that is a usage error; so is a command that does not exist."""
    outcomes = [command_line.run(), command_line.run("bulid")]

    assert [outcome.code for outcome in outcomes] == [2, 2]
    assert "Usage: edgelift" in outcomes[0].out + outcomes[0].err
    assert "bulid" in outcomes[1].err


def _profile() -> str:
    return json.dumps(export_document(make_profile(make_pack(image_values("nginx:1")), name="addon")))


def test_httpx_brings_no_command_line_of_its_own() -> None:
    """The HTTP client is loaded without the program that comes with it, and what that draws its output with."""
    program = "import sys, edgelift.transport; print(sorted({'click', 'rich', 'pygments'} & sys.modules.keys()))"
    told = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)

    assert told.stdout == "[]\n"


def test_what_reads_a_bundle_names_no_site() -> None:
    """`inspect` and `serve` begin without the settings of builds and pushes, and S3 without boto3's transfers."""
    program = (
        "import sys, edgelift.cli.bundles, edgelift.cli.serving; from edgelift.s3 import make_client; "
        "make_client(endpoint='http://s3.example', region=None, access_key=None, secret_key=None, ca_cert=None, "
        "insecure=False, connections=1); "
        "print(sorted({'edgelift.site', 'edgelift.store.local', 'boto3', 's3transfer'} & sys.modules.keys()))"
    )
    environment = {**os.environ, "AWS_EC2_METADATA_DISABLED": "true"}
    told = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True, env=environment)

    assert told.stdout == "[]\n"


STARTS_A_SERVER = """\
import sys
from edgelift.cli.prefect_api import start_server
from edgelift.errors import ConfigurationError
sys.executable = sys.argv[1]
try:
    start_server("127.0.0.1", 1)
except ConfigurationError as error:
    print(error.message)
"""
WISHES = {"none": {}, "all but one": {"PYDANTIC_DISABLE_PLUGINS": "slow-plugin"}}


@pytest.mark.parametrize("wishes", WISHES.values(), ids=WISHES)
def test_a_server_that_is_started_finds_the_plugins_of_its_user(wishes: dict[str, str], tmp_path: Path) -> None:
    """That our own start looks for none of pydantic's is not handed on; what the user has said of them is."""
    server = tmp_path / "server"
    server.write_text("#!/bin/sh\nenv\n")
    server.chmod(0o755)
    environment = {**CommandLine(tmp_path).full_environment, "XDG_CACHE_HOME": str(tmp_path), **wishes}
    command = [sys.executable, "-c", STARTS_A_SERVER, str(server)]
    told = subprocess.run(command, capture_output=True, text=True, env=environment, timeout=60, check=True)
    found = (tmp_path / "edgelift" / "prefect-server.log").read_text().splitlines()

    assert "did not start" in told.stdout
    assert [line for line in found if "PYDANTIC" in line] == [f"{name}={value}" for name, value in wishes.items()]
