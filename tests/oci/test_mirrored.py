"""Reading from mirrors: passed over where they fail, continued at the same byte, trusted with nothing."""

import logging
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

import pytest

from edgelift.demo.content import SampleImage, SampleLayer, make_image
from edgelift.errors import DeniedError, IntegrityError, NotFoundError, RegistryError, UnreachableError
from edgelift.oci.content import ImageContent
from edgelift.oci.copy import Origin, copy_content
from edgelift.oci.credentials import Credentials
from edgelift.oci.mirrored import REST, Rests
from edgelift.oci.mirrors import Mirrors
from edgelift.oci.pull import pull_blob, pull_content
from edgelift.oci.push import KnownBlobs
from edgelift.oci.registries import Registries
from edgelift.oci.registry import Registry
from edgelift.oci.source import Source
from edgelift.serve.access import Login
from edgelift.store.local import LocalStore
from edgelift.transport import TransportSettings
from tests.images import rename_image
from tests.oci.clocks import Hands
from tests.simulators.registry import RegistrySimulator

APP = make_image("team/app", layers=(SampleLayer("tar", 400_000),))
COPY = rename_image(APP, "hub/team/app", APP.tag)
BLOB = max(APP.blobs, key=lambda blob: blob.size)
CONTENT = ImageContent(APP.manifests, APP.blobs)
NOWHERE = "127.0.0.1:1"  # where nobody listens
IMPATIENT = TransportSettings(connect_timeout=2)


class Site:
    """An original, its mirror below `hub/`, and whatever else a test wants."""

    def __init__(self, folder: Path, servers: ExitStack) -> None:
        self.hands = Hands()
        self._folder = folder
        self._servers = servers
        self.original = self.start(APP)
        self.mirror = self.start(COPY)

    def start(self, *images: SampleImage, login: Login | None = None) -> RegistrySimulator:
        """A registry with `images`."""
        folder = self._folder / f"registry-{len(list(self._folder.iterdir()))}"
        simulator = self._servers.enter_context(RegistrySimulator(folder, login=login))
        simulator.put_image(*images)
        return simulator

    def registries(
        self,
        *mirrors: str,
        rewrites: tuple[str, ...] = (),
        credentials: Credentials | None = None,
        settings: TransportSettings = IMPATIENT,
    ) -> Registries:
        """Clients for a run: read from the `mirrors`, places each, else from the original."""
        rules = Mirrors.parse(
            [f"{self.original.host}={place}" for place in mirrors],
            [f"{self.original.host}={place}" for place in rewrites],
        )
        made = Registries(settings, credentials or Credentials(), mirrors=rules, clock=self.hands.clock)
        self._servers.callback(made.close)
        return made

    def source(
        self,
        *mirrors: str,
        rewrites: tuple[str, ...] = (),
        credentials: Credentials | None = None,
        idle_timeout: float = 60,
    ) -> Source:
        """What the image is read from."""
        settings = replace(IMPATIENT, idle_timeout=idle_timeout)
        made = self.registries(*mirrors, rewrites=rewrites, credentials=credentials, settings=settings)
        return made.source(self.original.host, "team/app")

    @property
    def hub(self) -> str:
        """The mirror as a place."""
        return f"{self.mirror.host}/hub"


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Site]:
    """Two registries."""
    with ExitStack() as servers:
        (tmp_path / "site").mkdir()
        yield Site(tmp_path / "site", servers)


@pytest.fixture
def store(tmp_path: Path) -> LocalStore:
    """An empty store."""
    return LocalStore(tmp_path / "store")


def is_whole(store: LocalStore) -> bool:
    """Whether every byte of the image is in the store."""
    return all(b"".join(store.read(each)) == APP.contents[each.digest] for each in (*APP.manifests, *APP.blobs))


def content_requests(sim: RegistrySimulator) -> int:
    """Requests for manifests and blobs."""
    return sim.count(path="/(manifests|blobs)/")


# In order


def test_a_mirror_serves_the_whole_image(site: Site, store: LocalStore, caplog: pytest.LogCaptureFixture) -> None:
    """All content comes from the mirror, under its name there; the original is not asked, and the log says so."""
    source = site.source(site.hub)
    with caplog.at_level(logging.INFO, "edgelift"):
        source.log_in()
        manifest = source.read_manifest("team/app", APP.tag)
        transfer = pull_content(source, "team/app", CONTENT, store)

    assert (manifest.descriptor, source.host) == (APP.root, site.original.host)
    assert (is_whole(store), transfer.moved, site.original.requests) == (True, len(APP.blobs), [])
    assert source.served_by("team/app") == (site.hub,)
    assert [f"{site.original.host}/team/app comes from {site.hub}"] == [
        record.getMessage() for record in caplog.records
    ]


def test_without_a_rule_there_is_only_the_registry(site: Site) -> None:
    """A registry that no rule names is read by its one client."""
    registries = site.registries()

    assert registries.source(site.original.host, "team/app") is registries.registry(site.original.host)


def test_one_source_for_all_repositories_of_a_rule(site: Site) -> None:
    """What is learned of a mirror holds for every image that is read from it."""
    registries = site.registries(site.hub)

    assert registries.source(site.original.host, "a") is registries.source(site.original.host, "b")


def test_pushes_do_not_go_to_mirrors(site: Site) -> None:
    """What is written goes to the registry itself."""
    registry = site.registries(site.hub).registry(site.original.host)

    assert (type(registry), registry.host) == (Registry, site.original.host)


def test_the_first_place_that_has_a_tag_decides(site: Site) -> None:
    """A mirror with an older tag gives the older image; asked by digest, the original's is found."""
    newer = make_image("team/app", tag=APP.tag, base="debian")
    site.original.put_image(newer)
    source = site.source(site.hub)

    assert source.read_manifest("team/app", APP.tag).descriptor == APP.root
    assert source.read_manifest("team/app", newer.root.digest).descriptor == newer.root


FAILURES: dict[str, Callable[[Site], None]] = {
    "it has nothing": lambda site: site.mirror.fail(None, "/hub/", status=404, times=None),
    "it denies": lambda site: site.mirror.deny("/hub/"),
    "it wants a login": lambda site: site.mirror.fail(None, "/hub/", status=401, times=None),
    "it is broken": lambda site: site.mirror.fail(None, "/hub/", status=500, times=None),
    "it is overloaded": lambda site: site.mirror.fail(None, "/hub/", status=503, times=None),
    "it is limited": lambda site: site.mirror.fail(None, "/hub/", status=429, times=None),
    "it is limited for long": lambda site: site.mirror.fail(None, "/hub/", status=429, retry_after=60, times=None),
    "it cuts every answer": lambda site: site.mirror.lose_response("GET", "/hub/", times=None),
    "it has wrong manifests and blobs": lambda site: site.mirror.flip("/hub/", at_byte=20, times=None),
    "it has shorter blobs": lambda site: site.mirror.reply("GET", "/blobs/", body=b"short", times=None),
    "it answers with a page": lambda site: site.mirror.reply("GET", "/hub/", body=b"<html>hello</html>", times=None),
}


@pytest.mark.parametrize("fail", FAILURES.values(), ids=FAILURES)
def test_a_mirror_is_passed_over_where(fail: Callable[[Site], None], site: Site, store: LocalStore) -> None:
    """Whatever a mirror does, the image arrives, and is right; nobody waits long for that."""
    fail(site)
    source = site.source(site.hub)
    source.log_in()
    assert source.read_manifest("team/app", APP.root.digest).descriptor == APP.root
    pull_content(source, "team/app", CONTENT, store)

    assert is_whole(store)
    assert sum(site.hands.slept) < 10


def test_several_mirrors_are_tried_in_turn(site: Site, store: LocalStore) -> None:
    """The one that is down and the one that has nothing are passed over, and the third serves."""
    source = site.source(NOWHERE, site.start().host, site.hub)
    source.log_in()
    pull_content(source, "team/app", CONTENT, store)

    assert (is_whole(store), content_requests(site.original)) == (True, 0)


def test_a_mirror_that_is_not_there_is_asked_once(site: Site, store: LocalStore) -> None:
    """However many images and blobs there are, its absence is found once in a while, not every time."""
    images = [make_image(f"team/app-{number}", layers=(SampleLayer("tar", 1000),)) for number in range(10)]
    site.original.put_image(*images)
    registries = site.registries(NOWHERE)
    for image in images:
        source = registries.source(site.original.host, image.repository)
        source.read_manifest(image.repository, image.tag)
        pull_content(source, image.repository, ImageContent(image.manifests, image.blobs), store)

    assert len(site.hands.slept) <= 1  # between the two attempts at the first request
    assert all(store.exists(blob) for image in images for blob in image.blobs)


def test_a_mirror_that_comes_back_is_asked_again(site: Site) -> None:
    """After its rest a mirror gets another chance."""
    source = site.source(site.hub)
    site.mirror.fail("GET", "/hub/", status=503, times=2)
    source.read_manifest("team/app", APP.tag)
    asked = content_requests(site.mirror)
    source.read_manifest("team/app", APP.tag)
    assert content_requests(site.mirror) == asked

    site.hands.sleep(REST + 1)
    source.read_manifest("team/app", APP.tag)

    assert (content_requests(site.mirror), content_requests(site.original)) == (asked + 1, 2)


def test_what_a_mirror_lacks_is_not_asked_of_it_blob_by_blob(site: Site, store: LocalStore) -> None:
    """A mirror without an image is asked for its tag, and not for each of its parts."""
    empty = site.start()
    source = site.source(empty.host)
    source.read_manifest("team/app", APP.tag)
    pull_content(source, "team/app", CONTENT, store)

    assert (is_whole(store), content_requests(empty)) == (True, 1)


def test_what_the_original_lost_comes_from_a_mirror_that_lacked_another_tag(site: Site) -> None:
    """That a mirror lacks one tag is no reason to fail for what only it has."""
    source = site.source(site.hub)
    with pytest.raises(NotFoundError):
        source.read_manifest("team/app", "no-such-tag")
    site.original.fail(None, "/team/app/", status=404, times=None)

    assert source.read_manifest("team/app", APP.root.digest).descriptor == APP.root


# Continued elsewhere


def ranges(sim: RegistrySimulator) -> list[str | None]:
    """The range that each request for the large blob asked for."""
    return [each.headers.get("range") for each in sim.requests if each.path.endswith(BLOB.digest)]


def test_a_blob_is_continued_at_the_next_place_at_the_same_byte(site: Site, store: LocalStore) -> None:
    """A mirror that dies in the middle of a body costs not one byte of what it has given."""
    site.mirror.cut("GET", BLOB.digest, after_bytes=250_000)
    site.mirror.fail("GET", BLOB.digest, status=502, times=None, skip=1)
    transfer = pull_blob(site.source(site.hub), "team/app", BLOB, store)

    assert (ranges(site.original), transfer.moved_bytes) == (["bytes=250000-"], BLOB.size)
    assert b"".join(store.read(BLOB)) == APP.contents[BLOB.digest]


def test_a_blob_is_continued_by_a_later_run_at_another_place(site: Site, store: LocalStore) -> None:
    """What one run has from a mirror, the next one completes from the original."""
    site.mirror.cut("GET", BLOB.digest, after_bytes=250_000)
    site.mirror.fail("GET", BLOB.digest, status=502, times=None, skip=1)
    site.original.fail("GET", BLOB.digest, status=404)
    with pytest.raises(NotFoundError):
        pull_blob(site.source(site.hub), "team/app", BLOB, store)
    transfer = pull_blob(site.source(), "team/app", BLOB, store)

    assert (ranges(site.original)[-1], transfer.moved_bytes) == ("bytes=250000-", BLOB.size - 250_000)


def test_a_mirror_that_brings_something_each_time_is_kept(site: Site, store: LocalStore) -> None:
    """Cuts alone are no reason to leave a mirror: every one brought bytes."""
    for cut in range(4):
        site.mirror.cut("GET", BLOB.digest, after_bytes=60_000, skip=cut)
    pull_blob(site.source(site.hub), "team/app", BLOB, store)

    assert (len(ranges(site.mirror)), ranges(site.original)) == (5, [])


def test_a_mirror_that_brings_nothing_is_left_at_once(site: Site, store: LocalStore) -> None:
    """A body that ends before its first byte is asked for elsewhere, without a pause."""
    site.mirror.cut("GET", BLOB.digest, after_bytes=0, times=None)
    pull_blob(site.source(site.hub), "team/app", BLOB, store)

    assert (len(ranges(site.mirror)), ranges(site.original), site.hands.slept) == (1, [None], [])


def test_a_mirror_that_stalls_is_left_at_the_same_byte(site: Site, store: LocalStore) -> None:
    """One who sends a little and falls silent is not waited for again, and the next place goes on where it stopped."""
    site.mirror.stall("GET", BLOB.digest, after_bytes=100_000, times=None)
    pull_blob(site.source(site.hub, idle_timeout=0.3), "team/app", BLOB, store)

    assert (ranges(site.mirror), ranges(site.original)) == ([None], ["bytes=100000-"])
    assert (b"".join(store.read(BLOB)), site.hands.slept) == (APP.contents[BLOB.digest], [])


def test_the_only_place_that_is_left_may_stall(site: Site, store: LocalStore) -> None:
    """A time-out after new bytes is no failure where there is nobody else to ask."""
    for stalled in range(7):
        site.original.stall("GET", BLOB.digest, after_bytes=50_000, skip=stalled)
    pull_blob(site.source(idle_timeout=0.1), "team/app", BLOB, store)

    assert len(ranges(site.original)) == 8
    assert (b"".join(store.read(BLOB)), site.hands.slept) == (APP.contents[BLOB.digest], [])


def test_a_mirror_that_stalls_with_every_blob_rests(site: Site, store: LocalStore) -> None:
    """After a few blobs it is not asked any more: each would cost a time-out."""
    image = make_image("team/many", layers=tuple(SampleLayer("tar", 20_000 + size) for size in range(6)))
    site.original.put_image(image)
    site.mirror.put_image(rename_image(image, "hub/team/many", image.tag))
    site.mirror.stall("GET", "/blobs/", after_bytes=100, times=None)
    source = site.source(site.hub, idle_timeout=0.2)
    for blob in image.blobs:
        pull_blob(source, "team/many", blob, store)

    assert (len(image.blobs), site.mirror.count("GET", "/blobs/")) == (7, 3)
    assert all(store.exists(blob) for blob in image.blobs)


def test_a_blob_takes_its_turn_where_it_is_read(site: Site, store: LocalStore) -> None:
    """A mirror that lacks the blob keeps no slot for it, and the place that gives it has one taken."""
    registries = site.registries(site.hub, settings=TransportSettings(parallel=1))
    source = registries.source(site.original.host, "team/app")
    site.mirror.fail("GET", BLOB.digest, status=404, times=None)
    with source.open_blob("team/app", BLOB) as body:
        busy = is_busy(registries.registry(site.mirror.host)), is_busy(registries.registry(site.original.host))
        assert b"".join(body.chunks) == APP.contents[BLOB.digest]

    assert busy == (False, True)
    assert not is_busy(registries.registry(site.original.host))


def is_busy(registry: Registry) -> bool:
    """Whether a body is on its way to or from a registry that allows one at a time."""
    begun = threading.Event()

    def take() -> None:
        with registry.channel.slots.body(1):
            begun.set()

    thread = threading.Thread(target=take, daemon=True)
    thread.start()
    return not begun.wait(0.2)


def test_a_mirror_serves_on_where_the_others_are_gone(site: Site, store: LocalStore) -> None:
    """One empty answer of the only place that is left is no end."""
    site.mirror.cut("GET", BLOB.digest, after_bytes=0)
    rules = Mirrors.parse([f"{site.original.host}={site.hub}"], [f"{site.original.host}={NOWHERE}"])
    with Registries(TransportSettings(), Credentials(), mirrors=rules, clock=site.hands.clock) as registries:
        pull_blob(registries.source(site.original.host, "team/app"), "team/app", BLOB, store)

    assert b"".join(store.read(BLOB)) == APP.contents[BLOB.digest]


def test_wrong_bytes_are_fetched_once_more_at_the_next_place(site: Site, store: LocalStore) -> None:
    """A mirror with a damaged blob is not asked for it twice."""
    site.mirror.flip(BLOB.digest, at_byte=1000, times=None)
    transfer = pull_blob(site.source(site.hub), "team/app", BLOB, store)

    assert (ranges(site.mirror), ranges(site.original), transfer.moved_bytes) == ([None], [None], BLOB.size)


def test_wrong_bytes_everywhere_are_an_error(site: Site, store: LocalStore) -> None:
    """Where no place has the right bytes the blob is not taken."""
    site.mirror.flip(BLOB.digest, times=None)
    site.original.flip(BLOB.digest, times=None)
    with pytest.raises(IntegrityError, match="twice"):
        pull_blob(site.source(site.hub), "team/app", BLOB, store)


# From registry to registry


class Home(NamedTuple):
    """Where a copy goes."""

    repository: str = "edge/app"
    tag: str = "1.0"


DIRECT: dict[str, Callable[[Site], None]] = {
    "is whole": lambda site: None,
    "dies in the middle": lambda site: (
        site.mirror.cut("GET", BLOB.digest, after_bytes=250_000),
        site.mirror.fail("GET", BLOB.digest, status=502, times=None, skip=1),
    ),
    "has wrong bytes": lambda site: site.mirror.flip(BLOB.digest, at_byte=1000, times=None),
}


@pytest.mark.parametrize("fail", DIRECT.values(), ids=DIRECT)
def test_a_direct_copy_reads_from_a_mirror_that(fail: Callable[[Site], None], site: Site, store: LocalStore) -> None:
    """Without a store in between, too, a blob goes on at the next place, and wrong bytes do not stand at the target."""
    for manifest in APP.manifests:
        store.write(manifest, APP.contents[manifest.digest])
    fail(site)
    target = site.start()
    registry = Registry(target.host, TransportSettings(), Credentials(), clock=site.hands.clock)
    origin = Origin(site.source(site.hub), "team/app", store)
    copy_content(origin, CONTENT, registry, Home(), known=KnownBlobs())

    assert registry.read_manifest("edge/app", "1.0").descriptor == APP.root
    assert b"".join(registry.read_blob("edge/app", BLOB).chunks) == APP.contents[BLOB.digest]


def test_a_registry_that_is_rewritten_to_the_target_is_copied_inside_it(site: Site, store: LocalStore) -> None:
    """What is read from the place that is pushed to does not wait for itself, be there one slot only."""
    for manifest in APP.manifests:
        store.write(manifest, APP.contents[manifest.digest])
    rules = Mirrors.parse([], [f"{site.original.host}={site.hub}"])
    settings = TransportSettings(parallel=1)
    with Registries(settings, Credentials(), mirrors=rules, clock=site.hands.clock) as registries:
        origin = Origin(registries.source(site.original.host, "team/app"), "team/app", store)
        copy_content(origin, CONTENT, registries.registry(site.mirror.host), Home(), known=KnownBlobs())

        assert registries.registry(site.mirror.host).read_manifest("edge/app", "1.0").descriptor == APP.root


# The last word


def test_all_failures_are_told(site: Site) -> None:
    """The error is the original's, and names what became of the mirrors; it is worth a retry where one of them is."""
    site.original.fail("GET", "/manifests/", status=404, times=None)
    source = site.source(NOWHERE, site.start().host)
    with pytest.raises(NotFoundError) as caught:
        source.read_manifest("team/app", "9.9")

    assert caught.value.message.startswith(f"{site.original.host}: cannot read team/app:9.9: 404")
    assert "connection refused" in caught.value.message
    assert caught.value.message.count("404") == 2
    assert caught.value.retryable


def test_an_original_that_is_not_there_is_not_waited_for_each_time(site: Site) -> None:
    """A site without a way out learns once that there is none."""
    rules = Mirrors.parse([f"{NOWHERE}={site.mirror.host}/hub"])
    with Registries(TransportSettings(), Credentials(), mirrors=rules, clock=site.hands.clock) as registries:
        source = registries.source(NOWHERE, "team/other")
        with pytest.raises(UnreachableError):
            source.read_manifest("team/other", "1.0")
        waited = len(site.hands.slept)
        with pytest.raises(UnreachableError):
            registries.source(NOWHERE, "team/third").read_manifest("team/third", "1.0")

    assert len(site.hands.slept) == waited


@pytest.mark.parametrize("question", ["peek", "describe", "blob_size"])
def test_what_no_place_has_is_not_there(question: str, site: Site) -> None:
    """None of all is None; what one of them has is found."""
    source, other = site.source(site.hub), APP.root.digest[:-4] + "0000"
    ask = getattr(source, question)
    here = BLOB.digest if question == "blob_size" else APP.tag
    site.mirror.fail("HEAD", "/hub/", status=404, times=1)

    assert ask("team/app", other) is None
    assert ask("team/app", here) is not None


# Rewrites


def test_a_rewritten_registry_is_never_asked(site: Site, store: LocalStore) -> None:
    """With a rewrite the original hears nothing of us, also where the place instead has nothing."""
    source = site.source(rewrites=(site.hub,))
    source.log_in()
    source.read_manifest("team/app", APP.tag)
    pull_content(source, "team/app", CONTENT, store)
    with pytest.raises(NotFoundError, match=site.mirror.host):
        source.read_manifest("team/app", "9.9")

    assert (is_whole(store), site.original.requests) == (True, [])


def test_mirrors_are_asked_before_a_rewrite(site: Site) -> None:
    """A mirror and a rewrite of the same registry go together: the rewrite is the last place."""
    empty = site.start()
    source = site.source(empty.host, rewrites=(site.hub,))

    assert source.read_manifest("team/app", APP.tag).descriptor == APP.root
    assert (content_requests(empty), content_requests(site.mirror), site.original.requests) == (1, 1, [])


# Logins


def test_each_place_gets_its_own_login_only(site: Site) -> None:
    """The login of the original is not shown to the mirror, nor the mirror's to the original."""
    known = Login("courier", "of the mirror")
    guarded = site.start(COPY, login=known)
    credentials = Credentials.of(
        [(guarded.host, known.username, known.password), (site.original.host, "courier", "of the original")]
    )
    site.source(site.hub, f"{guarded.host}/hub", credentials=credentials).log_in()
    site.mirror.fail(None, "/hub/", status=404, times=None)
    site.original.fail("GET", "/manifests/", status=401, times=None)
    source = site.source(site.hub, f"{guarded.host}/hub", credentials=credentials)

    assert source.read_manifest("team/app", APP.tag).descriptor == APP.root
    assert [each.had_authorization for each in site.mirror.requests if each.had_authorization] == []
    sent = {each.headers["authorization"] for each in guarded.requests if each.had_authorization}
    assert len(sent) == 1


def test_a_mirror_that_refuses_our_password_hears_it_once(site: Site, store: LocalStore) -> None:
    """A wrong password at a mirror is not repeated image by image: accounts lock."""
    guarded = site.start(COPY, login=Login("courier", "right"))
    credentials = Credentials.of([(guarded.host, "courier", "wrong")])
    source = site.source(f"{guarded.host}/hub", credentials=credentials)
    source.log_in()
    pull_content(source, "team/app", CONTENT, store)

    assert len([each for each in guarded.requests if each.had_authorization]) == 1
    assert is_whole(store)


def test_no_place_lets_us_in(site: Site) -> None:
    """Where every place refuses us, that is the error."""
    site.mirror.fail("GET", "^/v2/$", status=403, times=None)
    site.original.fail("GET", "^/v2/$", status=403, times=None)
    with pytest.raises(DeniedError) as caught:
        site.source(site.hub).log_in()

    assert all(host in caught.value.message for host in (site.mirror.host, site.original.host))


def test_a_name_that_fits_nowhere_is_told(site: Site) -> None:
    """A rewrite under which a repository can have no name is a mistake in the settings."""
    rules = Mirrors.parse([], [f"{site.original.host}/team={site.mirror.host}"])
    with Registries(TransportSettings(), Credentials(), mirrors=rules) as registries:
        source = registries.source(site.original.host, "team")
        with pytest.raises(Exception, match="can have no name"):
            source.read_manifest("team", "1.0")


def test_errors_stay_errors_of_the_registry(site: Site) -> None:
    """Whoever handles the errors of one registry handles those of several."""
    source = site.source(NOWHERE)
    site.original.fail("GET", "/manifests/", status=503, times=None)
    with pytest.raises(RegistryError, match="503"):
        source.read_manifest("team/app", APP.tag)


def test_wrong_bytes_of_several_places_are_asked_for_at_the_original(site: Site, store: LocalStore) -> None:
    """A mirror that stopped after bad bytes is not the first to be asked for good ones."""
    with store.ingest(BLOB) as partial:  # what an earlier run got of the mirror
        assert partial is not None
        partial.write(bytes(100_000))
    site.mirror.cut("GET", "/blobs/", after_bytes=0)
    site.mirror.flip(at_byte=1000, times=None)
    pull_blob(site.source(site.hub), "team/app", BLOB, store)

    assert b"".join(store.read(BLOB)) == APP.contents[BLOB.digest]
    assert (site.mirror.count("GET", "/blobs/"), site.original.count("GET", "/blobs/")) == (1, 2)


def test_why_a_place_rests_is_told_anew_each_time() -> None:
    """A single error, raised by every thread for minutes, would hold more of what they had in hand each time."""
    rests, deepest = Rests(Hands().clock), 0
    rests.begin("mirror.example", REST, UnreachableError("mirror.example: connection refused", hint="check it"))
    for _ in range(3):
        with pytest.raises(UnreachableError, match="connection refused") as caught:
            raise rests.why("mirror.example") or AssertionError("it rests")
        deepest = max(deepest, len(caught.traceback))

    assert deepest == 1
    assert caught.value.hint == "check it"
