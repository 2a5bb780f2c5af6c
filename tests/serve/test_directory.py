"""Registry content in a directory: what lasts, what is never seen, and what many clients at once do to it."""

import socket
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx
import pytest

from edgelift.demo.content import make_image
from edgelift.demo.servers import fill_registry
from edgelift.errors import IntegrityError, MalformedReferenceError, StoreError
from edgelift.oci.digest import Digest
from edgelift.serve.directory import DirectoryContent
from edgelift.serve.registry import create_registry
from edgelift.serve.server import RunningServer
from tests.images import load_image, make_image_set
from tests.serve.conftest import client_of

BLOB = bytes(range(256)) * 8192  # 2 MiB
DIGEST = Digest.of(BLOB)
IMAGE = make_image("team/app", architectures=("amd64", "arm64"), base="alpine")


def _files(root: Path) -> Iterator[Path]:
    return (path for path in root.rglob("*") if path.is_file())


def test_everything_survives_a_restart(tmp_path: Path) -> None:
    """Images, tags, mounts and uploads on their way are all there after a restart."""
    with RunningServer(create_registry(DirectoryContent(tmp_path))) as server, client_of(server) as client:
        load_image("", "team/app", "1.0", IMAGE, client=client)
        layer = IMAGE.blobs[0].digest
        client.post("/v2/team/copy/blobs/uploads/", params={"mount": layer, "from": "team/app"})
        location = client.post("/v2/team/app/blobs/uploads/").headers["location"]
        client.patch(location, content=BLOB[:1_000_000])
    with RunningServer(create_registry(DirectoryContent(tmp_path))) as server, client_of(server) as client:
        manifest = client.get("/v2/team/app/manifests/1.0")
        assert IMAGE.contents[IMAGE.root.digest] == manifest.content
        assert IMAGE.root.media_type == manifest.headers["content-type"]
        assert IMAGE.contents[layer] == client.get(f"/v2/team/copy/blobs/{layer}").content
        assert client.get(location).headers["range"] == "0-999999"
        assert client.put(location, params={"digest": DIGEST}, content=BLOB[1_000_000:]).status_code == 201


def test_blobs_are_kept_once(tmp_path: Path) -> None:
    """The same image in two repositories takes its bytes once."""
    content = DirectoryContent(tmp_path)
    fill_registry(content, [IMAGE, make_image("team/app", architectures=("amd64", "arm64"), base="alpine", tag="2.0")])
    before = {path.name for path in _files(tmp_path / "blobs")}
    with RunningServer(create_registry(content)) as server:
        load_image(server.host, "another/app", "1.0", IMAGE)
    assert before == {path.name for path in _files(tmp_path / "blobs")}


def test_cut_upload_keeps_what_arrived(tmp_path: Path) -> None:
    """When a client is cut off in the middle of a chunk, what has arrived counts and can be continued."""
    with RunningServer(create_registry(DirectoryContent(tmp_path))) as server, client_of(server) as client:
        location = client.post("/v2/team/app/blobs/uploads/").headers["location"]
        host, _, port = server.host.partition(":")
        with socket.create_connection((host, int(port))) as connection:
            head = f"PATCH {location} HTTP/1.1\r\nHost: x\r\nContent-Length: {len(BLOB)}\r\n\r\n"
            connection.sendall(head.encode() + BLOB[:700_000])
        for _ in range(200):
            arrived = client.get(location).headers["range"]
            if arrived == "0-699999":
                break
        assert arrived == "0-699999"
        assert client.put(location, params={"digest": DIGEST}, content=BLOB[700_000:]).status_code == 201


def test_wrong_bytes_get_no_name(tmp_path: Path) -> None:
    """Bytes without the promised digest leave nothing behind, neither under a name nor as an upload."""
    content = DirectoryContent(tmp_path)
    session = content.begin_upload("team/app")
    assert content.append_upload("team/app", session, 0, BLOB[:-1])
    with pytest.raises(IntegrityError):
        content.commit_upload("team/app", session, DIGEST)
    assert list(_files(tmp_path)) == []
    assert content.blob_size("team/app", DIGEST) is None


def test_late_writer_cannot_change_a_blob(tmp_path: Path) -> None:
    """Once a session has become a blob, a write that comes late finds no session and changes nothing."""
    content = DirectoryContent(tmp_path)
    session = content.begin_upload("team/app")
    content.append_upload("team/app", session, 0, BLOB)
    assert content.commit_upload("team/app", session, DIGEST)
    assert not content.append_upload("team/app", session, len(BLOB), b"more")
    assert not content.commit_upload("team/app", session, DIGEST)
    assert b"".join(content.read_blob_range("team/app", DIGEST, 0, len(BLOB))) == BLOB


def test_two_writers_of_one_upload(tmp_path: Path) -> None:
    """Of two writers at the same place one wins whole, and the other is told."""
    content = DirectoryContent(tmp_path)
    session = content.begin_upload("team/app")
    pieces = [bytes([number]) * 100_000 for number in range(8)]
    with ThreadPoolExecutor(8) as pool:
        outcomes = list(pool.map(lambda piece: content.append_upload("team/app", session, 0, piece), pieces))
    winner = pieces[outcomes.index(True)]
    assert (1, len(winner)) == (outcomes.count(True), content.upload_offset("team/app", session))
    assert content.commit_upload("team/app", session, Digest.of(winner))


def test_many_clients(tmp_path: Path) -> None:
    """Many clients that push sets with shared blobs, and read them at the same time, all get what they should."""
    images = make_image_set(8, multi_arch=2)
    with RunningServer(create_registry(DirectoryContent(tmp_path))) as server, client_of(server) as client:

        def push_and_read(number: int) -> bool:
            image = images[number % len(images)]
            repository = f"team-{number % 3}/{image.repository}"
            load_image("", repository, image.tag, image, client=client)
            got = [client.get(f"/v2/{repository}/blobs/{each.digest}").content for each in image.blobs]
            return got == [image.contents[each.digest] for each in image.blobs]

        with ThreadPoolExecutor(12) as pool:
            assert all(pool.map(push_and_read, range(24)))
        assert len(client.get("/v2/_catalog").json()["repositories"]) == 24


def test_many_parallel_readers(tmp_path: Path) -> None:
    """Sixty readers of one blob, some of ranges, each get their own bytes."""
    content = DirectoryContent(tmp_path)
    session = content.begin_upload("team/app")
    content.append_upload("team/app", session, 0, BLOB)
    content.commit_upload("team/app", session, DIGEST)
    no_limit = httpx.Limits(max_connections=60)
    with (
        RunningServer(create_registry(content)) as server,
        httpx.Client(base_url=server.url, trust_env=False, timeout=30, limits=no_limit) as client,
    ):

        def read(number: int) -> bool:
            start = number * 1000
            headers = {"Range": f"bytes={start}-"} if number % 2 else {}
            got = client.get(f"/v2/team/app/blobs/{DIGEST}", headers=headers).content
            return got == (BLOB[start:] if number % 2 else BLOB)

        with ThreadPoolExecutor(60) as pool:
            assert all(pool.map(read, range(60)))


NO_REPOSITORIES = ["..", "../x", "/etc", "a/../b", "A", "", "a//b", "_tags", "a/_tags", "a/", ".", "a\0b", "a\n"]


@pytest.mark.parametrize("name", NO_REPOSITORIES, ids=ascii)
def test_no_path_from_a_bad_name(tmp_path: Path, name: str) -> None:
    """The content itself, too, refuses to make a path of a name that is none."""
    root = tmp_path / "registry"
    content = DirectoryContent(root)
    for use in (content.begin_upload, content.tags, lambda given: content.point_tag(given, "1.0", DIGEST)):
        with pytest.raises(MalformedReferenceError):
            use(name)
    assert [root] == list(tmp_path.iterdir())
    assert list(_files(root)) == []


@pytest.mark.parametrize("tag", ["..", "../_manifests/x", "", ".hidden", "a/b", "a" * 129, "a\n"], ids=ascii)
def test_no_path_from_a_bad_tag(tmp_path: Path, tag: str) -> None:
    """A tag that is none is never looked up, and never written."""
    content = DirectoryContent(tmp_path)
    fill_registry(content, [IMAGE])
    assert content.resolve("team/app", tag) is None
    assert not content.delete_tag("team/app", tag)
    with pytest.raises(MalformedReferenceError):
        content.point_tag("team/app", tag, IMAGE.root.digest)


def test_longest_names(tmp_path: Path) -> None:
    """The longest tag and the longest repository name that there are can be used."""
    content = DirectoryContent(tmp_path)
    repository, tag = "a" * 200 + "/" + "b" * 54, "t" * 128
    with RunningServer(create_registry(content)) as server, client_of(server) as client:
        load_image("", repository, tag, IMAGE, client=client)
        assert [tag] == client.get(f"/v2/{repository}/tags/list").json()["tags"]


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="there is no /dev/full here")
def test_full_disk(tmp_path: Path) -> None:
    """A full disk is answered with 500 and a reason, and the registry goes on."""
    content = DirectoryContent(tmp_path)
    with RunningServer(create_registry(content)) as server, client_of(server) as client:
        location = client.post("/v2/team/app/blobs/uploads/").headers["location"]
        session = tmp_path / "repositories/team/app/_uploads" / location.rpartition("/")[2]
        session.unlink()
        session.symlink_to("/dev/full")
        refused = client.patch(location, content=b"some bytes")
        assert (refused.status_code, "the disk is full" in refused.json()["errors"][0]["message"]) == (500, True)
        assert client.get("/v2/").status_code == 200


def test_folder_that_cannot_be_used(tmp_path: Path) -> None:
    """A root that cannot be made is an error that names it."""
    (tmp_path / "file").write_text("")
    with pytest.raises(StoreError, match=r"registry in .*file"):
        DirectoryContent(tmp_path / "file")
