"""How fast a registry is asked."""

from datetime import UTC, datetime, timedelta
from email.utils import format_datetime

import pytest

from edgelift.errors import RegistryError
from edgelift.oci.pacing import LONGEST_DELAY, LONGEST_PAUSE, Pause, choose_delay, parse_retry_after
from tests.oci.clocks import Hands

NOON = "Mon, 23 Nov 2026 12:00:00 GMT"

RETRY_AFTER = {
    "seconds": ({"retry-after": "7"}, 7.0),
    "no wait": ({"retry-after": "0"}, 0.0),
    "a date by the server's clock": ({"retry-after": "Mon, 23 Nov 2026 12:00:30 GMT", "date": NOON}, 30.0),
    "a zone beyond every clock": ({"retry-after": "Fri, 31 Dec 2999 23:59:59 +9999999999999999"}, None),
    "a date that has passed": ({"retry-after": "Mon, 23 Nov 2026 11:00:00 GMT", "date": NOON}, 0.0),
    "absurdly long": ({"retry-after": "9" * 400}, 366 * 86400.0),
    "no header": ({}, None),
    "nonsense": ({"retry-after": "soon"}, None),
    "a negative number": ({"retry-after": "-5"}, None),
    "digits of another script": ({"retry-after": "٣"}, None),
}


@pytest.mark.parametrize(("headers", "seconds"), RETRY_AFTER.values(), ids=RETRY_AFTER)
def test_retry_after(headers: dict[str, str], seconds: float | None) -> None:
    """Seconds and dates are understood, nonsense is not taken for either."""
    assert seconds == parse_retry_after(headers)


def test_a_date_without_the_servers_clock_is_read_by_ours() -> None:
    """Where the server does not tell its time, ours serves."""
    moment = format_datetime(datetime.now(UTC) + timedelta(seconds=100), usegmt=True)

    assert parse_retry_after({"retry-after": moment}) == pytest.approx(100, abs=30)


def test_delays_grow_up_to_a_bound() -> None:
    """The longest possible delay doubles with each attempt and then stays; the delay itself may be anything below."""
    longest = [max(choose_delay(attempt) for _ in range(2000)) for attempt in (1, 2, 3, 50)]

    assert longest == pytest.approx([0.5, 1.0, 2.0, LONGEST_DELAY], rel=0.1)
    assert min(choose_delay(3) for _ in range(2000)) < 0.2


def test_a_pause_holds_everyone_until_it_is_over() -> None:
    """Who waits sleeps at least until the end of the pause, and not much longer; afterwards nobody waits."""
    hands = Hands()
    pause = Pause("registry.example.com", hands.clock)
    pause.extend(8)
    pause.extend(2)

    pause.wait()
    pause.wait()

    assert len(hands.slept) == 1
    assert 8 <= hands.slept[0] <= 9


def test_a_pause_that_is_too_long_is_an_error_with_its_end() -> None:
    """A registry that wants to be left alone for long is told of at once, for another run; nobody sleeps."""
    hands = Hands()
    pause = Pause("registry.example.com", hands.clock)
    pause.extend(LONGEST_PAUSE + 1)

    with pytest.raises(RegistryError, match=r"registry\.example\.com: rate limited until \d{4}-\d\d-\d\d") as caught:
        pause.wait()

    assert (caught.value.retryable, hands.slept) == (True, [])
