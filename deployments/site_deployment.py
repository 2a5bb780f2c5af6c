"""What the deployment of a site has to be, and in what the one that Prefect has differs. Values; asks no server."""

import json
from collections.abc import Iterator, Mapping
from functools import cache
from importlib.metadata import version
from typing import Any
from uuid import UUID

from prefect.client.schemas.actions import DeploymentUpdate
from prefect.client.schemas.objects import ConcurrencyLimitStrategy, ConcurrencyOptions, DeploymentSchedule
from prefect.client.schemas.responses import DeploymentResponse
from prefect.client.schemas.schedules import CronSchedule
from prefect.utilities.callables import ParameterSchema, parameter_schema

from edgelift.errors import ConfigurationError
from edgelift.site import EdgeSite
from edgelift.timetable import Schedule
from flows.sync_site import sync_site

Settings = dict[str, Any]  # of a deployment, by the names that Prefect has for them; schedules by their names

FLOW = sync_site.name
TAG = "site"  # of the deployments that are made of site files
# ENQUEUE: a run retried from the UI must wait for a scheduled one of its site, not be cancelled by it.
_ONE_AT_A_TIME = ConcurrencyLimitStrategy.ENQUEUE
_SHOWN = 6  # differences that are told one by one


def wanted_settings(site: EdgeSite, pool: str) -> Settings:
    """What the deployment of `site` has to be; raises `ConfigurationError` where Prefect refuses a schedule."""
    return {
        "description": site.description or "Bring this site what its profiles need, and prove that it arrived.",
        "tags": ["edgelift", TAG],
        "version": version("edgelift"),
        "work_pool_name": pool,
        # With a path, each run would copy the folder that it was deployed from.
        "entrypoint": f"{sync_site.fn.__module__}.{sync_site.fn.__name__}",
        "parameters": {"site": site.model_dump(mode="json", exclude={"schedule", "schedules"})},
        "parameter_openapi_schema": _form(),
        "enforce_parameter_schema": True,
        "concurrency_limit": 1,
        "concurrency_options": _ONE_AT_A_TIME.value,
        "schedules": {schedule.name: _wanted_schedule(site, schedule) for schedule in site.all_schedules},
    }


def found_settings(deployment: DeploymentResponse) -> Settings:
    """The same of what Prefect has."""
    limit, options = deployment.global_concurrency_limit, deployment.concurrency_options
    form = ParameterSchema().model_dump() | (deployment.parameter_openapi_schema or {})
    return {
        "description": deployment.description,
        "tags": deployment.tags,
        "version": deployment.version,
        "work_pool_name": deployment.work_pool_name,
        "entrypoint": deployment.entrypoint,
        "parameters": deployment.parameters,
        "parameter_openapi_schema": form,
        "enforce_parameter_schema": deployment.enforce_parameter_schema,
        "concurrency_limit": limit.limit if limit is not None else None,
        "concurrency_options": options.collision_strategy.value if options is not None else None,
        "schedules": {
            schedule.slug or str(schedule.id): _found_schedule(schedule) for schedule in deployment.schedules
        },
    }


def differences(wanted: Settings, found: Settings) -> tuple[str, ...]:
    """The names of the settings that differ; below `parameters` and `schedules`, of their parts."""
    return tuple(
        ".".join(place).removeprefix("parameters.").replace("parameter_openapi_schema", "form")
        for place in _differing(wanted, found)
    )


def name_differences(differing: tuple[str, ...]) -> str:
    """The names of what differs, for a line of the log."""
    more = len(differing) - _SHOWN
    return ", ".join(differing[:_SHOWN]) + (f" and {more} more" if more > 0 else "")


def outdated_schedules(deployment: DeploymentResponse, wanted: Settings) -> list[UUID]:
    """The schedules that Prefect has and the site file has not."""
    return [schedule.id for schedule in deployment.schedules if schedule.slug not in wanted["schedules"]]


def update_of(wanted: Settings, found: Settings) -> DeploymentUpdate:
    """What Prefect is told, so that `found` becomes `wanted`: nothing of what is right already."""
    changed = {name: value for name, value in arguments_of(wanted).items() if wanted[name] != found[name]}
    return DeploymentUpdate(**changed)


def arguments_of(wanted: Settings) -> dict[str, Any]:
    """`wanted` as Prefect's client takes it."""
    schedules = [
        {
            "schedule": {"cron": each["cron"], "timezone": each["timezone"]},
            "active": each["active"],
            "parameters": each["parameters"],
            "slug": name,  # by which it is found again
        }
        for name, each in wanted["schedules"].items()
    ]
    options = ConcurrencyOptions(collision_strategy=_ONE_AT_A_TIME)
    return {**wanted, "schedules": schedules, "concurrency_options": options}


@cache
def _form() -> dict[str, Any]:
    """The form of a run, as it comes back from a server."""
    form: dict[str, Any] = json.loads(json.dumps(parameter_schema(sync_site).model_dump()))
    return form


def _wanted_schedule(site: EdgeSite, schedule: Schedule) -> Settings:
    try:
        CronSchedule(cron=schedule.cron, timezone=schedule.timezone)
    except ValueError:  # a reader of its own, which knows less in few places
        raise ConfigurationError(
            f"site {site.name} has a schedule that Prefect cannot read: {schedule.cron!r} in {schedule.timezone!r}",
            hint="write the cron expression with numbers, and the time zone as in Europe/Berlin",
        ) from None
    return {
        "cron": schedule.cron,
        "timezone": schedule.timezone,
        "active": schedule.active,
        "parameters": schedule.parameters,
    }


def _found_schedule(schedule: DeploymentSchedule) -> Settings:
    when = schedule.schedule
    kind = {"cron": when.cron} if isinstance(when, CronSchedule) else {"other": str(when)}
    return {
        **kind,
        "timezone": getattr(when, "timezone", None),
        "active": schedule.active,
        "parameters": schedule.parameters,
    }


def _differing(wanted: Mapping[str, Any], found: Mapping[str, Any]) -> Iterator[tuple[str, ...]]:
    for name in {**wanted, **found}:
        one, other = wanted.get(name), found.get(name)
        if one == other:
            continue
        if isinstance(one, dict) and isinstance(other, dict) and name != "parameter_openapi_schema":
            yield from ((name, *place) for place in _differing(one, other))
        else:
            yield (name,)
