"""The main job on real parts: two Distribution registries, the command line, skopeo, tar and a real S3 server."""

import json
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from pydantic import SecretStr

from edgelift.archive.s3 import S3Archive
from edgelift.demo.content import SampleImage
from edgelift.oci.digest import Digest
from tests.images import load_image, make_image_set
from tests.real_parts import RunningRegistry, RunningS3, require_tool

EDGELIFT = str(Path(sys.executable).with_name("edgelift"))


@pytest.fixture(scope="module")
def api(tmp_path_factory: pytest.TempPathFactory, prefect_api: None) -> str:
    """The address of the Prefect server that the commands use."""
    from prefect.settings import PREFECT_API_URL  # noqa: PLC0415 - the environment of the tests comes first

    return str(PREFECT_API_URL.value())


@pytest.fixture
def source(docker_registries: Callable[[], RunningRegistry]) -> tuple[RunningRegistry, list[SampleImage]]:
    """A registry with twenty images, five of them for two architectures, with layers in common."""
    registry = docker_registries()
    images = make_image_set(20, 5)
    for image in images:
        load_image(registry.host, image.repository, image.tag, image)
    return registry, images


@pytest.mark.timeout(600)
def test_images_go_from_registry_to_registry_through_a_bundle(
    source: tuple[RunningRegistry, list[SampleImage]],
    docker_registries: Callable[[], RunningRegistry],
    api: str,
    tmp_path: Path,
) -> None:
    """Twenty images arrive byte for byte, a second build is identical, and other tools read bundle and target."""
    registry, images = source
    target = docker_registries()
    asked = [option for image in images for option in ("--image", f"{registry.host}/{image.repository}:{image.tag}")]

    for folder in ("first", "second"):
        edgelift(api, "build", "--name", "site", *asked, "--output", tmp_path / folder, "--store", tmp_path / folder)
    bundle = tmp_path / "first" / "site.tar.zst"
    edgelift(api, "push", "--file", bundle, "--registry", f"{target.host}/edge", "--output", tmp_path / "delivery")
    edgelift(api, "validate", "--file", bundle, "--registry", f"{target.host}/edge", "--deep")

    assert bundle.read_bytes() == (tmp_path / "second" / "site.tar.zst").read_bytes()
    receipt = json.loads((tmp_path / "delivery" / "site.receipt.json").read_bytes())
    assert receipt["counts"] == {"ok": 20, "differs": 0, "missing": 0, "not-checkable": 0}
    source_name = registry.host.replace(":", "_")
    for image in images:
        sent = inspect_raw(f"{registry.host}/{image.repository}:{image.tag}")
        arrived = inspect_raw(f"{target.host}/edge/{source_name}/{image.repository}:{image.tag}")
        assert (sent, Digest.of(sent)) == (arrived, image.root.digest)
    listed = run(require_tool("tar"), "--zstd", "-tf", bundle).decode().split()
    assert listed[:2] == ["oci-layout", "index.json"]
    wanted = f"{registry.host}/{images[7].repository}:{images[7].tag}"
    run(require_tool("skopeo"), "copy", f"oci-archive:{bundle}:{wanted}", f"dir:{tmp_path / 'one'}")
    assert (tmp_path / "one" / "manifest.json").read_bytes() == images[7].contents[images[7].root.digest]


@pytest.mark.timeout(600)
def test_nothing_moves_the_second_time(
    source: tuple[RunningRegistry, list[SampleImage]],
    docker_registries: Callable[[], RunningRegistry],
    api: str,
    tmp_path: Path,
) -> None:
    """A repeated sync fetches and sends no blob, and says so."""
    registry, images = source
    target = docker_registries()
    site = tmp_path / "site.yaml"
    references = [f"{registry.host}/{image.repository}:{image.tag}" for image in images]
    site.write_text(
        json.dumps(
            {
                "name": "site",
                "source": {"images": references},
                "target": {"registry": target.host},
                "access": {"docker_config": False},
            }
        )
    )

    arguments = ("sync", site, "--output", tmp_path / "out", "--store", tmp_path / "store")
    edgelift(api, *arguments)
    transferred = blob_requests(registry, "GET"), blob_requests(target, "PUT")
    second = edgelift(api, *arguments).stderr

    assert (blob_requests(registry, "GET"), blob_requests(target, "PUT")) == transferred
    assert "pulled 20 images: 0 B moved" in second
    assert "pushed 20 images: 0 B moved" in second


@pytest.mark.timeout(600)
def test_archived_bundle_is_the_bundle(
    source: tuple[RunningRegistry, list[SampleImage]], s3_server: RunningS3, api: str, tmp_path: Path
) -> None:
    """A bundle kept in S3 through its block comes back as the same bytes, with its lock beside it."""
    from prefect.settings import PREFECT_API_URL, temporary_settings  # noqa: PLC0415 - the environment comes first

    from blocks import BundleArchive  # noqa: PLC0415

    registry, images = source
    bucket = s3_server.make_bucket("bundles")
    with temporary_settings({PREFECT_API_URL: api}):
        BundleArchive(
            bucket=bucket,
            prefix="sites",
            **s3_server.access,
        ).save("bundles", overwrite=True)
    reference = f"{registry.host}/{images[0].repository}:{images[0].tag}"

    out, store = tmp_path / "out", tmp_path / "store"
    edgelift(
        api, "build", "--name", "kept", "--image", reference, "--output", out, "--store", store,
        "--archive-block", "bundles",
    )  # fmt: skip

    archive = S3Archive(
        bucket,
        prefix="sites",
        endpoint=s3_server.endpoint,
        access_key=SecretStr(s3_server.access_key),
        secret_key=SecretStr(s3_server.secret_key),
    )
    for name in ("kept.tar.zst", "kept.lock.json"):
        archive.restore(name, tmp_path / name)
        assert (tmp_path / name).read_bytes() == (out / name).read_bytes()


def edgelift(api: str, *arguments: object) -> subprocess.CompletedProcess[str]:
    """Run the command line against the Prefect server at `api`; it has to succeed."""
    environment = {"PATH": "/usr/bin:/bin", "HOME": "/nonexistent", "PREFECT_API_URL": api}
    done = subprocess.run(
        [EDGELIFT, *map(str, arguments)], env=environment, capture_output=True, text=True, timeout=300, check=False
    )
    assert done.returncode == 0, done.stderr
    return done


def inspect_raw(name: str) -> bytes:
    """The manifest as skopeo reads it."""
    return run(require_tool("skopeo"), "inspect", "--raw", "--tls-verify=false", f"docker://{name}")


def run(*command: object) -> bytes:
    """The output of a tool that has to succeed."""
    return subprocess.run([str(part) for part in command], capture_output=True, check=True, timeout=120).stdout


def blob_requests(registry: RunningRegistry, method: str) -> int:
    """How many blobs were asked for or sent, by the registry's own log."""
    return len(re.findall(rf'"{method} /v2/\S+/blobs/', registry.log.read_text()))
