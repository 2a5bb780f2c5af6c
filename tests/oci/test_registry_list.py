"""What a registry says it holds, page by page, and when it does not say."""

import json
from collections.abc import Callable
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import pytest

from edgelift.demo.content import make_image
from edgelift.errors import DeniedError, NotFoundError, RefusedError, RegistryError
from edgelift.oci.credentials import Credentials
from edgelift.oci.registry import Registry
from edgelift.transport import TransportSettings
from tests.oci.clocks import Hands
from tests.simulators.http_faults import Answer, HttpFaults, Request
from tests.simulators.registry import RegistrySimulator

TAGS = tuple(f"v{number:04}" for number in range(250))


def open_registry(host: str) -> Registry:
    """A client that does not wait between attempts."""
    return Registry(host, TransportSettings(), Credentials(), clock=Hands().clock)


def page(names: object, link: str | None = None) -> Answer:
    """One page of tags, and where the next one is."""
    headers = (("Link", link),) if link else ()
    return Answer(200, headers, json.dumps({"name": "team/app", "tags": names}).encode())


def test_a_registry_lists_what_it_holds(tmp_path: Path) -> None:
    """Tags and repositories, of a registry that tells."""
    with RegistrySimulator(tmp_path) as sim:
        sim.put_image(make_image("team/app", tag="1.0"), make_image("team/app", tag="2.0"), make_image("other"))
        registry = open_registry(sim.host)

        assert (registry.list_tags("team/app"), registry.list_repositories()) == (("1.0", "2.0"), ("other", "team/app"))


def paged(request: Request) -> Answer:
    """A registry with 250 tags that gives as many a page as it is asked for."""
    query = parse_qs(urlsplit(request.target).query)
    count, last = int(query["n"][0]), query.get("last", [""])[0]
    names = [tag for tag in TAGS if tag > last][:count]
    following = f'</v2/team/app/tags/list?n={count}&last={names[-1]}>; rel="next"' if names[-1] != TAGS[-1] else None
    return page(names, following)


def test_all_pages_are_read() -> None:
    """The list goes on for as long as the registry names a next page."""
    with HttpFaults(paged) as server:
        tags = open_registry(server.host).list_tags("team/app")

    assert (tags, len(server.requests)) == (TAGS, 3)


LINKS = {
    "relative": '</v2/team/app/tags/list?last=a>; rel="next"',
    "absolute": '<http://{host}/v2/team/app/tags/list?last=a>; rel="next"',
    "without quotes": "</v2/team/app/tags/list?last=a>; rel=next",
    "among others": '</v2/x>; rel="prev", </v2/team/app/tags/list?last=a>; title=more; rel="next"',
}


@pytest.mark.parametrize("link", LINKS.values(), ids=LINKS)
def test_the_next_page_is_found(link: str) -> None:
    """The forms in which registries write links."""

    def respond(request: Request) -> Answer:
        return page(["b"]) if "last=a" in request.target else page(["a"], link.format(host=request.headers["host"]))

    with HttpFaults(respond) as server:
        assert open_registry(server.host).list_tags("team/app") == ("a", "b")


def test_a_list_that_goes_round_ends() -> None:
    """A page that brings nothing new is the last, whatever it says is next."""
    with HttpFaults(lambda _: page(["a", "b"], '</v2/team/app/tags/list?last=b>; rel="next"')) as server:
        tags = open_registry(server.host).list_tags("team/app")

    assert (tags, len(server.requests)) == (("a", "b"), 2)


def test_a_next_page_elsewhere_is_not_asked_for() -> None:
    """A list is continued at the registry itself; no other server learns of us."""
    with HttpFaults() as other:
        link = f'<{other.url}/v2/team/app/tags/list>; rel="next"'
        with HttpFaults(lambda _: page(["a"], link)) as server, pytest.raises(RegistryError, match="at another server"):
            open_registry(server.host).list_tags("team/app")

    assert other.connections == 0


PAGES: dict[str, tuple[object, tuple[str, ...]]] = {
    "null": (None, ()),
    "empty": ([], ()),
    "unsorted and twice": (["b", "a", "b"], ("b", "a")),
    "names that are none": (["ok", "../x", "a\x1b[31m", 5, None, ""], ("ok",)),
}


@pytest.mark.parametrize(("names", "tags"), PAGES.values(), ids=PAGES)
def test_pages_of_all_kinds(names: object, tags: tuple[str, ...]) -> None:
    """An empty list may be null; what is no tag is left out."""
    with HttpFaults(lambda _: page(names)) as server:
        assert open_registry(server.host).list_tags("team/app") == tags


NO_LISTS = {
    "a web page": b"<html>",
    "another document": b'{"errors": []}',
    "not a list": b'{"tags": "a"}',
    "a list": b'["a"]',
    "too large": b'{"tags":["' + b"a" * (8 * 2**20) + b'"]}',
}


@pytest.mark.parametrize("body", NO_LISTS.values(), ids=NO_LISTS)
def test_what_is_no_list_is_no_empty_list(body: bytes) -> None:
    """An answer that cannot be read is an error: nothing follows for what the registry holds."""
    with (
        HttpFaults(lambda _: Answer(body=body)) as server,
        pytest.raises(RegistryError, match="list the tags of team/app"),
    ):
        open_registry(server.host).list_tags("team/app")


@pytest.mark.parametrize("status", [400, 405, 413])
def test_a_registry_that_minds_the_size_of_pages_is_asked_without(status: int) -> None:
    """Some registries refuse every page size but their own."""

    def respond(request: Request) -> Answer:
        return Answer(status) if "n=" in request.target else page(["a"])

    with HttpFaults(respond) as server:
        assert open_registry(server.host).list_tags("team/app") == ("a",)


REFUSALS: dict[str, tuple[int, type[RegistryError], int]] = {
    "not for us": (401, DeniedError, 1),
    "not for anyone": (403, DeniedError, 1),
    "not known": (404, NotFoundError, 1),
    "not offered": (405, RefusedError, 2),
}


@pytest.mark.parametrize(("status", "error", "requests"), REFUSALS.values(), ids=REFUSALS)
def test_a_list_that_is_not_given_is_an_error(status: int, error: type[RegistryError], requests: int) -> None:
    """Each way of not telling has its error; none of them is an empty list."""
    respond: Callable[[Request], Answer] = lambda request: Answer(status)  # noqa: E731 - one line, used once
    with HttpFaults(respond) as server, pytest.raises(error, match=f"cannot list the repositories: {status}"):
        open_registry(server.host).list_repositories()

    assert len([each for each in server.requests if "_catalog" in each.target]) == requests
