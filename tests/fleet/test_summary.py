"""What is told of a fleet."""

import json

import pytest

from edgelift.errors import ConfigurationError, IncompleteError, PlanError
from edgelift.fleet.summary import HEADINGS, FleetSummary, SiteOutcome
from edgelift.oci.digest import Digest
from tests.fleet.sites import make_site

WHOLE = SiteOutcome.of(
    make_site("first", canary=True),
    "whole",
    bundle="fleet-0123456789ab",
    lock=Digest.of(b"lock"),
    images=3,
    ok=3,
    moved_bytes=2048,
    seconds=1.5,
)
FAILED = SiteOutcome.of(make_site("second"), "whole").explained(
    PlanError("it cannot take this", [f"image {number} | is `no` good" for number in range(5)], hint="ask its owner")
)
UNBEGUN = SiteOutcome.of(make_site("third"), "not begun")
SUMMARY = FleetSummary(builds=1, sites=(WHOLE, FAILED, UNBEGUN), stopped="the canary is not whole")


def test_each_site_that_is_not_whole_is_named() -> None:
    """With the reason; the hint says that a second run continues."""
    with pytest.raises(IncompleteError) as caught:
        SUMMARY.raise_unless_whole()

    assert caught.value.message.startswith("2 of 3 sites are not whole")
    first, second = caught.value.failures
    assert first.startswith("second: failed, it cannot take this; image 0 ")
    assert first.endswith("and 2 more\n  → ask its owner")
    assert second == "third: not begun"
    assert "run it again" in str(caught.value.hint)


def test_a_whole_fleet_raises_nothing() -> None:
    """Nothing is to be done."""
    FleetSummary(builds=1, sites=(WHOLE,)).raise_unless_whole()


def test_a_row_says_it_all() -> None:
    """State, counts, bytes, time, and for a site that failed why, and the next step."""
    assert dict(zip(HEADINGS, WHOLE.cells(), strict=True)) == {
        "site": "first (canary)",
        "lock": f"fleet-0123456789ab {Digest.of(b'lock')[:19]}",
        "state": "whole",
        "images ok": "3",
        "missing": "0",
        "moved": "2.0 KiB",
        "seconds": "1.5",
        "why": "",
        "next step": "",
    }
    assert FAILED.cells()[3:5] == ("", "")
    assert FAILED.next_step == "ask its owner"


def test_a_file_is_read_as_it_was_written() -> None:
    """Scripts and the command line rely on it; anything else is refused."""
    assert FleetSummary.from_json(SUMMARY.to_json(), "fleet.json") == SUMMARY
    for wrong in (b"[]", b"{", b'{"builds": 1}'):
        with pytest.raises(ConfigurationError, match=r"fleet\.json is not the summary of a fleet"):
            FleetSummary.from_json(wrong, "fleet.json")


def test_a_file_of_an_earlier_release_is_read() -> None:
    """It does not say who shares what."""
    document = json.loads(SUMMARY.to_json())
    del document["shared"]

    assert FleetSummary.from_json(json.dumps(document).encode(), "fleet.json") == SUMMARY
