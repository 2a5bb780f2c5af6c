"""The bundles in the output folder of a fleet: each content has a name of its own, so none replaces the one before."""

import re
from collections.abc import Set
from datetime import timedelta
from pathlib import Path

from edgelift.delivery.receipt import DeliveryReceipt
from edgelift.documents import read_document, remove_document
from edgelift.errors import ConfigurationError
from edgelift.fleet.sharing import NAME
from edgelift.store.contents import described

OLD_AFTER = timedelta(days=1)  # what is younger may be of a fleet that is still at work
_FILE = re.compile(rf"({NAME}-[0-9a-f]{{12}})\.tar\.zst(?:\.part-\d{{4}}|\.parts\.json)?(?:\.sig)?")


def remove_old_builds(folder: Path, spare: Set[str], now: float) -> tuple[str, ...]:
    """Delete old bundles in `folder` that no receipt there names, nor `spare`; gives the names of their files.

    Locks stay. `now` is the time in seconds since 1970. Nothing goes where a receipt cannot be read. Raises
    `StoreError`.
    """
    try:
        named = {_bundle_of(path) for path in folder.glob("*.receipt.json")}
    except ConfigurationError:
        return ()
    removed = []
    for path in sorted(folder.glob(f"{NAME}-*"), reverse=True):  # an index before its parts
        match, file = _FILE.fullmatch(path.name), described(path)
        is_old = file is not None and now - file.modified > OLD_AFTER.total_seconds()
        if match is not None and is_old and match[1] not in named | spare:
            remove_document(path)
            removed.append(path.name)
    return tuple(removed)


def _bundle_of(path: Path) -> str:
    return DeliveryReceipt.from_json(read_document(path), str(path)).bundle
