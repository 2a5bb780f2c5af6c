"""Drift: what has become of a site since its delivery, by its receipt, by an earlier audit, and by what is there now.

Pure: three receipts in, the changes out.
"""

from collections.abc import Iterator
from typing import Any, ClassVar, Literal

from pydantic import BaseModel, ConfigDict

from edgelift.bundle.lock import ArtifactKind
from edgelift.delivery.receipt import DeliveryReceipt, Proof
from edgelift.errors import IncompleteError
from edgelift.result_document import ResultDocument
from edgelift.sizes import count

ChangeKind = Literal["missing", "differs", "broken", "not-checkable", "well again"]
Since = Literal["this audit", "an earlier audit", "the delivery"]
_NEXT_STEP: dict[ChangeKind, str] = {
    "missing": "synchronise the site: what is missing is sent again, and only that",
    "broken": "synchronise the site: images whose content is lost or wrong are sent again as a whole",
    "differs": "find out who moves tags there; with on_conflict: replace the next synchronisation moves them back",
    "not-checkable": "audit again once the registry answers and lets us read",
}


class Change(BaseModel):
    """One reference that is not as it should be, since when, and why; or one that is `well again`.

    It is `missing`, or its tag `differs`, or the tag stands as it should and its content is `broken`.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    reference: str
    target: str
    change: ChangeKind
    since: Since
    reason: str = ""
    kind: ArtifactKind | None = None


class Drift(ResultDocument):
    """All changes at one registry, and how many references are as they were delivered."""

    what: ClassVar[str] = "what an audit writes"

    registry: str
    delivered_at: str
    audited_at: str
    changes: tuple[Change, ...]
    unchanged: int

    @property
    def open_changes(self) -> tuple[Change, ...]:
        """Those that somebody has to mend."""
        return tuple(each for each in self.changes if each.change != "well again")

    @property
    def headline(self) -> str:
        """In one line, how many references are in which state."""
        kinds: tuple[ChangeKind, ...] = ("missing", "differs", "broken", "not-checkable", "well again")
        counts = {kind: sum(each.change == kind for each in self.changes) for kind in kinds}
        told = [f"{self.unchanged} as delivered", *(f"{count} {kind}" for kind, count in counts.items() if count)]
        return f"{self.registry}, since the delivery of {self.delivered_at}: {', '.join(told)}"

    def derived(self) -> dict[str, Any]:
        """The verdict on the whole."""
        return {"whole": not self.open_changes}

    def raise_for_changes(self) -> None:
        """Raises `IncompleteError` that names every reference that is not as it should be."""
        undone = self.open_changes
        if not undone:
            return
        kinds = {each.change for each in undone}
        raise IncompleteError(
            count(
                len(undone),
                f"reference is not at {self.registry} as it should be",
                f"references are not at {self.registry} as they should be",
            ),
            [f"{each.target}: {each.change} since {each.since}{_told(each.reason)}" for each in undone],
            hint="; ".join(step for kind, step in _NEXT_STEP.items() if kind in kinds),
        )


def find_drift(delivered: DeliveryReceipt, earlier: DeliveryReceipt | None, found: DeliveryReceipt) -> Drift:
    """What `found` says of the site that `delivered` did not, and what an `earlier` audit has said of it before.

    An audit of something else, or from before the delivery, counts for nothing.
    """
    if earlier is not None and (earlier.lock != delivered.lock or earlier.checked_at < delivered.checked_at):
        earlier = None
    changes = tuple(_changes(_by_target(delivered), _by_target(earlier), found))
    return Drift(
        registry=found.registry,
        delivered_at=delivered.checked_at,
        audited_at=found.checked_at,
        changes=changes,
        unchanged=len(found.proofs) - len(changes),
    )


def _changes(delivered: dict[str, Proof], earlier: dict[str, Proof], found: DeliveryReceipt) -> Iterator[Change]:
    for proof in found.proofs:
        was_delivered = _is_ok(delivered.get(proof.target))
        was_well = _is_ok(earlier.get(proof.target)) if proof.target in earlier else was_delivered
        if proof.verdict == "ok" and was_well:
            continue
        well_since: Since = "this audit" if was_well else "an earlier audit" if was_delivered else "the delivery"
        yield Change(
            reference=proof.reference,
            target=proof.target,
            change=_change(proof),
            since="this audit" if proof.verdict == "ok" else well_since,
            reason=proof.reason,
            kind=proof.kind,
        )


def _told(reason: str) -> str:
    return f", {reason}" if reason else ""


def _change(proof: Proof) -> ChangeKind:
    if proof.verdict == "ok":
        return "well again"
    if proof.verdict != "not-checkable" and proof.found == proof.expected:
        return "broken"
    return proof.verdict


def _is_ok(proof: Proof | None) -> bool:
    return proof is not None and proof.verdict == "ok"


def _by_target(receipt: DeliveryReceipt | None) -> dict[str, Proof]:
    return {proof.target: proof for proof in receipt.proofs} if receipt is not None else {}
