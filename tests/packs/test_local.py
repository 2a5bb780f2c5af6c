"""Local packs: who they are is in their pack.json, and what they become is the same on every machine."""

import json
from pathlib import Path

import pytest

from edgelift.errors import ConfigurationError
from edgelift.oci.digest import Digest
from edgelift.oci.manifest import ImageManifest, parse_manifest
from edgelift.packs.artifact import CONFIG_TYPE, LAYER_TYPE, PackArtifact
from edgelift.packs.local import LocalPack, read_pack, read_packs
from edgelift.store.local import LocalStore
from tests.packs.samples import archive_of, make_pack_folder, pack_files

REFERENCE = "local.invalid/spectro-packs/archive/greeting:1.0.0"


def manifest_of(artifact: PackArtifact) -> ImageManifest:
    """The manifest, read as a registry's client reads it."""
    descriptor = artifact.pinned.descriptor
    parsed = parse_manifest(artifact.contents[descriptor.digest], descriptor.media_type, descriptor.digest).parsed
    assert isinstance(parsed, ImageManifest)
    return parsed


def write_archive(folder: Path, name: str, **description: object) -> Path:
    """A pack as an archive of that file name."""
    path = folder / name
    path.write_bytes(archive_of({f"some/{name}": content for name, content in pack_files(**description).items()}))
    return path


def test_a_pack_has_the_name_in_its_description(tmp_path: Path) -> None:
    """Neither the folder's name nor the archive's counts."""
    folder = read_pack(make_pack_folder(tmp_path / "another-9.9.9"))
    archive = read_pack(write_archive(tmp_path, "yet-another-8.8.8.tar.gz"))

    assert [(each.name, each.version, str(each.reference)) for each in (folder, archive)] == [
        ("greeting", "1.0.0", REFERENCE)
    ] * 2


def test_an_archive_stays_as_it_is(tmp_path: Path) -> None:
    """Not a byte of it is changed, and its name is that of its content."""
    path = write_archive(tmp_path, "x.tar.gz")
    pack = read_pack(path)

    assert (pack.archive, pack.file_name) == (path.read_bytes(), "greeting-1.0.0.tar.gz")


def test_a_version_is_text(tmp_path: Path) -> None:
    """1.10 without quotes is not 1.1."""
    folder = make_pack_folder(tmp_path / "pack")
    (folder / "pack.json").write_text('{"name": "greeting", "version": 1.10}')

    assert read_pack(folder).version == "1.10"


def test_the_same_pack_given_twice_is_there_once(tmp_path: Path) -> None:
    """The same content at two places is one pack; the order of what is given does not matter."""
    one, other = make_pack_folder(tmp_path / "one"), make_pack_folder(tmp_path / "other")
    second = make_pack_folder(tmp_path / "second", name="another")
    paths = [str(path) for path in (one, other, second)]

    assert [each.name for each in read_packs(paths)] == ["another", "greeting"]
    assert read_packs(paths) == read_packs(paths[::-1])


def test_two_packs_of_one_name_have_to_be_the_same(tmp_path: Path) -> None:
    """Which of them is meant, nobody can say; both places are named."""
    one = make_pack_folder(tmp_path / "one")
    other = make_pack_folder(tmp_path / "other", values="a: 1\n")
    with pytest.raises(ConfigurationError, match=r"are both pack greeting 1\.0\.0, and differ") as caught:
        read_packs([str(one), str(other)])

    assert [str(path) in caught.value.message for path in (one, other)] == [True, True]


NO_PACKS = {
    "no description": ({"values.yaml": b""}, "there is no pack.json in it"),
    "no JSON": ({"pack.json": b"{"}, "is not JSON"),
    "a list": ({"pack.json": b"[]"}, "is not that of a pack"),
    "no version": ({"pack.json": b'{"name": "x"}'}, "is not that of a pack: version"),
    "an empty name": ({"pack.json": b'{"name": "", "version": "1"}'}, "is not that of a pack: name"),
    "a name with capitals": ({"pack.json": b'{"name": "Greeting", "version": "1"}'}, "cannot be in a registry"),
    "a name with a slash": ({"pack.json": b'{"name": "a/b", "version": "1"}'}, "cannot be in a registry"),
    "a name that leads out": ({"pack.json": b'{"name": "..", "version": "1"}'}, "cannot be in a registry"),
    "a version that is no tag": ({"pack.json": b'{"name": "x", "version": "1+2"}'}, "cannot be in a registry"),
    "values that are no text": ({"pack.json": b'{"name": "x", "version": "1"}', "values.yaml": b"\xff"}, "UTF-8"),
}


@pytest.mark.parametrize(("files", "says"), NO_PACKS.values(), ids=NO_PACKS)
@pytest.mark.parametrize("form", ["folder", "archive"])
def test_what_is_no_pack_is_named(form: str, files: dict[str, bytes], says: str, tmp_path: Path) -> None:
    """The message names the path and what is wrong, for folders and archives alike."""
    path = tmp_path / "given"
    if form == "archive":
        path.write_bytes(archive_of(files))
    else:
        path.mkdir()
        for name, content in files.items():
            (path / name).write_bytes(content)
    with pytest.raises(ConfigurationError, match=says) as caught:
        read_pack(path)

    assert str(path) in caught.value.message


def test_a_path_without_anything_is_named(tmp_path: Path) -> None:
    """Neither a folder nor a file."""
    with pytest.raises(ConfigurationError, match=r"cannot read .*nowhere: No such file"):
        read_pack(tmp_path / "nowhere")


def test_a_linked_description_is_refused(tmp_path: Path) -> None:
    """Not even the first file that is read may lead elsewhere."""
    folder = make_pack_folder(tmp_path / "pack")
    (folder / "pack.json").rename(tmp_path / "elsewhere.json")
    (folder / "pack.json").symlink_to(tmp_path / "elsewhere.json")
    with pytest.raises(ConfigurationError, match=r"pack.json is a link"):
        read_pack(folder)


# As an artifact


def test_the_artifact_is_laid_out_as_oras_does_it(tmp_path: Path) -> None:
    """One layer with the archive's name as its title, an empty config of no known type, and no time anywhere."""
    pack = read_pack(make_pack_folder(tmp_path / "pack"))
    artifact = PackArtifact.of(pack)
    manifest = manifest_of(artifact)
    (layer,) = manifest.layers

    assert (manifest.config.media_type, artifact.contents[manifest.config.digest]) == (CONFIG_TYPE, b"{}")
    assert (layer.media_type, artifact.contents[layer.digest]) == (LAYER_TYPE, pack.archive)
    assert layer.annotations == {"org.opencontainers.image.title": "greeting-1.0.0.tar.gz"}
    assert set(json.loads(artifact.contents[artifact.pinned.descriptor.digest])) == {
        *("schemaVersion", "mediaType", "config", "layers")
    }


def test_the_pinned_pack_says_nothing_of_its_place(tmp_path: Path) -> None:
    """The same pack from two machines is the same entry of a lock, byte for byte, and holds no path."""
    one, other = (PackArtifact.of(read_pack(make_pack_folder(tmp_path / name))) for name in ("one", "two"))

    assert (one.pinned, one.contents) == (other.pinned, other.contents)
    assert (one.pinned.kind, one.pinned.reference) == ("pack", REFERENCE)
    assert str(tmp_path) not in one.pinned.model_dump_json()
    assert all(str(tmp_path).encode() not in content for content in one.contents.values())


def test_what_is_kept_is_whole(tmp_path: Path) -> None:
    """The store has every byte, and the name."""
    pack = LocalPack("greeting", "1.0.0", "addon", "", archive_of(pack_files()))
    store, artifact = LocalStore(tmp_path / "store"), PackArtifact.of(pack)
    artifact.keep(store)

    assert store.references() == {REFERENCE: artifact.pinned.descriptor}
    assert {Digest.of(b"".join(store.read(each))) for each in artifact.pinned.blobs} == {
        each.digest for each in artifact.pinned.blobs
    }
