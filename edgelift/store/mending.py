"""Where a store gets back what it has lost: a bundle that holds it, the registry it came from, a chart's archive."""

from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from edgelift.access import Connections
from edgelift.bundle.lock import BundleLock, LockedImage
from edgelift.bundle.reader import BundleReader
from edgelift.bundle.signed import check_lock
from edgelift.errors import ConfigurationError, EdgeliftError
from edgelift.keys import find_public_key
from edgelift.oci.descriptor import Descriptor
from edgelift.oci.manifest import INDEX_TYPES, MANIFEST_TYPES
from edgelift.oci.pull import pull_blob
from edgelift.oci.reference import ImageReference
from edgelift.oci.source import Source
from edgelift.packs.names import is_local
from edgelift.store.check import MendingSource, Problem
from edgelift.store.holdings import Holdings
from edgelift.store.working import WorkingStore


@contextmanager
def mending_sources(
    holdings: Holdings, bundles: Iterable[Path], connections: Connections | None, locks: Iterable[BundleLock] = ()
) -> Iterator[list[MendingSource]]:
    """What a store is mended from: `bundles`, whose locks are signed where a public key is configured.

    Then, with `connections`, the registries, and the archives of the charts of `locks` and of the store's own runs.
    Raises `EdgeliftError` where a bundle cannot be used.
    """
    with ExitStack() as opened:
        readers = [opened.enter_context(BundleReader.open(path)) for path in bundles]
        for reader in readers:
            check_lock(reader, find_public_key(None))
        sources: list[MendingSource] = [BundleMending(reader) for reader in readers]
        if connections is not None:
            of_runs = filter(None, (run.read() for run in holdings.runs()))
            charts = ChartMending((*locks, *of_runs), connections.source_for)
            sources.append(RegistryMending(connections.source, charts))
        yield sources


class BundleMending:
    """Content by digest out of `bundle`, whoever asked for it there."""

    def __init__(self, bundle: BundleReader) -> None:
        self._bundle = bundle
        held = (*bundle.lock.unique_manifests(), *bundle.lock.unique_blobs(), *bundle.lock.attached)
        self._held = {each.digest: each for each in held if bundle.exists(each)}

    def bring(self, problem: Problem, store: WorkingStore) -> str | None:
        """Bring the content into `store`; raises `EdgeliftError` where the bundle is damaged, or the disk full."""
        descriptor = self._held.get(problem.digest)
        if descriptor is None:
            return None
        with store.ingest(descriptor) as partial:
            if partial is not None:
                partial.restart()
                for chunk in self._bundle.read(descriptor):
                    partial.write(chunk)
                partial.commit()
        return self._bundle.name


class ChartMending:
    """Charts that no registry has, made anew of the archives that `locks` name; `open_source` gives that of a chart.

    Each archive is fetched once. One that has changed gives other digests, and so nothing.
    """

    def __init__(self, locks: Iterable[BundleLock], open_source: Callable[[LockedImage], Source]) -> None:
        self._open_source = open_source
        self._sources: dict[str, Source] = {}
        charts = (image for lock in locks for image in lock.images if image.archive is not None)
        self._held = {
            each.digest: (each, image) for image in charts for each in (*image.all_blobs, *image.all_manifests)
        }

    def knows(self, problem: Problem) -> bool:
        """Whether a lock says of the content that it is a chart's."""
        return problem.digest in self._held

    def bring(self, problem: Problem, store: WorkingStore) -> str | None:
        """Bring the content into `store`; raises `EdgeliftError` where the archive is not to be had, or another."""
        if not self.knows(problem):
            return None
        descriptor, chart = self._held[problem.digest]
        archive = chart.archive or ""
        if archive not in self._sources:
            self._sources[archive] = self._open_source(chart)
        _fetch(descriptor, self._sources[archive], ImageReference.parse(chart.reference).repository, store)
        return archive


class RegistryMending:
    """Content from the registries that the names of images tell; `open_source` gives the one of a repository.

    What `charts` know of is asked of them, as no registry has it.
    """

    def __init__(self, open_source: Callable[[str, str], Source], charts: ChartMending | None = None) -> None:
        self._open_source = open_source
        self._charts = charts

    def bring(self, problem: Problem, store: WorkingStore) -> str | None:
        """Bring the content into `store`; raises the last `EdgeliftError` where every image was asked for in vain."""
        if self._charts is not None and self._charts.knows(problem):
            return self._charts.bring(problem, store)
        if problem.descriptor is None:
            return None
        references = filter(None, map(_parse, problem.images))
        failure: EdgeliftError | None = None
        for reference in references:
            try:
                source = self._open_source(reference.registry, reference.repository)
                _fetch(problem.descriptor, source, reference.repository, store)
            except EdgeliftError as error:
                failure = error
            else:
                return f"{reference.registry}/{reference.repository}"
        if failure is not None:
            raise failure
        return None


def _fetch(descriptor: Descriptor, source: Source, repository: str, store: WorkingStore) -> None:
    if descriptor.media_type in MANIFEST_TYPES | INDEX_TYPES:
        store.write(descriptor, source.read_manifest(repository, descriptor.digest).raw)
    else:
        pull_blob(source, repository, descriptor, store)


def _parse(text: str) -> ImageReference | None:
    """The reference `text`; None for a local pack, and for the name that another tool gave: no registry has these."""
    try:
        reference = ImageReference.parse(text)
    except ConfigurationError:
        return None
    return reference if str(reference) == text and not is_local(reference) else None
