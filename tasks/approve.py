"""Approve: a human says yes or no between what is ready and its push. Meanwhile the run holds no worker.

A run is suspended: its process ends, and once somebody has answered, a worker carries it out again from the top. What
was done is taken over as in a retry; see decision 19. One answer counts for all attempts at a run with the same lock.
"""

from collections.abc import Iterator
from typing import Literal

from prefect import suspend_flow_run
from prefect.context import FlowRunContext
from prefect.input import RunInput
from prefect.input.actions import filter_flow_run_input
from prefect.runtime import flow_run
from pydantic import Field

from edgelift.bundle.kinds import count_kinds
from edgelift.bundle.lock import BundleLock
from edgelift.delivery.changes import Changes, compare_to_receipt
from edgelift.delivery.receipt import DeliveryReceipt
from edgelift.documents import read_document
from edgelift.errors import ConfigurationError, RejectedError
from edgelift.site import APPROVAL_TIMEOUT, TargetSettings
from edgelift.sizes import format_size
from tasks.connect import path_of, target_of
from tasks.events import announce
from tasks.narrate import narrate

_MARK = 12  # hexadecimal digits of the lock's digest
_SHOWN = 30  # references of one kind in the form
_INPUTS = 180  # of a run that are looked through: three for each attempt; Prefect gives no more than 200


class Approval(RunInput):
    """The form that Prefect shows to whoever resumes the run."""

    decision: Literal["approve", "reject"] = Field(description="Whether this is pushed.")
    comment: str = Field("", max_length=500, description="A line for the run's log: who you are, and why.")


def check_approval() -> None:
    """Raises `ConfigurationError`, before anything is moved, where Prefect could not suspend the run."""
    context = FlowRunContext.get()
    run = context.flow_run if context is not None else None
    if run is None or run.deployment_id is None:
        raise ConfigurationError(
            "somebody has to approve, and this run has no deployment: nothing could have it go on",
            hint="run it as a deployment (python -m deployments.deploy_sites), or without approval",
        )
    if run.parent_task_run_id is not None:
        raise ConfigurationError(
            "somebody has to approve, and this run is part of another one, which cannot be suspended with it",
            hint="run the deployment by itself, or without approval",
        )


def ask_approval(
    lock: BundleLock,
    target: TargetSettings,
    output: str,
    receipt_file: str | None = None,
    *,
    timeout: int = APPROVAL_TIMEOUT,
) -> None:
    """Go on where somebody has approved that `lock` is pushed; where nobody has answered, ask and suspend the run.

    Raises `RejectedError` where the answer was no. Where there is none for `timeout` seconds, Prefect has the run fail,
    and a retry asks anew.
    """
    key = f"approval-{lock.digest.hex[:_MARK]}"
    answer = _answer(key) or _ask(key, lock, target, _changes(lock, target, output, receipt_file), timeout)
    said = f": {answer.comment}" if answer.comment else ""
    if answer.decision == "reject":
        announce("rejected", registry=target.registry, lock=lock.digest, comment=answer.comment)
        raise RejectedError(
            f"the push to {target.registry} was rejected{said}",
            hint="nothing was pushed; start another run, which asks again: a retry of this one does not",
        )
    announce("approved", registry=target.registry, lock=lock.digest, comment=answer.comment)
    narrate(f"the push to {target.registry} is approved{said}")


def _answer(key: str) -> Approval | None:
    """What was answered to the question `key`, at whichever attempt at this run it was asked."""
    inputs = filter_flow_run_input(f"suspended-{key}-", limit=_INPUTS)
    answers = [each.decoded_value for each in inputs if each.key.endswith("-response")]
    return Approval.model_validate(answers[0]) if answers else None


def _ask(key: str, lock: BundleLock, target: TargetSettings, changes: Changes | None, timeout: int) -> Approval:
    """Suspend the run with the question; what comes after is another attempt, which finds the answer."""
    announce("awaiting-approval", registry=target.registry, lock=lock.digest, changes=str(changes or "not known"))
    narrate(f"the push to {target.registry} waits for approval: resume this run in Prefect to answer")
    form = Approval.with_initial_data(description="\n\n".join(_describe(lock, target, changes)))
    # Each attempt has a question of its own: Prefect keeps the old ones, and asks none of them twice.
    return suspend_flow_run(wait_for_input=form, key=f"{key}-{flow_run.run_count}", timeout=timeout)


def _changes(lock: BundleLock, target: TargetSettings, output: str, receipt_file: str | None) -> Changes | None:
    """What the push would change; None where no receipt of an earlier delivery to the same place is at hand."""
    path = path_of(receipt_file) if receipt_file else path_of(output) / f"{lock.definition.name}.receipt.json"
    try:
        receipt = DeliveryReceipt.from_json(read_document(path), str(path))
    except ConfigurationError:
        return None
    return compare_to_receipt(lock, receipt) if receipt.registry == str(target_of(target)) else None


def _describe(lock: BundleLock, target: TargetSettings, changes: Changes | None) -> Iterator[str]:
    """The question in paragraphs of Markdown."""
    kinds, size = count_kinds(image.kind for image in lock.images), format_size(lock.carried_size)
    yield f"**{lock.definition.name}** is ready for **{target.registry}**: {kinds}, {size}. Lock `{lock.digest}`."
    if changes is None:
        yield "This worker has no receipt of an earlier delivery to it."
        return
    yield f"Since the last delivery: {changes}. What is asked for no more stays there."
    kinds_of_change = {"added": changes.added, "another digest": changes.moved, "asked for no more": changes.removed}
    for word, names in kinds_of_change.items():
        if names:
            yield "\n".join([*(f"- {word}: `{name}`" for name in names[:_SHOWN]), *_rest(len(names) - _SHOWN, word)])


def _rest(count: int, word: str) -> list[str]:
    return [f"- {word}: {count} more"] if count > 0 else []
