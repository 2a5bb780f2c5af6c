"""A registry as the distribution specification has it: manifests, blobs, tags.

What it is not: a store, or a copier. Bytes of blobs pass through unchecked; manifests are checked where their digest
is known.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import replace

import httpx

from edgelift.errors import (
    IntegrityError,
    MalformedReferenceError,
    NotFoundError,
    RefusedError,
    RegistryError,
    UnreachableError,
)
from edgelift.oci.budget import Budget
from edgelift.oci.channel import Channel
from edgelift.oci.chunked import ReadRange, RequestLimit
from edgelift.oci.credentials import Credentials
from edgelift.oci.descriptor import Descriptor
from edgelift.oci.digest import Digest
from edgelift.oci.download import BlobBody, read_blob
from edgelift.oci.listing import list_repositories, list_tags
from edgelift.oci.manifest import ACCEPT, INDEX_TYPES, MANIFEST_LIMIT, Manifest, parse_manifest, read_headers
from edgelift.oci.pacing import Clock, Pause
from edgelift.oci.reference import canonical_registry, for_message, is_registry, is_repository, is_tag
from edgelift.oci.referrer_tags import fallback_tag
from edgelift.oci.referrers import Referrers
from edgelift.oci.session import check_digest
from edgelift.oci.slots import Slots
from edgelift.oci.upload import CreateRepository, Outcome, Upload, UploadTerms, check_push, find_blob, scope_of
from edgelift.oci.wire import ATTEMPTS, Call, Reply
from edgelift.transport import TransportSettings

_LOGIN_ATTEMPTS = 3  # a wrong host name should not take half a minute to be told
_LARGEST_WELCOME = 4 * 2**20  # bytes; larger manifests are refused by most registries


class Registry:
    """One registry, as `host[:port]`; safe to share between threads.

    Every method raises `RegistryError`: `NotFoundError`, `DeniedError`, `UnreachableError`, `RefusedError` or itself.
    Requests are retried, and every thread pauses when the registry asks for it. Several clients for one host share
    `slots` and `pause`.
    """

    def __init__(
        self,
        host: str,
        settings: TransportSettings,
        credentials: Credentials,
        *,
        clock: Clock | None = None,
        slots: Slots | None = None,
        pause: Pause | None = None,
    ) -> None:
        if not is_registry(host):
            raise MalformedReferenceError(
                f"{for_message(host)!r} is not a registry host",
                hint="write it as HOST or HOST:PORT, without https:// and path",
            )
        self.host = canonical_registry(host)
        clock = clock or Clock()
        self._channel = Channel(self.host, settings, credentials, clock, slots=slots, pause=pause)
        self._terms = UploadTerms(RequestLimit(self.host, settings.largest_request), clock)
        self.referrers = Referrers(self._channel)

    @property
    def budget(self) -> Budget | None:
        """How many pulls remain, as the registry said last; None where it has said nothing."""
        return self._channel.allowance.newest

    @property
    def channel(self) -> Channel:
        """The way to the registry, for protocols that are not images'."""
        return self._channel

    def log_in(self) -> None:
        """Prove that the registry is there and lets us in; what we may do in a repository is not proved by that."""
        call = Call("GET", "/v2/", "log in", attempts=_LOGIN_ATTEMPTS)
        reply = self._channel.exchange(call)
        if reply.status == httpx.codes.NOT_FOUND:
            raise NotFoundError(
                f"{self.host} is a web server, but not a registry: it has no /v2/",
                hint="check the host and port; the registry may have a name of its own",
                status=reply.status,
            )
        if reply.status != httpx.codes.OK:
            raise self._channel.refusal(call, reply)

    def read_manifest(self, repository: str, selector: str) -> Manifest:
        """The manifest or index of a tag or digest, at most 8 MiB.

        Raises `IntegrityError` where the bytes are not what the digest says, or no manifest, and `RateLimitError` where
        the registry has said that it would not give them now.
        """
        call = self._manifest_call("GET", repository, selector, "read")
        with self._channel.allowance.spend():
            reply = self._channel.exchange(call, MANIFEST_LIMIT)
        if reply.status != httpx.codes.OK:
            raise self._channel.refusal(call, reply)
        try:
            return parse_manifest(reply.body, reply.headers.get("content-type", ""), _digest(selector))
        except (IntegrityError, RefusedError) as error:
            raise type(error)(f"{self.host}: cannot {call.doing}: {error.message}", hint=error.hint) from None

    def peek(self, repository: str, selector: str) -> Descriptor | None:
        """What HEAD says that a tag or digest stands for, asked once; None where it does not say enough.

        A hint: what was refused or is not there is told by `read_manifest`. Docker Hub does not count it as a pull.
        """
        call = replace(self._manifest_call("HEAD", repository, selector, "look for"), attempts=1)
        reply = self._channel.exchange(call)
        if reply.status == httpx.codes.UNAUTHORIZED:
            raise self._channel.refusal(call, reply)  # asked again, the same password may lock the account
        return read_headers(reply.headers) if reply.status == httpx.codes.OK else None

    def describe(self, repository: str, selector: str, *, certain: bool = False) -> Descriptor | None:
        """What a tag or digest stands for, as the registry says; None where it has none.

        Also None for a refusal (403) that some registries give for what does not exist, unless they list that tag: one
        that stands and may not be read must not be taken for free. To be `certain`, the tags have to be listed for it.
        The manifest itself is read only where the registry does not say enough without.
        """
        call = self._manifest_call("HEAD", repository, selector, "look for")
        reply = self._channel.exchange(call)
        is_hidden = reply.status == httpx.codes.FORBIDDEN and not self._is_listed(repository, selector, certain)
        if reply.status == httpx.codes.NOT_FOUND or is_hidden:
            return None
        if reply.status not in (httpx.codes.OK, httpx.codes.METHOD_NOT_ALLOWED):
            raise self._channel.refusal(call, reply)
        descriptor = read_headers(reply.headers) if reply.status == httpx.codes.OK else None
        if descriptor is not None and descriptor.digest == (_digest(selector) or descriptor.digest):
            return descriptor
        try:
            return self.read_manifest(repository, selector).descriptor
        except NotFoundError:
            return None

    def write_manifest(self, repository: str, selector: str, raw: bytes, media_type: str) -> None:
        """Put exactly the bytes `raw` under a tag or their digest.

        Raises an error that `says_blob_unknown` where the registry misses content that the manifest names, and
        `IntegrityError` where it says that it has received something else.
        """
        digest = _digest(selector) or Digest.of(raw)
        call = self._manifest_call("PUT", repository, selector, "write", raw=raw, media_type=media_type)
        for attempt in range(1, ATTEMPTS):
            try:
                return self._accept(call, self._channel.exchange(call), digest)
            except RegistryError as error:
                if not error.retryable:
                    raise
                self._channel.back_off(attempt, error)
            standing = self.describe(repository, selector)  # the answer may have been lost on its way, or come late
            if standing is not None and standing.digest == digest:
                return None
        return self._accept(call, self._channel.exchange(call), digest)

    def list_referrers(self, repository: str, subject: Digest) -> tuple[Descriptor, ...] | None:
        """What refers to `subject`: on the registry's list, and on one that a tag may stand for; None for nothing."""
        self._check(repository)
        found = {each.digest: each for each in self.referrers.list(repository, subject) or ()}
        index = self.describe(repository, fallback_tag(subject), certain=True)
        if index is not None and index.media_type in INDEX_TYPES and index.digest != subject:  # some tag the image so
            children = self.read_manifest(repository, index.digest).children
            found = {each.digest: each for each in children} | found
        return tuple(found.values()) or None

    def blob_size(self, repository: str, digest: Digest) -> int | None:
        """The size of a blob in bytes, as the registry says; None where it has none."""
        self._check(repository)
        return find_blob(self._channel, repository, digest, "pull")

    def read_blob(self, repository: str, descriptor: Descriptor, offset: int = 0) -> BlobBody:
        """The bytes of a blob from `offset`, or from 0 where the registry cannot begin there: see `BlobBody.offset`.

        The bytes are not hashed here. Raises `IntegrityError` where the registry announces another size; reading the
        chunks raises `UnreachableError` where the body is cut, after all that has arrived.
        """
        self._check(repository)
        return read_blob(self._channel, repository, descriptor, offset)

    @contextmanager
    def open_blob(
        self, repository: str, descriptor: Descriptor, offset: int = 0, *, held: Slots | None = None
    ) -> Iterator[BlobBody]:
        """As `read_blob`, in turn: a slot is held for the body, but where it is one of `held`, which the caller has."""
        slots = self._channel.slots
        with nullcontext() if held is slots else slots.body(descriptor.size - offset):
            yield self.read_blob(repository, descriptor, offset)

    def recover(
        self,
        blob: Descriptor,  # noqa: ARG002 - for sources that have a choice
        attempt: int,
        error: UnreachableError | IntegrityError,
    ) -> None:
        """Wait before `blob` is asked for again, after the last `attempt` in a row that brought nothing new.

        Raises `RateLimitError` where the registry wants to be left alone for longer than a run should wait.
        """
        if attempt > 0 and isinstance(error, UnreachableError):
            self._channel.back_off(attempt, error)

    def served_by(self, repository: str) -> tuple[str, ...]:  # noqa: ARG002 - for sources that have a choice
        """Nothing: what is read from here comes from here."""
        return ()

    def upload_blob(
        self,
        repository: str,
        descriptor: Descriptor,
        read: Callable[[], Iterator[bytes]],
        *,
        read_range: ReadRange | None = None,
        mount_from: str | None = None,
        force: bool = False,
    ) -> Outcome:
        """Bring a blob to `repository`, mounted from the repository `mount_from` where the registry does that.

        `read` gives the bytes, and is called anew for each attempt; `read_range` gives a part of them, where the source
        can do that: see `ChunkedUpload`. `force` sends them without asking whether the
        registry has them, for one whose answer has proved wrong.
        """
        self._check(repository, *filter(None, [mount_from]))
        upload = Upload(self._channel, repository, descriptor, read, self._terms, read_range=read_range)
        return upload.run(mount_from, force=force)

    def create_missing(self, create: CreateRepository) -> None:
        """Have a repository that an upload finds missing made by `create`."""
        self._terms.create = create

    def check_push(self, repository: str) -> None:
        """Prove that `repository` takes uploads from us; nothing is left behind."""
        self._check(repository)
        check_push(self._channel, repository, may_be_missing=self._terms.create is not None)

    def list_tags(self, repository: str) -> tuple[str, ...]:
        """The tags of `repository`, in the registry's order; an error means unknown, not none."""
        self._check(repository)
        return list_tags(self._channel, repository)

    def list_repositories(self) -> tuple[str, ...]:
        """The repositories the registry admits to. Many registries answer nobody, or administrators only."""
        return list_repositories(self._channel)

    def close(self) -> None:
        """Close the connections."""
        self._channel.close()

    def _manifest_call(
        self, method: str, repository: str, selector: str, verb: str, *, raw: bytes | None = None, media_type: str = ""
    ) -> Call:
        self._check(repository)
        digest = _digest(selector)
        if digest is None and not is_tag(selector):
            raise MalformedReferenceError(f"{selector!r} is neither a tag nor a digest")
        return Call(
            method,
            f"/v2/{repository}/manifests/{selector}",
            f"{verb} {repository}{'@' if digest else ':'}{selector}",
            repository,
            (scope_of(repository, "pull" if raw is None else "pull,push"),),
            headers={"accept": ACCEPT} if raw is None else {"content-type": media_type},
            content=raw,
            attempts=ATTEMPTS if raw is None else 1,  # a write that fails is looked into before the next
        )

    def _is_listed(self, repository: str, selector: str, otherwise: bool) -> bool:
        try:
            return selector in self.list_tags(repository)
        except RegistryError:
            return otherwise

    def _accept(self, call: Call, reply: Reply, sent: Digest) -> None:
        if not httpx.codes.is_success(reply.status):
            is_large = isinstance(call.content, bytes) and len(call.content) > _LARGEST_WELCOME
            raise self._channel.refusal(call, reply, "registries take manifests of up to 4 MiB" if is_large else None)
        check_digest(self.host, reply, sent)
        self.referrers.note(call.repository, sent, reply.headers)

    def _check(self, *repositories: str) -> None:
        for repository in repositories:
            if not is_repository(repository):
                raise MalformedReferenceError(f"{repository!r} is not a repository name")


def _digest(selector: str) -> Digest | None:
    return Digest(selector) if ":" in selector else None
