"""The demo's charts: always the same, found where the profiles say."""

from pathlib import Path

from edgelift.charts.repository import ChartRepository
from edgelift.demo.charts import DEMO_CHARTS, REGISTRY_CHART, build_registry_charts, make_chart, make_index
from edgelift.demo.profiles import demo_profiles
from edgelift.demo.servers import chart_repository, source_registry
from edgelift.palette.resolve import resolve_profiles
from edgelift.store.local import LocalStore
from tests.charts.delivery import plan


def test_charts_are_always_the_same() -> None:
    """The same name and version give the same bytes, others give others."""
    assert make_chart("web", "1.0.0") == make_chart("web", "1.0.0") != make_chart("web", "1.0.1")
    assert build_registry_charts()[0].root == build_registry_charts()[0].root
    assert make_index({"a.tgz": make_chart("web", "1.0.0")}).count(b"digest") == 1


def test_the_demo_asks_for_a_chart_of_each_kind(tmp_path: Path) -> None:
    """One of an HTTP repository and one of a registry, and both are there."""
    with source_registry(tmp_path / "source") as source, chart_repository() as charts:
        resolution = resolve_profiles(demo_profiles(source.host, charts))
        planned = plan(LocalStore(tmp_path / "store"), *resolution.charts)
    planned.raise_for_errors()

    assert {(chart.name, chart.version) for chart in resolution.charts} == {(e.name, e.version) for e in DEMO_CHARTS}
    assert [image.kind for image in planned.lock.images] == ["chart", "chart"]
    assert sorted(image.archive is None for image in planned.lock.images) == [False, True]
    registry = ChartRepository.parse(f"oci://{source.host}/{REGISTRY_CHART.folder}")
    wanted = registry.reference(REGISTRY_CHART.name, REGISTRY_CHART.version)
    assert str(wanted) in [image.reference for image in planned.lock.images]


def test_profiles_without_a_chart_repository_have_no_charts() -> None:
    """They are those of before."""
    assert resolve_profiles(demo_profiles("registry.example")).charts == ()
