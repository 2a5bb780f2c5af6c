"""A pack is looked at as a whole: values, manifests and charts, with helm where there is one, and without."""

from collections.abc import Callable

from edgelift.palette.undeclared.content import ChartArchive, PackContent, PackFile
from edgelift.palette.undeclared.scan import Look, look_at_pack
from tests.palette.charts import deployment, make_chart

IMAGE = '"{{ .Values.image.repository }}:{{ .Values.image.tag | default .Chart.AppVersion }}"'
VALUES = """\
pack:
  content:
    images:
      - image: team/declared:1
charts:
  web:
    image: {repository: team/app, tag: v2}
    exporter:
      image: team/exporter:1
manifests:
  install: {tag: v3}
"""
CHART = make_chart(values="image: {repository: team/app, tag: v1}", dep=deployment(IMAGE))


def found(look: Look) -> dict[str, tuple[str, str]]:
    """File and confidence of what was found, the surest last."""
    return {use.hit.text: (use.file, use.hit.confidence) for use in reversed(look.uses)}


def test_declaring_an_image_is_no_use_of_it() -> None:
    """What stands in pack.content is what the others are compared with."""
    assert found(look_at_pack(PackContent("web", values="pack: {content: {images: [{image: 'team/app:1'}]}}"))) == {}


def test_a_misspelt_declaration_declares_nothing() -> None:
    """The image is in the list for a reason, and would be missing at the site."""
    look = look_at_pack(PackContent("web", values="pack: {content: {images: [{iamge: 'team/app:1'}]}}"))

    assert found(look) == {"team/app:1": ("values.yaml", "likely")}


def test_a_chart_with_its_values_decides() -> None:
    """What its templates use is certain; what only the values name is possible then."""
    look = look_at_pack(PackContent("web", values=VALUES, charts=(CHART,)))

    assert found(look) == {
        "team/app:v2": ("charts/web.tgz:web/templates/dep.yaml", "certain"),
        "team/exporter:1": ("values.yaml", "possible"),
    }
    assert look.judged == {"charts.web."}


def test_a_pack_that_is_a_chart_may_have_its_values_alone() -> None:
    """There is no section for them then; what the chart does not use of them is possible, as ever."""
    values = "pack: {namespace: web}\nimage: {repository: team/app, tag: v2}\nspare: {image: 'team/spare:1'}\n"
    look = look_at_pack(PackContent("web", values=values, charts=(CHART,), is_chart=True))

    assert {image: sure for image, (_, sure) in found(look).items()} == {
        "team/app:v2": "certain",
        "team/spare:1": "possible",
    }


def test_without_its_chart_the_values_are_believed() -> None:
    """They are all that Palette's API shows of a pack; that the chart is not there is told."""
    look = look_at_pack(PackContent("web", values=VALUES, missing_charts=("charts/web.tgz",)))

    assert found(look) == {"team/app:v2": ("values.yaml", "likely"), "team/exporter:1": ("values.yaml", "likely")}
    assert look.unread == ["charts/web.tgz: it is not at hand"]


def test_a_chart_that_cannot_be_read_is_told() -> None:
    """The rest of the pack is looked at all the same."""
    look = look_at_pack(PackContent("web", values=VALUES, charts=(ChartArchive("charts/web.tgz", b"no"),)))

    assert look.unread == ["charts/web.tgz: it is not a gzipped tar (.tgz)"]
    assert found(look)["team/app:v2"] == ("values.yaml", "likely")


def test_a_manifest_is_a_template_with_values_of_its_own() -> None:
    """They stand under the name of its file."""
    manifest = PackFile("manifests/install.yaml", deployment("team/installed:{{ .Values.tag }}"))
    look = look_at_pack(PackContent("web", values=VALUES, manifests=(manifest,)))

    (use,) = [use for use in look.uses if use.hit.text == "team/installed:v3"]
    assert (use.file, use.hit.confidence, use.hit.line) == ("manifests/install.yaml", "certain", 10)


def test_macros_are_expanded_everywhere() -> None:
    """In values, in manifests, and on the way from values into a chart."""
    expand: Callable[[str], str] = lambda text: text.replace("{{ .spectro.var.TAG }}", "v7")  # noqa: E731 - one use
    values = VALUES.replace("v2", "'{{ .spectro.var.TAG }}'")
    manifest = PackFile("m.yaml", deployment('"team/m:{{ .spectro.var.TAG }}"'))
    look = look_at_pack(PackContent("web", values=values, charts=(CHART,), manifests=(manifest,)), expand)

    assert {"team/app:v7", "team/m:v7"} <= found(look).keys()


def test_helm_is_asked_where_there_is_one() -> None:
    """It gets the chart and its section of the values; what it writes is certain."""
    asked = []

    def helm(chart: ChartArchive, values: object) -> str:
        asked.append((chart.path, values))
        return "---\n# Source: web/templates/x.yaml\n" + deployment("team/by-helm:1")

    look = look_at_pack(PackContent("web", values=VALUES, charts=(CHART,)), helm=helm)

    assert [path for path, _ in asked] == ["charts/web.tgz"]
    assert found(look)["team/by-helm:1"] == ("charts/web.tgz:web/templates/x.yaml", "certain")
    assert found(look)["team/app:v2"] == ("values.yaml", "possible")


def test_where_helm_fails_the_templates_are_read() -> None:
    """A chart that needs a cluster is no reason to find nothing."""
    look = look_at_pack(PackContent("web", values=VALUES, charts=(CHART,)), helm=lambda _chart, _values: None)

    assert found(look)["team/app:v2"] == ("charts/web.tgz:web/templates/dep.yaml", "certain")


def test_values_that_are_no_yaml_are_told() -> None:
    """Nothing is raised: a look at many packs goes on."""
    assert look_at_pack(PackContent("web", values="a: [")).unread[0].startswith("values.yaml: line ")
