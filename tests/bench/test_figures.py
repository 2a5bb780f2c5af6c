"""Figures, promises, and how they are written: computed from samples, never said beforehand."""

import xml.etree.ElementTree as ET
from collections import Counter
from dataclasses import replace

import pytest

from bench.__main__ import in_turn
from bench.clients import ENGINE_ALONE, KINDS, PEERS, STATES
from bench.figures import FLOW_COMMANDS, GIB, MIB, Bound, Results, Spread, bounds, requests_of
from bench.measure import Peaks, Usage
from bench.plot import to_svg
from bench.report import Setting, to_markdown, to_text
from bench.rounds import WORKS, Account, Failure, Sample, Work

RUNNING, EMBEDDED = "Prefect running", "Prefect embedded"


def make_results(
    ours: float = 1.0, peer: float = 2.0, cpu: float = 1.0, memory: int = 80 * MIB, flow: float = 3.0
) -> Results:
    """Three rounds in which everything takes us `ours` seconds, the best peer `peer`, and commands `flow` more."""
    samples = [
        Sample(client, work, Usage(wall + spread, seconds, held))
        for work in WORKS
        for spread in (-0.1, 0.0, 0.3)
        for client, wall, seconds, held in (
            ("edgelift", ours, cpu, memory),
            ("crane", peer, 2.0, 30 * MIB),
            ("skopeo", peer + 1, 1.5, 30 * MIB),
            ("regctl", peer + 2, 3.0, 30 * MIB),
        )
    ]
    samples += [
        Sample(client, Work(kind, "first"), Usage(ours + flow, cpu, memory))
        for client in (RUNNING, EMBEDDED)
        for kind in KINDS
    ]
    return Results(
        samples,
        [make_account(work) for work in WORKS],
        peers=("skopeo", "crane", "regctl"),
        flows=(RUNNING, EMBEDDED),
        images=60,
        unique=GIB,
        rounds=5,
        layer_memory={64 * MIB: 70.0 * MIB, 512 * MIB: 71.0 * MIB},
    )


def make_account(work: Work) -> Account:
    """What a perfect engine moves."""
    moved = GIB if work.state == "first" else 0
    down = make_tally(down=moved + 1000, blobs_down=moved) if work.kind != "push" else {}
    up = make_tally(up=moved + 1000, blobs_up=moved) if work.kind != "pull" else {}
    return Account("edgelift", work, Peaks(80 * MIB, GIB), down, up, GIB)


def make_tally(**counts: int) -> dict[str, object]:
    """A tally as a forwarder gives it, with one request for each of 60 references."""
    none = {"up": 0, "down": 0, "blobs_up": 0, "blobs_down": 0}
    return none | counts | {"requests": {"GET ping": 1, "HEAD manifest by tag": 60}}


def test_the_middle_and_the_outermost_values() -> None:
    """A spread is not bent by one slow run."""
    assert Spread.of([3.0, 1.0, 100.0]) == Spread(3.0, 1.0, 100.0)


def test_an_engine_that_keeps_all_promises() -> None:
    """Every line says so; what is only told has no bound."""
    verdicts = {bound.subject: bound.verdict for bound in bounds(make_results())}

    assert {subject for subject, verdict in verdicts.items() if verdict == "told"} == {
        f"{command}, {EMBEDDED}" for command in FLOW_COMMANDS.values()
    }
    assert {*verdicts.values()} == {"met", "told"}


@pytest.mark.parametrize(
    ("results", "broken"),
    [
        (make_results(ours=1.5), {"pull into a bundle, wall time", "push from a bundle, wall time"}),
        (make_results(cpu=1.6), {"processor seconds per GiB pulled"}),
        (make_results(memory=151 * MIB), {"peak memory, any work"}),
        (make_results(flow=4.3), {"edgelift build, Prefect running", "edgelift push, Prefect running"}),
        (replace(make_results(), rounds=4), {"what was measured"}),
        (replace(make_results(), peers=("skopeo", "crane")), {"what was measured"}),
        (replace(make_results(), layer_memory={1: 70.0 * MIB, 2: 90.0 * MIB}), {"peak memory and the size of a layer"}),
    ],
    ids=["slow", "busy", "large", "slow command", "few rounds", "a peer is missing", "grows with the layer"],
)
def test_a_broken_promise_is_told(results: Results, broken: set[str]) -> None:
    """The line of that promise says that it is not met."""
    assert broken <= {bound.subject for bound in bounds(results) if bound.verdict == "NOT met"}


@pytest.mark.parametrize(
    "tally",
    [
        make_tally(blobs_down=1),
        make_tally() | {"requests": {"HEAD manifest by tag": 61}},
    ],
    ids=["one byte of a blob", "one request too many"],
)
def test_doing_something_when_there_is_nothing_to_do_is_told(tally: dict[str, object]) -> None:
    """A re-run moves no blob and asks once per reference."""
    results = make_results()
    accounts = [
        replace(each, source=tally) if each.work == Work("pull", "again") else each for each in results.accounts
    ]
    told = {bound.subject: bound.verdict for bound in bounds(replace(results, accounts=accounts))}

    assert told["pull into a bundle with nothing to do"] == "NOT met"
    assert told["push from a bundle with nothing to do"] == "met"


def test_what_was_not_measured_is_neither_met_nor_broken() -> None:
    """A run with some clients or works only promises nothing of the others."""
    results = replace(make_results(), samples=[], accounts=[], layer_memory={})
    verdicts = {bound.subject: bound.verdict for bound in bounds(results)}

    assert verdicts.pop("what was measured") == "met"
    assert set(verdicts.values()) == {"not measured"}


def test_logins_and_signatures_are_counted_apart() -> None:
    """The first figure leaves both out, the second has the look-ups of signatures."""
    tally = {"requests": Counter({"GET ping": 3, "HEAD manifest by tag": 5, "GET signature": 2})}

    assert requests_of(tally, signatures=False) == 5
    assert requests_of(tally, signatures=True) == 7


def test_the_ratio_names_the_peers_that_are_asked_for_too() -> None:
    """Where another peer is quicker than all of them, the line tells both ratios and is held against the smaller."""
    results = make_results(ours=1.0, peer=2.0)
    others = [Sample("regsync", each.work, Usage(1.25, 1.0, MIB)) for each in results.samples if each.client == "crane"]
    more = replace(results, samples=[*results.samples, *others], peers=(*results.peers, "regsync"))
    told = {bound.subject: bound for bound in bounds(more)}["pull into a bundle, wall time"]

    assert (told.figure, told.verdict) == ("0.80 of regsync; 0.50 of crane", "NOT met")


def test_the_document_names_promises_peers_and_what_is_missing() -> None:
    """Computed verdicts, ratios to the best peer, the settings, missing peers and failures are all in it."""
    failure = Failure("crane", Work("push", "changed"), "exit code 1:\nno such host")
    text = to_markdown(make_results(ours=1.5), make_setting(), [failure])

    assert "| pull into a bundle, wall time | ≤ 0.7 of the best peer | 0.75 of crane | **NOT met** |" in text
    assert "| edgelift | 1.50 (1.40 to 1.80) | 0.75 | 1.00 (1.00 to 1.00) | 1.00 | 80 |" in text
    assert "**missing: hauler**" in text
    assert "N = 4 for push (2: 3.0 s, 4: 2.0 s)" in text
    assert "- crane, push, changed: exit code 1: no such host" in text


def test_the_terminal_gets_the_same_verdicts() -> None:
    """One line for each promise."""
    results = make_results(ours=1.5)
    text = to_text(results, [])

    assert all(f"{bound.verdict:12}  {bound.subject}" in text for bound in bounds(results))


def test_the_plot_is_well_formed_and_has_a_bar_for_each_client_and_work() -> None:
    """It also brings its colours for light and dark pages itself."""
    svg = to_svg(make_results())
    rectangles = [each for each in ET.fromstring(svg).iter() if each.tag.endswith("rect")]

    assert len(rectangles) == 1 + 4 * len(WORKS)
    assert "prefers-color-scheme: dark" in svg


def test_every_client_begins_once() -> None:
    """No client always runs first, or always after the same other."""
    clients = (ENGINE_ALONE, *PEERS)[:5]
    orders = [[client.name for client in in_turn(clients, number)] for number in range(5)]

    assert len({tuple(order) for order in orders}) == 5
    assert all(sorted(order) == sorted(orders[0]) for order in orders)


def test_every_client_does_every_kind_of_work() -> None:
    """And each peer says how to get it."""
    assert all(set(client.scripts) == set(KINDS) and client.states == STATES for client in (ENGINE_ALONE, *PEERS))
    assert all(peer.install and peer.program for peer in PEERS)


def make_setting() -> Setting:
    """A machine with crane and without hauler."""
    crane = next(peer for peer in PEERS if peer.name == "crane")
    hauler = next(peer for peer in PEERS if peer.name == "hauler")
    return Setting(
        machine=["2 processors"],
        content="60 images.",
        clients=[ENGINE_ALONE, crane],
        missing=[hauler],
        versions={"crane": "crane v1"},
        parallel={"crane": {"push": 4}},
        tried={"crane": {"push": {2: 3.0, 4: 2.0}}},
        floor=20 * MIB,
    )


def test_a_bound_without_a_figure_is_not_measured() -> None:
    """There is no third way to read it."""
    assert Bound("it", "≤ 1", "", None).verdict == "not measured"


def test_what_prefect_takes_by_itself_is_told_before_the_commands() -> None:
    """A command can hardly take less than a flow whose tasks do nothing; without such runs nothing is said of it."""
    alone = "60 Prefect tasks that do nothing, Prefect running"
    subjects = [bound.subject for bound in bounds(make_results())]
    told = [(bound.subject, bound.figure) for bound in bounds(replace(make_results(), idle_flows=[5.0, 4.0, 7.5]))]

    assert alone not in subjects
    assert told.index((alone, "5.0 s (4.0 to 7.5)")) == subjects.index(f"edgelift build, {RUNNING}")
