"""Access: from settings, files and the environment to clients and keys. The only library module that reads either."""

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from types import TracebackType
from typing import Self

from pydantic import SecretStr

from edgelift.addresses import DEFAULT_PORTS, is_listed, split_host
from edgelift.bundle.lock import LockedImage
from edgelift.errors import ConfigurationError
from edgelift.oci.auth_ecr import EcrLogin
from edgelift.oci.credentials import Credentials
from edgelift.oci.mirrors import Mirrors, Place
from edgelift.oci.reference import ImageReference
from edgelift.oci.registries import Registries
from edgelift.oci.registry import Registry
from edgelift.oci.source import Source
from edgelift.palette.api import parse_endpoint
from edgelift.palette.client import PaletteClient
from edgelift.pin_chart import open_archive
from edgelift.site import DEFAULT_ACCESS, RegistryAccess
from edgelift.transport import TransportSettings

PALETTE_ENDPOINT = "https://api.spectrocloud.com"


@dataclass(frozen=True)
class NamedCredentials:
    """Credentials and what people call the place that they come from; `ecr` are those that AWS gives."""

    name: str
    credentials: Credentials
    ecr: EcrLogin | None = None

    @classmethod
    def of_ecr(cls, name: str, ecr: EcrLogin) -> Self:
        """Logins that AWS gives."""
        return cls(name, Credentials(ecr.find, renew=[ecr.renew]), ecr)


class Connections:
    """Open clients for registries, and which source of credentials serves which of them."""

    def __init__(self, registries: Registries, sources: Sequence[NamedCredentials]) -> None:
        self.registries = registries
        self._sources = sources

    def registry(self, host: str) -> Registry:
        """The client for `host`."""
        return self.registries.registry(host)

    def target(self, host: str, *, create_repositories: bool) -> Registry:
        """The client for `host` as the target of a push; with `create_repositories` it makes those that are missing.

        Raises `ConfigurationError` where that needs AWS credentials that nobody has allowed to be used.
        """
        registry = self.registry(host)
        if create_repositories:
            logins = (source.ecr for source in self._sources)
            ecr = next((login for login in logins if login is not None and login.serves(registry.host)), None)
            if ecr is None:
                raise ConfigurationError(
                    f"repositories at {host} are to be created, but no AWS credentials may be used for it",
                    hint="allow them with --aws (in a site file: access, aws: true), or in the registry's block",
                )
            registry.create_missing(partial(ecr.create_repository, registry.host))
        return registry

    def source(self, host: str, repository: str) -> Source:
        """What `repository` of the registry `host` is read from: see `Registries.source`."""
        return self.registries.source(host, repository)

    def source_for(self, image: LockedImage) -> Source:
        """What the content of `image` is read from: its registry, or for a chart that none has, its archive."""
        reference = ImageReference.parse(image.reference)
        if image.archive is not None:
            return open_archive(image, self.registry(reference.registry).channel)
        return self.source(reference.registry, reference.repository)

    def places(self, host: str, repository: str) -> list[Place]:
        """Where `repository` of the registry `host` is read from, in order; each with its whole path there."""
        places = self.registries.mirrors.places(host, repository)
        return [Place(place.host, repository, place.locate(repository) or place.path) for place in places]

    def source_of(self, host: str, repository: str) -> str:
        """The name of what gets us into `repository` at `host`: a block, a file, or `anonymous`."""
        found = (each.name for each in self._sources if each.credentials.find(host, repository) is not None)
        return next(found, "anonymous")

    def close(self) -> None:
        """Close all connections."""
        self.registries.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def open_registries(
    access: RegistryAccess,
    *,
    blocks: Sequence[NamedCredentials] = (),
    hosts: Mapping[str, TransportSettings] | None = None,
) -> Connections:
    """Clients for the registries that `access` leads to; `blocks` come before files, then Docker's login, then AWS.

    `hosts` replaces the common transport settings for single registries. Raises `ConfigurationError`.
    """
    sources = list(blocks)
    if access.credentials_file is not None:
        path = Path(access.credentials_file)
        sources.append(NamedCredentials(str(path), Credentials.from_palette_edge_file(path)))
    if access.docker_config and (docker := _docker_config()).is_file():
        sources.append(NamedCredentials(str(docker), Credentials.from_docker_config(docker)))
    if access.aws:
        sources.append(NamedCredentials.of_ecr("AWS", EcrLogin()))
    credentials = Credentials.merged(*(source.credentials for source in sources))
    mirrors = Mirrors.parse(access.mirrors, access.rewrites)
    return Connections(Registries(transport_settings(access), credentials, hosts or {}, mirrors=mirrors), sources)


def transport_settings(access: RegistryAccess) -> TransportSettings:
    """How servers are reached, as `access` says; the proxy, and what goes past it, as HTTPS_PROXY and NO_PROXY say."""
    return TransportSettings(
        ca_cert=Path(access.ca_cert) if access.ca_cert else None,
        insecure=access.insecure,
        insecure_hosts=frozenset(access.insecure_hosts),
        certs_dir=Path(access.certs_dir) if access.certs_dir else None,
        plain_http=frozenset(access.plain_http),
        trusted_realms=frozenset(access.trusted_realms),
        parallel=access.parallel,
        proxy=_proxy_variable("HTTPS_PROXY") or None,
        no_proxy=tuple(host.strip() for host in _proxy_variable("NO_PROXY").split(",") if host.strip()),
    )


def palette_from_environment(project: str | None, access: RegistryAccess = DEFAULT_ACCESS) -> PaletteClient:
    """A client from PALETTE_API_KEY and PALETTE_ENDPOINT; raises `ConfigurationError` where there is no key.

    Palette is reached as `access` says registries are: with its certificate authority, and through the proxy.
    """
    key = os.environ.get("PALETTE_API_KEY")
    if not key:
        raise ConfigurationError(
            "profiles, edge hosts or agent images are to be read from Palette, but there is no API key",
            hint="set PALETTE_API_KEY (and PALETTE_ENDPOINT), or give exported profiles with --profile-file; "
            "hosts and agent images are in no export",
        )
    endpoint = os.environ.get("PALETTE_ENDPOINT") or PALETTE_ENDPOINT
    settings = transport_settings(access)
    scheme, host = parse_endpoint(endpoint, insecure=settings.insecure)
    name, port = split_host(host)
    is_direct = is_listed(name, port or DEFAULT_PORTS[scheme], settings.no_proxy)
    return PaletteClient(
        endpoint,
        SecretStr(key),
        project=project,
        ca_cert=settings.ca_cert,
        insecure=settings.insecure,
        proxy=None if is_direct else settings.proxy,
    )


def cache_folder() -> Path:
    """Where edgelift keeps what can be made again: `$XDG_CACHE_HOME/edgelift`."""
    return Path(os.environ.get("XDG_CACHE_HOME") or _home() / ".cache") / "edgelift"


def default_store() -> Path:
    """The folder of the working store where nobody says otherwise."""
    return cache_folder() / "store"


def default_place() -> str:
    """The working store where none is named: that in EDGELIFT_STORE, else the folder in the user's cache folder."""
    return os.environ.get("EDGELIFT_STORE") or str(default_store())


def _docker_config() -> Path:
    return Path(os.environ.get("DOCKER_CONFIG") or _home() / ".docker") / "config.json"


def _home() -> Path:
    try:
        return Path.home()
    except RuntimeError:  # a user without an entry in the user database, as in some containers
        raise ConfigurationError(
            "this user has no home folder", hint="set HOME to a folder that can be written to"
        ) from None


def _proxy_variable(name: str) -> str:
    return os.environ.get(name) or os.environ.get(name.lower()) or ""
