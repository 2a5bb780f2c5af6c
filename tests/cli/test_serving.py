"""`edgelift serve` for others than this machine: over TLS, and only for those who have the login."""

import signal
import ssl
from pathlib import Path

import httpx
import pytest

from tests.certificates import Authority
from tests.cli.commands import CommandLine
from tests.cli.test_interruption import start

PATIENCE = 30.0  # seconds; only for what hangs


def test_tls_and_a_login(command_line: CommandLine) -> None:
    """Who has the authority's certificate and the login gets in; the password is told to nobody."""
    folder = command_line.folder
    authority = Authority(folder)
    issued = authority.issue("127.0.0.1")
    (folder / "readers.txt").write_text("site:opensesame:2\n")
    server = start(
        *(command_line, "serve", "--writable", "content", "--port", "0"),
        *("--tls-cert", issued.cert, "--tls-key", issued.key, "--login", "readers.txt"),
    )
    assert server.stderr is not None
    address = server.stderr.readline().rpartition("listening on ")[2].strip()
    trust = ssl.create_default_context(cafile=str(authority.ca_cert))
    with httpx.Client(base_url=address, verify=trust, trust_env=False, timeout=PATIENCE) as client:
        logins = (None, ("site", "opensesame"), ("site", "opensesame:2"))
        answers = [client.get("/v2/", auth=login).status_code for login in logins]
    server.send_signal(signal.SIGINT)
    _, said = server.communicate(timeout=PATIENCE)

    assert address.startswith("https://127.0.0.1:")
    assert answers == [401, 401, 200]
    assert (server.returncode, "opensesame" in said) == (0, False)


BAD: dict[str, tuple[tuple[str, ...], str]] = {
    "a certificate without its key": (("--tls-cert", "site.crt"), "TLS needs both, --tls-cert and --tls-key"),
    "a key without its certificate": (("--tls-key", "site.key"), "TLS needs both, --tls-cert and --tls-key"),
    "no certificate": (("--tls-cert", "secret.txt", "--tls-key", "secret.txt"), "cannot serve TLS"),
    "no such login": (("--login", "nowhere.txt"), "cannot read nowhere.txt"),
    "a login without a password": (("--login", "secret.txt"), "secret.txt holds no login: write it as one line"),
}


@pytest.mark.parametrize(("options", "says"), BAD.values(), ids=BAD)
def test_what_cannot_be_served_safely_is_not_served(
    options: tuple[str, ...], says: str, command_line: CommandLine, tmp_path: Path
) -> None:
    """The mistake is told, and nothing of what is in the file."""
    (tmp_path / "secret.txt").write_text("opensesame")
    outcome = command_line.run("serve", "--writable", "content", "--port", "0", *options)

    assert outcome.code == 2
    assert says in outcome.error.replace(" → ", ": ")
    assert "opensesame" not in outcome.err
