"""What a treemap shows: every byte in one place, below who alone needs it."""

from collections.abc import Iterator, Sequence

from edgelift.bundle.lock import BundleLock
from edgelift.treemap.tree import Node, content_tree
from tests.bundle.asked import (
    AGENT,
    BASE,
    CALICO,
    CLUSTER,
    CONTENT,
    LOCK,
    NGINX,
    NOBODY,
    PAIR,
    TOOL,
    WEB,
    lock_of,
    own_size,
)
from tests.bundle.content import mixed_content


def leaves(nodes: Sequence[Node]) -> Iterator[Node]:
    """The boxes without boxes in them."""
    for node in nodes:
        yield from leaves(node.children) if node.children else [node]


def by_label(nodes: Sequence[Node]) -> dict[str, Node]:
    """The boxes by what is written in them."""
    return {node.label: node for node in nodes}


def test_packs_then_images_then_layers() -> None:
    """Boxes lie in each other as things need each other, with their sizes."""
    packs = by_label(content_tree(LOCK))

    assert {label: node.kind for label, node in packs.items()} == {
        "apps > nginx": "pack",
        "infra > calico": "pack",
        "no pack": "pack",
        "several packs": "shared",
    }
    web = by_label(packs["apps > nginx"].children)[WEB.reference]
    assert (web.kind, web.size) == ("image", own_size(WEB))
    assert sorted(layer.size for layer in web.children) == sorted(
        each.size for each in (*WEB.manifests, *WEB.blobs) if each not in (BASE, PAIR)
    )


def test_what_images_of_one_pack_share_is_in_the_pack() -> None:
    """It lies beside the images, is told by its kind, and names who needs it."""
    pack = by_label(content_tree(LOCK))["apps > nginx"]
    (shared,) = [node for node in pack.children if node.kind == "shared"]

    assert (shared.size, shared.label) == (PAIR.size, "2.0 KiB, 2 images")
    assert shared.details[0].endswith(PAIR.digest)
    assert f"- {WEB.reference}" in shared.details


def test_what_several_packs_need_is_a_box_of_its_own() -> None:
    """It belongs to none of them, and names all of them."""
    common = by_label(content_tree(LOCK))["several packs"]
    (layer,) = common.children

    assert (common.size, layer.kind) == (BASE.size, "shared")
    assert {f"- {asker}" for asker in (NGINX, CALICO)} <= set(layer.details)


def test_an_image_that_several_packs_ask_for() -> None:
    """It is an image among what several packs need, and its layers are shared."""
    boxes = content_tree(lock_of((TOOL, (NGINX, CALICO)), (AGENT, (CALICO,))))
    (image,) = by_label(boxes)["several packs"].children

    assert (image.kind, image.label, image.size) == ("image", TOOL.reference, TOOL.size)
    assert {layer.kind for layer in image.children} == {"shared"}


def test_every_byte_is_in_one_place() -> None:
    """The boxes have the bytes that are carried, each once, at every level."""
    for lock in (LOCK, mixed_content()[0]):
        assert sum(leaf.size for leaf in leaves(content_tree(lock))) == lock.unique_size
        assert sum(node.size for node in content_tree(lock)) == lock.unique_size


def test_a_cluster_definition_has_a_box_of_its_own() -> None:
    """It is no pack's, and its bytes are carried as well."""
    lock = LOCK.model_copy(update={"cluster_definition": CLUSTER})
    boxes = content_tree(lock)
    box = by_label(boxes)["cluster definition harbour"]

    assert (box.size, box.children, box.details) == (
        CLUSTER.size,
        (),
        ("cluster definition harbour: 2.9 KiB", CLUSTER.digest),
    )
    assert sum(node.size for node in boxes) == lock.carried_size


def test_the_largest_comes_first() -> None:
    """Boxes are in the order in which they are laid."""

    def check(nodes: Sequence[Node]) -> None:
        sizes = [node.size for node in nodes]
        assert sizes == sorted(sizes, reverse=True)
        for node in nodes:
            check(node.children)

    check(content_tree(LOCK))


def test_many_sharers_are_counted() -> None:
    """A tooltip names ten, and how many there are besides."""
    images = [CONTENT.add_image(f"quay.io/team/many-{number:02}:1", [BASE]) for number in range(25)]
    (pack,) = content_tree(lock_of(*((image, (NGINX,)) for image in images)))
    layer = next(node for node in pack.children if node.kind == "shared")

    assert layer.label == "4.9 KiB, 25 images"
    assert "- and 15 more" in layer.details
    assert len(layer.details) == 1 + 1 + 10 + 1 + 1


def test_content_without_bytes_has_no_box() -> None:
    """Empty layers are not drawn, nor is a bundle without images."""
    lock, _ = mixed_content()

    assert all(leaf.size for leaf in leaves(content_tree(lock)))
    assert content_tree(BundleLock(definition=lock.definition, images=())) == ()
    assert by_label(content_tree(lock_of((TOOL, ()))))[str(NOBODY)].size == TOOL.size
