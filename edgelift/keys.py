"""Keys: from files and the environment to what signs bundles, and what checks signatures."""

import os
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

from pydantic import SecretStr

from edgelift.documents import read_document

if TYPE_CHECKING:
    from edgelift.bundle.signature import PrivateKey, PublicKey


def find_public_key(path: Path | None) -> "PublicKey | None":
    """The public key at `path`, else at EDGELIFT_PUBLIC_KEY; None where none is configured.

    Raises `ConfigurationError`, also where that is no key: what cannot be checked is not let through.
    """
    configured = path or os.environ.get("EDGELIFT_PUBLIC_KEY")
    if not configured:
        return None
    from edgelift.bundle.signature import PublicKey  # noqa: PLC0415 - a tenth of a second, only where there is a key

    return PublicKey.from_pem(read_document(Path(configured)), str(configured))


@cache  # a pipe gives its content only once
def read_private_key(path: Path, passphrase_file: Path | None = None) -> "PrivateKey":
    """The private key at `path`, with the passphrase of `passphrase_file`, else of EDGELIFT_SIGNING_PASSPHRASE.

    Raises `ConfigurationError`.
    """
    from edgelift.bundle.signature import PrivateKey  # noqa: PLC0415 - as above

    passphrase = os.environ.get("EDGELIFT_SIGNING_PASSPHRASE")
    if passphrase_file is not None:
        passphrase = _text_of(passphrase_file).rstrip("\r\n")
    return PrivateKey.from_pem(SecretStr(_text_of(path)), SecretStr(passphrase or ""), str(path))


def read_cosign_key(path: Path) -> str:
    """The PEM of the public key at `path`, with which cosign's signatures are checked; raises `ConfigurationError`."""
    from edgelift.cosign_key import CosignKey  # noqa: PLC0415 - as above

    return CosignKey.from_pem(read_document(path), str(path)).pem


def _text_of(path: Path) -> str:
    return read_document(path).decode(errors="replace")
