"""One chart of an HTTP repository as what images are read from: made of its archive, when it is asked for.

The archive is small, and is all that its digests can be known from: it is held in memory, and never read in part.
"""

import threading
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext, suppress
from urllib.parse import parse_qsl

import httpx

from edgelift.charts.archive import ARCHIVE_LIMIT, pick_chart
from edgelift.charts.artifact import ChartArtifact, make_artifact
from edgelift.errors import DeniedError, IntegrityError, RefusedError, UnreachableError
from edgelift.oci.channel import Channel
from edgelift.oci.descriptor import Descriptor
from edgelift.oci.digest import Digest
from edgelift.oci.download import BlobBody
from edgelift.oci.gate import show
from edgelift.oci.manifest import Manifest
from edgelift.oci.slots import Slots
from edgelift.oci.wire import Call

_PROVENANCE_LIMIT = 2**20  # bytes
_SIGNED = b"-----BEGIN PGP SIGNED MESSAGE-----"
_SECRET_WORDS = ("sig", "token", "credential", "secret", "password", "expires", "key")
_CHANGED = "plan again: what is there now has another digest, so that it will be another bundle"


class ChartArchive:
    """The chart whose archive is at `url`, where the repository behind `channel` sends us. Implements `Source`.

    `url` may be relative to the repository. Where it is an archive of something else, `chart` is looked for inside.
    `path` is what the login for it is looked up by, which stays with the repository's own host. The archive has the
    digest `expected`, where the repository gives one. `is_signed` says whether there is a provenance file; None where
    that is not known yet.
    """

    def __init__(
        self,
        channel: Channel,
        url: str,
        path: str,
        chart: str,
        *,
        expected: Digest | None = None,
        is_signed: bool | None = None,
    ) -> None:
        self.host = channel.host
        self._channel = channel
        self._path = path
        self._chart = chart
        self._expected = expected
        self._is_signed = is_signed
        self._made: ChartArtifact | None = None
        self._lock = threading.Lock()
        home = f"{channel.gate.origin}/{path}".rstrip("/")
        self.url = channel.gate.admit(url, "chart archive", base=f"{home}/").url
        self._shown = show(httpx.URL(self.url))
        if _is_secret(self.url):
            raise RefusedError(
                f"{self.host} gave an address of a chart that is signed, or holds a token: {self._shown}",
                hint="such an address cannot be kept in a lock; name a repository that gives plain ones",
            )

    def log_in(self) -> None:
        """Nothing to do: whoever may read the archive is told when it is read."""

    def read_manifest(self, repository: str, selector: str) -> Manifest:  # noqa: ARG002 - it is one chart
        """The manifest that is made of the archive; raises `IntegrityError` where `selector` is another's digest."""
        manifest = self.artifact().manifest
        if ":" in selector and selector != manifest.descriptor.digest:
            raise self._changed()
        return manifest

    def peek(self, repository: str, selector: str) -> Descriptor | None:  # noqa: ARG002 - it is one chart
        """Nothing: only the archive tells."""
        return None

    def describe(
        self,
        repository: str,  # noqa: ARG002 - it is one chart
        selector: str,
        *,
        certain: bool = False,  # noqa: ARG002 - it always is
    ) -> Descriptor | None:
        """What the archive gives; None where `selector` is another's digest."""
        descriptor = self.artifact().manifest.descriptor
        return None if ":" in selector and selector != descriptor.digest else descriptor

    def list_referrers(self, repository: str, subject: Digest) -> None:
        """Nothing: what signs a chart stands beside its archive, and is in the artifact."""

    def blob_size(self, repository: str, digest: Digest) -> int | None:  # noqa: ARG002 - it is one chart
        """The size of config, archive or provenance file in bytes; None where there is no such digest."""
        content = self.artifact().blobs.get(digest)
        return len(content) if content is not None else None

    @contextmanager
    def open_blob(
        self,
        repository: str,  # noqa: ARG002 - it is one chart
        descriptor: Descriptor,
        offset: int = 0,
        *,
        held: Slots | None = None,
    ) -> Iterator[BlobBody]:
        """The bytes from `offset`; raises `IntegrityError` where the archive does not give that digest (any more)."""
        content = self.artifact(held=held).blobs.get(descriptor.digest)
        if content is None:
            raise self._changed()
        yield BlobBody(offset, iter([content[offset:]]))

    def served_by(self, repository: str) -> tuple[str, ...]:  # noqa: ARG002 - it is one chart
        """Nothing: there is no choice."""
        return ()

    def recover(
        self,
        blob: Descriptor,  # noqa: ARG002 - there is one archive
        attempt: int,
        error: UnreachableError | IntegrityError,
    ) -> None:
        """Have the archive fetched anew; waits before, where it did not come at all."""
        self._made = None
        if attempt > 0 and isinstance(error, UnreachableError):
            self._channel.back_off(attempt, error)

    def artifact(self, *, held: Slots | None = None) -> ChartArtifact:
        """The chart as an artifact; raises `RegistryError`, and `IntegrityError` where the archive is not right.

        No turn is taken in `held`, of which the caller has one.
        """
        with self._lock:
            if self._made is None:
                self._made = self._make(has_slot=held is self._channel.slots)
            return self._made

    def _make(self, *, has_slot: bool) -> ChartArtifact:
        archive = self._fetch(self.url, ARCHIVE_LIMIT, has_slot=has_slot)
        if self._expected is not None and not self._expected.matches(archive):
            raise IntegrityError(
                f"{self._shown} is not what its index says: it has {Digest.of(archive)}, not {self._expected}",
                hint="have its index made anew (helm repo index), or look for a proxy that changes content",
            )
        chart, metadata = pick_chart(archive, self._chart, self._shown)
        # A signature is of the chart, and not of what that was found in.
        provenance = self._provenance(has_slot=has_slot) if chart is archive else None
        return make_artifact(metadata, chart, provenance)

    def _provenance(self, *, has_slot: bool) -> bytes | None:
        """The provenance file beside the archive; None where there is none, or a page that says so."""
        if self._is_signed is False or "?" in self.url:
            return None
        call = self._call(f"{self.url}.prov", has_slot=has_slot)
        with nullcontext() if self._is_signed else suppress(DeniedError):  # some refuse what does not exist
            reply = self._channel.exchange(call, _PROVENANCE_LIMIT)
            if reply.status == httpx.codes.OK and reply.body.lstrip().startswith(_SIGNED):
                return reply.body
        if self._is_signed:
            raise self._changed()
        return None

    def _fetch(self, url: str, limit: int, *, has_slot: bool) -> bytes:
        call = self._call(url, has_slot=has_slot)
        reply = self._channel.exchange(call, limit)
        if reply.status != httpx.codes.OK:
            raise self._channel.refusal(call, reply)
        return reply.body

    def _call(self, url: str, *, has_slot: bool) -> Call:
        return Call("GET", url, f"read {show(httpx.URL(url))}", self._path, has_slot=has_slot)

    def _changed(self) -> IntegrityError:
        return IntegrityError(f"{self._shown} is not the chart that was planned any more", hint=_CHANGED)


def _is_secret(url: str) -> bool:
    names = [name.lower() for name, _ in parse_qsl(httpx.URL(url).query.decode(), keep_blank_values=True)]
    return any(word in name for name in names for word in _SECRET_WORDS)
