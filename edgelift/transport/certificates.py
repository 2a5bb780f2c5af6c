"""Certificates that belong to single hosts: authorities to trust there, and what we show of ourselves there."""

import os
import ssl
import tempfile
from dataclasses import dataclass, field
from pathlib import Path
from typing import Self

from edgelift.addresses import DEFAULT_PORTS
from edgelift.errors import ConfigurationError


@dataclass(frozen=True)
class ClientCertificate:
    """What we show of ourselves in TLS: a certificate with its chain, and its key, both PEM; `name` is for messages."""

    name: str
    certificate: bytes = field(repr=False)
    key: bytes = field(repr=False)

    @classmethod
    def read(cls, certificate: Path, key: Path) -> Self:
        """The certificate in two files, which may be the same; raises `ConfigurationError` where they are no such."""
        return cls(str(certificate), _read(certificate), _read(key))

    def load_into(self, context: ssl.SSLContext) -> None:
        """Show it where a server asks for it; raises `ConfigurationError` where it is unusable."""
        handle, path = tempfile.mkstemp()  # for its owner alone; the TLS library reads nothing but files
        try:
            with os.fdopen(handle, "wb") as file:
                file.write(self.certificate + b"\n" + self.key)
            context.load_cert_chain(path, password=self._refuse_to_ask)
        except ssl.SSLError:
            raise ConfigurationError(
                f"the client certificate {self.name} and its key do not belong together, or are not in PEM form"
            ) from None
        finally:
            Path(path).unlink()

    def _refuse_to_ask(self) -> str:
        raise ConfigurationError(
            f"the key of the client certificate {self.name} is encrypted",
            hint="store it without a passphrase, readable by its owner only: openssl pkey -in KEY -out client.key",
        )


@dataclass(frozen=True)
class HostCertificates:
    """What is known of one host; nothing, for most."""

    authorities: tuple[Path, ...] = ()
    clients: tuple[ClientCertificate, ...] = ()

    @classmethod
    def find(cls, folder: Path, name: str, port: int) -> Self:
        """What `folder` holds for the host `name`, laid out as Docker does it: HOST[:PORT]/*.crt, *.cert with *.key.

        Raises `ConfigurationError` for what is there and cannot be used.
        """
        found = next((each for each in _folders(folder, name, port) if each.is_dir()), None)
        if found is None:
            return cls()
        clients = (ClientCertificate.read(path, path.with_suffix(".key")) for path in sorted(found.glob("*.cert")))
        return cls(tuple(sorted(found.glob("*.crt"))), tuple(clients))


def _folders(folder: Path, name: str, port: int) -> list[Path]:
    if name in ("", ".", ".."):  # a server may send us to any name
        return []
    host = f"[{name}]" if ":" in name else name
    bare = [folder / host] if port == DEFAULT_PORTS["https"] else []
    return [folder / f"{host}:{port}", *bare]


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise ConfigurationError(
            f"cannot read {path}: {error.strerror}",
            hint="a client certificate NAME.cert needs its key beside it, NAME.key",
        ) from None
