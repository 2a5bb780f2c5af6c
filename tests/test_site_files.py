"""Site files in numbers: every mistake of every file, with its line, at once."""

from pathlib import Path

import pytest

from edgelift.errors import ConfigurationError, SitesError
from edgelift.site_files import find_site_files, load_sites, raise_for_problems, read_sites

RIGHT = """\
name: plant-7
source: {images: [nginx]}
target: {registry: "mirror.example:5000"}
"""
WRONG = """\
name: plant-7
source:
  profiles: ["edge-infra@"]
  images:
    - nginx
    - Nginx:1
  charts: [nginx]
  edge_hosts: plant
  include_undeclared: ["quay.io/x y"]
  palette: Palette_Prod
target:
  registry: mirror.example:5000/edge
  rules:
    - quay.io=quay
    - quay.io/=other
    - ghcr.io
    - ghcr.io=elsewhere.example/x
  on_conflit: keep
access:
  registries: [mirror, Mirror]
  mirrors: [docker.io]
  rewrites: [ghcr.io=a.example, ghcr.io=b.example]
store: block:Shared Store
archive: {artifact: "registry.example"}
signing: {block: site key}
deep: true
schedules:
  - {name: nightly, cron: 15 2 * *}
  - {name: weekly, cron: "@weekly", timezone: Berlin}
deep: false
"""
PLACES = {
    (3, "source.profiles.0"): "names no profile",
    (6, "source.images.1"): "is not an image reference",
    (7, "source.charts.0"): "names no chart",
    (8, "source.edge_hosts"): "write it as key:value",
    (9, "source.include_undeclared.0"): "is not an image reference",
    (10, "source.palette"): "no name of a block",
    (15, "target.rules.1"): "there is another rule for quay.io",
    (16, "target.rules.2"): "write it as SRC=DST",
    (17, "target.rules.3"): "leads to the registry elsewhere.example",
    (18, "target.on_conflit"): "unknown key",
    (20, "access.registries.1"): "no name of a block",
    (21, "access.mirrors.0"): "names no mirror",
    (22, "access.rewrites"): "several rewrites of ghcr.io",
    (23, "store"): "no name of a block",
    (24, "archive.artifact"): "HOST[:PORT]/REPOSITORY",
    (25, "signing.block"): "no name of a block",
    (28, "schedules.0.cron"): "it has 4 fields",
    (29, "schedules.1.timezone"): "no such time zone",
    (30, "deep"): "the key stands in line 26 already",
}


def write(path: Path, text: str) -> Path:
    """Write the file at `path`, and return that."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    return path


def test_every_mistake_of_a_file_is_found_at_once(tmp_path: Path) -> None:
    """What is no site file, and what no reference, rule or name can be, stand side by side, each with its line."""
    (file,) = read_sites([write(tmp_path / "plant-7.yaml", WRONG)])

    assert list(PLACES) == [(problem.line, problem.place) for problem in file.problems]
    assert [text in each.message for text, each in zip(PLACES.values(), file.problems, strict=True)] == [True] * 19
    assert file.site is None


def test_mistakes_read_as_those_of_compilers(tmp_path: Path) -> None:
    """File, line, place and reason: editors jump there."""
    path = write(tmp_path / "plant-7.yaml", RIGHT + "depp: true\n")
    files = read_sites([path])

    assert list(files[0].complaints) == [f"{path}:4: depp: unknown key"]
    with pytest.raises(SitesError, match="1 of 1 site files cannot be used") as caught:
        raise_for_problems(files)
    assert (caught.value.exit_code, caught.value.failures) == (2, (f"{path}:4: depp: unknown key",))


def test_two_sites_of_one_name_are_both_wrong(tmp_path: Path) -> None:
    """Nobody can tell which of them is meant; the others are not concerned."""
    one, two = write(tmp_path / "a.yaml", RIGHT), write(tmp_path / "b.yaml", f"# a copy\n{RIGHT}")
    other = write(tmp_path / "c.yaml", RIGHT.replace("plant-7", "plant-8"))

    files = read_sites([tmp_path])

    assert [file.path for file in files] == [one, two, other]
    assert [line for file in files for line in file.complaints] == [
        f"{one}:1: name: {two} names this site, too",
        f"{two}:2: name: {one} names this site, too",
    ]
    assert [file.site.name for file in files if file.site is not None] == ["plant-8"]


STORES = {
    "a folder": ("/srv/edgelift/store", True),
    "a bucket": ("s3://bucket/prefix", True),
    "a block": ("block:store", True),
    "a folder that is called like a block": ("./block:Of Wood", True),
    "no bucket": ("s3:///prefix", False),
    "another server": ("https://s3.example/bucket", False),
    "a block of no name": ("block:", False),
}


@pytest.mark.parametrize(("store", "is_right"), STORES.values(), ids=STORES)
def test_a_site_names_its_store_as_the_option_does(tmp_path: Path, store: str, *, is_right: bool) -> None:
    """A folder of the worker, a bucket, or the block that has its keys; what can be none of these is told."""
    (file,) = read_sites([write(tmp_path / "plant-7.yaml", f'{RIGHT}store: "{store}"\n')])

    assert [problem.place for problem in file.problems] == ([] if is_right else ["store"])
    assert (file.site is not None and file.site.store == store) is is_right


NOT_READ = {
    "no file": (None, "cannot read "),
    "no YAML": ("name: [", "is not YAML at line 1"),
    "no text": (b"\xff\xfe", "is not a text file in UTF-8"),
}


@pytest.mark.parametrize(("content", "message"), NOT_READ.values(), ids=NOT_READ)
def test_a_file_that_cannot_be_read_does_not_hide_the_others(
    tmp_path: Path, content: str | bytes | None, message: str
) -> None:
    """It is one mistake among those of all files."""
    wrong, right = tmp_path / "a.yaml", write(tmp_path / "b.yaml", RIGHT)
    if content is not None:
        wrong.write_bytes(content if isinstance(content, bytes) else content.encode())

    files = read_sites([wrong, right])

    assert [len(file.problems) for file in files] == [1, 0]
    assert message in next(files[0].complaints)


def test_nothing_in_a_document_stops_the_search(tmp_path: Path) -> None:
    """Values of any kind in any place, and aliases that go round, are mistakes like others."""
    texts = [
        "",
        "- a",
        "source: [1]",
        "source: {images: {a: b}}",
        "target: {registry: 5, rules: [1, [a]]}",
        "1: {2: 3}",
    ]
    for number, text in enumerate([*texts, "name: &x [*x]", "source: &s {images: *s}"]):
        write(tmp_path / f"{number}.yaml", text)

    assert all(file.problems for file in read_sites([tmp_path]))


def test_folders_are_searched_to_the_bottom(tmp_path: Path) -> None:
    """Sites may be sorted into folders; what is hidden, or no YAML, is none."""
    files = [write(tmp_path / name, RIGHT) for name in ("north/a.yaml", "south/deep/b.yml")]
    for name in ("README.md", ".git/c.yaml", "north/.d.yaml"):
        write(tmp_path / name, "")

    assert find_site_files([tmp_path, files[0]]) == files


def test_an_empty_folder_is_a_mistake(tmp_path: Path) -> None:
    """Nothing to look at is rarely what was meant."""
    with pytest.raises(ConfigurationError, match="there is no site file in"):
        read_sites([tmp_path])


def test_all_sites_are_right_or_none_is_given(tmp_path: Path) -> None:
    """Whoever works with sites gets them in the order of their files, or every mistake of all of them."""
    for name in ("plant-9", "plant-7"):
        (tmp_path / f"{name}.yaml").write_text(RIGHT.replace("plant-7", name))
    assert [site.name for site in load_sites([tmp_path])] == ["plant-7", "plant-9"]

    (tmp_path / "plant-8.yaml").write_text("name: 8\n")
    with pytest.raises(SitesError, match="1 of 3 site files cannot be used"):
        load_sites([tmp_path])
