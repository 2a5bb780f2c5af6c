"""Charts as artifacts: what Helm writes, always the same bytes; archives are strangers'."""

import gzip
import io
import json
import tarfile

import pytest

from edgelift.charts.archive import pick_chart, read_metadata
from edgelift.charts.artifact import CHART_CONFIG, CHART_CONTENT, CHART_PROVENANCE, make_artifact
from edgelift.charts.metadata import ChartMetadata
from edgelift.demo.charts import make_chart
from edgelift.errors import IntegrityError
from edgelift.oci.digest import Digest
from edgelift.oci.manifest import ImageManifest

FULL = """\
apiVersion: v2
name: web
version: 1.2.3+b
appVersion: 1.10
description: A web server <fast> & small
type: application
home: https://web.example
sources: [https://git.example/web, https://git.example/more]
keywords: [web, http]
maintainers:
- {name: Ann, email: ann@example.com, url: https://ann.example}
- {name: Ben}
annotations:
  licenses: MIT
  org.opencontainers.image.title: not this
  org.opencontainers.image.url: https://another.example
dependencies:
- {name: common, repository: 'https://charts.example', version: 2.x, tags: [infra], condition: common.enabled}
deprecated: true
kubeVersion: '>=1.25'
unknown: [1, 2]
icon: {not: a text}
"""
CONFIG = {
    "name": "web",
    "home": "https://web.example",
    "sources": ["https://git.example/web", "https://git.example/more"],
    "version": "1.2.3+b",
    "description": "A web server <fast> & small",
    "keywords": ["web", "http"],
    "maintainers": [{"name": "Ann", "email": "ann@example.com", "url": "https://ann.example"}, {"name": "Ben"}],
    "apiVersion": "v2",
    "appVersion": "1.10",
    "deprecated": True,
    "annotations": {
        "licenses": "MIT",
        "org.opencontainers.image.title": "not this",
        "org.opencontainers.image.url": "https://another.example",
    },
    "kubeVersion": ">=1.25",
    "dependencies": [
        {
            "name": "common",
            "version": "2.x",
            "repository": "https://charts.example",
            "condition": "common.enabled",
            "tags": ["infra"],
        }
    ],
    "type": "application",
}
ANNOTATIONS = {
    "licenses": "MIT",
    "org.opencontainers.image.authors": "Ann (ann@example.com), Ben",
    "org.opencontainers.image.description": "A web server <fast> & small",
    "org.opencontainers.image.source": "https://git.example/web",
    "org.opencontainers.image.title": "web",
    "org.opencontainers.image.url": "https://another.example",
    "org.opencontainers.image.version": "1.2.3+b",
}


def test_the_config_is_what_helm_writes() -> None:
    """Fields in Helm's order, signs of HTML escaped as Go does; what Helm could not read is left out."""
    config = ChartMetadata.parse(FULL.encode(), "it").to_config()
    assert list(json.loads(config).items()) == list(CONFIG.items())
    assert b"A web server \\u003cfast\\u003e \\u0026 small" in config


def test_the_annotations_are_what_helm_writes_but_for_the_time() -> None:
    """The chart's own annotations come in, and replace all but title and version."""
    assert ChartMetadata.parse(FULL.encode(), "it").annotations() == ANNOTATIONS


def test_the_artifact_of_a_chart() -> None:
    """The archive is the layer as it is, its provenance file is another; nothing tells when it was made."""
    archive, provenance = make_chart("web", "1.0.0"), b"-----BEGIN PGP SIGNED MESSAGE-----\n"
    made = make_artifact(read_metadata(archive, "it"), archive, provenance)
    again = make_artifact(read_metadata(archive, "it"), archive, provenance)

    parsed = made.manifest.parsed
    assert isinstance(parsed, ImageManifest)
    contents = {layer.media_type: made.blobs[layer.digest] for layer in parsed.blobs}
    assert contents[CHART_CONTENT] == archive
    assert contents[CHART_PROVENANCE] == provenance
    assert json.loads(contents[CHART_CONFIG])["name"] == "web"
    assert "org.opencontainers.image.created" not in (parsed.annotations or {})
    assert made.manifest.raw == again.manifest.raw


def test_the_bytes_do_not_change() -> None:
    """Another digest here would make every lock with a chart one that cannot be built again."""
    metadata = ChartMetadata.parse(FULL.encode(), "it")
    made = make_artifact(metadata, b"an archive", None)
    assert made.manifest.raw == (
        b'{"schemaVersion":2,"mediaType":"application/vnd.oci.image.manifest.v1+json","config":{"mediaType":'
        b'"application/vnd.cncf.helm.config.v1+json","digest":"%s","size":%d},"layers":[{"mediaType":'
        b'"application/vnd.cncf.helm.chart.content.v1.tar+gzip","digest":"%s","size":10}],"annotations":%s}'
        % (
            Digest.of(metadata.to_config()).encode(),
            len(metadata.to_config()),
            Digest.of(b"an archive").encode(),
            json.dumps(ANNOTATIONS, separators=(",", ":"))
            .replace("<", "\\u003c")
            .replace(">", "\\u003e")
            .replace("&", "\\u0026")
            .encode(),
        )
    )


def archive_of(files: dict[str, bytes]) -> bytes:
    """A .tgz of these files."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as tar:
        for name, content in files.items():
            member = tarfile.TarInfo(name)
            member.size = len(content)
            tar.addfile(member, io.BytesIO(content))
    return gzip.compress(buffer.getvalue(), mtime=0)


WHOLE = make_chart("web", "1.0.0")
MEBIBYTE = gzip.compress(bytes(2**20))  # of zeros; what is appended to a gzip belongs to it
BAD = {
    "a web page": (b"<html></html>", "no whole archive"),
    "nothing": (b"", "no whole archive"),
    "a gzip without a tar": (gzip.compress(b"text"), "no whole archive"),
    "cut short": (WHOLE[: len(WHOLE) // 2], "no whole archive"),
    "without its last bytes": (WHOLE[:-4], "no whole archive"),
    "a bit turned": (WHOLE[:-6] + bytes([WHOLE[-6] ^ 1]) + WHOLE[-5:], "no whole archive"),
    "no Chart.yaml": (archive_of({"web/values.yaml": b""}), "holds no chart"),
    "Chart.yaml too deep": (archive_of({"src/charts/web/Chart.yaml": b"name: web"}), "holds no chart"),
    "Chart.yaml at the top": (archive_of({"Chart.yaml": b"name: web"}), "holds no chart"),
    "no name": (archive_of({"web/Chart.yaml": b"version: 1.0.0"}), "no name or no version"),
    "no mapping": (archive_of({"web/Chart.yaml": b"- name"}), "no name or no version"),
    "no YAML": (archive_of({"web/Chart.yaml": b"name: [web"}), "is not YAML"),
    "aliases": (archive_of({"web/Chart.yaml": b"x: &x web\nname: *x\nversion: 1.0.0"}), "no name or no version"),
    "a bomb": (archive_of({"web/Chart.yaml": b"name: web\nversion: 1.0.0"}) + MEBIBYTE * 300, "more than 256 MiB"),
}


@pytest.mark.parametrize(("archive", "message"), BAD.values(), ids=BAD)
def test_what_is_no_chart_is_refused(archive: bytes, message: str) -> None:
    """Every byte of an archive is looked at before it is carried; the error names where it came from."""
    with pytest.raises(IntegrityError, match="it") as caught:
        read_metadata(archive, "it")
    assert message in caught.value.message


def test_a_chart_may_begin_with_a_dot() -> None:
    """Some tools write ./NAME/Chart.yaml."""
    metadata = read_metadata(archive_of({"./web/Chart.yaml": b"name: web\nversion: 1.0.0"}), "it")
    assert (metadata.name, metadata.version) == ("web", "1.0.0")


def member_names(archive: bytes) -> list[str]:
    """The names in a .tgz."""
    with tarfile.open(fileobj=io.BytesIO(archive)) as tar:
        return tar.getnames()


SOURCES = {
    "web-1.0.0/README.md": b"",
    "web-1.0.0/test/deeper/still/web/Chart.yaml": b"name: web\nversion: 9.9.9",
    "web-1.0.0/charts/web/values.yaml": b"a: 1",
    "web-1.0.0/charts/web/Chart.yaml": b"name: web\nversion: 1.0.0",
    "web-1.0.0/charts/web/templates/a.yaml": b"",
    "web-1.0.0/charts/db/Chart.yaml": b"name: db\nversion: 1.0.0",
    "web-1.0.0/charts/web/../../../etc/passwd": b"",
}


def test_a_chart_in_an_archive_of_sources_is_packed_anew() -> None:
    """The folder that is least deep, its Chart.yaml first; the order of the files there changes nothing."""
    backwards = dict(reversed(SOURCES.items()))
    chart, metadata = pick_chart(archive_of(SOURCES), "web", "it")

    assert member_names(chart) == ["web/Chart.yaml", "web/templates/a.yaml", "web/values.yaml"]
    assert (metadata.name, metadata.version) == ("web", "1.0.0")
    assert pick_chart(archive_of(backwards), "web", "it") == (chart, metadata)
    assert Digest.of(chart) == "sha256:5f334ca4a93582b485f2a1a9404f99269a19434ebcaed8efb8b92f0c9acc4f49"


def test_a_chart_in_an_installer_is_taken_as_it_is() -> None:
    """An archive inside an archive, for it is what its maker signed."""
    inside = {"setup/web-0.9.tgz": b"no archive", "setup/web-db-1.0.0.tgz": make_chart("web-db", "1.0.0")}
    installer = archive_of(inside | {"setup/helm/web-1.0.0.tgz": WHOLE, **SOURCES})

    assert pick_chart(installer, "web", "it")[0] == WHOLE


def test_a_chart_is_given_as_it_is() -> None:
    """Whatever other charts there are inside; and what holds none is refused."""
    assert pick_chart(WHOLE, "other", "it")[0] is WHOLE
    with pytest.raises(IntegrityError, match="holds no chart"):
        pick_chart(archive_of(SOURCES), "other", "it")


def test_large_charts_are_packed_in_several_blocks() -> None:
    """A stored block has 65,535 bytes at most."""
    large = archive_of({"src/web/Chart.yaml": b"name: web\nversion: 1.0.0", "src/web/large": bytes(range(256)) * 1000})
    chart, _ = pick_chart(large, "web", "it")

    assert len(gzip.decompress(chart)) > 3 * 65535
