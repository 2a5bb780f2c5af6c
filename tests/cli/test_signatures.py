"""Signatures on the command line: what is built with a key, and what is refused where a public one is configured.

Refused means: exit code 1, what to do next, not one request, not one file.
"""

import json
import re
import subprocess
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import httpx
import pytest

from edgelift.bundle.placing import signature_path
from edgelift.bundle.reader import BundleReader
from edgelift.bundle.signed import write_signed
from edgelift.bundle.writer import assemble_bundle
from edgelift.demo.content import make_image
from tests.cli.commands import EDGELIFT, CommandLine, Outcome, files_below, make_bundle, read_lock, references
from tests.keys import PASSPHRASE, KeyFiles, encrypt, openssl_accepts, signing_key
from tests.real_parts import require_tool
from tests.simulators.registry import RegistrySimulator

APP = make_image("team/app", architectures=("amd64", "arm64"))
OTHER = make_image("team/other")


@dataclass(frozen=True)
class Stage:
    """A signed bundle and its lock in `given`, the keys, and a registry that counts what it is asked."""

    folder: Path
    keys: KeyFiles
    sim: RegistrySimulator

    @property
    def bundle(self) -> Path:
        """The bundle."""
        return self.folder / "given" / "site.tar.zst"

    @property
    def lock(self) -> Path:
        """The lock beside it."""
        return self.folder / "given" / "site.lock.json"

    def assemble(self, key: str | None) -> None:
        """Write bundle and lock again, signed with the key of that name, or with none."""
        lock = read_lock(self.bundle)
        signs = signing_key(key) if key is not None else None
        with BundleReader.open(self.bundle) as source:
            assemble_bundle(lock, source, self.bundle, key=signs)
        write_signed(self.lock, lock.to_json(), signs)

    def swap(self) -> None:
        """Put the bundle of other content, signed with the same key, in the place of this one; its signatures stay."""
        other = make_bundle(self.folder / "other", self.sim.host, OTHER)
        with BundleReader.open(other) as source:
            assemble_bundle(source.lock, source, other, key=signing_key())
        other.replace(self.bundle)
        (self.folder / "other" / "site.lock.json").replace(self.lock)

    def asked(self) -> list[str]:
        """The options that ask for the image."""
        return ["--image", *references(self.sim.host, APP)]


@pytest.fixture
def stage(tmp_path: Path) -> Iterator[Stage]:
    """Everything signed and right."""
    with RegistrySimulator(tmp_path / "registry") as sim:
        sim.put_image(APP, OTHER)
        make_bundle(tmp_path / "given", sim.host, APP)
        stage = Stage(tmp_path, KeyFiles.write(tmp_path / "keys", "site"), sim)
        stage.assemble("site")
        yield stage


def without_effect(stage: Stage, run: Callable[[], Outcome]) -> Outcome:
    """What a command comes to that must not ask for anything or write anything, but what Prefect keeps for itself."""
    stage.sim.forget_requests()
    before = files_below(stage.folder)
    outcome = run()
    new = [each for each in files_below(stage.folder) if each not in before and not each.startswith("home/")]
    assert (stage.sim.requests, new) == ([], [])
    assert "Traceback" not in outcome.err
    return outcome


# Building


@dataclass(frozen=True)
class Way:
    """How a key is given to the command; `opened` is what a shell opens for it before."""

    options: tuple[str, ...]
    opened: str = ""
    environment: Mapping[str, str] = field(default_factory=dict)

    @property
    def within(self) -> tuple[str, ...]:
        """A shell that becomes the command."""
        return ("/bin/bash", "-c", f'exec "$@" {self.opened}', "bash")


OPENED = f"7<keys/encrypted.key 8< <(printf %s '{PASSPHRASE}')"
WAYS = {
    "a file": Way(("--signing-key", "keys/plain.key")),
    "an encrypted file": Way(
        ("--signing-key", "keys/encrypted.key"), environment={"EDGELIFT_SIGNING_PASSPHRASE": PASSPHRASE}
    ),
    "descriptors": Way(("--signing-key-fd", "7", "--passphrase-fd", "8"), OPENED),
    "a pipe": Way(("--signing-key-fd", "7"), "7< <(cat keys/plain.key)"),
    "descriptors that variables name": Way((), OPENED, {"EDGELIFT_SIGNING_KEY_FD": "7", "EDGELIFT_PASSPHRASE_FD": "8"}),
}


@pytest.mark.parametrize("way", WAYS.values(), ids=WAYS)
def test_openssl_accepts_what_is_built(way: Way, api: str, stage: Stage, command_line: CommandLine) -> None:
    """The bundle and its lock come with signatures that anyone can check, however the key was given."""
    keys = KeyFiles.write(stage.folder / "keys", "plain")
    (stage.folder / "keys" / "encrypted.key").write_bytes(encrypt(keys.private.read_bytes(), PASSPHRASE))
    outcome = command_line.run(
        *("build", "--name", "site", *stage.asked(), "--output", "out", "--store", "store", "--json", *way.options),
        within=way.within,
        PREFECT_API_URL=api,
        **way.environment,
    )

    assert outcome.code == 0, outcome.err
    assert outcome.document["is_signed"]
    for name in ("site.tar.zst", "site.lock.json"):
        assert openssl_accepts(stage.folder / "out" / name, keys.public)
    assert PASSPHRASE not in outcome.err + outcome.out


def test_a_signed_bundle_is_pushed_and_rebuilt_under_a_key(api: str, stage: Stage, command_line: CommandLine) -> None:
    """Whoever demands signatures gets what is signed: pushed, and rebuilt from its lock byte for byte."""
    common = {"PREFECT_API_URL": api, "EDGELIFT_PUBLIC_KEY": str(stage.keys.public)}
    target = ("--registry", f"{stage.sim.host}/edge", "--output", "out")
    pushed = command_line.run("push", "--file", stage.bundle, *target, "--json", **common)
    rebuilt = command_line.run(
        *("build", "--name", "site", "--lock", stage.lock, "--output", "again", "--store", "store"),
        *("--signing-key", stage.keys.private),
        **common,
    )

    assert (pushed.code, pushed.document["is_whole"]) == (0, True), pushed.err
    assert f"is signed: {stage.keys.public}" in pushed.err
    assert rebuilt.code == 0, rebuilt.err
    for name in ("site.tar.zst", "site.tar.zst.sig", "site.lock.json", "site.lock.json.sig"):
        assert (stage.folder / "again" / name).read_bytes() == (stage.folder / "given" / name).read_bytes()


BAD_KEYS: dict[str, tuple[tuple[str, ...], dict[str, str], str]] = {
    "no file": (("--signing-key", "nowhere.key"), {}, "cannot read"),
    "a public key": (("--signing-key", "keys/site.pub"), {}, "is no private key in PEM"),
    "encrypted": (("--signing-key", "keys/encrypted.key"), {}, "is encrypted, and there is no passphrase for it"),
    "a wrong passphrase": (
        ("--signing-key", "keys/encrypted.key"),
        {"EDGELIFT_SIGNING_PASSPHRASE": "wrong"},
        "cannot be decrypted with this passphrase",
    ),
    "a descriptor that is not open": (("--signing-key-fd", "77"), {}, "the file descriptor 77 is not open"),
    "a descriptor of our own": (("--signing-key-fd", "3"), {}, "the file descriptor 3 is not open"),
    "two keys": (("--signing-key", "keys/site.key", "--signing-key-block", "site"), {}, "one key signs"),
    "a public key for nothing": (("--public-key", "keys/site.pub"), {}, "--public-key is for a lock"),
    "a passphrase for nothing": (("--passphrase-fd", "0"), {}, "--passphrase-fd is for the key of"),
    "a public key that is private": (
        ("--lock", "given/site.lock.json", "--public-key", "keys/site.key"),
        {},
        "holds a private key where a public one is asked for",
    ),
}


@pytest.mark.parametrize(("options", "environment", "reason"), BAD_KEYS.values(), ids=BAD_KEYS)
def test_a_key_that_cannot_sign_is_told_at_once(
    options: tuple[str, ...], environment: dict[str, str], reason: str, stage: Stage, command_line: CommandLine
) -> None:
    """Before Prefect is started, and before anything is asked of anyone; nothing of the key is shown."""
    KeyFiles.write(stage.folder / "keys", "encrypted", PASSPHRASE)
    source = [] if "--lock" in options else stage.asked()
    outcome = without_effect(
        stage,
        lambda: command_line.run("build", "--name", "site", *source, "--output", "out", *options, **environment),
    )

    assert (outcome.code, reason in outcome.error) == (2, True), outcome.err
    assert "Prefect" not in outcome.err
    assert not any(line in outcome.err for line in stage.keys.private.read_text().splitlines()[1:-1])


# What is refused


def unsigned(stage: Stage) -> None:
    """Nobody has signed anything."""
    stage.assemble(None)


def stripped(stage: Stage) -> None:
    """The detached signatures are gone."""
    for path in (stage.bundle, stage.lock):
        signature_path(path).unlink()


def foreign(stage: Stage) -> None:
    """Somebody else has signed."""
    stage.assemble("stranger")


def swapped(stage: Stage) -> None:
    """The signatures are those of other content."""
    stage.swap()


def truncated(stage: Stage) -> None:
    """The signatures are cut short."""
    for path in map(signature_path, (stage.bundle, stage.lock)):
        path.write_bytes(path.read_bytes()[:-1])


def changed(stage: Stage) -> None:
    """The lock is another by a byte, and a layer by a bit."""
    content = bytearray(stage.bundle.read_bytes())
    with BundleReader.open(stage.bundle) as bundle:
        layer = max((blob for blob in bundle.container.blobs if blob.is_raw), key=lambda blob: blob.size)
        frame = bundle.tar.table.find(layer.offset)
    content[frame.stored_start + frame.stored_size // 2] ^= 1
    stage.bundle.write_bytes(content)
    stage.lock.write_bytes(stage.lock.read_bytes().replace(b"team/app", b"team/apq"))


def cut(stage: Stage) -> None:
    """Bundle and lock are cut short."""
    for path in (stage.bundle, stage.lock):
        path.write_bytes(path.read_bytes()[:-20])


WHOLE = (unsigned, stripped, foreign, swapped, truncated, changed, cut)
SOME = (stripped, foreign, swapped)  # the same check as that of a command that is tried with all of them
PART = (unsigned, foreign, cut)  # the lock inside the bundle has its own signature, and each blob its digest
COMMANDS: dict[str, tuple[tuple[Callable[[Stage], None], ...], Callable[[Stage], tuple[object, ...]]]] = {
    "push": (
        SOME,
        lambda stage: ("push", "--file", stage.bundle, "--registry", f"{stage.sim.host}/edge", "--output", "out"),
    ),
    "push --dry-run": (
        WHOLE,
        lambda stage: ("push", "--file", stage.bundle, "--registry", stage.sim.host, "--dry-run"),
    ),
    "build --lock": (
        SOME,
        lambda stage: ("build", "--name", "site", "--lock", stage.lock, "--output", "out", "--store", "store"),
    ),
    "validate --lock": (WHOLE, lambda stage: ("validate", "--lock", stage.lock, "--registry", stage.sim.host)),
    "validate --file": (PART, lambda stage: ("validate", "--file", stage.bundle, "--registry", stage.sim.host)),
    "verify": (WHOLE, lambda stage: ("verify", stage.bundle)),
    "inspect": (PART, lambda stage: ("inspect", stage.bundle)),
    "build --check": (PART, lambda stage: ("build", "--check", stage.bundle)),
    "diff": (PART, lambda stage: ("diff", stage.bundle, stage.bundle)),
    "reassemble": (PART, lambda stage: ("reassemble", stage.bundle, "--output", "out/new.tar.zst")),
    "serve": (PART, lambda stage: ("serve", stage.bundle, "--port", "0")),
}
ROWS = [(name, harm) for name, (harms, _) in COMMANDS.items() for harm in harms]


@pytest.mark.parametrize(("name", "harm"), ROWS, ids=[f"{name}, {harm.__name__}" for name, harm in ROWS])
def test_what_is_not_signed_rightly_is_refused(
    name: str, harm: Callable[[Stage], None], api: str, stage: Stage, command_line: CommandLine
) -> None:
    """With a public key configured, not a request is made of it, and not a file."""
    harm(stage)
    arguments = COMMANDS[name][1](stage)
    outcome = without_effect(
        stage,
        lambda: command_line.run(*arguments, PREFECT_API_URL=api, EDGELIFT_PUBLIC_KEY=str(stage.keys.public)),
    )

    assert (outcome.code, bool(outcome.error)) == (1, True), outcome.err
    assert "sign" in outcome.error or harm in (cut, changed)
    assert "→" in outcome.err


OPTIONS = ("push --dry-run", "validate --file", "validate --lock", "verify", "inspect", "serve", "build --lock")


@pytest.mark.parametrize("name", OPTIONS)
def test_the_option_asks_for_signatures_too(name: str, stage: Stage, command_line: CommandLine) -> None:
    """`--public-key` is as good as the variable, and goes before it."""
    foreign(stage)
    stranger = KeyFiles.write(stage.folder / "keys", "stranger").public
    arguments = (*COMMANDS[name][1](stage), "--public-key", stage.keys.public)
    outcome = without_effect(stage, lambda: command_line.run(*arguments, EDGELIFT_PUBLIC_KEY=str(stranger)))

    assert (outcome.code, f"is not one that {stage.keys.public} accepts" in outcome.error) == (1, True), outcome.err


def test_a_key_that_cannot_be_read_lets_nothing_through(stage: Stage, command_line: CommandLine) -> None:
    """A variable that leads nowhere is an error, and not the same as no variable."""
    outcome = command_line.run("inspect", stage.bundle, EDGELIFT_PUBLIC_KEY="/nowhere.pub")

    assert (outcome.code, "cannot read /nowhere.pub" in outcome.error) == (2, True)


def test_a_store_is_not_served_under_a_key(stage: Stage, command_line: CommandLine) -> None:
    """Nobody signs a store, and what takes pushes is no bundle."""
    (stage.folder / "empty").mkdir()
    key = ("--public-key", stage.keys.public)
    store = command_line.run("serve", "empty", *key)
    writable = command_line.run("serve", "--writable", "empty", *key)

    assert (store.code, "a store, which nobody signs" in store.error) == (1, True)
    assert (writable.code, "is for a bundle" in writable.error) == (2, True)


# What is accepted


def test_commands_accept_what_is_signed(stage: Stage, command_line: CommandLine) -> None:
    """And say so; without a key they say what they have seen."""
    key = ("--public-key", stage.keys.public)
    told = {
        name: [command_line.run(name, stage.bundle, "--json", *options).document["signature"] for options in ((), key)]
        for name in ("inspect", "verify")
    }
    validated = command_line.run("validate", "--file", stage.bundle, "--registry", stage.sim.host, "--json", *key)
    rehearsed = command_line.run("push", "--dry-run", "--file", stage.bundle, "--registry", stage.sim.host, *key)
    stage.assemble(None)

    assert told == {"inspect": ["not checked", "ok"], "verify": ["not checked", "ok"]}
    assert command_line.run("verify", stage.bundle, "--json").document["signature"] == "none"
    assert (validated.code, rehearsed.code) == (3, 0), validated.err + rehearsed.err


def test_a_signed_bundle_is_served_under_a_key(stage: Stage, command_line: CommandLine) -> None:
    """Its lock is checked before the first request is taken."""
    command = [EDGELIFT, "serve", stage.bundle, "--port", "0", "--public-key", stage.keys.public]
    environment = command_line.full_environment
    with subprocess.Popen(command, stderr=subprocess.PIPE, env=environment, text=True) as server:
        try:
            assert server.stderr is not None
            address = next(found[0] for line in server.stderr if (found := re.search(r"http://127\.0\.0\.1:\d+", line)))
            repository = f"{stage.sim.host.replace(':', '_')}/team/app"
            answer = httpx.get(f"{address}/v2/{repository}/tags/list", trust_env=False, timeout=30)
        finally:
            server.terminate()

    assert answer.json()["tags"] == ["1.0"]


def test_the_files_are_those_of_the_tools(stage: Stage) -> None:
    """What is in the tar as a signature is the signature of what is in the tar as the lock."""
    tar = ("--zstd", "-xOf", stage.bundle)
    for member, place in (("edgelift/lock.json", "lock"), ("edgelift/lock.json.sig", "lock.sig")):
        done = subprocess.run([require_tool("tar"), *tar, member], capture_output=True, check=True)
        (stage.folder / place).write_bytes(done.stdout)

    assert openssl_accepts(stage.folder / "lock", stage.keys.public)
    assert json.loads((stage.folder / "lock").read_bytes())["format"] == "edgelift.lock/v1"
