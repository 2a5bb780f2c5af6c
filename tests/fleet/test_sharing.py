"""Which sites share a plan, and which a build."""

import pytest

from edgelift.bundle.definition import BundleDefinition, RequestedImage
from edgelift.bundle.lock import BundleLock, LockedImage
from edgelift.fleet.sharing import PlannedSite, group_by_lock, group_by_source, share_lock
from edgelift.site import EdgeSite
from tests.bundle.content import LAYER, MemoryContent, noise
from tests.fleet.sites import make_site

CONTENT = MemoryContent()
APP = CONTENT.add_image("quay.io/team/app:1", [CONTENT.add(noise(2_000, 1), LAYER)])
WEB = CONTENT.add_image("quay.io/team/web:1", [CONTENT.add(noise(2_000, 2), LAYER)])


def lock_of(name: str, *images: LockedImage) -> BundleLock:
    """The lock of a bundle of that name."""
    asked = tuple(RequestedImage(reference=image.reference) for image in images)
    return BundleLock(definition=BundleDefinition(name=name, images=asked), images=images)


PLANS: dict[str, tuple[list[EdgeSite], int]] = {
    "the same, for different registries": ([make_site("a"), make_site("b")], 1),
    "different images": ([make_site("a"), make_site("b", "quay.io/team/web:1")], 2),
    "different logins": ([make_site("a", access={"registries": ["a"]}), make_site("b")], 1),
    "through a mirror": ([make_site("a", access={"mirrors": ["quay.io=mirror.example/q"]}), make_site("b")], 2),
}


@pytest.mark.parametrize(("sites", "plans"), PLANS.values(), ids=PLANS)
def test_what_is_asked_for_is_planned_once(sites: list[EdgeSite], plans: int) -> None:
    """Sites that ask for the same of the same places share a plan; its name says nothing of a site."""
    groups = group_by_source(sites)

    assert (len(groups), sum(len(group.sites) for group in groups)) == (plans, len(sites))
    assert len({group.name for group in groups}) == plans
    assert groups == group_by_source(sites)


def test_a_shared_lock_is_named_after_its_content() -> None:
    """Two plans that found the same have one lock, whatever they were called; others have another name."""
    site = make_site("a")
    one, same, other = (share_lock(lock, site) for lock in (lock_of("x", APP), lock_of("y", APP), lock_of("x", WEB)))

    assert one == same
    assert one.digest == same.digest
    assert one.definition.name != other.definition.name
    assert one.definition.name.startswith("fleet-")


BUILDS: dict[str, tuple[list[EdgeSite], list[list[str]]]] = {
    "nothing sets them apart": ([make_site("a"), make_site("b")], [["a", "b"]]),
    "another key": ([make_site("a"), make_site("b", signing={"block": "key"})], [["a"], ["b"]]),
    "other parts": ([make_site("a", part_size=10**9), make_site("b")], [["a"], ["b"]]),
    "a direct copy": ([make_site("a", direct=True), make_site("b")], [["a"], ["b"]]),
    "another store": ([make_site("a", store="/one"), make_site("b", store="block:two")], [["a", "b"]]),
    "another archive": ([make_site("a", archive={"directory": "/x"}), make_site("b")], [["a", "b"]]),
}


@pytest.mark.parametrize(("sites", "builds"), BUILDS.values(), ids=BUILDS)
def test_what_is_the_same_is_built_once(sites: list[EdgeSite], builds: list[list[str]]) -> None:
    """Sites share a build where they have one lock, and nothing makes their files differ."""
    found = group_by_lock([PlannedSite(site, lock_of("any", APP)) for site in sites])

    assert [[site.name for site in build.sites] for build in found] == builds
    files = {(build.name, build.first.direct) for build in found}
    assert len(files) == len(builds)


def test_a_build_is_made_where_its_first_site_was_planned() -> None:
    """What comes from no registry is there, whatever other sites name."""
    sites = [make_site("a", store="/one"), make_site("b", signing={"block": "key"}, store="/two")]

    builds = group_by_lock([PlannedSite(site, lock_of("any", APP), "/one") for site in sites])

    assert [(build.first.name, build.store) for build in builds] == [("a", "/one"), ("b", "/one")]


def test_a_build_is_kept_wherever_one_of_its_sites_wants_it() -> None:
    """Each archive once, with the access of the first site that names it."""
    places = [{"directory": "/one"}, {"directory": "/two"}, {"directory": "/one"}]
    sites = [
        make_site(f"s{number}", archive=place, access={"registries": [f"r{number}"]})
        for number, place in enumerate(places)
    ]
    (build,) = group_by_lock([PlannedSite(site, lock_of("any", APP)) for site in sites])

    assert [(place.directory, access.registries) for place, access in build.archives] == [
        ("/one", ("r0",)),
        ("/two", ("r1",)),
    ]
