"""What changes from one lock to another."""

from edgelift.bundle.definition import BundleDefinition, Origin, RequestedImage
from edgelift.bundle.diff import Content, ImageChange, compare_locks
from edgelift.bundle.lock import BundleLock, LockedImage
from tests.bundle.content import GZIP, LAYER, MemoryContent, noise

CONTENT = MemoryContent()
BASE = CONTENT.add(noise(5_000, 1), GZIP)
OWN = [CONTENT.add(noise(1_000 + number, number), LAYER) for number in range(4)]
NOTHING = Content(0, 0, 0)
NGINX, PAUSE = "docker.io/library/nginx:1.27", "registry.k8s.io/pause:3.9"
OLD_NGINX = CONTENT.add_image(NGINX, [BASE, OWN[0]])
NEW_NGINX = CONTENT.add_image(NGINX, [BASE, OWN[1]])
PAUSE_IMAGE = CONTENT.add_image(PAUSE, [OWN[2]])


def lock_of(*images: LockedImage, pack: str = "web") -> BundleLock:
    """The lock of `images`, asked for by `pack`."""
    asked = tuple(
        RequestedImage(reference=image.reference, origins=(Origin(profile="edge", pack=pack, path="x"),))
        for image in images
    )
    return BundleLock(definition=BundleDefinition(images=asked), images=images)


def asked_by(pack: str) -> tuple[Origin, ...]:
    """Where the images of a lock are asked for."""
    return (Origin(profile="edge", pack=pack, path="x"),)


def own_size(image: LockedImage, *known: LockedImage) -> int:
    """Bytes of `image` that none of `known` has."""
    others = {each.digest for other in known for each in (*other.manifests, *other.blobs)}
    return sum(each.size for each in (*image.manifests, *image.blobs) if each.digest not in others)


def test_nothing_changes() -> None:
    """A lock differs in nothing from itself, also where other packs ask for the same."""
    found = compare_locks(lock_of(OLD_NGINX, PAUSE_IMAGE), lock_of(OLD_NGINX, PAUSE_IMAGE, pack="other"))

    assert (found.added, found.removed, found.moved, found.unchanged) == ((), (), (), 2)
    assert (found.arriving, found.leaving) == (NOTHING, NOTHING)
    assert found.shared == Content(2, 5, OLD_NGINX.size + PAUSE_IMAGE.size)


def test_an_image_is_added() -> None:
    """It is told with who asks for it and the bytes that were not there before."""
    found = compare_locks(lock_of(OLD_NGINX), lock_of(OLD_NGINX, PAUSE_IMAGE, pack="new"))
    digest = PAUSE_IMAGE.descriptor.digest

    assert found.added == (ImageChange(PAUSE, None, digest, asked_by("new"), PAUSE_IMAGE.size),)
    assert (found.removed, found.moved, found.unchanged) == ((), (), 1)
    assert found.arriving == Content(1, 2, PAUSE_IMAGE.size)
    assert found.leaving == NOTHING


def test_an_image_is_removed() -> None:
    """It is the same the other way round, and told by who had asked for it."""
    found = compare_locks(lock_of(OLD_NGINX, PAUSE_IMAGE, pack="old"), lock_of(OLD_NGINX))
    digest = PAUSE_IMAGE.descriptor.digest

    assert found.removed == (ImageChange(PAUSE, digest, None, asked_by("old"), PAUSE_IMAGE.size),)
    assert (found.arriving, found.leaving) == (NOTHING, Content(1, 2, PAUSE_IMAGE.size))


def test_a_tag_moves() -> None:
    """Both digests are told; of the layers, only those that were not there before count."""
    found = compare_locks(lock_of(OLD_NGINX), lock_of(NEW_NGINX))
    before, after = OLD_NGINX.descriptor.digest, NEW_NGINX.descriptor.digest

    assert found.moved == (ImageChange(NGINX, before, after, asked_by("web"), own_size(NEW_NGINX, OLD_NGINX)),)
    assert (found.added, found.removed, found.unchanged) == ((), (), 0)
    assert found.arriving.size == own_size(NEW_NGINX, OLD_NGINX)
    assert found.leaving.size == own_size(OLD_NGINX, NEW_NGINX)


def test_shared_content_counts_once() -> None:
    """What two new images share arrives once, and is told of each."""
    one, two = (CONTENT.add_image(f"quay.io/team/{name}:1", [BASE, OWN[3]]) for name in ("one", "two"))
    found = compare_locks(lock_of(PAUSE_IMAGE), lock_of(PAUSE_IMAGE, one, two))

    assert [change.size for change in found.added] == [one.size, two.size]
    assert found.arriving.size == one.size + own_size(two, one)


def test_one_image_under_another_name() -> None:
    """An image that is renamed is a new one without a byte to bring."""
    renamed = OLD_NGINX.model_copy(update={"reference": "mirror.example/nginx:1.27"})
    found = compare_locks(lock_of(OLD_NGINX), lock_of(renamed))

    assert [(change.reference, change.size) for change in (*found.added, *found.removed)] == [
        ("mirror.example/nginx:1.27", 0),
        (NGINX, 0),
    ]
    assert (found.arriving, found.leaving, found.shared.size) == (NOTHING, NOTHING, OLD_NGINX.size)


def test_an_image_that_nobody_is_said_to_have_asked_for() -> None:
    """A lock that was edited by hand may name images that its definition does not."""
    lock = BundleLock(definition=BundleDefinition(), images=(PAUSE_IMAGE,))

    assert [change.origins for change in compare_locks(lock_of(), lock).added] == [()]
