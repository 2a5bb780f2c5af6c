"""Charts are read from archives, subcharts with aliases and conditions, and evaluated with joined values."""

import gzip
import io
import tarfile

import pytest

from edgelift.errors import ProfileError
from edgelift.palette.undeclared.archive import read_files
from edgelift.palette.undeclared.chart import install, join_values, load_chart
from edgelift.palette.undeclared.content import Budget
from edgelift.palette.undeclared.manifests import find_in_manifests
from edgelift.palette.undeclared.rendering import render_chart
from edgelift.palette.values import load_values
from tests.palette.charts import chart_files, deployment, inside, pack_chart

DEPENDENCIES = """\
dependencies:
  - {name: redis, version: 1.x, condition: redis.enabled}
  - {name: redis, version: 1.x, alias: cache, tags: [caching]}
"""
IMAGE = '"{{ .Values.image.repository }}:{{ .Values.image.tag | default .Chart.AppVersion }}"'
REDIS = chart_files("redis", values="image: {repository: redis, tag: '7'}", app_version="7.2", dep=deployment(IMAGE))
COMMON = chart_files(
    "common",
    helpers='{{ define "common.image" }}{{ default .image.registry (.global).imageRegistry }}/{{ .image.repository }}'
    ":{{ .image.tag }}{{ end }}",
)
WEB = chart_files(
    "web",
    values="image: {registry: docker.io, repository: team/web, tag: '1'}",
    dependencies=DEPENDENCIES,
    dep=deployment('{{ include "common.image" (dict "image" .Values.image "global" .Values.global) }}'),
)
WHOLE = WEB | inside("redis", REDIS) | inside("common", COMMON)


def images(data: bytes, values: str = "") -> dict[str, str]:
    """The images that a chart installs with these values, and how sure they are."""
    budget = Budget(100_000)
    rendered = render_chart(load_chart(data, budget), load_values(values), budget)
    return {hit.text: hit.confidence for each in rendered for _, hit in find_in_manifests(each.text, budget)}


INSTALLED = {
    "as it is": ("", {"docker.io/team/web:1", "redis:7"}),
    "a condition that turns it off": ("redis: {enabled: false}\ntags: {caching: false}", {"docker.io/team/web:1"}),
    "a tag that turns one use off": ("tags: {caching: false}", {"docker.io/team/web:1", "redis:7"}),
    "values of one use": ("cache: {image: {tag: '6'}}", {"docker.io/team/web:1", "redis:7", "redis:6"}),
    "a null takes the tag away": ("cache: {image: {tag: null}}", {"docker.io/team/web:1", "redis:7", "redis:7.2"}),
    "a registry for all": ("global: {imageRegistry: m.io}", {"m.io/team/web:1", "redis:7"}),
}


@pytest.mark.parametrize(("values", "expected"), INSTALLED.values(), ids=INSTALLED)
def test_what_a_chart_installs_follows_from_its_values(values: str, expected: set[str]) -> None:
    """The pack's values go before the chart's, a parent's before a subchart's; helpers are shared."""
    assert images(pack_chart(WHOLE), values) == dict.fromkeys(expected, "certain")


def test_a_subchart_may_be_an_archive_itself() -> None:
    """`charts/redis-1.2.3.tgz` counts like a folder."""
    assert images(pack_chart(WEB | inside("common", COMMON) | {"charts/redis.tgz": pack_chart(REDIS, "redis")})) == {
        "docker.io/team/web:1": "certain",
        "redis:7": "certain",
    }


def test_dependencies_of_helm_2_are_read() -> None:
    """They stand in a file of their own."""
    files = WHOLE | {"Chart.yaml": "name: web\nversion: 1\n", "requirements.yaml": DEPENDENCIES}
    budget = Budget(10_000)
    names = [each.path for each in install(load_chart(pack_chart(files), budget), {}, budget)]

    assert names == ["web", "web/charts/redis", "web/charts/cache", "web/charts/common"]


def test_an_image_that_only_some_clusters_get_is_likely() -> None:
    """What a condition on the cluster decides is found, and not called certain."""
    one, two = deployment("team/one:1"), deployment("team/two:1")
    text = f"{{{{- if .Capabilities.x }}}}\n{one}{{{{- else }}}}\n{two}{{{{- end }}}}"

    assert images(pack_chart(chart_files(dep=text))) == {"team/one:1": "likely", "team/two:1": "likely"}


def test_a_template_that_cannot_be_read_is_searched_line_by_line() -> None:
    """A literal reference in it is still found."""
    assert images(pack_chart(chart_files(dep="{{ if }\n" + deployment("team/app:1")))) == {"team/app:1": "likely"}


def test_values_are_joined_as_helm_does() -> None:
    """Sections are joined, lists are replaced, nulls take keys away."""
    given = {"a": {"x": None, "y": "2"}, "b": ["3"], "c": None}

    assert join_values({"a": {"x": "1", "z": "1"}, "b": ["1", "2"], "c": "1"}, given, Budget(100)) == {
        "a": {"z": "1", "y": "2"},
        "b": ["3"],
    }


def test_what_a_tar_holds_besides_plain_files_is_passed_over() -> None:
    """Links, devices and paths that lead elsewhere are no files of a chart."""
    target = io.BytesIO()
    with tarfile.open(fileobj=target, mode="w:gz") as archive:
        for name, kind in (("web/link.yaml", tarfile.SYMTYPE), ("web/tty.yaml", tarfile.CHRTYPE)):
            member = tarfile.TarInfo(name)
            member.type, member.linkname = kind, "/etc/passwd"
            archive.addfile(member)
        for name in ("web/../../etc/x.yaml", "web/templates/dep.yaml", "web/logo.png"):
            member = tarfile.TarInfo(name)
            member.size = 1
            archive.addfile(member, io.BytesIO(b"x"))

    assert read_files(target.getvalue()) == {"web/templates/dep.yaml": b"x"}


def zeros(size: int) -> bytes:
    """An archive of one file of so many zeros."""
    target = io.BytesIO()
    with tarfile.open(fileobj=target, mode="w") as archive:
        member = tarfile.TarInfo("web/templates/big.yaml")
        member.size = size
        archive.addfile(member, io.BytesIO(bytes(size)))
    return gzip.compress(target.getvalue(), 1)


def nested(depth: int) -> bytes:
    """A chart in a chart in a chart."""
    data = pack_chart(chart_files("c"))
    for _ in range(depth):
        data = pack_chart(chart_files("c") | {"charts/c.tgz": data})
    return data


REFUSED = {
    "nothing": b"",
    "no archive": b"PK\x03\x04",
    "half of one": pack_chart(WHOLE)[:200],
    "no chart": pack_chart({"values.yaml": "a: 1"}),
    "a file that inflates": zeros(5 * 2**20),
    "an archive that inflates": gzip.compress(bytes(130 * 2**20), 1),
    "charts without end": nested(10),
    "values that are none": pack_chart(chart_files(values="a: [")),
}


@pytest.mark.parametrize("data", REFUSED.values(), ids=REFUSED)
def test_what_is_no_honest_chart_is_refused(data: bytes) -> None:
    """It ends with an error that says so, and with little memory."""
    with pytest.raises(ProfileError):
        load_chart(data, Budget(100_000))
