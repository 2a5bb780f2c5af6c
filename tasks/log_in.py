"""Log in: which credentials serve which registry, proved once. References leave this task, never secrets."""

from prefect import task
from prefect.cache_policies import NO_CACHE
from pydantic import BaseModel, ConfigDict

from edgelift.bundle.definition import BundleDefinition
from edgelift.errors import PlanError, RegistryError
from edgelift.oci.reference import ImageReference
from edgelift.site import RegistryAccess, TargetSettings
from tasks.connect import connect, target_of
from tasks.narrate import narrate


class RegistryLogin(BaseModel):
    """A registry and the name of what gets us in: a block, a file, or `anonymous`."""

    model_config = ConfigDict(frozen=True)

    registry: str
    source: str


@task(name="credentials", task_run_name="log in", cache_policy=NO_CACHE, persist_result=False)
def log_in(
    definition: BundleDefinition | None, access: RegistryAccess, target: TargetSettings | None = None
) -> tuple[RegistryLogin, ...]:
    """Log in to every registry of the definition, and to the target, once; raises `PlanError` naming all refusals."""
    connections = connect(access)
    logins, failures = [], []
    for registry, repository in sorted(_registries(definition, target).items()):
        try:
            connections.registry(registry).log_in()
        except RegistryError as error:
            failures.append(str(error))
            continue
        login = RegistryLogin(registry=registry, source=connections.source_of(registry, repository))
        logins.append(login)
        narrate(f"logged in to {registry}: {login.source}")
    if failures:
        raise PlanError("not every registry lets us in; nothing was moved", failures)
    return tuple(logins)


def _registries(definition: BundleDefinition | None, target: TargetSettings | None) -> dict[str, str]:
    """Every registry, with a repository in it that stands for the others."""
    images = definition.images if definition is not None else ()
    references = [ImageReference.parse(image.reference) for image in images]
    registries = {reference.registry: reference.repository for reference in references}
    if target is not None:
        destination = target_of(target)
        registries.setdefault(destination.registry, destination.base)
    return registries
