"""Bundles that are here already: what they hold need not be fetched again."""

import logging
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from pathlib import Path

from edgelift.bundle.parts import INDEX_SUFFIX
from edgelift.bundle.reader import BundleReader
from edgelift.errors import BundleError, EdgeliftError

BUNDLES = "*.tar.zst"
_log = logging.getLogger(__name__)


def open_bundles(places: Sequence[Path]) -> tuple[BundleReader, ...]:
    """The bundles at `places`, each a bundle or a folder of them; those in parts are found by their indexes.

    Raises what `BundleReader.open` does for a file that is named, and `BundleError` for a folder without any; what else
    lies in a folder is passed over with a warning.
    """
    with ExitStack() as opened:
        bundles = tuple(opened.enter_context(bundle) for place in places for bundle in _open(place))
        opened.pop_all()
    return bundles


def _open(place: Path) -> Iterator[BundleReader]:
    if not place.is_dir():
        yield BundleReader.open(place)
        return
    count = 0
    for path in sorted([*place.glob(BUNDLES), *place.glob(BUNDLES + INDEX_SUFFIX)]):
        try:
            bundle = BundleReader.open(path)
        except EdgeliftError as error:
            _log.warning("%s; what it may hold is fetched", error.message)
            continue
        count += 1
        yield bundle
    if not count:
        raise BundleError(f"{place} holds no bundle that can be read", hint=f"name bundles, or a folder with {BUNDLES}")
