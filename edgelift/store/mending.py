"""Where a store gets back what it has lost: a bundle that holds it, or the registry it came from."""

from collections.abc import Callable

from edgelift.bundle.reader import BundleReader
from edgelift.errors import ConfigurationError, EdgeliftError
from edgelift.oci.descriptor import Descriptor
from edgelift.oci.manifest import INDEX_TYPES, MANIFEST_TYPES
from edgelift.oci.pull import pull_blob
from edgelift.oci.reference import ImageReference
from edgelift.oci.source import Source
from edgelift.packs.names import is_local
from edgelift.store.check import Problem
from edgelift.store.local import LocalStore


class BundleMending:
    """Content by digest out of `bundle`, whoever asked for it there."""

    def __init__(self, bundle: BundleReader) -> None:
        self._bundle = bundle
        held = (*bundle.lock.unique_manifests(), *bundle.lock.unique_blobs(), *bundle.lock.attached)
        self._held = {each.digest: each for each in held if bundle.exists(each)}

    def bring(self, problem: Problem, store: LocalStore) -> str | None:
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


class RegistryMending:
    """Content from the registries that the names of images tell; `open_source` gives the one of a repository."""

    def __init__(self, open_source: Callable[[str, str], Source]) -> None:
        self._open_source = open_source

    def bring(self, problem: Problem, store: LocalStore) -> str | None:
        """Bring the content into `store`; raises the last `EdgeliftError` where every image was asked for in vain."""
        if problem.descriptor is None:
            return None
        references = filter(None, map(_parse, problem.images))
        failure: EdgeliftError | None = None
        for reference in references:
            try:
                self._fetch(problem.descriptor, reference, store)
            except EdgeliftError as error:
                failure = error
            else:
                return f"{reference.registry}/{reference.repository}"
        if failure is not None:
            raise failure
        return None

    def _fetch(self, descriptor: Descriptor, reference: ImageReference, store: LocalStore) -> None:
        source = self._open_source(reference.registry, reference.repository)
        if descriptor.media_type in MANIFEST_TYPES | INDEX_TYPES:
            store.write(descriptor, source.read_manifest(reference.repository, descriptor.digest).raw)
        else:
            pull_blob(source, reference.repository, descriptor, store)


def _parse(text: str) -> ImageReference | None:
    """The reference `text`; None for a local pack, and for the name that another tool gave: no registry has these."""
    try:
        reference = ImageReference.parse(text)
    except ConfigurationError:
        return None
    return reference if str(reference) == text and not is_local(reference) else None
