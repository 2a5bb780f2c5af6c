"""What people are told: temporary refusals, files that hold no login, addresses with one, strangers' markup."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from prefect.logging import disable_run_logger
from prefect.settings import PREFECT_API_URL, temporary_settings

from deployments.deploy_sites import main
from deployments.server import server_address
from edgelift.bundle.definition import BundleDefinition, RequestedImage
from edgelift.bundle.writer import assemble_bundle
from edgelift.delivery.receipt import DeliveryReceipt, Extras, Proof
from edgelift.delivery.target import Target, TargetName
from edgelift.delivery.validate import MAX_EXTRAS, find_extras
from edgelift.errors import BundleError, ConfigurationError, PlanError, StoreError
from edgelift.oci.credentials import Credentials
from edgelift.oci.digest import Digest
from edgelift.oci.registry import Registry
from edgelift.site import ArchiveSettings, RegistryAccess, TargetSettings
from edgelift.transport import TransportSettings
from tasks.archive import archive_bundle
from tasks.assemble import BuiltBundle
from tasks.log_in import log_in
from tasks.report import SHOWN, _markdown, _rows
from tests.bundle.content import lock_of, mixed_content
from tests.oci.clocks import Hands
from tests.simulators.http_faults import Answer, HttpFaults, Request

DIGEST = Digest.of(b"")
ALONE = RegistryAccess(docker_config=False)

# Logging in


def refused_by(answer: Answer) -> PlanError:
    """What logging in to a registry that answers so ends in."""
    with HttpFaults(lambda _: answer) as server, pytest.raises(PlanError) as caught:
        log_in.fn(None, ALONE, TargetSettings(registry=server.host))
    assert server.host in caught.value.failures[0]
    return caught.value


@pytest.mark.parametrize("status", [429, 503])
def test_a_registry_that_is_busy_has_refused_nobody(status: int) -> None:
    """What may pass is told as that, and can be tried again as it is."""
    error = refused_by(Answer(status))

    assert (error.retryable, error.message) == (True, "not every registry answers now; nothing was moved")
    assert str(status) in error.failures[0]
    assert "this may pass" in (error.hint or "")


def test_a_refusal_is_final() -> None:
    """Where a login is refused, nothing is gained by trying again."""
    error = refused_by(Answer(403))

    assert (error.retryable, error.message) == (False, "not every registry lets us in; nothing was moved")


def test_a_login_that_cannot_be_had_is_told_with_the_refusals(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A helper that fails for a registry which lets everybody in does not hide that another one refuses."""
    with HttpFaults(lambda _: Answer(200)) as open_to_all, HttpFaults(lambda _: Answer(403)) as closed:
        config = {"credHelpers": {open_to_all.host: "not-there-at-all"}}
        (tmp_path / "config.json").write_text(json.dumps(config))
        monkeypatch.setenv("DOCKER_CONFIG", str(tmp_path))
        images = (RequestedImage(reference=f"{open_to_all.host}/team/app:1"),)
        definition = BundleDefinition(name="site", images=images)
        with pytest.raises(PlanError) as caught:
            log_in.fn(definition, RegistryAccess(), TargetSettings(registry=closed.host))

    assert len(caught.value.failures) == 2
    assert "not-there-at-all" in str(caught.value)
    assert f"{closed.host}: cannot log in: 403" in str(caught.value)


# Files


WITHOUT_LOGINS: dict[str, tuple[object, str]] = {
    "an empty object": ({}, 'expected to be {"image": [{"endpoint"'),
    "empty lists": ({"image": [], "helm": []}, 'expected to be {"image": [{"endpoint"'),
    "null": ({"image": None}, 'expected to be {"image": [{"endpoint"'),
    "other names": ({"images": [{"endpoint": "x.example", "username": "a", "password": "canary"}]}, "expected to be"),
    "Docker's configuration": ({"auths": {"x.example": {"auth": "canary"}}}, "a configuration of Docker's"),
}


@pytest.mark.parametrize(("document", "hint"), WITHOUT_LOGINS.values(), ids=WITHOUT_LOGINS)
def test_a_file_without_any_login_is_no_file_of_logins(document: object, hint: str, tmp_path: Path) -> None:
    """Who names a credentials file means to log in: one that holds no login is told, with what it should hold."""
    path = tmp_path / "cred.json"
    path.write_text(json.dumps(document))

    with pytest.raises(ConfigurationError, match=r"cred\.json holds no login") as caught:
        Credentials.from_palette_edge_file(path)

    assert hint in (caught.value.hint or "")
    assert "canary" not in str(caught.value)


def test_a_lock_that_is_gone_is_an_error_of_ours(tmp_path: Path) -> None:
    """A lock that cannot be read when the bundle is archived is named; no `OSError` escapes."""
    lock, content = mixed_content()
    assemble_bundle(lock, content, tmp_path / "b")
    bundle = BuiltBundle(name="site", path=str(tmp_path / "b"), lock_path=str(tmp_path / "gone"), size=0, images=0)

    with disable_run_logger(), pytest.raises(StoreError, match=r"cannot read .*gone: No such file"):
        archive_bundle.fn(bundle, lock, ArchiveSettings(directory=str(tmp_path)), ALONE)


def test_another_bundle_in_its_place_is_not_archived(tmp_path: Path) -> None:
    """What another run has put there is right by itself, but not what this lock describes: nothing is kept of it."""
    lock, content = mixed_content()
    assemble_bundle(lock_of(*lock.images[:2]), content, tmp_path / "b")
    bundle = BuiltBundle(name="site", path=str(tmp_path / "b"), lock_path=str(tmp_path / "lock"), size=0, images=0)
    shelf = tmp_path / "shelf"
    shelf.mkdir()

    with disable_run_logger(), pytest.raises(BundleError, match="another run has replaced it"):
        archive_bundle.fn(bundle, lock, ArchiveSettings(directory=str(shelf)), ALONE)
    assert list(shelf.iterdir()) == []


# Addresses


ADDRESSES = {
    "http://courier:canary@prefect.example:4200/api": "http://prefect.example:4200/api",
    "https://prefect.example/api?token=canary": "https://prefect.example/api",
    "http://courier:canary@[::1]:4200/api": "http://[::1]:4200/api",
}


@pytest.mark.parametrize(("address", "shown"), ADDRESSES.items())
def test_the_address_of_the_server_is_shown_without_a_login(address: str, shown: str) -> None:
    """A login may be written into the address, and is not for the screen."""
    with temporary_settings({PREFECT_API_URL: address}):
        assert server_address() == shown


@pytest.mark.parametrize("answers", [True, False], ids=["it refuses", "it is not there"])
def test_a_deployment_that_fails_shows_no_login(
    answers: bool, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Neither where the server refuses nor where there is none is its whole address shown."""
    site = tmp_path / "site.yaml"
    site.write_text("name: berth-12\nsource: {images: [nginx]}\ntarget: {registry: 'mirror.example:5000'}\n")
    with HttpFaults(lambda _: Answer(401, body=b"{}")) as server:
        host = server.host if answers else "127.0.0.1:9"
        address = f"http://courier:canary@{host}/api"
        with temporary_settings({PREFECT_API_URL: address}), pytest.raises(SystemExit):
            main([str(site)])

    shown = capsys.readouterr()
    assert f"cannot deploy with Prefect at http://{host}/api: " in shown.err
    assert ("canary" in shown.err + shown.out, "it answers 401" in shown.err) == (False, answers)


# Strangers' texts on Prefect's pages


def receipt_of(reason: str = "", extras: Extras = Extras()) -> DeliveryReceipt:  # noqa: B008 - frozen
    """A receipt of one image that is not there."""
    proof = Proof(
        reference="quay.io/a:1", target="mirror.example/a:1", verdict="missing", expected=DIGEST, reason=reason
    )
    return DeliveryReceipt(
        registry="mirror.example",
        bundle="site",
        lock=DIGEST,
        deep=False,
        checked_at="2026-01-01T00:00:00+00:00",
        proofs=(proof,),
        extras=extras,
    )


MARKUP = {
    "a link": "[log in again](http://evil.example/login)",
    "an image": "![](http://evil.example/seen.png)",
    "HTML": '<img src="http://evil.example/seen.png" onerror="alert(1)">',
    "the end of the code": "no` [x](http://evil.example) `",
    "a line of its own": "no\n\n# All is well\n\n| a |",
}


@pytest.mark.parametrize("text", MARKUP.values(), ids=MARKUP)
def test_what_a_registry_says_is_no_markup(text: str) -> None:
    """Reasons and names stand between two backticks, on one line, with none in between."""
    extras = Extras(tags=(text,), not_checkable=(f"tags: {text}",))
    receipt = receipt_of(text, extras)

    lines = _markdown(receipt, "stylus: {}\n").splitlines()
    (cell,) = [row["reason"] for row in _rows(receipt)]

    shown = [*(line for line in lines if line.startswith("- ")), f"- `x`: y. {cell}"]
    assert len(shown) == 4
    for line in shown:
        outside = "".join(line.split("`")[::2])
        assert line.count("`") % 2 == 0
        assert all(mark not in outside for mark in ("evil", "<", "[", "#", "|"))


def test_a_page_is_short_whatever_a_registry_holds() -> None:
    """Of a million tags the page shows the first, and how many there are; a name is not longer than a line or two."""
    extras = Extras(tags=tuple(f"a:{number}" for number in range(5000)), repositories=("x" * 10_000,))

    page = _markdown(receipt_of(extras=extras), "")

    assert (page.count("- `a:"), "and 4,901 more" in page) == (SHOWN, True)
    assert max(map(len, page.splitlines())) < 510


def _many(count: int) -> Callable[[Request], Answer]:
    def respond(request: Request) -> Answer:
        names = [f"n{number:05}" for number in range(count)]
        return Answer(body=json.dumps({"tags": names, "repositories": names}).encode())

    return respond


def test_a_receipt_names_so_many_extras_and_counts_the_others() -> None:
    """A registry that names more than anybody asked for does not fill the receipt."""
    with HttpFaults(_many(MAX_EXTRAS + 7)) as server:
        settings = TransportSettings(plain_http=frozenset({server.host}))
        registry = Registry(server.host, settings, Credentials(), clock=Hands().clock)
        extras = find_extras({TargetName("a", "1"), TargetName("b", "1")}, Target.parse(server.host), registry)

    assert (len(extras.tags), len(extras.repositories)) == (MAX_EXTRAS, MAX_EXTRAS)
    assert extras.not_checkable == (
        f"tags: there are {MAX_EXTRAS + 14:,} more than the first {MAX_EXTRAS:,}",
        f"repositories: there are 7 more than the first {MAX_EXTRAS:,}",
    )
