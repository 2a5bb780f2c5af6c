"""Bundles kept as artifacts in a registry; how they travel is tested with `edgelift.oci.artifact`."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from edgelift.archive.artifact import ArtifactArchive
from edgelift.archive.place import Archive
from edgelift.errors import ConfigurationError, IntegrityError, NotFoundError
from edgelift.oci.credentials import Credentials
from edgelift.oci.digest import Digest
from edgelift.oci.registry import Registry
from edgelift.transport import TransportSettings
from tests.real_parts import RunningRegistry
from tests.simulators.registry import RegistrySimulator

CONTENT = b"a bundle, or what stands for one " * 30_000
DIGEST = Digest.of(CONTENT)


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
