"""How much is in a store."""

from pathlib import Path

from edgelift.demo.content import make_image
from edgelift.store.local import LocalStore
from edgelift.store.runs import RunLocks
from edgelift.store.survey import survey_store
from tests.store.content import contents_of, describe, keep_image, lock_of, make_older

APP = make_image("team/app")


def test_an_empty_store(tmp_path: Path) -> None:
    """There is nothing, and nothing has an age."""
    nothing = {"count": 0, "bytes": 0, "oldest": None, "newest": None}
    found = survey_store(LocalStore(tmp_path / "store"))

    assert found.pop("disk_free") > 0
    assert found == {
        "store": str(tmp_path / "store"),
        "images": 0,
        "runs": 0,
        **dict.fromkeys(("blobs", "partial", "quarantine"), nothing),
    }


def test_counts_and_ages(tmp_path: Path) -> None:
    """Blobs, partial downloads, quarantine, names and the locks of runs are counted; ages are those of files."""
    store = LocalStore(tmp_path / "store")
    keep_image(store, APP, days=3)
    make_older(store.path(APP.root.digest), 0)
    RunLocks(store.root).keep("run", lock_of(APP))
    with store.ingest(describe(b"content")) as partial:
        assert partial is not None
        partial.write(b"cont")
    found = survey_store(store)

    assert (found["images"], found["runs"], found["partial"]["bytes"]) == (1, 1, 4)
    blobs = found["blobs"]
    assert (blobs["count"], blobs["bytes"]) == (len(contents_of(APP)), sum(map(len, APP.contents.values())))
    assert blobs["oldest"] < blobs["newest"]
    assert blobs["newest"].endswith("+00:00")
