"""What a chart installs, by its templates and values alone: without helm, and without asking anybody. Pure."""

from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

from edgelift.errors import ProfileError
from edgelift.palette.undeclared.chart import Chart, Instance, install
from edgelift.palette.undeclared.content import Budget
from edgelift.palette.undeclared.references import UNKNOWN
from edgelift.palette.undeclared.template import Renderer
from edgelift.palette.undeclared.template_syntax import Body, Template, parse_template
from edgelift.palette.values import Tree


class Rendered(NamedTuple):
    """A template as it was evaluated, or, where that could not be done, as it stands."""

    path: str
    text: str
    source: str
    is_evaluated: bool


def render_chart(chart: Chart, given: Tree, budget: Budget) -> Iterator[Rendered]:
    """Every template of the chart and of the subcharts that are on, with the values that are `given`."""
    templates, defined = _parse(chart)
    for instance in install(chart, given, budget):
        # What a template sets in the values, Helm forgets after it, too: they are joined anew for each chart only.
        dot = _context(instance)
        for path, source in instance.chart.templates.items():
            if not path.rpartition("/")[2].startswith("_"):
                text = _render(templates.get(source), dot, defined, budget)
                yield Rendered(f"{instance.path}/{path}", source if text is None else text, source, text is not None)


def render_manifest(text: str, values: Tree, budget: Budget) -> str | None:
    """A manifest of a pack, which is a template as well; None where it cannot be evaluated."""
    try:
        template = parse_template(text)
    except ProfileError:
        return None
    return _render(template, _dot("", {}, values), template.defined, budget)


def _parse(chart: Chart) -> tuple[dict[str, Template], dict[str, Body]]:
    """Templates by their source, and all that they define: names are shared by a chart and its subcharts."""
    templates: dict[str, Template] = {}
    defined: dict[str, Body] = {}
    for each in reversed(list(chart.every_chart())):  # the outermost chart's definitions count
        for source in each.templates.values():
            try:
                templates[source] = parse_template(source)
            except ProfileError:
                continue
            defined |= templates[source].defined
    return templates, defined


def _render(template: Template | None, dot: Any, defined: Mapping[str, Body], budget: Budget) -> str | None:
    if template is None:
        return None
    try:
        return Renderer(defined, budget).render(template.body, dot)
    except RecursionError:
        raise ProfileError("its templates are nested too deep") from None


def _context(instance: Instance) -> dict[str, Any]:
    return _dot(instance.name, instance.chart.metadata, instance.values)


def _dot(name: str, metadata: Tree, values: Tree) -> dict[str, Any]:
    # Charts see their Chart.yaml with capitals: .Chart.AppVersion is appVersion.
    chart = {key[:1].upper() + key[1:]: value for key, value in metadata.items() if isinstance(key, str)}
    unknown = ("Release", "Capabilities", "Template", "Files", "Subcharts", "spectro")
    return {"Values": values, "Chart": chart | {"Name": name}} | dict.fromkeys(unknown, UNKNOWN)
