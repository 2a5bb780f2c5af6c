"""Deltas: what a lock leaves out is in no file and is not missed; anything else is. Whole bundles stay as they were."""

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from edgelift.bundle.container import contents_of
from edgelift.bundle.diff import compare_locks
from edgelift.bundle.lock import BundleLock, LeftOut, LockBase
from edgelift.bundle.reader import BundleReader
from edgelift.bundle.rebuild import first_difference
from edgelift.bundle.signed import check_lock
from edgelift.bundle.standing import ensure_bundle
from edgelift.bundle.stream import BundleStream, reassemble_bundle
from edgelift.bundle.summary import summarise
from edgelift.bundle.verify import verify_bundle
from edgelift.bundle.writer import assemble_bundle
from edgelift.errors import BundleError, ConfigurationError, SignatureError, StoreError
from edgelift.oci.descriptor import Descriptor
from edgelift.oci.digest import Digest
from edgelift.serve.pinned import BundleContent
from tests.bundle.content import GZIP, LAYER, MemoryContent, lock_of, noise, tar_of
from tests.bundle.crafting import craft, parts_of, tar_of_parts
from tests.keys import signing_key

KEY = signing_key()
OLD_LAYER, NEW_LAYER = 300_000, 200_000  # bytes


@dataclass(frozen=True)
class Delta:
    """A delta, the lock of the whole and the content of the delta alone; `shared` is the layer that it leaves out."""

    path: Path
    lock: BundleLock
    whole: BundleLock
    content: MemoryContent
    shared: Descriptor


@pytest.fixture
def delta(tmp_path: Path) -> Delta:
    """An image over a layer that the base has and one that it has not."""
    content = MemoryContent()
    shared = content.add(noise(OLD_LAYER), GZIP)
    new = [content.add(noise(NEW_LAYER, seed=1), GZIP), content.add(tar_of(b"text" * 500), LAYER)]
    whole = lock_of(content.add_image("quay.io/spectro/agent:v2", [shared, *new]))
    del content.blobs[shared.digest]
    lock = with_base(whole, LeftOut(name="quay.io/spectro/agent", blobs=(shared.digest,)))
    path = tmp_path / "delta.tar.zst"
    assemble_bundle(lock, content, path)
    return Delta(path, lock, whole, content, shared)


def with_base(lock: BundleLock, *left_out: LeftOut) -> BundleLock:
    """`lock` as that of a delta."""
    base = LockBase(name="site-6", lock=Digest.of(b"the lock of site-6"), left_out=left_out)
    return BundleLock(definition=lock.definition, images=lock.images, base=base)


def test_what_is_left_out_is_not_in_the_file(delta: Delta) -> None:
    """It holds all manifests and the other blobs; every byte of it is right, and it is what its lock gives."""
    with BundleReader.open(delta.path) as bundle:
        held = {blob.descriptor.digest for blob in bundle.container.blobs}

    everything = {each.digest for each in contents_of(delta.whole)}
    assert (everything - held, held - everything) == ({delta.shared.digest}, set())
    assert delta.path.stat().st_size < NEW_LAYER + 10_000
    assert verify_bundle(delta.path).content_size == delta.lock.carried_size == delta.whole.unique_size - OLD_LAYER
    with BundleReader.open(delta.path) as bundle:
        assert first_difference(bundle) is None


def test_the_same_lock_gives_the_same_delta(delta: Delta, tmp_path: Path) -> None:
    """Also from its own content, read by places and from front to back."""
    again, reassembled = tmp_path / "again.tar.zst", tmp_path / "reassembled.tar.zst"
    with BundleReader.open(delta.path) as bundle:
        assemble_bundle(BundleLock.from_json(delta.lock.to_json()), bundle, again)
    with BundleStream.open(delta.path) as stream:
        reassemble_bundle(stream, reassembled)

    assert again.read_bytes() == reassembled.read_bytes() == delta.path.read_bytes()
    assert not ensure_bundle(delta.lock, delta.content, delta.path)[1]


def test_only_what_the_lock_leaves_out_may_be_missing(delta: Delta, tmp_path: Path) -> None:
    """Neither is the whole bundle made of this content, nor the delta where one more blob is gone."""
    with pytest.raises(StoreError, match=delta.shared.digest):
        assemble_bundle(delta.whole, delta.content, tmp_path / "whole.tar.zst")
    lost = next(blob for blob in delta.lock.unique_blobs() if blob.size == NEW_LAYER)
    del delta.content.blobs[lost.digest]
    with pytest.raises(StoreError, match=lost.digest):
        assemble_bundle(delta.lock, delta.content, tmp_path / "less.tar.zst")


def test_a_lock_without_a_base_has_the_bytes_that_it_had(delta: Delta) -> None:
    """The field is there where it says something, and only there."""
    assert "base" not in json.loads(delta.whole.to_json())
    assert json.loads(delta.lock.to_json())["base"] == {
        "left_out": [{"blobs": [delta.shared.digest], "name": "quay.io/spectro/agent"}],
        "lock": Digest.of(b"the lock of site-6"),
        "name": "site-6",
    }


def test_a_delta_differs_from_nothing_by_what_it_leaves_out(delta: Delta) -> None:
    """A comparison is one of images, however they travel: the delta and the whole bundle hold the same."""
    found = compare_locks(delta.whole, delta.lock)

    assert (found.added, found.removed, found.moved, found.unchanged) == ((), (), (), 1)
    assert (found.arriving.size, found.leaving.size) == (0, 0)


def test_a_summary_tells_what_it_goes_on_top_of(delta: Delta) -> None:
    """The base by name and lock, and how much is left out."""
    summary = summarise(delta.lock)

    assert summary["base"] == {
        "name": "site-6",
        "lock": Digest.of(b"the lock of site-6"),
        "left_out_blobs": 1,
        "left_out_bytes": OLD_LAYER,
    }
    assert summary["totals"]["carried_bytes"] == summary["totals"]["unique_bytes"] - OLD_LAYER
    assert summarise(delta.whole)["base"] is None


def test_what_is_left_out_is_told_when_it_is_asked_for(delta: Delta) -> None:
    """Reading it, and serving the bundle, end with a word about the base."""
    with BundleReader.open(delta.path) as bundle:
        assert not bundle.exists(delta.shared)
        with pytest.raises(BundleError, match="delta of site-6"):
            list(bundle.read(delta.shared))
        with pytest.raises(BundleError, match="leaves out 1 blob: it is a delta of site-6"):
            BundleContent(bundle)


# What strangers make of it

Change = Callable[[dict[str, Any]], object]
SHARED = {"name": "quay.io/spectro/agent"}
REFUSED: dict[str, tuple[Change, str]] = {
    "nothing is left out": (lambda base: base.update(left_out=[]), "not in its order"),
    "a name without blobs": (lambda base: base["left_out"][0].update(blobs=[]), "not in their order"),
    "a blob twice": (lambda base: base["left_out"][0].update(blobs=base["left_out"][0]["blobs"] * 2), "order"),
    "a blob under two names": (
        lambda base: base["left_out"].insert(0, {**base["left_out"][0], "name": "a.example/app"}),
        "not in its order",
    ),
    "a name with a tag": (lambda base: base["left_out"][0].update(name="quay.io/spectro/agent:v1"), "nothing else"),
    "a name that is a path": (lambda base: base["left_out"][0].update(name="../spectro"), "name"),
    "no blob of its images": (
        lambda base: base["left_out"][0].update(blobs=[Digest.of(b"x")]),
        "no blob of its images",
    ),
    "an unknown key": (lambda base: base.update(parent="site-5"), "parent"),
}


@pytest.mark.parametrize(("change", "says"), REFUSED.values(), ids=REFUSED)
def test_a_base_at_odds_is_refused(delta: Delta, change: Change, says: str) -> None:
    """What is left out is in one order, each blob once, and only blobs of the lock's own images."""
    document = json.loads(delta.lock.to_json())
    change(document["base"])

    with pytest.raises(ConfigurationError, match=says):
        BundleLock.from_json(json.dumps(document))


def test_a_manifest_is_never_left_out(delta: Delta) -> None:
    """Manifests travel: a site is told by them what to look for."""
    document = json.loads(delta.lock.to_json())
    document["base"]["left_out"][0]["blobs"] = [delta.lock.images[0].descriptor.digest]

    with pytest.raises(ConfigurationError, match="no blob of its images"):
        BundleLock.from_json(json.dumps(document))


def test_a_file_with_another_base_is_not_that_of_its_lock(delta: Delta, tmp_path: Path) -> None:
    """A lock that leaves out more, or less, than its file does gives another file."""
    parts = parts_of(delta.lock, delta.content)
    lost = next(blob for blob in delta.lock.unique_blobs() if blob.size == NEW_LAYER)
    more = LeftOut(name="quay.io/spectro/agent", blobs=tuple(sorted((delta.shared.digest, lost.digest))))
    for number, lock in enumerate((delta.whole, with_base(delta.whole, more))):
        folder = tmp_path / str(number)
        folder.mkdir()
        documents = parts_of(lock, MemoryContent(dict.fromkeys((each.digest for each in contents_of(lock)), b"")))[:4]
        crafted = craft(folder, tar_of_parts([*documents, *parts[4:]]))
        with pytest.raises(BundleError, match=r"header|tar"):
            BundleReader.open(crafted)


def test_the_base_of_a_signed_delta_cannot_be_changed(delta: Delta, tmp_path: Path) -> None:
    """Where only its name is another, the file fits its lock; the signature of the lock does not."""
    signed = tmp_path / "signed.tar.zst"
    assemble_bundle(delta.lock, delta.content, signed, key=KEY)
    with BundleReader.open(signed) as bundle:
        check_lock(bundle, KEY.public_key)
        signature = bundle.lock_signature
    assert delta.lock.base is not None
    base = delta.lock.base.model_copy(update={"name": "site-5"})
    tampered = tmp_path / "tampered.tar.zst"
    lock = delta.lock.model_copy(update={"base": base})
    assemble_bundle(lock, delta.content, tampered, lock_signature=signature)

    with BundleReader.open(tampered) as bundle, pytest.raises(SignatureError):
        check_lock(bundle, KEY.public_key)


def test_a_delta_without_its_seek_table_says_what_it_is(delta: Delta) -> None:
    """Read from front to back it has the same lock and the same blobs."""
    with BundleStream.open(delta.path) as stream:
        assert stream.lock == delta.lock
        assert not stream.exists(delta.shared)
