"""Keys and their signatures: RSA (PKCS#1 v1.5) over a SHA-256, as `openssl dgst -sha256 -verify` checks them.

What a key may be is said here, and by no key, signature or file: RSA of 2048 to 8192 bits with the exponent 65537. To
be loaded only where there is a key: what it is made of takes a tenth of a second.
"""

from typing import Self

from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import padding, rsa
from cryptography.hazmat.primitives.asymmetric.utils import Prehashed
from pydantic import SecretStr

from edgelift.errors import ConfigurationError, SignatureError
from edgelift.oci.digest import Digest

SMALLEST, LARGEST = 2048, 8192  # bits of a key
EXPONENT = 65537

_PADDING, _HASH = padding.PKCS1v15(), Prehashed(hashes.SHA256())
_MAKE = "make one with openssl genpkey -algorithm RSA -pkeyopt rsa_keygen_bits:4096 -aes256 -out KEY"
_EXPORT = "write it with openssl pkey -in KEY -pubout -out KEY.pub"


class PublicKey:
    """Tells the signatures of one private key from all others. `name` says where it comes from."""

    def __init__(self, key: rsa.RSAPublicKey, name: str) -> None:
        """Use `from_pem`."""
        self.name = name
        self._key = key

    @classmethod
    def from_pem(cls, pem: bytes, name: str) -> Self:
        """The key in `pem`, in the form of `openssl pkey -pubout`; raises `ConfigurationError` for any other."""
        if b"PRIVATE KEY" in pem:
            raise ConfigurationError(f"{name} holds a private key where a public one is asked for", hint=_EXPORT)
        try:
            key = serialization.load_pem_public_key(pem)
        except (ValueError, UnsupportedAlgorithm):
            raise ConfigurationError(f"{name} is no public key in PEM", hint=_EXPORT) from None
        public = cls(_pinned(key, name), name)
        # Nothing but that one key: no second one, and no RSA-PSS, which is loaded as if it were RSA.
        if b"".join(public.pem.split()) != b"".join(pem.split()):
            raise ConfigurationError(f"{name} is not a single RSA key in the usual form", hint=_EXPORT)
        return public

    @property
    def pem(self) -> bytes:
        """The key in PEM; equal keys have equal ones."""
        return self._key.public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)

    def check(self, signature: bytes, digest: Digest, what: str) -> None:
        """Raise `SignatureError` unless `signature` is that of the private key for `what`, which has this `digest`."""
        try:
            self._key.verify(signature, bytes.fromhex(digest.hex), _PADDING, _HASH)
        except InvalidSignature:
            raise SignatureError(
                f"the signature of {what} is not one that {self.name} accepts",
                hint="it was changed, or signed with another key: do not use it; get it again from where it was signed",
            ) from None


class PrivateKey:
    """Signs."""

    def __init__(self, key: rsa.RSAPrivateKey, name: str) -> None:
        """Use `from_pem`."""
        self._key = key
        self._name = name

    @classmethod
    def from_pem(cls, pem: SecretStr, passphrase: SecretStr | None, name: str) -> Self:
        """The key in `pem`, which `name` says where from; raises `ConfigurationError`, in which nothing is of the key.

        An empty `passphrase` is none.
        """
        secret = passphrase.get_secret_value().encode() if passphrase is not None else b""
        try:
            key = serialization.load_pem_private_key(pem.get_secret_value().encode(), secret or None)
        except TypeError:
            raise _passphrase_error(name, is_given=bool(secret)) from None
        except (ValueError, UnsupportedAlgorithm):
            if secret and "ENCRYPTED" in pem.get_secret_value():
                raise ConfigurationError(
                    f"{name} cannot be decrypted with this passphrase", hint="check the passphrase"
                ) from None
            raise ConfigurationError(f"{name} is no private key in PEM", hint=_MAKE) from None
        if not isinstance(key, rsa.RSAPrivateKey):
            raise _kind_error(name)
        _pinned(key.public_key(), name)
        return cls(key, name)

    @property
    def public_key(self) -> PublicKey:
        """What checks its signatures."""
        return PublicKey(self._key.public_key(), f"the public half of {self._name}")

    def sign(self, digest: Digest) -> bytes:
        """The signature of what has this sha256 `digest`: the same one every time."""
        return self._key.sign(bytes.fromhex(digest.hex), _PADDING, _HASH)


def _pinned(key: object, name: str) -> rsa.RSAPublicKey:
    """`key`, where it is one that may be used; raises `ConfigurationError`."""
    if not isinstance(key, rsa.RSAPublicKey):
        raise _kind_error(name)
    exponent = key.public_numbers().e
    if not SMALLEST <= key.key_size <= LARGEST or exponent != EXPONENT:
        raise ConfigurationError(
            f"{name} has {key.key_size} bits and the exponent {exponent}; {SMALLEST} to {LARGEST} bits and {EXPONENT} "
            "are accepted",
            hint=_MAKE,
        )
    return key


def _kind_error(name: str) -> ConfigurationError:
    return ConfigurationError(f"{name} is no RSA key", hint=_MAKE)


def _passphrase_error(name: str, *, is_given: bool) -> ConfigurationError:
    if is_given:
        return ConfigurationError(
            f"{name} is not encrypted, but a passphrase is given", hint="leave the passphrase out"
        )
    return ConfigurationError(
        f"{name} is encrypted, and there is no passphrase for it",
        hint="give it with --passphrase-fd or EDGELIFT_SIGNING_PASSPHRASE (in a site file: passphrase_file)",
    )
