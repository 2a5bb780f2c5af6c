"""The index of the layout: names that several processes give, and that other tools read."""

import json
import subprocess
import time
from contextlib import ExitStack
from pathlib import Path

import pytest

from edgelift.demo.content import SampleImage, make_image
from edgelift.errors import StoreError
from edgelift.oci.descriptor import Descriptor, Platform
from edgelift.oci.manifest import OCI_INDEX, OCI_MANIFEST, parse_manifest
from edgelift.store.local import LocalStore
from tests.real_parts import require_tool
from tests.store.content import describe, make_older
from tests.store.workers import begin, worker

NGINX = "docker.io/library/nginx:1.27"
MANIFEST = describe(b"manifest").model_copy(update={"media_type": OCI_MANIFEST})


@pytest.fixture
def store(tmp_path: Path) -> LocalStore:
    """An empty store."""
    return LocalStore(tmp_path / "store")


def test_names_are_kept(store: LocalStore) -> None:
    """What was tagged is found again, by whoever opens the store; only the address of the manifest is kept."""
    store.tag({NGINX: MANIFEST.model_copy(update={"platform": Platform(), "annotations": {"a": "b"}})})
    store.tag({"quay.io/kairos/x:1": MANIFEST})

    assert LocalStore(store.root).references() == {NGINX: MANIFEST, "quay.io/kairos/x:1": MANIFEST}


def test_many_names_are_given_at_once(store: LocalStore) -> None:
    """A thousand images take one index: names that stood there stay, those that are given again move."""
    store.tag({NGINX: describe(b"earlier"), "quay.io/kairos/x:1": MANIFEST})

    store.tag({NGINX: MANIFEST, "quay.io/kairos/y:1": MANIFEST})

    assert store.references() == {NGINX: MANIFEST, "quay.io/kairos/x:1": MANIFEST, "quay.io/kairos/y:1": MANIFEST}
    listed = json.loads((store.root / "index.json").read_bytes())["manifests"]
    assert len(listed) == 3


def test_a_new_store_has_no_names(store: LocalStore) -> None:
    """There is no index before the first name."""
    assert store.references() == {}


def test_a_name_moves(store: LocalStore) -> None:
    """A name stands for what it was given last."""
    store.tag({NGINX: describe(b"earlier")})
    store.tag({NGINX: MANIFEST})

    assert store.references() == {NGINX: MANIFEST}


def test_a_name_that_stands_is_not_written_again(store: LocalStore) -> None:
    """A second run over the same images leaves the index alone."""
    store.tag({NGINX: MANIFEST})
    before = (store.root / "index.json").stat()

    store.tag({NGINX: MANIFEST})

    assert before.st_ino == (store.root / "index.json").stat().st_ino


def test_names_go(store: LocalStore) -> None:
    """Names are taken away, what another tool has listed stays, and names that nobody has given are no matter."""
    other = {"mediaType": OCI_MANIFEST, "digest": describe(b"other").digest, "size": 5, "annotations": {"a": "b"}}
    (store.root / "index.json").write_text(json.dumps({"schemaVersion": 2, "manifests": [other]}))
    store.tag({NGINX: MANIFEST})
    store.tag({"quay.io/kairos/x:1": MANIFEST})

    store.untag([NGINX, "quay.io/kairos/y:1"])

    assert store.references() == {"quay.io/kairos/x:1": MANIFEST}
    assert [each.digest for each in store.unnamed()] == [describe(b"other").digest]
    assert other in json.loads((store.root / "index.json").read_bytes())["manifests"]


def test_no_name_to_take_away(store: LocalStore) -> None:
    """The index is not written for nothing, nor made."""
    store.untag([NGINX])
    assert not (store.root / "index.json").exists()

    store.tag({NGINX: MANIFEST})
    before = (store.root / "index.json").stat()
    store.untag([])
    store.untag(["quay.io/kairos/x:1"])

    assert before.st_ino == (store.root / "index.json").stat().st_ino


def test_a_name_tells_when_it_was_given_last(store: LocalStore) -> None:
    """The time of the manifest's file is that of the last pull, also where nothing had to be written."""
    store.write(MANIFEST, b"manifest")
    make_older(store.path(MANIFEST.digest), 10)
    store.tag({NGINX: MANIFEST})
    make_older(store.path(MANIFEST.digest), 10)
    store.tag({NGINX: MANIFEST})

    assert time.time() - store.path(MANIFEST.digest).stat().st_mtime < 60
    assert b"".join(store.read(MANIFEST)) == b"manifest"


def test_the_index_is_an_image_index(store: LocalStore) -> None:
    """Names stand there for containerd and for skopeo, sorted: the same names give the same bytes."""
    store.tag({"quay.io/kairos/x:1": MANIFEST})
    store.tag({NGINX: MANIFEST})
    first = (store.root / "index.json").read_bytes()
    (store.root / "index.json").unlink()
    store.tag({NGINX: MANIFEST})
    store.tag({"quay.io/kairos/x:1": MANIFEST})

    manifest = parse_manifest(first, OCI_INDEX)
    names = [each.annotations for each in manifest.children]
    assert [
        {"io.containerd.image.name": name, "org.opencontainers.image.ref.name": name}
        for name in (NGINX, "quay.io/kairos/x:1")
    ] == names
    assert first == (store.root / "index.json").read_bytes()


TAG_MANY = """
for number in range(25):
    store.tag({f"quay.io/{sys.argv[2]}/image:{number}": describe(b"manifest")})
print("done")
"""


def test_no_name_is_lost_between_processes(store: LocalStore) -> None:
    """Four processes name their images at once, and every name is there in the end."""
    teams = ["a", "b", "c", "d"]
    with ExitStack() as workers:
        processes = [workers.enter_context(worker(TAG_MANY, store.root, team)) for team in teams]
        begin(*processes)
        said = [process.communicate(timeout=60)[0] for process in processes]

    assert said == ["done\n"] * 4
    assert {f"quay.io/{team}/image:{number}" for team in teams for number in range(25)} == set(store.references())
    assert {"blobs", "index.json", "index.lock", "oci-layout", "partial", "quarantine", "use.lock"} == {
        path.name for path in store.root.iterdir()
    }


ENTRY = MANIFEST.model_dump(mode="json", by_alias=True, exclude_none=True)
DAMAGED = {
    "empty": b"",
    "zeros after a power cut": bytes(100),
    "cut": b'{"schemaVersion":2,"manif',
    "no text": b"\xff\xfe\xfd",
    "a list": b"[]",
    "null": b"null",
    "without manifests": b"{}",
    "manifests that are a number": b'{"manifests":1}',
    "manifests that are null": b'{"manifests":null}',
    "an entry that is text": b'{"manifests":["a"]}',
    "an entry with a path as digest": json.dumps({"manifests": [ENTRY | {"digest": "sha256:../../x"}]}).encode(),
    "nested without end": b'{"manifests":' + b"[" * 100_000,
}


@pytest.mark.parametrize("content", DAMAGED.values(), ids=DAMAGED)
def test_a_damaged_index_is_named(store: LocalStore, content: bytes) -> None:
    """The error names the file and what to do with it; a new name does not quietly drop the others."""
    index = store.root / "index.json"
    index.write_bytes(content)

    for attempt in (store.references, lambda: store.tag({NGINX: MANIFEST})):
        with pytest.raises(StoreError, match=r"index\.json is damaged") as caught:
            attempt()
        assert (str(index) in caught.value.message, "delete that file" in str(caught.value.hint)) == (True, True)
    assert content == index.read_bytes()


def test_the_advice_for_a_damaged_index_helps(store: LocalStore) -> None:
    """Once the file is deleted, names are given again."""
    index = store.root / "index.json"
    index.write_bytes(b"")
    index.unlink()

    store.tag({NGINX: MANIFEST})

    assert store.references() == {NGINX: MANIFEST}


def test_an_index_that_is_a_folder(store: LocalStore) -> None:
    """What the system says comes out as an error of the store."""
    (store.root / "index.json").mkdir()

    with pytest.raises(StoreError, match=r"cannot read the index of .*: Is a directory"):
        store.references()
    with pytest.raises(StoreError, match="cannot tag docker"):
        store.tag({NGINX: MANIFEST})


def test_entries_of_others(store: LocalStore) -> None:
    """Entries without a name, as other tools may leave them, are no names."""
    named = ENTRY | {"annotations": {"org.opencontainers.image.ref.name": "v1", "vendor": "x"}}
    entries = [ENTRY, ENTRY | {"annotations": None}, ENTRY | {"annotations": {}}, named]
    (store.root / "index.json").write_text(json.dumps({"schemaVersion": 2, "manifests": entries}))

    assert store.references() == {"v1": MANIFEST}


def fill(store: LocalStore, image: SampleImage, reference: str) -> None:
    """Put `image` into the store under `reference`."""
    for each in (*image.blobs, *image.manifests):
        store.write(each, image.contents[each.digest])
    store.tag({reference: image.root})


def inspect(store: LocalStore, reference: str, *options: str) -> bytes:
    """What skopeo says about `reference` in the store."""
    command = [require_tool("skopeo"), "inspect", *options, f"oci:{store.root}:{reference}"]
    done = subprocess.run(command, capture_output=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr.decode()
    return done.stdout


IMAGES = {
    "one architecture": make_image("library/nginx"),
    "an index": make_image("library/nginx", architectures=("amd64", "arm64"), attested=True),
}


@pytest.mark.parametrize("image", IMAGES.values(), ids=IMAGES)
def test_skopeo_reads_the_store(store: LocalStore, image: SampleImage) -> None:
    """Another tool finds an image in the store by its full reference, and sees the very bytes."""
    fill(store, make_image("library/other"), "docker.io/library/other:1")
    fill(store, image, NGINX)

    assert image.contents[image.root.digest] == inspect(store, NGINX, "--raw")


def test_skopeo_reads_config_and_layers(store: LocalStore) -> None:
    """The whole image is there, not only its manifest."""
    image = make_image("library/nginx", seed="whole")
    fill(store, image, NGINX)
    layers: tuple[Descriptor, ...] = image.blobs

    seen = json.loads(inspect(store, NGINX))

    assert (seen["Architecture"], seen["Labels"]) == ("amd64", {"sample": "library/nginx:1.0 whole"})
    assert set(seen["Layers"]) <= {each.digest for each in layers}
