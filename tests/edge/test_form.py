"""The form of an upload: its bytes are those of RFC 7578, its size is known before, its digest after."""

import re
from contextlib import closing
from email.parser import BytesParser
from pathlib import Path

import pytest

from edgelift.bundle.opening import open_source
from edgelift.bundle.source import LocalFile
from edgelift.edge.form import UploadForm
from edgelift.errors import BundleError
from edgelift.oci.digest import Digest
from tests.bundle.content import noise
from tests.bundle.parted import make_parted

MIB = 2**20


def made(path: Path, name: str = "site.tar.zst", signature: bytes | None = None) -> tuple[UploadForm, bytes]:
    """The form of the file at `path`, and all of its bytes."""
    form = UploadForm(LocalFile(path), name, signature)
    return form, b"".join(form.body(lambda _: None))


def parts_of(form: UploadForm, body: bytes) -> list[tuple[str | None, str | None, bytes]]:
    """Field, file name and content of each part, as Python's own parser of such documents reads them."""
    document = BytesParser().parsebytes(f"Content-Type: {form.content_type}\r\n\r\n".encode() + body)
    return [
        (
            str(part.get_param("name", header="content-disposition")),
            part.get_filename(),
            bytes(part.get_payload(decode=True)),
        )
        for part in document.get_payload()
    ]


@pytest.mark.parametrize("size", [0, 1, MIB - 1, MIB, 2 * MIB + 17])
def test_another_parser_finds_the_file(size: int, tmp_path: Path) -> None:
    """Whatever its size, the file is one part of the form, and its bytes are as they were."""
    content = noise(size).replace(b"\r", b"r").replace(b"\n", b"n")  # the parser changes ends of lines
    (tmp_path / "file").write_bytes(content)
    form, body = made(tmp_path / "file")

    assert parts_of(form, body) == [("uploadFile", "site.tar.zst", content)]
    assert (form.size, form.digest) == (len(body), Digest.of(content))


def test_a_signature_is_a_part_of_its_own(tmp_path: Path) -> None:
    """It comes after the file, under the name of the file and .sig."""
    (tmp_path / "file").write_bytes(b"content")
    form, body = made(tmp_path / "file", signature=b"signed\x00\xff")

    assert parts_of(form, body) == [
        ("uploadFile", "site.tar.zst", b"content"),
        ("signature", "site.tar.zst.sig", b"signed\x00\xff"),
    ]
    assert form.size == len(body)


NAMES = {
    'a"b.tgz': 'filename="a%22b.tgz"',
    "a\r\nX-Evil: 1.tgz": 'filename="a%0D%0AX-Evil: 1.tgz"',
    "größe.tgz": 'filename="größe.tgz"',
    "a;b.tgz": 'filename="a;b.tgz"',
}


@pytest.mark.parametrize(("name", "written"), NAMES.items(), ids=range(len(NAMES)))
def test_a_name_cannot_add_to_the_form(name: str, written: str, tmp_path: Path) -> None:
    """What would end the name or its line is escaped as browsers do it."""
    (tmp_path / "file").write_bytes(b"content")
    form, body = made(tmp_path / "file", name)
    heading = body.partition(b"\r\n\r\n")[0].decode()

    assert written in heading
    assert len(heading.split("\r\n")) == 3
    assert form.size == len(body)


def test_no_two_forms_have_the_same_boundary(tmp_path: Path) -> None:
    """A file cannot be made so that it holds the boundary of its own upload."""
    (tmp_path / "file").write_bytes(b"content")
    first, second = (made(tmp_path / "file")[0].content_type for _ in range(2))

    assert first != second
    assert re.fullmatch(r"multipart/form-data; boundary=[\w-]{30,70}", first)


def test_progress_is_that_of_the_file(tmp_path: Path) -> None:
    """What stands around the file does not count."""
    (tmp_path / "file").write_bytes(bytes(2 * MIB + 1))
    told: list[int] = []
    for _ in UploadForm(LocalFile(tmp_path / "file"), "file").body(told.append):
        pass

    assert told == [MIB, MIB, 1]


def test_a_file_that_becomes_shorter(tmp_path: Path) -> None:
    """It is an error, and not a form that is too short for what it promised."""
    path = tmp_path / "file"
    path.write_bytes(bytes(3 * MIB))
    body = UploadForm(LocalFile(path), "file").body(lambda _: None)
    next(body)
    path.write_bytes(b"")

    with pytest.raises(BundleError, match="became shorter"):
        next(body)


def test_parts_are_sent_as_the_whole(tmp_path: Path) -> None:
    """A host gets one file, under the name of the whole."""
    parted = make_parted(tmp_path)
    with closing(open_source(parted.index_file)) as source:
        form = UploadForm(source, "site.tar.zst")
        body = b"".join(form.body(lambda _: None))

    assert parted.whole in body
    assert form.digest == Digest.of(parted.whole)
