"""Budgets: what a registry says it still gives, read, reported and not overdrawn."""

import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from edgelift.demo.content import make_image
from edgelift.errors import RateLimitError, RegistryError
from edgelift.oci.budget import Allowance, Budget, parse_budget
from edgelift.oci.credentials import Credentials
from edgelift.oci.registry import Registry
from edgelift.transport import TransportSettings
from tests.oci.clocks import Hands
from tests.simulators.profiles.hosted import Hub
from tests.simulators.registry import RegistrySimulator

APP = make_image("team/app")

LEGIBLE = {
    "as Docker Hub says it": (
        {
            "ratelimit-limit": "100;w=21600",
            "ratelimit-remaining": "37;w=21600",
            "docker-ratelimit-source": "203.0.113.7",
        },
        Budget(37, 100, 21600, "203.0.113.7"),
        "37 of 100 pulls remain for the next 6 h, counted for 203.0.113.7",
    ),
    "with spaces": (
        {"ratelimit-limit": " 200 ; w = 3600 ", "ratelimit-remaining": " 0 "},
        Budget(0, 200, 3600),
        "0 of 200 pulls remain for the next 1 h",
    ),
    "without a limit": ({"ratelimit-remaining": "5;w=90"}, Budget(5, None, 90), "5 pulls remain for the next 90 s"),
    "without a window": ({"ratelimit-limit": "9", "ratelimit-remaining": "5"}, Budget(5, 9), "5 of 9 pulls remain"),
    "with an illegible limit": ({"ratelimit-limit": "a", "ratelimit-remaining": "5"}, Budget(5), "5 pulls remain"),
    "with minutes": ({"ratelimit-remaining": "5;w=600"}, Budget(5, None, 600), "5 pulls remain for the next 10 min"),
    "with a source that would steer a terminal": (
        {"ratelimit-remaining": "5", "docker-ratelimit-source": "\x1b[2J" + "a" * 500},
        Budget(5, None, None, "[2J" + "a" * 61),
        "5 pulls remain, counted for [2J" + "a" * 61,
    ),
}


@pytest.mark.parametrize(("headers", "budget", "words"), LEGIBLE.values(), ids=LEGIBLE)
def test_budgets_are_read(headers: dict[str, str], budget: Budget, words: str) -> None:
    """The headers in a value, and the value in words."""
    assert (parse_budget(headers), str(budget)) == (budget, words)


@pytest.mark.parametrize("text", ["", "none", "-1", "1.5", "9" * 40, "5;q=1", "5, 6"])
def test_what_is_illegible_is_no_budget(text: str) -> None:
    """Other registries give these headers another meaning: then they say nothing to us."""
    assert parse_budget({"ratelimit-remaining": text, "ratelimit-limit": "100;w=21600"}) is None


def tell(allowance: Allowance, remaining: int) -> None:
    """Let the registry say that so many pulls remain."""
    allowance.note({"ratelimit-limit": "100;w=21600", "ratelimit-remaining": f"{remaining};w=21600"})


def test_a_budget_that_nobody_tells_of_is_endless() -> None:
    """Most registries have none."""
    allowance = Allowance("registry.example", Hands().clock)
    for _ in range(1000):
        with allowance.spend():
            pass

    assert allowance.newest is None


def test_what_is_spent_is_refused_with_the_way_on() -> None:
    """The message says what remains of what, for whom; the hint when to come back, and how to have more."""
    allowance = Allowance("docker.io", Hands().clock)
    tell(allowance, 0)
    with (
        pytest.raises(RateLimitError, match=r"docker\.io: 0 of 100 pulls remain for the next 6 h") as caught,
        allowance.spend(),
    ):
        pytest.fail("nothing is left to spend")

    assert all(words in str(caught.value.hint) for words in ("what is done is kept", "UTC at the latest", "log in"))


def test_old_news_of_an_empty_budget_keep_nobody_from_asking() -> None:
    """A window that ended meanwhile is found out by asking."""
    hands = Hands()
    allowance = Allowance("docker.io", hands.clock)
    tell(allowance, 0)
    hands.sleep(61)
    with allowance.spend():
        tell(allowance, 100)

    assert not allowance.is_spent


def test_the_newest_word_counts() -> None:
    """A budget that grows again is used."""
    allowance = Allowance("docker.io", Hands().clock)
    tell(allowance, 0)
    tell(allowance, 3)

    with allowance.spend():
        assert str(allowance.newest).startswith("3 of 100")


def test_of_answers_that_overtake_each_other_the_smallest_counts() -> None:
    """What was counted last may be read first; once nothing is on its way any more, the newest word counts again."""
    allowance, seen = Allowance("registry.example", Hands().clock), list[Budget | None]()

    with allowance.spend(), allowance.spend():
        tell(allowance, 3)
        tell(allowance, 4)
        seen.append(allowance.newest)
    with allowance.spend():
        tell(allowance, 100)

    assert [budget.remaining for budget in (*seen, allowance.newest) if budget] == [3, 100]


def test_threads_do_not_overdraw_together() -> None:
    """Of many that ask at once as many are let through as the registry gives, and no one more."""
    allowance = Allowance("docker.io", Hands().clock)
    left, lock = 5, threading.Lock()
    tell(allowance, left)

    def ask(_: int) -> bool:
        nonlocal left
        try:
            with allowance.spend(), lock:
                left -= 1
                tell(allowance, left)
        except RateLimitError:
            return False
        return True

    with ThreadPoolExecutor(16) as pool:
        answers = list(pool.map(ask, range(50)))

    assert (answers.count(True), left) == (5, 0)


# At a registry


def test_the_last_pull_is_taken_and_none_after_it(tmp_path: Path) -> None:
    """The request that would be too many is not sent; HEAD, which is not counted, still is."""
    profile = Hub(pulls=2)
    with RegistrySimulator(tmp_path, profile=profile) as sim:
        sim.put_image(APP)
        registry = Registry(sim.host, TransportSettings(), Credentials(), clock=Hands().clock)
        for _ in range(2):
            registry.read_manifest("team/app", APP.tag)
        with pytest.raises(RateLimitError, match="0 of 2 pulls remain"):
            registry.read_manifest("team/app", APP.tag)

        assert sim.count("GET", "/manifests/", 200) == 2
        assert sim.count("GET", "/manifests/", 429) == 0
        assert registry.peek("team/app", APP.tag) == APP.root


def test_a_refusal_without_a_date_is_not_insisted_upon(tmp_path: Path) -> None:
    """A 429 that says that nothing is left, and not for how long, is not repeated until it gives in."""
    hands = Hands()
    with RegistrySimulator(tmp_path, profile=Hub(pulls=0)) as sim:
        sim.put_image(APP)
        registry = Registry(sim.host, TransportSettings(), Credentials(), clock=hands.clock)
        with pytest.raises(RateLimitError, match="0 of 0 pulls remain"):
            registry.read_manifest("team/app", APP.tag)

        assert (sim.count("GET", "/manifests/", 429), hands.slept) == (1, [])


def test_a_refusal_for_seconds_is_waited_out(tmp_path: Path) -> None:
    """Retry-After within reason is honoured, whatever the budget says."""
    profile, hands = Hub(pulls=0, retry_after=5), Hands()
    with RegistrySimulator(tmp_path, profile=profile) as sim:
        sim.put_image(APP)
        registry = Registry(sim.host, TransportSettings(attempts=2), Credentials(), clock=hands.clock)
        with pytest.raises(RegistryError, match="429"):
            registry.read_manifest("team/app", APP.tag)

        assert (sim.count("GET", "/manifests/", 429), sum(hands.slept) >= 5) == (2, True)


def test_only_the_registry_itself_speaks_of_its_budget(tmp_path: Path) -> None:
    """A storage that a registry redirects to cannot stop a run."""
    with RegistrySimulator(tmp_path) as sim:
        sim.put_image(APP)
        sim.redirect_blobs()
        sim.set_headers({"ratelimit-remaining": "0;w=21600"}, "GET", "^/storage/")
        registry = Registry(sim.host, TransportSettings(), Credentials(), clock=Hands().clock)
        b"".join(registry.read_blob("team/app", APP.blobs[0]).chunks)

        assert (sim.count("GET", "^/storage/"), registry.budget) == (1, None)
