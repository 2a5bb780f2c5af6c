"""What refers to a manifest, as its registry lists it (distribution-spec, "Listing Referrers").

A registry without such lists says that it does not know the request. Nothing else means that there is nothing: what
cannot be told is an error, or signatures would be lost without a word.
"""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace

import httpx

from edgelift.errors import IntegrityError, RefusedError, RegistryError
from edgelift.oci.channel import Channel
from edgelift.oci.descriptor import Descriptor
from edgelift.oci.digest import Digest
from edgelift.oci.listing import next_page
from edgelift.oci.manifest import INDEX_TYPES, MANIFEST_LIMIT, OCI_INDEX, parse_manifest
from edgelift.oci.upload import scope_of
from edgelift.oci.wire import Call, Reply

MAX_LISTED = 1000  # for one digest; cosign itself takes no more signatures than that
# How registries say that they keep no list: at all, or (Quay, with 400) of this digest. The first three are remembered.
_NO_LISTS = (404, 405, 501)
_NO_LIST = (*_NO_LISTS, 400, 406)


class Referrers:
    """The lists that one registry keeps, and what is learned of them: whether there are any, and what is in them."""

    def __init__(self, channel: Channel) -> None:
        self._channel = channel
        self._has_lists: bool | None = None
        self._noted: set[tuple[str, Digest]] = set()
        self._locks: dict[tuple[str, Digest], threading.Lock] = {}
        self._guard = threading.Lock()

    def list(self, repository: str, subject: Digest) -> tuple[Descriptor, ...] | None:
        """What names `subject`; None where the registry keeps no lists. Raises `RegistryError`, `IntegrityError`."""
        if self._has_lists is False:
            return None
        call = page = Call(
            "GET",
            f"/v2/{repository}/referrers/{subject}",
            f"list the referrers of {repository}@{subject}",
            repository,
            (scope_of(repository, "pull"),),
            headers={"accept": OCI_INDEX},
        )
        found: dict[Digest, Descriptor] = {}
        while True:
            reply = self._channel.exchange(page, MANIFEST_LIMIT)
            if not self._is_list(call, reply):
                return None
            known = len(found)
            found |= {each.digest: each for each in self._entries(call, reply)}
            if len(found) > MAX_LISTED:
                raise RefusedError(f"{self._channel.host}: cannot {call.doing}: there are more than {MAX_LISTED:,}")
            following = next_page(self._channel, reply)
            if following is None or len(found) == known:
                return tuple(found.values())
            page = replace(call, url=following)

    def note(self, repository: str, digest: Digest, answer: httpx.Headers) -> None:
        """Learn from the `answer` to a manifest that was sent: whether the registry has put it on a list."""
        if "oci-subject" in answer:
            self._noted.add((repository, digest))

    def has_noted(self, repository: str, digest: Digest) -> bool:
        """Whether the registry said, when it took the manifest, that it has put it on the list of its subject."""
        return (repository, digest) in self._noted

    @contextmanager
    def alone(self, repository: str, subject: Digest) -> Iterator[None]:
        """Hold what stands in for the list of `subject`: it is read, changed and written, by one at a time."""
        with self._guard:
            lock = self._locks.setdefault((repository, subject), threading.Lock())
        with lock:
            yield

    def _is_list(self, call: Call, reply: Reply) -> bool:
        """Whether `reply` is a list; False where the registry keeps none. Raises the refusal that it is, else."""
        if reply.status == httpx.codes.OK and _media_type(reply) in INDEX_TYPES:
            self._has_lists = True
            return True
        if reply.status not in _NO_LIST and reply.status != httpx.codes.OK:  # that would be a web page, for example
            raise self._channel.refusal(call, reply)
        # One with a code of its own may be about this repository alone, and is no word on all others.
        if self._has_lists is None and reply.status in _NO_LISTS and reply.problem.code in (None, "UNSUPPORTED"):
            self._has_lists = False
        return False

    def _entries(self, call: Call, reply: Reply) -> tuple[Descriptor, ...]:
        try:
            return parse_manifest(reply.body, _media_type(reply)).children
        except (IntegrityError, RefusedError) as error:
            message = f"{self._channel.host}: cannot {call.doing}: {error.message}"
            raise RegistryError(message, hint=error.hint) from None


def _media_type(reply: Reply) -> str:
    return str(reply.headers.get("content-type", "")).partition(";")[0].strip().lower()
