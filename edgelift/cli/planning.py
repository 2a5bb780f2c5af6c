"""The work behind `plan` and `push --dry-run`: the library alone, credentials from files and the environment."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from edgelift.access import open_registries, palette_from_environment
from edgelift.attach import attach_content
from edgelift.bundle.lock import BundleLock
from edgelift.bundle.reader import BundleReader
from edgelift.bundle.selection import select_entries
from edgelift.bundle.signed import check_bundle, read_signed
from edgelift.bundle.summary import summarise
from edgelift.carried import CarriedContent
from edgelift.charts.repository import ChartName
from edgelift.cli.stores import open_named, runs_of
from edgelift.define import define_bundle, read_exported, read_image_lists
from edgelift.definition_file import read_definition
from edgelift.delivery.base import leave_out, read_base
from edgelift.delivery.preflight import check_delivery, check_disk
from edgelift.delivery.target import Target
from edgelift.documents import write_document
from edgelift.errors import ConfigurationError, IncompleteError, PlanError
from edgelift.keys import find_public_key, read_cosign_key
from edgelift.oci.reference import ImageReference
from edgelift.packs.local import read_packs
from edgelift.palette.client import PaletteClient
from edgelift.plan import plan_bundle
from edgelift.site import ContentSource, RegistryAccess, TargetSettings
from edgelift.store.budgets import KnownBudgets


@dataclass(frozen=True)
class Planned:
    """What `edgelift plan` found."""

    lock: BundleLock
    errors: tuple[str, ...]
    warnings: tuple[str, ...]
    postponed: tuple[str, ...] = ()
    budgets: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()

    def raise_for_errors(self) -> None:
        """Raises `PlanError` with every obstacle, or `IncompleteError` where a registry gives no more for now."""
        if self.errors:
            raise PlanError(
                "the content cannot be delivered as it stands; nothing was moved", (*self.errors, *self.postponed)
            )
        if self.postponed:
            raise IncompleteError("the plan is not complete: what was read is kept, nothing was moved", self.postponed)

    def document(self) -> dict[str, Any]:
        """The plan for scripts."""
        told = {"errors": self.errors, "warnings": self.warnings, "postponed": self.postponed, "budgets": self.budgets}
        told |= {"notes": self.notes}
        return {**summarise(self.lock), **{name: list(lines) for name, lines in told.items()}}


@dataclass(frozen=True)
class Rehearsal:
    """Source and target of every push, and what forbids or colours it."""

    pushes: tuple[tuple[str, str], ...]
    errors: tuple[str, ...]
    warnings: tuple[str, ...]


def check_locally(source: ContentSource | Path, public_key: Path | None = None) -> None:
    """Raises `ConfigurationError` for what is wrong without asking anyone: a file that is none, a malformed reference.

    A lock has to be signed, too, where a public key is configured. A flow would find it, but only once Prefect has
    started.
    """
    if isinstance(source, Path):
        BundleLock.from_json(read_signed(source, find_public_key(public_key)), str(source))
        return
    if public_key is not None:
        raise ConfigurationError("--public-key is for a lock: what is built without --lock has not been signed before")
    if source.cosign_key is not None:
        read_cosign_key(Path(source.cosign_key))
    read_exported((*source.profile_files, *source.exclude_profile_files))
    read_packs(source.packs.paths)
    for text in source.images:
        ImageReference.parse(text)
    for text in source.charts:
        ChartName.parse(text)
    read_image_lists(source.image_files)
    if source.definition_file is not None:
        read_definition(Path(source.definition_file))


def plan_delivery(
    name: str,
    source: ContentSource,
    access: RegistryAccess,
    target: TargetSettings | None,
    store: str | None,
    output: Path | None,
    base: str | None = None,
) -> Planned:
    """Resolve, pin and preflight; the lock is written to `output` only where nothing stands in the way.

    What a site has from `base` is left out.
    """
    standing = read_base(base, runs_of(store), find_public_key(None)) if base is not None else None

    def open_palette() -> PaletteClient:
        return palette_from_environment(source.project, access)

    content = open_named(store)
    with open_registries(access) as connections:
        defined = define_bundle(name, source, open_palette, lambda: CarriedContent(connections.registries, content))
        attached = attach_content(source, content, open_palette)
        plan = plan_bundle(defined.definition, connections.registries, content, attached)
        KnownBudgets.of(content.root).keep(connections.registries.budgets())
        lock = leave_out(plan.lock, standing) if standing is not None else plan.lock
        errors, warnings = list(plan.errors), [*defined.warnings, *plan.warnings]
        if standing is not None and lock.base is None:
            warnings.append(f"{base} has brought none of these blobs: all of them are carried")
        folder = output.parent if output is not None else content.root or Path.cwd()
        shortage = check_disk(lock, content, folder / f"{name}.tar.zst")
        errors += [shortage] if shortage is not None else []
        if target is not None:
            place = Target.parse(target.registry, target.rules, docker_hub_aliases=target.docker_hub_aliases)
            registry = connections.target(place.registry, create_repositories=target.create_repositories)
            preflight = check_delivery(lock, place, registry, target.on_conflict)
            errors += preflight.errors
            warnings += preflight.warnings
    if output is not None and not errors and not plan.postponed:
        write_document(output, lock.to_json())
    return Planned(lock, tuple(errors), tuple(warnings), plan.postponed, plan.budgets, defined.notes)


def rehearse_push(
    bundle: str,
    target: TargetSettings,
    access: RegistryAccess,
    public_key: Path | None = None,
    selector: str | None = None,
) -> Rehearsal:
    """What a push of `bundle`, or of what `selector` chooses of it, would do and what stops it; sends no content."""
    place = Target.parse(target.registry, target.rules, docker_hub_aliases=target.docker_hub_aliases)
    with BundleReader.open(bundle) as reader, open_registries(access) as connections:
        check_bundle(reader, find_public_key(public_key))
        registry = connections.target(place.registry, create_repositories=target.create_repositories)
        lock = select_entries(reader.lock, selector)
        preflight = check_delivery(lock, place, registry, target.on_conflict)
    pushes = tuple(
        (delivery.image.reference, f"{place.registry}/{name}")
        for delivery in preflight.deliveries
        for name in delivery.names
    )
    return Rehearsal(pushes, preflight.errors, preflight.warnings)
