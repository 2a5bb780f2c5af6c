"""What a registry says it holds: tags (distribution-spec, "Content discovery") and, where it tells, repositories.

A list proves nothing by itself: many registries do not give one, or only a part, and hold content all the same.
"""

import json
import re
from collections.abc import Callable
from dataclasses import replace

import httpx

from edgelift.errors import RegistryError
from edgelift.oci.channel import Channel
from edgelift.oci.reference import NAME_LIMIT, is_repository, is_tag
from edgelift.oci.upload import scope_of
from edgelift.oci.wire import Call, Reply

PAGE = 100  # names; some registries refuse to give more at once
MAX_PAGES = 10_000
MAX_NAMES = 1_000_000
_PAGE_LIMIT = 8 * 2**20  # bytes
_NEXT = re.compile(r'<([^<>]*)>\s*;[^<]*\brel\s*=\s*"?next\b', re.IGNORECASE)
_FINAL = (httpx.codes.UNAUTHORIZED, httpx.codes.FORBIDDEN, httpx.codes.NOT_FOUND)


def list_tags(channel: Channel, repository: str) -> tuple[str, ...]:
    """The tags of `repository`, in the registry's order; raises `RegistryError`."""
    call = Call(
        "GET",
        f"/v2/{repository}/tags/list",
        f"list the tags of {repository}",
        repository,
        (scope_of(repository, "pull"),),
    )
    return _collect(channel, call, "tags", is_tag)


def list_repositories(channel: Channel) -> tuple[str, ...]:
    """The repositories that the registry admits to; raises `RegistryError`, where it tells nobody in particular."""
    call = Call("GET", "/v2/_catalog", "list the repositories", scopes=("registry:catalog:*",))
    return _collect(channel, call, "repositories", lambda name: len(name) <= NAME_LIMIT and is_repository(name))


def next_page(channel: Channel, reply: Reply) -> str | None:
    """Where `reply` says that its list goes on; None at the end. Raises `RegistryError` for another server."""
    following = _NEXT.search(", ".join(reply.headers.get_list("link")))
    return channel.gate.admit(following[1], "next page", base=str(reply.url)).url if following is not None else None


def _collect(channel: Channel, call: Call, member: str, is_name: Callable[[str], bool]) -> tuple[str, ...]:
    """All pages of a list, each name once; a page that brings nothing new is the last."""
    names: dict[str, None] = {}
    page = first = replace(call, url=f"{call.url}?n={PAGE}")
    for _ in range(MAX_PAGES):
        reply = channel.exchange(page, _PAGE_LIMIT)
        if page is first and httpx.codes.is_client_error(reply.status) and reply.status not in _FINAL:
            page = call  # some registries refuse every page size but their own
            continue
        if reply.status != httpx.codes.OK:
            raise channel.refusal(call, reply)
        known = len(names)
        names |= dict.fromkeys(filter(is_name, _names(channel, call, reply, member)))
        following = next_page(channel, reply)
        if following is None or len(names) == known:
            return tuple(names)
        if len(names) > MAX_NAMES:
            break
        page = replace(call, url=following)
    raise RegistryError(f"{channel.host}: cannot {call.doing}: the list does not end")


def _names(channel: Channel, call: Call, reply: Reply, member: str) -> list[str]:
    try:
        names = json.loads(reply.body)[member] or []  # null is how some write an empty list
        if isinstance(names, list):
            return [name for name in names if isinstance(name, str)]
    except (ValueError, LookupError, TypeError, RecursionError):
        pass
    raise RegistryError(f"{channel.host}: cannot {call.doing}: the answer is not a list of {member}")
