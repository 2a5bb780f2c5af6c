"""Commands about site files: whether they are right, and what they say. They load no Prefect and ask no server."""

from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any

import typer

from edgelift.cli import options
from edgelift.cli.console import say, say_json, say_table
from edgelift.site import EdgeSite
from edgelift.site_files import SiteFile, raise_for_problems, read_sites

SITES = Path("deployments/sites")

app = typer.Typer(
    no_args_is_help=True,
    add_completion=False,
    help="Look at site files: are they right, and what do they say.",
)
Paths = Annotated[
    list[Path],
    typer.Argument(metavar="[PATH]...", help=f"Site files, or folders of them; {SITES} without.", show_default=False),
]


@app.command("check")
def check(paths: Paths = [], as_json: options.Json = False) -> None:  # noqa: B006 - typer copies it
    """Find every mistake in every site file, also two sites of one name. Exit code 2 where there is one.

    Example: edgelift sites check deployments/sites
    """
    files = _read(paths)
    if as_json:
        problems = [{"file": str(file.path), **vars(problem)} for file in files for problem in file.problems]
        say_json({"files": len(files), "problems": problems})
    raise_for_problems(files)
    if not as_json:
        say(f"{len(files)} site files are right")


@app.command("list")
def list_sites(paths: Paths = [], as_json: options.Json = False) -> None:  # noqa: B006
    """List the sites that files describe, with the next run that their schedules ask for.

    Example: edgelift sites list --json
    """
    files, now = _read(paths), datetime.now(UTC)
    right = [(str(file.path), file.site) for file in files if file.site is not None]
    if as_json:
        say_json([{"file": path, **_document(site, now)} for path, site in right])
    elif right:
        headings = ("NAME", "TARGET", "PROFILES", "SCHEDULE", "NEXT", "WINDOW", "HOW", "POLICY")
        say_table(headings, [_row(site, now) for _, site in right])
    raise_for_problems(files)


def _read(paths: Sequence[Path]) -> list[SiteFile]:
    return read_sites(paths or [SITES])


def _next_run(site: EdgeSite, now: datetime) -> datetime | None:
    """The first time after `now` that an active schedule of `site` means."""
    times = [next(schedule.starts(now), None) for schedule in site.all_schedules if schedule.active]
    return min((each for each in times if each is not None), default=None)


def _document(site: EdgeSite, now: datetime) -> dict[str, Any]:
    source, following = site.source, _next_run(site, now)
    return {
        "name": site.name,
        "description": site.description,
        "target": site.target.registry,
        "profiles": [*source.profiles, *source.profile_files],
        "edge_hosts": source.edge_hosts,
        "images": len(source.images),
        "charts": len(source.charts),
        "architecture": source.architecture,
        "schedules": [schedule.model_dump(mode="json") for schedule in site.all_schedules],
        "next": following.isoformat() if following is not None else None,
        "window": site.window.model_dump(mode="json") if site.window is not None else None,
        "direct": site.direct,
        "store": site.store,
        "archive": site.archive.model_dump(mode="json", exclude_none=True) if site.archive is not None else None,
        "policy": {
            "on_conflict": site.target.on_conflict,
            "require_signatures": source.require_signatures,
            "include_undeclared": source.include_undeclared,
            "deep": site.deep,
        },
    }


def _row(site: EdgeSite, now: datetime) -> tuple[str, ...]:
    following = _next_run(site, now)
    return (
        site.name,
        site.target.registry,
        _content(site) or "-",
        "; ".join(str(each) if each.active else f"{each} (off)" for each in site.all_schedules) or "by hand",
        f"{following:%Y-%m-%d %H:%M %Z}" if following is not None else "-",
        str(site.window) if site.window is not None else "-",
        _way(site),
        ", ".join(_policies(site)) or "-",
    )


def _content(site: EdgeSite) -> str:
    source = site.source
    hosts = [f"hosts {source.edge_hosts}"] if source.edge_hosts is not None else []
    file = [source.definition_file] if source.definition_file is not None else []
    return ", ".join([*source.profiles, *source.profile_files, *hosts, *file])


def _way(site: EdgeSite) -> str:
    if site.direct:
        return "direct"
    archive = site.archive
    return f"archive {archive.block or archive.directory or archive.artifact}" if archive is not None else "bundle"


def _policies(site: EdgeSite) -> Iterator[str]:
    if site.source.require_signatures:
        yield "signatures required"
    if site.source.include_undeclared != "none":
        chosen = site.source.include_undeclared
        yield f"undeclared: {chosen if isinstance(chosen, str) else len(chosen)}"
    if site.target.on_conflict != "fail":
        yield f"on conflict {site.target.on_conflict}"
    if site.deep:
        yield "deep"
