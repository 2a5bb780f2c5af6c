"""Who needs which bytes of a lock."""

import pytest

from edgelift.bundle.attribution import Asker, Cost, attribute_sizes, pieces_of
from edgelift.bundle.definition import BundleDefinition, Origin, RequestedChart, RequestedImage
from edgelift.bundle.lock import BundleLock, LeftOut, LockBase
from tests.bundle.asked import (
    AGENT,
    BASE,
    CALICO,
    CLUSTER,
    LOCK,
    NGINX,
    NOBODY,
    OTHER,
    PAIR,
    SIDE,
    TOOL,
    WEB,
    lock_of,
    own_size,
)
from tests.bundle.content import mixed_content


def test_what_an_image_costs() -> None:
    """Unique is what no other image has; shared is the rest, in full for each that needs it."""
    costs = {each.reference: each.cost for each in attribute_sizes(LOCK).images}

    assert costs == {
        WEB.reference: Cost(own_size(WEB), BASE.size + PAIR.size),
        SIDE.reference: Cost(own_size(SIDE), BASE.size + PAIR.size),
        AGENT.reference: Cost(own_size(AGENT), BASE.size),
        TOOL.reference: Cost(TOOL.size, 0),
    }


def test_what_a_pack_costs() -> None:
    """What several images of one pack share is the pack's own; what other packs need is not."""
    costs = {each.asker: (each.images, each.cost) for each in attribute_sizes(LOCK).packs}

    assert costs == {
        NGINX: (2, Cost(own_size(WEB) + own_size(SIDE) + PAIR.size, BASE.size)),
        CALICO: (1, Cost(own_size(AGENT), BASE.size)),
        NOBODY: (1, Cost(TOOL.size, 0)),
    }


@pytest.mark.parametrize("asker", [NGINX, CALICO, NOBODY], ids=str)
def test_unique_bytes_are_what_leaving_it_out_saves(asker: Asker) -> None:
    """Without the images of a pack, so many bytes less are carried."""
    found = attribute_sizes(LOCK)
    asked = {image.reference: image.askers for image in found.images}
    left = [(image, asked[image.reference]) for image in LOCK.images if asker not in asked[image.reference]]
    (cost,) = [each.cost for each in found.packs if each.asker == asker]

    assert found.carried - attribute_sizes(lock_of(*left)).carried == cost.unique


def test_a_cluster_definition_is_carried_and_nobodys() -> None:
    """It is told by itself, and adds nothing to what images, packs and profiles cost."""
    lock = LOCK.model_copy(update={"cluster_definition": CLUSTER})
    found, without = attribute_sizes(lock), attribute_sizes(LOCK)

    assert (found.carried, found.cluster_definition) == (lock.carried_size, CLUSTER)
    assert (found.images, found.packs, found.profiles) == (without.images, without.packs, without.profiles)
    assert found.document()["cluster_definition"] == {"name": "harbour", "bytes": CLUSTER.size}
    assert without.document()["cluster_definition"] is None


def test_packs_and_charts_have_those_that_ask_for_them() -> None:
    """A pack by its reference, a chart by its repository."""
    chart, pack = (each.model_copy(update={"kind": kind}) for each, kind in ((WEB, "chart"), (TOOL, "pack")))
    calico, nginx = (Origin(profile=each.profile, pack=each.pack, path="x") for each in (CALICO, NGINX))
    definition = BundleDefinition(
        charts=(RequestedChart(repository="oci://quay.io/team", name="web", version="1", origins=(calico,)),),
        packs=(RequestedImage(reference=pack.reference, origins=(nginx,)),),
    )
    found = attribute_sizes(BundleLock(definition=definition, images=(pack, chart)))

    assert {image.reference: image.askers for image in found.images} == {
        chart.reference: (CALICO,),
        pack.reference: (NGINX,),
    }


def test_what_a_profile_costs() -> None:
    """What several packs of one profile share is the profile's own."""
    lock = lock_of((WEB, (NGINX,)), (AGENT, (OTHER,)), (TOOL, (CALICO,)))
    costs = {each.profile: (each.packs, each.images, each.cost) for each in attribute_sizes(lock).profiles}

    apps = own_size(WEB) + PAIR.size + own_size(AGENT) + BASE.size
    assert costs == {"apps": (2, 2, Cost(apps, 0)), "infra": (1, 1, Cost(TOOL.size, 0))}


def test_an_image_that_several_packs_ask_for() -> None:
    """Leaving out one of the packs saves nothing of it; that it is asked for twice by one pack changes nothing."""
    found = attribute_sizes(lock_of((TOOL, (NGINX, CALICO, NGINX)), (WEB, (NGINX,))))

    assert {each.asker: each.cost for each in found.packs} == {
        NGINX: Cost(WEB.size, TOOL.size),
        CALICO: Cost(0, TOOL.size),
    }
    assert found.images[1].cost == Cost(TOOL.size, 0)
    assert found.images[1].askers == (NGINX, CALICO)


def test_the_costliest_come_first() -> None:
    """Lists are in the order of what leaving out would save, then of what is shared, then of names."""
    found = attribute_sizes(LOCK)

    for listed in (found.images, found.packs, found.profiles):
        keys = [(-each.cost.unique, -each.cost.shared) for each in listed]
        assert keys == sorted(keys)


def test_shared_layers() -> None:
    """What more than one image needs, the largest first, with all that need it; sharing saves its further copies."""
    found = attribute_sizes(LOCK)

    assert [(piece.descriptor.digest, piece.images, piece.askers) for piece in found.shared] == [
        (BASE.digest, (WEB.reference, SIDE.reference, AGENT.reference), (NGINX, CALICO)),
        (PAIR.digest, (WEB.reference, SIDE.reference), (NGINX,)),
    ]
    assert found.saved == 2 * BASE.size + PAIR.size
    assert found.carried + found.saved == sum(image.size for image in LOCK.images)


def test_all_content_is_counted_once() -> None:
    """The pieces are the unique content of the lock, whatever kinds of images it holds."""
    lock, _ = mixed_content()
    pieces = pieces_of(lock)

    assert len({piece.descriptor.digest for piece in pieces}) == len(pieces)
    assert sum(piece.descriptor.size for piece in pieces) == attribute_sizes(lock).carried == lock.unique_size


def test_a_delta_costs_what_it_carries() -> None:
    """What is left out costs nobody anything, and is told as a sum."""
    left_out = LeftOut(name="quay.io/team/web", blobs=(BASE.digest,))
    base = LockBase(name="before", lock=TOOL.descriptor.digest, left_out=(left_out,))
    found = attribute_sizes(LOCK.model_copy(update={"base": base}))

    assert (found.carried, found.left_out) == (LOCK.unique_size - BASE.size, BASE.size)
    assert {each.asker: each.cost.shared for each in found.packs} == {NGINX: 0, CALICO: 0, NOBODY: 0}


def test_nothing_costs_nothing() -> None:
    """A lock without images has a cost, too."""
    found = attribute_sizes(lock_of())

    assert (found.carried, found.saved, found.profiles, found.packs, found.images) == (0, 0, (), (), ())


def test_the_document() -> None:
    """Scripts get every number in bytes, and every name in full."""
    document = attribute_sizes(LOCK).document()

    assert document["packs"][0] == {
        "profile": "apps",
        "pack": "nginx",
        "images": 2,
        "total_bytes": own_size(WEB) + own_size(SIDE) + PAIR.size + BASE.size,
        "unique_bytes": own_size(WEB) + own_size(SIDE) + PAIR.size,
        "shared_bytes": BASE.size,
    }
    assert document["shared"][0]["packs"] == [
        {"profile": "apps", "pack": "nginx"},
        {"profile": "infra", "pack": "calico"},
    ]
    assert document["images"][0].keys() >= {"reference", "kind", "packs", "unique_bytes"}
