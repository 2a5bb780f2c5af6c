"""The last lock of a bundle that is built again and again."""

from pathlib import Path

import pytest

from edgelift.bundle.lock import BundleLock
from edgelift.delivery.base import Base
from edgelift.errors import ConfigurationError
from edgelift.refresh import find_last, make_delta, note_last
from tests.bundle.test_diff import NEW_NGINX, OLD_NGINX, PAUSE_IMAGE, lock_of

OLD, NEW = lock_of(OLD_NGINX), lock_of(NEW_NGINX)


def keep(folder: Path, lock: BundleLock, name: str) -> Path:
    """The lock as the file of a bundle of that name."""
    path = folder / f"{name}.lock.json"
    path.write_bytes(lock.to_json())
    return path


def test_before_the_first_build_there_is_none(tmp_path: Path) -> None:
    """Nor is there one where only other bundles have locks."""
    keep(tmp_path, OLD, "other")

    assert find_last(tmp_path, "site") is None


def test_the_last_one_is_that_of_the_last_delta(tmp_path: Path) -> None:
    """After the first build it is the bundle's own."""
    first = keep(tmp_path, OLD, "site")
    note_last(tmp_path, "site", first)
    assert find_last(tmp_path, "site") == first

    delta = keep(tmp_path, NEW, "site-0123456789ab")
    note_last(tmp_path, "site", delta)
    assert find_last(tmp_path, "site") == delta


@pytest.mark.parametrize("harm", ["the bundle is another", "the delta is another", "the delta is gone", "no note"])
def test_a_note_that_does_not_fit_counts_for_nothing(tmp_path: Path, harm: str) -> None:
    """What goes on top of a bundle that is not there any more is of no use."""
    first, delta = keep(tmp_path, OLD, "site"), keep(tmp_path, NEW, "site-0123456789ab")
    note_last(tmp_path, "site", delta)
    if harm == "the bundle is another":
        keep(tmp_path, lock_of(PAUSE_IMAGE), "site")
    elif harm == "the delta is another":
        keep(tmp_path, lock_of(PAUSE_IMAGE), "site-0123456789ab")
    elif harm == "the delta is gone":
        delta.unlink()
    else:
        (tmp_path / "site.last.json").write_text("[]")

    assert find_last(tmp_path, "site") == first


def test_a_delta_has_a_name_of_its_own() -> None:
    """The same for the same two locks, another for every other pair: none takes the place of one before."""
    there, back = make_delta(NEW, Base(OLD, OLD.images)), make_delta(OLD, Base(NEW, NEW.images))
    again = make_delta(NEW, Base(OLD, OLD.images))

    assert there.base is not None
    assert there.base.lock == OLD.digest
    assert there == again
    assert len({OLD.definition.name, there.definition.name, back.definition.name}) == 3
    assert there.definition.name.startswith(f"{NEW.definition.name}-")


def test_a_name_has_to_leave_room(tmp_path: Path) -> None:
    """Thirteen characters are added to it."""
    long = NEW.model_copy(update={"definition": NEW.definition.model_copy(update={"name": "n" * 95})})

    with pytest.raises(ConfigurationError, match="cannot be the name of a bundle"):
        make_delta(long, Base(OLD, OLD.images))
