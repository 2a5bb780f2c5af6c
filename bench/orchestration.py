"""What Prefect costs: runs over more and more images whose pulls have nothing to do: `python -m bench.orchestration`.

Each is the whole flow with a task for each image, against one Prefect server; the library does the same without Prefect
beside it. The server keeps its records in SQLite, or where PREFECT_SERVER_DATABASE_CONNECTION_URL says
(postgresql+asyncpg://…). Figures and the bound go into bench/orchestration.md, or orchestration-postgresql.md there.
"""

import argparse
import asyncio
import contextlib
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bench.figures import MIB
from bench.prefect_server import Server, running_server
from bench.registries import serving
from bench.stub_flow import Taken, stub_images

ROOT = Path(__file__).parents[1]
BOUND = 0.020  # seconds an image, at most
_DATABASE = "PREFECT_SERVER_DATABASE_CONNECTION_URL"
_FINAL = ("COMPLETED", "FAILED", "CRASHED", "CANCELLED")
_PATIENCE = 900  # seconds that a server may need to record a run
_PAUSE = 0.5
_PARENT, _USER, _SYSTEM, _PAGES = 1, 11, 12, 21  # fields of /proc/PID/stat after the name (proc_pid_stat(5))


@dataclass(frozen=True)
class ServerState:
    """What a server has used so far: seconds of processor time, bytes of memory now, and of its database."""

    cpu: float
    memory: int
    database: int


@dataclass(frozen=True)
class Row:
    """One run: what it took with Prefect and without, and what the server took for it until all of it was recorded.

    `settled` are the seconds from the run's end until the server showed the final state of every task.
    """

    images: int
    alone: Taken
    flow: Taken
    settled: float
    server_cpu: float
    server_memory: int
    database: int

    @property
    def overhead(self) -> float:
        """Seconds for each image, of all that Prefect does: start and end of the run are in it."""
        return (self.flow.wall - self.alone.wall) / self.images


def main() -> None:
    """Measure, print, and write the results."""
    parser = argparse.ArgumentParser(prog="python -m bench.orchestration", description=__doc__)
    parser.add_argument("--images", type=int, nargs="+", default=[250, 500, 1000, 2000], help="images of each run")
    page = "orchestration-postgresql.md" if _DATABASE in os.environ else "orchestration.md"
    parser.add_argument("--output", type=Path, default=ROOT / "bench" / page, help="where results go")
    options = parser.parse_args()
    if not shutil.which("docker-registry"):
        sys.exit("not on the PATH: docker-registry (Debian package docker-registry)")
    (ROOT / "output").mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="orchestration-", dir=ROOT / "output") as folder:
        rows = list(measure(Path(folder), options.images))
    text = to_markdown(rows)
    options.output.write_text(text)
    sys.stdout.write(f"{text}written to {options.output}\n")
    if any(row.overhead > BOUND for row in rows if row.images >= min(1000, max(options.images))):
        sys.exit(1)


def measure(folder: Path, counts: Sequence[int]) -> Iterator[Row]:
    """A row for each of `counts`; the first run, over one image, warms the server up and does not count."""
    with serving(folder / "images", folder / "registry") as host, running_server(folder / "prefect") as server:
        for number, count in enumerate((1, *counts)):
            place = folder / f"run-{number}"
            stub_images(place, host, count)
            row = _measure(place, count, server, folder / "prefect")
            shutil.rmtree(place)
            if number:
                sys.stdout.write(f"{count} images: {1000 * row.overhead:.1f} ms an image\n")
                sys.stdout.flush()
                yield row


def to_markdown(rows: Sequence[Row]) -> str:
    """The results as a page."""
    database = "PostgreSQL" if _DATABASE in os.environ else "SQLite"
    lines = [
        "# What Prefect costs",
        "",
        f"Runs of `rebuild-bundle`, one task an image, whose pulls find everything in the store; Prefect's server on "
        f"{database}, on the same machine with {os.cpu_count()} processors. Made by `python -m bench.orchestration`.",
        "",
        "- *overhead*: what the run took longer than the library alone, divided by its images;",
        "- *settled*: after the run's end, until the server showed every task's final state;",
        "- *server CPU*: from the run's start until then; *server memory*: then; *database*: by how much it has grown.",
        "",
        "| images | library alone | flow | overhead | memory of the run | settled | server CPU "
        "| server CPU an image | server memory | database | database an image |",
        "| ---: " * 11 + "|",
        *map(_line, rows),
        "",
        f"Bound: at most {1000 * BOUND:.0f} ms an image for 1,000 images and more.",
        "",
    ]
    return "\n".join(lines)


def _line(row: Row) -> str:
    cells = (
        f"{row.images:,}",
        f"{row.alone.wall:.2f} s",
        f"{row.flow.wall:.2f} s",
        f"{1000 * row.overhead:.1f} ms",
        f"{row.flow.memory / MIB:.0f} MiB",
        f"{row.settled:.1f} s",
        f"{row.server_cpu:.1f} s",
        f"{1000 * row.server_cpu / row.images:.1f} ms",
        f"{row.server_memory / MIB:.0f} MiB",
        f"{row.database / MIB:.1f} MiB",
        f"{row.database / row.images / 1024:.1f} KiB",
    )
    return f"| {' | '.join(cells)} |"


def _measure(place: Path, count: int, server: Server, prefect: Path) -> Row:
    alone = _run(place, server.settings, "--alone")
    before = _state_of(server, prefect)
    flow = _run(place, server.settings)
    ended = time.monotonic()
    _wait_until_recorded(server.settings["PREFECT_API_URL"], flow.run, count)
    settled = time.monotonic() - ended
    after = _state_of(server, prefect)
    return Row(
        images=count,
        alone=alone,
        flow=flow,
        settled=settled,
        server_cpu=after.cpu - before.cpu,
        server_memory=after.memory,
        database=after.database - before.database,
    )


def _run(place: Path, settings: Mapping[str, str], *options: str) -> Taken:
    command = [sys.executable, "-m", "bench.stub_flow", str(place), *options]
    done = subprocess.run(  # noqa: S603 - our own interpreter
        command, cwd=ROOT, env={**os.environ, **settings}, stdin=subprocess.DEVNULL, capture_output=True, check=False
    )
    if done.returncode:
        raise RuntimeError(f"the run failed:\n{done.stderr.decode(errors='replace')[-2000:]}")
    return Taken(**json.loads(done.stdout.splitlines()[-1]))


def _wait_until_recorded(api: str, run: str, images: int) -> None:
    """Until every task of the flow run, one for each image at least, has a final state at the server."""
    deadline = time.monotonic() + _PATIENCE
    mine = {"flow_runs": {"id": {"any_": [run]}}}
    while True:
        final = _count(api, {**mine, "task_runs": {"state": {"type": {"any_": _FINAL}}}})
        if final > images and final == _count(api, mine):
            return
        if time.monotonic() > deadline:
            raise RuntimeError(f"after {_PATIENCE} s the server shows {final} tasks of {images} images as done")
        time.sleep(_PAUSE)


def _count(api: str, query: Mapping[str, Any]) -> int:
    """Task runs that answer to `query`; -1 while the server is too busy to say."""
    request = urllib.request.Request(  # noqa: S310 - the address is our own server's
        f"{api}/task_runs/count", json.dumps(query).encode(), {"Content-Type": "application/json"}
    )
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    try:
        with opener.open(request, timeout=60) as answer:
            return int(answer.read())
    except OSError:
        return -1


def _state_of(server: Server, prefect: Path) -> ServerState:
    """What the server's processes have used. SQLite's files are in `prefect`; its log is there, too, and left out."""
    if _DATABASE in os.environ:
        database = asyncio.run(_postgresql_size(os.environ[_DATABASE]))
    else:
        database = sum(file.stat().st_size for file in prefect.glob("prefect.db*"))
    fields = list(_processes(server.process))
    ticks = sum(int(each[_USER]) + int(each[_SYSTEM]) for each in fields)
    pages = sum(int(each[_PAGES]) for each in fields)
    return ServerState(ticks / os.sysconf("SC_CLK_TCK"), pages * os.sysconf("SC_PAGE_SIZE"), database)


async def _postgresql_size(address: str) -> int:
    import asyncpg  # type: ignore[import-untyped]  # noqa: PLC0415 - it has no types; Prefect's own driver

    connection = await asyncpg.connect(address.replace("postgresql+asyncpg:", "postgresql:"))
    try:
        return int(await connection.fetchval("select pg_database_size(current_database())"))
    finally:
        await connection.close()


def _processes(root: int) -> Iterator[list[str]]:
    """The fields of the process `root` and of all that it has started, directly or not."""
    fields: dict[int, list[str]] = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdecimal():
            with contextlib.suppress(OSError):  # it has ended
                fields[int(entry.name)] = (entry / "stat").read_text().rpartition(")")[2].split()
    wanted = [root]
    for process in wanted:
        if process in fields:
            yield fields[process]
        wanted += [each for each, found in fields.items() if int(found[_PARENT]) == process]


if __name__ == "__main__":
    main()
