"""The clients that the tasks of one run share in one process; secrets are loaded here and kept nowhere else."""

from functools import lru_cache
from pathlib import Path

from prefect.runtime import flow_run

from blocks.registry import load_registries
from edgelift.access import Connections, default_store
from edgelift.bundle.reader import BundleReader
from edgelift.delivery.target import Target
from edgelift.oci.content import ContentReader
from edgelift.oci.push import KnownBlobs
from edgelift.site import RegistryAccess, TargetSettings
from edgelift.store.local import LocalStore


def connect(access: RegistryAccess) -> Connections:
    """Clients for every registry of `access`; each attempt at a run loads its blocks anew: a rotated secret counts."""
    return _open(_attempt(), access)


def open_store(store: str | None) -> LocalStore:
    """The working store in the folder `store`, or in the user's cache folder."""
    return _store(_attempt(), path_of(store) if store else default_store())


def path_of(text: str) -> Path:
    """The path `text` on this worker, where `~` is its home."""
    return Path(text).expanduser().absolute()


def bundle_path(name: str, output: str) -> Path:
    """Where the bundle called `name` is, or would be, in the folder `output`."""
    return path_of(output) / f"{name}.tar.zst"


def open_content(path: str) -> ContentReader:
    """What to push from: a bundle where `path` is a file, else a store; opened once for all tasks of an attempt."""
    return _content(_attempt(), path_of(path))


def known_blobs(target: TargetSettings) -> KnownBlobs:
    """What this run has learned of where blobs are at the target."""
    return _known(_attempt(), target.registry)


def target_of(settings: TargetSettings) -> Target:
    """The target with its mapping rules; raises `ConfigurationError`."""
    return Target.parse(settings.registry, settings.rules, docker_hub_aliases=settings.docker_hub_aliases)


def _attempt() -> str:
    return f"{flow_run.id}/{flow_run.run_count}"


@lru_cache(maxsize=4)
def _open(attempt: str, access: RegistryAccess) -> Connections:  # noqa: ARG001 - part of the key only
    return load_registries(access)


@lru_cache(maxsize=2)
def _store(attempt: str, path: Path) -> LocalStore:  # noqa: ARG001 - part of the key only
    return LocalStore(path)


@lru_cache(maxsize=2)
def _content(attempt: str, path: Path) -> ContentReader:  # noqa: ARG001 - part of the key only
    return LocalStore(path) if path.is_dir() else BundleReader.open(path)


@lru_cache(maxsize=4)
def _known(attempt: str, registry: str) -> KnownBlobs:  # noqa: ARG001 - part of the key only
    return KnownBlobs()
