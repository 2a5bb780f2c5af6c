"""`edgelift upload`: a file to an edge host, from the command line."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from edgelift.oci.digest import Digest
from tests.certificates import Authority
from tests.cli.commands import CommandLine
from tests.keys import KeyFiles, signing_key
from tests.simulators.edge_host import UPLOADED, EdgeHostSimulator, sync_document

PASSWORD = "a-made-up-password"
CONTENT = b"what Palette would have built"
FROM_ENVIRONMENT = {"EDGELIFT_EDGE_PASSWORD": PASSWORD}


@pytest.fixture
def simulator() -> Iterator[EdgeHostSimulator]:
    """An edge host."""
    with EdgeHostSimulator(PASSWORD) as simulator:
        yield simulator


@pytest.fixture(autouse=True)
def files(command_line: CommandLine) -> Path:
    """The folder that the commands run in, with a bundle, a cluster definition and the password in it."""
    (command_line.folder / "site.tar.zst").write_bytes(CONTENT)
    (command_line.folder / "demo.tgz").write_bytes(b"a definition")
    (command_line.folder / "password").write_text(f"{PASSWORD}\n")
    return command_line.folder


def test_an_upload(simulator: EdgeHostSimulator, command_line: CommandLine) -> None:
    """The result is one line, after a warning on what edge hosts are known to take."""
    outcome = command_line.run("upload", "site.tar.zst", simulator.url, "--user", "admin", **FROM_ENVIRONMENT)

    assert (outcome.code, outcome.out) == (
        0,
        f"site.tar.zst: ok at {simulator.host}, {len(CONTENT)} B, {Digest.of(CONTENT)}\n",
    )
    assert outcome.err.startswith("warning: edge hosts are known to take content bundles in Palette's own format")
    assert simulator.uploads[0].file.sha256 == Digest.of(CONTENT).hex


def test_the_document(simulator: EdgeHostSimulator, command_line: CommandLine) -> None:
    """The same for scripts."""
    outcome = command_line.run("upload", "site.tar.zst", simulator.url, "--user", "admin", "--json", **FROM_ENVIRONMENT)

    assert outcome.document == {
        "file": "site.tar.zst",
        "host": simulator.host,
        "kind": "content",
        "name": "site.tar.zst",
        "size": len(CONTENT),
        "digest": Digest.of(CONTENT),
        "upload_path": "/usr/local/spectrocloud/uploads/site.tar.zst",
        "verdict": "ok",
    }


def test_where_the_password_may_be(simulator: EdgeHostSimulator, command_line: CommandLine) -> None:
    """A file, standard input, the environment; nowhere else, and without one nothing is asked of the host."""
    asked = ("upload", "site.tar.zst", simulator.url, "--user", "admin")
    piped = ("sh", "-c", f'echo {PASSWORD} | "$0" "$@"')
    outcomes = [
        command_line.run(*asked, "--password-file", "password"),
        command_line.run(*asked, "--password-file", "-", within=piped),
        command_line.run(*asked, **FROM_ENVIRONMENT),
    ]
    before = len(simulator.exchanges)
    without = command_line.run(*asked)
    argument = command_line.run(*asked, "--password", PASSWORD)

    assert [outcome.code for outcome in outcomes] == [0, 0, 0]
    assert (without.code, "there is no password" in without.error) == (2, True)
    assert "EDGELIFT_EDGE_PASSWORD" in without.error
    assert argument.code == 2
    assert len(simulator.exchanges) == before


def test_a_wrong_password(simulator: EdgeHostSimulator, command_line: CommandLine) -> None:
    """It is an error that says whose password is wanted, and does not show it."""
    outcome = command_line.run(
        "upload", "site.tar.zst", simulator.url, "--user", "admin", EDGELIFT_EDGE_PASSWORD="a-wrong-secret"
    )

    assert (outcome.code, outcome.out) == (1, "")
    assert "cannot log in as admin: 400" in outcome.error
    assert "a-wrong-secret" not in outcome.err


def test_other_bytes_arrive(command_line: CommandLine) -> None:
    """It is never called ok: exit code 1, and a verdict for scripts."""
    with EdgeHostSimulator(PASSWORD, told={"sha256Hash": "0" * 64}) as simulator:
        outcome = command_line.run(
            "upload", "site.tar.zst", simulator.url, "--user", "admin", "--json", **FROM_ENVIRONMENT
        )

    assert (outcome.code, outcome.document["verdict"]) == (1, "differs")
    assert "has not got what was sent" in outcome.error


def test_nothing_can_be_checked(simulator: EdgeHostSimulator, command_line: CommandLine) -> None:
    """A host without that part of the API: exit code 3, and a verdict of its own."""
    simulator.answers_with(404, path=UPLOADED, times=None)
    outcome = command_line.run("upload", "site.tar.zst", simulator.url, "--user", "admin", "--json", **FROM_ENVIRONMENT)

    assert (outcome.code, outcome.document["verdict"]) == (3, "not-checkable")
    assert "whether it has arrived cannot be checked" in outcome.error


def test_a_cluster_definition_with_its_signature(simulator: EdgeHostSimulator, command_line: CommandLine) -> None:
    """It is told by its name, and there is nothing to warn of."""
    (command_line.folder / "demo.tgz.sig").write_bytes(b"signed")
    outcome = command_line.run(
        *("upload", "demo.tgz", simulator.url, "--user", "admin", "--signature", "demo.tgz.sig"), **FROM_ENVIRONMENT
    )
    (received,) = simulator.uploads

    assert (received.action, set(received.files)) == ("upload-clusterconfig", {"uploadFile", "signature"})
    assert "warning" not in outcome.err


def test_the_kind_can_be_said(simulator: EdgeHostSimulator, command_line: CommandLine) -> None:
    """Where a name says something else, the option decides."""
    asked = ("upload", "demo.tgz", simulator.url, "--user", "admin", "--kind", "content", "--quiet")
    outcome = command_line.run(*asked, **FROM_ENVIRONMENT)

    assert (outcome.code, outcome.err, simulator.uploads[0].action) == (0, "", "upload-content")


def test_a_host_that_has_signed_its_own_certificate(command_line: CommandLine) -> None:
    """The error names the options; --insecure takes it as it is."""
    certificate = Authority(command_line.folder).issue("127.0.0.1")
    with EdgeHostSimulator(PASSWORD, certificate=certificate) as simulator:
        asked = ("upload", "site.tar.zst", simulator.host, "--user", "admin")
        refused = command_line.run(*asked, **FROM_ENVIRONMENT)
        taken = command_line.run(*asked, "--insecure", **FROM_ENVIRONMENT)

    assert (refused.code, taken.code) == (1, 0)
    assert "--ca-cert" in refused.error
    assert "--insecure" in refused.error


def test_under_a_public_key_files_have_to_be_signed(simulator: EdgeHostSimulator, command_line: CommandLine) -> None:
    """The signature beside the file is looked at, before the host hears of anything."""
    key = KeyFiles.write(command_line.folder / "keys", "site").public
    asked = ("upload", "site.tar.zst", simulator.url, "--user", "admin", "--public-key", key)
    unsigned = command_line.run(*asked, **FROM_ENVIRONMENT)
    signature = command_line.folder / "site.tar.zst.sig"
    signature.write_bytes(signing_key("other").sign(Digest.of(CONTENT)))
    wrong = command_line.run(*asked, **FROM_ENVIRONMENT)
    assert simulator.exchanges == []
    signature.write_bytes(signing_key("site").sign(Digest.of(CONTENT)))
    signed = command_line.run(*asked, **FROM_ENVIRONMENT)

    assert [outcome.code for outcome in (unsigned, wrong, signed)] == [1, 1, 0]
    assert "is not signed" in unsigned.error
    assert "is not one that" in wrong.error


def test_a_sync_that_fails(command_line: CommandLine) -> None:
    """With --wait the host's sync decides, too; without it nobody asks."""
    with EdgeHostSimulator(PASSWORD, syncs=[sync_document(app="failed")]) as simulator:
        asked = ("upload", "site.tar.zst", simulator.url, "--user", "admin")
        waited = command_line.run(*asked, "--wait", 60, **FROM_ENVIRONMENT)
        calm = command_line.run(*asked, **FROM_ENVIRONMENT)

    assert (waited.code, calm.code) == (3, 0)
    assert "app:1.0: app is failed" in waited.error


def test_a_file_that_is_not_there(simulator: EdgeHostSimulator, command_line: CommandLine) -> None:
    """It is named, and the host hears nothing of it."""
    outcome = command_line.run("upload", "none.tar.zst", simulator.url, "--user", "admin", **FROM_ENVIRONMENT)

    assert (outcome.code, "none.tar.zst" in outcome.error) == (1, True)
    assert simulator.exchanges == []
