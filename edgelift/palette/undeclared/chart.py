"""A Helm chart with its subcharts: what it is called, its values, and which of it an installation gets. Pure."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import PurePosixPath
from typing import Any

from edgelift.errors import ProfileError
from edgelift.palette.undeclared.archive import below_top, read_files
from edgelift.palette.undeclared.content import Budget
from edgelift.palette.values import Tree, load_values

_DEPTH_LIMIT = 6  # of charts in charts
_DESCRIPTION = "Chart.yaml"


@dataclass(frozen=True)
class Chart:
    """A chart as its archive has it; `templates` by path."""

    metadata: Tree
    values: Tree = field(repr=False)
    templates: Mapping[str, str] = field(repr=False)
    subcharts: tuple["Chart", ...] = ()

    @property
    def name(self) -> str:
        """Its name, which is also the key of its values in a pack's."""
        return _text(self.metadata, "name")

    @property
    def app_version(self) -> str:
        """The version of what it installs, of which charts make tags that values leave open; "" where it has none."""
        return _text(self.metadata, "appVersion")

    def every_chart(self) -> Iterator["Chart"]:
        """It, and all charts in it."""
        yield self
        for each in self.subcharts:
            yield from each.every_chart()


@dataclass(frozen=True)
class Instance:
    """A chart as it is installed once: under its name or an alias, with its values joined with those given to it."""

    chart: Chart
    name: str
    values: Tree = field(repr=False)
    path: str  # below the outermost chart, as helm prints it


def load_chart(data: bytes, budget: Budget) -> Chart:
    """The chart in an archive; raises `ProfileError` where there is none."""
    return _chart(below_top(read_files(data), _DESCRIPTION), budget, 0)


def install(chart: Chart, given: Tree, budget: Budget) -> Iterator[Instance]:
    """The chart with the values that are `given`, and each of its subcharts that is turned on, as often as it is."""
    yield from _install(chart, chart.name, join_values(chart.values, given, budget), chart.name, budget)


def join_values(values: Any, given: Any, budget: Budget) -> dict[Any, Any]:
    """As Helm joins them: what is `given` counts, sections are joined, and a null takes a key away, here or below."""
    budget.spend()
    joined = dict(values) if isinstance(values, Mapping) else {}
    for key, value in given.items() if isinstance(given, Mapping) else ():
        budget.spend()
        if value is None and key in joined:
            del joined[key]
        elif isinstance(value, Mapping):
            joined[key] = join_values(joined.get(key), value, budget)
        else:
            joined[key] = value
    return joined


def _install(chart: Chart, name: str, values: dict[Any, Any], path: str, budget: Budget) -> Iterator[Instance]:
    yield Instance(chart, name, values, path)
    for subchart in chart.subcharts:
        for dependency in _dependencies(chart, subchart.name):
            alias = _text(dependency, "alias") or subchart.name
            if _is_wanted(dependency, values):
                given = values.get(alias)
                joined = join_values(subchart.values, given, budget)
                joined["global"] = join_values(joined.get("global"), values.get("global"), budget)
                yield from _install(subchart, alias, joined, f"{path}/charts/{alias}", budget)


def _dependencies(chart: Chart, name: str) -> list[Mapping[Any, Any]]:
    """The uses that `chart` makes of the subchart `name`; one that it does not name is used as it is."""
    listed = chart.metadata.get("dependencies")
    entries = [each for each in listed if isinstance(each, Mapping)] if isinstance(listed, list) else []
    return [each for each in entries if _text(each, "name") == name] or [{}]


def _is_wanted(dependency: Mapping[Any, Any], values: Tree) -> bool:
    """Whether conditions and tags leave it on: the first condition that has a value decides, then any tag."""
    for condition in _text(dependency, "condition").split(","):
        found = _at(values, condition.strip())
        if isinstance(found, str) and found in ("true", "false"):
            return found == "true"
    tags, settings = dependency.get("tags"), values.get("tags")
    if isinstance(tags, list) and isinstance(settings, Mapping):
        switches = [settings[tag] for tag in tags if isinstance(tag, str) and tag in settings]
        return not switches or "true" in switches
    return True


def _at(values: Tree, path: str) -> Any:
    found: Any = values
    for key in path.split("."):
        found = found.get(key) if isinstance(found, Mapping) else None
    return found


def _chart(files: Mapping[str, bytes], budget: Budget, depth: int) -> Chart:
    if depth > _DEPTH_LIMIT:
        raise ProfileError("its charts are nested too deep")
    if _DESCRIPTION not in files:
        raise ProfileError("the archive has no Chart.yaml: it is no chart")
    budget.spend(1 + sum(map(len, files.values())) // 256)
    metadata = dict(load_values(_decode(files[_DESCRIPTION])))
    if "dependencies" not in metadata and "requirements.yaml" in files:  # of Helm 2
        metadata["dependencies"] = load_values(_decode(files["requirements.yaml"])).get("dependencies")
    return Chart(
        metadata=metadata,
        values=load_values(_decode(files.get("values.yaml", b""))),
        templates={path: _decode(text) for path, text in files.items() if _is_template(path)},
        subcharts=tuple(_chart(each, budget, depth + 1) for each in _subcharts(files)),
    )


def _is_template(path: str) -> bool:
    return path.startswith("templates/") and not path.endswith((".txt", ".tgz"))


def _subcharts(files: Mapping[str, bytes]) -> Iterator[Mapping[str, bytes]]:
    folders: dict[str, dict[str, bytes]] = {}
    for path, data in files.items():
        parts = PurePosixPath(path).parts
        if parts[:1] != ("charts",):
            continue
        if len(parts) == 2 and path.endswith(".tgz"):  # noqa: PLR2004 - charts/NAME.tgz
            yield below_top(read_files(data), _DESCRIPTION)
        elif len(parts) > 2:  # noqa: PLR2004 - charts/NAME/…
            folders.setdefault(parts[1], {})["/".join(parts[2:])] = data
    yield from (folder for folder in folders.values() if _DESCRIPTION in folder)


def _decode(data: bytes) -> str:
    return data.decode("utf-8", "replace").removeprefix("\ufeff")


def _text(section: Mapping[Any, Any], key: str) -> str:
    found = section.get(key)
    return found if isinstance(found, str) else ""
