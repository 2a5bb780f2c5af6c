"""The memory of references: a hint that survives the process, and that nothing depends on."""

from pathlib import Path

import pytest

from edgelift.errors import StoreError
from edgelift.oci.descriptor import Platform
from edgelift.oci.manifest import OCI_MANIFEST
from edgelift.store.local import LocalStore
from tests.store.content import describe

NGINX = "docker.io/library/nginx:1.27"
MANIFEST = describe(b"manifest").model_copy(update={"media_type": OCI_MANIFEST})


def test_what_a_reference_stood_for_is_remembered(tmp_path: Path) -> None:
    """Whoever opens the store next knows it; only what addresses the content is kept."""
    LocalStore(tmp_path).remember(NGINX, MANIFEST.model_copy(update={"platform": Platform()}))

    assert LocalStore(tmp_path).recall(NGINX) == MANIFEST
    assert LocalStore(tmp_path).recall(f"{NGINX}-alpine") is None


def test_a_reference_stands_for_what_came_last(tmp_path: Path) -> None:
    """A tag that has moved is remembered as it is now."""
    store = LocalStore(tmp_path)
    store.remember(NGINX, describe(b"earlier"))
    store.remember(NGINX, MANIFEST)

    assert store.recall(NGINX) == MANIFEST
    assert len(list((tmp_path / "resolved").iterdir())) == 1


def test_what_is_known_is_not_written_again(tmp_path: Path) -> None:
    """A run with nothing to do leaves the disk alone."""
    store = LocalStore(tmp_path)
    store.remember(NGINX, MANIFEST)
    (path,) = (tmp_path / "resolved").iterdir()
    before = path.stat().st_ino
    store.remember(NGINX, MANIFEST)

    assert path.stat().st_ino == before


DAMAGE = {"cut": b'{"mediaType":"a', "empty": b"", "no text": b"\xff\xfe", "a list": b"[]", "a wrong digest": b"{}"}


@pytest.mark.parametrize("damage", DAMAGE.values(), ids=DAMAGE)
def test_a_damaged_memory_is_none(damage: bytes, tmp_path: Path) -> None:
    """What cannot be read is forgotten, and replaced by what comes next."""
    store = LocalStore(tmp_path)
    store.remember(NGINX, MANIFEST)
    (path,) = (tmp_path / "resolved").iterdir()
    path.write_bytes(damage)

    assert store.recall(NGINX) is None
    store.remember(NGINX, MANIFEST)
    assert store.recall(NGINX) == MANIFEST


def test_a_name_cannot_lead_out_of_the_folder(tmp_path: Path) -> None:
    """References are not used as file names."""
    store = LocalStore(tmp_path / "store")
    store.remember("../../outside", MANIFEST)

    assert [path.parent for path in tmp_path.rglob("*.json")] == [tmp_path / "store" / "resolved"]


def test_a_disk_that_refuses_is_an_error_of_the_store(tmp_path: Path) -> None:
    """What the system says about the disk is told as such."""
    (tmp_path / "store").mkdir()
    store = LocalStore(tmp_path / "store")
    (tmp_path / "store" / "resolved").write_text("in the way")
    with pytest.raises(StoreError, match="resolved"):
        store.remember(NGINX, MANIFEST)
