"""The demo's Helm charts, and a repository that has them: made-up charts that are the same on every machine and day."""

import gzip
import io
import tarfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import yaml
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route

from edgelift.charts.archive import read_metadata
from edgelift.charts.artifact import make_artifact
from edgelift.demo.content import SampleImage
from edgelift.oci.descriptor import Descriptor
from edgelift.oci.digest import Digest

CHART_REPOSITORY_PATH = "stable"


@dataclass(frozen=True)
class DemoChart:
    """One small chart; `folder` is where a registry has it."""

    name: str
    version: str
    folder: str = "demo/charts"

    @property
    def file(self) -> str:
        """The name of its archive, as `helm package` gives it."""
        return f"{self.name}-{self.version}.tgz"


REPOSITORY_CHART = DemoChart("metrics-agent", "0.9.2")
REGISTRY_CHART = DemoChart("hello", "1.4.0+edge.1")
DEMO_CHARTS = (REPOSITORY_CHART, REGISTRY_CHART)


def make_chart(name: str, version: str, **fields: object) -> bytes:
    """The archive (.tgz) of the chart `name`, with these further `fields` in its Chart.yaml."""
    about = {"apiVersion": "v2", "name": name, "version": version, "description": f"The sample chart {name}", **fields}
    files = {
        "Chart.yaml": yaml.safe_dump(about, sort_keys=False),
        "values.yaml": "replicas: 1\n",
        "templates/settings.yaml": "apiVersion: v1\nkind: ConfigMap\nmetadata:\n  name: {{ .Release.Name }}\n",
    }
    return gzip.compress(_make_tar({f"{name}/{path}": text.encode() for path, text in files.items()}), mtime=0)


def make_index(archives: Mapping[str, bytes]) -> bytes:
    """The index of a repository that has these archives by file name, each with its digest."""
    entries: dict[str, list[dict[str, object]]] = {}
    for file, archive in archives.items():
        about = read_metadata(archive, file)
        entry: dict[str, object] = {"name": about.name, "version": about.version}
        entry |= {"urls": [file], "digest": Digest.of(archive).hex}
        entries.setdefault(about.name, []).append(entry)
    return yaml.safe_dump({"apiVersion": "v1", "entries": entries}, sort_keys=False).encode()


def build_registry_charts(charts: Sequence[DemoChart] = (REGISTRY_CHART,)) -> list[SampleImage]:
    """The charts as a registry has them after `helm push`."""
    return [chart_image(chart, make_chart(chart.name, chart.version)) for chart in charts]


def create_chart_repository(charts: Sequence[DemoChart] = (REPOSITORY_CHART,)) -> Starlette:
    """A chart repository below `CHART_REPOSITORY_PATH`."""
    archives = {chart.file: make_chart(chart.name, chart.version) for chart in charts}
    files = {"index.yaml": make_index(archives), **archives}

    def show(request: Request) -> Response:
        content = files.get(request.path_params["file"])
        return PlainTextResponse("not found", 404) if content is None else Response(content)

    return Starlette(routes=[Route(f"/{CHART_REPOSITORY_PATH}/{{file}}", show)])


def chart_image(chart: DemoChart, archive: bytes) -> SampleImage:
    """The `chart` with this `archive` as a registry has it after `helm push`."""
    made = make_artifact(read_metadata(archive, chart.file), archive, None)
    root = made.manifest.descriptor
    types = {blob.digest: blob.media_type for blob in made.manifest.blobs}
    blobs = tuple(
        Descriptor(media_type=types[digest], digest=digest, size=len(content)) for digest, content in made.blobs.items()
    )
    contents = {**made.blobs, root.digest: made.manifest.raw}
    tag = chart.version.replace("+", "_")
    return SampleImage(f"{chart.folder}/{chart.name}", tag, root, (root,), blobs, contents)


def _make_tar(files: Mapping[str, bytes]) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", format=tarfile.USTAR_FORMAT) as tar:
        for path, content in files.items():
            member = tarfile.TarInfo(path)
            member.size, member.mode = len(content), 0o644
            tar.addfile(member, io.BytesIO(content))
    return buffer.getvalue()
