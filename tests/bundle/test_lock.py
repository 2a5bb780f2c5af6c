"""The lock: the same content always gives the same bytes."""

import json
import os
import subprocess
import sys

import pytest

from edgelift.bundle.definition import Release
from edgelift.bundle.lock import BundleLock
from edgelift.errors import ConfigurationError
from tests.bundle.content import mixed_content

LOCK = mixed_content()[0]


def _changed(**members: object) -> str:
    return json.dumps(json.loads(LOCK.to_json()) | members)


REFUSED = {
    "unknown key": (_changed(comment="x"), "comment"),
    "another format": (_changed(format="edgelift.lock/v2"), "format"),
    "no images": (json.dumps({"definition": {}}), "images"),
    "a digest with a path": (LOCK.to_json().decode().replace("sha256:", "sha256:../"), "digest"),
    "a negative size": (LOCK.to_json().decode().replace('"size": ', '"size": -1'), "size"),
    "a size over 2**63": (LOCK.to_json().decode().replace('"size": ', '"size": 9223372036854775808'), "size"),
    "not JSON": ("{", "Invalid JSON"),
    "deeply nested": ("[" * 100_000, "Invalid JSON"),
    "a lone surrogate": (_changed(definition={"name": "\ud800"}), "definition|JSON"),
}


def test_json_round_trip() -> None:
    """What is written is read back the same, and written again to the same bytes."""
    raw = LOCK.to_json()

    read = BundleLock.from_json(raw)

    assert read == LOCK
    assert raw == read.to_json()


def test_annotations_and_release_are_part_of_the_lock() -> None:
    """They come back as they were; without any, a lock has the bytes that it had before there were some."""
    said = LOCK.definition.images[0].model_copy(update={"annotations": {"tier": "web"}})
    update = {
        "release": Release(version="2.0"),
        "annotations": {"customer": "harbour"},
        "images": (said, *LOCK.definition.images[1:]),
    }
    lock = LOCK.model_copy(update={"definition": LOCK.definition.model_copy(update=update)})

    assert BundleLock.from_json(lock.to_json()) == lock
    assert json.loads(lock.to_json())["definition"]["release"] == {"version": "2.0"}
    assert b'"annotations"' not in LOCK.to_json()
    assert b'"release"' not in LOCK.to_json()


def test_bytes_do_not_depend_on_the_process() -> None:
    """Hash seeds and locale leave no trace in the lock's digest."""
    script = "from tests.bundle.content import mixed_content; print(mixed_content()[0].digest)"

    def digest(seed: str, locale: str) -> str:
        environment = {**os.environ, "PYTHONHASHSEED": seed, "LC_ALL": locale, "PYTHONPATH": os.pathsep.join(sys.path)}
        return subprocess.run(
            [sys.executable, "-c", script], env=environment, capture_output=True, text=True, check=True
        ).stdout.strip()

    assert {LOCK.digest} == {digest("1", "C"), digest("2", "C.UTF-8")}


@pytest.mark.parametrize(("text", "named"), REFUSED.values(), ids=REFUSED)
def test_mistakes_are_refused_by_name(text: str, named: str) -> None:
    """A mistake is a `ConfigurationError` that names the file and the place."""
    with pytest.raises(ConfigurationError, match=named) as caught:
        BundleLock.from_json(text, "site.lock.json")

    assert "site.lock.json" in str(caught.value)


def test_shared_content_counts_once() -> None:
    """What several images share is listed and counted once, in the order of the first that names it."""
    manifests, blobs = LOCK.unique_manifests(), LOCK.unique_blobs()

    assert len(manifests) == len({each.digest for each in manifests}) == 4
    assert len(blobs) == len({each.digest for each in blobs}) == 9
    assert manifests[0] == LOCK.images[0].descriptor
    assert sum(each.size for each in (*manifests, *blobs)) == LOCK.unique_size < sum(each.size for each in LOCK.images)
