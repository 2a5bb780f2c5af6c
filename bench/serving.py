"""`edgelift serve` beside `docker-registry`: the same blobs, side by side: `python -m bench.serving [--size MIB]`.

The bundle is served as it is, the registry has the blobs as files; a quick client reads them from both in turn, one at
a time and eight at a time. Layers that are compressed already lie in the bundle as raw frames, plain tars as compressed
ones. Figures and the bound go into bench/serving.md.
"""

import argparse
import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from bench.engine import pull
from bench.figures import MIB, Spread
from bench.image_layers import store_images
from bench.image_set import Image, Layer, LayerKind, Platform
from bench.registries import dying_with_us, serving
from edgelift.access import open_registries
from edgelift.bundle.reader import BundleReader
from edgelift.oci.reference import ImageReference
from edgelift.serve.pinned import repository_name
from edgelift.site import RegistryAccess

ROOT = Path(__file__).parents[1]
BOUND = 0.5  # of the registry's throughput, at least
READERS = (1, 8)
KINDS: Mapping[str, LayerKind] = {"raw frames": "gzip", "compressed frames": "tar"}
SERVERS = ("edgelift serve", "docker-registry")
_LAYERS = 8
_WARM_UP = 1  # rounds that do not count


@dataclass(frozen=True)
class Case:
    """What is read, and by how many at a time."""

    kind: str
    readers: int


Figures = dict[Case, dict[str, list[float]]]  # MiB/s of each round, by server


def main() -> None:
    """Measure, print, and write the results."""
    parser = argparse.ArgumentParser(prog="python -m bench.serving", description=__doc__)
    parser.add_argument("--size", type=int, default=128, help=f"MiB of each of the {_LAYERS} layers of a kind")
    parser.add_argument("--rounds", type=int, default=7, help="how often each is read (default: %(default)s)")
    parser.add_argument("--output", type=Path, default=ROOT / "bench" / "serving.md", help="where the results go")
    options = parser.parse_args()
    if not shutil.which("docker-registry"):
        sys.exit("not on the PATH: docker-registry (Debian package docker-registry)")
    load = os.getloadavg()[0]
    (ROOT / "output").mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="serving-", dir=ROOT / "output") as folder:
        figures = measure(Path(folder), options.size, options.rounds)
    text = to_markdown(figures, options.size, options.rounds, load)
    options.output.write_text(text)
    sys.stdout.write(f"{text}written to {options.output}\n")
    if not all(ratio(each).median >= BOUND for each in figures.values()):
        sys.exit(1)


def measure(folder: Path, size: int, rounds: int) -> Figures:
    """MiB/s of both servers, round by round; each begins every second round."""
    images = [_image(kind, layer_kind, size * MIB) for kind, layer_kind in KINDS.items()]
    store_images(images, (), folder / "images")
    with serving(folder / "images", folder / "registry") as registry:
        bundle = folder / "served.tar.zst"
        with open_registries(RegistryAccess(docker_config=False)) as connections:
            pull(connections, [f"{registry}/{each.repository}:{each.tag}" for each in images], folder / "store", bundle)
        shutil.rmtree(folder / "store")
        paths = _paths(bundle)
        with _serving_bundle(bundle, folder / "log") as ours:
            hosts = dict(zip(SERVERS, (ours, registry), strict=True))
            return _rounds(hosts, paths, rounds)


def ratio(rates: Mapping[str, Sequence[float]]) -> Spread:
    """Our throughput over the registry's, round by round."""
    ours, theirs = (rates[server] for server in SERVERS)
    return Spread.of([mine / other for mine, other in zip(ours, theirs, strict=True)])


def to_markdown(figures: Figures, size: int, rounds: int, load: float) -> str:
    """The results as a document; `load` is what the machine had to do besides."""
    lines = [
        "# `edgelift serve` beside `docker-registry`",
        "",
        f"Made by `python -m bench.serving`; do not edit. {_LAYERS} blobs of {size} MiB of each kind, in the page "
        f"cache; medians of {rounds} rounds in turn, with the least and the greatest. Client and servers share the "
        "machine's processors. `serve` has hashed every blob in a round before and checks it by a checksum; "
        f"the registry checks nothing. {os.cpu_count()} processors, load average before: {load:.1f}.",
        "",
        f"| blobs | readers | {' | '.join(f'{server}, MiB/s' for server in SERVERS)} | ratio | at least {BOUND} |",
        "|---|---|---|---|---|---|",
    ]
    for case, rates in figures.items():
        shown = " | ".join(_shown(Spread.of(rates[server]), 0) for server in SERVERS)
        kept = "kept" if ratio(rates).median >= BOUND else "**not kept**"
        lines.append(f"| {case.kind} | {case.readers} | {shown} | {_shown(ratio(rates), 2)} | {kept} |")
    return "\n".join(lines) + "\n"


def _shown(spread: Spread, digits: int) -> str:
    return f"{spread.median:,.{digits}f} ({spread.low:,.{digits}f} to {spread.high:,.{digits}f})"


def _rounds(hosts: Mapping[str, str], paths: Mapping[str, Mapping[str, Sequence[str]]], rounds: int) -> Figures:
    cases = [Case(kind, readers) for kind in KINDS for readers in READERS]
    figures: Figures = {case: {server: [] for server in SERVERS} for case in cases}
    for number in range(-_WARM_UP, rounds):
        for case in cases:
            for server in SERVERS if number % 2 else SERVERS[::-1]:
                rate = _rate(hosts[server], case.readers, paths[case.kind][server])
                if number >= 0:
                    figures[case][server].append(rate)
    return figures


def _rate(host: str, readers: int, paths: Sequence[str]) -> float:
    """MiB/s of reading `paths` once."""
    command = [sys.executable, "-m", "bench.reader", host, str(readers), *paths]
    told = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True, cwd=ROOT)  # noqa: S603 - our own interpreter
    seconds, size = told.stdout.split()
    return int(size) / MIB / float(seconds)


def _image(name: str, kind: LayerKind, size: int) -> Image:
    layers = tuple(Layer(f"served {kind} {number}", kind, size) for number in range(_LAYERS))
    return Image(_repository(name), "1", (Platform("amd64", layers),))


def _repository(name: str) -> str:
    return f"served/{name.replace(' ', '-')}"


def _paths(bundle: Path) -> dict[str, dict[str, list[str]]]:
    """The paths of the layers by kind and server."""
    found: dict[str, dict[str, list[str]]] = {}
    with BundleReader.open(bundle) as reader:
        for image in reader.lock.images:
            reference = ImageReference.parse(image.reference)
            kind = next(kind for kind in KINDS if reference.repository == _repository(kind))
            layers = [blob.digest for blob in image.blobs if ".layer." in blob.media_type]
            names = dict(zip(SERVERS, (repository_name(reference), reference.repository), strict=True))
            found[kind] = {
                server: [f"/v2/{name}/blobs/{digest}" for digest in layers] for server, name in names.items()
            }
    return found


@contextmanager
def _serving_bundle(bundle: Path, log: Path) -> Iterator[str]:
    """`edgelift serve` over `bundle`; gives its host."""
    edgelift = str(Path(sys.executable).with_name("edgelift"))
    command = [*dying_with_us(), edgelift, "serve", str(bundle), "--port", "0"]
    with log.open("wb") as said:
        process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=said, stderr=subprocess.PIPE, text=True)  # noqa: S603 - a fixed command
    try:
        found = re.search(r"127\.0\.0\.1:\d+", process.stderr.readline() if process.stderr else "")
        if found is None:
            raise RuntimeError("edgelift serve does not start")
        yield found[0]
    finally:
        process.kill()
        process.wait()


if __name__ == "__main__":
    main()
