"""What Prefect does by itself: `python -m deployments.deploy_automations [--notify TYPE/NAME …] [--check] [--remove]`.

There is one automation for each occasion in deployments/automations. Those that tell somebody go to the notification
blocks that are named with --notify, for example slack-webhook/notify-slack; without it they are left as they are.
Running it again changes what has changed; one that was switched off in Prefect stays off.
"""

import argparse
import pkgutil
import sys
from collections.abc import Iterable, Iterator, Sequence
from importlib import import_module
from uuid import UUID

import httpx
from prefect.client.orchestration import SyncPrefectClient, get_client
from prefect.events.schemas.automations import Automation, AutomationCore
from prefect.exceptions import ObjectNotFound

from deployments import automations as package
from deployments.automations.notice import addressed
from deployments.server import explain_failure, require_server, server_address
from edgelift.errors import ConfigurationError, EdgeliftError


def all_automations() -> list[AutomationCore]:
    """All that the modules of deployments/automations give; those that tell somebody are not addressed yet."""
    names = [f"{package.__name__}.{each.name}" for each in pkgutil.iter_modules(package.__path__)]
    modules = [module for module in map(import_module, names) if hasattr(module, "automations")]
    return [automation for module in modules for automation in module.automations()]


def deploy_automations(
    wanted: Iterable[AutomationCore], client: SyncPrefectClient, *, check: bool = False
) -> Iterator[str]:
    """Make or change each of `wanted`, found again by its name; a line for each, such as `created edgelift: …`.

    With `check` nothing is changed.
    """
    for automation in wanted:
        standing = _find(automation.name, client)
        if standing is None:
            verb = "would create" if check else "created"
            if not check:
                client.create_automation(automation)
        elif _is_same(standing, automation):
            verb = "unchanged"
        else:
            verb = "would change" if check else "changed"
            if not check:
                # Through a document, so that every field counts as set: Prefect sends no others, not even types.
                document = automation.model_dump(exclude={"owner_resource"}) | {"enabled": standing.enabled}
                client.update_automation(standing.id, AutomationCore.model_validate(document))
        yield f"{verb} {automation.name}"


def remove_automations(
    named: Iterable[AutomationCore], client: SyncPrefectClient, *, check: bool = False
) -> Iterator[str]:
    """Delete those of `named` that there are; a line for each. With `check` nothing is changed."""
    for automation in named:
        standing = _find(automation.name, client)
        if standing is not None:
            if not check:
                client.delete_automation(standing.id)
            yield f"{'would remove' if check else 'removed'} {automation.name}"


def find_block(text: str, client: SyncPrefectClient) -> UUID:
    """The id of the notification block that `text` names as TYPE/NAME; raises `ConfigurationError`."""
    kind, _, name = text.partition("/")
    try:
        found = client.read_block_document_by_name(name, kind, include_secrets=False) if name else None
    except ObjectNotFound:
        found = None
    if found is None:
        raise ConfigurationError(
            f"Prefect has no block {text}",
            hint="name one as TYPE/NAME, for example slack-webhook/notify-slack; make it in Prefect's UI under Blocks, "
            "or with python -m deployments.register_blocks",
        )
    capabilities = found.block_schema.capabilities if found.block_schema is not None else []
    if "notify" not in capabilities:
        raise ConfigurationError(
            f"{text} is not a notification block",
            hint="use one of slack-webhook, sendgrid-email or custom-webhook, or another that can notify",
        )
    return found.id


def main(arguments: Sequence[str] | None = None) -> None:
    """Deploy, check or remove, as the `arguments` (those of the command line) say."""
    parser = argparse.ArgumentParser(prog="python -m deployments.deploy_automations", description=__doc__)
    parser.add_argument(
        "--notify",
        action="append",
        default=[],
        metavar="TYPE/NAME",
        help="a notification block that is told; repeatable",
    )
    parser.add_argument("--check", action="store_true", help="tell what would be done, and change nothing")
    parser.add_argument("--remove", action="store_true", help="delete the automations")
    asked = parser.parse_args(arguments)
    try:
        require_server()
        with get_client(sync_client=True) as client:
            sys.stdout.writelines(f"{line}\n" for line in _carry_out(asked, client))
    except EdgeliftError as error:
        sys.stderr.write(f"error: {error}\n")
        sys.exit(error.exit_code)
    except httpx.HTTPError as error:
        sys.stderr.write(f"error: cannot work with Prefect at {server_address()}: {explain_failure(error)}\n")
        sys.exit(1)


def _carry_out(asked: argparse.Namespace, client: SyncPrefectClient) -> Iterator[str]:
    if asked.remove:
        return remove_automations(all_automations(), client, check=asked.check)
    blocks = [find_block(text, client) for text in asked.notify]
    wanted = (addressed(automation, blocks) for automation in all_automations())
    return deploy_automations(filter(None, wanted), client, check=asked.check)


def _find(name: str, client: SyncPrefectClient) -> Automation | None:
    return next(iter(client.read_automations_by_name(name)), None)


def _is_same(standing: Automation, wanted: AutomationCore) -> bool:
    """Whether they do the same, whether it is switched on or not."""
    return _essence(AutomationCore.model_validate(standing.model_dump())) == _essence(wanted)


def _essence(automation: AutomationCore) -> dict[str, object]:
    return automation.model_dump(exclude={"enabled"})


if __name__ == "__main__":
    main()
