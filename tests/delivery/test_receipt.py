"""The receipt: what was proved, and what stands in the way of calling it whole."""

import json
from collections.abc import Sequence

import pytest
from pydantic import ValidationError

from edgelift.delivery.receipt import DefinitionProof, DeliveryReceipt, Extras, Proof, Verdict
from edgelift.errors import IncompleteError
from edgelift.oci.digest import Digest

EXPECTED = Digest.of(b"expected")
FOUND = Digest.of(b"found")


def proof(verdict: Verdict, reason: str = "", name: str = "nginx") -> Proof:
    """A proof of the reference `name` with that verdict."""
    return Proof(
        reference=f"docker.io/library/{name}:1",
        target=f"mirror.example:5000/docker.io/library/{name}:1",
        verdict=verdict,
        expected=EXPECTED,
        found=FOUND if verdict == "differs" else None,
        reason=reason,
        checked=3,
    )


def receipt(proofs: Sequence[Proof], extras: Extras | None = None) -> DeliveryReceipt:
    """A receipt of `proofs`."""
    return DeliveryReceipt(
        registry="mirror.example:5000",
        bundle="plant-7",
        lock=Digest.of(b"lock"),
        deep=False,
        checked_at="2026-01-02T03:04:05+00:00",
        proofs=tuple(proofs),
        extras=extras or Extras(),
    )


WHOLE: dict[str, tuple[list[Verdict], bool]] = {
    "all right": (["ok", "ok"], True),
    "one missing": (["ok", "missing"], False),
    "one differs": (["differs", "ok"], False),
    "one could not be checked": (["ok", "not-checkable"], False),
    "nothing is right": (["missing", "differs", "not-checkable"], False),
}


@pytest.mark.parametrize(("verdicts", "is_whole"), WHOLE.values(), ids=WHOLE)
def test_only_what_is_proved_is_whole(verdicts: list[Verdict], is_whole: bool) -> None:
    """What is missing, differs or could not be checked is not delivered, in the verdict as in the error."""
    made = receipt([proof(verdict) for verdict in verdicts])
    raised = False
    try:
        made.raise_unless_whole()
    except IncompleteError:
        raised = True

    assert (is_whole, not is_whole) == (made.is_whole, raised)


def test_extras_do_not_decide() -> None:
    """A registry may hold more, and may not tell what: that is reported, not judged."""
    made = receipt([proof("ok")], Extras(tags=("a:1",), repositories=("b",), not_checkable=("no catalog",)))

    assert made.is_whole


@pytest.mark.parametrize("present", [True, False])
def test_a_cluster_definition_decides(present: bool) -> None:
    """Where one should have come along, the delivery is whole only with it; the error says which, and why not."""
    found = DefinitionProof(name="harbour", digest=EXPECTED, present=present, reason="" if present else "it is gone")
    made = receipt([proof("ok")]).model_copy(update={"cluster_definition": found})

    assert made.is_whole is present
    assert made.document()["cluster_definition"]["present"] is present
    assert DeliveryReceipt.from_json(made.to_json()) == made
    if not present:
        with pytest.raises(IncompleteError) as caught:
            made.raise_unless_whole()
        assert caught.value.failures == (f"cluster definition harbour: missing, {EXPECTED}: it is gone",)


def test_a_receipt_without_one_says_nothing_of_it() -> None:
    """It has the members that it had before there were cluster definitions."""
    assert "cluster_definition" not in receipt([proof("ok")]).document()


def test_every_verdict_is_counted() -> None:
    """All four are named, also those that do not occur."""
    made = receipt([proof("ok"), proof("ok"), proof("missing")])

    assert made.counts == {"ok": 2, "differs": 0, "missing": 1, "not-checkable": 0}


def test_the_error_names_every_reference() -> None:
    """Each reference that is not right has a line with its verdict and the reason; those that are right have none."""
    made = receipt(
        [
            proof("ok"),
            proof("missing", "blob sha256:abc is missing", "a"),
            proof("not-checkable", "denied", "b"),
            proof("differs", name="c"),
        ]
    )

    with pytest.raises(IncompleteError) as caught:
        made.raise_unless_whole()

    assert caught.value.message == "3 of 4 references are not proved at mirror.example:5000"
    assert caught.value.failures == (
        "mirror.example:5000/docker.io/library/a:1: missing, blob sha256:abc is missing",
        "mirror.example:5000/docker.io/library/b:1: not-checkable, denied",
        "mirror.example:5000/docker.io/library/c:1: differs",
    )
    assert caught.value.exit_code == 3


NEXT_STEPS: dict[Verdict, str] = {
    "missing": "push again",
    "differs": "--on-conflict replace",
    "not-checkable": "validate again",
}


@pytest.mark.parametrize("verdict", NEXT_STEPS)
def test_the_hint_fits_the_verdicts(verdict: Verdict) -> None:
    """The next step is that for what was found, and for nothing else."""
    with pytest.raises(IncompleteError) as caught:
        receipt([proof("ok"), proof(verdict)]).raise_unless_whole()

    hint = str(caught.value.hint)
    assert [NEXT_STEPS[verdict] in hint, hint.count(";")] == [True, 0]


def test_the_hint_has_a_step_for_each_verdict() -> None:
    """Several verdicts give several steps, each once."""
    with pytest.raises(IncompleteError) as caught:
        receipt([proof("missing"), proof("missing"), proof("not-checkable")]).raise_unless_whole()

    assert str(caught.value.hint).count(";") == 1


def test_the_file_is_json_for_scripts() -> None:
    """The receipt, its counts and the verdict on the whole; the same receipt gives the same bytes."""
    made = receipt([proof("differs", "die Prüfsumme")], Extras(tags=("a:1",)))

    document = json.loads(made.to_json())

    assert document == made.document()
    assert (document["format"], document["whole"], document["counts"]["differs"]) == ("edgelift.receipt/v1", False, 1)
    assert (document["proofs"][0]["expected"], document["proofs"][0]["found"]) == (EXPECTED, FOUND)
    assert made.to_json().endswith(b"}\n")
    assert "Prüfsumme".encode() in made.to_json()


def test_a_receipt_comes_back() -> None:
    """What Prefect keeps of a receipt is the receipt."""
    made = receipt([proof("ok"), proof("missing", "gone")])

    assert made == DeliveryReceipt.model_validate_json(made.model_dump_json())


UNKNOWN = {"a verdict": {"verdict": "fine"}, "a digest": {"expected": "sha256:abc"}, "a member": {"note": "x"}}


@pytest.mark.parametrize("change", UNKNOWN.values(), ids=UNKNOWN)
def test_what_is_no_proof_is_refused(change: dict[str, str]) -> None:
    """A receipt says nothing that validation did not mean."""
    with pytest.raises(ValidationError):
        Proof.model_validate(proof("ok").model_dump() | change)


def test_a_selection_is_told() -> None:
    """A receipt of some entries says so; that of all of them has no such key, as before."""
    whole = receipt([proof("ok")])
    selected = whole.model_copy(update={"selection": "tier=web"})

    assert "selection" not in whole.document()
    assert selected.document()["selection"] == "tier=web"
    assert DeliveryReceipt.from_json(selected.to_json()) == selected
