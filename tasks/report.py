"""Report: the receipt as files and as Prefect artifacts, the settings that the site's hosts need, and a treemap."""

from prefect import task
from prefect.cache_policies import NO_CACHE
from pydantic import BaseModel, ConfigDict

from edgelift.bundle.kinds import name_of
from edgelift.bundle.lock import BundleLock
from edgelift.delivery.attached import prove_cluster_definition
from edgelift.delivery.receipt import DeliveryReceipt
from edgelift.delivery.site_settings import site_settings
from edgelift.documents import write_document
from edgelift.report.markup import code
from edgelift.site import TargetSettings
from edgelift.treemap.svg import draw_treemap
from tasks.connect import open_content, path_of, target_of
from tasks.events import Stage, announce
from tasks.narrate import narrate
from tasks.publish import publish_markdown, publish_table
from tasks.record import record, staged

SHOWN = 100  # lines of one kind in the artifact; the receipt has all of them


class DeliveryReport(BaseModel):
    """Where receipt, site-side settings and the treemap of sizes were written, and whether the delivery is whole."""

    model_config = ConfigDict(frozen=True)

    registry: str
    receipt_path: str
    settings_path: str
    sizes_path: str
    counts: dict[str, int]
    is_whole: bool


@task(name="report", task_run_name="report on {target.registry}", cache_policy=NO_CACHE, persist_result=False)
@staged("report")
def report_delivery(
    lock: BundleLock,
    receipt: DeliveryReceipt,
    target: TargetSettings,
    output: str,
    receipt_file: str | None = None,
    *,
    content: str,
    public_key: str | None = None,
    archive_block: str | None = None,
) -> DeliveryReport:
    """Write the receipt, the settings and the treemap, publish the first two as artifacts.

    That the cluster definition is there is proved by reading it from `content`: see `open_content`. Raises
    `IncompleteError` unless all is well.
    """
    if lock.cluster_definition is not None:
        proof = prove_cluster_definition(lock.cluster_definition, open_content(content, public_key, archive_block))
        receipt = receipt.model_copy(update={"cluster_definition": proof})
    record().receipt = receipt
    folder, name = path_of(output), lock.definition.name
    receipt_path = path_of(receipt_file) if receipt_file else folder / f"{name}.receipt.json"
    settings_path = receipt_path.with_name(f"{name}.site-settings.yaml")
    sizes_path = receipt_path.with_name(f"{name}.sizes.svg")
    settings = site_settings(lock, target_of(target))
    write_document(receipt_path, receipt.to_json())
    write_document(settings_path, settings.encode())
    write_document(sizes_path, draw_treemap(lock))
    publish_table("delivery-receipt", name, _rows(receipt), _headline(receipt))
    publish_markdown("delivery-report", name, _markdown(receipt, settings))
    narrate(f"receipt: {receipt_path}")
    narrate(f"site-side settings: {settings_path}")
    narrate(f"what costs how much: {sizes_path}")
    reached: Stage = "delivered" if receipt.is_whole else "incomplete"
    announce(reached, registry=receipt.registry, lock=receipt.lock, receipt=str(receipt_path), **receipt.counts)
    receipt.raise_unless_whole()
    return DeliveryReport(
        registry=receipt.registry,
        receipt_path=str(receipt_path),
        settings_path=str(settings_path),
        sizes_path=str(sizes_path),
        counts=dict(receipt.counts),
        is_whole=receipt.is_whole,
    )


def _headline(receipt: DeliveryReceipt) -> str:
    counts = ", ".join(f"{count} {verdict}" for verdict, count in receipt.counts.items())
    only = f", of the entries with {code(receipt.selection)} alone" if receipt.selection is not None else ""
    return "; ".join(filter(None, (f"{receipt.registry}, {receipt.checked_at}: {counts}{only}", receipt.referrers)))


def _depth(receipt: DeliveryReceipt) -> str:
    return "every blob read back" if receipt.deep else "manifests and blob sizes asked for"


def _rows(receipt: DeliveryReceipt) -> list[dict[str, str]]:
    problems_first = sorted(receipt.proofs, key=lambda proof: (proof.verdict == "ok", proof.reference))
    return [
        {
            "image": name_of(proof.reference, proof.kind),
            "verdict": proof.verdict,
            "target": proof.target,
            "digest": proof.expected,
            "signed": "yes" if proof.signed else "no",
            "referrers": f"{proof.arrived} of {proof.carried}",
            "reason": code(proof.reason),
        }
        for proof in problems_first
    ]


def _markdown(receipt: DeliveryReceipt, settings: str) -> str:
    every = "Every reference" if receipt.selection is None else "Every selected reference"
    verdict = f"{every} is proved." if receipt.is_whole else "**The delivery is not whole.**"
    problems = [
        f"- {code(proof.target)}: {proof.verdict}. {code(proof.reason)}"
        for proof in receipt.proofs
        if proof.verdict != "ok"
    ]
    extras = [f"- {code(name)}" for name in (*receipt.extras.tags, *receipt.extras.repositories)]
    listed = [f"- {code(reason)}" for reason in receipt.extras.not_checkable]
    sections = [
        f"# {receipt.bundle} at {receipt.registry}",
        f"{verdict} {_headline(receipt)}; {_depth(receipt)}.",
        *([code(str(receipt.cluster_definition))] if receipt.cluster_definition else []),
        *(["## Not proved", *_first(problems)] if problems else []),
        *(["## Also at the target", *_first(extras)] if extras else []),
        *(["## Could not be listed", *_first(listed)] if listed else []),
        "## Settings for the edge hosts",
        f"```yaml\n{settings}```",
    ]
    return "\n\n".join(sections)


def _first(lines: list[str]) -> list[str]:
    """As many of `lines` as somebody may read, and how many there are besides."""
    rest = len(lines) - SHOWN
    return [*lines[:SHOWN], f"- and {rest:,} more: see the receipt"] if rest > 0 else lines
