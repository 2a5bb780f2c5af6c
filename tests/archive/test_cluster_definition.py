"""A cluster definition in an archive: kept beside its bundle, brought back with it, and let go of with it."""

import gzip
import os
from datetime import UTC, datetime
from pathlib import Path

import pytest

from edgelift.archive.directory import DirectoryArchive
from edgelift.archive.place import is_ours, names_beside
from edgelift.archive.restore import restore_bundle
from edgelift.archive.retention import Retention, plan_pruning, prune_archive
from edgelift.archive.survey import survey_archive
from edgelift.bundle.placing import signature_path
from edgelift.bundle.signed import write_signed
from edgelift.errors import SignatureError, StoreError
from tests.archive.buckets import Bucket, digest_of
from tests.archive.bundles import files_of, make_bundle
from tests.bundle.content import noise
from tests.keys import KeyFiles, openssl_accepts, signing_key

NAME, BESIDE = "edge.tar.zst", "edge.cluster-definition.tgz"
CONTENT = gzip.compress(noise(2000), mtime=0)
KEY = signing_key()


def put(bucket: Bucket, folder: Path, *, signs: str = "site") -> None:
    """Archive a signed bundle with a cluster definition, as a flow does, below `sites`."""
    path = folder / NAME
    files = files_of(path, make_bundle(path, key=KEY, definition_content=CONTENT), KEY)
    definition = folder / BESIDE
    write_signed(definition, CONTENT, signing_key(signs))
    for file in (*files, definition, signature_path(definition)):
        bucket.archive(prefix="sites").store(file, digest=digest_of(file))


@pytest.fixture
def made(tmp_path: Path) -> Path:
    """Where bundles are made."""
    folder = tmp_path / "made"
    folder.mkdir()
    return folder


def test_its_name_follows_from_the_bundles() -> None:
    """However its file was called: what is kept with a bundle is found, and goes, by the bundle's name."""
    names = set(names_beside(NAME))

    assert {BESIDE, f"{BESIDE}.sig", f"{BESIDE}.sha256", f"{BESIDE}.sig.sha256"} < names
    assert all(map(is_ours, names))
    assert not is_ours("harbour.tgz")


def test_it_comes_back_under_its_own_name(bucket: Bucket, made: Path, tmp_path: Path) -> None:
    """Out of the bundle that was verified, with its signature, which openssl accepts."""
    put(bucket, made)
    restore_bundle(bucket.archive(prefix="sites"), NAME, tmp_path / "back", key=KEY.public_key)
    back = tmp_path / "back" / "harbour.tgz"

    assert back.read_bytes() == CONTENT
    assert openssl_accepts(back, KeyFiles.write(tmp_path, "site").public)
    assert sorted(path.name for path in back.parent.iterdir()) == [
        *("edge.lock.json", "edge.lock.json.sig", NAME, f"{NAME}.sig", "harbour.tgz", "harbour.tgz.sig")
    ]
    assert not restore_bundle(bucket.archive(prefix="sites"), NAME, back.parent).is_new


def test_a_foreign_signature_beside_it_is_refused(bucket: Bucket, made: Path, tmp_path: Path) -> None:
    """What is signed by somebody else is not brought, and neither is the bundle."""
    put(bucket, made, signs="stranger")
    with pytest.raises(SignatureError, match=r"edge.cluster-definition.tgz"):
        restore_bundle(bucket.archive(prefix="sites"), NAME, tmp_path / "back", key=KEY.public_key)

    assert not (tmp_path / "back").exists()


def test_a_bundle_that_was_kept_without_it_comes_back_with_it(bucket: Bucket, made: Path, tmp_path: Path) -> None:
    """It is in the bundle, whose signature covers it; there is no signature of its own then."""
    path = made / NAME
    for file in files_of(path, make_bundle(path, key=KEY, definition_content=CONTENT), KEY):
        bucket.archive(prefix="sites").store(file, digest=digest_of(file))
    restore_bundle(bucket.archive(prefix="sites"), NAME, tmp_path / "back", key=KEY.public_key)

    assert (tmp_path / "back" / "harbour.tgz").read_bytes() == CONTENT
    assert not (tmp_path / "back" / "harbour.tgz.sig").exists()


def test_another_file_of_its_name_stays(bucket: Bucket, made: Path, tmp_path: Path) -> None:
    """It is told before anything is fetched; `overwrite` replaces it."""
    put(bucket, made)
    other = tmp_path / "harbour.tgz"
    other.write_bytes(b"mine")
    with pytest.raises(StoreError, match=r"harbour.tgz stands there already"):
        restore_bundle(bucket.archive(prefix="sites"), NAME, tmp_path)
    assert (other.read_bytes(), (tmp_path / NAME).exists()) == (b"mine", False)

    restore_bundle(bucket.archive(prefix="sites"), NAME, tmp_path, overwrite=True)
    assert other.read_bytes() == CONTENT


def test_it_goes_with_its_bundle(made: Path, tmp_path: Path) -> None:
    """A survey counts it to the bundle, and a bundle that goes takes it along."""
    shelf = tmp_path / "shelf"
    shelf.mkdir()
    archive = DirectoryArchive(shelf)
    for stem, content in (("old", CONTENT), ("new", None)):
        path = made / f"{stem}.tar.zst"
        for file in files_of(path, make_bundle(path, seed=len(stem), definition_content=content)):
            archive.store(file, digest=digest_of(file))
    kept = made / "old.cluster-definition.tgz"
    kept.write_bytes(CONTENT)
    archive.store(kept, digest=digest_of(kept))
    os.utime(shelf / "old.tar.zst", (1, 1))
    survey = survey_archive(archive)
    by_name = {each.file.name: each for each in survey.bundles}
    prune_archive(archive, plan_pruning(survey, Retention(keep=1), datetime.now(UTC)))

    assert "old.cluster-definition.tgz" in [file.name for file in by_name["old.tar.zst"].beside]
    assert survey.others == ()
    assert [path.name for path in shelf.iterdir() if path.name.startswith("old")] == []
