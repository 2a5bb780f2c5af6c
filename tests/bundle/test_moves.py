"""What has moved from one lock to the next."""

from edgelift.bundle.cluster_definition import LockedClusterDefinition
from edgelift.bundle.definition import ProfileVersion
from edgelift.bundle.lock import BundleLock
from edgelift.bundle.moves import Move, find_moves
from tests.bundle.test_diff import NEW_NGINX, NGINX, OLD_NGINX, PAUSE, PAUSE_IMAGE, lock_of, own_size


def with_profiles(lock: BundleLock, **versions: str) -> BundleLock:
    """`lock`, resolved from profiles of these versions."""
    profiles = tuple(ProfileVersion(name=name, version=version) for name, version in versions.items())
    return lock.model_copy(update={"definition": lock.definition.model_copy(update={"profiles": profiles})})


def renamed(lock: BundleLock, name: str) -> BundleLock:
    """`lock` under another name."""
    return lock.model_copy(update={"definition": lock.definition.model_copy(update={"name": name})})


def test_nothing_moves() -> None:
    """Neither another name, nor other packs that ask for the same, are a move."""
    before = with_profiles(lock_of(OLD_NGINX), edge="1.0.0")

    assert find_moves(before, with_profiles(renamed(lock_of(OLD_NGINX, pack="other"), "x"), edge="1.0.0")) == ()


def test_a_profile_has_another_version() -> None:
    """That is a move although all images stay; profiles come and go, too."""
    before = with_profiles(lock_of(OLD_NGINX), edge="1.0.0", old="2")
    after = with_profiles(lock_of(OLD_NGINX), edge="1.1.0", new="3")
    moves = find_moves(before, after)

    assert moves == (
        Move("profile", "edge", "1.0.0", "1.1.0"),
        Move("profile", "new", "", "3"),
        Move("profile", "old", "2"),
    )
    assert [str(move) for move in moves[:2]] == ["profile edge: 1.0.0 → 1.1.0", "profile new: none → 3"]


def test_images_move() -> None:
    """A tag that stands for another digest, an image that came, one that went; with the bytes that are new."""
    (moved,) = find_moves(lock_of(OLD_NGINX), lock_of(NEW_NGINX))
    (added,) = find_moves(lock_of(OLD_NGINX), lock_of(OLD_NGINX, PAUSE_IMAGE))
    (removed,) = find_moves(lock_of(OLD_NGINX, PAUSE_IMAGE), lock_of(OLD_NGINX))
    before, after = OLD_NGINX.descriptor.digest[:19], NEW_NGINX.descriptor.digest[:19]
    pause = PAUSE_IMAGE.descriptor.digest[:19]

    assert moved == Move("image", NGINX, before, after, own_size(NEW_NGINX, OLD_NGINX))
    assert added == Move("image", PAUSE, "", pause, PAUSE_IMAGE.size)
    assert (removed.before, removed.after) == (pause, "")


def test_a_cluster_definition_is_another() -> None:
    """By its digest: what is in it, nobody looks at."""
    one, two = (LockedClusterDefinition.of("site", content, ()) for content in (b"one", b"two"))
    before, after = (lock_of(OLD_NGINX).model_copy(update={"cluster_definition": each}) for each in (one, two))

    assert find_moves(before, after) == (Move("cluster definition", "site", one.digest[:19], two.digest[:19]),)
    assert find_moves(lock_of(OLD_NGINX), after) == (Move("cluster definition", "site", "", two.digest[:19]),)
