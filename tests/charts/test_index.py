"""Indexes of chart repositories: read in one pass, whoever wrote them."""

import tracemalloc

import pytest

from edgelift.charts.index import IndexEntry, open_index, parse_index
from edgelift.charts.index_sections import find_sections
from edgelift.errors import RegistryError
from edgelift.oci.digest import Digest

DIGEST = "0" * 64
TYPICAL = f"""\
apiVersion: v1
entries:
  web:
  - annotations:
      category: [Web, "more"]
    apiVersion: v2
    created: "2024-01-01T00:00:00Z"
    dependencies:
    - name: common
      version: 2.x.x
    digest: {DIGEST}
    name: web
    urls:
    - https://charts.example/web-1.10.tgz
    - https://elsewhere.example/web-1.10.tgz
    version: 1.10
  - digest: sha256:{DIGEST}
    urls: [web-1.9.0.tgz]
    version: v1.9.0
  db: []
generated: "2024-01-01T00:00:00Z"
"""
ENTRIES = {
    "web": (
        IndexEntry("1.10", "https://charts.example/web-1.10.tgz", Digest(f"sha256:{DIGEST}")),
        IndexEntry("v1.9.0", "web-1.9.0.tgz", Digest(f"sha256:{DIGEST}")),
    ),
    "db": (),
}


def test_an_index_is_read() -> None:
    """Versions stay as they are written, of addresses the first counts, digests may lack their algorithm."""
    assert parse_index(TYPICAL.encode(), "it") == ENTRIES


def test_an_index_may_be_json() -> None:
    """JSON is YAML, and some repositories write it."""
    content = b'{"apiVersion":"v1","entries":{"web":[{"version":"1.0.0","urls":["https:\\/\\/a.example\\/w.tgz"]}]}}'
    assert parse_index(content, "it") == {"web": (IndexEntry("1.0.0", "https://a.example/w.tgz"),)}


ODD = {
    "no address": "- version: 1.0.0",
    "no list of addresses": "- {version: 1.0.0, urls: web.tgz}",
    "no version": "- urls: [web.tgz]",
    "an alias for a version": "- {x: &x 1.0.0, urls: [web.tgz], version: *x}",
    "a null": "- null",
    "a text": "- text",
    "a mapping of versions": "{version: 1.0.0}",
}


@pytest.mark.parametrize("versions", ODD.values(), ids=ODD)
def test_entries_that_make_no_sense_are_left_out(versions: str) -> None:
    """One odd entry does not spoil an index."""
    assert parse_index(f"entries:\n  web:\n    {versions}\n".encode(), "it") == {"web": ()}


def test_a_digest_that_is_none_does_not_count() -> None:
    """What the index gives as a digest, and is none, is as good as nothing."""
    content = b"entries: {web: [{version: 1.0.0, urls: [w.tgz], digest: abc}]}"
    assert parse_index(content, "it") == {"web": (IndexEntry("1.0.0", "w.tgz"),)}


HOSTILE = {
    "a web page": (b"<!DOCTYPE html>\n<html><body>log in: please</body></html>", "it"),
    "nothing": (b"", "no entries"),
    "a list": (b"- entries", "no entries"),
    "no entries": (b"apiVersion: v1\n", "no entries"),
    "nested without end": (b"entries: " + b"[" * 100_000, "nested more than 100 deep"),
    "bytes that are no text": (b"entries: \xff\xfe\x00", "is not YAML"),
    "unclosed": (b"entries: {web: [", "is not YAML"),
    "a tag of Python's": (b"!!python/object/apply:os.system ['true']", "no entries"),
}


@pytest.mark.parametrize(("content", "message"), HOSTILE.values(), ids=HOSTILE)
def test_what_is_no_index_is_refused(content: bytes, message: str) -> None:
    """The error names the address, and shows nothing of what came from there."""
    with pytest.raises(RegistryError, match=r"^it ") as caught:
        parse_index(content, "it")
    assert message in caught.value.message


def test_aliases_are_not_expanded() -> None:
    """Ten levels of ten aliases each, which a tree would make ten thousand million of, cost nothing."""
    levels = [f"l{number}: &l{number} [{', '.join([f'*l{number - 1}'] * 10)}]" for number in range(1, 11)]
    content = "\n".join(["l0: &l0 [x]", *levels, "entries: {web: [{version: 1.0.0, urls: [w.tgz]}]}"])
    assert list(parse_index(content.encode(), "it")) == ["web"]


def test_a_large_index_costs_little_memory() -> None:
    """Of five thousand versions with long descriptions only what is needed is kept."""
    entry = f"  - {{description: '{'x' * 400}', keywords: [a, b, c], version: 1.0.%d, urls: ['web-1.0.%d.tgz']}}\n"
    content = ("entries:\n  web:\n" + "".join(entry % (number, number) for number in range(5000))).encode()
    tracemalloc.start()
    try:
        index = parse_index(content, "it")
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert (len(index["web"]), peak < 2 * len(content)) == (5000, True)


# Charts that are parsed when they are asked for

DEEP = f"""\
# made by hand
apiVersion: v1
entries:

    # the first
    "web":
        - version: 1.0.0
          description: >
            a text
            with: colons

            # and lines
          urls:
            - web-1.0.0.tgz
    'db': # the second
        - {{version: '2', urls: [db-2.tgz], digest: {DIGEST}}}
        - version: "1"
          urls: [db-1.tgz]
          notes: "a text
            that goes on"
    none:
"""
CUT = {
    "as Helm writes it": TYPICAL,
    "deeper, with comments": DEEP,
    "with carriage returns": TYPICAL.replace("\n", "\r\n"),
    "with the entries last": "generated: now\nentries:\n  web:\n  - {version: 1.0.0, urls: [w.tgz]}\n",
    "a name that is there twice": "entries:\n  web: []\n  db: []\n  web:\n  - {version: 1.0.0, urls: [w.tgz]}",
    "with a second document": "entries:\n  web:\n  - {version: 1.0.0, urls: [w.tgz]}\n---\nmore: {}\n",
}


@pytest.mark.parametrize("text", CUT.values(), ids=CUT)
def test_each_chart_is_parsed_by_itself(text: str) -> None:
    """What is found so is what is found when all of it is parsed."""
    assert find_sections(text.encode()) is not None
    assert dict(open_index(text.encode(), "it")) == dict(parse_index(text.encode(), "it"))


WHOLE = {
    "JSON": '{"entries":{"web":[{"version":"1.0.0","urls":["w.tgz"]}]}}',
    "a flow": "entries: {web: [{version: 1.0.0, urls: [w.tgz]}]}",
    "a flow on a line of its own": "entries:\n  {web: [{version: 1.0.0, urls: [w.tgz]}]}",
    "an odd name": "entries:\n  web:\n  - {version: 1.0.0, urls: [w.tgz]}\n  ? a b\n  : []\n",
    "two texts that look the same": 'a: "\nentries:\n"\nentries:\n  web:\n  - {version: 1.0.0, urls: [w.tgz]}\n',
}


@pytest.mark.parametrize("text", WHOLE.values(), ids=WHOLE)
def test_any_other_layout_is_parsed_as_a_whole(text: str) -> None:
    """Whatever YAML allows, an index may have."""
    assert open_index(text.encode(), "it")["web"] == (IndexEntry("1.0.0", "w.tgz"),)


def test_what_nobody_asks_for_costs_nothing() -> None:
    """A section that is broken harms its own chart alone; the error names the address."""
    index = open_index(b"entries:\n  web:\n  - {version: 1.0.0, urls: [w.tgz]}\n  db:\n  - {version: [\n", "it")

    assert list(index) == ["web", "db"]
    assert index["web"] == (IndexEntry("1.0.0", "w.tgz"),)
    with pytest.raises(RegistryError, match=r"^it is not YAML"):
        index["db"]


@pytest.mark.parametrize(("content", "message"), HOSTILE.values(), ids=HOSTILE)
def test_what_is_no_index_is_refused_at_once(content: bytes, message: str) -> None:
    """Not only when a chart is asked for."""
    with pytest.raises(RegistryError, match=r"^it ") as caught:
        open_index(content, "it")
    assert message in caught.value.message
