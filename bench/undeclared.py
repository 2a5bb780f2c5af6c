"""`python -m bench.undeclared FOLDER`: how well undeclared images are found in the packs of a folder, beside labels.

Labels were made by hand, the first ten packs' before there was a detector. A reported image counts as right if the
labels have it. Labels of files that are not at hand are not counted; how many these are is printed. An image of which
only the tag could not be told counts as missed, and is counted among these as named.
"""

import argparse
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from edgelift.oci.reference import ImageReference
from edgelift.palette.undeclared.findings import PackReport
from edgelift.palette.undeclared.folder import read_local_pack
from edgelift.palette.undeclared.helm import find_helm
from edgelift.palette.undeclared.pack import profile_of
from edgelift.palette.undeclared.profiles import find_undeclared

LABELS = Path(__file__).parents[1] / "tests" / "palette" / "data"
SETS = {"first": LABELS / "undeclared-labels-first.yaml", "second": LABELS / "undeclared-labels-second.yaml"}


@dataclass(frozen=True)
class Score:
    """Of one pack: images that were found and are right, that were found and are wrong, and that were not found."""

    pack: str
    right: frozenset[str]
    wrong: frozenset[str]
    missed: frozenset[str]
    off: frozenset[str] = frozenset()  # of the wrong ones, those that the labels call turned off
    not_at_hand: int = 0
    named: frozenset[str] = frozenset()  # of the missed ones, those that were found without their tags
    misnamed: frozenset[str] = frozenset()  # found without tags, and in no label

    @property
    def precision(self) -> float:
        """Of the found images, the share that is right; 1 where none was found."""
        found = len(self.right) + len(self.wrong)
        return len(self.right) / found if found else 1.0

    @property
    def recall(self) -> float:
        """Of the images to be found, the share that was; 1 where there are none."""
        wanted = len(self.right) + len(self.missed)
        return len(self.right) / wanted if wanted else 1.0


def score_pack(name: str, label: dict[str, Any], files: frozenset[str], report: PackReport) -> Score:
    """What `report` has found of the pack `name`, beside its `label`; `files` are those that were at hand."""
    wanted = {each["image"] for each in label["undeclared"] if each["in"] in files}
    off = {each["image"] for each in label.get("off", ())}
    found = {image.image for image in report.undeclared if image.is_confident}
    untagged = {_name_of(image.untagged) for image in report.undeclared if image.untagged is not None}
    return Score(
        name,
        frozenset(found & wanted),
        frozenset(found - wanted),
        frozenset(wanted - found),
        frozenset(found & off),
        sum(each["in"] not in files for each in label["undeclared"]),
        frozenset(image for image in wanted - found if _name_of(image) in untagged),
        frozenset(untagged - {_name_of(image) for image in wanted}),
    )


def _name_of(image: str) -> str:
    return ImageReference.parse(image).name


def total(scores: Sequence[Score]) -> Score:
    """All packs together, each image counted in each pack."""

    def every(part: str) -> frozenset[str]:
        return frozenset(f"{score.pack} {image}" for score in scores for image in getattr(score, part))

    missing = sum(score.not_at_hand for score in scores)
    return Score(
        "together",
        every("right"),
        every("wrong"),
        every("missed"),
        every("off"),
        missing,
        every("named"),
        every("misnamed"),
    )


def measure(folder: Path, labels: Path) -> list[Score]:
    """The scores of the packs that `labels` has and `folder` holds."""
    documents = yaml.safe_load(labels.read_text())["packs"]
    return [_measure_pack(folder / name, label) for name, label in documents.items() if (folder / name).is_dir()]


def to_table(scores: Sequence[Score]) -> Iterator[str]:
    """The lines of a table in Markdown."""
    yield "| pack | to find | right | wrong (turned off) | missed (named without tags) | precision | recall |"
    yield "|---|---|---|---|---|---|---|"
    for score in (*scores, total(scores)):
        wanted = len(score.right) + len(score.missed)
        counts = f"{wanted} | {len(score.right)} | {len(score.wrong)} ({len(score.off)})"
        missed = f"{len(score.missed)} ({len(score.named)})"
        yield f"| {score.pack} | {counts} | {missed} | {score.precision:.2f} | {score.recall:.2f} |"


def _measure_pack(folder: Path, label: dict[str, Any]) -> Score:
    content = read_local_pack(folder)
    profile = profile_of(content)
    (report,) = find_undeclared([profile], {}, contents={profile.packs[0]: content}, helm=find_helm())
    files = frozenset(str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file())
    return score_pack(folder.name, label, files, report)


def main() -> None:
    """Print a table for each set of labels, and what was wrong and missed."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path, help="holds a folder for each pack")
    parser.add_argument("--labels", choices=(*SETS, "all"), default="all")
    options = parser.parse_args()
    for name, labels in SETS.items():
        if options.labels in (name, "all") and labels.exists():
            scores = measure(options.folder, labels)
            print(f"\n{name} set:\n", *to_table(scores), sep="\n")  # noqa: T201 - the result
            print(f"\nlabels of files that are not at hand: {total(scores).not_at_hand}")  # noqa: T201
            for part in ("wrong", "missed", "misnamed"):
                print(f"{part}:", *(sorted(getattr(total(scores), part)) or ["none"]), sep="\n  ")  # noqa: T201


if __name__ == "__main__":
    main()
