"""The look at one pack: every image that its values, manifests and charts name, declared or not, with its evidence."""

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, NamedTuple

from edgelift.errors import ProfileError
from edgelift.palette.content import list_entries
from edgelift.palette.undeclared.chart import Chart, load_chart
from edgelift.palette.undeclared.content import Budget, ChartArchive, PackContent, PackFile
from edgelift.palette.undeclared.helm import HelmRenderer
from edgelift.palette.undeclared.hits import Hit, line_of
from edgelift.palette.undeclared.manifests import find_in_manifests
from edgelift.palette.undeclared.references import looks_like_reference
from edgelift.palette.undeclared.rendering import render_chart, render_manifest
from edgelift.palette.undeclared.tree import find_in_tree
from edgelift.palette.values import PlacedText, Tree, load_placed

BUDGET = 1_000_000  # steps for one file of a pack, and for one chart
VALUES = "values.yaml"

_MACRO = re.compile(r"\{\{[^{}]{0,512}\.spectro\.[^{}]{0,512}\}\}")

Expand = Callable[[str], str]  # a text with Palette's macros as far as they are known


class Use(NamedTuple):
    """An image that is named in `file`."""

    file: str
    hit: Hit


@dataclass
class Look:
    """What was found in one pack, and what could not be read."""

    uses: list[Use] = field(default_factory=list)
    unread: list[str] = field(default_factory=list)
    app_versions: dict[str, str] = field(default_factory=dict)  # of charts at hand, by how paths of their values begin
    judged: set[str] = field(default_factory=set)  # how paths of values begin of which a chart's templates say all


def look_at_pack(content: PackContent, expand: Expand = str, helm: HelmRenderer | None = None) -> Look:
    """Every use of an image in `content`. Nothing is raised: what cannot be read is told in the result."""
    look = Look(unread=[*content.unread, *(f"{name}: it is not at hand" for name in content.missing_charts)])
    values = _values(content, expand, look)
    for manifest in content.manifests:
        _guarded(look, manifest.path, _look_at_manifest(manifest, _section(values, "manifests"), expand))
    for archive in content.charts:
        _look_at_chart(look, archive, _values_of_charts(content, values), helm)
    _guarded(look, VALUES, _look_at_values(values, look.judged))
    return look


def _values(content: PackContent, expand: Expand, look: Look) -> Tree:
    try:
        tree = load_placed(content.values)
        if "{{" in content.values:
            tree = _expanded(tree, expand, Budget(BUDGET))
    except ProfileError as error:
        look.unread.append(f"{VALUES}: {error.message}")
        return {}
    return tree if isinstance(tree, Mapping) else {}


def _expanded(node: Any, expand: Expand, budget: Budget) -> Any:
    budget.spend()
    if isinstance(node, Mapping):
        return {key: _expanded(each, expand, budget) for key, each in node.items()}
    if isinstance(node, list):
        return [_expanded(each, expand, budget) for each in node]
    if isinstance(node, PlacedText) and "{{" in node:
        text = PlacedText(_expand_macros(node, expand))
        text.line = node.line
        return text
    return node


def _expand_macros(text: str, expand: Expand) -> str:
    return _MACRO.sub(lambda match: expand(match[0]), text)


def _look_at_values(values: Tree, judged: set[str]) -> Iterator[Use]:
    budget = Budget(BUDGET)
    yield from _misspelt(values)
    # What Palette itself reads, such as pack.content, declares; it does not use.
    own = {key: section for key, section in values.items() if key != "pack"}
    for hit in find_in_tree(own, budget, in_manifest=False):
        is_judged = any(hit.path.startswith(start) for start in judged)
        reason = "nothing that its chart installs with these values uses it"
        yield Use(VALUES, hit.capped("possible", reason) if is_judged else hit)


def _misspelt(values: Tree) -> Iterator[Use]:
    """Images that are in the list of declared ones, but under another key than `image`: nothing declares them."""
    for entry in list_entries(values, "images")[0]:
        for key, text in entry.fields.items() if "image" not in entry.fields else ():
            if isinstance(key, str) and isinstance(text, str) and looks_like_reference(text):
                reason = f"it is in the list of declared images, but under the key {key}"
                yield Use(VALUES, Hit(text.strip(), "likely", reason, f"{entry.path}.{key}", line_of(text)))


def _look_at_manifest(manifest: PackFile, sections: Tree, expand: Expand) -> Iterator[Use]:
    text, budget = _expand_macros(manifest.text, expand), Budget(BUDGET)
    if "{{" in text:
        name = manifest.path.rpartition("/")[2].removesuffix(".yaml").removesuffix(".yml")
        rendered = render_manifest(text, _section(sections, name), budget)
        text = text if rendered is None else rendered
    for _, hit in find_in_manifests(text, budget):
        yield Use(manifest.path, _placed(hit, manifest.text, budget) if text != manifest.text else hit)


class _ValuesOfCharts(NamedTuple):
    """Where the values of a pack have those of its charts: each under its name in `sections`, or all of it is `own`."""

    sections: Tree
    own: Tree | None

    def find(self, chart: str) -> tuple[Tree, str]:
        """The values of `chart`, and how their paths begin."""
        if self.own is not None:
            return self.own, ""
        return _section(self.sections, chart), f"charts.{chart}."


def _values_of_charts(content: PackContent, values: Tree) -> _ValuesOfCharts:
    """That all of it is the chart's own, only a pack that is a chart may mean."""
    is_own = content.is_chart and "charts" not in values
    own = {key: section for key, section in values.items() if key != "pack"} if is_own else None
    return _ValuesOfCharts(_section(values, "charts"), own)


def _look_at_chart(look: Look, archive: ChartArchive, values: _ValuesOfCharts, helm: HelmRenderer | None) -> None:
    budget = Budget(BUDGET)
    try:
        chart = load_chart(archive.data, budget)
        given, start = values.find(chart.name)
        text = helm(archive, given) if helm is not None else None
        uses, is_whole = (
            (_uses_in_output(text, archive.path, budget), True)
            if text is not None
            else _uses_in_templates(chart, given, archive.path, budget)
        )
    except ProfileError as error:
        look.unread.append(f"{archive.path}: {error.message}")
        return
    look.uses += uses
    look.app_versions |= _app_versions(chart, start)
    if is_whole:
        look.judged.add(start)


def _app_versions(chart: Chart, start: str) -> Iterator[tuple[str, str]]:
    """Those of a chart and its subcharts, by how the paths of their values begin."""
    yield start, chart.app_version
    for each in chart.subcharts:
        yield from _app_versions(each, f"{start}{each.name}.")


def _uses_in_output(text: str, archive: str, budget: Budget) -> list[Use]:
    return [
        Use(f"{archive}:{source}" if source else archive, replace(hit, line=None))
        for source, hit in find_in_manifests(text, budget)
    ]


def _uses_in_templates(chart: Chart, given: Tree, archive: str, budget: Budget) -> tuple[list[Use], bool]:
    """The uses, and whether all of them could be evaluated."""
    uses: list[Use] = []
    is_whole = True
    for rendered in render_chart(chart, given, budget):
        for _, hit in find_in_manifests(rendered.text, budget):
            found = hit if rendered.is_evaluated else hit.capped("likely", "its template could not be evaluated")
            is_whole = is_whole and found.is_complete
            uses.append(Use(f"{archive}:{rendered.path}", _placed(found, rendered.source, budget)))
        is_whole = is_whole and rendered.is_evaluated
    return uses, is_whole


def _placed(hit: Hit, source: str, budget: Budget) -> Hit:
    """With its line in the template, where that has one line only that can be it."""
    budget.spend(1 + len(source) // 512)
    lines = source.split("\n")
    literal = [number for number, line in enumerate(lines, 1) if hit.text in line]
    keyed = [number for number, line in enumerate(lines, 1) if re.match(r"[ \t]*(?:- )?image:", line)]
    line = next((found[0] for found in (literal, keyed) if len(found) == 1), None)
    return replace(hit, line=line)


def _guarded(look: Look, place: str, uses: Iterator[Use]) -> None:
    """Add `uses`, as many as could be found."""
    try:
        look.uses.extend(uses)
    except ProfileError as error:
        look.unread.append(f"{place}: {error.message}")


def _section(values: Tree, key: str) -> Tree:
    found = values.get(key)
    return found if isinstance(found, Mapping) else {}
