"""Signatures of images on the command line: what is carried is said, and what is required is demanded by name."""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from edgelift.demo.content import make_image
from tests.cli.commands import CommandLine, make_bundle, references
from tests.cosign import REPOSITORY, attach_sbom, make_key, public_pem, sign
from tests.simulators.registry import RegistrySimulator

APP, OTHER = make_image(REPOSITORY), make_image("team/other")
KEY = make_key()
SIGNATURE = sign(APP.root, KEY)


@pytest.fixture
def sim(tmp_path: Path) -> Iterator[RegistrySimulator]:
    """A registry with an image that is signed and has an SBOM, and one that nobody has signed."""
    with RegistrySimulator(tmp_path / "registry") as simulator:
        simulator.put_image(APP, OTHER, SIGNATURE, attach_sbom(APP.root))
        yield simulator


@pytest.fixture
def signed(sim: RegistrySimulator) -> str:
    """The name of the image that is signed."""
    (name,) = references(sim.host, APP)
    return name


def test_a_plan_says_what_travels_with_the_images(signed: str, command_line: CommandLine) -> None:
    """For people and for scripts; the lock holds it."""
    shown = command_line.run("plan", "--image", signed)
    planned = command_line.run("plan", "--image", signed, "--json", "--output", "site.lock.json")

    assert "signed images: 1; signatures and other referrers that are carried with them: 2" in shown.out
    assert [(each["signed"], each["referrers"]) for each in planned.document["images"]] == [(True, 2)]
    lock = json.loads((command_line.folder / "site.lock.json").read_bytes())
    assert [each.get("tag") for each in lock["images"][0]["referrers"]] == [SIGNATURE.tag, None]


def test_without_signatures_nobody_asks_for_them(
    signed: str, sim: RegistrySimulator, command_line: CommandLine
) -> None:
    """`--no-signatures` is said in the definition, and so in the lock."""
    sim.fail("GET", "/referrers/", status=500, times=None)
    planned = command_line.run("plan", "--image", signed, "--no-signatures", "--output", "site.lock.json")

    lock = json.loads((command_line.folder / "site.lock.json").read_bytes())
    assert (planned.code, sim.count("GET", "/referrers/")) == (0, 0)
    assert (lock["definition"]["signatures"], "referrers" in lock["images"][0]) == (False, False)


def test_what_is_not_signed_is_refused_by_name(signed: str, sim: RegistrySimulator, command_line: CommandLine) -> None:
    """With `--require-signatures`, and before anything moves."""
    (unsigned,) = references(sim.host, OTHER)
    both = ("--image", signed, "--image", unsigned)
    outcome = command_line.run("plan", *both, "--require-signatures")

    assert (outcome.code, f"{unsigned} (asked for by name): no signature of {OTHER.root.digest}" in outcome.error) == (
        1,
        True,
    )
    assert f"{signed} (" not in outcome.error


@pytest.mark.parametrize(("name", "code"), [("maker", 0), ("a stranger", 1)])
def test_a_key_says_whose_signature_it_has_to_be(name: str, code: int, signed: str, command_line: CommandLine) -> None:
    """That of the key's owner is taken, that of anybody else is not."""
    (command_line.folder / "cosign.pub").write_text(public_pem(make_key(name=name) if code else KEY))
    outcome = command_line.run("plan", "--image", signed, "--require-signatures", "--cosign-key", "cosign.pub")

    assert (outcome.code, "is one that the cosign key" in outcome.error) == (code, bool(code))


USAGE = {
    "both ways": (("--no-signatures", "--require-signatures"), "drop one of them"),
    "a key for nothing": (("--cosign-key", "registry"), "give both"),
    "no file": (("--require-signatures", "--cosign-key", "nowhere.pub"), "there is no file"),
    "no key": (("--require-signatures", "--cosign-key", "profile.json"), "is no public key"),
}


@pytest.mark.parametrize(("options", "reason"), USAGE.values(), ids=USAGE)
@pytest.mark.parametrize("command", ["plan", "build"])
def test_options_at_odds_are_told_at_once(
    command: str, options: tuple[str, ...], reason: str, signed: str, command_line: CommandLine
) -> None:
    """Before a registry is asked, and before Prefect starts."""
    (command_line.folder / "profile.json").write_text("{}")
    outcome = command_line.run(command, "--image", signed, "--name", "site", *options)

    assert (outcome.code, reason in outcome.error) == (2, True)


def test_what_arrived_is_proved_and_missed(signed: str, sim: RegistrySimulator, command_line: CommandLine) -> None:
    """`validate` says how many are signed and how much has arrived; a signature that is gone is exit code 3."""
    bundle = make_bundle(command_line.folder, sim.host, APP)
    home = f"{sim.host.replace(':', '_')}/{REPOSITORY}"
    with RegistrySimulator(command_line.folder / "target") as target:
        for image in (APP, SIGNATURE, attach_sbom(APP.root)):
            target.put_image(type(image)(**{**vars(image), "repository": home}))
        whole = command_line.run("validate", "--file", bundle, "--registry", target.host)
        target.content.delete_tag(home, SIGNATURE.tag)
        broken = command_line.run("validate", "--file", bundle, "--registry", target.host, "--json")

    assert (whole.code, "signed images: 1; signatures and other referrers that arrived: 2 of 2" in whole.err) == (
        0,
        True,
    )
    (proof,) = broken.document["proofs"]
    assert (broken.code, proof["signed"], proof["carried"], proof["arrived"]) == (3, True, 2, 1)
    assert proof["reason"].startswith(f"the signature {SIGNATURE.tag}: ")
