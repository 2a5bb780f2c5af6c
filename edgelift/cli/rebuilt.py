"""`build --check`: whether a bundle that stands is what its lock gives here and now."""

from pathlib import Path

from edgelift.bundle.part_files import bad_parts_named
from edgelift.bundle.reader import BundleReader
from edgelift.bundle.rebuild import first_difference
from edgelift.bundle.signed import check_lock
from edgelift.bundle.verify import verify_open
from edgelift.cli.console import say, say_json
from edgelift.errors import BundleError
from edgelift.keys import find_public_key


def check_rebuilt(bundle: Path, public_key: Path | None, *, as_json: bool) -> None:
    """Say whether `bundle` is what its lock gives here and now; raises `BundleError` where it is not."""
    with BundleReader.open(bundle) as reader:
        check_lock(reader, find_public_key(public_key))
        with bad_parts_named(str(bundle)):
            size = verify_open(reader).file_size
        differs_at = first_difference(reader)
    if differs_at is not None:
        raise BundleError(
            f"{bundle} holds what its lock says, but built here it is another file, from byte {differs_at} on",
            hint="another release of zstd has compressed it: nothing is wrong with it, but its digest is another than "
            "that of a build here",
        )
    if as_json:
        say_json({"file": str(bundle), "verdict": "ok", "size": size})
        return
    say(f"{bundle}: ok, its lock gives the same {size:,} bytes")
