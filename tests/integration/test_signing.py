"""Signed sites: what a flow signs, checks and archives, and what it refuses before anything is asked of anyone."""

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from blocks import SigningKey
from edgelift.bundle.placing import signature_path
from edgelift.errors import ConfigurationError, SignatureError
from edgelift.site import ArchiveSettings, EdgeSite, RegistryAccess, SigningSettings, TargetSettings
from flows.push_bundle import push_bundle
from flows.rebuild_bundle import rebuild_bundle
from flows.sync_site import sync_site
from tests.integration.prefect_server import Attempt, PrefectServer
from tests.integration.sites import NAME, Site
from tests.keys import PASSPHRASE, KeyFiles, encrypt, openssl_accepts, private_pem

SIGNED = (f"{NAME}.tar.zst", f"{NAME}.lock.json")


def run(prefect: PrefectServer, site: Site, **parts: object) -> Attempt:
    """Synchronise `site` with other parts."""
    settings = EdgeSite.model_validate({**dict(site.settings()), **parts})
    return prefect.run(sync_site, {"site": settings, **site.places})


def test_a_site_is_signed_checked_and_archived(prefect: PrefectServer, site: Site) -> None:
    """With the key in a block: openssl accepts bundle and lock, where they were built and where they are kept."""
    keys, shelf = KeyFiles.write(site.folder, "site"), site.folder / "shelf"
    shelf.mkdir()
    with prefect.as_api():
        private = encrypt(private_pem("site"), PASSPHRASE).decode()
        SigningKey(private_key=private, passphrase=PASSPHRASE).save("signing", overwrite=True)
    attempt = run(
        prefect,
        site,
        signing=SigningSettings(block="signing"),
        public_key=str(keys.public),
        archive=ArchiveSettings(directory=str(shelf)),
    )

    assert (attempt.state, site.receipt["whole"]) == ("COMPLETED", True)
    for folder in (site.bundle.parent, shelf):
        assert all(openssl_accepts(folder / name, keys.public) for name in SIGNED)


def test_a_second_run_leaves_the_signed_bundle_alone(prefect: PrefectServer, site: Site) -> None:
    """It is verified and checked, not written again."""
    KeyFiles.write(site.folder, "site")
    signing = SigningSettings(file=str(site.folder / "site.key"))
    run(prefect, site, signing=signing)
    before = site.bundle.stat().st_ino
    attempt = run(prefect, site, signing=signing)

    assert (attempt.state, site.bundle.stat().st_ino) == ("COMPLETED", before)


def test_a_direct_site_has_a_signed_lock(prefect: PrefectServer, site: Site) -> None:
    """There is no bundle to sign, but the lock says what was copied."""
    keys = KeyFiles.write(site.folder, "site")
    attempt = run(prefect, site, signing=SigningSettings(file=str(keys.private)), direct=True)

    assert attempt.state == "COMPLETED"
    assert openssl_accepts(site.folder / "output" / f"{NAME}.lock.json", keys.public)


@dataclass(frozen=True)
class Contradiction:
    """Keys that cannot lead to a delivery, and what is said of them."""

    says: str
    signing: SigningSettings | None = None
    environment: dict[str, str] = field(default_factory=dict)
    public_key: str | None = None


CONTRADICTIONS: dict[str, Callable[[Path], Contradiction]] = {
    "no pair": lambda folder: Contradiction(
        "is not the public half of the key that signs this one",
        SigningSettings(file=str(folder / "stranger.key")),
        public_key=str(folder / "site.pub"),
    ),
    "checked, but not signed": lambda folder: Contradiction(
        "nothing signs this one", environment={"EDGELIFT_PUBLIC_KEY": str(folder / "site.pub")}
    ),
    "no key in the file": lambda folder: Contradiction(
        "is no private key in PEM", SigningSettings(file=str(folder / "site.pub"))
    ),
    "no such block": lambda folder: Contradiction(
        "Prefect has no block signing-key/nowhere", SigningSettings(block="nowhere")
    ),
}


@pytest.mark.parametrize("make", CONTRADICTIONS.values(), ids=CONTRADICTIONS)
def test_keys_that_lead_nowhere_are_told_first(
    make: Callable[[Path], Contradiction], prefect: PrefectServer, site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Not one request is made, and not one file, for a bundle that would be refused in the end."""
    for name in ("site", "stranger"):
        KeyFiles.write(site.folder, name)
    wrong = make(site.folder)
    for name, value in wrong.environment.items():
        monkeypatch.setenv(name, value)
    attempt = run(prefect, site, signing=wrong.signing, public_key=wrong.public_key)

    assert attempt.state == "FAILED"
    assert isinstance(attempt.outcome, ConfigurationError)
    assert wrong.says in attempt.outcome.message
    assert (site.source.requests, site.target.requests) == ([], [])
    assert not (site.folder / "output").exists()
    assert not (site.folder / "store").exists()


@pytest.mark.parametrize("harm", ["stripped", "foreign"])
def test_what_is_not_signed_is_neither_pushed_nor_rebuilt(harm: str, prefect: PrefectServer, site: Site) -> None:
    """Flows refuse it as the commands do: a deployment is given the public key as a path."""
    keys = KeyFiles.write(site.folder, "site")
    signs = KeyFiles.write(site.folder, "stranger") if harm == "foreign" else keys
    run(prefect, site, signing=SigningSettings(file=str(signs.private)))
    given = site.folder / "given"
    site.bundle.parent.rename(given)
    if harm == "stripped":
        for name in SIGNED:
            signature_path(given / name).unlink()
    site.forget_requests()
    common = {
        "output": str(site.folder / "output"),
        "access": RegistryAccess(docker_config=False),
        "public_key": str(keys.public),
    }
    target = TargetSettings(registry=f"{site.target.host}/again")
    attempts = [
        prefect.run(push_bundle, {"bundle": str(given / SIGNED[0]), "target": target, **common}),
        prefect.run(rebuild_bundle, {"name": NAME, "lock_file": str(given / SIGNED[1]), **common}),
    ]

    assert [(each.state, type(each.outcome)) for each in attempts] == [("FAILED", SignatureError)] * 2
    assert (site.source.requests, site.target.requests) == ([], [])
    assert not (site.folder / "output").exists()


def test_a_file_that_is_replaced_after_the_check_is_not_pushed(prefect: PrefectServer, site: Site) -> None:
    """What was checked is what is read: a file that takes the bundle's name meanwhile is never looked at."""
    keys = KeyFiles.write(site.folder, "site")
    run(prefect, site, signing=SigningSettings(file=str(keys.private)))
    site.forget_requests()
    site.target.hold_answer("GET", "/v2/$")
    parameters = {
        "bundle": str(site.bundle),
        "target": TargetSettings(registry=f"{site.target.host}/again"),
        "output": str(site.folder / "output"),
        "access": RegistryAccess(docker_config=False),
        "public_key": str(keys.public),
    }
    attempts: list[Attempt] = []
    pushing = threading.Thread(target=lambda: attempts.append(prefect.run(push_bundle, parameters)))
    pushing.start()
    deadline = time.monotonic() + 60
    while not site.target.requests and time.monotonic() < deadline:
        time.sleep(0.02)
    other = site.folder / "other"
    other.write_bytes(b"what nobody has signed")
    other.replace(site.bundle)
    site.target.heal()
    pushing.join()

    assert [attempt.state for attempt in attempts] == ["COMPLETED"]
    assert site.receipt["whole"]
