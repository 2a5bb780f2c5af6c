"""From samples to figures: medians with their spread, ratios to the best peer, and what is promised of them. Pure."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from statistics import median
from typing import Any

from bench.clients import ENGINE, KINDS, Kind
from bench.rounds import WORKS, Account, Sample, Work

GIB = 2**30
MIB = 2**20
FIRST = {kind: Work(kind, "first") for kind in KINDS}
AGAIN = {kind: Work(kind, "again") for kind in KINDS}

# What is promised of the engine.
RATIO = 0.7  # of the best peer's wall time
WIRE = 1.01  # of the unique bytes
REQUESTS = 1.0  # per reference, with nothing to do
MEMORY = 150 * MIB
MEMORY_SLOPE = 8 * MIB  # more for a large layer than for a small one: an allocator's noise
FLOW_SECONDS, FLOW_SECONDS_PER_IMAGE = 3.0, 0.02
ROUNDS = 5
NEEDED_PEERS = ("skopeo", "crane", "regctl")


@dataclass(frozen=True)
class Spread:
    """The middle of several values, and the outermost ones."""

    median: float
    low: float
    high: float

    @classmethod
    def of(cls, values: Sequence[float]) -> "Spread":
        """Raises `StatisticsError` where there are no values."""
        return cls(median(values), min(values), max(values))


@dataclass(frozen=True)
class Figures:
    """What a client took for a work: seconds of wall and processor time, and bytes of memory."""

    wall: Spread
    cpu: Spread
    memory: Spread


@dataclass(frozen=True)
class Results:
    """All that was measured, and of what: `unique` are the bytes of the image set, each once."""

    samples: Sequence[Sample]
    accounts: Sequence[Account]
    peers: Sequence[str]
    flows: Sequence[str]
    images: int
    unique: int
    rounds: int
    layer_memory: Mapping[int, float]  # peak memory of our engine by size of a layer, both in bytes
    idle_flows: Sequence[float] = ()  # seconds of flows whose tasks, one for each image, do nothing

    def figures(self, client: str, work: Work) -> Figures | None:
        """The figures of all its runs of that work; None where it has none."""
        usages = [sample.usage for sample in self.samples if (sample.client, sample.work) == (client, work)]
        if not usages:
            return None
        columns = ([getattr(usage, name) for usage in usages] for name in ("wall", "cpu", "memory"))
        return Figures(*map(Spread.of, columns))

    def account(self, client: str, work: Work) -> Account | None:
        """What the work moved."""
        found = (each for each in self.accounts if (each.client, each.work) == (client, work))
        return next(found, None)

    def best_peer(self, work: Work, column: str = "wall") -> tuple[str, float] | None:
        """The peer with the least median of `column` (wall or cpu), and that median."""
        found = ((peer, self.figures(peer, work)) for peer in self.peers)
        medians = [(peer, getattr(figures, column).median) for peer, figures in found if figures is not None]
        return min(medians, key=lambda each: each[1], default=None)

    def ratio(self, client: str, work: Work) -> float | None:
        """The client's median wall time in those of the best peer."""
        figures, best = self.figures(client, work), self.best_peer(work)
        return figures.wall.median / best[1] if figures is not None and best is not None else None


@dataclass(frozen=True)
class Bound:
    """One promise: what is to be shown, what is allowed, and what it is; `is_met` is None where that cannot be said."""

    subject: str
    target: str
    figure: str
    is_met: bool | None

    @property
    def verdict(self) -> str:
        """In words."""
        return {True: "met", False: "NOT met", None: "told" if self.figure else "not measured"}[self.is_met]


def bounds(results: Results) -> list[Bound]:
    """Every promise of the engine, held against the results."""
    return [
        _rounds(results),
        *(_ratio(results, kind) for kind in KINDS),
        _cpu(results),
        *_wire(results),
        *_nothing_to_do(results),
        _memory(results),
        _memory_slope(results),
        *_idle_flows(results),
        *_flows(results),
    ]


def requests_of(tally: Mapping[str, Any], *, signatures: bool) -> int:
    """Requests without those that a login begins with, and with or without look-ups of signatures."""
    left_out = ("ping",) if signatures else ("ping", "signature")
    return sum(count for name, count in tally.get("requests", {}).items() if not name.endswith(left_out))


def blob_bytes(account: Account) -> int:
    """Bytes of blobs that went either way."""
    return sum(tally.get(name, 0) for tally in (account.source, account.target) for name in ("blobs_up", "blobs_down"))


def _rounds(results: Results) -> Bound:
    missing = [peer for peer in NEEDED_PEERS if peer not in results.peers]
    figure = f"{results.rounds} rounds with {', '.join(results.peers) or 'no peer'}"
    figure += f"; missing: {', '.join(missing)}" if missing else ""
    target = f"≥ {ROUNDS} rounds with {', '.join(NEEDED_PEERS)}"
    return Bound("what was measured", target, figure, results.rounds >= ROUNDS and not missing)


def _ratio(results: Results, kind: Kind) -> Bound:
    work, target = FIRST[kind], f"≤ {RATIO} of the best peer"
    subject, ratio, best = f"{TITLES[kind]}, wall time", results.ratio(ENGINE, work), results.best_peer(work)
    if ratio is None or best is None:
        return Bound(subject, target, "", None)
    named = replace(results, peers=[peer for peer in results.peers if peer in NEEDED_PEERS])
    figure, others = f"{ratio:.2f} of {best[0]}", named.best_peer(work)
    if others is not None and others[0] != best[0]:
        figure += f"; {ratio * best[1] / others[1]:.2f} of {others[0]}"
    return Bound(subject, target, figure, ratio <= RATIO)


def _cpu(results: Results) -> Bound:
    subject, target = "processor seconds per GiB pulled", "≤ the best peer's"
    ours, best = results.figures(ENGINE, FIRST["pull"]), results.best_peer(FIRST["pull"], "cpu")
    if ours is None or best is None:
        return Bound(subject, target, "", None)
    mine, theirs = (seconds * GIB / results.unique for seconds in (ours.cpu.median, best[1]))
    return Bound(subject, target, f"{mine:.2f} s against {theirs:.2f} s of {best[0]}", mine <= theirs)


def _wire(results: Results) -> Iterator[Bound]:
    for kind, side, way in _WIRES:
        subject, target = f"{TITLES[kind]}, bytes {way} the wire", f"≤ {WIRE} times the unique bytes"
        account = results.account(ENGINE, FIRST[kind])
        if account is None:
            yield Bound(subject, target, "", None)
            continue
        ratio = getattr(account, side)[way] / results.unique
        yield Bound(subject, target, f"{ratio:.4f} times", ratio <= WIRE)


def _nothing_to_do(results: Results) -> Iterator[Bound]:
    for kind, work in AGAIN.items():
        subject = f"{TITLES[kind]} with nothing to do"
        target = f"0 blob bytes, ≤ {REQUESTS:g} request per reference at a registry"
        account = results.account(ENGINE, work)
        if account is None:
            yield Bound(subject, target, "", None)
            continue
        tallies = {name: getattr(account, name) for name in ("source", "target") if getattr(account, name)}
        plain, signed = (
            {name: requests_of(tally, signatures=each) / results.images for name, tally in tallies.items()}
            for each in (False, True)
        )
        counts = ", ".join(
            f"{count:.2f} at the {name} ({_with_signatures(count, signed[name])})" for name, count in plain.items()
        )
        moved = blob_bytes(account)
        is_met = moved == 0 and max(plain.values(), default=0) <= REQUESTS
        yield Bound(subject, target, f"{moved:,} bytes; {counts}", is_met)


def _with_signatures(plain: float, signed: float) -> str:
    return f"{signed:.2f} with look-ups of signatures" if signed > plain else "it looks up no signatures"


def _memory(results: Results) -> Bound:
    found = (results.figures(ENGINE, work) for work in WORKS)
    peak = max((figures.memory.high for figures in found if figures is not None), default=None)
    target = f"≤ {MEMORY / MIB:.0f} MiB"
    if peak is None:
        return Bound("peak memory, any work", target, "", None)
    return Bound("peak memory, any work", target, f"{peak / MIB:.0f} MiB", peak <= MEMORY)


def _memory_slope(results: Results) -> Bound:
    subject, target = "peak memory and the size of a layer", f"≤ {MEMORY_SLOPE / MIB:.0f} MiB apart"
    if len(results.layer_memory) < 2:  # noqa: PLR2004 - a difference has two sides
        return Bound(subject, target, "", None)
    small, large = min(results.layer_memory), max(results.layer_memory)
    low, high = results.layer_memory[small], results.layer_memory[large]
    figure = f"{low / MIB:.1f} MiB with {small // MIB} MiB, {high / MIB:.1f} MiB with {large // MIB} MiB"
    return Bound(subject, target, figure, high - low <= MEMORY_SLOPE)


def _idle_flows(results: Results) -> Iterator[Bound]:
    if results.idle_flows:
        spread = Spread.of(results.idle_flows)
        figure = f"{spread.median:.1f} s ({spread.low:.1f} to {spread.high:.1f})"
        yield Bound(f"{results.images} Prefect tasks that do nothing, Prefect running", "no bound", figure, None)


def _flows(results: Results) -> Iterator[Bound]:
    allowed = FLOW_SECONDS + FLOW_SECONDS_PER_IMAGE * results.images
    for place, flow in enumerate(results.flows):
        for kind in KINDS:
            subject, whole = f"{FLOW_COMMANDS[kind]}, {flow}", results.figures(flow, FIRST[kind])
            alone = results.figures(ENGINE, FIRST[kind])
            target = f"≤ {allowed:.1f} s more than the library" if place == 0 else "no bound"
            if whole is None or alone is None:
                yield Bound(subject, target, "", None)
                continue
            more = whole.wall.median - alone.wall.median
            figure = f"{whole.wall.median:.1f} s, {more:+.1f} s"
            yield Bound(subject, target, figure, more <= allowed if place == 0 else None)


FLOW_COMMANDS: Mapping[Kind, str] = {
    "pull": "edgelift build",
    "push": "edgelift push",
    "copy": "edgelift sync (direct)",
}
_WIRES: Sequence[tuple[Kind, str, str]] = (
    ("pull", "source", "down"),
    ("push", "target", "up"),
    ("copy", "source", "down"),
    ("copy", "target", "up"),
)
TITLES: Mapping[Kind, str] = {
    "pull": "pull into a bundle",
    "push": "push from a bundle",
    "copy": "registry to registry",
}
