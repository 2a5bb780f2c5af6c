"""RSA keys for the tests, each made once a run: `KeyFiles.write(folder, "site")` puts both halves into files.

Keys of other kinds, sizes and exponents are made by openssl, as those are that people bring.
"""

import subprocess
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from pydantic import SecretStr

from edgelift.bundle.signature import PrivateKey
from tests.real_parts import require_tool

PASSPHRASE = "a made-up passphrase"


@dataclass(frozen=True)
class KeyFiles:
    """The files of one pair of keys."""

    private: Path
    public: Path

    @classmethod
    def write(cls, folder: Path, name: str, passphrase: str | None = None) -> "KeyFiles":
        """The pair that is always made for `name`, the private half encrypted where there is a `passphrase`."""
        folder.mkdir(parents=True, exist_ok=True)
        files = cls(folder / f"{name}.key", folder / f"{name}.pub")
        private = private_pem(name)
        files.private.write_bytes(encrypt(private, passphrase) if passphrase else private)
        files.public.write_bytes(public_pem(private))
        return files


@cache
def private_pem(name: str = "site") -> bytes:  # the name tells keys apart
    """A good private key, the same one for the same name."""
    return openssl("genpkey", "-quiet", "-algorithm", "RSA", "-pkeyopt", "rsa_keygen_bits:2048")


def signing_key(name: str = "site") -> PrivateKey:
    """The key of `private_pem`, ready to sign."""
    return PrivateKey.from_pem(SecretStr(private_pem(name).decode()), None, f"{name}.key")


@cache
def generate(algorithm: str, *options: str) -> bytes:
    """A private key of any kind, with openssl's names for kind and options."""
    chosen = [part for option in options for part in ("-pkeyopt", option)]
    return openssl("genpkey", "-quiet", "-algorithm", algorithm, *chosen)


def public_pem(private: bytes) -> bytes:
    """The public half of a private key."""
    return openssl("pkey", "-pubout", content=private)


def encrypt(private: bytes, passphrase: str) -> bytes:
    """The private key, encrypted."""
    return openssl("pkey", "-aes256", "-passout", f"pass:{passphrase}", content=private)


def openssl(*arguments: object, content: bytes = b"") -> bytes:
    """What openssl answers to `content` on its standard input."""
    command = [require_tool("openssl"), *map(str, arguments)]
    done = subprocess.run(command, input=content, capture_output=True, check=False, timeout=60)
    assert done.returncode == 0, done.stderr
    return done.stdout


def openssl_accepts(file: Path, public: Path) -> bool:
    """Whether openssl says that the signature beside `file` is that of the key."""
    signature = file.with_name(f"{file.name}.sig")
    command = [require_tool("openssl"), "dgst", "-sha256", "-verify", public, "-signature", signature, file]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)
    return (done.returncode, done.stdout) == (0, "Verified OK\n")
