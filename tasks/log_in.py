"""Log in: which credentials serve which registry, proved once. References leave this task, never secrets."""

from collections.abc import Iterator
from contextlib import suppress

from prefect import task
from prefect.cache_policies import NO_CACHE
from pydantic import BaseModel, ConfigDict

from edgelift.access import Connections
from edgelift.bundle.definition import BundleDefinition
from edgelift.charts.repository import ChartRepository
from edgelift.errors import ConfigurationError, PlanError, RegistryError
from edgelift.oci.mirrors import Place
from edgelift.oci.reference import ImageReference
from edgelift.oci.source import Source
from edgelift.packs.names import is_local
from edgelift.site import RegistryAccess, TargetSettings
from tasks.connect import connect, target_of
from tasks.narrate import narrate
from tasks.record import staged


class RegistryLogin(BaseModel):
    """A registry, or the places that stand for it, and the name of what gets us in: a block, a file, or `anonymous`."""

    model_config = ConfigDict(frozen=True)

    registry: str
    source: str


@task(name="credentials", task_run_name="log in", cache_policy=NO_CACHE, persist_result=False)
@staged("log in")
def log_in(
    definition: BundleDefinition | None, access: RegistryAccess, target: TargetSettings | None = None
) -> tuple[RegistryLogin, ...]:
    """Log in to every registry of the definition, and to the target, once; raises `PlanError` naming all refusals.

    It is `retryable` where all of them may pass: a registry that is busy or wants to be left alone has refused nobody.
    """
    connections = connect(access)
    logins, failures, is_lasting = [], [], False
    for client, places in sorted(_clients(connections, definition, target).items(), key=lambda item: item[1]):
        try:
            client.log_in()
            source = connections.source_of(places[0].host, places[0].path)
        except (RegistryError, ConfigurationError) as error:  # of credentials: their helper, or AWS, gives none
            failures.append(str(error))
            is_lasting = is_lasting or not error.retryable
            continue
        login = RegistryLogin(registry=" or ".join(dict.fromkeys(place.host for place in places)), source=source)
        logins.append(login)
        narrate(f"logged in to {login.registry}: {login.source}")
    if failures and is_lasting:
        raise PlanError("not every registry lets us in; nothing was moved", failures)
    if failures:
        hint = "this may pass: no registry has refused the login itself; run the same again later"
        raise PlanError("not every registry answers now; nothing was moved", failures, hint=hint, retryable=True)
    return tuple(logins)


def _clients(
    connections: Connections, definition: BundleDefinition | None, target: TargetSettings | None
) -> dict[Source, list[Place]]:
    """What all is read from, and the target; with the places that it asks, one repository for all of them.

    Repositories of charts that are no registries are not among them: their index is asked for once, when it is needed.
    """
    clients: dict[Source, list[Place]] = {}
    for reference in _references(definition) if definition is not None else ():
        source = connections.source(reference.registry, reference.repository)
        clients[source] = connections.places(reference.registry, reference.repository)
    if target is not None:
        destination = target_of(target)
        clients.setdefault(
            connections.registry(destination.registry), [Place(destination.registry, "", destination.base)]
        )
    return clients


def _references(definition: BundleDefinition) -> Iterator[ImageReference]:
    for each in definition.requested:
        if not is_local(each.reference):
            yield ImageReference.parse(each.reference)
    for chart in definition.charts:
        with suppress(ConfigurationError):  # the plan tells of it, with everything else
            repository = ChartRepository.parse(chart.repository)
            if repository.kind == "oci":
                yield repository.reference(chart.name, "0")
