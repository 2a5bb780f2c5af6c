"""Assemble: store + lock → one content bundle, with its lock beside it."""

from pathlib import Path

from prefect import task
from prefect.cache_policies import NO_CACHE
from pydantic import BaseModel, ConfigDict

from edgelift.bundle.assembly import Assembly
from edgelift.bundle.lock import BundleLock
from edgelift.bundle.parts import check_part_size
from edgelift.bundle.signed import write_signed
from edgelift.oci.digest import Digest
from edgelift.site import SigningSettings
from edgelift.sizes import format_size
from tasks.connect import bundle_path, open_store, path_of, private_key
from tasks.narrate import narrate, narrate_progress


class BuiltBundle(BaseModel):
    """A finished bundle: its file and size (bytes), the lock beside it; where it is archived, and its digest then.

    Where it `is_signed`, a signature stands beside both; where it is in `parts`, `path` is the index of their files.
    """

    model_config = ConfigDict(frozen=True)

    name: str
    path: str
    lock_path: str
    size: int
    images: int
    is_signed: bool = False
    parts: tuple[str, ...] = ()
    archived: str | None = None
    digest: Digest | None = None


def begin_assembly(
    lock: BundleLock,
    name: str,
    store: str | None,
    output: str,
    signing: SigningSettings | None = None,
    *,
    part_size: int | None = None,
) -> Assembly:
    """A context in which NAME.tar.zst grows in `output` while the content of `lock` is pulled into `store`.

    Raises `ConfigurationError` where it would have too many parts.
    """
    if part_size is not None:
        check_part_size(part_size, lock.unique_size)
    progress = narrate_progress(f"assembling {name}", lock.unique_size)
    path, key = bundle_path(name, output), private_key(signing)
    return Assembly(lock, open_store(store), path, progress=progress, key=key, part_size=part_size)


@task(name="assemble", task_run_name="assemble {name}", cache_policy=NO_CACHE, persist_result=False)
def assemble_content(
    assembly: Assembly, lock: BundleLock, name: str, output: str, signing: SigningSettings | None = None
) -> BuiltBundle:
    """Finish NAME.tar.zst and write NAME.lock.json into `output`; neither is there before it is whole.

    A bundle of the same lock that stands there is verified, and written anew only where it is wrong.
    """
    lock_path = _lock_path(name, output)
    summary, is_new = assembly.finish()
    write_signed(lock_path, lock.to_json(), private_key(signing))
    verb = "assembled" if is_new else "nothing to assemble, it stands and is right:"
    parts = f" in {len(summary.parts)} parts" if summary.parts else ""
    narrate(f"{verb} {summary.path}: {format_size(summary.size)}{parts}")
    return BuiltBundle(
        name=name,
        path=str(summary.path),
        lock_path=str(lock_path),
        size=summary.size,
        images=summary.images,
        is_signed=signing is not None,
        parts=tuple(map(str, summary.parts)),
    )


@task(name="keep lock", task_run_name="keep the lock of {name}", cache_policy=NO_CACHE, persist_result=False)
def keep_lock(
    lock: BundleLock, name: str, store: str | None, output: str, signing: SigningSettings | None = None
) -> str:
    """Write NAME.lock.json into `output`; gives the folder of the store, which holds the manifests of the lock."""
    write_signed(_lock_path(name, output), lock.to_json(), private_key(signing))
    return str(open_store(store).root)


def _lock_path(name: str, output: str) -> Path:
    return path_of(output) / f"{name}.lock.json"
