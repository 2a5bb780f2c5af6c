"""An index of parts may come from anyone: what does not follow from itself is refused before any part is read."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from edgelift.bundle.part_files import read_index
from edgelift.bundle.parts import INDEX_LIMIT, PartsIndex, whole_name
from edgelift.bundle.reader import BundleReader
from edgelift.errors import BundleError, PartsError
from tests.bundle.parted import MIB

DIGEST = "sha256:" + "0" * 64
NAME = "site.tar.zst"


def document() -> dict[str, Any]:
    """An index of two parts, as it should be."""
    return {
        "format": "edgelift.parts/v1",
        "name": NAME,
        "size": MIB + 5,
        "digest": DIGEST,
        "part_size": MIB,
        "parts": [
            {"name": f"{NAME}.part-0001", "size": MIB, "digest": DIGEST},
            {"name": f"{NAME}.part-0002", "size": 5, "digest": DIGEST},
        ],
    }


def _with(**members: object) -> Callable[[dict[str, Any]], object]:
    return lambda good: good.update(members)


def _part(**members: object) -> Callable[[dict[str, Any]], object]:
    return lambda good: good["parts"][1].update(members)


def _named(name: str) -> Callable[[dict[str, Any]], object]:
    """Another name of the whole, with the parts that follow from it."""

    def change(good: dict[str, Any]) -> None:
        good["name"] = name
        for number, part in enumerate(good["parts"], start=1):
            part["name"] = f"{name}.part-{number:04}"

    return change


CHANGES: dict[str, Callable[[dict[str, Any]], object]] = {
    "a part elsewhere": _part(name="../../etc/passwd"),
    "a part at an absolute path": _part(name="/etc/passwd"),
    "a part of another number": _part(name=f"{NAME}.part-0003"),
    "a part twice": _part(name=f"{NAME}.part-0001"),
    "a name elsewhere": _named("../site.tar.zst"),
    "a name in a folder": _named("a/site.tar.zst"),
    "a name on another system": _named("a\\site.tar.zst"),
    "a hidden name": _named(".site.tar.zst"),
    "the folder itself": _named("."),
    "no name": _named(""),
    "a name with NUL": _named("site\0.tar.zst"),
    "a name that steers the terminal": _named("site\x1b[2J"),
    "half a character": _named("site\ud800"),
    "a name of 4 KiB": _named("n" * 4096),
    "a part of another size": _part(size=6),
    "a part of no size": _part(size=0),
    "a negative size": _part(size=-5),
    "a size in words": _part(size="5"),
    "a fraction": _part(size=5.0),
    "a truth": _part(size=True),
    "the whole is smaller": _with(size=MIB),
    "the whole is larger": _with(size=2 * MIB + 1),
    "the whole is nothing": _with(size=0, parts=[]),
    "the whole is absurd": _with(size=2**80),
    "eight exabytes in parts of 1 MiB": _with(size=2**62),
    "parts of one byte": _with(part_size=1),
    "parts of nothing": _with(part_size=0),
    "negative parts": _with(part_size=-MIB),
    "absurd parts": _with(part_size=2**80),
    "no parts": _with(parts=[]),
    "a part too few": lambda good: good["parts"].pop(),
    "a part too many": lambda good: good["parts"].append(good["parts"][1]),
    "very many parts": lambda good: good.update(parts=good["parts"] * 2000),
    "501 parts": lambda good: good.update(
        size=501 * MIB,
        parts=[{"name": f"{NAME}.part-{at:04}", "size": MIB, "digest": DIGEST} for at in range(1, 502)],
    ),
    "another format": _with(format="edgelift.parts/v2"),
    "a key that nobody knows": _with(comment="x"),
    "a key of a part that nobody knows": _part(url="http://x"),
    "a digest of another kind": _with(digest="sha512:" + "0" * 128),
    "a digest that is none": _part(digest="sha256:../../x"),
    "a missing key": lambda good: good.pop("digest"),
    "parts that are no list": _with(parts={"0": 1}),
}


@pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES)
def test_what_does_not_follow_is_refused(change: Callable[[dict[str, Any]], object], tmp_path: Path) -> None:
    """Whatever is changed: one error that names the file, and no part is opened."""
    changed = document()
    change(changed)
    path = tmp_path / f"{NAME}.parts.json"
    path.write_text(json.dumps(changed))

    with pytest.raises(BundleError, match="is not an index of parts") as caught:
        BundleReader.open(path)

    assert len(str(caught.value)) < 1500
    assert "\x1b" not in str(caught.value)


TEXTS = {
    "nothing": b"",
    "no JSON": b"\x28\xb5\x2f\xfd",
    "no text": b'"\xff\xfe"',
    "a list": b"[]",
    "a key twice": json.dumps(document()).replace('"size":', '"size": 1, "size":', 1).encode(),
    "a key of a part twice": json.dumps(document()).replace('{"name":', '{"name": "x", "name":', 1).encode(),
    "deep": b"[" * 200_000,
    "a number of a million digits": b'{"size": ' + b"9" * (INDEX_LIMIT - 100) + b"}",
    "not a number": json.dumps(document()).replace(str(MIB + 5), "NaN").encode(),
    "too large": json.dumps(document()).encode() + b" " * INDEX_LIMIT,
}


@pytest.mark.parametrize("content", TEXTS.values(), ids=TEXTS)
def test_what_is_no_index_is_refused(content: bytes, tmp_path: Path) -> None:
    """No parser is led astray, and none takes one of two values for the same key."""
    path = tmp_path / f"{NAME}.parts.json"
    path.write_bytes(content)

    with pytest.raises(BundleError, match="is not an index of parts"):
        read_index(path)


def test_an_index_under_another_name_is_refused(tmp_path: Path) -> None:
    """Its parts would not be found, or be those of another bundle."""
    path = tmp_path / "renamed.tar.zst.parts.json"
    path.write_text(json.dumps(document()))

    with pytest.raises(BundleError, match="is the index of a bundle with another name") as caught:
        read_index(path)

    assert "site.tar.zst.parts.json" in str(caught.value.hint)


def test_a_part_that_is_no_file_is_bad(tmp_path: Path) -> None:
    """A pipe would keep us waiting, a folder is not read."""
    path = tmp_path / f"{NAME}.parts.json"
    path.write_text(json.dumps(document()))
    (tmp_path / f"{NAME}.part-0001").mkdir()

    with pytest.raises(PartsError, match="2 of the 2 parts") as caught:
        BundleReader.open(path)

    assert "part-0001 is unreadable" in str(caught.value)


def test_what_is_read_is_what_is_written() -> None:
    """The canonical bytes come back as they were."""
    index = PartsIndex.from_json(json.dumps(document()).encode(), "the index")

    assert PartsIndex.from_json(index.to_json(), "the index") == index
    assert json.loads(index.to_json()) == document()


NAMES = {
    "site.tar.zst.parts.json": "site.tar.zst",
    "site.tar.zst.part-0001": "site.tar.zst",
    "a.part-0001.part-0002": "a.part-0001",
    "site.tar.zst": None,
    "site.tar.zst.part-1": None,
    "site.tar.zst.part-00001": None,
    ".part-0001": None,
    ".parts.json": "",
}


@pytest.mark.parametrize(("name", "whole"), NAMES.items(), ids=NAMES)
def test_names(name: str, whole: str | None) -> None:
    """Index and parts say by their names what they belong to."""
    assert whole == whole_name(name)
