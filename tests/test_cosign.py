"""Signatures of images are checked with the key of their maker, in both forms that cosign has; nothing else will do."""

import base64
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from edgelift.cosign_key import CosignKey
from edgelift.demo.content import SampleImage, make_image
from edgelift.errors import ConfigurationError
from edgelift.keys import read_cosign_key
from edgelift.store.local import LocalStore
from tests.cosign import (
    REPOSITORY,
    bundle_of,
    make_key,
    public_pem,
    sign,
    sign_as_referrer,
    untag,
)
from tests.keys import generate
from tests.keys import public_pem as public_half
from tests.simulators.registry import RegistrySimulator
from tests.test_pin_referrers import APP, plan

KEY, STRANGER = make_key(), make_key(name="a stranger")
OTHER = make_image(REPOSITORY, tag="other")


@pytest.fixture
def sim(tmp_path: Path) -> Iterator[RegistrySimulator]:
    """A registry with an image that nobody has signed."""
    with RegistrySimulator(tmp_path / "registry") as simulator:
        simulator.put_image(APP)
        yield simulator


def errors_of(sim: RegistrySimulator, folder: Path, pem: str) -> tuple[str, ...]:
    """What a plan says that wants the image signed by the key in `pem`."""
    return plan(sim, LocalStore(folder / "store"), require_signatures=True, cosign_key=pem).errors


@pytest.mark.parametrize("kind", ["ecdsa", "rsa", "ed25519"])
@pytest.mark.parametrize("has_tag", [True, False])
def test_a_signature_of_that_key_is_accepted(has_tag: bool, kind: str, sim: RegistrySimulator, tmp_path: Path) -> None:
    """Of each kind of key that cosign makes or imports, under a tag and as a referrer."""
    key = make_key(kind)
    sim.put_image(sign(APP.root, key) if has_tag else untag(sign_as_referrer(APP.root, key)))

    assert errors_of(sim, tmp_path, public_pem(key)) == ()


def test_one_good_signature_among_others_is_enough(sim: RegistrySimulator, tmp_path: Path) -> None:
    """Several may sign an image; that of the key that is asked for has to be there."""
    sim.put_image(sign(APP.root, STRANGER), untag(sign_as_referrer(APP.root, KEY)))

    assert errors_of(sim, tmp_path, public_pem(KEY)) == ()


FLIPPED = base64.b64encode(b"0" * 70).decode()
WRONG: dict[str, tuple[SampleImage, str]] = {
    "of another key": (sign(APP.root, STRANGER), "of another key"),
    "of another key, in a bundle": (untag(sign_as_referrer(APP.root, STRANGER)), "of another key"),
    "of another image": (sign(APP.root, KEY, digest=OTHER.root.digest), "of another image"),
    "of another image, in a bundle": (untag(sign_as_referrer(APP.root, KEY, of=OTHER.root.digest)), "of another image"),
    "of something else": (sign(APP.root, KEY, kind="a letter"), "of another image"),
    "no signature at all": (sign(APP.root, KEY, signature=FLIPPED), "of another key"),
    "not base64": (sign(APP.root, KEY, signature="…"), "malformed"),
    "no bundle": (untag(bundle_of(APP.root, 7)), "malformed"),
    "a bundle of no statement": (untag(bundle_of(APP.root, {"messageSignature": {}})), "not checked here"),
    "a bundle with two signatures": (
        untag(bundle_of(APP.root, {"dsseEnvelope": {"payload": "", "payloadType": "", "signatures": [{}, {}]}})),
        "malformed",
    ),
}


@pytest.mark.parametrize(("signature", "reason"), WRONG.values(), ids=WRONG)
def test_any_other_signature_is_refused(
    signature: SampleImage, reason: str, sim: RegistrySimulator, tmp_path: Path
) -> None:
    """The image is named, and what is wrong with its signatures."""
    sim.put_image(signature)

    (error,) = errors_of(sim, tmp_path, public_pem(KEY))

    assert error.startswith(f"{sim.host}/{REPOSITORY}:1.0: no signature of {APP.root.digest} is one that the cosign")
    assert reason in error


def test_the_signature_of_another_image_under_its_tag_is_refused(sim: RegistrySimulator, tmp_path: Path) -> None:
    """Whoever may push to the repository can put a good signature of an older image there."""
    moved = sign(OTHER.root, KEY)
    sim.put_image(SampleImage(**{**vars(moved), "tag": f"sha256-{APP.root.digest.hex}.sig"}))

    (error,) = errors_of(sim, tmp_path, public_pem(KEY))

    assert "of another image" in error


REFUSED_KEYS: dict[str, Callable[[], bytes]] = {
    "private": lambda: generate("EC", "ec_paramgen_curve:P-256"),
    "of another curve": lambda: public_half(generate("EC", "ec_paramgen_curve:secp384r1")),
    "too short": lambda: public_half(generate("RSA", "rsa_keygen_bits:1024")),
    "no key": lambda: b"nothing",
}


@pytest.mark.parametrize("make", REFUSED_KEYS.values(), ids=REFUSED_KEYS)
def test_what_is_no_key_of_cosign_is_refused(make: Callable[[], bytes], tmp_path: Path) -> None:
    """When it is read, with the file's name: nothing is planned with it."""
    path = tmp_path / "cosign.pub"
    path.write_bytes(make())

    with pytest.raises(ConfigurationError, match=r"cosign\.pub"):
        read_cosign_key(path)


def test_the_definition_holds_the_key_itself(tmp_path: Path) -> None:
    """Not its path: a lock says, wherever it is, with which key its signatures were checked."""
    path = tmp_path / "cosign.pub"
    path.write_text("\n" + public_pem(KEY))

    assert read_cosign_key(path) == public_pem(KEY)
    assert CosignKey.from_pem(public_pem(KEY).encode(), "it").pem == public_pem(KEY)
