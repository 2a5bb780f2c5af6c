"""A pack is read from its folder, with what pack.json names; what is missing or leads elsewhere is not read."""

import json
from pathlib import Path

import pytest

from edgelift.errors import ConfigurationError
from edgelift.palette.undeclared.folder import read_local_pack
from edgelift.palette.undeclared.pack import profile_of
from tests.palette.charts import make_chart, pack_chart


def write_pack(folder: Path, values: str = "", **described: object) -> Path:
    """A folder with a pack.json and values."""
    folder.mkdir(exist_ok=True)
    (folder / "pack.json").write_text(json.dumps({"name": "web", "version": "1.2.3", "layer": "addon", **described}))
    (folder / "values.yaml").write_text(values)
    return folder


def test_a_pack_is_read_with_its_files(tmp_path: Path) -> None:
    """Values, manifests and charts, under the paths that pack.json gives them."""
    folder = write_pack(tmp_path / "web", "a: 1\n", kubeManifests=["manifests/m.yaml"], charts=["charts/web.tgz"])
    for path, data in (("manifests/m.yaml", b"kind: Pod\n"), ("charts/web.tgz", make_chart().data)):
        (folder / path).parent.mkdir()
        (folder / path).write_bytes(data)
    content = read_local_pack(folder)

    assert [(pack.name, pack.version, pack.values) for pack in profile_of(content).packs] == [
        ("web", "1.2.3", "a: 1\n")
    ]
    assert [(each.path, each.text) for each in content.manifests] == [("manifests/m.yaml", "kind: Pod\n")]
    assert [(each.path, each.data[:2]) for each in content.charts] == [("charts/web.tgz", b"\x1f\x8b")]


@pytest.mark.parametrize("top", ["web", "."])
def test_a_pack_is_read_from_its_archive(tmp_path: Path, top: str) -> None:
    """With its folder in it, as Palette has it, or without."""
    described = json.dumps({"name": "web", "version": "1.10", "charts": ["charts/web.tgz"]})
    files = {"pack.json": described, "values.yaml": "a: 1\n", "charts/web.tgz": make_chart().data}
    (tmp_path / "web-1.10.tar.gz").write_bytes(pack_chart(files, top))
    content = read_local_pack(tmp_path / "web-1.10.tar.gz")

    assert (content.name, content.version, content.values) == ("web", "1.10", "a: 1\n")
    assert [each.path for each in content.charts] == ["charts/web.tgz"]


def test_what_is_missing_is_named(tmp_path: Path) -> None:
    """A chart that the folder does not hold cannot be looked at, and that is told."""
    folder = write_pack(tmp_path / "web", charts=["charts/web.tgz"], kubeManifests=["manifests/m.yaml"])

    assert read_local_pack(folder).missing_charts == ("manifests/m.yaml", "charts/web.tgz")


def test_paths_out_of_the_folder_are_not_followed(tmp_path: Path) -> None:
    """A pack.json is a stranger's."""
    (tmp_path / "secret.yaml").write_text("image: team/app:1\n")
    folder = write_pack(tmp_path / "web", kubeManifests=["../secret.yaml", str(tmp_path / "secret.yaml"), "link.yaml"])
    (folder / "link.yaml").symlink_to(tmp_path / "secret.yaml")

    assert read_local_pack(folder).manifests == ()


@pytest.mark.parametrize("text", ["", "[]", "{}", "{", "[" * 100_000], ids=["empty", "list", "nameless", "cut", "deep"])
def test_a_folder_without_a_pack_is_refused(tmp_path: Path, text: str) -> None:
    """The error names the file."""
    (tmp_path / "pack.json").write_text(text)
    with pytest.raises(ConfigurationError, match=r"pack\.json"):
        read_local_pack(tmp_path)


def test_a_folder_with_nothing_is_refused(tmp_path: Path) -> None:
    """It may be the folder above."""
    with pytest.raises(ConfigurationError, match=r"pack\.json"):
        read_local_pack(tmp_path)
