"""Faults F6-F9: registries that are busy or limit, tokens that end early, credentials that are taken back."""

import datetime
import logging
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from email.utils import format_datetime
from pathlib import Path

import pytest

from edgelift.demo.content import SampleLayer, make_image
from edgelift.errors import DeniedError, RegistryError
from edgelift.oci.credentials import Credentials
from edgelift.serve.access import Login
from edgelift.store.local import LocalStore
from edgelift.transport import TransportSettings
from tests.faults.parts import (
    assert_nothing_wrong_has_a_name,
    assert_store_is_whole,
    assert_tags_are_whole,
    fill_store,
    layer_of,
    open_registry,
    pull,
    push,
    received_blobs,
    sent_blobs,
    size_of,
    tagged,
)
from tests.faults.table import Notes
from tests.oci.clocks import Hands
from tests.simulators.registry import RegistrySimulator
from tests.simulators.token_server import SERVICE, TokenServer

APP = make_image("team/app", layers=(SampleLayer("tar", 400_000), SampleLayer("gzip", 90_000)))
LAYER = layer_of(APP)
PAIR = make_image("team/pair", architectures=("amd64", "arm64"), layers=(SampleLayer("tar", 90_000),))
MIB = 2**20
LARGE = make_image("team/large", layers=(SampleLayer("tar", 3 * MIB),))
PASSWORD = "a-canary-in-the-mine"


def date_in(seconds: float) -> str:
    """A moment so far from now, as HTTP writes it."""
    return format_datetime(datetime.datetime.now(datetime.UTC) + datetime.timedelta(seconds=seconds), usegmt=True)


# F6


@pytest.mark.parametrize("status", [500, 502, 503, 504])
def test_f06_server_errors(status: int, sim: RegistrySimulator, store: LocalStore, note: Notes) -> None:
    """A registry that fails each request a few times is asked again; no body comes twice."""
    sim.put_image(APP)
    for path in ("/manifests/", *(blob.digest for blob in APP.blobs)):
        sim.fail("GET", path, status=status, times=3)
    hands = Hands()

    pull(open_registry(sim.host, hands=hands), APP, store)

    assert_store_is_whole(store, APP)
    assert 0 < sum(hands.slept) < 60 * 8
    note(f"{status} three times on each request", "tried again", moved=sent_blobs(sim), needed=size_of(APP))


WAITS: dict[str, tuple[Callable[[], str], float, float]] = {
    "7": (lambda: "7", 7, 10),
    "a date in a minute": (lambda: date_in(60), 58, 80),
    "a date that has passed": (lambda: date_in(-3600), 0, 1),
    "garbage": (lambda: "soon, I hope", 0, 1),
}


@pytest.mark.parametrize("status", [429, 503])
@pytest.mark.parametrize(("header", "wait"), WAITS.items(), ids=WAITS)
def test_f06_retry_after(
    *,
    status: int,
    header: str,
    wait: tuple[Callable[[], str], float, float],
    sim: RegistrySimulator,
    store: LocalStore,
    note: Notes,
) -> None:
    """`Retry-After` is waited for in each of its forms, and what says nothing is taken as a plain failure."""
    make, least, most = wait
    sim.put_image(APP)
    sim.fail("GET", LAYER.digest, status=status, retry_after=make())
    hands = Hands()

    pull(open_registry(sim.host, hands=hands), APP, store)

    begun = 1000.0
    assert least <= hands.time - begun
    assert max(hands.slept, default=0) <= most
    assert_store_is_whole(store, APP)
    note(
        f"{status}, Retry-After: {header}",
        f"waited {max(hands.slept, default=0):.0f} s, then done",
        moved=sent_blobs(sim),
        needed=size_of(APP),
    )


@pytest.mark.parametrize("header", ["1000000000", "99999999999999999999"])
def test_f06_retry_after_beyond_patience(header: str, sim: RegistrySimulator, store: LocalStore, note: Notes) -> None:
    """A registry that wants years is left at once, with the date; what was done stays, and a later run completes."""
    sim.put_image(APP)
    sim.cut("GET", LAYER.digest, after_bytes=150_000)
    sim.fail("GET", LAYER.digest, status=429, retry_after=header, times=None, skip=1)
    hands = Hands()
    with pytest.raises(RegistryError, match="rate limited until 20") as caught:
        pull(open_registry(sim.host, hands=hands), APP, store)

    assert caught.value.retryable
    assert sum(hands.slept) < 30
    assert_nothing_wrong_has_a_name(store)
    sim.heal()
    pull(open_registry(sim.host), APP, store)
    assert_store_is_whole(store, APP)
    note(
        f"429, Retry-After: {header}",
        "left at once with the date; the re-run continued",
        moved=sent_blobs(sim),
        needed=size_of(APP),
    )


# F7


@pytest.fixture
def three(tmp_path: Path) -> Iterator[list[RegistrySimulator]]:
    """Three registries with an image each."""
    with ExitStack() as servers:
        sims = [servers.enter_context(RegistrySimulator(tmp_path / f"registry-{number}")) for number in range(3)]
        for number, sim in enumerate(sims):
            sim.put_image(make_image(f"team/app-{number}", layers=(SampleLayer("tar", 200_000),)))
        yield sims


def test_f07_one_host_of_three_is_limited(three: list[RegistrySimulator], store: LocalStore, note: Notes) -> None:
    """Only the registry that limits us is waited for, or left; the images of the others arrive meanwhile."""
    images = [make_image(f"team/app-{number}", layers=(SampleLayer("tar", 200_000),)) for number in range(3)]
    three[1].fail("GET", "/blobs/", status=429, retry_after=3600, times=None)
    hands = [Hands() for _ in three]

    def attempt(number: int) -> str | None:
        try:
            pull(open_registry(three[number].host, hands=hands[number]), images[number], store)
        except RegistryError as error:
            return error.message
        return None

    with ThreadPoolExecutor(3) as pool:
        failures = list(pool.map(attempt, range(3)))

    assert [failures[0], failures[2]] == [None, None]
    assert f"{three[1].host}: rate limited until" in str(failures[1])
    assert [sum(hands[0].slept), sum(hands[2].slept)] == [0, 0]
    three[1].heal()
    pull(open_registry(three[1].host), images[1], store)
    assert_store_is_whole(store, *images)
    note(
        "429 with an hour, at one registry of three",
        "the other two done without a pause; the third in the re-run",
        moved=sum(map(sent_blobs, three)),
        needed=size_of(*images),
    )


# F8, F9


@pytest.fixture
def tokens() -> TokenServer:
    """A token server whose tokens end at once, although it promises minutes."""
    return TokenServer(Login("courier", PASSWORD), expires_in=0.0, announced=300)


@pytest.fixture
def guarded(tmp_path: Path, tokens: TokenServer) -> Iterator[RegistrySimulator]:
    """A registry that asks for tokens."""
    with RegistrySimulator(tmp_path / "guarded", tokens=tokens) as sim:
        yield sim


def login_for(sim: RegistrySimulator) -> Credentials:
    """The right login."""
    return Credentials.of([(sim.host, "courier", PASSWORD)])


EXPIRES: dict[str, tuple[str, str]] = {
    "at the resumption of a body": ("GET", LAYER.digest),
    "at a manifest": ("GET", "/manifests/"),
}


@pytest.mark.parametrize(("when", "request_"), EXPIRES.items(), ids=EXPIRES)
def test_f08_a_token_ends_during_a_pull(
    *,
    when: str,
    request_: tuple[str, str],
    guarded: RegistrySimulator,
    tokens: TokenServer,
    store: LocalStore,
    note: Notes,
) -> None:
    """A token that ends between two requests is renewed once, and the request is made again."""
    tokens.expires_in = 300.0
    guarded.put_image(APP)
    guarded.cut("GET", LAYER.digest, after_bytes=100_000)
    guarded.reply(*request_, status=401, headers=_challenge(guarded), skip=1 if request_[1] == LAYER.digest else 0)
    registry = open_registry(guarded.host, credentials=login_for(guarded))
    registry.log_in()
    before = len(tokens.requested)

    pull(registry, APP, store)

    assert len(tokens.requested) - before <= 2
    assert_store_is_whole(store, APP)
    note(f"the token ends {when}", "renewed once, asked again", moved=sent_blobs(guarded), needed=size_of(APP))


UPLOAD_STEPS: dict[str, tuple[str, str]] = {
    "at the begin of an upload": ("POST", "/uploads/"),
    "at the commit of a blob": ("PUT", "/uploads/"),
    "at a manifest": ("PUT", "/manifests/sha256"),
    "at the tag": ("PUT", "/manifests/1.0$"),
}


@pytest.mark.parametrize(("when", "request_"), UPLOAD_STEPS.items(), ids=UPLOAD_STEPS)
def test_f08_a_token_ends_during_a_push(
    *,
    when: str,
    request_: tuple[str, str],
    guarded: RegistrySimulator,
    tokens: TokenServer,
    store: LocalStore,
    note: Notes,
) -> None:
    """A write whose token has ended is made again with a new one, its body from the first byte."""
    tokens.expires_in = 300.0
    fill_store(store, PAIR)
    guarded.reply(*request_, status=401, headers=_challenge(guarded))

    push(store, open_registry(guarded.host, credentials=login_for(guarded)), PAIR)

    assert guarded.count(*request_, status=401) >= 1
    assert len(tokens.requested) <= 4
    assert tagged(guarded, PAIR)
    assert_tags_are_whole(guarded)
    note(f"the token ends {when}", "renewed once, sent again", moved=received_blobs(guarded), needed=size_of(PAIR))


def test_f08_a_token_ends_at_the_second_chunk(
    guarded: RegistrySimulator, tokens: TokenServer, store: LocalStore, note: Notes
) -> None:
    """Between two chunks of one upload the token ends: the second chunk goes again, the first does not."""
    tokens.expires_in = 300.0
    fill_store(store, LARGE)
    guarded.reply("PATCH", "/uploads/", status=401, headers=_challenge(guarded), skip=1)
    settings = TransportSettings(largest_request=MIB)

    push(store, open_registry(guarded.host, settings, login_for(guarded)), LARGE)

    assert [each.received for each in guarded.requests if each.method == "PATCH"][:3] == [MIB, 0, MIB]
    assert tagged(guarded, LARGE)
    assert_tags_are_whole(guarded)
    moved = received_blobs(guarded)
    note("the token ends at the second chunk", "renewed once, that chunk again", moved=moved, needed=size_of(LARGE))


def _challenge(sim: RegistrySimulator) -> dict[str, str]:
    realm = f'realm="{sim.url}/token",service="{SERVICE}"'
    return {"WWW-Authenticate": f'Bearer {realm},error="invalid_token"'}


def test_f08_tokens_that_never_work(
    guarded: RegistrySimulator, tokens: TokenServer, store: LocalStore, caplog: pytest.LogCaptureFixture, note: Notes
) -> None:
    """New tokens that are refused as the old ones were end the pull: no loop, no secret in what is said."""
    guarded.put_image(APP)
    with caplog.at_level(logging.DEBUG), pytest.raises(DeniedError) as caught:
        pull(open_registry(guarded.host, credentials=login_for(guarded)), APP, store)

    said = caplog.text + str(caught.value)
    assert len(tokens.requested) <= 3 * len(APP.blobs)
    assert guarded.count("GET", "/blobs/") <= 3 * len(APP.blobs)
    assert PASSWORD not in said
    assert "token-1" not in said
    tokens.expires_in = 300.0
    pull(open_registry(guarded.host, credentials=login_for(guarded)), APP, store)
    assert_store_is_whole(store, APP)
    note(
        "every new token is refused",
        "refused after one renewal a request; no secret told; works again with good ones",
        moved=sent_blobs(guarded),
        needed=size_of(APP),
    )


def test_f09_credentials_are_taken_back(three: list[RegistrySimulator], store: LocalStore, note: Notes) -> None:
    """Where a registry begins to answer 403 that registry ends at once, the others finish, and a re-run continues."""
    images = [make_image(f"team/app-{number}", layers=(SampleLayer("tar", 200_000),)) for number in range(3)]
    layer = layer_of(images[1])
    three[1].cut("GET", layer.digest, after_bytes=80_000)
    three[1].fail("GET", layer.digest, status=403, code="DENIED", times=None, skip=1)
    failures: list[str] = []
    for sim, image in zip(three, images, strict=True):
        try:
            pull(open_registry(sim.host), image, store)
        except DeniedError as error:
            failures.append(error.message)

    assert [f"{three[1].host}: cannot read" in each for each in failures] == [True]
    assert three[1].count("GET", layer.digest, 403) == 1
    three[1].heal()
    pull(open_registry(three[1].host), images[1], store)
    assert_store_is_whole(store, *images)
    note(
        "403 from the middle of a blob on, at one registry of three",
        "that one ended at once and named; the others done; the re-run continued",
        moved=sum(map(sent_blobs, three)),
        needed=size_of(*images),
    )
