"""What a store in S3 holds, for those who look after it. Lists tell of a thousand objects in a request."""

import re
from collections.abc import Collection, Sequence
from contextlib import AbstractContextManager

from edgelift.errors import IntegrityError, MalformedReferenceError, StoreError
from edgelift.oci.descriptor import Descriptor
from edgelift.oci.digest import Digest
from edgelift.store.holdings import Damage, Progress, Stored, StoredBlob, StoredName
from edgelift.store.s3 import MARK, S3Store, blob_name
from edgelift.store.s3_folder import Entry
from edgelift.store.s3_runs import S3RunLock
from edgelift.store.s3_use import ALONE, MARKS

_UPLOAD = "?uploadId="  # and its id, behind the name of what is uploaded
_CONTENT = re.compile(r"(?:blobs|partial|leases|quarantine)/(sha256|sha512)[/-]([0-9a-f]+)(?:[/?].*)?")
_OTHERS = re.compile(r"(?:names|resolved)/[0-9a-f]{64}\.json|runs/[^/]+/lock\.json|use/[0-9a-f]{32}")


class S3Holdings:
    """What is in `store`, which has to be nobody else's. Implements `holdings.Holdings`."""

    def __init__(self, store: S3Store) -> None:
        self._store = store
        self._objects = store.objects
        self._here: dict[Digest, int] | None = None  # sizes, by a list that was made

    @property
    def place(self) -> str:
        """See `Holdings.place`."""
        return self._objects.url().rstrip("/")

    def blobs(self) -> list[StoredBlob]:
        """See `Holdings.blobs`; nobody need ask for each of them then."""
        found = [
            StoredBlob(entry.name, entry.size, entry.modified, digest)
            for entry in self._objects.entries("blobs/")
            if (digest := _digest_of(entry.name)) is not None and entry.name == blob_name(digest)
        ]
        self._here = {blob.digest: blob.size for blob in found}
        self._store.count_as_here(self._here.items())
        return sorted(found, key=lambda blob: blob.digest)

    def odd_blobs(self) -> list[Digest]:
        """See `Holdings.odd_blobs`: an object is an object."""
        return []

    def strays(self) -> list[str]:
        """See `Holdings.strays`."""
        return [entry.name for entry in self._objects.entries() if not _is_ours(entry.name)]

    def unfinished(self) -> list[Stored]:
        """See `Holdings.unfinished`: pieces, and uploads that were neither completed nor aborted.

        Of these only what is counted is known, not how much has arrived.
        """
        uploads = [
            Stored(f"{each.name}{_UPLOAD}{each.id}", 0, each.begun)
            for each in self._objects.uploads("blobs/")
            if _digest_of(each.name) is not None
        ]
        return [*self._stored("partial/"), *uploads]

    def quarantine(self) -> list[Stored]:
        """See `Holdings.quarantine`."""
        return self._stored("quarantine/")

    def leftovers(self, oldest: float) -> list[Stored]:
        """See `Holdings.leftovers`: who brings content has a lease on it. Dead leases and marks go as well."""
        leases, holds = list(self._objects.entries("leases/")), self._store.use.holds
        busy = {_digest_of(entry.name) for entry in leases if entry.age <= holds}
        dead = [entry for entry in (*leases, *self._objects.entries(MARKS)) if entry.age > holds]
        found = [each for each in self.unfinished() if _digest_of(each.name) not in busy]
        found += [*self.quarantine(), *(_stored(entry) for entry in dead if _is_ours(entry.name))]
        return [each for each in found if each.modified < oldest]

    def names(self) -> list[StoredName]:
        """See `Holdings.names`."""
        if self._here is None:
            self.blobs()
        return [
            each if self._store.exists(each.descriptor) else each._replace(used=0) for each in self._store.names.all()
        ]

    def unnamed(self) -> list[Descriptor]:
        """See `Holdings.unnamed`: no other tool lists anything there."""
        return []

    def runs(self) -> list[S3RunLock]:
        """See `Holdings.runs`."""
        return self._store.runs.kept()

    def judge(self, blob: StoredBlob, progress: Progress) -> Damage | None:
        """See `Holdings.judge`; what the server does not give back stays, as it may do so later."""
        try:
            for chunk in self._store.read(blob.descriptor):
                progress(len(chunk))
        except IntegrityError:
            # Where it stands all the same, it was damaged on the way, and right when it was read once more.
            return "wrong" if self._objects.find(blob.name) is None else None
        except StoreError:
            return "unreadable" if self._objects.find(blob.name) is not None else None
        return None

    def untag(self, references: Collection[str]) -> None:
        """See `Holdings.untag`."""
        self._store.names.remove(references)

    def remove(self, files: Sequence[Stored]) -> None:
        """See `Holdings.remove`."""
        self._objects.remove([file.name for file in files if _UPLOAD not in file.name])
        for name, _, upload in (file.name.partition(_UPLOAD) for file in files):
            if upload:
                self._objects.abort(name, upload)

    def remove_runs(self, runs: Sequence[str]) -> None:
        """See `Holdings.remove_runs`."""
        self._store.runs.remove(runs)

    def forget_lost(self) -> None:
        """See `Holdings.forget_lost`."""
        self.blobs()
        hints = self._store.hints.all()
        self._store.hints.remove([each.reference for each in hints if not self._store.exists(each.descriptor)])

    def free_space(self) -> None:
        """See `Holdings.free_space`: a bucket does not say."""

    def alone(self, wait: float) -> AbstractContextManager[None]:
        """See `Holdings.alone`."""
        return self._store.use.alone(wait)

    def _stored(self, folder: str) -> list[Stored]:
        return [_stored(entry) for entry in self._objects.entries(folder) if _is_ours(entry.name)]


def _stored(entry: Entry) -> Stored:
    return Stored(entry.name, entry.size, entry.modified)


def _is_ours(name: str) -> bool:
    """Whether edgelift gives such names."""
    return name in (MARK, ALONE) or _OTHERS.fullmatch(name) is not None or _digest_of(name) is not None


def _digest_of(name: str) -> Digest | None:
    """The content that something is about by its name."""
    found = _CONTENT.fullmatch(name)
    try:
        return Digest(f"{found[1]}:{found[2]}") if found is not None else None
    except MalformedReferenceError:
        return None
