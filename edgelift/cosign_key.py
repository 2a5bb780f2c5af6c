"""The public keys that cosign signs for: ECDSA on P-256, RSA (PKCS#1 v1.5) and Ed25519, the first two over a SHA-256.

A door of its own beside `bundle/signature.py`: bundles are signed as Palette documents it, by RSA alone, and no key of
images may ever count for a bundle. To be loaded only where there is a key.
"""

from hashlib import sha256
from typing import Self

from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, padding, rsa

from edgelift.errors import ConfigurationError

_RSA_BITS = range(2048, 8192 + 1)
_HINT = "take the cosign.pub that cosign generate-key-pair writes; for a key of a KMS, cosign public-key --key REF"
_Key = ec.EllipticCurvePublicKey | rsa.RSAPublicKey | ed25519.Ed25519PublicKey


class CosignKey:
    """Tells the signatures of one key of cosign from all others. `name` says which it is."""

    def __init__(self, key: _Key) -> None:
        """Use `from_pem`."""
        self._key = key
        self.name = f"the cosign key {sha256(self._bytes(serialization.Encoding.DER)).hexdigest()[:16]}"

    @classmethod
    def from_pem(cls, pem: bytes, name: str) -> Self:
        """The key in `pem`, which `name` says where from; raises `ConfigurationError` for one that is not taken."""
        if b"PRIVATE KEY" in pem:
            raise ConfigurationError(f"{name} holds a private key where a public one is asked for", hint=_HINT)
        try:
            key = _taken(serialization.load_pem_public_key(pem))
        except (ValueError, UnsupportedAlgorithm):
            raise ConfigurationError(f"{name} is no public key in PEM", hint=_HINT) from None
        if key is None:
            raise ConfigurationError(
                f"{name} is of a kind that is not taken: ECDSA on P-256, RSA of 2048 to 8192 bits and Ed25519 are",
                hint=_HINT,
            )
        return cls(key)

    @property
    def pem(self) -> str:
        """The key in PEM; equal keys have equal ones."""
        return self._bytes(serialization.Encoding.PEM).decode()

    def accepts(self, signature: bytes, message: bytes) -> bool:
        """Whether `signature` is that of the private key for `message`."""
        try:
            if isinstance(self._key, ec.EllipticCurvePublicKey):
                self._key.verify(signature, message, ec.ECDSA(hashes.SHA256()))
            elif isinstance(self._key, rsa.RSAPublicKey):
                self._key.verify(signature, message, padding.PKCS1v15(), hashes.SHA256())
            else:
                self._key.verify(signature, message)
        except InvalidSignature:
            return False
        return True

    def _bytes(self, encoding: serialization.Encoding) -> bytes:
        return self._key.public_bytes(encoding, serialization.PublicFormat.SubjectPublicKeyInfo)


def _taken(key: object) -> _Key | None:
    """`key`, where it is of a kind that is taken."""
    if isinstance(key, ec.EllipticCurvePublicKey):
        return key if isinstance(key.curve, ec.SECP256R1) else None
    if isinstance(key, rsa.RSAPublicKey):
        return key if key.key_size in _RSA_BITS else None
    return key if isinstance(key, ed25519.Ed25519PublicKey) else None
