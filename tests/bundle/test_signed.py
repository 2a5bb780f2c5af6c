"""Signed bundles: what openssl says of them, that they stay canonical, and what is refused once a key is configured."""

import shutil
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from edgelift.bundle.container import LOCK, LOCK_SIGNATURE, tar_header
from edgelift.bundle.file_digest import FileDigest
from edgelift.bundle.placing import signature_path
from edgelift.bundle.reader import BundleReader
from edgelift.bundle.signature import PrivateKey, PublicKey
from edgelift.bundle.signed import check_bundle, check_lock, read_signed, write_signed
from edgelift.bundle.standing import ensure_bundle
from edgelift.bundle.verify import verify_bundle
from edgelift.bundle.writer import assemble_bundle
from edgelift.documents import write_document
from edgelift.errors import BundleError, ConfigurationError, IntegrityError, SignatureError, StoreError
from edgelift.oci.digest import Digest
from tests.bundle.conftest import Assembled
from tests.bundle.content import MemoryContent, mixed_content
from tests.bundle.crafting import Part, craft, members_with_tarfile, parts_of, tar_of_parts
from tests.keys import KeyFiles, openssl_accepts, signing_key

KEY = signing_key()
OURS = KEY.public_key
STRANGER = signing_key("stranger")


def state(folder: Path) -> dict[str, bytes]:
    """Every file in `folder`, hidden ones too."""
    return {path.name: path.read_bytes() for path in folder.iterdir()}


# What is signed


def test_openssl_accepts_bundle_and_lock(signed: Assembled, tmp_path: Path) -> None:
    """Both signatures are checked with nothing but openssl and the public key."""
    keys = KeyFiles.write(tmp_path, "site")
    lock = tmp_path / "site.lock.json"
    write_signed(lock, signed.lock.to_json(), KEY)

    assert openssl_accepts(signed.path, keys.public)
    assert openssl_accepts(lock, keys.public)
    assert not openssl_accepts(signed.path, KeyFiles.write(tmp_path, "stranger").public)


def test_the_lock_and_its_signature_are_members(signed: Assembled, tmp_path: Path) -> None:
    """Taken out of the tar by any tool, they are the same two files again."""
    tar = tmp_path / "tar"
    with BundleReader.open(signed.path) as bundle:
        tar.write_bytes(b"".join(bundle.tar.read(0, bundle.container.size)))
    members = members_with_tarfile(tar.read_bytes())

    assert (members[LOCK], members[LOCK_SIGNATURE]) == (signed.lock.to_json(), KEY.sign(signed.lock.digest))
    assert list(members)[3:5] == [LOCK, LOCK_SIGNATURE]


def test_who_has_no_key_finds_a_signed_bundle_right(signed: Assembled, mixed: Assembled) -> None:
    """Verification needs no key: the signature is one document more, and every byte of the file is looked at."""
    with FileDigest() as digest:
        outcome = verify_bundle(signed.path, digest=digest)

    assert (outcome.members, outcome.file_size) == (verify_bundle(mixed.path).members + 1, signed.summary.size)
    assert digest.value() == Digest.of(signed.path.read_bytes())


def test_the_same_lock_and_key_give_the_same_bytes(signed: Assembled, tmp_path: Path) -> None:
    """The signatures, too: nothing in them is left to chance."""
    again = tmp_path / "again" / "site.tar.zst"
    assemble_bundle(signed.lock, signed.content, again, key=KEY)

    assert state(signed.path.parent) == state(again.parent)


def test_a_bundle_of_several_buffers_is_signed_as_a_whole(large: Assembled, tmp_path: Path) -> None:
    """The digest that is signed is worked out while the file is written, in the order in which it is."""
    path = tmp_path / "large.tar.zst"
    assemble_bundle(large.lock, large.content, path, key=KEY)
    steps: list[int] = []
    with BundleReader.open(path) as bundle:
        check_bundle(bundle, OURS, progress=steps.append)

    assert sum(steps) == path.stat().st_size
    assert openssl_accepts(path, KeyFiles.write(tmp_path, "site").public)


# When


class Watched(PrivateKey):
    """A key that notes which files there are whenever it signs."""

    folder: Path
    seen: list[set[str]]

    def sign(self, digest: Digest) -> bytes:
        """As ever."""
        self.seen.append({path.name for path in self.folder.iterdir() if not path.name.startswith(".")})
        return super().sign(digest)


def test_an_old_signature_never_stands_beside_a_new_bundle(signed: Assembled) -> None:
    """It goes before the new bundle has the name, and the new one comes after it."""
    key = Watched(STRANGER._key, "watched")
    key.folder, key.seen = signed.path.parent, []
    assemble_bundle(signed.lock, signed.content, signed.path, key=key)

    assert key.seen == [{"site.tar.zst", "site.tar.zst.sig"}, {"site.tar.zst"}]
    with BundleReader.open(signed.path) as bundle:
        check_bundle(bundle, STRANGER.public_key)


def test_an_unsigned_bundle_leaves_no_signature_behind(signed: Assembled) -> None:
    """What is replaced by a bundle that nobody signs takes its signature with it."""
    assemble_bundle(signed.lock, signed.content, signed.path)

    assert list(state(signed.path.parent)) == ["site.tar.zst"]


def test_a_failed_run_leaves_the_signed_bundle_as_it_was(signed: Assembled) -> None:
    """Where the new bundle does not come to be, the old one keeps its signature."""
    before = state(signed.path.parent)
    with pytest.raises(StoreError):
        assemble_bundle(signed.lock, MemoryContent(), signed.path, key=STRANGER)

    assert state(signed.path.parent) == before


def test_a_standing_bundle_of_the_same_key_is_left_alone(signed: Assembled) -> None:
    """Neither file is written; a signature that is gone or wrong comes back."""
    places = (signed.path, signature_path(signed.path))
    before = [path.stat().st_ino for path in places]
    assert ensure_bundle(signed.lock, signed.content, signed.path, key=KEY) == (signed.summary, False)
    assert [path.stat().st_ino for path in places] == before
    good = places[1].read_bytes()
    for damage in (places[1].unlink, lambda: places[1].write_bytes(b"x")):
        damage()
        assert ensure_bundle(signed.lock, signed.content, signed.path, key=KEY) == (signed.summary, False)
        assert (places[0].stat().st_ino, places[1].read_bytes()) == (before[0], good)


@pytest.mark.parametrize("key", [STRANGER, None], ids=["another key", "no key"])
def test_a_standing_bundle_that_is_signed_otherwise_is_written_anew(key: PrivateKey | None, signed: Assembled) -> None:
    """What stands afterwards is what this run would have written, and not what some other has."""
    _, is_new = ensure_bundle(signed.lock, signed.content, signed.path, key=key)

    assert is_new
    assert signature_path(signed.path).exists() == (key is not None)
    with BundleReader.open(signed.path) as bundle:
        check_bundle(bundle, key.public_key if key is not None else None)


def test_the_signature_of_a_lock_is_written_after_it(tmp_path: Path) -> None:
    """A lock that nobody signs any more has no signature; one that cannot go is an error of ours."""
    path = tmp_path / "site.lock.json"
    write_signed(path, b"{}\n", KEY)
    assert read_signed(path, OURS) == b"{}\n"
    write_signed(path, b"[]\n", None)
    assert list(state(tmp_path)) == ["site.lock.json"]
    signature_path(path).mkdir()
    with pytest.raises(StoreError, match=r"cannot remove .*site\.lock\.json\.sig"):
        write_signed(path, b"{}\n", KEY)
    assert path.read_bytes() == b"[]\n"


# What is refused


@dataclass(frozen=True)
class Harm:
    """Something done to a signed bundle, and which checks have to see it: that of the file, that of the lock."""

    do: Callable[[Path, Assembled], object]
    says: str
    key: PublicKey = field(default=OURS)
    lock_too: bool = False


def strip_file(path: Path, mixed: Assembled) -> None:
    """Take the signature of the file away."""
    signature_path(path).unlink()


def strip_all(path: Path, mixed: Assembled) -> None:
    """Replace the bundle by the same one without signatures."""
    strip_file(path, mixed)
    shutil.copy(mixed.path, path)


def strip_lock(path: Path, mixed: Assembled) -> None:
    """Replace the bundle by the same one without the lock's signature, and keep that of the file."""
    shutil.copy(mixed.path, path)


def swap(path: Path, mixed: Assembled) -> None:
    """Another bundle of the same key, under the signature of this one."""
    other = path.parent / "other.tar.zst"
    lock, content = mixed_content()
    assemble_bundle(lock.model_copy(update={"images": lock.images[:2]}), content, other, key=KEY)
    other.replace(path)


def flip(path: Path, mixed: Assembled) -> None:
    """A bit of a layer that opening does not look at."""
    content = bytearray(path.read_bytes())
    with BundleReader.open(path) as bundle:
        layer = next(blob for blob in bundle.container.blobs if blob.is_raw and blob.size > 500)
        frame = bundle.tar.table.find(layer.offset)
    content[frame.stored_start + frame.stored_size // 2] ^= 1
    path.write_bytes(content)


def cut_signature(path: Path, mixed: Assembled) -> None:
    """Half of the file's signature."""
    signature = signature_path(path)
    signature.write_bytes(signature.read_bytes()[:128])


def sign_as_a_stranger(path: Path, mixed: Assembled) -> None:
    """Everything right, by the wrong hand."""
    assemble_bundle(mixed.lock, mixed.content, path, key=STRANGER)


def lock_signature_for_the_file(path: Path, mixed: Assembled) -> None:
    """A good signature of the right key, for something else."""
    signature_path(path).write_bytes(KEY.sign(mixed.lock.digest))


HARMS = {
    "the file's signature stripped": Harm(strip_file, r"is not signed: there is no site\.tar\.zst\.sig beside it"),
    "all signatures stripped": Harm(strip_all, "is not signed", lock_too=True),
    "the lock's signature stripped": Harm(strip_lock, "is not one that", lock_too=True),
    "another bundle of the same key": Harm(swap, "is not one that"),
    "a bit of a layer changed": Harm(flip, "is not one that"),
    "the signature cut short": Harm(cut_signature, "is not one that"),
    "a folder for a signature": Harm(
        lambda path, mixed: (signature_path(path).unlink(), signature_path(path).mkdir()), "is not signed"
    ),
    "signed by a stranger": Harm(sign_as_a_stranger, "is not one that", lock_too=True),
    "the lock's signature in its place": Harm(lock_signature_for_the_file, "is not one that"),
    "nothing, but another key is asked for": Harm(
        lambda path, mixed: None, "is not one that", key=STRANGER.public_key, lock_too=True
    ),
}


@pytest.mark.parametrize("harm", HARMS.values(), ids=HARMS)
def test_harm_is_refused(harm: Harm, signed: Assembled, mixed: Assembled) -> None:
    """Whole-bundle work sees all of it; work on a part sees what was done to the lock, and each blob has its digest."""
    harm.do(signed.path, mixed)
    before = {path.name for path in signed.path.parent.iterdir()}
    with BundleReader.open(signed.path) as bundle:
        with pytest.raises(SignatureError, match=harm.says) as raised:
            check_bundle(bundle, harm.key)
        if harm.lock_too:
            with pytest.raises(SignatureError):
                check_lock(bundle, harm.key)
        else:
            check_lock(bundle, harm.key)

    assert raised.value.hint
    assert {path.name for path in signed.path.parent.iterdir()} == before


def test_a_signed_file_with_a_lock_that_nobody_signed_is_refused(mixed: Assembled) -> None:
    """The lock is read before the file is hashed: only its own signature says that it still is the one in the file."""
    write_document(signature_path(mixed.path), KEY.sign(Digest.of(mixed.path.read_bytes())))

    with BundleReader.open(mixed.path) as bundle, pytest.raises(SignatureError, match=r"the lock in .* is not signed"):
        check_bundle(bundle, OURS)


def test_a_bundle_cut_short_is_no_bundle(signed: Assembled) -> None:
    """It is refused before anybody asks for its signature."""
    signed.path.write_bytes(signed.path.read_bytes()[:-100])

    with pytest.raises(BundleError):
        BundleReader.open(signed.path)


def test_without_a_key_nothing_is_asked(mixed: Assembled) -> None:
    """Signatures are for those who have configured a key."""
    with BundleReader.open(mixed.path) as bundle:
        check_bundle(bundle, None)
        check_lock(bundle, None)


@pytest.mark.parametrize("damage", ["stripped", "swapped", "cut", "of a stranger", "changed lock"])
def test_a_lock_beside_a_bundle_is_refused(damage: str, tmp_path: Path) -> None:
    """What is rebuilt or validated from a lock alone needs the lock's own signature."""
    path = tmp_path / "site.lock.json"
    content = mixed_content()[0].to_json()
    write_signed(path, content, STRANGER if damage == "of a stranger" else KEY)
    signature = signature_path(path)
    if damage == "stripped":
        signature.unlink()
    elif damage == "swapped":
        signature.write_bytes(KEY.sign(Digest.of(b"another lock")))
    elif damage == "cut":
        signature.write_bytes(signature.read_bytes()[:-1])
    elif damage == "changed lock":
        path.write_bytes(content.replace(b"nginx:1.27", b"nginx:1.28"))

    with pytest.raises(SignatureError):
        read_signed(path, OURS)
    assert read_signed(path, None) == path.read_bytes()


def test_a_lock_that_is_not_there_is_the_callers_mistake(tmp_path: Path) -> None:
    """It is told as such, and not as a missing signature."""
    with pytest.raises(ConfigurationError, match="cannot read"):
        read_signed(tmp_path / "site.lock.json", OURS)


# The member is as well guarded as all others


def with_signature(parts: list[Part], signature: bytes, name: str = LOCK_SIGNATURE) -> list[Part]:
    """The parts of a bundle with a signature after the lock."""
    part = Part(name, tar_header(name, len(signature)), signature, bytes(-len(signature) % 512))
    return [*parts[:4], part, *parts[4:]]


@pytest.mark.parametrize("size", [256, 384, 512, 1024])
def test_signatures_of_every_size_are_read(size: int, tmp_path: Path) -> None:
    """Keys have 2048 to 8192 bits; who made the signature does not matter to the form."""
    lock, content = mixed_content()
    path = craft(tmp_path, tar_of_parts(with_signature(parts_of(lock, content), b"s" * size)))

    with BundleReader.open(path) as bundle:
        assert (bundle.lock_signature, bundle.lock) == (b"s" * size, lock)


@pytest.mark.parametrize("size", [0, 1, 255, 1025, 2**20])
def test_signatures_that_no_key_makes_are_refused(size: int, tmp_path: Path) -> None:
    """The member cannot be used to carry anything else."""
    path = craft(tmp_path, tar_of_parts(with_signature(parts_of(*mixed_content()), b"s" * size)))

    with pytest.raises(BundleError, match="which no key makes"):
        BundleReader.open(path)


MISPLACED: dict[str, Callable[[list[Part]], list[Part]]] = {
    "twice": lambda parts: with_signature(with_signature(parts, b"s" * 256), b"s" * 256),
    "before the lock": lambda parts: [*parts[:3], with_signature(parts, b"s" * 256)[4], *parts[3:]],
    "after the blobs": lambda parts: [*parts, with_signature(parts, b"s" * 256)[4]],
    "under another name": lambda parts: with_signature(parts, b"s" * 256, "edgelift/lock.json.sign"),
}


@pytest.mark.parametrize("change", MISPLACED.values(), ids=MISPLACED)
def test_a_signature_has_its_place(change: Callable[[list[Part]], list[Part]], tmp_path: Path) -> None:
    """After the lock, once, under its name."""
    path = craft(tmp_path, tar_of_parts(change(parts_of(*mixed_content()))))

    with pytest.raises(BundleError):
        BundleReader.open(path)


def test_a_changed_member_is_damage(signed: Assembled) -> None:
    """Whoever verifies without a key sees accidents in the signature as anywhere else."""
    with BundleReader.open(signed.path) as bundle:
        member = next(each for each in bundle.container.members if each.name == LOCK_SIGNATURE)
        frame = bundle.tar.table.find(member.offset)
    content = bytearray(signed.path.read_bytes())
    content[frame.stored_start + frame.stored_size - 6] ^= 1
    signed.path.write_bytes(content)

    with pytest.raises((IntegrityError, BundleError)):
        verify_bundle(signed.path)
