"""Bundles in parts: written in one go, read as one, and each part can be lost, named and made again."""

import hashlib
import json
import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import pytest

from edgelift.bundle.file_digest import FileDigest
from edgelift.bundle.part_files import bad_parts_named, open_parts
from edgelift.bundle.parts import MOST_PARTS, check_part_size, index_path
from edgelift.bundle.reader import BundleReader
from edgelift.bundle.rebuild import first_difference
from edgelift.bundle.remake import remake_parts
from edgelift.bundle.spanned import SpannedFile
from edgelift.bundle.standing import ensure_bundle
from edgelift.bundle.stream import BundleStream, reassemble_bundle
from edgelift.bundle.verify import verify_bundle, verify_open
from edgelift.bundle.writer import assemble_bundle
from edgelift.errors import BundleError, ConfigurationError, IntegrityError, PartsError, StoreError
from edgelift.oci.content import ImageContent
from edgelift.oci.credentials import Credentials
from edgelift.oci.descriptor import Descriptor
from edgelift.oci.digest import Digest
from edgelift.oci.push import KnownBlobs, push_content
from edgelift.oci.registry import Registry
from edgelift.transport import TransportSettings
from tests.bundle.content import GZIP, MemoryContent, lock_of, noise
from tests.bundle.crafting import DistantBytes
from tests.bundle.parted import MIB, Parted, expected_names, flip, make_parted, names_in, two_images
from tests.keys import KeyFiles, openssl_accepts, signing_key
from tests.simulators.registry import RegistrySimulator


@pytest.fixture
def parted(tmp_path: Path) -> Parted:
    """A bundle in four parts."""
    return make_parted(tmp_path)


# Writing


def test_the_parts_one_after_the_other_are_the_bundle(parted: Parted) -> None:
    """`cat` is all that is needed to put them together; nothing but parts, index and lock is written."""
    joined = subprocess.check_output("cat site.tar.zst.part-*", shell=True, cwd=parted.path.parent)

    assert joined == parted.whole
    assert names_in(parted.path.parent) == expected_names()
    assert [each.stat().st_size for each in parted.parts] == [MIB, MIB, MIB, len(parted.whole) - 3 * MIB]


def test_the_index_has_size_and_digest_of_the_whole_and_of_each_part(parted: Parted) -> None:
    """Any tool that reads JSON can check a part."""
    document = json.loads(parted.index_file.read_bytes())

    assert document == {
        "format": "edgelift.parts/v1",
        "name": "site.tar.zst",
        "size": len(parted.whole),
        "digest": f"sha256:{hashlib.sha256(parted.whole).hexdigest()}",
        "part_size": MIB,
        "parts": [
            {
                "name": each.name,
                "size": each.stat().st_size,
                "digest": f"sha256:{hashlib.sha256(each.read_bytes()).hexdigest()}",
            }
            for each in parted.parts
        ],
    }
    assert parted.index_file.read_bytes() == parted.index.to_json()


def test_openssl_accepts_the_signature_over_the_parts(tmp_path: Path) -> None:
    """The signature is the one of the bundle in one piece: it is over the bytes, however they are cut."""
    signed = make_parted(tmp_path, signing_key())
    keys = KeyFiles.write(tmp_path / "keys", "site")
    joined = tmp_path / "site.tar.zst"
    joined.write_bytes(b"".join(each.read_bytes() for each in signed.parts))
    signature = signed.path.with_name("site.tar.zst.sig").read_bytes()
    joined.with_name("site.tar.zst.sig").write_bytes(signature)

    assert openssl_accepts(joined, keys.public)
    assert signature == (tmp_path / "one-piece" / "site.tar.zst.sig").read_bytes()


@pytest.mark.parametrize("size", [0, 1, MIB - 1, 2**63])
def test_parts_of_absurd_sizes_are_refused(tmp_path: Path, size: int) -> None:
    """Below 1 MiB there would be more parts than bundle; nothing is written."""
    with pytest.raises(ConfigurationError, match="are too") as caught:
        assemble_bundle(*two_images(), tmp_path / "site.tar.zst", part_size=size)

    assert "1MiB" in str(caught.value.hint)
    assert names_in(tmp_path) == []


def test_too_many_parts_are_refused_and_the_smallest_size_is_named() -> None:
    """All are open at once while a bundle is read; the size that is named is large enough."""
    with pytest.raises(ConfigurationError, match=f"more than {MOST_PARTS} parts") as caught:
        check_part_size(MIB, 10**12)

    smallest = int(str(caught.value.hint).split()[3].replace(",", ""))
    check_part_size(smallest, 10**12)
    with pytest.raises(ConfigurationError):
        check_part_size(smallest - 1, 10**12)


def test_a_failure_leaves_what_stood_there(parted: Parted) -> None:
    """Where all is written, but must not get its name, the parts of before are as they were."""
    before = {each.name: each.read_bytes() for each in parted.path.parent.iterdir()}

    def refuse() -> None:
        raise StoreError("no")

    with pytest.raises(StoreError):
        assemble_bundle(parted.lock, parted.content, parted.path, part_size=MIB, confirm=refuse)

    assert before == {each.name: each.read_bytes() for each in parted.path.parent.iterdir()}


def test_content_that_fails_leaves_nothing(tmp_path: Path) -> None:
    """Parts that were whole already are gone with the others."""
    lock, content = two_images()
    last = lock.images[1].blobs[-1]
    content.blobs[last.digest] = bytes(last.size)

    with pytest.raises(IntegrityError, match="library/second:1"):
        assemble_bundle(lock, content, tmp_path / "site.tar.zst", part_size=MIB)

    assert names_in(tmp_path) == []


def test_a_name_stands_for_one_bundle(parted: Parted) -> None:
    """What is written in parts replaces the one file of that name, and the other way round; no part is left over."""
    parted.path.write_bytes(b"an old bundle")
    assemble_bundle(parted.lock, parted.content, parted.path, part_size=2 * MIB)
    in_two = names_in(parted.path.parent)
    assemble_bundle(parted.lock, parted.content, parted.path)

    assert in_two == expected_names(parts=2)
    assert names_in(parted.path.parent) == ["site.lock.json", "site.tar.zst"]
    assert parted.path.read_bytes() == parted.whole


# Killed

_KILLED = """
import os, signal, sys
from pathlib import Path
from edgelift.bundle.placing import HiddenFile
from edgelift.bundle.writer import assemble_bundle
from tests.bundle.parted import MIB, two_images

def die():
    os.kill(os.getpid(), signal.SIGKILL)

class Mortal(HiddenFile):
    named = 0
    def reveal(self):
        if Mortal.named == 2:
            die()
        Mortal.named += 1
        super().reveal()

if sys.argv[2] == "while it names":
    import edgelift.bundle.parts_output
    edgelift.bundle.parts_output.HiddenFile = Mortal
confirm = die if sys.argv[2] == "before it names" else None
assemble_bundle(*two_images(), Path(sys.argv[1]), part_size=MIB, confirm=confirm)
"""


@pytest.mark.parametrize("moment", ["before it names", "while it names"])
def test_a_run_that_is_killed_leaves_no_index_and_the_next_one_completes(
    parted: Parted, moment: str, tmp_path: Path
) -> None:
    """Without an index there is no bundle; what was hidden goes once it is a minute old and nobody writes it."""
    path = tmp_path / "killed" / "site.tar.zst"
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    done = subprocess.run([sys.executable, "-c", _KILLED, str(path), moment], env=environment, check=False)
    left = names_in(path.parent)
    hidden = [name for name in left if name.startswith(".")]
    for name in hidden:
        an_hour_ago = time.time() - 3600
        os.utime(path.parent / name, (an_hour_ago, an_hour_ago))

    assert done.returncode == -signal.SIGKILL
    assert len(left) == 4
    assert len(hidden) == (4 if moment == "before it names" else 2)
    with pytest.raises(BundleError):
        BundleReader.open(path.parent)

    _, is_new = ensure_bundle(parted.lock, parted.content, path, part_size=MIB)

    assert is_new
    assert names_in(path.parent) == [name for name in expected_names() if name != "site.lock.json"]
    assert b"".join(each.read_bytes() for each in sorted(path.parent.glob("*.part-*"))) == parted.whole


# What stands


def test_the_other_form_that_a_killed_run_left_goes(parted: Parted) -> None:
    """Where both stand, the one that is wanted is found right, and is then the only one."""
    parted.path.write_bytes(parted.whole)

    assert not ensure_bundle(parted.lock, parted.content, parted.path, part_size=MIB)[1]
    assert names_in(parted.path.parent) == expected_names()

    parted.path.write_bytes(parted.whole)

    assert not ensure_bundle(parted.lock, parted.content, parted.path)[1]
    assert names_in(parted.path.parent) == ["site.lock.json", "site.tar.zst"]


def test_an_index_that_was_written_otherwise_is_written_anew(parted: Parted) -> None:
    """It says the same, but an archive would have another file than was built."""
    right = parted.index_file.read_bytes()
    parted.index_file.write_bytes(json.dumps(json.loads(right)).encode())

    assert ensure_bundle(parted.lock, parted.content, parted.path, part_size=MIB)[1]
    assert parted.index_file.read_bytes() == right


def test_parts_that_stand_and_are_right_are_left_alone(parted: Parted) -> None:
    """The same lock and size: nothing is written, and the summary is the one of the first time."""
    before = [each.stat().st_ino for each in parted.parts]

    assert ensure_bundle(parted.lock, parted.content, parted.path, part_size=MIB) == (parted.summary, False)
    assert before == [each.stat().st_ino for each in parted.parts]


def _lost(parted: Parted) -> None:
    parted.part(2).unlink()


def _damaged(parted: Parted) -> None:
    flip(parted.part(3))


def _without_index(parted: Parted) -> None:
    parted.index_file.unlink()


@pytest.mark.parametrize("harm", [_lost, _damaged, _without_index], ids=["lost", "damaged", "no index"])
def test_parts_that_are_not_right_are_written_anew(parted: Parted, harm: Callable[[Parted], None]) -> None:
    """Like a bundle in one piece; a build that is run again mends whatever is wrong."""
    harm(parted)

    assert ensure_bundle(parted.lock, parted.content, parted.path, part_size=MIB) == (parted.summary, True)
    assert b"".join(each.read_bytes() for each in parted.parts) == parted.whole


def test_parts_of_another_size_are_written_anew(parted: Parted) -> None:
    """Who asks for another size has other media."""
    summary, is_new = ensure_bundle(parted.lock, parted.content, parted.path, part_size=3 * MIB)

    assert (is_new, len(summary.parts)) == (True, 2)
    assert names_in(parted.path.parent) == expected_names(parts=2)


def test_a_signature_that_is_lost_is_written_again(tmp_path: Path) -> None:
    """The parts stand and are signed inside: only what is beside them is missing."""
    signed = make_parted(tmp_path, signing_key())
    place = signed.path.with_name("site.tar.zst.sig")
    signature = place.read_bytes()
    place.unlink()
    _, is_new = ensure_bundle(signed.lock, signed.content, signed.path, key=signing_key(), part_size=MIB)

    assert (is_new, place.read_bytes()) == (False, signature)


# Reading


@pytest.mark.parametrize("named", ["site.tar.zst.parts.json", "site.tar.zst.part-0001", "site.tar.zst.part-0003", "."])
def test_it_is_read_by_its_index_a_part_or_its_folder(parted: Parted, named: str) -> None:
    """All of it is the same as in one piece, and so is what is worked out from it."""
    place = parted.path.parent / named
    with BundleReader.open(place) as bundle, FileDigest() as digest:
        assert (bundle.lock, bundle.size, bundle.name) == (parted.lock, len(parted.whole), str(parted.path))
        for image in parted.lock.images:
            for blob in (*image.manifests, *image.blobs):
                assert b"".join(bundle.read(blob)) == parted.content.blobs[blob.digest]
        verify_open(bundle, digest=digest)
        assert first_difference(bundle) is None

    assert digest.value() == parted.index.digest


def test_any_bytes_are_those_of_the_whole(parted: Parted) -> None:
    """Across one border or several, by single looks and in a passage."""
    chance, size = random.Random(4), len(parted.whole)
    with closing(open_parts(parted.index_file)) as source:
        for _ in range(200):
            start, stop = sorted(chance.randrange(size + 1) for _ in range(2))
            assert source.read_at(start, stop - start) == parted.whole[start:stop]
        with source.passage(5, size - 5) as read_at:
            for start in range(5, size - 5 - 100_003, 100_003):
                assert read_at(start, 100_003) == parted.whole[start : start + 100_003]
        with pytest.raises(BundleError, match="there are no 2 from byte"):
            source.read_at(size - 1, 2)


def test_the_parts_that_were_opened_are_read_to_the_end(parted: Parted) -> None:
    """Whatever takes their names meanwhile."""
    with BundleReader.open(parted.index_file) as bundle:
        for number in range(1, 5):
            parted.part(number).rename(parted.path.with_name(f"gone-{number}"))
        verify_open(bundle)


def test_a_push_reads_the_parts_that_it_needs(parted: Parted, tmp_path: Path) -> None:
    """Of those that hold the image, its own bytes; parts with nothing but other images are not touched."""
    pieces = [DistantBytes(each.read_bytes(), each.name, is_remote=False) for each in parted.parts]
    bundle = BundleReader.of(SpannedFile("site.tar.zst", parted.index, pieces, lambda *_: None))
    opened = list(map(bytes_of, pieces))
    image = parted.lock.images[1]
    with RegistrySimulator(tmp_path / "registry") as target:
        registry = Registry(target.host, TransportSettings(), Credentials())
        push_content(bundle, ImageContent(image.manifests, image.blobs), registry, _Tag(), known=KnownBlobs())

    read = [bytes_of(each) - before for each, before in zip(pieces, opened, strict=True)]
    assert sum(opened) < MIB  # the compressed frame that has the last headers
    assert read[:2] == [0, 0]
    assert sum(read) < 1.01 * image.size


def bytes_of(source: DistantBytes) -> int:
    """What has been read of it, headers that are looked at twice included."""
    return sum(stop - start for start, stop in (*source.looks, *source.passages))


class _Tag:
    """Where the image goes."""

    repository, tag = "library/second", "1"


def test_parts_are_made_of_any_bundle_and_one_file_of_parts(parted: Parted, tmp_path: Path) -> None:
    """What lies in one form is brought into the other, checked on the way."""
    one, again = tmp_path / "x" / "site.tar.zst", tmp_path / "y" / "site.tar.zst"
    with BundleStream.open(parted.index_file) as stream:
        reassemble_bundle(stream, one)
    with BundleStream.open(one) as stream:
        summary = reassemble_bundle(stream, again, part_size=MIB)

    assert one.read_bytes() == parted.whole
    assert summary.path.read_bytes() == parted.index_file.read_bytes()


# What is missing or damaged


def test_one_lost_and_one_damaged_are_both_named_and_made_again_alone(parted: Parted) -> None:
    """The verdict names both and how to go on; each is made again by itself, and then all is right."""
    before = {each: each.read_bytes() for each in parted.parts}
    parted.part(2).unlink()
    flip(parted.part(3))

    with pytest.raises(PartsError, match="2 of the 4 parts of") as caught:
        verify(parted.index_file)

    lost, damaged = caught.value.failures
    wanted = parted.index.parts
    assert lost == f"{wanted[1].name} is missing; it has to have 1,048,576 bytes and {wanted[1].digest}"
    assert damaged.startswith(f"{wanted[2].name} is damaged: it has sha256:")
    assert damaged.endswith(f"; it has to have 1,048,576 bytes and {wanted[2].digest}")
    assert str(caught.value.hint).endswith(f"edgelift reassemble {parted.index_file} --part 2 --part 3")

    for number in (2, 3):
        others = {each: each.stat().st_ino for each in parted.parts if each != parted.part(number)}
        made = remake_parts(parted.index_file, [number], parted.content, None, None)
        assert made == (parted.part(number),)
        assert others == {each: each.stat().st_ino for each in parted.parts if each != parted.part(number)}

    verify(parted.index_file)
    assert before == {each: each.read_bytes() for each in parted.parts}
    assert names_in(parted.path.parent) == expected_names()


def test_a_part_with_the_beginning_of_the_seek_table_is_made_again(parted: Parted) -> None:
    """The table has checksums of everything, also where only its end is in the last part."""
    part_size = (len(parted.whole) - 31) // 3
    index_file = assemble_bundle(parted.lock, parted.content, parted.path, part_size=part_size).path
    before = parted.part(3).read_bytes()
    assert parted.part(4).stat().st_size < 40
    parted.part(3).unlink()

    assert remake_parts(index_file, [3], parted.content, None, None) == (parted.part(3),)

    assert parted.part(3).read_bytes() == before


def verify(place: Path) -> None:
    """As the command does."""
    with bad_parts_named(str(place)):
        verify_bundle(place)


def test_the_last_part_is_made_again_and_several_at_once(parted: Parted) -> None:
    """It has the seek table, which follows from all that is before."""
    before = [each.read_bytes() for each in parted.parts]
    for number in (1, 4):
        parted.part(number).unlink()
    made = remake_parts(parted.part(1), [4, 1, 4], parted.content, None, None)

    assert made == (parted.part(1), parted.part(4))
    assert before == [each.read_bytes() for each in parted.parts]


def test_content_that_gets_into_other_parts_is_not_read(parted: Parted, tmp_path: Path) -> None:
    """What is compressed already has a known size: a part in the middle of a large bundle costs little more than it."""
    content, sizes = MemoryContent(), (1_400_000, 1_300_000, 1_200_000, 1_100_000)
    layers = [content.add(noise(size, seed=size), GZIP) for size in sizes]
    lock, path = lock_of(content.add_image("docker.io/library/large:1", layers)), tmp_path / "large.tar.zst"
    assemble_bundle(lock, content, path, part_size=MIB)
    path.with_name("large.lock.json").write_bytes(lock.to_json())

    read: dict[int, list[Descriptor]] = {}
    for number in range(1, 6):
        part = path.with_name(f"large.tar.zst.part-000{number}")
        before, watched = part.read_bytes(), Watched(content.blobs)
        part.unlink()
        remake_parts(index_path(path), [number], watched, None, None)
        read[number] = [layer for layer in layers if layer.digest in watched.read_from]
        assert part.read_bytes() == before

    assert read == {1: layers[:1], 2: layers[:2], 3: layers[1:3], 4: layers[2:4], 5: layers}


class Watched(MemoryContent):
    """Notes what is read."""

    def __init__(self, blobs: dict[Digest, bytes]) -> None:
        super().__init__(blobs)
        self.read_from: list[Digest] = []

    def read(self, descriptor: Descriptor) -> Iterator[bytes]:
        """The content."""
        self.read_from.append(descriptor.digest)
        return super().read(descriptor)


def test_a_part_of_a_signed_bundle_is_made_again_without_the_private_key(tmp_path: Path) -> None:
    """The signature that is in the bundle stands beside its lock."""
    signed = make_parted(tmp_path, signing_key())
    first = signed.part(1).read_bytes()
    signed.part(1).unlink()
    remake_parts(signed.index_file, [1], signed.content, None, None)

    assert signed.part(1).read_bytes() == first


def test_a_part_is_made_into_another_folder(parted: Parted, tmp_path: Path) -> None:
    """Onto the medium that is sent after, say; the lock may lie elsewhere."""
    lock_file = tmp_path / "locks" / "other.json"
    lock_file.parent.mkdir()
    parted.lock_file.rename(lock_file)
    made = remake_parts(parted.index_file, [2], parted.content, lock_file, None, folder=tmp_path / "stick")

    assert made == (tmp_path / "stick" / "site.tar.zst.part-0002",)
    assert made[0].read_bytes() == parted.part(2).read_bytes()


def test_a_part_that_comes_out_otherwise_is_not_written(parted: Parted) -> None:
    """Another lock gives other bytes: what stands is left, however wrong it is."""
    flip(parted.part(2))
    before = parted.part(2).read_bytes()
    other = parted.lock.model_copy(update={"images": parted.lock.images[:1]})
    parted.lock_file.write_bytes(other.to_json())

    with pytest.raises(IntegrityError, match=r"site.tar.zst.part-0002, made again, has .* but has to have") as caught:
        remake_parts(parted.index_file, [2], parted.content, None, None)

    assert "the lock is not that of these parts" in str(caught.value.hint)
    assert parted.part(2).read_bytes() == before
    assert names_in(parted.path.parent) == expected_names()


def test_content_that_the_store_lacks_is_told_with_the_command_that_pulls_it(parted: Parted) -> None:
    """Nothing is written then."""
    with pytest.raises(StoreError, match="not here: ") as caught:
        remake_parts(parted.index_file, [2], MemoryContent(), None, None)

    assert f"edgelift build --name site --lock {parted.lock_file} --part-size 1048576" in str(caught.value.hint)


@pytest.mark.parametrize("number", [0, 5, -1])
def test_parts_that_are_none_are_refused(parted: Parted, number: int) -> None:
    """The message says which there are."""
    with pytest.raises(ConfigurationError, match="has parts 1 to 4"):
        remake_parts(parted.index_file, [number], parted.content, None, None)


def test_all_that_are_missing_or_cut_are_named_when_it_is_opened(parted: Parted) -> None:
    """Every command that reads says it, before it begins."""
    parted.part(1).unlink()
    os.truncate(parted.part(4), 100)

    with pytest.raises(PartsError) as caught:
        BundleReader.open(parted.index_file)

    assert [each["number"] for each in caught.value.parts] == [1, 4]
    assert "part-0001 is missing" in caught.value.failures[0]
    assert "part-0004 is damaged: it has 100 bytes" in caught.value.failures[1]


def test_damage_that_is_met_while_reading_names_the_parts_that_may_have_it(parted: Parted) -> None:
    """Whoever takes one image out of it learns where to look."""
    flip(parted.part(2))
    large = max((blob for image in parted.lock.images for blob in image.blobs), key=lambda blob: blob.size)

    with BundleReader.open(parted.index_file) as bundle, pytest.raises(IntegrityError) as caught:
        list(bundle.read(large))

    assert "site.tar.zst.part-0002" in caught.value.message
    assert "edgelift verify" in str(caught.value.hint)


def test_an_index_whose_digests_are_wrong_is_told_apart_from_wrong_parts(parted: Parted) -> None:
    """The parts are right; only what is said of them is not."""
    parted.index_file.write_bytes(parted.index.model_copy(update={"digest": parted.index.parts[0].digest}).to_json())

    with pytest.raises(BundleError, match="is not right, but the parts are"):
        verify(parted.index_file)


def test_a_folder_with_several_bundles_in_parts_has_to_be_told_which(parted: Parted) -> None:
    """Guessing would push the wrong one."""
    assemble_bundle(parted.lock, parted.content, parted.path.with_name("other.tar.zst"), part_size=MIB)

    with pytest.raises(BundleError, match="holds several bundles in parts") as caught:
        BundleReader.open(parted.path.parent)

    assert "name one of them" in str(caught.value.hint)


def test_the_name_of_the_whole_leads_to_the_index(parted: Parted) -> None:
    """No file has it; the message says what to name instead."""
    with pytest.raises(BundleError, match="cannot open") as caught:
        BundleReader.open(parted.path)

    assert caught.value.hint == f"it is in parts: name {parted.index_file}"


def test_parts_without_their_index_are_put_together_by_hand(parted: Parted) -> None:
    """The message says how."""
    parted.index_file.unlink()

    with pytest.raises(BundleError, match="there is no ") as caught:
        BundleReader.open(parted.part(1))

    assert "put site.tar.zst together with cat" in str(caught.value.hint)
