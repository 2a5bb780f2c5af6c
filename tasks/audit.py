"""Audit: what was delivered against what is there now; the receipt of the delivery stays what it is."""

from prefect import task
from prefect.artifacts import create_table_artifact
from prefect.cache_policies import NO_CACHE
from pydantic import BaseModel, ConfigDict

from edgelift.bundle.kinds import name_of
from edgelift.delivery.drift import Change, Drift, find_drift
from edgelift.delivery.expected import Expected, audit_path, drift_path, read_expected
from edgelift.delivery.receipt import DeliveryReceipt
from edgelift.documents import write_document
from edgelift.keys import find_public_key
from edgelift.report.markup import code
from edgelift.report.model import Findings
from edgelift.site import EdgeSite
from edgelift.sizes import count
from tasks.archive import open_archive
from tasks.connect import open_store, optional_path, path_of
from tasks.events import announce
from tasks.narrate import narrate
from tasks.record import record

SHOWN = 100  # changes in the artifact; the drift file has all of them


class AuditReport(BaseModel):
    """Where the receipt of the audit and the drift were written, and what they say in one line."""

    model_config = ConfigDict(frozen=True)

    registry: str
    receipt_path: str
    drift_path: str
    counts: dict[str, int]
    headline: str


@task(name="open receipt", task_run_name="open the receipt of {site.name}", cache_policy=NO_CACHE, persist_result=False)
def open_receipt(site: EdgeSite, output: str, store: str | None) -> Expected:
    """What the site should have by its last receipt in `output`; raises `ConfigurationError` where there is none."""
    key = find_public_key(optional_path(site.public_key))
    archive = open_archive(site.archive, site.access) if site.archive is not None else None
    expected = read_expected(path_of(output), site.name, open_store(store).runs, key, archive)
    receipt, record().lock = expected.receipt, expected.lock
    many = count(len(receipt.proofs), "reference")
    narrate(f"{site.name} was delivered {receipt.bundle} at {receipt.checked_at}: {many}")
    return expected


@task(name="audit", task_run_name="audit {site.name}", cache_policy=NO_CACHE, persist_result=False)
def report_drift(site: EdgeSite, expected: Expected, found: DeliveryReceipt, output: str) -> AuditReport:
    """Write NAME.audit.json and NAME.drift.json, publish the drift; raises `IncompleteError` where there is any.

    Of the cluster definition, which no registry holds, the audit can say nothing, and says nothing.
    """
    drift = find_drift(expected.receipt, expected.audit, found)
    folder = path_of(output)
    receipt, changes = audit_path(folder, site.name), drift_path(folder, site.name)
    write_document(receipt, found.to_json())
    write_document(changes, drift.to_json())
    record().findings = _findings(drift)
    create_table_artifact(key="site-drift", table=_rows(drift), description=drift.headline)
    narrate(drift.headline, warn=bool(drift.open_changes), is_reported=False)
    narrate(f"receipt of the audit: {receipt}")
    if drift.open_changes:
        announce("drifted", registry=drift.registry, changes=drift.headline, drift=str(changes))
    drift.raise_for_changes()
    return AuditReport(
        registry=drift.registry,
        receipt_path=str(receipt),
        drift_path=str(changes),
        counts=dict(found.counts),
        headline=drift.headline,
    )


def _worst_first(drift: Drift) -> list[Change]:
    return sorted(drift.changes, key=lambda each: (each.change == "well again", each.target))


def _findings(drift: Drift) -> Findings:
    rows = [
        (name_of(each.reference, each.kind), each.change, each.since, each.target, each.reason)
        for each in _worst_first(drift)
    ]
    columns = ("Image", "Change", "Since", "Name at the target", "Why")
    return Findings("What has changed since the delivery", drift.headline, columns, tuple(rows))


def _rows(drift: Drift) -> list[dict[str, str]]:
    return [
        {
            "image": name_of(each.reference, each.kind),
            "change": each.change,
            "since": each.since,
            "target": each.target,
            "reason": code(each.reason),
        }
        for each in _worst_first(drift)[:SHOWN]
    ]
