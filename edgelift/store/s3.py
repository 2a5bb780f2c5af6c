"""The working store in a bucket, for machines that share nothing else: AWS, SeaweedFS, MinIO, Ceph and the like.

edgelift-store                 that this is one; empty
blobs/<algorithm>/<hex>        complete and verified: nothing unverified gets a name here
partial/<algorithm>-<hex>/…    what has arrived so far of a large blob, in pieces: see `s3_partial`
leases/<algorithm>-<hex>       who fetches it now: see `s3_lease`
names/<hex>.json               a tagged manifest, with its full reference
resolved/<hex>.json            what a reference stood for when it was last planned: a hint
runs/<run>/lock.json           what a retry of that run replays
quarantine/<algorithm>-<hex>   bytes that turned out wrong, kept for a look
use/<id>, alone                who has it open, and who takes content away: see `s3_use`
"""

import logging
import time
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Self

from pydantic import SecretStr

from edgelift.errors import ConfigurationError, IntegrityError, StoreError
from edgelift.oci.content import CHUNK
from edgelift.oci.descriptor import Descriptor
from edgelift.oci.digest import Digest
from edgelift.s3 import host_of, make_client
from edgelift.s3_object import S3Object
from edgelift.store.s3_folder import BucketFolder, Standing
from edgelift.store.s3_lease import HOLDS, Lease, Leases, Turns
from edgelift.store.s3_names import S3Names
from edgelift.store.s3_partial import PIECE, S3Partial
from edgelift.store.s3_runs import S3RunLocks
from edgelift.store.s3_use import S3Use

MARK = "edgelift-store"
_CONNECTIONS = 64
_FIRST_PAUSE, _LONGEST_PAUSE = 0.2, 5.0  # seconds between two looks at what another machine fetches
_AGAIN = "run the same command again: what is missing is fetched anew"
_log = logging.getLogger(__name__)


class S3Store:
    """Content in `bucket` under `prefix`, for several threads, processes and machines. Implements `WorkingStore`.

    Without `endpoint` that is what boto3 finds, or AWS; without keys, too (environment, profile, the machine's role).
    What has been seen there counts as being there until reading it fails: nobody takes content away while it is open.

    Raises `ConfigurationError` for settings that cannot be used, and unless it is to be made (`is_made`) where there is
    none; `StoreError` where the bucket cannot be written to.
    """

    root: Path | None = None  # it is in no folder of this machine

    def __init__(
        self,
        bucket: str,
        *,
        prefix: str = "",
        endpoint: str | None = None,
        region: str | None = None,
        access_key: SecretStr | None = None,
        secret_key: SecretStr | None = None,
        ca_cert: Path | None = None,
        insecure: bool = False,
        piece_size: int = PIECE,
        lease_seconds: float = HOLDS,
        use_seconds: float = HOLDS,
        is_made: bool = True,
    ) -> None:
        client = make_client(
            endpoint=endpoint,
            region=region,
            access_key=access_key,
            secret_key=secret_key,
            ca_cert=ca_cert,
            insecure=insecure,
            connections=_CONNECTIONS,
        )
        self.objects = BucketFolder(client, host_of(endpoint or client.meta.endpoint_url), bucket, prefix.strip("/"))
        self._piece_size = piece_size
        if not is_made and self.objects.find(MARK) is None:
            raise ConfigurationError(f"there is no store in {self.objects.url()}", hint="name the one that runs use")
        has_conditions = self.objects.keeps_conditions(MARK)
        if not has_conditions:
            _log.warning(
                "%s does not heed conditions: machines that need a blob at the same time may each fetch it",
                self.objects.server,
            )
        self._leases = Leases(self.objects, holds=lease_seconds, are_kept=has_conditions)
        self._turns = Turns()
        self._present: dict[Digest, int] = {}  # and its size
        self.runs = S3RunLocks(self.objects)
        self.names = S3Names(self.objects, "names")
        self.hints = S3Names(self.objects, "resolved")
        self.use = S3Use(self.objects, holds=use_seconds, are_kept=has_conditions)

    @classmethod
    def at(cls, url: str, *, is_made: bool = True) -> Self:
        """The store at s3://bucket/prefix, with the server and the keys that boto3 finds: see `open_object`."""
        bucket, _, prefix = url.removeprefix("s3://").partition("/")
        if not bucket or not url.isprintable():
            raise ConfigurationError(f"{url[:200]!r} does not name a bucket", hint="write it as s3://bucket/prefix")
        return cls(bucket, prefix=prefix, is_made=is_made)

    def exists(self, descriptor: Descriptor) -> bool:
        """Whether the content is here with the right size."""
        is_here = self._is_known(descriptor) or self._find(descriptor) is not None
        if is_here:
            self._present[descriptor.digest] = descriptor.size
        return is_here

    def read(self, descriptor: Descriptor) -> Iterator[bytes]:
        """The content in chunks, hashed on the way; wrong content is put into quarantine before `IntegrityError`."""
        hasher, seen, last = descriptor.digest.hasher(), 0, b""
        for chunk in self._open(descriptor).chunks(0):
            if last:
                yield last
            hasher.update(chunk)
            seen += len(chunk)
            last = chunk
        if seen != descriptor.size or hasher.hexdigest() != descriptor.digest.hex:
            raise self._condemn(descriptor)
        if last:
            yield last

    def read_into(self, buffer: memoryview, descriptor: Descriptor) -> Iterator[memoryview]:
        """As `read`, but every chunk is in `buffer`, where the next one takes its place."""
        for chunk in self.read(descriptor):
            for start in range(0, len(chunk), len(buffer)):
                part = memoryview(chunk)[start : start + len(buffer)]
                buffer[: len(part)] = part
                yield buffer[: len(part)]

    def read_range(self, descriptor: Descriptor, start: int, stop: int) -> Iterator[bytes]:
        """Bytes `start` to `stop` (exclusive), unverified."""
        stop = min(stop, descriptor.size)
        if start < stop:
            with self._open(descriptor).passage(start, stop) as read_at:
                for offset in range(start, stop, CHUNK):
                    yield read_at(offset, min(CHUNK, stop - offset))

    @contextmanager
    def ingest(self, descriptor: Descriptor) -> Iterator[S3Partial | None]:
        """The partial content of `descriptor`, ours until the block ends; None where the content is complete.

        Waits while another machine brings it, for as long as that makes progress.
        """
        if self.exists(descriptor):
            yield None
            return
        with self._turns.turn(descriptor.digest):
            # Where another thread has had its turn, there is nothing to ask.
            lease = None if self._is_known(descriptor) else self._wait_for_lease(descriptor)
            if lease is None:
                yield None
                return
            with lease:
                name = blob_name(descriptor.digest)
                partial = S3Partial(self.objects, descriptor, name, lease, piece_size=self._piece_size)
                partial.resume()
                yield partial
                if partial.is_committed:
                    self._present[descriptor.digest] = descriptor.size

    def write(self, descriptor: Descriptor, content: bytes) -> None:
        """Keep small `content`; raises `IntegrityError` where it is not what `descriptor` says."""
        if self.exists(descriptor):
            return
        if len(content) != descriptor.size or not descriptor.digest.matches(content):
            raise IntegrityError(f"{len(content):,} bytes are not {descriptor.digest} with {descriptor.size:,} bytes")
        self.objects.write(blob_name(descriptor.digest), content)
        self._present[descriptor.digest] = descriptor.size

    def tag(self, names: Mapping[str, Descriptor]) -> None:
        """Name manifests, and note, to the day, that they were used now."""
        self.names.keep_all(names)

    def references(self) -> dict[str, Descriptor]:
        """The tagged manifests by full reference."""
        return {each.reference: each.descriptor for each in self.names.all()}

    def recall(self, reference: str) -> Descriptor | None:
        """What `reference` stood for when it was last planned; None where that is not known."""
        return self.hints.recall(reference)

    def remember(self, reference: str, descriptor: Descriptor) -> None:
        """Keep what `reference` stands for as a hint to the next plan."""
        self.hints.keep(reference, descriptor)

    def count_as_here(self, found: Iterable[tuple[Digest, int]]) -> None:
        """Take nothing but what was `found` in a list, with its size (bytes), for being here: nobody need ask again."""
        self._present = dict(found)

    def _is_known(self, descriptor: Descriptor) -> bool:
        return self._present.get(descriptor.digest) == descriptor.size

    def _wait_for_lease(self, descriptor: Descriptor) -> Lease | None:
        """The lease on `descriptor`; None where the content is here now."""
        pause = _FIRST_PAUSE
        while True:
            lease = self._leases.acquire(descriptor.digest)
            if self.exists(descriptor):  # also where it came right before the lease was ours
                if lease is not None:
                    lease.release()
                return None
            if lease is not None:
                return lease
            time.sleep(pause)
            pause = min(pause * 1.5, _LONGEST_PAUSE)

    def _find(self, descriptor: Descriptor) -> Standing | None:
        found = self.objects.find(blob_name(descriptor.digest))
        return found if found is not None and found.size == descriptor.size else None

    def _open(self, descriptor: Descriptor) -> S3Object:
        """The object as it stands; raises a retryable `StoreError` where it does not."""
        found = self._find(descriptor)
        if found is None:
            self._present.pop(descriptor.digest, None)
            raise StoreError(
                f"{descriptor.digest} is not in the store {self.objects.url()}", hint=_AGAIN, retryable=True
            )
        return self.objects.open(blob_name(descriptor.digest), found)

    def _condemn(self, descriptor: Descriptor) -> IntegrityError:
        """What to say of content that came out wrong; it goes into quarantine if it comes out wrong once more."""
        self._present.pop(descriptor.digest, None)
        hasher = descriptor.digest.hasher()
        opened = self._open(descriptor)
        for chunk in opened.chunks(0):
            hasher.update(chunk)
        if hasher.hexdigest() == descriptor.digest.hex:
            where = f"between {self.objects.server} and here"
            return IntegrityError(f"{descriptor.digest} was damaged {where}", hint="run it again", retryable=True)
        aside = f"quarantine/{descriptor.digest.algorithm}-{descriptor.digest.hex}"
        self.objects.move(blob_name(descriptor.digest), aside, opened.etag)
        return IntegrityError(
            f"the copy of {descriptor.digest} in {self.objects.url()} was damaged; it was moved to quarantine/ there",
            hint=_AGAIN,
            retryable=True,
        )


def blob_name(digest: Digest) -> str:
    """The name of an object whose content has this digest."""
    return f"blobs/{digest.algorithm}/{digest.hex}"
