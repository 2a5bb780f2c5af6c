"""What lies around in the environment of the process is not used: logins, proxies, and Python's and curl's files."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from edgelift.store.local import LocalStore
from tests.security.canaries import credential_bytes
from tests.security.foreign import Listener
from tests.security.hostile_registry import HostileRegistry
from tests.security.operations import OPERATIONS, THERE, Desk, fill, open_registry, perform
from tests.simulators.http_faults import Answer

ENTRY = "machine 127.0.0.1 login stranger password canary/pass word\ndefault login stranger password from-netrc\n"


@pytest.fixture
def proxy() -> Iterator[Listener]:
    """A proxy that the environment names; whatever is asked of it goes nowhere."""
    with Listener(lambda _: Answer(502)) as listener:
        yield listener


@pytest.fixture(params=["HOME", "NETRC"])
def littered(request: pytest.FixtureRequest, proxy: Listener, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A login for the registry in `.netrc`, found by HOME or by NETRC, a proxy, and Docker's and Amazon's logins."""
    home = tmp_path / "home"
    home.mkdir()
    (home / ".netrc").write_text(ENTRY)
    (home / ".netrc").chmod(0o600)
    (home / ".docker").mkdir()
    (home / ".docker" / "config.json").write_text('{"auths":{"127.0.0.1":{"username":"stranger","password":"x"}}}')
    monkeypatch.setenv("HOME", str(home if request.param == "HOME" else tmp_path))
    if request.param == "NETRC":
        monkeypatch.setenv("NETRC", str(home / ".netrc"))
    for name in ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "http_proxy", "https_proxy", "all_proxy"):
        monkeypatch.setenv(name, f"http://stranger:from-environment@{proxy.host}")
    for name in ("DOCKER_USERNAME", "REGISTRY_USERNAME", "ORAS_USERNAME", "AWS_ACCESS_KEY_ID"):
        monkeypatch.setenv(name, "stranger")
    for name in ("DOCKER_PASSWORD", "REGISTRY_PASSWORD", "ORAS_PASSWORD", "AWS_SECRET_ACCESS_KEY", "REGISTRY_AUTH"):
        monkeypatch.setenv(name, "from-environment")


@pytest.mark.usefixtures("littered")
def test_no_login_and_no_proxy_of_the_environment_is_used(proxy: Listener, tmp_path: Path) -> None:
    """A registry that asks for a login gets none in any operation, oras-py's included, and the proxy hears nothing."""
    full = fill(LocalStore(tmp_path / "full"))
    desk = tmp_path / "desk"
    desk.mkdir()
    with Listener() as home:
        home.respond = HostileRegistry(THERE, "basic", "none").respond
        for name in OPERATIONS:
            perform(Desk(open_registry(home.host, None), full, desk), name)

    assert len(home.requests) >= len(OPERATIONS) - 1  # one needs no request
    assert (credential_bytes(bytes(home.heard)), b"stranger" in home.heard) == (0, False)
    assert (proxy.connections, bytes(proxy.heard)) == (0, b"")
