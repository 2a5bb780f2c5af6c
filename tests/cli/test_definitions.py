"""Definitions on the command line: written, edited, built from; and which entries of a bundle are meant."""

import gzip
import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
import yaml

from edgelift.bundle.placing import signature_path
from edgelift.bundle.signed import write_signed
from edgelift.demo.content import SampleImage, make_image
from edgelift.demo.palette_api import DEMO_PROJECT
from edgelift.demo.profiles import demo_profiles
from tests.archive.bundles import files_of
from tests.archive.bundles import make_bundle as make_archived
from tests.bundle.asked import CLUSTER
from tests.cli.commands import CommandLine, files_below, make_bundle, read_lock, references
from tests.keys import KeyFiles, signing_key
from tests.simulators.palette import PaletteSimulator
from tests.simulators.registry import RegistrySimulator

APP = make_image("team/app", architectures=("amd64", "arm64"))
PLAIN = make_image("team/plain")
KEY = "the-key-of-the-tests"


@pytest.fixture
def sim(tmp_path: Path) -> Iterator[RegistrySimulator]:
    """A registry with two images."""
    with RegistrySimulator(tmp_path / "registry") as simulator:
        simulator.put_image(APP, PLAIN)
        yield simulator


def names(document: dict[str, list[dict[str, str]]]) -> list[str]:
    """The references in a document."""
    return [image["reference"] for image in document["images"]]


def annotate(path: Path, reference: str, **annotations: str) -> None:
    """Give the image an annotation, as an editor would."""
    document = yaml.safe_load(path.read_text())
    (image,) = (each for each in document["images"] if each["reference"] == reference)
    image["annotations"] = annotations
    path.write_text(yaml.safe_dump(document, sort_keys=False))


def test_a_definition_is_written_edited_and_planned(sim: RegistrySimulator, command_line: CommandLine) -> None:
    """Palette is asked once; what is edited is what is planned, release and annotations with it."""
    with PaletteSimulator(demo_profiles(sim.host), KEY) as palette:
        environment = {"PALETTE_ENDPOINT": palette.url, "PALETTE_API_KEY": KEY}
        options = ("--profiles", "edge-infra,hello-site", "--project-id", DEMO_PROJECT.name, "--output", "out")
        release = ("--application-release-name", "shop", "--application-release-version", "2.0")
        written = command_line.run(
            "build", "--name", "site-7", "--metadata-only", *options, *release, "--json", **environment
        )
    path = command_line.folder / written.document["file"]
    document = yaml.safe_load(path.read_text())
    document["images"] = [{"reference": reference} for reference in reversed(references(sim.host, APP, PLAIN))]
    path.write_text(yaml.safe_dump(document))
    annotate(path, references(sim.host, APP)[0], tier="web")

    planned = command_line.run("plan", "--metadata-file", path, "--output", "site.lock.json", "--json")

    assert (written.code, path.name, len(written.document["images"])) == (0, "site-7.definition.yaml", 10)
    assert "nothing was moved" in written.err
    assert (planned.code, planned.document["name"]) == (0, "site-7"), planned.err
    assert planned.document["release"] == {"name": "shop", "version": "2.0"}
    assert names(planned.document) == references(sim.host, APP, PLAIN)
    assert planned.document["images"][0]["annotations"] == {"tier": ["web"], "edgelift.kind": ["image"]}
    lock = json.loads((command_line.folder / "site.lock.json").read_bytes())
    assert [each["name"] for each in lock["definition"]["profiles"]] == ["edge-infra", "hello-site"]
    assert sim.count("GET", "/blobs/") == 0


def test_a_definition_is_shown_in_tables(sim: RegistrySimulator, command_line: CommandLine) -> None:
    """People read of the release, its notes and the annotations of the whole."""
    release = ("--application-release-name", "shop", "--application-release-notes", "Faster.\nSmaller.")
    command_line.run("build", "--name", "site", "--metadata-only", "--image", references(sim.host, APP)[0], *release)
    path = command_line.folder / "output/content-bundle/site.definition.yaml"
    path.write_text(path.read_text() + "annotations: {customer: harbour}\n")

    outcome = command_line.run("plan", "-f", path)

    assert outcome.out.splitlines()[:4] == ["release shop", "  Faster.", "  Smaller.", "annotation customer=harbour"]


def test_images_come_from_lists_and_standard_input(sim: RegistrySimulator, command_line: CommandLine) -> None:
    """As good as naming each; a pipe is read, too."""
    (command_line.folder / "images.txt").write_text(f"{references(sim.host, APP)[0]} # ours\n")
    pipe = ("sh", "-c", f'echo "{references(sim.host, PLAIN)[0]}" | "$0" "$@"')

    outcome = command_line.run("plan", "--images-from", "images.txt", "--images-from", "-", "--json", within=pipe)

    assert (outcome.code, names(outcome.document)) == (0, references(sim.host, APP, PLAIN)), outcome.err


def test_the_definition_in_a_bundle_is_printed_to_be_edited(sim: RegistrySimulator, command_line: CommandLine) -> None:
    """What is printed is what --metadata-file takes."""
    bundle = make_bundle(command_line.folder / "given", sim.host, APP, name="harbour")

    printed = command_line.run("inspect", bundle, "--definition")
    (command_line.folder / "harbour.yaml").write_text(printed.out)
    planned = command_line.run("plan", "--metadata-file", "harbour.yaml", "--json")

    assert (printed.code, planned.code, planned.document["name"]) == (0, 0, "harbour")
    assert planned.document["lock"] == str(read_lock(bundle).digest)


def test_a_selection_is_rehearsed_and_validated(sim: RegistrySimulator, command_line: CommandLine) -> None:
    """Only what has the annotation is looked at, and the receipt says so."""
    folder = command_line.folder
    command_line.run(
        *("build", "--name", "site", "--metadata-only", "--output", "out"),
        *(option for each in references(sim.host, APP, PLAIN) for option in ("--image", each)),
    )
    annotate(folder / "out/site.definition.yaml", references(sim.host, APP)[0], tier="web")
    command_line.run("plan", "-f", "out/site.definition.yaml", "--output", "site.lock.json")
    place = f"edge/{sim.host.replace(':', '_')}"
    sim.put_image(replace(APP, repository=f"{place}/team/app"))
    target = ("--lock", "site.lock.json", "--registry", f"{sim.host}/edge")

    whole = command_line.run("validate", *target)
    selected = command_line.run("validate", *target, "--annotation-selector", "tier=web", "--receipt", "receipt.json")
    nothing = command_line.run("validate", *target, "--annotation-selector", "tier=wbe")

    assert (whole.code, selected.code, nothing.code) == (3, 0, 2), selected.err
    assert "1 ok, 0 differs, 0 missing, 0 not-checkable, of the entries with tier=web alone" in selected.err
    receipt = json.loads((folder / "receipt.json").read_bytes())
    assert (receipt["selection"], len(receipt["proofs"])) == ("tier=web", 1)
    assert "edgelift.kind=image, tier=web" in nothing.error


def test_only_what_is_selected_would_be_pushed(sim: RegistrySimulator, command_line: CommandLine) -> None:
    """A rehearsal names the entries that a push would send."""
    bundle = make_bundle(command_line.folder / "given", sim.host, APP, PLAIN)
    options = ("--dry-run", "--file", bundle, "--registry", f"{sim.host}/edge", "--json")

    outcome = command_line.run("push", *options, "--annotation-selector", "edgelift.kind=image")
    nothing = command_line.run("push", *options, "--annotation-selector", "edgelift.kind=chart")

    assert (outcome.code, len(outcome.document["pushes"]), nothing.code) == (0, 2, 2)


# Schemas


@pytest.mark.parametrize("kind", ["definition", "site"])
def test_schemas_are_printed(kind: str, command_line: CommandLine) -> None:
    """The one that is kept beside the documentation."""
    kept = Path(__file__).parents[2] / "docs" / "schema" / f"{kind}.schema.json"

    assert command_line.run("schema", kind).out == kept.read_text()


# Copies


def read_tag(sim: RegistrySimulator, repository: str, tag: str) -> str | None:
    """The digest under a tag."""
    found = sim.content.resolve(repository, tag)
    return str(found[0].digest) if found else None


def test_content_and_images_are_copied(sim: RegistrySimulator, command_line: CommandLine, tmp_path: Path) -> None:
    """A lock, the definition that it came from, and one image under another name; each is proved."""
    bundle = make_bundle(command_line.folder / "given", sim.host, APP, PLAIN)
    lock = bundle.with_name("site.lock.json")
    (command_line.folder / "site.yaml").write_text(read_lock(bundle).definition.to_yaml())
    with RegistrySimulator(tmp_path / "target") as target:
        by_lock = command_line.run("copy", lock, f"{target.host}/one", "--json")
        by_definition = command_line.run("copy", "site.yaml", f"{target.host}/two", "--receipt", "receipt.json")
        image = references(sim.host, APP)[0]
        by_name = command_line.run("copy", image, f"{target.host}/mirror/app:stable", "--json")
        place = sim.host.replace(":", "_")
        found = [read_tag(target, f"{base}/{place}/team/app", "1.0") for base in ("one", "two")]
        found.append(read_tag(target, "mirror/app", "stable"))

    assert (by_lock.code, by_definition.code, by_name.code) == (0, 0, 0), by_definition.err
    assert found == [str(APP.root.digest)] * 3
    assert (by_lock.document["whole"], by_lock.document["transfer"]["moved"]) == (True, len({*APP.blobs, *PLAIN.blobs}))
    assert json.loads((command_line.folder / "receipt.json").read_bytes())["whole"]
    assert [each["verdict"] for each in by_name.document["copied"]] == ["ok"]


def test_a_kept_bundle_is_listed_copied_and_brought_back(
    sim: RegistrySimulator, command_line: CommandLine, tmp_path: Path
) -> None:
    """The round of an archive in a registry: with what goes with the bundle, under its name."""
    bundle = make_bundle(command_line.folder / "given", sim.host, APP, name="harbour")
    keep(sim, bundle, bundle.with_name("harbour.lock.json"))
    kept = f"oci://{sim.host}/site/bundles"
    with RegistrySimulator(tmp_path / "target") as target:
        copied = command_line.run("copy", f"{kept}:harbour.tar.zst", f"oci://{target.host}/elsewhere")
        listed = command_line.run("list", f"oci://{target.host}/elsewhere", "--json")
        back = command_line.run("restore", f"oci://{target.host}/elsewhere:harbour.tar.zst", "back", "--json")

    assert (copied.code, listed.code, back.code) == (0, 0, 0), copied.err + listed.err + back.err
    (found,) = listed.document["bundles"]
    assert (found["name"], found["images"], found["date"]) == ("harbour", 1, None)
    assert files_below(command_line.folder / "back") == ["harbour.lock.json", "harbour.tar.zst"]
    assert (command_line.folder / "back" / "harbour.tar.zst").read_bytes() == bundle.read_bytes()


def test_a_kept_bundle_that_is_not_signed_is_not_copied(
    sim: RegistrySimulator, command_line: CommandLine, tmp_path: Path
) -> None:
    """Where a public key is configured, what its owner has not signed goes nowhere."""
    key = signing_key()
    for name, signer in (("signed", key), ("plain", None)):
        path = tmp_path / f"{name}.tar.zst"
        keep(sim, *files_of(path, make_archived(path, key=signer), signer))
    options = ("--public-key", KeyFiles.write(tmp_path, "site").public)
    with RegistrySimulator(tmp_path / "target") as target:
        signed, plain = (
            command_line.run("copy", f"oci://{sim.host}/site/bundles:{name}.tar.zst", f"{target.host}/a/b", *options)
            for name in ("signed", "plain")
        )
        tags = target.content.tags("a/b")

    assert (signed.code, plain.code) == (0, 1), signed.err
    assert "is not signed" in plain.err
    assert sorted(tags) == ["signed.lock.json", "signed.lock.json.sig", "signed.tar.zst", "signed.tar.zst.sig"]


def test_a_kept_bundle_is_copied_with_its_cluster_definition(
    sim: RegistrySimulator, command_line: CommandLine, tmp_path: Path
) -> None:
    """And with the signature of that, so that all of it comes back from there under a public key."""
    key, content = signing_key(), gzip.compress(b"a made-up cluster definition", mtime=0)
    path, definition = tmp_path / "site.tar.zst", tmp_path / "site.cluster-definition.tgz"
    write_signed(definition, content, key)
    files = files_of(path, make_archived(path, key=key, definition_content=content), key)
    keep(sim, *files, definition, signature_path(definition))
    options = ("--public-key", KeyFiles.write(tmp_path, "site").public)
    with RegistrySimulator(tmp_path / "target") as target:
        copied = command_line.run("copy", f"oci://{sim.host}/site/bundles:site.tar.zst", f"{target.host}/a/b", *options)
        back = command_line.run("restore", f"oci://{target.host}/a/b:site.tar.zst", "back", *options)
    brought = command_line.folder / "back"

    assert (copied.code, back.code) == (0, 0), copied.err + back.err
    assert (brought / "harbour.tgz").read_bytes() == content
    assert (brought / "harbour.tgz.sig").read_bytes() == signature_path(definition).read_bytes()


def test_only_what_is_selected_is_copied(sim: RegistrySimulator, command_line: CommandLine, tmp_path: Path) -> None:
    """The entry with the annotation goes, the others stay; what chooses nothing is refused."""
    lock = read_lock(make_bundle(command_line.folder / "given", sim.host, APP, PLAIN))
    first, *others = lock.definition.images
    marked = (first.model_copy(update={"annotations": {"tier": "web"}}), *others)
    definition = lock.definition.model_copy(update={"images": marked})
    lock = lock.model_copy(update={"definition": definition})
    (command_line.folder / "site.lock.json").write_bytes(lock.to_json())
    with RegistrySimulator(tmp_path / "target") as target:
        command = ("copy", "site.lock.json", f"{target.host}/one", "--annotation-selector")
        nothing, chosen = (command_line.run(*command, each) for each in ("tier=wbe", "tier=web"))
        found = target.content.repositories()

    assert (nothing.code, chosen.code) == (2, 0), chosen.err
    assert [name.rpartition("/")[2] for name in found] == ["app"]


def test_a_copy_of_content_says_what_it_leaves(sim: RegistrySimulator, command_line: CommandLine) -> None:
    """No registry has the cluster definition of a lock; the rest is copied."""
    bundle = make_bundle(command_line.folder / "given", sim.host, APP)
    lock = read_lock(bundle).model_copy(update={"cluster_definition": CLUSTER})
    (command_line.folder / "site.lock.json").write_bytes(lock.to_json())
    outcome = command_line.run("copy", "site.lock.json", f"{sim.host}/elsewhere")

    assert (outcome.code, "the cluster definition harbour is in no registry" in outcome.err) == (0, True), outcome.err


def keep(sim: RegistrySimulator, *files: Path) -> None:
    """Archive `files` as artifacts in `site/bundles`."""
    from edgelift.archive.artifact import ArtifactArchive  # noqa: PLC0415 - loads oras, for this test alone
    from edgelift.oci.credentials import Credentials  # noqa: PLC0415 - as above
    from edgelift.oci.registry import Registry  # noqa: PLC0415 - as above
    from edgelift.transport import TransportSettings  # noqa: PLC0415 - as above
    from tests.archive.buckets import digest_of  # noqa: PLC0415 - as above

    archive = ArtifactArchive(Registry(sim.host, TransportSettings(), Credentials()), "site/bundles")
    for file in files:
        archive.store(file, digest=digest_of(file))


# What makes no sense

BAD: dict[str, tuple[list[str], int, str]] = {
    "a metadata file and images": (
        ["plan", "-f", "x.yaml", "--image", "nginx"],
        2,
        "leave out the options that say it",
    ),
    "a metadata file and an architecture": (["plan", "-f", "x.yaml", "--arch", "arm64"], 2, "leave out the options"),
    "no metadata file": (["plan", "-f", "nowhere.yaml"], 2, "cannot read nowhere.yaml"),
    "metadata of a lock": (["build", "--name", "a", "--lock", "x.json", "-f", "x.yaml"], 2, "--lock is built as it is"),
    "a metadata file and a pack": (["plan", "-f", "x.yaml", "--packs", "pack"], 2, "leave out the options that say it"),
    "metadata of a cluster definition": (
        [
            *("build", "--name", "a", "--image", "nginx", "--metadata-only"),
            *("--cluster-definition-name", "a", "--cluster-definition-profile-ids", "b"),
        ],
        2,
        "a definition says neither",
    ),
    "a list that is not there": (["plan", "--images-from", "nowhere.txt"], 2, "cannot read nowhere.txt"),
    "a selector that is none": (
        ["validate", "--lock", "x.json", "--registry", "a.example", "--annotation-selector", "web"],
        2,
        "write it as KEY=VALUE",
    ),
    "a copy of a file that is not there": (["copy", "site.lock.json", "a.example"], 2, "cannot read site.lock.json"),
    "a copy of a bundle": (["copy", "x.tar.zst", "a.example"], 2, "push it: edgelift push"),
    "a copy to no repository": (["copy", "quay.io/app:1", "mirror.example"], 2, "is no place for an image"),
    "a copy without a tag": (["copy", f"quay.io/app@sha256:{'0' * 64}", "mirror.example/app"], 2, "has no tag"),
    "an image with mapping rules": (["copy", "quay.io/app:1", "a.example/app", "--map", "a.example=b"], 2, "one image"),
    "a list of no repository": (["list", "oci://mirror.example"], 2, "names no repository of a registry"),
    "a restore of a repository": (["restore", "oci://a.example/b"], 2, "names no bundle"),
    "a pruned registry": (["prune", "oci://a.example/b", "--keep", "1"], 2, "not pruned from here"),
}


@pytest.mark.parametrize(("arguments", "code", "message"), BAD.values(), ids=BAD)
def test_what_makes_no_sense_is_refused(
    command_line: CommandLine, arguments: list[str], code: int, message: str
) -> None:
    """One message with the next step, and no traceback."""
    (command_line.folder / "x.yaml").write_text("format: edgelift.definition/v1\nimages: [{reference: nginx}]\n")
    (command_line.folder / "x.json").write_text('{"definition": {}, "images": []}')
    (command_line.folder / "x.tar.zst").write_bytes(b"")
    outcome = command_line.run(*arguments)

    assert (outcome.code, message in outcome.error) == (code, True), outcome.err
    assert "Traceback" not in outcome.err


def test_edits_are_not_lost(sim: RegistrySimulator, command_line: CommandLine) -> None:
    """A second --metadata-only that would write something else ends with an error."""
    command = ("build", "--name", "site", "--metadata-only", "--image", image_of(sim, APP), "--output", "out")
    first, again = command_line.run(*command), command_line.run(*command)
    changed = command_line.run(*command, "--image", image_of(sim, PLAIN))

    assert (first.code, again.code, changed.code) == (0, 0, 1)
    assert "it may have been edited" in changed.err


def image_of(sim: RegistrySimulator, image: SampleImage) -> str:
    """The reference of `image` there."""
    return references(sim.host, image)[0]
