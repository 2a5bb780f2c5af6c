"""Credentials: the files they come from, the helpers that keep them, and to whom they belong."""

import base64
import json
import sys
from pathlib import Path
from typing import Any

import pytest

from edgelift.errors import ConfigurationError
from edgelift.oci.credentials import Credentials

SOURCES = Credentials.of(
    [
        ("registry.example.com", "plain", "a"),
        ("registry.example.com:5000", "port", "b"),
        ("registry.example.com/team", "team", "c"),
        ("registry.example.com/team/app", "app", "d"),
        ("https://index.docker.io/v1/", "hub", "e"),
        ("https://Other.Example.com/v2/", "scheme", "f"),
    ]
)

LOOKUPS = {
    "the host": ("registry.example.com", "x/y", "plain"),
    "the host in capitals": ("Registry.Example.COM", "x/y", "plain"),
    "its port": ("registry.example.com:5000", "x/y", "port"),
    "another port": ("registry.example.com:5001", "x/y", None),
    "a part of the host": ("example.com", "x/y", None),
    "a host that contains it": ("registry.example.com.evil.net", "x/y", None),
    "a path": ("registry.example.com", "team/tool", "team"),
    "the path itself": ("registry.example.com", "team", "team"),
    "the longest path": ("registry.example.com", "team/app/part", "app"),
    "a path that only begins alike": ("registry.example.com", "teamwork/tool", "plain"),
    "Docker Hub": ("docker.io", "library/nginx", "hub"),
    "Docker Hub by its other name": ("registry-1.docker.io", "library/nginx", "hub"),
    "written with scheme and version": ("other.example.com", "x", "scheme"),
}


@pytest.mark.parametrize(("host", "repository", "username"), LOOKUPS.values(), ids=LOOKUPS)
def test_whose_login_it_is(host: str, repository: str, username: str | None) -> None:
    """A login is for exactly its host and port, and below its path; the longest path wins."""
    found = SOURCES.find(host, repository)

    assert username == (found.username if found else None)


def test_the_first_source_that_has_a_login_decides() -> None:
    """Sources are asked in order, each for its best match."""
    first = Credentials.of([("registry.example.com", "first", "a")])
    merged = Credentials.merged(first, SOURCES)

    found = [merged.find(host, "team/app") for host in ("registry.example.com", "docker.io", "nowhere.example")]

    assert [each.username if each else None for each in found] == ["first", "hub", None]


def test_secrets_do_not_show() -> None:
    """Neither a credential nor what holds it shows a password when printed."""
    credentials = Credentials.of([("registry.example.com", "someone", "canary")])

    shown = f"{credentials!r} {credentials.find('registry.example.com', 'x')!r} {vars(credentials)}"

    assert ("someone" in shown, "canary" in shown) == (True, False)


# Docker's configuration file


def write(path: Path, document: Any) -> Path:
    """A JSON file with `document`, or with a text as it is."""
    path.write_text(document if isinstance(document, str) else json.dumps(document))
    return path


def basic(text: str) -> str:
    """A login as Docker writes it."""
    return base64.b64encode(text.encode()).decode()


def test_logins_in_a_docker_configuration(tmp_path: Path) -> None:
    """All forms in which logins are written there are read."""
    auths = {
        "https://index.docker.io/v1/": {"auth": basic("hub:pass:with:colons")},
        "registry.example.com": {"username": "named", "password": "word"},
        "azure.example.com": {"auth": basic("00000000-0000-0000-0000-000000000000:"), "identitytoken": "refresh"},
        "helper.example.com": {},
    }
    credentials = Credentials.from_docker_config(write(tmp_path / "config.json", {"auths": auths, "other": 1}))

    found = {
        host: (
            each.username,
            each.password.get_secret_value(),
            each.identity_token and each.identity_token.get_secret_value(),
        )
        for host in ("docker.io", "registry.example.com", "azure.example.com", "helper.example.com")
        if (each := credentials.find(host, "x")) is not None
    }

    assert found == {
        "docker.io": ("hub", "pass:with:colons", None),
        "registry.example.com": ("named", "word", None),
        "azure.example.com": ("00000000-0000-0000-0000-000000000000", "", "refresh"),
    }


GOOGLE_KEY = json.dumps(
    {"type": "service_account", "private_key": "-----BEGIN PRIVATE KEY-----\nMII+/=\n-----END PRIVATE KEY-----\n"},
    indent=2,
)
MACHINES = {
    "a Google key over many lines": ("_json_key", GOOGLE_KEY),
    "a Google key in base64": ("_json_key_base64", base64.b64encode(GOOGLE_KEY.encode()).decode()),
    "a Google access token": ("oauth2accesstoken", "ya29.a0Af_B-yC"),
    "a robot of Harbor": ("robot$courier", "a: $ecret"),
    "a robot of one project": ("robot$edge+courier", "Kk%2B+/=?&#'\"\\"),
    "not ASCII": ("Kurier", "päß wörd \u20ac"),
}


@pytest.mark.parametrize(("username", "password"), MACHINES.values(), ids=MACHINES)
def test_logins_of_machines_are_read_as_they_are(username: str, password: str, tmp_path: Path) -> None:
    """Colons, quotes, line ends and other characters come through, in every form in which a login is written."""
    forms = {
        "auth.example": {"auth": basic(f"{username}:{password}")},
        "plain.example": {"username": username, "password": password},
    }
    entry = {"endpoint": "edge.example", "username": username, "password": password}
    credentials = Credentials.merged(
        Credentials.from_docker_config(write(tmp_path / "config.json", {"auths": forms})),
        Credentials.from_palette_edge_file(write(tmp_path / "cred.json", {"image": [entry]})),
    )

    found = [credentials.find(host, "project/app") for host in ("auth.example", "plain.example", "edge.example")]

    assert [each and (each.username, each.password.get_secret_value()) for each in found] == [(username, password)] * 3


UNUSABLE = {
    "not JSON": "{canary",
    "not an object": '["canary"]',
    "logins that are no object": {"auths": ["canary"]},
    "helpers that are no object": {"credHelpers": "canary"},
    "a login that is no object": {"auths": {"registry.example.com": "canary"}},
    "a login that is not base64": {"auths": {"registry.example.com": {"auth": "canary!"}}},
    "a login that is no text": {"auths": {"registry.example.com": {"auth": base64.b64encode(b"\xffcanary").decode()}}},
    "deeply nested": "[" * 100_000,
}


@pytest.mark.parametrize("document", UNUSABLE.values(), ids=UNUSABLE)
def test_an_unusable_docker_configuration_is_named(document: Any, tmp_path: Path) -> None:
    """The error names the file, and never what is in it."""
    path = write(tmp_path / "config.json", document)

    with pytest.raises(ConfigurationError, match=r"config\.json") as caught:
        Credentials.from_docker_config(path)

    assert "canary" not in str(caught.value)


def test_a_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    """A file that cannot be read is a mistake in the settings."""
    with pytest.raises(ConfigurationError, match=r"nowhere\.json"):
        Credentials.from_docker_config(tmp_path / "nowhere.json")


# Credential helpers

HELPER = """#!{python}
import json, pathlib, sys
server = sys.stdin.read()
with open(pathlib.Path(__file__).with_suffix(".log"), "a") as log:
    print(sys.argv[1:], server, file=log)
answers = json.loads({answers!r})
if server not in answers:
    print("credentials not found in native keychain")
    sys.exit(1)
print(json.dumps(answers[server]) if isinstance(answers[server], dict) else answers[server])
sys.exit(0 if isinstance(answers[server], dict) else 3)
"""


class Helpers:
    """Credential helpers on the PATH of this process."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def install(self, name: str, answers: dict[str, object]) -> None:
        """Install `docker-credential-NAME`, which knows `answers`."""
        path = self._folder / f"docker-credential-{name}"
        path.write_text(HELPER.format(python=sys.executable, answers=json.dumps(answers)))
        path.chmod(0o755)

    def asked(self, name: str) -> list[str]:
        """What the helper was called with, and asked for."""
        log = self._folder / f"docker-credential-{name}.log"
        return log.read_text().splitlines() if log.exists() else []


@pytest.fixture
def helpers(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Helpers:
    """A place for helpers."""
    folder = tmp_path / "bin"
    folder.mkdir()
    monkeypatch.setenv("PATH", str(folder))
    return Helpers(folder)


def test_a_helper_is_asked_when_its_host_is_looked_up_and_once(helpers: Helpers, tmp_path: Path) -> None:
    """Reading the file runs nothing; the first look-up runs the helper of that host, further ones nothing."""
    helpers.install("vault", {"registry.example.com": {"Username": "someone", "Secret": "word"}})
    path = write(tmp_path / "config.json", {"credHelpers": {"registry.example.com": "vault"}})
    credentials = Credentials.from_docker_config(path)

    before = helpers.asked("vault")
    found = [credentials.find(host, "x") for host in ("registry.example.com", "registry.example.com", "other.example")]

    assert before == []
    assert [each.username if each else None for each in found] == ["someone", "someone", None]
    assert helpers.asked("vault") == ["['get'] registry.example.com"]


def test_the_order_of_sources_in_a_docker_configuration(helpers: Helpers, tmp_path: Path) -> None:
    """A login in the file comes first, then the helper of the host, then the one for all."""
    everyone = {"Username": "store", "Secret": "s"}
    helpers.install("vault", {"b.example.com": {"Username": "helper", "Secret": "h"}})
    helpers.install("store", {"https://index.docker.io/v1/": everyone, "c.example.com": everyone})
    document = {
        "auths": {"a.example.com": {"auth": basic("inline:i")}},
        "credHelpers": {"a.example.com": "vault", "b.example.com": "vault"},
        "credsStore": "store",
    }
    credentials = Credentials.from_docker_config(write(tmp_path / "config.json", document))

    hosts = ("a.example.com", "b.example.com", "c.example.com", "docker.io", "d.example.com")
    found = [credentials.find(host, "x") for host in hosts]

    assert [each.username if each else None for each in found] == ["inline", "helper", "store", "store", None]


def test_a_helper_is_asked_under_the_key_that_the_file_knows(helpers: Helpers, tmp_path: Path) -> None:
    """Where the file names the host with a scheme, the helper was told it so, too."""
    helpers.install("store", {"https://registry.example.com": {"Username": "someone", "Secret": "word"}})
    document = {"auths": {"https://registry.example.com": {}}, "credsStore": "store"}
    credentials = Credentials.from_docker_config(write(tmp_path / "config.json", document))

    found = credentials.find("registry.example.com", "x")

    assert found is not None
    assert found.username == "someone"


def test_an_identity_token_from_a_helper(helpers: Helpers, tmp_path: Path) -> None:
    """The user name `<token>` says that the secret is no password."""
    helpers.install("vault", {"registry.example.com": {"Username": "<token>", "Secret": "refresh"}})
    path = write(tmp_path / "config.json", {"credHelpers": {"registry.example.com": "vault"}})

    found = Credentials.from_docker_config(path).find("registry.example.com", "x")

    assert found is not None
    assert found.identity_token is not None
    assert (found.identity_token.get_secret_value(), found.password.get_secret_value()) == ("refresh", "")


BROKEN_HELPERS: dict[str, tuple[str, dict[str, object]]] = {
    "not installed": ("absent", {}),
    "fails": ("vault", {"registry.example.com": "canary: the vault is sealed"}),
    "gives nonsense": ("vault", {"registry.example.com": {"Password": "canary"}}),
    "a name that is a path": ("../../canary", {}),
}


@pytest.mark.parametrize(("name", "answers"), BROKEN_HELPERS.values(), ids=BROKEN_HELPERS)
def test_a_helper_that_fails_is_named(name: str, answers: dict[str, object], helpers: Helpers, tmp_path: Path) -> None:
    """The error says which helper, and nothing of what it printed."""
    helpers.install("vault", answers)
    credentials = Credentials.from_docker_config(
        write(tmp_path / "config.json", {"credHelpers": {"registry.example.com": name}})
    )

    with pytest.raises(ConfigurationError, match="credential helper") as caught:
        credentials.find("registry.example.com", "x")

    assert "canary" not in str(caught.value)


# The file of Palette's edge CLI


def test_the_credentials_file_of_palettes_edge_cli(tmp_path: Path) -> None:
    """Both lists are read; a password may be a JSON object, which is then the password as JSON."""
    key = {"type": "service_account", "private_key": "made up"}
    document = {
        "image": [
            {"endpoint": "registry.example.com", "username": "a", "password": "b"},
            {"endpoint": "gcr.example.io/project", "username": "_json_key", "password": key},
        ],
        "helm": [{"endpoint": "https://charts.example.com", "username": "c", "password": "d"}],
    }
    credentials = Credentials.from_palette_edge_file(write(tmp_path / "cred.json", document))

    plain = credentials.find("registry.example.com", "x")
    google = credentials.find("gcr.example.io", "project/app")
    charts = credentials.find("charts.example.com", "x")

    assert plain is not None
    assert google is not None
    assert charts is not None
    assert (plain.username, charts.username) == ("a", "c")
    assert json.loads(google.password.get_secret_value()) == key


UNUSABLE_EDGE_FILES = {
    "not JSON": "canary",
    "an entry that is no object": {"image": ["canary"]},
    "a list that is none": {"image": "canary"},
    "no endpoint": {"image": [{"username": "a", "password": "canary"}]},
    "a password that is no text": {"image": [{"endpoint": "x.example", "username": "a", "password": 5}]},
    "an endpoint that is no text": {"helm": [{"endpoint": 5, "username": "a", "password": "canary"}]},
}


@pytest.mark.parametrize("document", UNUSABLE_EDGE_FILES.values(), ids=UNUSABLE_EDGE_FILES)
def test_an_unusable_edge_file_is_named(document: Any, tmp_path: Path) -> None:
    """The error names the file, and never what is in it."""
    path = write(tmp_path / "cred.json", document)

    with pytest.raises(ConfigurationError, match=r"cred\.json") as caught:
        Credentials.from_palette_edge_file(path)

    assert "canary" not in str(caught.value)
