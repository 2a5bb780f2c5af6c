"""Running a registry: its address, TLS, logins, and its end."""

import logging
import os
import signal
import ssl
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from starlette.applications import Starlette

from edgelift.errors import ConfigurationError
from edgelift.serve.access import Login
from edgelift.serve.directory import DirectoryContent
from edgelift.serve.registry import create_registry
from edgelift.serve.server import RunningServer, serve_forever
from tests.certificates import Authority
from tests.serve.conftest import client_of, code_of

LOGIN = Login("courier", "a made-up: password")


def test_free_port(tmp_path: Path) -> None:
    """Port 0 takes a free port, another for every server."""
    app = create_registry(DirectoryContent(tmp_path))
    with RunningServer(app) as first, RunningServer(app) as second:
        assert first.host != second.host
        assert [httpx.get(f"{each.url}/v2/", trust_env=False).status_code for each in (first, second)] == [200, 200]


def test_end(tmp_path: Path) -> None:
    """After the block nothing listens and no thread is left, and the port can be taken again."""
    threads = threading.active_count()
    with RunningServer(create_registry(DirectoryContent(tmp_path))) as server, client_of(server) as client:
        client.get("/v2/")
    with pytest.raises(httpx.ConnectError):
        httpx.get(f"{server.url}/v2/", trust_env=False)
    assert threads == threading.active_count()
    with RunningServer(Starlette(), int(server.host.rpartition(":")[2])) as again:
        assert server.host == again.host


def test_port_that_is_taken() -> None:
    """A port that is taken is an error that names it."""
    with RunningServer(Starlette()) as server:
        port = int(server.host.rpartition(":")[2])
        for begin in (lambda: RunningServer(Starlette(), port), lambda: serve_forever(Starlette(), "127.0.0.1", port)):
            with pytest.raises(
                ConfigurationError, match=f"cannot listen on 127.0.0.1 port {port}: Address already in use"
            ):
                begin()


BAD_ADDRESSES = {
    "no such port": ("127.0.0.1", 70_000),
    "not our address": ("192.0.2.1", 0),
    "no address": ("not an address", 0),
}


@pytest.mark.parametrize(("host", "port"), BAD_ADDRESSES.values(), ids=BAD_ADDRESSES)
def test_bad_address(host: str, port: int) -> None:
    """An address that cannot be listened on is an error of ours."""
    with pytest.raises(ConfigurationError, match="cannot listen on"):
        serve_forever(Starlette(), host, port)


def test_tls(tmp_path: Path) -> None:
    """With a certificate the registry speaks TLS, to those who trust it."""
    authority = Authority(tmp_path)
    issued = authority.issue("127.0.0.1")
    app = create_registry(DirectoryContent(tmp_path / "registry"))
    with RunningServer(app, certfile=issued.cert, keyfile=issued.key) as server:
        trust = ssl.create_default_context(cafile=str(authority.ca_cert))
        assert server.url.startswith("https://")
        assert httpx.get(f"{server.url}/v2/", verify=trust, trust_env=False).status_code == 200
        with pytest.raises(httpx.ConnectError, match="CERTIFICATE_VERIFY_FAILED"):
            httpx.get(f"{server.url}/v2/", trust_env=False)


@pytest.mark.parametrize("content", [None, "not a certificate"], ids=["missing", "no certificate"])
def test_bad_certificate(tmp_path: Path, content: str | None) -> None:
    """A certificate that cannot be used is an error that names the file."""
    path = tmp_path / "cert.pem"
    if content is not None:
        path.write_text(content)
    with pytest.raises(ConfigurationError, match=r"cert\.pem"):
        RunningServer(Starlette(), certfile=path, keyfile=path)


@pytest.fixture(scope="module")
def guarded(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningServer]:
    """A registry that asks for a login."""
    with RunningServer(create_registry(DirectoryContent(tmp_path_factory.mktemp("guarded")), login=LOGIN)) as server:
        yield server


LOGINS = {
    "right": (httpx.BasicAuth(LOGIN.username, LOGIN.password), 200),
    "none": (httpx.Auth(), 401),
    "wrong password": (httpx.BasicAuth(LOGIN.username, "another"), 401),
    "wrong user": (httpx.BasicAuth("another", LOGIN.password), 401),
    "cut password": (httpx.BasicAuth(LOGIN.username, LOGIN.password[:-1]), 401),
}


@pytest.mark.parametrize(("auth", "status"), LOGINS.values(), ids=LOGINS)
def test_login(guarded: RunningServer, auth: httpx.Auth, status: int) -> None:
    """Only the right login gets in; all others are challenged, whatever they ask for."""
    with client_of(guarded) as client:
        answers = [client.get("/v2/", auth=auth), client.post("/v2/a/blobs/uploads/", auth=auth)]
    assert [status, 202 if status == 200 else 401] == [each.status_code for each in answers]
    if status == 401:
        assert answers[0].headers["www-authenticate"] == 'Basic realm="edgelift"'
        assert code_of(answers[0]) == "UNAUTHORIZED"


@pytest.mark.parametrize(
    "header", ["Bearer x", "Basic", "Basic !!", "Basic AAAA", "basic Y291cmllcg==", "\xff"], ids=ascii
)
def test_malformed_authorization(guarded: RunningServer, header: str) -> None:
    """A malformed Authorization header is a wrong login, not a crash."""
    with client_of(guarded) as client:
        assert client.get("/v2/", headers={b"Authorization": header.encode("latin-1")}).status_code == 401


def test_password_is_not_shown() -> None:
    """The password is not in the text of a login."""
    assert repr(LOGIN) == "Login(username='courier')"


def test_quiet(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """Ordinary requests, refused ones, and nonsense on the port log nothing worth a warning."""
    caplog.set_level(logging.DEBUG)
    with RunningServer(create_registry(DirectoryContent(tmp_path))) as server, client_of(server) as client:
        client.get("/v2/")
        client.get("/v2/absent/manifests/1")
        with pytest.raises(httpx.TransportError):
            httpx.get(f"https://{server.host}/v2/", trust_env=False)
    assert [record.getMessage() for record in caplog.records if record.levelno >= logging.WARNING] == []


@pytest.mark.parametrize("sent", [signal.SIGINT, signal.SIGTERM], ids=["SIGINT", "SIGTERM"])
def test_serve_forever(tmp_path: Path, sent: signal.Signals) -> None:
    """In the foreground the registry serves until a signal, and then ends by it soon."""
    script = (
        "import logging, sys; from pathlib import Path\n"
        "from edgelift.serve.directory import DirectoryContent\n"
        "from edgelift.serve.registry import create_registry\n"
        "from edgelift.serve.server import serve_forever\n"
        "logging.basicConfig(level=logging.INFO, format='%(message)s')\n"
        "serve_forever(create_registry(DirectoryContent(Path(sys.argv[1]))), '127.0.0.1', 0)\n"
    )
    command = [sys.executable, "-c", script, str(tmp_path)]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True, env={**os.environ}) as process:
        try:
            assert process.stderr is not None
            line = process.stderr.readline()
            assert line.startswith("listening on http://127.0.0.1:")
            assert httpx.get(f"{line.split()[-1]}/v2/", trust_env=False, timeout=20).status_code == 200
            began = time.monotonic()
            process.send_signal(sent)
            assert process.wait(timeout=20) in (
                -sent,
                1,
            )  # SIGINT comes out as KeyboardInterrupt, which is the caller's
            assert time.monotonic() - began < 15
        finally:
            process.kill()
