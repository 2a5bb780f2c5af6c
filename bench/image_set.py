"""The images that everything is measured on: made from a seed, so that the same options give the same digests.

What a fleet's images look like: a few bases that many share, runtimes that some share, an own part of each image that
is mostly small and sometimes huge; layers as gzip, zstd and plain tars, of text-like and of incompressible content.
This module decides; `image_layers` makes the bytes.
"""

import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Literal

LayerKind = Literal["gzip", "zstd", "tar"]

IMAGES = 60
UNIQUE = 1229 * 2**20  # bytes of all layers, each once, at scale 1
CHANGED = 3  # of the images get a new top layer: 5 %
MIB = 2**20
_KIB = 2**10
_SMALLEST = 512  # bytes
_MULTI_ARCH = 4  # of the images, the last ones, are indexes of two architectures

# How many images stand on a base, its layers, and the runtimes on it: of how many images, and their layer.
_BASES: tuple[tuple[int, tuple[tuple[LayerKind, int], ...], tuple[tuple[int, LayerKind, int], ...]], ...] = (
    (26, (("gzip", 9), ("gzip", 2)), ((9, "gzip", 46), (5, "zstd", 21))),
    (16, (("gzip", 28),), ((6, "gzip", 60),)),
    (9, (("zstd", 68), ("tar", 11)), ((4, "tar", 35),)),
    (5, (("gzip", 44),), ()),
    (4, (), ()),
)
_HUGE: tuple[tuple[int, LayerKind, int], ...] = ((7, "gzip", 168), (27, "zstd", 131), (47, "tar", 104))  # image, MiB
_KINDS: tuple[LayerKind, ...] = ("gzip", "zstd", "tar")
_SHARES = (70, 20, 10)  # percent of the images' own layers


@dataclass(frozen=True)
class Layer:
    """A layer to be made: the blob has `size` bytes (nearly); the same `seed` gives the same blob."""

    seed: str
    kind: LayerKind
    size: int


@dataclass(frozen=True)
class Platform:
    """One architecture of an image, and its layers from the base up."""

    architecture: str
    layers: tuple[Layer, ...]


@dataclass(frozen=True)
class Image:
    """One image, an index where it has several platforms."""

    repository: str
    tag: str
    platforms: tuple[Platform, ...]


def plan_images(seed: int = 1, scale: float = 1.0) -> list[Image]:
    """`IMAGES` images whose layers, each counted once, have `UNIQUE` times `scale` bytes (nearly)."""
    chance = random.Random(seed)  # noqa: S311 - a made-up image set, no secret
    huge = {number: Layer(f"{seed} huge {number}", kind, size * MIB) for number, kind, size in _HUGE}
    lower = [(*shared, *((huge[number],) if number in huge else ())) for number, shared in enumerate(_shared(seed))]
    own = [tuple(_own_layers(chance, seed, number)) for number in range(IMAGES)]
    fixed = sum(layer.size for layer in {layer for layers in lower for layer in layers})
    copies = [2 if number >= IMAGES - _MULTI_ARCH else 1 for number in range(IMAGES)]  # one for each architecture
    free = sum(layer.size * many for layers, many in zip(own, copies, strict=True) for layer in layers)
    factor = (UNIQUE - fixed) / free
    return [
        _image(number, (*_scaled(below, scale), *_scaled(above, scale * factor)))
        for number, (below, above) in enumerate(zip(lower, own, strict=True))
    ]


def change_images(images: Sequence[Image]) -> list[Image]:
    """`images` a release later: `CHANGED` of them have a new top layer under the same tag."""
    step = len(images) // CHANGED
    return [_rebuilt(image) if number % step == step // 2 else image for number, image in enumerate(images)]


def unique_layers(images: Sequence[Image]) -> list[Layer]:
    """Every layer once, the largest first."""
    layers = {layer for image in images for platform in image.platforms for layer in platform.layers}
    return sorted(layers, key=lambda layer: (-layer.size, layer.seed))


def _shared(seed: int) -> Iterator[tuple[Layer, ...]]:
    """What each image stands on: the layers of its base, and its runtime where it has one."""
    for base, (count, layers, runtimes) in enumerate(_BASES):
        below = tuple(
            Layer(f"{seed} base {base} {number}", kind, size * MIB) for number, (kind, size) in enumerate(layers)
        )
        above = [
            (Layer(f"{seed} runtime {base} {number}", kind, size * MIB),)
            for number, (users, kind, size) in enumerate(runtimes)
            for _ in range(users)
        ]
        for runtime in [*above, *[()] * (count - len(above))]:
            yield (*below, *runtime)


def _own_layers(chance: random.Random, seed: int, number: int) -> Iterator[Layer]:
    """An image's own layers before they are fitted to the whole: a few, with log-normal sizes."""
    for place in range(chance.randint(1, 6)):
        size = int(chance.lognormvariate(0, 1.4) * MIB)
        yield Layer(f"{seed} own {number} {place}", chance.choices(_KINDS, _SHARES)[0], size)


def _image(number: int, layers: tuple[Layer, ...]) -> Image:
    platforms = [Platform("amd64", layers)]
    if number >= IMAGES - _MULTI_ARCH:
        platforms.append(Platform("arm64", tuple(replace(each, seed=f"{each.seed} arm64") for each in layers)))
    return Image(f"edge/image-{number:02}", "v1.0", tuple(platforms))


def _scaled(layers: Sequence[Layer], scale: float) -> Iterator[Layer]:
    return (replace(each, size=max(_SMALLEST, int(each.size * scale))) for each in layers)


def _rebuilt(image: Image) -> Image:
    """The image with its top layer made anew."""
    platforms = tuple(
        replace(each, layers=(*each.layers[:-1], replace(each.layers[-1], seed=f"{each.layers[-1].seed} rebuilt")))
        for each in image.platforms
    )
    return replace(image, platforms=platforms)
