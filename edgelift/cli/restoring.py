"""The command that brings a bundle back from where it is kept."""

from collections.abc import Callable
from pathlib import Path
from typing import Annotated

import typer

from edgelift.archive.restore import restore_bundle
from edgelift.cli import options, signing
from edgelift.cli.access import takes_access
from edgelift.cli.console import say, say_json, set_verbosity, tell
from edgelift.cli.places import restorable
from edgelift.keys import find_public_key
from edgelift.progress import Pace
from edgelift.site import DEFAULT_ACCESS, RegistryAccess
from edgelift.sizes import count, format_size


@takes_access
def restore(
    bundle: Annotated[
        str,
        typer.Argument(
            metavar="BUNDLE",
            help="The bundle where it is kept: s3://BUCKET/KEY or oci://HOST/REPOSITORY:TAG; in parts, their index.",
        ),
    ],
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="Where it is written to.")] = Path(),
    overwrite: Annotated[
        bool, typer.Option("--overwrite", help="Replace another file of that name.", rich_help_panel=options.OUTPUT)
    ] = False,
    access: RegistryAccess = DEFAULT_ACCESS,
    public_key: signing.PublicKeyFile = None,
    as_json: options.Json = False,
    verbose: options.Verbose = False,
    quiet: options.Quiet = False,
) -> None:
    """Bring a bundle back with its lock and signatures, and verify it. Run again, it goes on where it ended.

    Example: edgelift restore s3://bundles/sites/site-7.tar.zst /mnt/courier
    """
    set_verbosity(verbose=verbose, quiet=quiet)
    key = find_public_key(public_key)
    with restorable(bundle, access) as (archive, name):
        restored = restore_bundle(
            archive,
            name,
            folder,
            key=key,
            overwrite=overwrite,
            progress=_tell_progress("restored", quiet=quiet),
            verified=_tell_progress("verified", quiet=quiet),
        )
    signature = "ok" if key is not None else "not checked" if restored.is_signed else "none"
    if as_json:
        say_json(
            {
                "file": str(restored.path),
                "url": restored.url,
                "size": restored.size,
                "digest": restored.digest,
                "images": len(restored.lock.images),
                "signature": signature,
                "restored": restored.is_new,
                "parts": list(map(str, restored.parts)),
            }
        )
        return
    verb = "ok" if restored.is_new else "stands there already, and is right"
    parts = f" in {count(len(restored.parts), 'part')}" if restored.parts else ""
    say(f"{restored.path}: {verb}, {format_size(restored.size)}{parts}, {restored.digest}")
    say(f"signature: {signature}")


def _tell_progress(verb: str, *, quiet: bool) -> Callable[[int], None]:
    pace = Pace()

    def on_progress(size: int) -> None:
        done = pace.add(size)
        if done and not quiet:
            tell(f"{verb} {format_size(done)}")

    return on_progress
