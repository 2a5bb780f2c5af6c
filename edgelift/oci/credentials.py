"""Credentials for registries: where they are kept, and which of them belongs to a host and repository."""

import base64
import binascii
import json
import re
import subprocess
import threading
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

from pydantic import SecretStr

from edgelift.errors import ConfigurationError
from edgelift.oci.reference import DOCKER_HUB, canonical_registry

_IDENTITY_TOKEN_USER = "<token>"  # noqa: S105 - the user name that helpers give beside an identity token
_HELPER_PATIENCE = 60.0  # seconds; the helper of a desktop may ask its user
_FILE_LIMIT = 4 * 2**20  # bytes
_EDGE_LOGIN = '{"endpoint": "…", "username": "…", "password": "…"}'
_DOCKER_HUB_KEY = "https://index.docker.io/v1/"  # how Docker's own tools write Docker Hub


@dataclass(frozen=True)
class Credential:
    """A login. `identity_token`, where there is one, is exchanged for tokens in place of the password."""

    username: str
    password: SecretStr
    identity_token: SecretStr | None = None

    def __post_init__(self) -> None:
        """Raises `ValueError` where one of them is no text that can be sent."""
        secrets = (self.password, self.identity_token or self.password)
        texts = (self.username, *(secret.get_secret_value() for secret in secrets))
        if not all(isinstance(text, str) for text in texts):
            raise ValueError("a login consists of texts")
        "".join(texts).encode()  # fails for half a character, which JSON can hold


_Find = Callable[[str, str], Credential | None]
_Renew = Callable[[str, Credential], bool]


class Credentials:
    """Finds the login for a host and repository among those given; safe to share between threads."""

    def __init__(self, *sources: _Find, renew: Iterable[_Renew] = ()) -> None:
        self._sources = sources
        self._renew = tuple(renew)

    def find(self, host: str, repository: str) -> Credential | None:
        """The login for exactly this host and port; among several of one source, the one with the longest path.

        Raises `ConfigurationError` where a credential helper fails, and `RegistryError` where a login has to be
        fetched and is not given.
        """
        host = canonical_registry(host)
        found = (source(host, repository) for source in self._sources)
        return next((credential for credential in found if credential is not None), None)

    def renew(self, host: str, refused: Credential) -> bool:
        """Whether there is another login now than `refused`, which `host` did not take; only fetched ones change."""
        host = canonical_registry(host)
        return any(renew(host, refused) for renew in self._renew)

    @classmethod
    def of(cls, logins: Iterable[tuple[str, str, str]]) -> Self:
        """From triples of endpoint (a host, perhaps with a path), user name and password."""
        return cls(_Logins((endpoint, Credential(name, SecretStr(word))) for endpoint, name, word in logins).find)

    @classmethod
    def merged(cls, *sources: "Credentials") -> Self:
        """From several sources; the first that has a login decides."""
        return cls(*(source.find for source in sources), renew=[source.renew for source in sources])

    @classmethod
    def from_docker_config(cls, path: Path) -> Self:
        """From a configuration file of Docker or Podman: the logins in it, then the credential helpers it names.

        A helper is run when its host is first looked up, and once. Raises `ConfigurationError` where the file is
        unusable.
        """
        document = _read_json(path)
        logins = _member(document, "auths", path)
        inline = _Logins((key, _inline_login(key, login, path)) for key, login in logins.items())
        helpers = _Helpers(_member(document, "credHelpers", path), document.get("credsStore"), tuple(logins), path)
        return cls(inline.find, helpers.find)

    @classmethod
    def from_palette_edge_file(cls, path: Path) -> Self:
        """From the credentials file of Palette's edge CLI: `image` and `helm` list endpoints with their logins.

        A password may be a JSON object, as the keys of Google's service accounts are. Raises `ConfigurationError`
        where the file is unusable.
        """
        document = _read_json(path)
        try:
            entries = [entry for kind in ("image", "helm") for entry in document.get(kind) or ()]
            logins = [(entry["endpoint"], entry["username"], _password(entry["password"])) for entry in entries]
            credentials = cls.of(logins)
        except (KeyError, TypeError, AttributeError, ValueError, ConfigurationError):
            raise ConfigurationError(
                f"{path} holds an entry that is no login",
                hint=f'entries of "image" and "helm" are {_EDGE_LOGIN}',
            ) from None
        if not logins:
            like_docker = any(name in document for name in ("auths", "credHelpers", "credsStore"))
            raise ConfigurationError(
                f"{path} holds no login",
                hint="this is a configuration of Docker's: put it where DOCKER_CONFIG points to"
                if like_docker
                else f'it was expected to be {{"image": [{_EDGE_LOGIN}], "helm": […]}}',
            )
        return credentials


class _Logins:
    """Logins in hand, by host and path."""

    def __init__(self, logins: Iterable[tuple[str, Credential | None]]) -> None:
        placed = [(*_split_key(key), login) for key, login in logins if login is not None]
        self._logins = sorted(placed, key=lambda each: len(each[1]), reverse=True)

    def find(self, host: str, repository: str) -> Credential | None:
        for login_host, path, login in self._logins:
            if login_host == host and (not path or f"{repository}/".startswith(f"{path}/")):
                return login
        return None


class _Helpers:
    """The credential helpers of a Docker configuration: by host, and one for all other hosts."""

    def __init__(self, by_key: Mapping[str, Any], for_all: object, known_keys: Iterable[str], path: Path) -> None:
        self._names = {_split_key(key)[0]: (str(name), key) for key, name in by_key.items()}
        self._for_all = str(for_all) if for_all else None
        self._keys = {_split_key(key)[0]: key for key in known_keys}
        self._path = path
        self._answers: dict[str, Credential | None] = {}
        self._lock = threading.Lock()

    def find(self, host: str, repository: str) -> Credential | None:  # noqa: ARG002 - helpers know hosts only
        with self._lock:
            if host not in self._answers:
                self._answers[host] = self._ask(host)
            return self._answers[host]

    def _ask(self, host: str) -> Credential | None:
        default_key = _DOCKER_HUB_KEY if host == DOCKER_HUB else host
        name, key = self._names.get(host, (self._for_all, self._keys.get(host, default_key)))
        return _run_helper(name, key, self._path) if name else None


def _run_helper(name: str, key: str, path: Path) -> Credential | None:
    """What `docker-credential-NAME get` has for `key`, which it reads from standard input; None if nothing."""
    if not re.fullmatch(r"[A-Za-z0-9._-]+", name):
        raise ConfigurationError(f"{path} names a credential helper that cannot be one")
    program = f"docker-credential-{name}"
    try:
        answer = subprocess.run(  # noqa: S603 - no shell, and the name is checked above
            [program, "get"], input=key.encode(), capture_output=True, timeout=_HELPER_PATIENCE, check=False
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        why = "did not answer" if isinstance(error, subprocess.TimeoutExpired) else "cannot be run"
        raise ConfigurationError(
            f"the credential helper {program}, which {path} names, {why}",
            hint="install it, take it out of that file, or use another credentials file",
        ) from None
    if answer.returncode != 0:
        if b"not found" in answer.stdout + answer.stderr:
            return None
        raise ConfigurationError(f"the credential helper {program} failed with exit code {answer.returncode} for {key}")
    try:
        document = json.loads(answer.stdout)
        username, secret = str(document["Username"]), SecretStr(str(document["Secret"]))
        login = Credential(username, secret)
    except (ValueError, KeyError, TypeError):
        raise ConfigurationError(f"the credential helper {program} gave no login for {key}") from None
    if username == _IDENTITY_TOKEN_USER:
        return Credential(username, SecretStr(""), secret)
    return login if username or secret else None


def _inline_login(key: str, login: Any, path: Path) -> Credential | None:
    """The login in one entry of `auths`; None where the entry only says that a helper has it."""
    try:
        username, password = login.get("username", ""), login.get("password", "")
        if login.get("auth"):
            username, _, password = base64.b64decode(login["auth"], validate=True).decode().partition(":")
        token = login.get("identitytoken")
        if not username and not token:
            return None
        return Credential(username, SecretStr(password.rstrip("\0")), SecretStr(token) if token else None)
    except (AttributeError, TypeError, ValueError, binascii.Error):
        raise ConfigurationError(f"{path}: the login for {key} cannot be read") from None


def _split_key(key: str) -> tuple[str, str]:
    """Host and path of an endpoint, however it is written: with a scheme, a version path, Docker Hub's old name."""
    bare = re.sub(r"^[a-z]+://", "", key.strip(), flags=re.IGNORECASE).rstrip("/")
    host, _, path = re.sub(r"/v[12]$", "", bare).partition("/")
    return canonical_registry(host), path


def _password(value: object) -> str:
    if isinstance(value, dict):
        return json.dumps(value)
    if not isinstance(value, str):
        raise TypeError("a password is a text or a JSON object")
    return value


def _read_json(path: Path) -> dict[str, Any]:
    try:
        if path.stat().st_size > _FILE_LIMIT:
            raise ConfigurationError(f"{path} is larger than {_FILE_LIMIT >> 20} MiB: not a file of credentials")
        document = json.loads(path.read_bytes())
    except OSError as error:
        raise ConfigurationError(f"cannot read {path}: {error.strerror}") from None
    except (ValueError, RecursionError):
        raise ConfigurationError(f"{path} is not JSON") from None
    if not isinstance(document, dict):
        raise ConfigurationError(f"{path} is not a JSON object")
    return document


def _member(document: Mapping[str, Any], name: str, path: Path) -> dict[str, Any]:
    member = document.get(name) or {}
    if not isinstance(member, dict):
        raise ConfigurationError(f"{path}: {name!r} is not a JSON object")
    return member
