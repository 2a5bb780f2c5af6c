"""Sum up: the report of a run, as a file and in Prefect, once it has ended, however it did."""

import socket
import time
from pathlib import PurePosixPath

from prefect import Flow
from prefect.client.schemas.objects import FlowRun, State

from edgelift.bundle.parts import INDEX_SUFFIX
from edgelift.documents import write_document
from edgelift.errors import EdgeliftError
from edgelift.report.model import (
    Problem,
    RunReport,
    Stage,
    Verb,
    headline_of,
    merge_stages,
    problems_of,
    report_images,
    with_problems,
)
from edgelift.report.page import render_report
from edgelift.report.summary_page import headline, summary_page
from edgelift.report.tables import image_rows
from tasks.connect import let_go, path_of
from tasks.narrate import narrate
from tasks.publish import publish_markdown, publish_table
from tasks.record import RunRecord, forget_record, record


def begin_report(
    name: str,
    output: str,
    *,
    pulls: bool = False,
    pushes_to: str | None = None,
    receipt: str | None = None,
    kind: str | None = None,
) -> None:
    """Say what is reported: on `name` (or the bundle of that path), into the folder `output` or that of the `receipt`.

    An image is done once the run has pulled it, where it `pulls`, and pushed it, where there is a place it `pushes_to`;
    of a run that does neither, no images are told. The file is NAME.report.html, or NAME.KIND.report.html.
    """
    steps: tuple[tuple[Verb, bool], ...] = (("pull", pulls), ("push", pushes_to is not None))
    found = record()
    found.name = PurePosixPath(name).name.removesuffix(INDEX_SUFFIX).removesuffix(".tar.zst")
    found.folder = str(path_of(receipt).parent) if receipt else output
    found.stem = f"{found.name}.{kind}" if kind is not None else ""
    found.expected, found.place = tuple(verb for verb, is_taken in steps if is_taken), pushes_to or ""


def sum_up(flow: Flow[..., object], flow_run: FlowRun, state: State) -> None:
    """Write the report and publish its figures, and let go of what is open: a hook for the end of a run.

    It changes nothing of how the run has ended: what it cannot write is told.
    """
    found = record()
    try:
        if found.folder is not None:
            _report(found, gather(found, flow.name, flow_run, state))
    finally:
        forget_record()
        let_go()


def gather(found: RunRecord, flow: str, flow_run: FlowRun, state: State) -> RunReport:
    """All that is known of the attempt that has ended in `state`."""
    error = state.result(raise_on_failure=False) if state.is_failed() else None
    told = problems_of(error) if isinstance(error, BaseException) else ()
    if not told and state.is_failed():
        told = (Problem("", state.message or "the run has failed"),)
    images = found.lock.images if found.lock is not None and found.expected else ()
    steps = with_problems(found.steps, told, images, found.expected)
    return RunReport(
        name=found.name,
        flow=flow,
        run=f"{flow_run.name} ({flow_run.id})",
        started=found.started,
        ended=time.time(),
        is_failed=state.is_failed(),
        outcome=state.name or state.type.value.capitalize(),
        attempt=flow_run.run_count,
        place=found.place,
        headline=headline_of(error) if isinstance(error, BaseException) else None,
        problems=told,
        warnings=found.warnings,
        stages=_stages(found),
        images=report_images(images, found.expected, steps),
        lock=found.lock,
        receipt=found.receipt if found.fleet is None else None,
        findings=found.findings,
        fleet=found.fleet,
    )


def _stages(found: RunRecord) -> tuple[Stage, ...]:
    """In the order in which they began; a fleet has each of them many times."""
    stages = sorted(found.stages, key=lambda stage: stage.started)
    return merge_stages(stages) if found.fleet is not None else tuple(stages)


def _report(found: RunRecord, report: RunReport) -> None:
    places = {"archived bundle": found.archived} if found.archived else {}
    path = path_of(str(found.folder)) / f"{found.stem or found.name}.report.html"
    try:
        write_document(path, render_report(report))
    except EdgeliftError as error:
        narrate(f"the report of the run could not be written: {error}", warn=True)
    else:
        places = {f"report on {socket.gethostname()}": str(path), **places}
        narrate(f"run report: {path}")
    if report.images:
        publish_table("images", found.name, image_rows(report), headline(report))
    publish_markdown("run-report", found.name, summary_page(report, places), headline(report))
