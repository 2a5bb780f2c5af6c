"""The servers of the demo: registries and a chart repository on loopback that run while a `with` block does."""

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

from edgelift.demo.charts import CHART_REPOSITORY_PATH, build_registry_charts, create_chart_repository
from edgelift.demo.content import SampleImage, build_demo_images
from edgelift.oci.digest import Digest
from edgelift.oci.manifest import parse_manifest
from edgelift.serve.content import WritableContent
from edgelift.serve.directory import DirectoryContent
from edgelift.serve.registry import create_registry
from edgelift.serve.server import RunningServer


@contextmanager
def source_registry(root: Path, port: int = 0) -> Iterator[RunningServer]:
    """A registry in `root` that holds the sample images and a chart; port 0 takes a free one."""
    content = DirectoryContent(root)
    fill_registry(content, [*build_demo_images(), *build_registry_charts()])
    with RunningServer(create_registry(content), port) as server:
        yield server


@contextmanager
def chart_repository(port: int = 0) -> Iterator[str]:
    """The URL of a repository with the other chart of the demo."""
    with RunningServer(create_chart_repository(), port) as server:
        yield f"{server.url}/{CHART_REPOSITORY_PATH}"


@contextmanager
def target_registry(root: Path, port: int = 0) -> Iterator[RunningServer]:
    """A registry in `root` for pushing to; it begins with what an earlier one left there."""
    with RunningServer(create_registry(DirectoryContent(root)), port) as server:
        yield server


def fill_registry(content: WritableContent, images: Iterable[SampleImage]) -> None:
    """Put `images` into `content`, each under its repository and tag."""
    for image in images:
        for blob in image.blobs:
            _write_blob(content, image.repository, blob.digest, image.contents[blob.digest])
        for descriptor in image.manifests:
            manifest = parse_manifest(image.contents[descriptor.digest], descriptor.media_type, descriptor.digest)
            content.write_manifest(image.repository, manifest, image.tag if descriptor == image.root else None)


def _write_blob(content: WritableContent, repository: str, digest: Digest, raw: bytes) -> None:
    session = content.begin_upload(repository)
    content.append_upload(repository, session, 0, raw)
    content.commit_upload(repository, session, digest)
