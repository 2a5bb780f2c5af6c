"""The table of the fault matrix: what each run injected, how it ended, and what came twice, as it was measured."""

from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

_HEAD = """# Faults, as measured

What the tests in `tests/faults` inject, and what came of it. The rows are those of the fault matrix: a reset
connection, a full disk, a killed process and so on. This page is written by a run, not by hand:

    EDGELIFT_FAULT_TABLE=docs/faults.md .venv/bin/pytest tests/faults

*Bytes re-transferred* is what went over the wire beyond what had to: bodies as the registry sent or received them,
less the size of what was missing. A dash means that the row moves no content. After every row the tests also hold
that nothing with wrong bytes has a final name, that no tag at the target leads to something incomplete, and that the
same command, run again without the fault, completes. What a registry had sent when a client died counts as sent, though
the client never read it. Waits are taken by a clock that the test moves, except where it says "as delivered".

| row | injected | outcome | bytes re-transferred |
|---|---|---|---|
"""


@dataclass(frozen=True)
class Line:
    """One line of the table. `moved` and `needed` are bytes; None where the row moves none."""

    row: int
    injected: str
    outcome: str
    moved: int | None = None
    needed: int | None = None

    def to_markdown(self) -> str:
        """The line as Markdown writes it."""
        return f"| F{self.row} | {self.injected} | {self.outcome} | {self._again()} |"

    def _again(self) -> str:
        if self.moved is None or self.needed is None:
            return "-"
        again = self.moved - self.needed
        return f"{again:,} of {self.needed:,} ({again / self.needed:.2%})" if self.needed else f"{again:,}"


@dataclass
class FaultTable:
    """The lines of one run."""

    lines: list[Line] = field(default_factory=list)

    def write(self, path: Path) -> None:
        """Write the page: by row, and in the order of the run within one."""
        ordered = sorted(self.lines, key=lambda line: line.row)
        path.write_text(_HEAD + "".join(f"{line.to_markdown()}\n" for line in ordered) + self._foot())

    def _foot(self) -> str:
        rows = Counter(line.row for line in self.lines)
        return f"\n{len(self.lines)} lines, {len(rows)} rows.\n"


@dataclass(frozen=True)
class Notes:
    """Takes the figures of one test, whose name says the row."""

    table: FaultTable
    row: int

    def __call__(self, injected: str, outcome: str, *, moved: int | None = None, needed: int | None = None) -> None:
        """Note one line; to be called when everything has been looked at."""
        self.table.lines.append(Line(self.row, injected, outcome, moved, needed))
