"""Digests: valid by construction, and the same after every journey."""

import copy
import hashlib
import pickle
from pathlib import PurePosixPath

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import BaseModel, ValidationError

from edgelift.errors import MalformedReferenceError
from edgelift.oci.digest import Digest

SHA256 = "sha256:" + hashlib.sha256(b"content").hexdigest()
SHA512 = "sha512:" + hashlib.sha512(b"content").hexdigest()
REFUSED = {
    "nothing": "",
    "only hex": "a" * 64,
    "only an algorithm": "sha256:",
    "short": "sha256:" + "a" * 63,
    "long": "sha256:" + "a" * 65,
    "upper-case hex": "sha256:" + "A" * 64,
    "upper-case algorithm": "SHA256:" + "a" * 64,
    "no hex": "sha256:" + "g" * 64,
    "md5": "md5:" + "a" * 32,
    "sha1": "sha1:" + "a" * 40,
    "sha384, which is not registered": "sha384:" + "a" * 96,
    "sha512 with the length of sha256": "sha512:" + "a" * 64,
    "sha256 with the length of sha512": "sha256:" + "a" * 128,
    "a path upwards": "sha256:../../../etc/passwd",
    "a path upwards of the right length": "sha256:" + ("../" * 22)[:64],
    "a slash in the algorithm": "../sha256:" + "a" * 64,
    "a component of an algorithm": "sha256+b64:" + "a" * 64,
    "a newline at the end": "sha256:" + "a" * 64 + "\n",
    "a space before": " sha256:" + "a" * 64,
    "a NUL": "sha256:" + "a" * 63 + "\0",
    "digits of another script": "sha256:" + "٣" * 64,
    "full-width letters": "sha256:" + "\N{FULLWIDTH LATIN SMALL LETTER A}" * 64,
    "a second colon": "sha256:" + "a" * 64 + ":",
}


@pytest.mark.parametrize("text", REFUSED.values(), ids=REFUSED)
def test_what_is_no_digest_is_refused(text: str) -> None:
    """Nothing but a registered algorithm and hex of its exact length is a digest."""
    with pytest.raises(MalformedReferenceError) as caught:
        Digest(text)

    assert f"{text!r} is not a digest" == caught.value.message
    assert "sha256: and 64" in str(caught.value.hint)


def test_a_refused_text_is_not_repeated_in_full() -> None:
    """A megabyte in the wrong place does not become a megabyte of log."""
    with pytest.raises(MalformedReferenceError) as caught:
        Digest("sha256:" + "x" * 1_000_000)

    assert len(str(caught.value)) < 400


@pytest.mark.parametrize("text", [SHA256, SHA512])
def test_a_digest_is_its_text(text: str) -> None:
    """It prints, compares, hashes and splits as what it was made from."""
    digest = Digest(text)

    assert (text, f"{digest}", f"{digest.algorithm}:{digest.hex}") == (digest, text, text)
    assert {text: 1}[digest] == 1


@pytest.mark.parametrize("text", [SHA256, SHA512])
def test_content_is_checked_by_the_digests_own_algorithm(text: str) -> None:
    """`matches` and `hasher` use what the digest names."""
    digest = Digest(text)
    hasher = digest.hasher()
    hasher.update(b"content")

    assert (digest.matches(b"content"), digest.matches(b"content ")) == (True, False)
    assert digest.hex == hasher.hexdigest()


def test_the_digest_of_content() -> None:
    """The digest of nothing is the well-known one."""
    assert Digest.of(b"") == "sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
def test_pickles_and_copies_stay_digests(protocol: int) -> None:
    """A digest crosses processes as a digest, not as bare text."""
    digest = Digest(SHA256)

    journeys = [pickle.loads(pickle.dumps(digest, protocol)), copy.copy(digest), copy.deepcopy([digest])[0]]

    assert [(Digest, SHA256)] * 3 == [(type(each), each) for each in journeys]


def test_a_forged_pickle_is_refused() -> None:
    """A pickle that was changed on the way does not smuggle in what the constructor refuses."""
    forged = pickle.dumps(Digest(SHA256)).replace(SHA256.encode(), SHA256.upper().encode())

    with pytest.raises(MalformedReferenceError):
        pickle.loads(forged)


class Holder(BaseModel):
    """A model with a digest and a table of them."""

    digest: Digest
    table: dict[Digest, int] = {}


def test_models_hold_digests() -> None:
    """A digest in JSON is text on both sides, also as a key, and a `Digest` in between."""
    text = f'{{"digest":"{SHA256}","table":{{"{SHA512}":1}}}}'

    holder = Holder.model_validate_json(text)

    assert (Digest, Digest) == (type(holder.digest), type(next(iter(holder.table))))
    assert text == holder.model_dump_json()
    assert holder.model_dump() == {"digest": SHA256, "table": {SHA512: 1}}


NOT_IN_MODELS = {"text": "sha256:abc", "number": 7, "nothing": None, "list": [SHA256]}


@pytest.mark.parametrize("value", NOT_IN_MODELS.values(), ids=NOT_IN_MODELS)
def test_models_refuse_other_values(value: object) -> None:
    """A wrong value is a validation error of the model at that field, no other exception."""
    with pytest.raises(ValidationError) as caught:
        Holder.model_validate({"digest": value})

    assert [problem["loc"] for problem in caught.value.errors()] == [("digest",)]


@given(st.text(max_size=200) | st.from_regex(r"(sha256|sha512|md5):[0-9a-fA-F./]{0,140}"))
def test_a_digest_is_a_safe_path_component(text: str) -> None:
    """Whatever is taken for a digest stays below the folder that it is put into, and adds two components to it."""
    try:
        digest = Digest(text)
    except MalformedReferenceError:
        return

    path = PurePosixPath("/store", digest.algorithm, digest.hex)
    assert (path.parts, digest.hex.isalnum()) == (("/", "store", digest.algorithm, digest.hex), True)
