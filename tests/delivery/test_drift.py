"""What has become of a site since its delivery."""

from collections.abc import Sequence

import pytest

from edgelift.delivery.drift import Drift, find_drift
from edgelift.delivery.receipt import DeliveryReceipt, Proof, Verdict
from edgelift.errors import ConfigurationError, IncompleteError
from edgelift.oci.digest import Digest

EXPECTED, OTHER = Digest.of(b"expected"), Digest.of(b"other")
FIRST, SECOND, THIRD = (f"2026-01-0{day}T03:04:05+00:00" for day in (1, 2, 3))


def receipt(*verdicts: Verdict, at: str = FIRST, lock: bytes = b"lock", found: Digest | None = None) -> DeliveryReceipt:
    """A receipt of references that are called 0, 1, …; under the tags stands what was `found`, where it is given."""
    return DeliveryReceipt(
        registry="mirror.example",
        bundle="site",
        lock=Digest.of(lock),
        deep=False,
        checked_at=at,
        proofs=tuple(_proof(number, verdict, found) for number, verdict in enumerate(verdicts)),
    )


def _proof(number: int, verdict: Verdict, found: Digest | None) -> Proof:
    name = f"quay.io/team/app-{number}:1"
    return Proof(
        reference=name,
        target=f"mirror.example/{name}",
        verdict=verdict,
        expected=EXPECTED,
        found=EXPECTED if verdict == "ok" else found,
        reason="" if verdict == "ok" else "as it is",
    )


def told(drift: Drift) -> list[tuple[str, str]]:
    """Each change, and since when."""
    return [(each.change, each.since) for each in drift.changes]


KINDS: dict[str, tuple[Verdict, Digest | None, str]] = {
    "the tag is gone": ("missing", None, "missing"),
    "the tag was moved": ("differs", OTHER, "differs"),
    "a layer is gone": ("missing", EXPECTED, "broken"),
    "a layer is damaged": ("differs", EXPECTED, "broken"),
    "nobody may look": ("not-checkable", None, "not-checkable"),
    "nobody may look any further": ("not-checkable", EXPECTED, "not-checkable"),
}


@pytest.mark.parametrize(("verdict", "found", "change"), KINDS.values(), ids=KINDS)
def test_what_changed_has_a_name(verdict: Verdict, found: Digest | None, change: str) -> None:
    """A tag that stands over content that is lost or wrong is broken; else the verdict says it."""
    drift = find_drift(receipt("ok", "ok"), None, receipt("ok", verdict, at=SECOND, found=found))

    assert (told(drift), drift.unchanged) == ([(change, "this audit")], 1)
    with pytest.raises(IncompleteError, match=r"1 reference is not at mirror\.example as it should be") as caught:
        drift.raise_for_changes()
    assert caught.value.hint


SINCE: dict[str, tuple[Verdict, Verdict | None, Verdict, Sequence[tuple[str, str]]]] = {
    "nothing": ("ok", None, "ok", []),
    "nothing, for the second time": ("ok", "ok", "ok", []),
    "a new loss": ("ok", "ok", "missing", [("missing", "this audit")]),
    "a known loss": ("ok", "missing", "missing", [("missing", "an earlier audit")]),
    "never there": ("missing", None, "missing", [("missing", "the delivery")]),
    "never there, known": ("missing", "missing", "missing", [("missing", "the delivery")]),
    "well again": ("ok", "missing", "ok", [("well again", "this audit")]),
    "there at last": ("missing", None, "ok", [("well again", "this audit")]),
    "well for a while": ("missing", "ok", "ok", []),
    "lost once more": ("missing", "ok", "missing", [("missing", "this audit")]),
}


@pytest.mark.parametrize(("delivered", "earlier", "now", "changes"), SINCE.values(), ids=SINCE)
def test_since_when(
    delivered: Verdict, earlier: Verdict | None, now: Verdict, changes: Sequence[tuple[str, str]]
) -> None:
    """The receipt of the delivery and the last audit together tell what is new."""
    before = receipt(earlier, at=SECOND) if earlier is not None else None
    drift = find_drift(receipt(delivered), before, receipt(now, at=THIRD))

    assert told(drift) == changes
    assert bool(drift.open_changes) == (now != "ok")


@pytest.mark.parametrize(
    "earlier",
    [receipt("missing", at=FIRST), receipt("missing", at=THIRD, lock=b"another")],
    ids=["before the delivery", "of another lock"],
)
def test_an_audit_of_something_else_counts_for_nothing(earlier: DeliveryReceipt) -> None:
    """A delivery begins anew."""
    drift = find_drift(receipt("ok", at=SECOND), earlier, receipt("missing", at=THIRD))

    assert told(drift) == [("missing", "this audit")]


def test_what_is_well_again_raises_nothing() -> None:
    """It is told, and that is all."""
    drift = find_drift(receipt("missing"), None, receipt("ok", at=SECOND))
    drift.raise_for_changes()

    assert "1 well again" in drift.headline
    assert drift.document()["whole"] is True


def test_a_file_is_read_as_it_was_written() -> None:
    """Anything else is refused."""
    drift = find_drift(receipt("ok"), None, receipt("missing", at=SECOND))

    assert Drift.from_json(drift.to_json(), "x.drift.json") == drift
    for wrong in (b"[]", b"{", b"{}"):
        with pytest.raises(ConfigurationError, match=r"x\.drift\.json is not what an audit writes"):
            Drift.from_json(wrong, "x.drift.json")
