"""The registries of the demo."""

from pathlib import Path

import httpx

from edgelift.demo.content import build_demo_images
from edgelift.demo.images import DEMO_IMAGES
from edgelift.demo.servers import source_registry, target_registry


def test_source_registry(tmp_path: Path) -> None:
    """The source registry serves every image of the demo, also when it starts a second time in the same folder."""
    expected = [image.root.digest for image in build_demo_images()]
    for _ in range(2):
        with source_registry(tmp_path) as server:
            addresses = [f"{server.url}/v2/{each.repository}/manifests/{each.tag}" for each in DEMO_IMAGES]
            found = [httpx.head(each, trust_env=False).headers["docker-content-digest"] for each in addresses]
            assert expected == found


def test_target_registry(tmp_path: Path) -> None:
    """The target registry is empty at first, takes pushes, and has them when it starts again."""
    content, digest = b"{}", "sha256:44136fa355b3678a1146ad16f7e8649e94fb4fc21fe77e8310c060f61caaff8a"
    with target_registry(tmp_path) as server:
        assert httpx.get(f"{server.url}/v2/_catalog", trust_env=False).json()["repositories"] == []
        uploads = f"{server.url}/v2/a/b/blobs/uploads/"
        assert httpx.post(uploads, params={"digest": digest}, content=content, trust_env=False).status_code == 201
    with target_registry(tmp_path) as server:
        assert content == httpx.get(f"{server.url}/v2/a/b/blobs/{digest}", trust_env=False).content
