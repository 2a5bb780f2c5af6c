"""Bundles made to harm: every one is refused when it is opened, and none is ever unpacked to the disk."""

import ast
import io
import json
import tarfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import zstandard

import edgelift.bundle
from edgelift.bundle.container import LOCK, LOCK_LIMIT, tar_header
from edgelift.bundle.lock import BundleLock
from edgelift.bundle.reader import BundleReader
from edgelift.bundle.verify import verify_bundle
from edgelift.errors import BundleError
from tests.bundle.content import mixed_content
from tests.bundle.crafting import Part, craft, parts_of, python_header, tar_of_parts

VICTIM = 6  # a manifest in the middle of the tar
Change = Callable[[list[Part]], None]


def _renamed(name: str) -> Change:
    def change(parts: list[Part]) -> None:
        parts[VICTIM].header = python_header(name, len(parts[VICTIM].content))

    return change


def _with(**fields: object) -> Change:
    def change(parts: list[Part]) -> None:
        parts[VICTIM].header = python_header(parts[VICTIM].name, len(parts[VICTIM].content), **fields)

    return change


def _patched(start: int, field: bytes) -> Change:
    """Bytes of the header replaced, under a right checksum."""

    def change(parts: list[Part]) -> None:
        header = bytearray(parts[VICTIM].header)
        header[start : start + len(field)] = field
        header[148:156] = b" " * 8
        header[148:156] = b"%06o\0 " % sum(header)
        parts[VICTIM].header = bytes(header)

    return change


def _pax(kind: bytes, key: str, value: str) -> Change:
    """A pax header with one record before the member, local or global."""

    def change(parts: list[Part]) -> None:
        pax = {key: value}
        record = tarfile.TarInfo("x").create_pax_global_header(pax)
        header = bytearray(record)
        header[156:157] = kind
        header[148:156] = b" " * 8
        header[148:156] = b"%06o\0 " % sum(header[:512])
        parts[VICTIM].header = bytes(header) + parts[VICTIM].header

    return change


def _twice(parts: list[Part]) -> None:
    parts.insert(VICTIM, parts[VICTIM])


def _extra(parts: list[Part]) -> None:
    parts.append(Part("x", python_header("etc/cron.d/x", 1), b"x", bytes(511)))


def _left_out(parts: list[Part]) -> None:
    del parts[VICTIM]


def _swapped(parts: list[Part]) -> None:
    parts[VICTIM], parts[VICTIM + 1] = parts[VICTIM + 1], parts[VICTIM]


def _lock_first(parts: list[Part]) -> None:
    parts.insert(0, parts.pop(3))


def _through_a_link(parts: list[Part]) -> None:
    link = python_header("blobs/sha256", 0, type=tarfile.SYMTYPE, linkname="/etc")
    parts.insert(4, Part("blobs/sha256", link, b"", b""))


def _twice_but_for_case(parts: list[Part]) -> None:
    """Two files on a disk that keeps cases apart, one file on a disk that does not."""
    name = parts[VICTIM].name.upper()
    content, padding = b"x" * len(parts[VICTIM].content), parts[VICTIM].padding
    parts.append(Part(name, python_header(name, len(content)), content, padding))


def _file_through_a_link(parts: list[Part]) -> None:
    """A link to a folder elsewhere, and a file that would be written through it."""
    link = python_header("out", 0, type=tarfile.SYMTYPE, linkname="/tmp")
    parts += [Part("out", link, b"", b""), Part("out/x", python_header("out/x", 1), b"x", bytes(511))]


def _long(kind: bytes, text: str) -> Change:
    """GNU's way to a long name or link: a member of its own before the one that is meant."""

    def change(parts: list[Part]) -> None:
        content = text.encode() + b"\0"
        header = python_header("././@LongLink", len(content), type=kind)
        parts.insert(VICTIM, Part("././@LongLink", header, content, bytes(-len(content) % 512)))

    return change


def _many(parts: list[Part]) -> None:
    """Members without content, which cost next to nothing in the file."""
    empty = Part("x", python_header("x", 0), b"", b"")
    parts += [empty] * 20_000


TARS: dict[str, Change] = {
    "parent": _renamed("../x"),
    "parent inside": _renamed("blobs/../../x"),
    "absolute": _renamed("/etc/cron.d/x"),
    "dot": _renamed("."),
    "dots": _renamed(".."),
    "no name": _renamed(""),
    "a folder's name": _renamed("blobs/sha256/"),
    "another system's separator": _renamed("..\\..\\x"),
    "a name that is no text": _patched(0, b"\xff\xfe"),
    "a name of 4 KiB": _renamed("n" * 4096),
    "a name with NUL": _patched(70, b"\0/../x"),
    "another case": _renamed("BLOBS/SHA256/" + "A" * 64),
    "a name outside of the whitelist": _renamed("edgelift/other.json"),
    "a blob that the lock does not name": _renamed("blobs/sha256/" + "0" * 64),
    "prefix": _patched(345, b"../.."),
    "symbolic link": _with(type=tarfile.SYMTYPE, linkname="/etc/passwd"),
    "hard link": _with(type=tarfile.LNKTYPE, linkname="../../etc/passwd"),
    "hard link to a full path": _with(type=tarfile.LNKTYPE, linkname="/etc/passwd"),
    "link name on a file": _patched(157, b"/etc/passwd"),
    "folder": _with(type=tarfile.DIRTYPE),
    "character device": _with(type=tarfile.CHRTYPE, devmajor=1, devminor=3),
    "block device": _with(type=tarfile.BLKTYPE, devmajor=8),
    "pipe": _with(type=tarfile.FIFOTYPE),
    "sparse": _patched(156, b"S"),
    "sparse in pax": _pax(b"x", "GNU.sparse.name", "../x"),
    "a contiguous file": _with(type=tarfile.CONTTYPE),
    "the name of a volume": _patched(156, b"V"),
    "another volume's rest": _patched(156, b"M"),
    "an unknown type": _patched(156, b"Z"),
    "an old regular file": _patched(156, b"\0"),
    "a GNU long name": _patched(156, b"L"),
    "a GNU long name before it": _long(b"L", "../" * 50 + "x"),
    "a GNU long link before it": _long(b"K", "/" + "x" * 200),
    "negative size": _patched(124, b"\xff" * 12),
    "eight exabytes": _patched(124, b"\x80\0\0\0\x7f" + b"\xff" * 7),
    "huge size": _patched(124, b"77777777777\0"),
    "size of spaces": _patched(124, b" " * 12),
    "larger than the lock says": _patched(124, b"%011o\0" % (2**20)),
    "setuid": _with(mode=0o4755),
    "an owner": _with(uid=1000, uname="courier"),
    "a time": _with(mtime=1),
    "wrong checksum": lambda parts: setattr(parts[VICTIM], "header", parts[VICTIM].header[:-1] + b"x"),
    "pax path": _pax(b"x", "path", "../x"),
    "pax link": _pax(b"x", "linkpath", "../x"),
    "pax size": _pax(b"x", "size", "9999999999"),
    "pax character set": _pax(b"x", "hdrcharset", "BINARY"),
    "global pax path": _pax(b"g", "path", "../x"),
    "a member twice": _twice,
    "a member twice, in another case": _twice_but_for_case,
    "a member too many": _extra,
    "twenty thousand members too many": _many,
    "a member left out": _left_out,
    "two members in the other's place": _swapped,
    "the lock first": _lock_first,
    "a folder that is a link": _through_a_link,
    "a file behind a link": _file_through_a_link,
}


@pytest.mark.parametrize("change", TARS.values(), ids=TARS)
def test_hostile_tar_is_refused(tmp_path: Path, change: Change) -> None:
    """Under right checksums and a right seal: any other name, type, size or order is a `BundleError` at once."""
    parts = parts_of(*mixed_content())
    change(parts)
    bundle = craft(tmp_path, tar_of_parts(parts))

    with pytest.raises(BundleError):
        BundleReader.open(bundle)
    with pytest.raises(BundleError):
        verify_bundle(bundle)
    assert [bundle] == list(tmp_path.iterdir())


def test_tar_that_goes_on_after_its_end_is_refused(tmp_path: Path) -> None:
    """What tar readers would not look at is refused all the same."""
    parts = parts_of(*mixed_content())
    bundle = craft(tmp_path, tar_of_parts(parts) + tar_of_parts(parts[4:]))

    with pytest.raises(BundleError, match="where its lock gives"):
        BundleReader.open(bundle)


def test_crafted_bundle_without_a_change_is_read(tmp_path: Path) -> None:
    """What is refused here is refused for the change alone: the same tar as it was is opened."""
    lock, content = mixed_content()

    with BundleReader.open(craft(tmp_path, tar_of_parts(parts_of(lock, content)))) as reader:
        assert lock == reader.lock


def test_crafted_tars_are_taken_by_others() -> None:
    """Python's tarfile reads the very names and links that are refused here."""
    parts = parts_of(*mixed_content())
    _pax(b"x", "path", "../x")(parts)
    _through_a_link(parts)

    with tarfile.open(fileobj=io.BytesIO(tar_of_parts(parts))) as archive:
        members = {member.name: member for member in archive}

    assert members["../x"].isfile()
    assert members["blobs/sha256"].issym()


def _lock_text(change: Callable[[dict[str, Any]], None]) -> bytes:
    document = json.loads(mixed_content()[0].to_json())
    change(document)
    return (json.dumps(document, indent=2, sort_keys=True, ensure_ascii=False) + "\n").encode()


def _huge_sizes(document: dict[str, Any]) -> None:
    document["images"][1]["blobs"][2]["size"] = 2**62


def _no_manifest(document: dict[str, Any]) -> None:
    document["images"][0]["manifests"] = []


def _twice_named(document: dict[str, Any]) -> None:
    document["images"].append(document["images"][0])


def _two_sizes(document: dict[str, Any]) -> None:
    document["images"][0]["blobs"][1]["size"] += 1


def _name(name: str) -> bytes:
    return _lock_text(lambda document: document["definition"].update(name=name))


LOCKS: dict[str, tuple[bytes, str]] = {
    "nothing": (b"", "is not a bundle lock"),
    "no JSON": (b"\xff\xfe{", "is not a bundle lock"),
    "an unknown key": (_lock_text(lambda document: document.update(x=1)), "is not a bundle lock"),
    "a newer format": (_lock_text(lambda document: document.update(format="edgelift.lock/v2")), "a newer edgelift"),
    "deep nesting": (b"[" * 10**6, "is not a bundle lock"),
    "another form": (mixed_content()[0].to_json().replace(b"\n", b"\r\n"), "in another form"),
    "a repeated key": (
        mixed_content()[0].to_json().replace(b'{\n  "def', b'{\n  "format": "x",\n  "def'),
        "another form",
    ),
    "four exabytes": (_lock_text(_huge_sizes), "ends before|another header"),
    "its manifest left out": (_lock_text(_no_manifest), "the last of its manifests"),
    "a reference twice": (_lock_text(_twice_named), "twice"),
    "two sizes for a digest": (_lock_text(_two_sizes), "two sizes"),
    "a name that leads out": (_name("../../x"), "definition.name"),
    "a name that is a path": (_name("/tmp/x"), "definition.name"),
    "a name that is the folder above": (_name(".."), "definition.name"),
    "a name with a line end": (_name("x\n"), "definition.name"),
    "a name of 4 KiB": (_name("n" * 4096), "definition.name"),
    "an image more than is here": (
        mixed_content()[0].model_copy(update={"images": mixed_content()[0].images[:2]}).to_json(),
        "another header",
    ),
}


@pytest.mark.parametrize(("lock", "reason"), LOCKS.values(), ids=LOCKS)
def test_hostile_lock_is_refused(tmp_path: Path, lock: bytes, reason: str) -> None:
    """A lock that is none, lies or contradicts itself is a `BundleError`, without anything being read by it."""
    parts = parts_of(*mixed_content())
    part = next(part for part in parts if part.name == LOCK)
    part.header, part.content, part.padding = tar_header(LOCK, len(lock)), lock, bytes(-len(lock) % 512)
    bundle = craft(tmp_path, tar_of_parts(parts))

    with pytest.raises(BundleError, match=reason):
        BundleReader.open(bundle)


def test_absurdly_large_lock_is_not_read(tmp_path: Path) -> None:
    """A lock over the limit is refused by its header alone."""
    parts = parts_of(*mixed_content())[:4]
    parts[3].header, parts[3].content = tar_header(LOCK, LOCK_LIMIT + 1), b""
    bundle = craft(tmp_path, tar_of_parts(parts))

    with pytest.raises(BundleError, match="absurd"):
        BundleReader.open(bundle)


def test_lock_with_many_images_over_shared_content_opens(tmp_path: Path) -> None:
    """A thousand images over the same few blobs are one more large lock, not more members."""
    lock, content = mixed_content()
    images = [
        image.model_copy(update={"reference": f"{image.reference}-{n}"}) for n in range(250) for image in lock.images
    ]
    many = BundleLock(definition=lock.definition, images=tuple(images))
    bundle = craft(tmp_path, tar_of_parts(parts_of(many, content)))

    with BundleReader.open(bundle) as reader:
        assert many == reader.lock


def test_no_code_here_unpacks_a_tar() -> None:
    """Neither `tarfile` nor any `extract` is used by the bundle's code."""
    for source in Path(edgelift.bundle.__path__[0]).glob("*.py"):
        for node in ast.walk(ast.parse(source.read_text())):
            names = [alias.name for alias in node.names] if isinstance(node, ast.Import | ast.ImportFrom) else []
            module = node.module if isinstance(node, ast.ImportFrom) else None
            attribute = node.attr if isinstance(node, ast.Attribute) else ""
            assert not {"tarfile", "shutil.unpack_archive"} & {*names, module}, source
            assert attribute not in {"extract", "extractall", "unpack_archive"}, source


def test_a_bomb_behind_the_tar_is_not_decoded(tmp_path: Path) -> None:
    """A quarter of a tebibyte of zeros in 8 MiB, after a good tar: nobody decodes more of it than shows that."""
    block = 128 * 1024  # the most that one block may repeat a byte (RFC 8878 §3.1.1.2)
    repeated_zero = (block << 3 | 1 << 1).to_bytes(3, "little") + b"\0"
    last = (0 << 3 | 1).to_bytes(3, "little")
    bomb = b"\x28\xb5\x2f\xfd\x00\x38" + repeated_zero * (2**38 // block) + last
    path = tmp_path / "bomb.tar.zst"
    path.write_bytes(zstandard.compress(tar_of_parts(parts_of(*mixed_content()))) + bomb)

    with pytest.raises(BundleError, match="goes on after the end"):
        verify_bundle(path)
