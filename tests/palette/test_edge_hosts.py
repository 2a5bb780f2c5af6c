"""Edge hosts: found by their tag, page after page, with architecture and profiles."""

import json
from collections.abc import Sequence

import pytest
from pydantic import SecretStr

from edgelift.demo.palette_tenant import DemoHost, DemoTenant
from edgelift.demo.profiles import demo_profiles
from edgelift.errors import PaletteError
from edgelift.palette.client import PaletteClient
from edgelift.palette.edge_hosts import EdgeHost
from tests.simulators.palette import PaletteSimulator

KEY = "a1b2c3d4e5f6-secret-key"
PROFILES = demo_profiles("registry.example")
TAG = "site:harbour-12"
SEARCH = "/v1/dashboard/edgehosts/search"


def simulator(hosts: Sequence[DemoHost]) -> PaletteSimulator:
    """A Palette with these edge hosts."""
    return PaletteSimulator(PROFILES, KEY, tenant=DemoTenant(hosts=hosts))


def find(palette: PaletteSimulator, tag: str = TAG, project: str | None = "demo") -> tuple[EdgeHost, ...]:
    """The edge hosts with `tag`."""
    with PaletteClient(palette.url, SecretStr(KEY), project=project, sleep=lambda _seconds: None) as client:
        return client.find_edge_hosts(tag)


def test_hosts_are_found_by_their_tag() -> None:
    """Those with the tag, whatever others they have, with what they are and what they run."""
    hosts = [
        DemoHost("crane-2", "arm64", (TAG, "row:2")),
        DemoHost("crane-1", "amd64", ("row:1", TAG), PROFILES[:2]),
        DemoHost("office", "amd64", ("site:office",)),
        DemoHost("spare"),
    ]
    with simulator(hosts) as palette:
        found = find(palette)

    assert [(each.name, each.architecture) for each in found] == [("crane-1", "amd64"), ("crane-2", "arm64")]
    assert [(each.name, each.version) for each in found[0].profiles] == [
        ("edge-infra", "1.0.0"),
        ("hello-site", "1.4.0"),
    ]
    assert found[1].profiles == ()


@pytest.mark.parametrize(("count", "pages"), [(0, 1), (50, 1), (51, 2), (120, 3)])
def test_every_page_is_read(count: int, pages: int) -> None:
    """Palette lists fifty hosts at once; the token of one page asks for the next."""
    with simulator([DemoHost(f"host-{number:03}", tags=(TAG,)) for number in range(count)]) as palette:
        found = find(palette)

    assert ([each.name for each in found], palette.paths.count(SEARCH)) == (
        [f"host-{number:03}" for number in range(count)],
        pages,
    )


def test_a_list_that_leads_back_to_itself_is_given_up() -> None:
    """A server that gives the same token for ever gets an error, not requests for ever."""
    page = {"items": [], "listmeta": {"continue": "again"}}
    with simulator([]) as palette:
        palette.answers_with(200, body=json.dumps(page).encode(), path=SEARCH, times=None)
        with pytest.raises(PaletteError, match="without end"):
            find(palette)
    assert palette.paths.count(SEARCH) == 2


def test_hosts_of_another_project_are_not_seen() -> None:
    """The search is made in the project that is asked for."""
    with simulator([DemoHost("crane-1", tags=(TAG,))]) as palette:
        assert (len(find(palette)), len(find(palette, project=None))) == (1, 0)


def test_a_search_is_repeated_when_the_server_is_busy() -> None:
    """A search changes nothing: it is asked again as any question is."""
    with simulator([DemoHost("crane-1", tags=(TAG,))]) as palette:
        palette.answers_with(429, {"Retry-After": "1"}, path=SEARCH)
        palette.resets(path=SEARCH)
        assert len(find(palette)) == 1


def test_an_answer_that_makes_no_sense_is_palettes_error() -> None:
    """The message names the question."""
    with simulator([]) as palette:
        palette.answers_with(200, body=b'{"items": 7}', path=SEARCH)
        with pytest.raises(PaletteError, match=f"answered POST {SEARCH}"):
            find(palette)
