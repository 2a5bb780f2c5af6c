"""What is proved of a cluster definition: its bytes, and nothing less."""

from edgelift.bundle.cluster_definition import LockedClusterDefinition
from edgelift.delivery.attached import prove_cluster_definition
from tests.bundle.content import MemoryContent

CONTENT = b"what Palette made"
PINNED = LockedClusterDefinition.of("harbour", CONTENT, ())


def content(present: bytes | None) -> MemoryContent:
    """Content in which `present` stands for the cluster definition."""
    return MemoryContent({PINNED.digest: present} if present is not None else {})


def test_what_was_read_is_present() -> None:
    """Every byte of it, with the digest that the lock has."""
    proof = prove_cluster_definition(PINNED, content(CONTENT))

    assert (proof.name, proof.digest, proof.present, proof.reason) == ("harbour", PINNED.digest, True, "")


def test_what_is_missing_or_damaged_is_not() -> None:
    """The reason is told; nothing is raised, so that the receipt can say it."""
    proofs = [prove_cluster_definition(PINNED, content(each)) for each in (None, CONTENT[::-1])]

    assert [(proof.present, bool(proof.reason)) for proof in proofs] == [(False, True)] * 2
