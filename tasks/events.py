"""Events: how far a run has come, told to Prefect for automations and whoever else listens. No step depends on one."""

from collections.abc import Mapping
from typing import Any, Literal, NamedTuple

from prefect import Flow
from prefect.client.schemas.objects import FlowRun, State
from prefect.events import emit_event
from prefect.runtime import flow_run as this_run

from edgelift.archive.place import BUNDLE

Stage = Literal[
    "planned",
    "pulled",
    "assembled",
    "archived",
    "awaiting-approval",
    "approved",
    "rejected",
    "pushed",
    "delivered",
    "incomplete",
    "failed",
    "drifted",
]
Fact = str | int | bool | None
LONGEST = 2_000  # characters of a fact; what is longer stands in the run's log


class Subject(NamedTuple):
    """What an event is about: a `site`, or a `bundle`, by its name."""

    kind: Literal["site", "bundle"]
    name: str

    @property
    def resource(self) -> dict[str, str]:
        """It as Prefect's events know it: `edgelift.site.harbour-12`."""
        return {"prefect.resource.id": f"edgelift.{self.kind}.{self.name}", "prefect.resource.name": self.name}


def announce(stage: Stage, *, site: str | None = None, **facts: Fact) -> None:
    """Tell that this run has come to `stage`, or one `site` of those that it is for, with a few `facts`, none secret.

    It leaves in the background: no run waits for it, or fails by it.
    """
    _emit(stage, Subject("site", site) if site is not None else subject_of(this_run.parameters), facts)


def announce_failure(flow: Flow[Any, Any], flow_run: FlowRun, state: State) -> None:
    """A hook of flows, for failed and crashed runs: tells why, as the state does."""
    facts = {"flow": flow.name, "run": str(flow_run.id), "state": state.name, "reason": state.message}
    _emit("failed", subject_of(flow_run.parameters), facts, run=flow_run)


def subject_of(parameters: Mapping[str, Any]) -> Subject | None:
    """What a run with these `parameters` is about: its site, else its bundle; None for one that is about neither."""
    site = parameters.get("site")
    if site is not None:
        return Subject("site", str(site["name"] if isinstance(site, Mapping) else site.name))
    name = parameters.get("name") or str(parameters.get("bundle", "")).rpartition("/")[2].partition(BUNDLE)[0]
    return Subject("bundle", str(name)) if name else None


def _emit(stage: Stage, subject: Subject | None, facts: Mapping[str, Fact], run: FlowRun | None = None) -> None:
    """Hand the event to Prefect, which sends it later; what goes wrong there is in its log."""
    if subject is None:
        return
    payload = {name: fact[:LONGEST] if isinstance(fact, str) else fact for name, fact in facts.items()}
    # Where a run is on, Prefect adds what it belongs to; a hook is called when it is over.
    related = [_run_resource(run)] if run is not None else []
    emit_event(f"edgelift.{stage}", resource=subject.resource, related=related, payload=payload)


def _run_resource(run: FlowRun) -> dict[str, str]:
    return {
        "prefect.resource.id": f"prefect.flow-run.{run.id}",
        "prefect.resource.role": "flow-run",
        "prefect.resource.name": run.name,
    }
