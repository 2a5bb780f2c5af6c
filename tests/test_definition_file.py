"""Definition files: written to be edited, and read with what people made of them."""

import json
from pathlib import Path

import pytest

from edgelift.bundle.definition import BundleDefinition, Origin, RequestedChart, RequestedImage
from edgelift.definition_file import read_definition, write_definition
from edgelift.demo.palette_api import export_document
from edgelift.demo.profiles import demo_profiles
from edgelift.errors import ConfigurationError, StoreError

DEFINITION = BundleDefinition(
    name="site-7",
    images=(
        RequestedImage(reference="nginx:1.27", origins=(Origin(profile="apps@1.0", pack="web", path="images[0]"),)),
        RequestedImage(reference="quay.io/app:2", annotations={"tier": "web"}),
    ),
    charts=(RequestedChart(repository="oci://ghcr.io/charts", name="app", version="1.2.3"),),
)
FORMAT = "format: edgelift.definition/v1\n"


def edited(folder: Path, *edits: tuple[str, str]) -> Path:
    """The definition as it is written, with each of `edits` made."""
    path = write_definition(DEFINITION, folder)
    text = path.read_text()
    for old, new in edits:
        assert old in text
        text = text.replace(old, new)
    path.write_text(text)
    return path


def test_what_is_written_is_read(tmp_path: Path) -> None:
    """It says at its top what it is, and how it is built."""
    path = write_definition(DEFINITION, tmp_path / "out")

    assert path == tmp_path / "out" / "site-7.definition.yaml"
    assert read_definition(path) == DEFINITION
    assert "edgelift build --metadata-file site-7.definition.yaml" in path.read_text().partition("format:")[0]


def test_images_are_added_changed_and_removed_by_hand(tmp_path: Path) -> None:
    """Wherever an entry stands, it comes in its order: the same content gives the same bundle."""
    path = edited(
        tmp_path,
        ("images:\n", "images:\n- reference: zot.example/last:1\n- reference: busybox\n"),
        ("reference: docker.io/library/nginx:1.27", "reference: mirror.example/nginx:1.27"),
    )

    assert [image.reference for image in read_definition(path).images] == [
        "docker.io/library/busybox:latest",
        "mirror.example/nginx:1.27",
        "quay.io/app:2",
        "zot.example/last:1",
    ]


def test_packs_are_entries_as_well(tmp_path: Path) -> None:
    """They are something to carry, come in their order, and each is there once."""
    path = tmp_path / "packs.definition.yaml"
    packs = "packs:\n- reference: zot.example/b:1\n- reference: zot.example/a:1\n"
    path.write_text(FORMAT + packs)

    assert [pack.reference for pack in read_definition(path).requested] == ["zot.example/a:1", "zot.example/b:1"]

    path.write_text(FORMAT + packs + "images: [{reference: zot.example/a:1}]\n")
    with pytest.raises(ConfigurationError, match=r"names more than once: zot\.example/a:1"):
        read_definition(path)


def test_edits_are_not_written_over(tmp_path: Path) -> None:
    """A second run with the same content leaves the file as it is, one that would lose an edit ends with an error."""
    write_definition(DEFINITION, tmp_path)
    write_definition(DEFINITION, tmp_path)
    path = edited(tmp_path, ("tier: web", "tier: base"))
    with pytest.raises(StoreError, match="stands there already") as caught:
        write_definition(DEFINITION, tmp_path)

    assert "edited" in str(caught.value.hint)
    assert "tier: base" in path.read_text()


WRONG_EDITS = {
    "an unknown key": ("  annotations:\n", "  tag: '2'\n  annotations:\n", r"images\.1\.tag \(line \d+\): unknown key"),
    "a malformed reference": ("quay.io/app:2", "https://quay.io/app:2", r"images\.1\.reference \(line \d+\)"),
    "a key without its value": ("- reference: quay.io/app:2\n  origins: []\n", "- origins: []\n", r"reference \(line"),
    "an image twice": ("quay.io/app:2", "docker.io/library/nginx:1.27", "more than once: docker.io/library/nginx:1.27"),
    "no text": ("tier: web", "tier: 5", r"annotations\.tier \(line \d+\)"),
    "a reserved key": ("tier: web", "edgelift.pack: web", "follow from what is carried"),
    "an unknown key of the whole": (
        "compression_level",
        "compresion_level",
        r"compresion_level \(line 7\): unknown key",
    ),
}


@pytest.mark.parametrize(("old", "new", "message"), WRONG_EDITS.values(), ids=WRONG_EDITS)
def test_a_wrong_edit_is_named_with_its_line(old: str, new: str, message: str, tmp_path: Path) -> None:
    """The file, the key and the line: nobody has to search."""
    path = edited(tmp_path, (old, new))
    with pytest.raises(ConfigurationError, match=message) as caught:
        read_definition(path)

    assert str(path) in caught.value.message


def test_the_line_is_the_one_of_the_key(tmp_path: Path) -> None:
    """Counted from 1, as editors do."""
    path = tmp_path / "definition.yaml"
    path.write_text(f"{FORMAT}images:\n- reference: nginx\n- reference: busybox\n  tag: '1'\n")
    with pytest.raises(ConfigurationError, match=r"images\.1\.tag \(line 5\)"):
        read_definition(path)


OTHERS = {
    "a definition of another tool": ("images:\n- image: nginx\ncharts: []\n", "Palette's own CLI"),
    "a newer format": ("format: edgelift.definition/v9\nimages: []\n", "edgelift.definition/v1"),
    "a lock": ('{"format": "edgelift.lock/v1", "images": []}', "--lock"),
    "a site file": ("name: x\nsource: {}\ntarget: {}\n", "edgelift sync"),
    "an exported profile": (json.dumps(export_document(demo_profiles("registry.example")[0])), "--profile-file"),
    "a list": ("- nginx\n", "--images-from"),
    "nothing": ("", "--images-from"),
    "nothing to carry": (FORMAT, "--metadata-only"),
}


@pytest.mark.parametrize(("text", "hint"), OTHERS.values(), ids=OTHERS)
def test_other_files_are_told_what_they_are_for(text: str, hint: str, tmp_path: Path) -> None:
    """The next step is named, not only that it is the wrong file."""
    path = tmp_path / "bundle-definition.yaml"
    path.write_text(text)
    with pytest.raises(ConfigurationError) as caught:
        read_definition(path)

    assert hint in str(caught.value)
    assert str(path) in caught.value.message
