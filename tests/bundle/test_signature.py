"""Keys and signatures: which keys are taken, what is said of the others, and that openssl agrees."""

from collections.abc import Callable
from pathlib import Path

import pytest
from pydantic import SecretStr

from edgelift.bundle.signature import PrivateKey, PublicKey
from edgelift.errors import ConfigurationError, SignatureError
from edgelift.oci.digest import Digest
from tests.keys import (
    PASSPHRASE,
    KeyFiles,
    encrypt,
    generate,
    openssl,
    openssl_accepts,
    private_pem,
    public_pem,
    signing_key,
)

CONTENT = b"what is signed"
DIGEST = Digest.of(CONTENT)
RSA_3072 = ("RSA", "rsa_keygen_bits:3072")
RSA_1024 = ("RSA", "rsa_keygen_bits:1024")
EXPONENT_3 = ("RSA", "rsa_keygen_bits:2048", "rsa_keygen_pubexp:3")
ONLY_PSS = ("RSA-PSS", "rsa_keygen_bits:2048")
CURVE = ("EC", "ec_paramgen_curve:P-256")


def traditional(pem: bytes, *options: str) -> bytes:
    """The key in the form that openssl wrote before version 3."""
    return openssl("rsa", "-traditional", *options, content=pem)


GOOD: dict[str, tuple[Callable[[], bytes], str | None]] = {
    "as openssl writes it": (private_pem, None),
    "encrypted": (lambda: encrypt(private_pem(), PASSPHRASE), PASSPHRASE),
    "as openssl wrote it before": (lambda: traditional(private_pem()), None),
    "encrypted as before": (
        lambda: traditional(private_pem(), "-aes256", "-passout", f"pass:{PASSPHRASE}"),
        PASSPHRASE,
    ),
    "of 3072 bits": (lambda: generate(*RSA_3072), None),
    "with an empty passphrase for a key that has none": (private_pem, ""),
}


@pytest.mark.parametrize(("make", "passphrase"), GOOD.values(), ids=GOOD)
def test_openssl_accepts_what_is_signed(make: Callable[[], bytes], passphrase: str | None, tmp_path: Path) -> None:
    """The signature is a detached one, which openssl checks with the public half alone."""
    pem = make()
    secret = SecretStr(passphrase) if passphrase is not None else None
    key = PrivateKey.from_pem(SecretStr(pem.decode()), secret, "site.key")
    (tmp_path / "content").write_bytes(CONTENT)
    (tmp_path / "content.sig").write_bytes(key.sign(DIGEST))
    (tmp_path / "site.pub").write_bytes(key.public_key.pem)

    assert openssl_accepts(tmp_path / "content", tmp_path / "site.pub")
    key.public_key.check(key.sign(DIGEST), DIGEST, "content")


def test_what_openssl_signs_is_accepted(tmp_path: Path) -> None:
    """A signature made by hand is as good as ours, and the same."""
    keys = KeyFiles.write(tmp_path, "site")
    signature = openssl("dgst", "-sha256", "-sign", keys.private, content=CONTENT)

    assert signature == signing_key().sign(DIGEST)
    PublicKey.from_pem(keys.public.read_bytes(), "site.pub").check(signature, DIGEST, "content")


BAD_PRIVATE: dict[str, tuple[Callable[[], bytes], str | None, str]] = {
    "an elliptic curve": (lambda: generate(*CURVE), None, "is no RSA key"),
    "Ed25519": (lambda: generate("ED25519"), None, "is no RSA key"),
    "DSA": (lambda: openssl("dsaparam", "-genkey", "-noout", "1024"), None, "is no RSA key"),
    "1024 bits": (lambda: generate(*RSA_1024), None, "has 1024 bits and the exponent 65537"),
    "exponent 3": (lambda: generate(*EXPONENT_3), None, "has 2048 bits and the exponent 3"),
    "no passphrase": (lambda: encrypt(private_pem(), PASSPHRASE), None, "is encrypted, and there is no passphrase"),
    "a wrong passphrase": (lambda: encrypt(private_pem(), PASSPHRASE), "wrong", "cannot be decrypted with this"),
    "a passphrase for nothing": (private_pem, PASSPHRASE, "is not encrypted, but a passphrase is given"),
    "a public key": (lambda: public_pem(private_pem()), None, "is no private key in PEM"),
    "cut short": (lambda: private_pem()[:400], None, "is no private key in PEM"),
    "changed": (lambda: private_pem().replace(b"A", b"B", 40), None, "is no private key in PEM"),
    "garbage": (lambda: b"\xff\x00 garbage", None, "is no private key in PEM"),
    "nothing": (lambda: b"", None, "is no private key in PEM"),
}


@pytest.mark.parametrize(("make", "passphrase", "reason"), BAD_PRIVATE.values(), ids=BAD_PRIVATE)
def test_other_private_keys_are_refused(make: Callable[[], bytes], passphrase: str | None, reason: str) -> None:
    """One clear sentence, and in it nothing of the key, nor of its passphrase."""
    pem = make().decode(errors="replace")
    secret = SecretStr(passphrase) if passphrase is not None else None
    with pytest.raises(ConfigurationError, match=f"^site.key {reason}") as raised:
        PrivateKey.from_pem(SecretStr(pem), secret, "site.key")

    error = raised.value
    shown = f"{error} {error.args} {error.__cause__} {error.__suppress_context__}"
    secrets = [line for line in pem.splitlines() if len(line) > 20 and not line.startswith("-")]
    assert [part for part in (*secrets, PASSPHRASE) if part in shown] == []
    assert error.hint


BAD_PUBLIC: dict[str, tuple[Callable[[], bytes], str]] = {
    "a private key": (private_pem, "holds a private key where a public one is asked for"),
    "an elliptic curve": (lambda: public_pem(generate(*CURVE)), "is no RSA key"),
    "Ed25519": (lambda: public_pem(generate("ED25519")), "is no RSA key"),
    "1024 bits": (lambda: public_pem(generate(*RSA_1024)), "has 1024 bits"),
    "exponent 3": (lambda: public_pem(generate(*EXPONENT_3)), "the exponent 3"),
    "for RSA-PSS alone": (lambda: public_pem(generate(*ONLY_PSS)), "is not a single RSA key in the usual form"),
    "two keys": (lambda: 2 * public_pem(private_pem()), "is not a single RSA key"),
    "in the form of PKCS#1": (
        lambda: openssl("rsa", "-RSAPublicKey_out", content=private_pem()),
        "is not a single RSA key in the usual form",
    ),
    "cut short": (lambda: public_pem(private_pem())[:200], "is no public key in PEM"),
    "garbage": (lambda: b"\xff\x00 garbage", "is no public key in PEM"),
    "nothing": (lambda: b"", "is no public key in PEM"),
}


@pytest.mark.parametrize(("make", "reason"), BAD_PUBLIC.values(), ids=BAD_PUBLIC)
def test_other_public_keys_are_refused(make: Callable[[], bytes], reason: str) -> None:
    """The verifier says which keys count, not the file."""
    with pytest.raises(ConfigurationError, match=f"^site.pub .*{reason}") as raised:
        PublicKey.from_pem(make(), "site.pub")

    assert raised.value.hint


def test_line_ends_do_not_matter() -> None:
    """A key that was copied through Windows is the same key."""
    pem = public_pem(private_pem())

    assert PublicKey.from_pem(pem.replace(b"\n", b"\r\n") + b"\r\n", "site.pub").pem == pem


def _other_algorithm(tmp_path: Path, *options: str) -> bytes:
    keys = KeyFiles.write(tmp_path, "site")
    return openssl("dgst", *options, "-sign", keys.private, content=CONTENT)


BAD_SIGNATURES: dict[str, Callable[[Path], bytes]] = {
    "of other content": lambda folder: signing_key().sign(Digest.of(b"other")),
    "of another key": lambda folder: signing_key("stranger").sign(DIGEST),
    "with a bit changed": lambda folder: bytes([signing_key().sign(DIGEST)[0] ^ 1]) + signing_key().sign(DIGEST)[1:],
    "cut short": lambda folder: signing_key().sign(DIGEST)[:-1],
    "longer": lambda folder: signing_key().sign(DIGEST) + b"\0",
    "empty": lambda folder: b"",
    "all zeros": lambda folder: bytes(256),
    "over another hash": lambda folder: _other_algorithm(folder, "-sha512"),
    "padded otherwise": lambda folder: _other_algorithm(folder, "-sha256", "-sigopt", "rsa_padding_mode:pss"),
}


@pytest.mark.parametrize("make", BAD_SIGNATURES.values(), ids=BAD_SIGNATURES)
def test_other_signatures_are_refused(make: Callable[[Path], bytes], tmp_path: Path) -> None:
    """Content, key, hash and padding have to be the right ones."""
    with pytest.raises(SignatureError, match="the signature of content is not one that the public half"):
        signing_key().public_key.check(make(tmp_path), DIGEST, "content")
