"""Which commands there are. Each is loaded when it is named: what it needs, others need not wait for."""

from collections.abc import Iterator, Mapping
from importlib import import_module
from typing import Any, cast

import typer
from typer.core import TyperGroup
from typer.main import get_command

COMMANDS = {
    "images": "content.images",
    "plan": "content.plan",
    "build": "build.build",
    "push": "run.push",
    "sync": "run.sync",
    "sites": "sites.app",
    "validate": "delivery.validate",
    "inspect": "bundles.inspect",
    "verify": "bundles.verify",
    "diff": "difference.diff",
    "sizes": "sizes.sizes",
    "reassemble": "parts.reassemble",
    "serve": "serving.serve",
    "upload": "upload.upload",
    "list": "archive.list_bundles",
    "restore": "restoring.restore",
    "prune": "archive.prune",
    "copy": "copying.copy",
    "store": "store.app",
    "schema": "schema.schema",
    "demo": "run.demo",
    "up": "run.up",
}


class Commands(TyperGroup):
    """The commands by name, in the order of `COMMANDS`."""

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        self.commands = cast("Any", _Loaded())  # it is only ever read


class _Loaded(Mapping[str, Any]):
    """Loads a command when it is asked for."""

    def __getitem__(self, name: str) -> Any:
        module, _, member = COMMANDS[name].partition(".")
        found = getattr(import_module(f"edgelift.cli.{module}"), member)
        if not isinstance(found, typer.Typer):
            alone = typer.Typer(add_completion=False)
            alone.command(name)(found)
            found = alone
        command = get_command(found)
        command.name = name
        return command

    def __iter__(self) -> Iterator[str]:
        return iter(COMMANDS)

    def __len__(self) -> int:
        return len(COMMANDS)
