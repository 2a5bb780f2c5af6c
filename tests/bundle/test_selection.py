"""Annotations and selectors: which entries of a lock are meant."""

import pytest

from edgelift.bundle.definition import BundleDefinition, Origin, RequestedChart, RequestedImage
from edgelift.bundle.lock import BundleLock, LeftOut, LockBase, LockedImage
from edgelift.bundle.selection import AnnotationSelector, annotations_of, select_entries
from edgelift.errors import ConfigurationError
from edgelift.oci.digest import Digest
from tests.bundle.content import GZIP, MemoryContent

CONTENT = MemoryContent()
SHARED, OWN = CONTENT.add(b"shared", GZIP), CONTENT.add(b"own", GZIP)
NGINX = CONTENT.add_image("docker.io/library/nginx:1", [SHARED])
PAUSE = CONTENT.add_image("registry.k8s.io/pause:3.9", [SHARED, OWN])
CHART = CONTENT.add_image("ghcr.io/charts/app:1", [OWN]).model_copy(update={"kind": "chart"})
ORIGINS = (
    Origin(profile="apps@1.0", pack="web", path="pack.content.images[0].image"),
    Origin(profile="infra@2.0", pack="k3s", path="pack.content.images[3].image"),
)
DEFINITION = BundleDefinition(
    name="site",
    images=(
        RequestedImage(reference=NGINX.reference, origins=ORIGINS[:1], annotations={"tier": "web", "team": "shop"}),
        RequestedImage(reference=PAUSE.reference, origins=ORIGINS, annotations={"tier": "base"}),
    ),
)
LOCK = BundleLock(definition=DEFINITION, images=(NGINX, PAUSE, CHART))


def chosen(selector: str, lock: BundleLock = LOCK) -> list[str]:
    """The names of the repositories of what is chosen."""
    images = AnnotationSelector.parse(selector).choose(lock)
    return [image.reference.rpartition("/")[2].partition(":")[0] for image in images]


CHOSEN = {
    "one annotation": ("tier=web", ["nginx"]),
    "all of several": ("team=shop,tier=web", ["nginx"]),
    "spaces around them": (" tier = web , team=shop ", ["nginx"]),
    "a profile in any version": ("edgelift.profile=apps", ["nginx", "pause"]),
    "a profile in one version": ("edgelift.profile=infra@2.0", ["pause"]),
    "a pack": ("edgelift.pack=web", ["nginx", "pause"]),
    "both of several origins": ("edgelift.pack=web,edgelift.pack=k3s", ["pause"]),
    "a pack, and what people say": ("edgelift.pack=web,tier=base", ["pause"]),
    "images": ("edgelift.kind=image", ["nginx", "pause"]),
    "charts": ("edgelift.kind=chart", ["app"]),
}


@pytest.mark.parametrize(("selector", "names"), CHOSEN.values(), ids=CHOSEN)
def test_entries_are_chosen_by_what_is_said_of_them(selector: str, names: list[str]) -> None:
    """Every term has to hold; those that follow from profiles and packs hold for each origin."""
    assert names == chosen(selector)


@pytest.mark.parametrize("text", ["", "tier", "=web", "tier=web,", "ti er=web", "tier=we\nb", "-x=1"])
def test_what_is_no_selector_is_refused(text: str) -> None:
    """The message shows how one is written."""
    with pytest.raises(ConfigurationError, match="is not an annotation selector") as caught:
        AnnotationSelector.parse(text)

    assert "KEY=VALUE,KEY=VALUE" in str(caught.value.hint)


def test_a_selector_that_chooses_nothing_is_an_error() -> None:
    """Nothing is never pushed by accident; the message says what there is to choose from."""
    with pytest.raises(ConfigurationError, match="no entry of site has the annotations tier=wbe") as caught:
        chosen("tier=wbe")

    assert "tier=base, tier=web" in str(caught.value.hint)


def test_without_a_selector_all_of_the_lock_is_meant() -> None:
    """The lock is the one that it was."""
    assert select_entries(LOCK, None) is LOCK


def test_a_selected_delta_leaves_out_what_its_entries_need() -> None:
    """What the other entries would need from the base is not looked for."""
    left_out = (
        LeftOut(name="docker.io/library/nginx", blobs=(SHARED.digest,)),
        LeftOut(name="registry.k8s.io/pause", blobs=(OWN.digest,)),
    )
    base = LockBase(name="before", lock=Digest.of(b"before"), left_out=left_out)
    delta = BundleLock(definition=DEFINITION, images=(NGINX, PAUSE), base=base)

    selected = select_entries(delta, "tier=web")

    assert [image.reference for image in selected.images] == [NGINX.reference]
    assert selected.base == LockBase(name="before", lock=base.lock, left_out=left_out[:1])
    assert select_entries(BundleLock(definition=DEFINITION, images=(NGINX, PAUSE)), "tier=web").base is None


def test_packs_and_charts_have_what_asks_for_them() -> None:
    """A pack by its reference, a chart by its repository: both are chosen as images are."""
    pack = CONTENT.add_image("ghcr.io/spectro-packs/archive/web:1", [OWN]).model_copy(update={"kind": "pack"})
    definition = BundleDefinition(
        charts=(
            RequestedChart(
                repository="oci://ghcr.io/charts",
                name="app",
                version="1",
                origins=ORIGINS[1:],
                annotations={"tier": "x"},
            ),
        ),
        packs=(RequestedImage(reference=pack.reference, origins=ORIGINS[:1], annotations={"tier": "y"}),),
    )
    lock = BundleLock(definition=definition, images=(CHART, pack))

    assert (chosen("tier=x", lock), chosen("tier=y", lock)) == (["app"], ["web"])
    assert (chosen("edgelift.pack=k3s", lock), chosen("edgelift.pack=web", lock)) == (["app"], ["web"])
    assert chosen("edgelift.kind=pack", lock) == ["web"]


def test_annotations_are_told_with_all_their_values() -> None:
    """Of an entry that several packs ask for, each is named; what nobody asks for has its kind alone."""
    annotations = annotations_of(LOCK)

    assert annotations[PAUSE.reference] == {
        "tier": ("base",),
        "edgelift.profile": ("apps@1.0", "apps", "infra@2.0", "infra"),
        "edgelift.pack": ("web", "k3s"),
        "edgelift.kind": ("image",),
    }
    assert annotations[CHART.reference] == {"edgelift.kind": ("chart",)}
    assert isinstance(CHART, LockedImage)
