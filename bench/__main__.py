"""`python -m bench`: the engine beside its peers on the same data; see `--help`, and `make bench`."""

import argparse
import os
import platform
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from bench.clients import ENGINE_ALONE, KINDS, PEERS, Client, Kind, find_go_tools, flow
from bench.figures import MIB, ROUNDS, Results
from bench.image_layers import store_images
from bench.image_set import IMAGES, change_images, plan_images
from bench.plot import to_svg
from bench.prefect_server import embedded_server, running_server
from bench.registries import serving
from bench.report import Setting, to_markdown, to_text
from bench.rounds import WORKS, Account, Course, Failure, Sample, Source, Work, choose_parallel

ROOT = Path(__file__).parents[1]
LAYERS = (64 * MIB, 512 * MIB)  # between which memory must not grow
TOOLS = {"docker-registry": "Debian package docker-registry", "zstd": "Debian package zstd", "tar": "tar"}
_STARTED = time.monotonic()
FLOWS = ("command, Prefect running", "command, Prefect embedded")


@dataclass
class Measured:
    """What has been measured so far."""

    samples: list[Sample] = field(default_factory=list)
    accounts: list[Account] = field(default_factory=list)
    failures: list[Failure] = field(default_factory=list)
    parallel: dict[str, dict[Kind, int]] = field(default_factory=dict)
    tried: dict[str, dict[Kind, dict[int, float]]] = field(default_factory=dict)
    idle_flows: list[float] = field(default_factory=list)

    def add(self, outcome: Sample | Account | Failure) -> None:
        """Keep `outcome` and tell of it."""
        if isinstance(outcome, Failure):
            self.failures.append(outcome)
            tell(f"{outcome.client}, {outcome.work}: FAILED: {outcome.message}")
        elif isinstance(outcome, Account):
            self.accounts.append(outcome)
            tell(f"{outcome.client}, {outcome.work}: counted")
        else:
            self.samples.append(outcome)
            usage = outcome.usage
            tell(
                f"{outcome.client}, {outcome.work}: {usage.wall:.2f} s, cpu {usage.cpu:.2f} s, "
                f"{usage.memory / MIB:.0f} MiB"
            )


def main() -> None:
    """Measure, print, and write the results."""
    options = _options()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))  # leave through every `finally`
    find_go_tools()
    missing_tools = [f"{name} ({package})" for name, package in TOOLS.items() if not shutil.which(name)]
    if missing_tools:
        sys.exit(f"not on the PATH: {', '.join(missing_tools)}")
    measured = Measured()
    with _folder(options.folder) as folder:
        results, setting = _measure(options, folder, measured)
    output = options.output or (ROOT / "bench" if _is_whole(options) else folder)
    output.mkdir(parents=True, exist_ok=True)
    (output / "results.md").write_text(to_markdown(results, setting, measured.failures))
    (output / "results.svg").write_text(to_svg(results))
    sys.stdout.write(f"\n{to_text(results, measured.failures)}written to {output / 'results.md'}\n")
    if any(failure.client == ENGINE_ALONE.name for failure in measured.failures):
        sys.exit(1)


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m bench", description=__doc__)
    parser.add_argument("--scale", type=float, default=1.0, help="size of the image set; 1 is 1.2 GiB")
    parser.add_argument("--seed", type=int, default=1, help="another seed, other sizes")
    parser.add_argument("--rounds", type=int, default=ROUNDS, help="runs of each work (default: %(default)s)")
    parser.add_argument(
        "--only",
        default="",
        metavar="NAME,…",
        help="only these clients (edgelift, skopeo, crane, regctl, regsync, hauler, flows) or works (pull, push, copy)",
    )
    parser.add_argument("--parallel", type=int, help="peers run so many side by side, instead of the best of 2, 4, 8")
    parser.add_argument("--folder", type=Path, help="work here, and keep the image set (default: a temporary folder)")
    parser.add_argument("--output", type=Path, help="where results.md goes (default: bench, or FOLDER for a part)")
    return parser.parse_args()


def _measure(options: argparse.Namespace, folder: Path, measured: Measured) -> tuple[Results, Setting]:
    wanted = {name for name in options.only.split(",") if name}
    kinds = [kind for kind in KINDS if kind in wanted] or list(KINDS)
    names = wanted - set(KINDS)
    clients = [each for each in (ENGINE_ALONE, *PEERS) if not names or each.name in names]
    missing = [client for client in clients if not client.is_here()]
    for client in missing:
        tell(f"{client.name} is not on the PATH and is left out; to install it: {client.install}")
    clients = [client for client in clients if client.is_here()]
    with ExitStack() as stack:
        source = stack.enter_context(_source(options, folder))
        flows = list(_flows(stack, folder)) if not names or "flows" in names else []
        for client in clients:
            measured.parallel[client.name], measured.tried[client.name] = _settle(client, options, source, folder)
        for number in range(options.rounds):
            tell(f"round {number + 1} of {options.rounds}")
            if flows:
                measured.idle_flows.append(_idle_flow(flows[0]))
            for client in in_turn([*clients, *(flows if number % 2 == 0 else ())], number):
                for outcome in _course(client, source, folder, measured).timed(_works(client, kinds)):
                    measured.add(outcome)
        tell("counting bytes and requests, without a clock")
        for client in clients:
            for counted in _course(client, source, folder, measured).counted(_works(client, kinds)):
                measured.add(counted)
        layer_memory = _layer_memory() if ENGINE_ALONE in clients else {}
        results = Results(
            measured.samples,
            measured.accounts,
            peers=[client.name for client in clients if not client.is_ours],
            flows=[client.name for client in flows],
            images=IMAGES,
            unique=source.first.unique_bytes,
            rounds=options.rounds,
            layer_memory=layer_memory,
            idle_flows=measured.idle_flows,
        )
    setting = Setting(
        machine=list(_machine()),
        content=_content(options, source),
        clients=[*clients, *flows],
        missing=missing,
        versions={client.name: client.tell_version() for client in clients if not client.is_ours} | _versions(),
        parallel=measured.parallel,
        tried=measured.tried,
        floor=_own_peak(),
    )
    return results, setting


def in_turn(clients: Sequence[Client], number: int) -> list[Client]:
    """The order of round `number` (from 0): another begins each time, and every second round goes backwards."""
    turn = number % len(clients)
    order = [*clients[turn:], *clients[:turn]]
    return order[::-1] if number % 2 else order


def _works(client: Client, kinds: Sequence[Kind]) -> list[Work]:
    """The works of `client`; a push begins with what a pull leaves."""
    needed = {*kinds, "pull"} if "push" in kinds else set(kinds)
    return [work for work in WORKS if work.kind in needed and work.state in client.states]


def _course(client: Client, source: Source, folder: Path, measured: Measured) -> Course:
    return Course(client, source, folder / "work" / "client", measured.parallel.get(client.name, {}))


def _settle(
    client: Client, options: argparse.Namespace, source: Source, folder: Path
) -> tuple[dict[Kind, int], dict[Kind, dict[int, float]]]:
    if options.parallel is not None:
        return dict.fromkeys(client.parallel, options.parallel), {}
    return choose_parallel(client, source, folder / "work" / "client", tell)


@contextmanager
def _source(options: argparse.Namespace, folder: Path) -> Iterator[Source]:
    storage = folder / "images"
    tell(f"making {IMAGES} images, scale {options.scale:g}, seed {options.seed}")
    shutil.rmtree(storage, ignore_errors=True)
    images = plan_images(options.seed, options.scale)
    first, later = store_images(images, change_images(images), storage)
    with serving(storage, folder / "source") as host:
        tell(f"{first.unique_bytes / MIB:.0f} MiB, each blob once, at {host}")
        yield Source(host, storage, first, later)


def _flows(stack: ExitStack, folder: Path) -> Iterator[Client]:
    tell("starting Prefect")
    running = stack.enter_context(running_server(folder / "work" / "prefect"))
    yield flow(FLOWS[0], "the whole command, with a Prefect server that runs already", running.settings)
    embedded = embedded_server(folder / "work" / "prefect-embedded")
    yield flow(FLOWS[1], "the whole command, which starts Prefect's server itself", embedded)


@contextmanager
def _folder(wanted: Path | None) -> Iterator[Path]:
    """A folder on the disk of this project; what is in it is removed at the end."""
    if wanted is None:
        (ROOT / "output").mkdir(exist_ok=True)
        with tempfile.TemporaryDirectory(prefix="bench-", dir=ROOT / "output") as temporary:
            yield Path(temporary)
    else:
        wanted.mkdir(parents=True, exist_ok=True)
        try:
            yield wanted.absolute()
        finally:
            for name in ("work", "images", "source"):
                shutil.rmtree(wanted / name, ignore_errors=True)


def _is_whole(options: argparse.Namespace) -> bool:
    """Whether this is the benchmark that the project shows: all of it, at full size."""
    return not options.only and (options.scale, options.seed, options.parallel) == (1.0, 1, None)


def _content(options: argparse.Namespace, source: Source) -> str:
    images = plan_images(options.seed, options.scale)
    referenced = sum(layer.size for image in images for platform in image.platforms for layer in platform.layers)
    return (
        f"{IMAGES} images with {source.first.unique_bytes / MIB:,.0f} MiB of unique content (seed {options.seed}, "
        f"scale {options.scale:g}); counted as often as an image has it, {referenced / MIB:,.0f} MiB."
    )


def _layer_memory() -> dict[int, float]:
    """Peak memory of the engine by size of the only layer, in bytes."""
    tell("measuring memory with a small and with a large layer")
    sizes = [f"--{name}={size // MIB}" for name, size in zip(("small", "large"), LAYERS, strict=True)]
    environment = {name: value for name, value in os.environ.items() if name != "PREFECT_API_URL"}
    told = subprocess.run(  # noqa: S603 - our own interpreter
        [sys.executable, "-m", "bench.memory", *sizes], env=environment, capture_output=True, text=True, check=False
    )
    found = re.search(r"library alone: ([\d.]+) MiB .*?, ([\d.]+) MiB", told.stdout)
    if found is None:
        tell(f"not measured: {told.stderr[-500:]}")
        return {}
    return {size: float(value) * MIB for size, value in zip(LAYERS, found.groups(), strict=True)}


def _idle_flow(client: Client) -> float:
    """Seconds that a flow takes whose tasks, one for each image, do nothing, with the Prefect server of `client`."""
    begun = time.monotonic()
    command = [sys.executable, "-m", "bench.idle_flow", str(IMAGES)]
    subprocess.run(command, env={**os.environ, **client.environment}, check=True, capture_output=True)  # noqa: S603 - our own interpreter
    seconds = time.monotonic() - begun
    tell(f"{IMAGES} Prefect tasks that do nothing: {seconds:.2f} s")
    return seconds


def _machine() -> Iterator[str]:
    found = re.search(r"model name\s*: (.*)", Path("/proc/cpuinfo").read_text())
    model = found[1] if found else platform.machine()
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    yield f"{os.cpu_count()} processors ({model}), {memory / 2**30:.0f} GiB of memory"
    yield f"{platform.system()} {platform.release()}, Python {platform.python_version()}"


def _versions() -> dict[str, str]:
    commands = {"docker-registry": "--version", "zstd": "--version", "tar": "--version"}
    return {name: _first_line([name, option]) for name, option in commands.items()}


def _first_line(command: Sequence[str]) -> str:
    told = subprocess.run(command, capture_output=True, text=True, check=False)  # noqa: S603 - a fixed list
    return next(iter((told.stdout or told.stderr).splitlines()), "").strip("* ")


def _own_peak() -> int:
    """The most memory that this process has had, in bytes: what is measured of its children begins with that."""
    found = re.search(r"VmHWM:\s+(\d+) kB", Path("/proc/self/status").read_text())
    return int(found[1]) * 1024 if found else 0


def tell(line: str) -> None:
    """One line of progress, with the time since the start."""
    minutes, seconds = divmod(int(time.monotonic() - _STARTED), 60)
    sys.stdout.write(f"{minutes:02}:{seconds:02}  {line}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    main()
