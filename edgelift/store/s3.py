"""The working store in a bucket, for machines that share nothing else: AWS, SeaweedFS, MinIO, Ceph and the like.

edgelift-store                 that this is one; empty
blobs/<algorithm>/<hex>        complete and verified: nothing unverified gets a name here
partial/<algorithm>-<hex>/…    what has arrived so far of a large blob, in pieces: see `s3_partial`
leases/<algorithm>-<hex>       who fetches it now: see `s3_lease`
names/<hex>.json               a tagged manifest, with its full reference
resolved/<hex>.json            what a reference stood for when it was last planned: a hint
runs/<run>/lock.json           what a retry of that run replays
"""

import logging
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Self

from pydantic import BaseModel, ConfigDict, SecretStr, ValidationError

from edgelift.errors import ConfigurationError, IntegrityError, StoreError
from edgelift.oci.content import CHUNK
from edgelift.oci.descriptor import Descriptor
from edgelift.oci.digest import Digest
from edgelift.s3 import host_of, make_client
from edgelift.s3_object import S3Object
from edgelift.store.s3_folder import BucketFolder, Standing
from edgelift.store.s3_lease import HOLDS, Lease, Leases, Turns
from edgelift.store.s3_partial import PIECE, S3Partial
from edgelift.store.s3_runs import S3RunLocks

_MARK = "edgelift-store"
_CONNECTIONS = 64
_FIRST_PAUSE, _LONGEST_PAUSE = 0.2, 5.0  # seconds between two looks at what another machine fetches
_AGAIN = "run the same command again: what is missing is fetched anew"
_log = logging.getLogger(__name__)


class _Name(BaseModel):
    """A reference, and what it stands for."""

    model_config = ConfigDict(frozen=True)

    reference: str
    descriptor: Descriptor


class S3Store:
    """Content in `bucket` under `prefix`, for several threads, processes and machines. Implements `WorkingStore`.

    Without `endpoint` that is what boto3 finds, or AWS; without keys, too (environment, profile, the machine's role).
    What has been seen there counts as being there until reading it fails: nobody takes content away while runs go on.

    Raises `ConfigurationError` for settings that cannot be used, `StoreError` where the bucket cannot be written to.
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
        self._objects = BucketFolder(client, host_of(endpoint or client.meta.endpoint_url), bucket, prefix.strip("/"))
        self._piece_size = piece_size
        has_conditions = self._objects.keeps_conditions(_MARK)
        if not has_conditions:
            _log.warning(
                "%s does not heed conditions: machines that need a blob at the same time may each fetch it",
                self._objects.server,
            )
        self._leases = Leases(self._objects, holds=lease_seconds, are_kept=has_conditions)
        self._turns = Turns()
        self._present: dict[Digest, int] = {}  # and its size
        self.runs = S3RunLocks(self._objects)

    @classmethod
    def at(cls, url: str) -> Self:
        """The store at s3://bucket/prefix, with the server and the keys that boto3 finds: see `open_object`."""
        bucket, _, prefix = url.removeprefix("s3://").partition("/")
        if not bucket or not url.isprintable():
            raise ConfigurationError(f"{url[:200]!r} does not name a bucket", hint="write it as s3://bucket/prefix")
        return cls(bucket, prefix=prefix)

    def exists(self, descriptor: Descriptor) -> bool:
        """Whether the content is here with the right size."""
        is_here = self._is_known(descriptor) or self._find(descriptor) is not None
        if is_here:
            self._present[descriptor.digest] = descriptor.size
        return is_here

    def read(self, descriptor: Descriptor) -> Iterator[bytes]:
        """The content in chunks, hashed on the way; wrong content is removed before `IntegrityError`."""
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
                name = _blob_name(descriptor.digest)
                partial = S3Partial(self._objects, descriptor, name, lease, piece_size=self._piece_size)
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
        self._objects.write(_blob_name(descriptor.digest), content)
        self._present[descriptor.digest] = descriptor.size

    def tag(self, reference: str, descriptor: Descriptor) -> None:
        """Name the manifest `descriptor`."""
        self._keep_name("names", reference, descriptor)

    def references(self) -> dict[str, Descriptor]:
        """The tagged manifests by full reference."""
        read = (self._read_name(name) for name, _ in self._objects.names("names/"))
        return dict(sorted((each.reference, each.descriptor) for each in read if each is not None))

    def recall(self, reference: str) -> Descriptor | None:
        """What `reference` stood for when it was last planned; None where that is not known."""
        found = self._read_name(_reference_name("resolved", reference))
        return found.descriptor if found is not None and found.reference == reference else None

    def remember(self, reference: str, descriptor: Descriptor) -> None:
        """Keep what `reference` stands for as a hint to the next plan."""
        self._keep_name("resolved", reference, descriptor)

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
        found = self._objects.find(_blob_name(descriptor.digest))
        return found if found is not None and found.size == descriptor.size else None

    def _open(self, descriptor: Descriptor) -> S3Object:
        """The object as it stands; raises a retryable `StoreError` where it does not."""
        found = self._find(descriptor)
        if found is None:
            self._present.pop(descriptor.digest, None)
            raise StoreError(
                f"{descriptor.digest} is not in the store {self._objects.url()}", hint=_AGAIN, retryable=True
            )
        return self._objects.open(_blob_name(descriptor.digest), found)

    def _condemn(self, descriptor: Descriptor) -> IntegrityError:
        """What to say of content that came out wrong; it is removed if it comes out wrong once more."""
        self._present.pop(descriptor.digest, None)
        hasher = descriptor.digest.hasher()
        for chunk in self._open(descriptor).chunks(0):
            hasher.update(chunk)
        if hasher.hexdigest() == descriptor.digest.hex:
            where = f"between {self._objects.server} and here"
            return IntegrityError(f"{descriptor.digest} was damaged {where}", hint="run it again", retryable=True)
        self._objects.remove([_blob_name(descriptor.digest)])
        return IntegrityError(
            f"the copy of {descriptor.digest} in {self._objects.url()} was damaged; it is removed",
            hint=_AGAIN,
            retryable=True,
        )

    def _keep_name(self, kind: str, reference: str, descriptor: Descriptor) -> None:
        """Write nothing where the reference stands for that already."""
        name, wanted = _reference_name(kind, reference), _Name(reference=reference, descriptor=descriptor.plain())
        if self._read_name(name) != wanted:
            self._objects.write(name, wanted.model_dump_json(by_alias=True, exclude_none=True).encode())

    def _read_name(self, name: str) -> _Name | None:
        """What stands there; None where nothing does, or what is none of ours."""
        found = self._objects.read(name)
        try:
            return _Name.model_validate_json(found[0]) if found is not None else None
        except ValidationError:
            return None


def _blob_name(digest: Digest) -> str:
    return f"blobs/{digest.algorithm}/{digest.hex}"


def _reference_name(kind: str, reference: str) -> str:
    return f"{kind}/{Digest.of(reference.encode()).hex}.json"
