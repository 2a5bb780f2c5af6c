"""skopeo, a client that we did not write, copies in and out."""

import json
import subprocess
from pathlib import Path

import pytest

from edgelift.demo.content import SampleImage, SampleLayer, make_image
from edgelift.demo.servers import fill_registry
from edgelift.serve.directory import DirectoryContent
from edgelift.serve.pinned import StoreContent
from edgelift.serve.registry import create_registry
from edgelift.serve.server import RunningServer
from tests.real_parts import require_tool
from tests.serve.conftest import store_images

IMAGES = {
    "one architecture": make_image("team/app"),
    "index with an attestation": make_image("team/app", architectures=("amd64", "arm64"), attested=True),
    "Docker's media types": make_image("team/app", architectures=("amd64", "arm64"), flavour="docker"),
    "every kind of layer": make_image(
        "team/app", layers=(SampleLayer("zstd", 300_000), SampleLayer("tar", 0), SampleLayer("empty"))
    ),
}


def skopeo(*arguments: str) -> str:
    """Run skopeo; the test fails with its message where it does."""
    command = [require_tool("skopeo"), *arguments]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.parametrize("image", IMAGES.values(), ids=IMAGES)
def test_copy_in_and_out(tmp_path: Path, image: SampleImage) -> None:
    """What skopeo copies from one registry to another, and then to a folder, is the same image."""
    source = DirectoryContent(tmp_path / "source")
    fill_registry(source, [image])
    copy = ["copy", "--all", "--preserve-digests", "--src-tls-verify=false"]
    with (
        RunningServer(create_registry(source)) as first,
        RunningServer(create_registry(DirectoryContent(tmp_path / "target"))) as second,
    ):
        target = f"docker://{second.host}/elsewhere/app:2.0"
        skopeo(*copy, "--dest-tls-verify=false", f"docker://{first.host}/team/app:1.0", target)
        skopeo(*copy, target, f"dir:{tmp_path / 'out'}")
    assert image.contents[image.root.digest] == (tmp_path / "out" / "manifest.json").read_bytes()
    for blob in image.blobs:
        assert image.contents[blob.digest] == (tmp_path / "out" / blob.digest.hex).read_bytes()


def test_out_of_a_store(tmp_path: Path) -> None:
    """Skopeo reads an image, and lists tags, from a registry over a store."""
    image = IMAGES["index with an attestation"]
    content = StoreContent(store_images(tmp_path / "store", image))
    with RunningServer(create_registry(content)) as server:
        name = f"docker://{server.host}/quay.example_5001/team/app"
        raw = skopeo("inspect", "--raw", "--tls-verify=false", f"{name}:1.0")
        tags = json.loads(skopeo("list-tags", "--tls-verify=false", name))
        skopeo("copy", "--all", "--src-tls-verify=false", f"{name}:1.0", f"dir:{tmp_path / 'out'}")
    assert image.contents[image.root.digest].decode() == raw
    assert tags["Tags"] == ["1.0"]


def test_delete(tmp_path: Path) -> None:
    """Skopeo deletes an image."""
    content = DirectoryContent(tmp_path)
    fill_registry(content, [IMAGES["one architecture"]])
    with RunningServer(create_registry(content)) as server:
        skopeo("delete", "--tls-verify=false", f"docker://{server.host}/team/app:1.0")
    assert content.resolve("team/app", "1.0") is None
