"""Peak memory of a build, for a small and for a large layer: `python -m bench.memory [--small MIB] [--large MIB]`.

Serves one image per size from a registry on loopback, then measures VmHWM (Linux) of a process of its own for
each: the library alone (plan, pull, assemble, push), and `edgelift build` against a Prefect server that runs already
(PREFECT_API_URL, see `edgelift up`). What matters is the difference between the sizes.
"""

import argparse
import hashlib
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from edgelift.oci.digest import Digest
from edgelift.oci.manifest import OCI_MANIFEST, parse_manifest
from edgelift.serve.directory import DirectoryContent
from edgelift.serve.registry import create_registry
from edgelift.serve.server import RunningServer

MIB = 2**20
LAYER = "application/vnd.oci.image.layer.v1.tar+gzip"
CONFIG = "application/vnd.oci.image.config.v1+json"

AT_EXIT = """
import atexit, re
from pathlib import Path

def note_peak():
    status = Path("/proc/self/status").read_text()
    Path("{note}").write_text(re.search(r"VmHWM:\\s+(\\d+) kB", status)[1])

atexit.register(note_peak)
"""
# What is registered last is called first: the command line ends the process with what it has registered at its import.
COMMAND = """
from edgelift.cli import main
{at_exit}
main()
"""
LIBRARY = """
import sys
from pathlib import Path
from bench.engine import pull, push
from edgelift.access import open_registries
from edgelift.site import RegistryAccess
{at_exit}
reference, target, folder = sys.argv[1], sys.argv[2], Path(sys.argv[3])
with open_registries(RegistryAccess(docker_config=False)) as connections:
    pull(connections, [reference], folder / "store", folder / "bundle.tar.zst")
    push(connections, folder / "bundle.tar.zst", target)
"""


def main() -> None:
    """Measure and print a table."""
    parser = argparse.ArgumentParser(prog="python -m bench.memory", description=__doc__)
    parser.add_argument("--small", type=int, default=64, help="size of the small layer, MiB")
    parser.add_argument("--large", type=int, default=2048, help="size of the large layer, MiB")
    sizes = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="edgelift-memory-") as folder:
        rows = dict(measure(Path(folder), (sizes.small, sizes.large)))
    for what in ("library alone", "edgelift build"):
        small, large = rows[what, sizes.small], rows[what, sizes.large]
        if small and large:
            sys.stdout.write(
                f"{what}: {small:.1f} MiB for a layer of {sizes.small} MiB, {large:.1f} MiB for {sizes.large} MiB, "
                f"difference {large - small:+.1f} MiB\n"
            )
        else:
            sys.stdout.write(f"{what}: not measured, PREFECT_API_URL names no running server\n")


def measure(folder: Path, sizes: tuple[int, ...]) -> Iterator[tuple[tuple[str, int], float]]:
    """Peak memory in MiB of each way to build, for each size; 0 where it could not be measured."""
    for size in sizes:
        place = folder / str(size)
        with serving(place / "source", size) as (source, target):
            reference = f"{source}/large:1"
            yield ("library alone", size), peak(LIBRARY, reference, target, str(place))
            folders = ("--store", str(place / "flow"), "--output", str(place / "out"))
            build = ("build", "--name", "large", "--image", reference, *folders, "--quiet")
            yield ("edgelift build", size), peak(COMMAND, *build) if "PREFECT_API_URL" in os.environ else 0.0


def peak(code: str, *arguments: str) -> float:
    """The most memory (VmHWM, MiB) of a process that runs `code`; not `ru_maxrss`, which counts its parent's, too."""
    with tempfile.NamedTemporaryFile("r") as note:
        program = code.format(at_exit=AT_EXIT.format(note=note.name))
        subprocess.run([sys.executable, "-c", program, *arguments], check=True)  # noqa: S603 - our own interpreter
        return int(note.read()) / 1024


@contextmanager
def serving(folder: Path, size: int) -> Iterator[tuple[str, str]]:
    """A registry with one image of one layer of `size` MiB, and an empty one, each in a process of its own."""
    fill(DirectoryContent(folder), size)
    with served(folder) as source, served(folder.with_name("target")) as target:
        yield source, target


@contextmanager
def served(folder: Path) -> Iterator[str]:
    """`folder` as a registry; gives its host."""
    code = "import sys; from bench.memory import serve_folder; serve_folder(sys.argv[1])"
    process = subprocess.Popen(  # noqa: S603 - our own interpreter
        [sys.executable, "-c", code, str(folder)], stdout=subprocess.PIPE, stdin=subprocess.PIPE, text=True
    )
    try:
        yield process.stdout.readline().strip() if process.stdout else ""
    finally:
        process.communicate("\n")


def serve_folder(folder: str) -> None:
    """Serve `folder` until a line comes on standard input; the host is printed first."""
    with RunningServer(create_registry(DirectoryContent(Path(folder)))) as server:
        sys.stdout.write(f"{server.host}\n")
        sys.stdout.flush()
        sys.stdin.readline()


def fill(content: DirectoryContent, size: int) -> None:
    """Put an image with one incompressible layer of `size` MiB into `content`, as `large:1`."""
    config = b'{"architecture":"amd64","os":"linux"}'
    session, hasher = content.begin_upload("large"), hashlib.sha256()
    for number in range(size):
        chunk = hashlib.shake_256(str(number).encode()).digest(MIB)
        hasher.update(chunk)
        content.append_upload("large", session, number * MIB, chunk)
    layer = Digest(f"sha256:{hasher.hexdigest()}")
    content.commit_upload("large", session, layer)
    session = content.begin_upload("large")
    content.append_upload("large", session, 0, config)
    content.commit_upload("large", session, Digest.of(config))
    document = {
        "schemaVersion": 2,
        "mediaType": OCI_MANIFEST,
        "config": {"mediaType": CONFIG, "digest": Digest.of(config), "size": len(config)},
        "layers": [{"mediaType": LAYER, "digest": layer, "size": size * MIB}],
    }
    content.write_manifest("large", parse_manifest(json.dumps(document).encode(), OCI_MANIFEST), "1")


if __name__ == "__main__":
    main()
