"""The delivery receipt: what was proved at the target, reference by reference."""

from collections.abc import Set
from typing import Any, ClassVar, Literal

from pydantic import BaseModel, ConfigDict

from edgelift.bundle.lock import ArtifactKind
from edgelift.errors import IncompleteError
from edgelift.oci.digest import Digest
from edgelift.result_document import ResultDocument

FORMAT: Literal["edgelift.receipt/v1"] = "edgelift.receipt/v1"
Verdict = Literal["ok", "differs", "missing", "not-checkable"]
_NEXT_STEP: dict[Verdict, str] = {
    "differs": "push again with --on-conflict replace to move the tags that differ",
    "missing": "push again to send what is missing, and only that",
    "not-checkable": "validate again once the registry answers and lets us read",
}


class Proof(BaseModel):
    """The verdict on one reference, which is of an image unless `kind` says otherwise.

    `expected` and `found` are manifest digests.

    `reason` says why it is not `ok`, or which layers come from elsewhere. `signed` says whether it is carried with a
    signature; of the signatures, SBOMs … on it so many were `carried`, and so many have `arrived` and are found.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    reference: str
    target: str
    verdict: Verdict
    expected: Digest
    found: Digest | None = None
    reason: str = ""
    checked: int = 0  # manifests and blobs asked for
    bytes_read: int = 0  # read back and hashed (deep validation)
    kind: ArtifactKind | None = None
    signed: bool = False
    carried: int = 0
    arrived: int = 0


class DefinitionProof(BaseModel):
    """Whether the cluster definition came along: `present` where its bytes were read, and have this `digest`.

    `reason` says why not.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str
    digest: Digest
    present: bool
    reason: str = ""

    def __str__(self) -> str:
        return f"cluster definition {self.name}: {'present' if self.present else 'missing'}, {self.digest}"


class Extras(BaseModel):
    """What the target holds beside the lock. `not_checkable` says what could not be listed, and why."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    tags: tuple[str, ...] = ()
    repositories: tuple[str, ...] = ()
    not_checkable: tuple[str, ...] = ()


class DeliveryReceipt(ResultDocument):
    """The outcome of a validation: `proofs` decide whether a delivery is whole; `extras` inform.

    With a `selection` only the entries of the lock that it chooses were looked at: nothing is said of the others.
    `cluster_definition` is there where the content was at hand that should hold one; a registry does not.
    """

    what: ClassVar[str] = "a delivery receipt"
    derived_keys: ClassVar[Set[str]] = frozenset({"counts", "whole"})

    format: Literal["edgelift.receipt/v1"] = FORMAT
    registry: str
    bundle: str
    lock: Digest
    selection: str | None = None  # KEY=VALUE,…
    deep: bool
    checked_at: str  # ISO 8601, UTC
    proofs: tuple[Proof, ...]
    extras: Extras = Extras()
    cluster_definition: DefinitionProof | None = None

    @property
    def is_whole(self) -> bool:
        """Whether there are references, and every one is `ok`: what was not checked does not count as good.

        A cluster definition has to be there, too.
        """
        is_there = self.cluster_definition is None or self.cluster_definition.present
        return is_there and bool(self.proofs) and all(proof.verdict == "ok" for proof in self.proofs)

    @property
    def counts(self) -> dict[Verdict, int]:
        """How many references have each verdict; all four are named."""
        verdicts: tuple[Verdict, ...] = ("ok", "differs", "missing", "not-checkable")
        return {verdict: sum(proof.verdict == verdict for proof in self.proofs) for verdict in verdicts}

    @property
    def referrers(self) -> str:
        """In words, how many images are signed, and how much of what refers to images has arrived; empty for none."""
        carried = sum(proof.carried for proof in self.proofs)
        if not carried:
            return ""
        arrived, signed = sum(proof.arrived for proof in self.proofs), sum(proof.signed for proof in self.proofs)
        return f"signed images: {signed}; signatures and other referrers that arrived: {arrived} of {carried}"

    @property
    def broken(self) -> frozenset[str]:
        """The references that stand as they should, or not at all, and miss content: sending them again helps."""
        return frozenset(
            proof.reference
            for proof in self.proofs
            if proof.verdict in ("missing", "differs") and proof.found in (None, proof.expected)
        )

    def derived(self) -> dict[str, Any]:
        """The counts, and the verdict on the whole."""
        return {"counts": self.counts, "whole": self.is_whole}

    def raise_unless_whole(self) -> None:
        """Raises `IncompleteError` that names every reference that is not `ok`, or says that there is none."""
        if not self.proofs:
            raise IncompleteError(f"nothing is proved at {self.registry}: the lock names no image", ())
        if self.cluster_definition is not None and not self.cluster_definition.present:
            raise IncompleteError(
                f"the cluster definition did not come along to {self.registry}",
                [f"{self.cluster_definition}: {self.cluster_definition.reason}"],
                hint="get the bundle again from where it was built",
            )
        open_proofs = [proof for proof in self.proofs if proof.verdict != "ok"]
        if open_proofs:
            verdicts = {proof.verdict for proof in open_proofs}
            raise IncompleteError(
                f"{len(open_proofs)} of {len(self.proofs)} references are not proved at {self.registry}",
                [f"{proof.target}: {', '.join(filter(None, (proof.verdict, proof.reason)))}" for proof in open_proofs],
                hint="; ".join(step for verdict, step in _NEXT_STEP.items() if verdict in verdicts),
            )
