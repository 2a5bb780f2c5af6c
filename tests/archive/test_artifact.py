"""Bundles kept as artifacts in a registry; how they travel is tested with `edgelift.oci.artifact`."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from edgelift.archive.artifact import ArtifactArchive
from edgelift.archive.place import UNDATED, Archive
from edgelift.archive.restore import restore_bundle
from edgelift.archive.survey import survey_archive
from edgelift.demo.content import make_image
from edgelift.errors import ConfigurationError, IntegrityError, NotFoundError, StoreError
from edgelift.oci.credentials import Credentials
from edgelift.oci.digest import Digest
from edgelift.oci.registry import Registry
from edgelift.transport import TransportSettings
from tests.archive.buckets import MIB, digest_of
from tests.archive.bundles import files_of, make_bundle
from tests.bundle.content import noise
from tests.images import load_image
from tests.keys import signing_key
from tests.real_parts import RunningRegistry
from tests.simulators.registry import RegistrySimulator

CONTENT = b"a bundle, or what stands for one " * 30_000
DIGEST = Digest.of(CONTENT)
KEY = signing_key()


@pytest.fixture
def bundle(tmp_path: Path) -> Path:
    """A small bundle."""
    path = tmp_path / "edge.tar.zst"
    path.write_bytes(CONTENT)
    return path


@pytest.fixture
def sim(tmp_path: Path) -> Iterator[RegistrySimulator]:
    """An empty registry with a fault switch."""
    with RegistrySimulator(tmp_path / "simulator") as simulator:
        yield simulator


def archive_in(host: str) -> ArtifactArchive:
    """An archive in the repository `site/bundles` of a registry."""
    return ArtifactArchive(Registry(host, TransportSettings(), Credentials()), "site/bundles")


def test_a_bundle_goes_there_and_back(docker_registry: RunningRegistry, bundle: Path, tmp_path: Path) -> None:
    """What is restored is what was stored, under its own name as the tag; the answers pin it."""
    archive: Archive = archive_in(docker_registry.host)

    kept = archive.store(bundle, digest=DIGEST)
    restored = archive.restore("edge.tar.zst", tmp_path / "elsewhere" / "back")

    assert kept == restored
    assert kept.url.startswith(f"oci://{docker_registry.host}/site/bundles:edge.tar.zst@sha256:")
    assert (tmp_path / "elsewhere" / "back").read_bytes() == CONTENT


def test_a_damaged_download_gets_no_name(sim: RegistrySimulator, bundle: Path, tmp_path: Path) -> None:
    """A flipped bit on the way back is noticed; an earlier file of that name stands."""
    archive = archive_in(sim.host)
    archive.store(bundle, digest=DIGEST, name="june")
    sim.flip(at_byte=1000)
    back = tmp_path / "target" / "back"
    back.parent.mkdir()
    back.write_bytes(b"earlier")

    with pytest.raises(IntegrityError, match="is not what its digest says"):
        archive.restore("june", back)

    assert [(path.name, path.read_bytes()) for path in back.parent.iterdir()] == [("back", b"earlier")]


def test_a_given_digest_has_to_fit(sim: RegistrySimulator, bundle: Path, tmp_path: Path) -> None:
    """A tag that was moved to another bundle does not pass for the one that was meant."""
    archive = archive_in(sim.host)
    archive.store(bundle, digest=DIGEST, name="june")

    with pytest.raises(IntegrityError):
        archive.restore("june", tmp_path / "back", digest=Digest.of(b"the bundle that was approved"))

    assert not (tmp_path / "back").exists()


def test_nothing_is_noted_of_what_is_not_there(sim: RegistrySimulator) -> None:
    """As in a bucket: whoever asks finds out what there is beside a bundle."""
    assert archive_in(sim.host).noted_digest("edge.cluster-definition.tgz") is None


def test_a_tag_that_is_not_there_is_an_error(sim: RegistrySimulator, tmp_path: Path) -> None:
    """Restoring what was never archived says where it was looked for."""
    with pytest.raises(NotFoundError, match="site/bundles:absent"):
        archive_in(sim.host).restore("absent", tmp_path / "back")


@pytest.mark.parametrize("name", ["site-a/edge.tar.zst", "-edge", "x" * 129], ids=["a path", "a dash", "too long"])
def test_names_are_tags(sim: RegistrySimulator, bundle: Path, name: str) -> None:
    """What cannot be a tag is refused before anything is sent."""
    with pytest.raises(ConfigurationError, match="where names are tags"):
        archive_in(sim.host).store(bundle, digest=DIGEST, name=name)

    assert sim.requests == []


# Bundles that are looked at where they lie, and brought back


@pytest.fixture
def kept(docker_registry: RunningRegistry, tmp_path: Path) -> ArtifactArchive:
    """A signed bundle of some size with all that goes with it, and something else, in a real registry."""
    path = tmp_path / "made" / "june.tar.zst"
    path.parent.mkdir()
    files = files_of(path, make_bundle(path, name="harbour", size=3 * MIB, key=KEY), KEY)
    archive = archive_in(docker_registry.host)
    for file in files:
        archive.store(file, digest=digest_of(file))
    load_image(docker_registry.host, "site/bundles", "1.0", make_image("team/app"))
    load_image(docker_registry.host, "site/bundles", "broken.tar.zst", make_image("team/app"))
    return archive


def test_bundles_in_a_registry_are_found_with_what_their_locks_say(kept: ArtifactArchive, tmp_path: Path) -> None:
    """As in a bucket; when they came a registry does not tell, and what only has the name of a bundle is told."""
    survey = survey_archive(kept, KEY.public_key)

    (found,) = survey.bundles
    assert (found.file.name, found.bundle, found.images, found.signature, found.is_signed) == (
        ("june.tar.zst", "harbour", 1, "ok", True)
    )
    assert found.file.size == (tmp_path / "made" / "june.tar.zst").stat().st_size
    assert found.file.modified == UNDATED
    assert {each.name for each in found.beside} == {"june.tar.zst.sig", "june.lock.json", "june.lock.json.sig"}
    assert [each.name for each in survey.others] == ["1.0"]
    (broken,) = survey.unreadable
    assert broken.url.endswith(":broken.tar.zst")
    assert "not a bundle that edgelift archived" in broken.problem


def test_a_bundle_comes_back_verified_with_lock_and_signatures(kept: ArtifactArchive, tmp_path: Path) -> None:
    """All four files are what they were; a second restore finds them right and fetches nothing."""
    folder = tmp_path / "back"

    first = restore_bundle(kept, "june.tar.zst", folder, key=KEY.public_key)
    second = restore_bundle(kept, "june.tar.zst", folder, key=KEY.public_key)

    made = {path.name: path.read_bytes() for path in (tmp_path / "made").iterdir()}
    assert made == {path.name: path.read_bytes() for path in folder.iterdir()}
    assert (first.is_new, second.is_new, first.digest) == (True, False, digest_of(folder / "june.tar.zst"))


def test_a_cut_restore_is_continued(sim: RegistrySimulator, tmp_path: Path) -> None:
    """What has arrived is not fetched again, by a later run either."""
    path = tmp_path / "june.tar.zst"
    make_bundle(path, size=3 * MIB)
    archive = archive_in(sim.host)
    archive.store(path, digest=digest_of(path))
    partial = tmp_path / "back" / "june.tar.zst"

    def refuse(arrived: Path) -> None:
        raise StoreError(f"the power is cut with {arrived.stat().st_size} bytes on the disk")

    with pytest.raises(StoreError, match="the power is cut"):
        archive.restore("june.tar.zst", partial, confirm=refuse)
    sim.forget_requests()
    archive.restore("june.tar.zst", partial)

    assert partial.read_bytes() == path.read_bytes()
    assert sim.count("GET", "/blobs/") == 0


def test_any_part_is_read_where_it_lies(docker_registry: RunningRegistry, tmp_path: Path) -> None:
    """By ranges, forward and back, from a registry that does them."""
    content = noise(300_000)
    path = tmp_path / "edge.tar.zst"
    path.write_bytes(content)
    archive = archive_in(docker_registry.host)
    archive.store(path, digest=digest_of(path))
    file = archive.open("edge.tar.zst")

    assert [file.read_at(start, 10) for start in (0, 299_990, 5, 250_000)] == (
        [content[start : start + 10] for start in (0, 299_990, 5, 250_000)]
    )
    with file.passage(100_000, 200_000) as read_at:
        for start, size in ((100_000, 10), (100_000, 5_000), (104_000, 2_000), (150_000, 50_000)):
            assert read_at(start, size) == content[start : start + size]
    with pytest.raises(StoreError, match="300,000 bytes"):
        file.read_at(299_995, 10)
