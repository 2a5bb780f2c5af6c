"""A bundle that was changed anywhere, in any way: verification refuses it, and nobody is ever given wrong bytes."""

import random
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

import httpx
import pytest

from edgelift.bundle.file_digest import FileDigest
from edgelift.bundle.reader import BundleReader
from edgelift.bundle.signature import PublicKey
from edgelift.bundle.signed import check_lock, read_bundle_signature
from edgelift.bundle.stream import BundleStream, reassemble_bundle
from edgelift.bundle.verify import verify_bundle, verify_open
from edgelift.bundle.writer import assemble_bundle
from edgelift.errors import BundleError, EdgeliftError, IntegrityError
from edgelift.oci.credentials import Credentials
from edgelift.oci.digest import Digest
from edgelift.oci.push import KnownBlobs, push_content
from edgelift.oci.reference import ImageReference
from edgelift.oci.registry import Registry
from edgelift.serve.pinned import BundleContent, repository_name
from edgelift.serve.registry import create_registry
from edgelift.serve.server import RunningServer
from edgelift.transport import TransportSettings
from tests.bundle import damage
from tests.bundle.conftest import Assembled
from tests.bundle.content import GZIP, lock_of, mixed_content, noise
from tests.bundle.crafting import DistantBytes, container_of
from tests.bundle.damage import Damage, Subject
from tests.keys import signing_key
from tests.oci.clocks import Hands
from tests.serve.conftest import Changeable, client_of
from tests.simulators.registry import RegistrySimulator

REFUSALS = (BundleError, IntegrityError)
KEY = signing_key()
OURS = KEY.public_key


# Three hundred changes, and everything that may be done with what comes of them


@pytest.fixture(scope="module")
def subject(tmp_path_factory: pytest.TempPathFactory) -> Subject:
    """Two images in 180 KiB, signed: layers of every kind, one of two blocks and an empty one, an index, a sha512."""
    lock, content = mixed_content()
    layers = [content.add(noise(140_000), GZIP), *lock.images[1].blobs[2:]]
    lock = lock_of(lock.images[3], content.add_image("docker.io/library/big:1", layers))
    path = tmp_path_factory.mktemp("subject") / "site.tar.zst"
    assemble_bundle(lock, content, path, key=KEY)
    return Subject(path.read_bytes(), lock, content, KEY.sign(lock.digest))


@dataclass(frozen=True)
class Place:
    """A destination of a push."""

    repository: str
    tag: str


@dataclass
class Consumers:
    """All who take content out of a bundle, and see that it is that of `subject`, or none."""

    subject: Subject
    simulator: RegistrySimulator
    registry: Registry
    server: Changeable
    client: httpx.Client
    count: int = 0
    given: Counter[str] = field(default_factory=Counter)

    def use(self, path: Path, key: PublicKey | None) -> Counter[str]:
        """Read, serve, push and take apart what is at `path`; with a `key` only where its lock is signed.

        Gives how often each of them got what it wanted.
        """
        self.count += 1
        self.given.clear()
        self._read(lambda: BundleReader.open(path))
        self._read(lambda: BundleReader.of(DistantBytes(path.read_bytes())))
        with suppress(*REFUSALS), BundleReader.open(path) as bundle:
            check_lock(bundle, key)
            self._serve(bundle)
            self._push(bundle)
        self._reassemble(path, key)
        return self.given

    def _read(self, open_bundle: Callable[[], BundleReader]) -> None:
        """Whoever made the lock, all that is given under a digest has it."""
        with suppress(*REFUSALS), open_bundle() as bundle:
            for blob in bundle.container.blobs:
                with suppress(*REFUSALS):
                    content = b"".join(bundle.read(blob.descriptor))
                    assert blob.descriptor.digest.matches(content)
                    self.given["read"] += 1

    def _serve(self, bundle: BundleReader) -> None:
        self.server.app = create_registry(BundleContent(bundle, is_signed=True))
        for image in self.subject.lock.images:
            reference = ImageReference.parse(image.reference)
            home = f"/v2/{repository_name(reference)}"
            self._fetch(f"{home}/manifests/{reference.tag}", self.subject.content.blobs[image.descriptor.digest])
            for manifest in image.manifests:
                self._fetch(f"{home}/manifests/{manifest.digest}", self.subject.content.blobs[manifest.digest])
            for blob in image.blobs:
                content = self.subject.content.blobs[blob.digest]
                self._fetch(f"{home}/blobs/{blob.digest}", content)
                if len(content) > 1:
                    self._fetch(f"{home}/blobs/{blob.digest}", content[1:], {"Range": "bytes=1-"})

    def _fetch(self, address: str, expected: bytes, headers: dict[str, str] | None = None) -> None:
        with suppress(httpx.TransportError):  # cut before it was whole
            response = self.client.get(address, headers=headers)
            assert response.is_error or response.content == expected
            self.given["served"] += response.is_success

    def _push(self, bundle: BundleReader) -> None:
        known = KnownBlobs()
        for image in bundle.lock.images:
            reference = ImageReference.parse(image.reference)
            place = Place(f"case-{self.count}/{reference.repository}", str(reference.tag))
            with suppress(EdgeliftError):
                push_content(bundle, image.content, self.registry, place, known=known)
                self.given["pushed"] += 1
                assert self.simulator.content.resolve(place.repository, place.tag) is not None
            standing = self.simulator.content.resolve(place.repository, place.tag)
            assert standing is None or standing[1] == self.subject.content.blobs[image.descriptor.digest]

    def _reassemble(self, path: Path, key: PublicKey | None) -> None:
        """What comes of it is the very bundle, or nothing."""
        again = path.with_name("again.tar.zst")
        try:
            with BundleStream.open(path) as stream:
                check_lock(stream, key)
                reassemble_bundle(stream, again)
        except EdgeliftError:
            assert not again.exists()
        else:
            assert again.read_bytes() == self.subject.file
            again.unlink()
            self.given["reassembled"] += 1


@pytest.fixture(scope="module")
def consumers(subject: Subject, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Consumers]:
    """One registry to push to and one server for all cases."""
    server = Changeable()
    with (
        RegistrySimulator(tmp_path_factory.mktemp("registry")) as simulator,
        RunningServer(server) as running,
        client_of(running) as client,
    ):
        registry = Registry(simulator.host, TransportSettings(), Credentials(), clock=Hands().clock)
        yield Consumers(subject, simulator, registry, server, client)
        registry.close()


FOR_ALL_TO_SEE = (
    *(damage.flip, damage.flip_frame_header, damage.flip_closing, damage.zero_out, damage.cut, damage.extend),
    *(damage.insert, damage.take_out, damage.move, damage.change_tar, damage.change_header, damage.change_padding),
    *(damage.swap_members, damage.swap_contents, damage.swap_frames, damage.cut_otherwise, damage.contradict),
)
FOR_THE_KEY_TO_SEE = (damage.forge, damage.compress_otherwise)
OFTEN_READ = (
    *(damage.flip, damage.flip_closing, damage.zero_out, damage.change_tar, damage.change_padding),
    *(damage.swap_contents, damage.cut_otherwise, damage.compress_otherwise),
)
FEW, MANY = (
    12,
    19,
)  # of the eight kinds that can often be opened all the same, which costs more, and of the eleven others


@pytest.mark.parametrize("change", [*FOR_ALL_TO_SEE, *FOR_THE_KEY_TO_SEE], ids=lambda change: change.__name__)
def test_a_changed_bundle_is_refused_and_nothing_wrong_is_given(
    subject: Subject, consumers: Consumers, tmp_path: Path, change: Damage
) -> None:
    """`verify` never says ok; what is read, served, pushed or reassembled all the same is right to the byte."""
    path = tmp_path / "site.tar.zst"
    path.with_name("site.tar.zst.sig").write_bytes(KEY.sign(Digest.of(subject.file)))
    key = OURS if change in (*FOR_THE_KEY_TO_SEE, damage.contradict) else None
    for seed in range(FEW if change in OFTEN_READ else MANY):
        changed = change(subject, random.Random(f"{change.__name__} {seed}"))
        assert changed != subject.file
        path.write_bytes(changed)

        with pytest.raises(REFUSALS):
            verify(path, OURS if change in FOR_THE_KEY_TO_SEE else None)
        consumers.use(path, key)


def test_the_bundle_itself_is_whole_for_all(subject: Subject, consumers: Consumers, tmp_path: Path) -> None:
    """What is refused is refused for its change alone: unchanged, the same file gives everything to everybody."""
    path = tmp_path / "site.tar.zst"
    path.write_bytes(subject.file)
    path.with_name("site.tar.zst.sig").write_bytes(KEY.sign(Digest.of(subject.file)))
    images, blobs = subject.lock.images, [blob for image in subject.lock.images for blob in image.blobs]
    addresses = len(images) + sum(len(image.manifests) for image in images) + len(blobs)
    ranges = sum(blob.size > 1 for blob in blobs)

    verify(path, OURS)
    given = consumers.use(path, OURS)

    wanted = {"read": 2 * len(subject.container.blobs), "pushed": len(images), "reassembled": 1}
    assert given == {**wanted, "served": addresses + ranges}


def verify(path: Path, key: PublicKey | None) -> None:
    """As the command does."""
    if key is None:
        verify_bundle(path)
        return
    with BundleReader.open(path) as bundle, FileDigest() as digest:
        check_lock(bundle, key)
        signature = read_bundle_signature(bundle)
        verify_open(bundle, digest=digest)
        key.check(signature, digest.value(), bundle.name)


# More of the small ones, which cost next to nothing


@pytest.mark.parametrize(
    "change",
    [damage.flip, damage.zero_out, damage.cut, damage.extend, damage.insert, damage.take_out, damage.move],
    ids=lambda change: change.__name__,
)
@pytest.mark.parametrize("seed", range(3))
def test_random_damage_is_refused(mixed: Assembled, tmp_path: Path, change: Damage, seed: int) -> None:
    """Twenty-five random changes of a kind: all refused by `verify`, and what can still be read is right."""
    chance = random.Random(seed)
    subject = Subject(mixed.path.read_bytes(), mixed.lock, mixed.content)
    path = tmp_path / "damaged"
    for _ in range(25):
        path.write_bytes(change(subject, chance))

        with pytest.raises(REFUSALS):
            verify_bundle(path)
        _check_what_can_be_read(path, mixed)


def test_every_bit_of_the_first_block_counts(mixed: Assembled, tmp_path: Path) -> None:
    """No bit at the start of compressed content can change, though some of them do not change what it decodes to."""
    path = tmp_path / "damaged"
    good = mixed.path.read_bytes()
    for position in range(8 * 10, 8 * 30):
        file = bytearray(good)
        file[position // 8] ^= 1 << position % 8
        path.write_bytes(file)

        with pytest.raises(REFUSALS):
            verify_bundle(path)


def test_changed_tar_under_a_right_seal_is_refused(mixed: Assembled, tmp_path: Path) -> None:
    """A byte changed by someone who then makes frames, checksums and seal anew is found by what the lock says."""
    chance = random.Random(4)
    subject = Subject(mixed.path.read_bytes(), mixed.lock, mixed.content)
    path = tmp_path / "changed"
    for _ in range(150):
        path.write_bytes(damage.change_tar(subject, chance))

        with pytest.raises(REFUSALS):
            verify_bundle(path)
        _check_what_can_be_read(path, mixed)


def _check_what_can_be_read(path: Path, bundle: Assembled) -> None:
    """Every blob that can be read to its end is right; all that fails, fails with an error of ours."""
    try:
        reader = BundleReader.open(path)
    except REFUSALS:
        return
    with reader:
        for blob in container_of(bundle.lock).blobs:
            try:
                content = b"".join(reader.read(blob.descriptor))
            except REFUSALS:
                continue
            assert bundle.content.blobs[blob.descriptor.digest] == content
