"""How well undeclared images are found is counted honestly."""

from pathlib import Path

import yaml

from bench.undeclared import SETS, Score, measure, score_pack, to_table, total
from edgelift.oci.reference import ImageReference
from edgelift.palette.undeclared.findings import PackReport, UsedImage
from tests.palette.undeclared.test_folder import write_pack

LABEL = {
    "undeclared": [{"image": "a:1", "in": "values.yaml"}, {"image": "b:1", "in": "charts/x.tgz"}],
    "off": [{"image": "c:1", "in": "values.yaml"}],
}


def report(**images: str) -> PackReport:
    """A report with these images, as sure as that."""
    found = [UsedImage(image=f"{name}:1", confidence=sure, reason="") for name, sure in images.items()]
    return PackReport(pack="web", undeclared=tuple(found))


def test_only_what_is_certain_or_likely_counts() -> None:
    """An image that is off and was reported is wrong; one whose file is not at hand is not missed, but told."""
    files = frozenset({"values.yaml"})
    good = score_pack("web", LABEL, files, report(a="likely", c="possible"))
    bad = score_pack("web", LABEL, files, report(c="certain", d="likely"))

    assert (good.precision, good.recall, good.not_at_hand) == (1.0, 1.0, 1)
    assert (bad.right, bad.wrong, bad.missed, bad.off) == (set(), {"c:1", "d:1"}, {"a:1"}, {"c:1"})


def test_a_pack_without_anything_to_find_is_right_where_nothing_is_found() -> None:
    """Its precision and recall are whole, and it weighs nothing in those of all."""
    empty = Score("x", frozenset(), frozenset(), frozenset())
    other = Score("y", frozenset({"a:1"}), frozenset({"b:1"}), frozenset({"c:1"}))

    assert (empty.precision, empty.recall) == (1.0, 1.0)
    assert (total([empty, other]).precision, total([empty, other]).recall) == (0.5, 0.5)


def test_the_packs_of_a_folder_are_measured(tmp_path: Path) -> None:
    """Those that the labels have and the folder holds; each is a row, and all together are the last."""
    labels = tmp_path / "labels.yaml"
    labels.write_text(
        "packs:\n  web-1: {undeclared: [{image: 'docker.io/team/app:1', in: values.yaml}]}\n"
        "  gone-1: {undeclared: []}\n"
    )
    write_pack(tmp_path / "web-1", "image: team/app:1\n")
    rows = list(to_table(measure(tmp_path, labels)))

    counts = "1 | 1 | 0 (0) | 0 (0) | 1.00 | 1.00"
    assert rows[2:] == [f"| web-1 | {counts} |", f"| together | {counts} |"]


def test_an_image_without_its_tag_is_missed_and_named() -> None:
    """It is no right answer, since nothing could be carried by it; that it was seen is told beside."""
    found = (UsedImage(image=f"{name}:…", confidence="likely", reason="", is_complete=False) for name in ("a", "d"))
    score = score_pack("web", LABEL, frozenset({"values.yaml"}), PackReport(pack="web", undeclared=tuple(found)))

    assert (score.right, score.missed, score.named) == (frozenset(), {"a:1"}, {"a:1"})
    assert (score.misnamed, score.precision, score.recall) == ({"docker.io/library/d"}, 1.0, 0.0)


def test_labels_are_canonical_references() -> None:
    """Else a right answer would count as a wrong one."""
    for labels in SETS.values():
        for label in yaml.safe_load(labels.read_text())["packs"].values():
            for each in (*label["undeclared"], *label.get("off", ())):
                assert str(ImageReference.parse(each["image"])) == each["image"]
                assert label["why"]
