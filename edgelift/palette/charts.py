"""Which Helm charts a pack declares, and where it says so. Pure: macros are not expanded here."""

from typing import NamedTuple

from edgelift.palette.content import Complaint, Entry, complain_about_key, list_entries
from edgelift.palette.values import Tree


class DeclaredChart(NamedTuple):
    """One chart as the values have it, macros and all, and its path in the values."""

    path: str
    repository: str
    name: str
    version: str


def find_charts(tree: Tree) -> tuple[list[DeclaredChart], list[Complaint]]:
    """The charts in `pack.content.charts` of a pack's values, and what is wrong with that list."""
    entries, complaints = list_entries(tree, "charts")
    charts = []
    for entry in entries:
        chart = _read_chart(entry)
        if isinstance(chart, DeclaredChart):
            charts.append(chart)
        else:
            complaints.append(chart)
    return charts, complaints


def clean_repository(text: str) -> str:
    """The chart repository in `text`; a slash at its end means nothing."""
    return text.strip().rstrip("/")


def _read_chart(entry: Entry) -> DeclaredChart | Complaint:
    fields = {key: text for key, text in entry.fields.items() if isinstance(text, str) and text.strip()}
    repository = fields.get("repo") or fields.get("repository")
    if repository is None:
        return complain_about_key(entry, "repo")
    missing = next((key for key in ("name", "version") if key not in fields), None)
    if missing is not None:
        return complain_about_key(entry, missing)
    return DeclaredChart(entry.path, repository, fields["name"], fields["version"])
