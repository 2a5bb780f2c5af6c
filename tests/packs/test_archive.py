"""Archives of packs: the same folder gives the same bytes, and nothing odd is taken for part of a pack."""

import gzip
import io
import os
import tarfile
from collections.abc import Callable
from pathlib import Path

import pytest

from edgelift.errors import ConfigurationError
from edgelift.packs import archive as subject
from edgelift.packs.archive import archive_folder, find_files
from tests.packs.samples import archive_of, make_pack_folder, names_in, odd_member, pack_files


def find(archive: bytes) -> dict[str, bytes]:
    """The two files of a pack in `archive`."""
    return find_files(archive, "pack.json", ("values.yaml",), "a.tar.gz")


def test_the_archive_holds_the_folder_of_the_pack(tmp_path: Path) -> None:
    """Below NAME-VERSION, whatever the folder is called here; folders come before what they hold, in order of names."""
    folder = make_pack_folder(tmp_path / "whatever", extra={"README.md": b"", "Zebra.md": b"z"})

    assert names_in(archive_folder(folder, "greeting-1.0.0")) == [
        "greeting-1.0.0",
        "greeting-1.0.0/README.md",
        "greeting-1.0.0/Zebra.md",
        "greeting-1.0.0/charts",
        "greeting-1.0.0/charts/greeting-1.tgz",
        "greeting-1.0.0/pack.json",
        "greeting-1.0.0/values.yaml",
    ]


def test_nothing_of_the_machine_is_in_it(tmp_path: Path) -> None:
    """Times, owners and modes are the same for every file, and gzip's own header has no time."""
    folder = make_pack_folder(tmp_path / "pack")
    (folder / "pack.json").chmod(0o600)
    archive = archive_folder(folder, "greeting-1.0.0")
    with tarfile.open(fileobj=io.BytesIO(archive), mode="r:gz") as tar:
        members = tar.getmembers()

    assert {(each.mtime, each.uid, each.gid, each.uname, each.gname) for each in members} == {(0, 0, 0, "", "")}
    assert {(each.type, each.mode) for each in members} == {(tarfile.REGTYPE, 0o644), (tarfile.DIRTYPE, 0o755)}
    assert archive[4:8] == bytes(4)


def test_the_same_files_give_the_same_bytes(tmp_path: Path) -> None:
    """Made in another order, at another time and with other modes, by another name."""
    one = make_pack_folder(tmp_path / "one", extra={"a": b"1", "b": b"2"})
    other = make_pack_folder(tmp_path / "other", extra={"b": b"2", "a": b"1"})
    os.utime(other / "a", (1, 1))
    (other / "b").chmod(0o755)

    assert archive_folder(one, "x-1") == archive_folder(other, "x-1")


def add_link(folder: Path) -> None:
    """A link to a file of the machine."""
    (folder / "values").symlink_to("/etc/passwd")


def add_linked_folder(folder: Path) -> None:
    """A link to a folder."""
    (folder / "manifests").symlink_to("/etc")


def add_pipe(folder: Path) -> None:
    """A pipe, which would keep a reader waiting."""
    os.mkfifo(folder / "pipe")


def add_odd_name(folder: Path) -> None:
    """A name that is no UTF-8."""
    (Path(os.fsdecode(os.fsencode(folder) + b"/\xff"))).write_bytes(b"")


ODD: dict[str, tuple[Callable[[Path], None], str]] = {
    "a link": (add_link, "values is a link or no plain file"),
    "a link to a folder": (add_linked_folder, "manifests is a link or no plain file"),
    "a pipe": (add_pipe, "pipe is a link or no plain file"),
    "a name that is none": (add_odd_name, "a file with an odd name"),
}


@pytest.mark.parametrize(("harm", "says"), ODD.values(), ids=ODD)
def test_what_is_no_plain_file_is_refused(harm: Callable[[Path], None], says: str, tmp_path: Path) -> None:
    """No link is followed, and nothing that is no file is read; the message names it."""
    folder = make_pack_folder(tmp_path / "pack")
    harm(folder)
    with pytest.raises(ConfigurationError, match=says):
        archive_folder(folder, "x-1")


PLACES = {"at the top": "", "in a folder": "greeting-1.0.0/", "as GNU tar writes it": "./"}


@pytest.mark.parametrize("place", PLACES.values(), ids=PLACES)
def test_files_are_found_where_archives_have_them(place: str) -> None:
    """At the top, or in the one folder there; files of the same name further in are other things."""
    files = {f"{place}{name}": content for name, content in pack_files().items()}
    files |= {f"{place}charts/x/values.yaml": b"other", f"{place}charts/values.yaml": b"another"}

    assert find(archive_of(files)) == pack_files()


HOSTILE = {
    "a link": (archive_of(pack_files(), odd_member("x", tarfile.SYMTYPE, "/etc/passwd")), "a link or device"),
    "a hard link": (archive_of(pack_files(), odd_member("x", tarfile.LNKTYPE, "pack.json")), "a link or device"),
    "a device": (archive_of(pack_files(), odd_member("x", tarfile.CHRTYPE)), "a link or device"),
    "a path upwards": (archive_of(pack_files() | {"a/../../x": b""}), "leads out of the pack"),
    "an absolute path": (archive_of(pack_files() | {"/etc/x": b""}), "leads out of the pack"),
    "a file twice": (archive_of({"a/pack.json": b"{}", "./a/pack.json": b"{}"}), "twice"),
    "two packs": (archive_of({"a/pack.json": b"{}", "b/pack.json": b"{}"}), "several folders"),
    "no gzip": (b"pack", "is no gzipped tar"),
    "no tar": (gzip.compress(b"pack" * 1000), "is no gzipped tar"),
    "cut short": (archive_of({"pack.json": os.urandom(90_000)})[:60_000], "is no gzipped tar"),
    "nothing": (b"", "is no gzipped tar"),
}


@pytest.mark.parametrize(("archive", "says"), HOSTILE.values(), ids=HOSTILE)
def test_a_hostile_archive_is_refused(archive: bytes, says: str) -> None:
    """What no pack holds is named, and what cannot be read is no archive."""
    with pytest.raises(ConfigurationError, match=says):
        find(archive)


def test_an_archive_that_unpacks_without_end_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    """A few KiB that become more than any pack are not read to their end."""
    monkeypatch.setattr(subject, "UNPACKED_LIMIT", 2**20)
    with pytest.raises(ConfigurationError, match="unpacks to more than"):
        find(archive_of({"a": bytes(4 * 2**20)} | pack_files()))


def test_a_file_that_is_absurdly_large_is_not_read(monkeypatch: pytest.MonkeyPatch) -> None:
    """Values have a limit of their own."""
    monkeypatch.setattr(subject, "FILE_LIMIT", 10)
    with pytest.raises(ConfigurationError, match="which is absurd"):
        find(archive_of(pack_files()))
