"""Assembling beside `tar | zstd -3 -T0`, on the same layout, in turns: `python -m bench.assembly [--size MIB]`.

What is promised: a layout of compressed layers becomes a bundle at least as fast as it becomes a `.tar.zst`, and for at
most half of the processor time. That is asked of assembling itself, in a process that runs already, as in a flow; with
the start of Python it stands beside. Ours hashes every blob, and has its file on the disk in the end; what `tar | zstd`
has made is then in the page cache, so there is a second peer that waits for the disk as well.
"""

import argparse
import json
import os
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bench.figures import GIB, MIB, Spread
from bench.image_layers import make_layer
from bench.image_set import Layer, LayerKind
from bench.measure import Usage, run
from bench.rounds import warm
from edgelift.bundle.definition import BundleDefinition, RequestedImage
from edgelift.bundle.lock import BundleLock, LockedImage
from edgelift.bundle.verify import verify_bundle
from edgelift.oci.descriptor import Descriptor
from edgelift.oci.digest import Digest
from edgelift.oci.manifest import OCI_MANIFEST
from edgelift.store.local import LocalStore

ROOT = Path(__file__).parents[1]
CONFIG = "application/vnd.oci.image.config.v1+json"
SHARES = (28, 18, 12, 10, 8, 6, 5, 4, 3, 2, 2, 1, 1)  # percent of the whole that each layer has
KINDS: tuple[LayerKind, ...] = ("gzip", "gzip", "zstd")  # in turns; all of them go in as raw frames
ITSELF, OURS = "edgelift, assembling itself", "edgelift, the whole process"
PROGRAM = """
import sys, time
from pathlib import Path
from edgelift.bundle.lock import BundleLock
from edgelift.bundle.writer import assemble_bundle
from edgelift.store.local import LocalStore
lock, layout, bundle = map(Path, sys.argv[1:])
parsed, store = BundleLock.from_json(lock.read_bytes()), LocalStore(layout)
wall, cpu = time.monotonic(), time.process_time()
assemble_bundle(parsed, store, bundle)
print(time.monotonic() - wall, time.process_time() - cpu)
"""
WAYS: Mapping[str, str] = {
    OURS: '"$PYTHON" -c "$PROGRAM" "$LOCK" "$LAYOUT" "$BUNDLE"',
    "tar, zstd": 'tar -C "$LAYOUT" -cf - oci-layout index.json blobs | zstd -3 -T0 -q -f -o "$BUNDLE"',
    "tar, zstd, sync": 'tar -C "$LAYOUT" -cf - oci-layout index.json blobs | zstd -3 -T0 -q -f -o "$BUNDLE"\n'
    'sync "$BUNDLE"',
}
WALL, CPU = 1.0, 0.5  # of a peer's, at most


@dataclass(frozen=True)
class Ratio:
    """What ours takes over what `peer` takes, round by round."""

    peer: str
    wall: Spread
    cpu: Spread

    @classmethod
    def of(cls, ours: Sequence[Usage], theirs: Sequence[Usage], peer: str) -> "Ratio":
        """The ratios of what ran in the same round."""
        pairs = list(zip(ours, theirs, strict=True))
        return cls(peer, Spread.of([a.wall / b.wall for a, b in pairs]), Spread.of([a.cpu / b.cpu for a, b in pairs]))

    @property
    def is_kept(self) -> bool:
        """Whether the promise holds, by the middle of the rounds."""
        return self.wall.median <= WALL and self.cpu.median <= CPU


def main() -> None:
    """Measure, print, and write the results."""
    options = _options()
    with _folder(options.folder) as folder:
        lock = make_layout(folder / "layout", options.size * MIB)
        (folder / "lock.json").write_bytes(lock.to_json())
        load = os.getloadavg()[0]
        usages = measure(folder, options.rounds)
    text = to_markdown(usages, lock.unique_size, load)
    output = options.output or ROOT / "bench" / "assembly.md"
    output.write_text(text)
    sys.stdout.write(f"{text}\nwritten to {output}\n")


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m bench.assembly", description=__doc__)
    parser.add_argument("--size", type=int, default=1229, help="size of all layers, MiB (default: %(default)s)")
    parser.add_argument("--rounds", type=int, default=7, help="runs of each (default: %(default)s)")
    parser.add_argument("--folder", type=Path, help="work here (default: a temporary folder on this disk)")
    parser.add_argument("--output", type=Path, help="where the results go (default: bench/assembly.md)")
    return parser.parse_args()


def make_layout(folder: Path, size: int) -> BundleLock:
    """A layout with layers of `size` bytes together, two an image; gives the lock of all."""
    store, images = LocalStore(folder), []
    kinds = [KINDS[number % len(KINDS)] for number in range(len(SHARES))]
    layers = [Layer(f"layer {number}", kind, size * SHARES[number] // 100) for number, kind in enumerate(kinds)]
    for number in range(0, len(layers), 2):
        made = [_add_layer(store, layer, folder.with_name("scratch")) for layer in layers[number : number + 2]]
        config = _add_document(store, {"architecture": "amd64", "os": "linux", "number": number}, CONFIG)
        members = {"config": _plain(config), "layers": [_plain(layer) for layer in made]}
        manifest = _add_document(store, {"schemaVersion": 2, "mediaType": OCI_MANIFEST} | members, OCI_MANIFEST)
        reference = f"registry.example/image-{number}:1"
        store.tag({reference: manifest})
        images.append(
            LockedImage(reference=reference, descriptor=manifest, manifests=(manifest,), blobs=(config, *made))
        )
    asked = tuple(RequestedImage(reference=image.reference) for image in images)
    return BundleLock(definition=BundleDefinition(images=asked), images=tuple(images))


def _add_layer(store: LocalStore, layer: Layer, scratch: Path) -> Descriptor:
    descriptor = Descriptor.model_validate(make_layer(layer, scratch).descriptor)
    (blob,) = (path for path in scratch.rglob("data") if path.is_file())
    with store.ingest(descriptor) as partial, blob.open("rb") as file:
        while partial is not None and (chunk := file.read(MIB)):
            partial.write(chunk)
        if partial is not None:
            partial.commit()
    blob.unlink()
    return descriptor


def _add_document(store: LocalStore, document: Mapping[str, object], media_type: str) -> Descriptor:
    raw = json.dumps(document).encode()
    descriptor = Descriptor(media_type=media_type, digest=Digest.of(raw), size=len(raw))
    store.write(descriptor, raw)
    return descriptor


def _plain(descriptor: Descriptor) -> dict[str, Any]:
    return descriptor.model_dump(mode="json", by_alias=True, exclude_none=True)


def measure(folder: Path, rounds: int) -> dict[str, list[Usage]]:
    """What each way took, by round; another one begins each time, and no file of before is in the way."""
    names = list(WAYS)
    usages: dict[str, list[Usage]] = {name: [] for name in (ITSELF, *names)}
    for number in range(rounds):
        turn = number % len(names)
        for name in names[turn:] + names[:turn]:
            for own, usage in _run(name, folder):
                usages[own].append(usage)
                sys.stdout.write(f"{own}: {usage.wall:.2f} s, cpu {usage.cpu:.2f} s\n")
                sys.stdout.flush()
    return usages


def _run(name: str, folder: Path) -> Iterator[tuple[str, Usage]]:
    bundle, log = folder / "bundle.tar.zst", folder / "log"
    bundle.unlink(missing_ok=True)
    paths = {"LOCK": folder / "lock.json", "LAYOUT": folder / "layout", "BUNDLE": bundle}
    own = {"PYTHON": sys.executable, "PROGRAM": PROGRAM, **{key: str(path) for key, path in paths.items()}}
    warm(folder / "layout" / "blobs")
    os.sync()
    usage = run(WAYS[name], {**os.environ, **own}, log)
    yield name, usage
    if name == OURS:
        verify_bundle(bundle)
        wall, cpu = map(float, log.read_text().split())
        yield ITSELF, Usage(wall, cpu, usage.memory)


def to_markdown(usages: Mapping[str, Sequence[Usage]], size: int, load: float) -> str:
    """The figures and the ratios, each with its least and its greatest."""
    rows = [
        f"| {name} | {_spread([usage.wall for usage in taken])} | {_spread([usage.cpu for usage in taken])} |"
        for name, taken in usages.items()
    ]
    peers = [name for name in WAYS if name != OURS]
    ratios = [Ratio.of(usages[ITSELF], usages[peer], peer) for peer in peers]
    told = [
        f"| {each.peer} | {_told(each.wall)} | {_told(each.cpu)} | {'kept' if each.is_kept else '**not kept**'} |"
        for each in ratios
    ]
    rounds = len(usages[OURS])
    return (
        f"# Assembling\n\nMade by `python -m bench.assembly`; do not edit. {size / GIB:.2f} GiB of compressed layers, "
        f"{rounds} rounds in turns, layout in the page cache, {os.cpu_count()} processors with a load of {load:.1f} "
        "at the start. The middle of the rounds, with the least and the greatest.\n\n"
        "| | wall, s | cpu, s |\n|---|---|---|\n" + "\n".join(rows) + "\n\n"
        f"Assembling itself over theirs, within the same round; promised are at most {WALL:g} and {CPU:g}.\n\n"
        "| | wall | cpu | |\n|---|---|---|---|\n" + "\n".join(told) + "\n"
    )


def _spread(values: Sequence[float]) -> str:
    return _told(Spread.of(values))


def _told(spread: Spread) -> str:
    return f"{spread.median:.2f} ({spread.low:.2f} to {spread.high:.2f})"


@contextmanager
def _folder(wanted: Path | None) -> Iterator[Path]:
    """A folder on the disk of this project, which is gone in the end."""
    place = wanted or ROOT / "output"
    place.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="assembly-", dir=place) as folder:
        yield Path(folder)


if __name__ == "__main__":
    main()
