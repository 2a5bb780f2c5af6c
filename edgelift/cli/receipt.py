"""What the terminal shows of a delivery: the receipt as a table, and the settings that the site's hosts need."""

from pathlib import Path

from edgelift.bundle.kinds import name_of
from edgelift.cli.console import say, say_table, tell
from edgelift.delivery.receipt import DeliveryReceipt
from edgelift.documents import read_document
from edgelift.sizes import count


def show_receipt(receipt: DeliveryReceipt) -> None:
    """The verdicts as a table, then the counts and what else stands at the target."""
    say_table(
        ("VERDICT", "TARGET", "REASON"),
        [(proof.verdict, name_of(proof.target, proof.kind), proof.reason) for proof in receipt.proofs],
    )
    counts = ", ".join(f"{count} {verdict}" for verdict, count in receipt.counts.items())
    tell(counts if receipt.selection is None else f"{counts}, of the entries with {receipt.selection} alone")
    if receipt.referrers:
        tell(receipt.referrers)
    if receipt.cluster_definition is not None:
        tell(str(receipt.cluster_definition))
    extras = receipt.extras
    if extras.tags or extras.repositories:
        found = f"{count(len(extras.tags), 'tag')}, {count(len(extras.repositories), 'repository', 'repositories')}"
        tell(f"beside the lock: {found} (--json and the receipt list them)")
    for reason in extras.not_checkable:
        tell(f"could not be listed: {reason}")


def show_delivery(receipt_path: str, settings_path: str) -> None:
    """The receipt and the site-side settings of a flow, and where they were written."""
    show_receipt(DeliveryReceipt.from_json(read_document(Path(receipt_path)), receipt_path))
    say("")
    say(read_document(Path(settings_path)).decode())
    say(f"receipt: {receipt_path}")
    say(f"site-side settings: {settings_path}")
