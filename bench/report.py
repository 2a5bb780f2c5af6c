"""The results as Markdown: tables of figures, what was moved, and which promises hold. Pure: values in, text out."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from bench.clients import ENGINE, KINDS, STATES, Client, Kind
from bench.figures import GIB, MIB, TITLES, Results, Spread, blob_bytes, bounds
from bench.rounds import Failure, Work

_STATES = {"first": "from nothing", "again": "again, with nothing to do", "changed": "with 5 % of the images changed"}
_SIDES: Mapping[str, str] = {"source": "source", "target": "target"}


@dataclass(frozen=True)
class Setting:
    """Where and on what it was measured, and how each client was set."""

    machine: Sequence[str]
    content: str
    clients: Sequence[Client]
    missing: Sequence[Client]
    versions: Mapping[str, str]
    parallel: Mapping[str, Mapping[Kind, int]]
    tried: Mapping[str, Mapping[Kind, Mapping[int, float]]]
    floor: int  # bytes; a client's memory below that cannot be told


def to_markdown(results: Results, setting: Setting, failures: Sequence[Failure]) -> str:
    """The whole document."""
    parts = [
        "# Benchmark of the transfer engine",
        f"Made by `make bench`; do not edit. {setting.content}",
        "![Wall time of each work](results.svg)",
        "## Promises",
        _table(
            ("what", "promised", "measured", ""),
            ((each.subject, each.target, each.figure, f"**{each.verdict}**") for each in bounds(results)),
        ),
        *([f"## Failed\n\n{_failures(failures)}"] if failures else []),
        "## Wall time, processor time and memory",
        "Median of the rounds, with the least and the greatest, and the ratio to the quickest peer. Processor time is "
        "that of all processes of the client, not of the registries; memory is the peak of its largest process "
        f"(below {setting.floor / MIB:.0f} MiB it cannot be told).",
        *_figures(results, setting.clients),
        "## What was moved",
        "From one more run without a clock, through forwarders that count. Bytes are those of the connections, heads "
        "included; requests leave out the `GET /v2/` that a login begins with. Memory is the peak of all processes of "
        "the client together; disk is by how much its folder grew at most.",
        *_accounts(results, setting.clients),
        "## How it was measured",
        _method(results, setting),
    ]
    return "\n\n".join(parts) + "\n"


def to_text(results: Results, failures: Sequence[Failure]) -> str:
    """A short form for the terminal: wall times, and which promises hold."""
    clients = [ENGINE, *results.peers, *results.flows]
    lines = []
    for work in _works():
        told = [
            f"{client} {figures.wall.median:.2f} s{_ratio(results, client, work)}"
            for client in clients
            if (figures := results.figures(client, work)) is not None
        ]
        lines += [f"{TITLES[work.kind]}, {_STATES[work.state]}: {', '.join(told)}"] if told else []
    lines += [f"{each.verdict:12}  {each.subject}: {each.figure} ({each.target})" for each in bounds(results)]
    lines += [f"FAILED        {each.client}, {each.work}: {each.message}" for each in failures]
    return "\n".join(lines) + "\n"


def _figures(results: Results, clients: Sequence[Client]) -> Iterator[str]:
    for work in _works():
        rows = []
        for client in clients:
            figures = results.figures(client.name, work)
            if figures is not None:
                per_gib = f"{figures.cpu.median * GIB / results.unique:.2f}" if work.state == "first" else ""
                ratio = _ratio(results, client.name, work).strip(" ()")
                memory = f"{figures.memory.high / MIB:.0f}"
                rows.append((client.name, _spread(figures.wall), ratio, _spread(figures.cpu), per_gib, memory))
        if rows:
            yield f"### {TITLES[work.kind].capitalize()}, {_STATES[work.state]}"
            yield _table(("client", "wall, s", "ratio", "cpu, s", "cpu, s/GiB", "memory, MiB"), rows)


def _spread(values: Spread) -> str:
    return f"{values.median:.2f} ({values.low:.2f} to {values.high:.2f})"


def _ratio(results: Results, client: str, work: Work) -> str:
    ratio = results.ratio(client, work)
    return f" ({ratio:.2f})" if ratio is not None else ""


def _accounts(results: Results, clients: Sequence[Client]) -> Iterator[str]:
    for work in _works():
        rows = []
        for client in clients:
            account = results.account(client.name, work)
            if account is None:
                continue
            wire = (f"{tally.get(way, 0) / MIB:.1f}" for way in ("down", "up") for tally in [_sum(account, way)])
            requests = "; ".join(
                f"{side}: {_requests(getattr(account, side))}" for side in _SIDES if getattr(account, side)
            )
            peaks = (f"{value / MIB:.0f}" for value in (account.peaks.memory, account.peaks.disk))
            bundle = f"{account.bundle / MIB:.0f}" if work.kind == "pull" else ""
            rows.append((client.name, *wire, f"{blob_bytes(account) / MIB:.1f}", *peaks, bundle, requests))
        if rows:
            yield f"### {TITLES[work.kind].capitalize()}, {_STATES[work.state]}"
            columns = ("client", "down, MiB", "up, MiB", "blobs, MiB", "memory, MiB", "disk, MiB", "bundle, MiB")
            yield _table((*columns, "requests"), rows)


def _sum(account: Any, way: str) -> dict[str, int]:
    return {way: sum(getattr(account, side).get(way, 0) for side in _SIDES)}


def _requests(tally: Mapping[str, Any]) -> str:
    counts = {name: count for name, count in tally["requests"].items() if not name.endswith("ping")}
    total = sum(counts.values())
    return f"{total} ({', '.join(f'{count} {name}' for name, count in sorted(counts.items()))})" if counts else "0"


def _method(results: Results, setting: Setting) -> str:
    lines = [f"- {line}" for line in setting.machine]
    lines += [f"- {name}: {version}" for name, version in setting.versions.items() if version]
    lines += [f"- **missing: {client.name}**, not on the PATH; {client.install}" for client in setting.missing]
    lines += [
        f"- {results.rounds} rounds; in each every client does all works, in an order that changes with the round. "
        "Registries are `docker-registry` processes on loopback; every push and copy begins with a new, empty one, and "
        "after each the tags are compared with the source's digests.",
        "- Before each run the source registry's storage (or the bundle) is read once, so that it is in the page "
        "cache, and `sync` is called. Our engine brings each file it makes to the disk (fsync); a peer's pull ends "
        "with `sync -f`. What a peer unpacks for a push need not be durable.",
        "- Peers pull into an OCI layout, then `tar | zstd -3 -T0`; for a push they `zstd -d | tar -x` first.",
    ]
    lines += [_client_line(client, setting) for client in setting.clients if client.remark]
    return "\n".join(lines)


def _client_line(client: Client, setting: Setting) -> str:
    chosen, tried = setting.parallel.get(client.name, {}), setting.tried.get(client.name, {})
    told = []
    for kind in KINDS:
        if kind in chosen:
            walls = ", ".join(f"{each}: {wall:.1f} s" for each, wall in tried.get(kind, {}).items())
            told.append(f"N = {chosen[kind]} for {kind}{f' ({walls})' if walls else ''}")
    settings = f" {'; '.join(told)}; tried once, with a sixth of the images." if tried else ""
    return f"- {client.name}: {client.remark}.{settings}"


def _failures(failures: Sequence[Failure]) -> str:
    return "\n".join(f"- {each.client}, {each.work}: {' '.join(each.message.split())}" for each in failures)


def _works() -> Iterator[Work]:
    return (Work(kind, state) for kind in KINDS for state in STATES)


def _table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join(f"| {' | '.join(cell.replace('|', '/') for cell in line)} |" for line in lines)
