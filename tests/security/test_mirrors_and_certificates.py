"""Several places for one registry: each gets its own login and its own certificate, whatever one of them says.

The registry and its mirror are configured; a third server is foreign, and so is either of the two where the other one
sends us there. Logins are told apart by their bytes, certificates by the names in them.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import ExitStack, suppress
from dataclasses import dataclass, replace
from pathlib import Path

import httpx
import pytest

from edgelift.demo.content import make_image
from edgelift.errors import EdgeliftError
from edgelift.oci.copy import Origin, copy_content
from edgelift.oci.credentials import Credential, Credentials
from edgelift.oci.mirrors import Mirrors
from edgelift.oci.pull import pull_content
from edgelift.oci.push import KnownBlobs, push_content
from edgelift.oci.reference import ImageReference
from edgelift.oci.registries import Registries
from edgelift.oci.registry import Registry
from edgelift.oci.source import Source
from edgelift.pin import pin_image
from edgelift.store.local import LocalStore
from edgelift.transport import ClientCertificate, TransportSettings, open_client
from tests.certificates import Authority
from tests.oci.clocks import Hands
from tests.security.canaries import LOGIN, MIRROR_LOGIN, OF_HOME, OF_MIRROR, bytes_of, credential_bytes
from tests.security.foreign import Listener, asks, bounces, serves
from tests.security.hostile_registry import HostileRegistry, Kind, Lure
from tests.security.operations import LARGE, MIB, OPERATIONS, OURS, THERE, Desk, Place, content_of, fill, perform
from tests.simulators.http_faults import Answer, Request

REALMS: tuple[Lure, ...] = ("token realm", "late realm", "token redirect")
FOLLOWED: tuple[Lure, ...] = ("redirect", "upload location", "chunk location")  # without credentials
LURES: tuple[Lure, ...] = (*REALMS, *FOLLOWED, "next page")
REPOSITORY = "team/app"
NOTHING = make_image("team/nothing", tag="0.1", seed="nothing")  # what a mirror has that lacks all that we ask for
BLOB = THERE.blobs[-1]


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    """The authority behind every certificate here, those of clients included."""
    return Authority(tmp_path_factory.mktemp("authority"))


@pytest.fixture(autouse=True)
def few_authorities(authority: Authority, monkeypatch: pytest.MonkeyPatch) -> None:
    """The system's own authorities take a twentieth of a second to load, for each client."""
    monkeypatch.setenv("SSL_CERT_FILE", str(authority.ca_cert))
    monkeypatch.setenv("SSL_CERT_DIR", str(authority.ca_cert.parent / "none"))


@pytest.fixture(scope="module")
def full_store(tmp_path_factory: pytest.TempPathFactory) -> LocalStore:
    """A store that holds the image to be pushed, and the manifests of the one to be copied."""
    return fill(LocalStore(tmp_path_factory.mktemp("full")))


@dataclass(frozen=True)
class Errand:
    """What is done with a registry that has a mirror: `source` reads from both, the others are written to."""

    source: Source
    original: Registry
    mirror: Registry
    full: LocalStore
    empty: LocalStore


def _pin_and_pull(errand: Errand) -> None:
    reference = ImageReference.parse(f"{errand.source.host}/{REPOSITORY}:1.0")
    pin_image(reference, None, errand.source, errand.empty)
    pull_content(errand.source, REPOSITORY, content_of(THERE), errand.empty)


def _read_blob(errand: Errand, offset: int) -> None:
    with errand.source.open_blob(REPOSITORY, BLOB, offset) as body:
        list(body.chunks)


def _copy(errand: Errand, target: Registry) -> None:
    origin = Origin(errand.source, REPOSITORY, errand.full)
    copy_content(origin, content_of(THERE), target, Place("team/copied"), known=KnownBlobs())


def _write(errand: Errand, target: Registry) -> None:
    push_content(errand.full, content_of(OURS), target, Place("team/pushed"), known=KnownBlobs())


def _come_back(target: Source) -> None:
    """Ask once more who has let us in, and may want to see the login elsewhere now."""
    with suppress(EdgeliftError):
        target.log_in()
    target.log_in()


def _write_chunks(target: Registry) -> None:
    target.upload_blob("team/new", LARGE, lambda: iter([bytes(LARGE.size)]))


READS: dict[str, Callable[[Errand], object]] = {
    "log in": lambda errand: errand.source.log_in(),
    "come back": lambda errand: _come_back(errand.source),
    "read a manifest by tag": lambda errand: errand.source.read_manifest(REPOSITORY, "1.0"),
    "read a manifest by digest": lambda errand: errand.source.read_manifest(REPOSITORY, THERE.root.digest),
    "describe a tag": lambda errand: errand.source.describe(REPOSITORY, "1.0"),
    "look at a tag": lambda errand: errand.source.peek(REPOSITORY, "1.0"),
    "look for a blob": lambda errand: errand.source.blob_size(REPOSITORY, BLOB.digest),
    "read a blob": lambda errand: _read_blob(errand, 0),
    "read the rest of a blob": lambda errand: _read_blob(errand, 9),
    "pin and pull an image": _pin_and_pull,
}
WRITES: dict[str, Callable[[Errand], object]] = {
    "copy to the mirror": lambda errand: _copy(errand, errand.mirror),
    "copy to the original": lambda errand: _copy(errand, errand.original),
    "push to the mirror": lambda errand: _write(errand, errand.mirror),
    "push to the original": lambda errand: _write(errand, errand.original),
    "push in chunks to the mirror": lambda errand: _write_chunks(errand.mirror),
    "push in chunks to the original": lambda errand: _write_chunks(errand.original),
    "list tags at the mirror": lambda errand: errand.mirror.list_tags("hub/team/app"),
    "list tags at the original": lambda errand: errand.original.list_tags(REPOSITORY),
    "list repositories at the mirror": lambda errand: errand.mirror.list_repositories(),
    "list repositories at the original": lambda errand: errand.original.list_repositories(),
    "come back to the mirror": lambda errand: _come_back(errand.mirror),
    "come back to the original": lambda errand: _come_back(errand.original),
}


def asking(authority: Authority, address: str, respond: Callable[[Request], Answer] = serves) -> Listener:
    """A server with TLS that asks for a client certificate, and does without."""
    return Listener(
        respond,
        authority.issue(address),
        address,
        client_authority=authority.ca_cert,
        demands_certificate=False,
    )


class Trio:
    """The original, its mirror below `hub/`, and a foreign server; each is another host."""

    def __init__(self, folder: Path, servers: ExitStack, authority: Authority | None = None) -> None:
        self._folder = folder
        self._authority = authority
        self.original = servers.enter_context(self._listen("127.0.0.1"))
        self.mirror = servers.enter_context(self._listen("127.0.0.3"))
        self.foreign = servers.enter_context(self._listen("127.0.0.2"))
        self.settings = TransportSettings(idle_timeout=10, attempts=3, largest_request=MIB)
        if authority is None:
            self.settings = replace(self.settings, plain_http=frozenset({self.original.host, self.mirror.host}))
        self.credentials = Credentials(self._find)

    def _listen(self, address: str) -> Listener:
        return Listener(address=address) if self._authority is None else asking(self._authority, address)

    def _find(self, host: str, _: str) -> Credential | None:
        return {self.original.host: LOGIN, self.mirror.host: MIRROR_LOGIN}.get(host)

    def begin(self, of_original: HostileRegistry, of_mirror: HostileRegistry) -> None:
        """Have the two registries answer as said."""
        self.original.respond, self.mirror.respond = of_original.respond, of_mirror.respond

    def run(
        self,
        errands: Iterable[Callable[[Errand], object]],
        *,
        is_rewrite: bool = False,
        hosts: Mapping[str, TransportSettings] | None = None,
    ) -> None:
        """Run each of `errands` with fresh clients; only our own errors may come of it."""
        rule = [f"{self.original.host}={self.mirror.host}/hub"]
        mirrors = Mirrors.parse([], rule) if is_rewrite else Mirrors.parse(rule)
        full = LocalStore(self._folder / "full")
        for number, errand in enumerate(errands):
            empty = LocalStore(self._folder / f"empty-{number}-{len(list(self._folder.iterdir()))}")
            made = Registries(self.settings, self.credentials, hosts, mirrors=mirrors, clock=Hands().clock)
            with made as registries, suppress(EdgeliftError):
                original, mirror = (registries.registry(each.host) for each in (self.original, self.mirror))
                errand(Errand(registries.source(self.original.host, REPOSITORY), original, mirror, full, empty))

    def seen(self) -> dict[str, int]:
        """The bytes of credentials that were seen by whom they are not for."""
        return {
            "of both at the foreign server": credential_bytes(bytes(self.foreign.heard)),
            "of the original at the mirror": bytes_of(bytes(self.mirror.heard), OF_HOME),
            "of the mirror at the original": bytes_of(bytes(self.original.heard), OF_MIRROR),
        }

    def at_home(self) -> tuple[int, int]:
        """The bytes of credentials that original and mirror have seen of their own."""
        return bytes_of(bytes(self.original.heard), OF_HOME), bytes_of(bytes(self.mirror.heard), OF_MIRROR)


NONE = {
    "of both at the foreign server": 0,
    "of the original at the mirror": 0,
    "of the mirror at the original": 0,
}
ALL = (*READS.values(), *WRITES.values())


@pytest.fixture
def trio(tmp_path: Path) -> Iterator[Trio]:
    """Three servers without TLS."""
    fill(LocalStore(tmp_path / "full"))
    with ExitStack() as servers:
        yield Trio(tmp_path, servers)


@pytest.fixture
def trio_with_tls(tmp_path: Path, authority: Authority) -> Iterator[Trio]:
    """Three servers with TLS that ask for a certificate, and do without."""
    fill(LocalStore(tmp_path / "full"))
    with ExitStack() as servers:
        yield Trio(tmp_path, servers, authority)


def tell(case: str, seen: Mapping[str, int], at_home: tuple[int, int]) -> None:
    """Print the figures that all this is about."""
    print(f"{case}: bytes of credentials {seen}; at home: {sum(at_home):,}")  # noqa: T201 - pytest shows it when asked


# Logins


@pytest.mark.parametrize(("kind", "manner"), [("basic", asks), ("bearer", serves), ("basic", bounces)])
@pytest.mark.parametrize("lure", LURES)
@pytest.mark.parametrize("who", ["mirror", "original"])
def test_no_login_of_either_place_goes_to_a_third(
    who: str, lure: Lure, kind: Kind, manner: Callable[[Request], Answer], trio: Trio
) -> None:
    """Whether the mirror or, where that lacks everything, the original sends us on: who is foreign sees no login.

    The two see none of each other's either, though all that the one does not give is asked of the other.
    """
    trio.foreign.respond = manner
    hostile = HostileRegistry(THERE, kind, lure, trio.foreign.url, is_mirror=who == "mirror")
    if who == "mirror":
        trio.begin(HostileRegistry(THERE, kind, "none"), hostile)
    else:
        trio.begin(hostile, HostileRegistry(NOTHING, kind, "none", is_mirror=True))
    trio.run(ALL)
    seen, (at_original, at_mirror) = trio.seen(), trio.at_home()

    tell(f"{who}, {lure}, {kind}", seen, (at_original, at_mirror))
    assert seen == NONE
    assert (trio.foreign.connections > 0) == (lure in FOLLOWED)
    silent = who if lure == "token realm" else ""  # who asks for a login elsewhere at once is shown nothing at all
    assert (at_original > 0, at_mirror > 0) == (silent != "original", silent != "mirror")


@pytest.mark.parametrize("kind", ["basic", "bearer"])
@pytest.mark.parametrize("lure", LURES)
@pytest.mark.parametrize("who", ["mirror", "original"])
def test_no_login_of_one_place_goes_to_the_other(who: str, lure: Lure, kind: Kind, trio: Trio) -> None:
    """A mirror that sends us to the original, or the original to the mirror: the other sees its own login alone."""
    if who == "mirror":
        trio.begin(
            HostileRegistry(THERE, kind, "none"),
            HostileRegistry(THERE, kind, lure, trio.original.url, is_mirror=True),
        )
    else:
        trio.begin(
            HostileRegistry(THERE, kind, lure, trio.mirror.url),
            HostileRegistry(NOTHING, kind, "none", is_mirror=True),
        )
    trio.run(ALL)
    seen, at_home = trio.seen(), trio.at_home()

    tell(f"{who} to the other, {lure}, {kind}", seen, at_home)
    assert seen == NONE
    assert sum(at_home) > 0


@pytest.mark.parametrize("elsewhere", ["a third server", "the original"])
@pytest.mark.parametrize("lure", LURES)
def test_a_rewrite_gets_its_own_login_alone(lure: Lure, elsewhere: str, trio: Trio) -> None:
    """What stands in a registry's place is shown nothing of that registry's, and shows nothing of its own to others."""
    place = trio.original if elsewhere == "the original" else trio.foreign
    trio.foreign.respond = serves
    trio.begin(
        HostileRegistry(THERE, "basic", "none"), HostileRegistry(THERE, "basic", lure, place.url, is_mirror=True)
    )
    trio.run(READS.values(), is_rewrite=True)
    seen, (at_original, at_mirror) = trio.seen(), trio.at_home()

    tell(f"rewrite, {lure}", seen, (at_original, at_mirror))
    assert seen == NONE
    assert at_original == 0
    assert (at_mirror > 0) == (lure != "token realm")
    assert (place.connections > 0) == (lure == "redirect")  # the others are for those who write or list


def test_a_login_that_is_given_to_every_host_is_counted(trio: Trio) -> None:
    """Were logins not looked up by host, the figures would say so: the one of the original is seen at the mirror."""
    trio.credentials = Credentials(lambda *_: LOGIN)
    trio.begin(HostileRegistry(THERE, "basic", "none"), HostileRegistry(THERE, "basic", "none", is_mirror=True))
    trio.run(READS.values())

    assert trio.seen()["of the original at the mirror"] > 0


@pytest.mark.parametrize("who", ["mirror", "original"])
def test_a_realm_that_is_trusted_is_counted(who: str, trio: Trio) -> None:
    """Were a foreign realm taken for the registry's own, as one that is named is, the figures would say so."""
    trio.settings = replace(trio.settings, trusted_realms=frozenset({trio.foreign.host}))
    trio.foreign.respond = serves
    hostile = HostileRegistry(THERE, "bearer", "token realm", trio.foreign.url, is_mirror=who == "mirror")
    if who == "mirror":
        trio.begin(HostileRegistry(THERE, "bearer", "none"), hostile)
    else:
        trio.begin(hostile, HostileRegistry(NOTHING, "bearer", "none", is_mirror=True))
    trio.run(READS.values())

    assert trio.seen()["of both at the foreign server"] > 0


# Certificates


def certificate_of(authority: Authority, name: str) -> ClientCertificate:
    """A client certificate that bears `name`."""
    issued = authority.issue(name)
    return ClientCertificate.read(issued.cert, issued.key)


def lay_out(folder: Path, host: str, authority: Authority, name: str) -> None:
    """A client certificate that bears `name`, where Docker keeps those for `host`."""
    issued, own = authority.issue(name), folder / host
    own.mkdir(parents=True)
    (own / "client.cert").write_bytes(issued.cert.read_bytes())
    (own / "client.key").write_bytes(issued.key.read_bytes())


TLS_LURES: tuple[Lure, ...] = ("token realm", "late realm", *FOLLOWED, "next page")


@pytest.mark.parametrize(
    ("address", "way"),
    [("127.0.0.1", "settings"), ("127.0.0.2", "settings"), ("127.0.0.1", "folder")],
    ids=["another port", "another host", "another port, by a folder"],
)
@pytest.mark.parametrize("lure", TLS_LURES)
def test_no_other_server_is_shown_our_certificate(  # noqa: PLR0917 - fixtures
    lure: Lure, address: str, way: str, authority: Authority, full_store: LocalStore, tmp_path: Path
) -> None:
    """Whatever we do, a server that we are sent to is not shown the certificate, though it asks for one.

    Not even a token server that gets the login: it is trusted by name, or is at another port of the registry's host.
    """
    with asking(authority, address) as other, asking(authority, "127.0.0.1") as home:
        settings = TransportSettings(
            idle_timeout=10, attempts=3, largest_request=MIB, trusted_realms=frozenset({other.host})
        )
        if way == "settings":
            settings = replace(settings, client_certificate=certificate_of(authority, "courier"))
        else:
            lay_out(tmp_path / "certs.d", home.host, authority, "courier")
            settings = replace(settings, certs_dir=tmp_path / "certs.d")
        home.respond = HostileRegistry(THERE, "basic", lure, other.url).respond
        visit(home.host, settings, full_store, tmp_path)

    assert (set(home.certificates), all(home.shown)) == ({"courier"}, True)
    assert (other.certificates, any(other.shown)) == ([], False)
    assert (len(other.shown) > 0) == (lure != "next page")


@pytest.mark.parametrize("lure", ["late realm", *FOLLOWED])
def test_a_certificate_that_is_shown_elsewhere_is_counted(
    lure: Lure, authority: Authority, full_store: LocalStore, tmp_path: Path
) -> None:
    """Were the foreign server shown a certificate, as it is where it has one of its own, the list would hold it."""
    with asking(authority, "127.0.0.2") as other, asking(authority, "127.0.0.1") as home:
        for host, name in ((home.host, "courier"), (other.host, "keeper")):
            lay_out(tmp_path / "certs.d", host, authority, name)
        settings = TransportSettings(
            idle_timeout=10,
            attempts=3,
            largest_request=MIB,
            trusted_realms=frozenset({other.host}),
            certs_dir=tmp_path / "certs.d",
        )
        home.respond = HostileRegistry(THERE, "basic", lure, other.url).respond
        visit(home.host, settings, full_store, tmp_path)

    assert (set(home.certificates), set(other.certificates)) == ({"courier"}, {"keeper"})


def visit(host: str, settings: TransportSettings, full: LocalStore, folder: Path) -> None:
    """Do everything that a client does, each with a fresh client."""
    desk = folder / "desk"
    desk.mkdir()
    credentials = Credentials(lambda asked, _: LOGIN if asked == host else None)
    for name in OPERATIONS:
        registry = Registry(host, settings, credentials, clock=Hands().clock)
        perform(Desk(registry, full, desk), name)
        registry.close()


@pytest.mark.parametrize("elsewhere", ["a third server", "the other place"])
@pytest.mark.parametrize("lure", TLS_LURES)
@pytest.mark.parametrize("who", ["mirror", "original"])
def test_each_place_is_shown_its_own_certificate_alone(
    who: str, lure: Lure, elsewhere: str, trio_with_tls: Trio, authority: Authority
) -> None:
    """Original and mirror have certificates of their own: neither is shown the other's, and a third server none."""
    trio = trio_with_tls
    trio.foreign.respond = serves
    if who == "mirror":
        url = trio.original.url if elsewhere == "the other place" else trio.foreign.url
        trio.begin(HostileRegistry(THERE, "basic", "none"), HostileRegistry(THERE, "basic", lure, url, is_mirror=True))
    else:
        url = trio.mirror.url if elsewhere == "the other place" else trio.foreign.url
        trio.begin(
            HostileRegistry(THERE, "basic", lure, url), HostileRegistry(NOTHING, "basic", "none", is_mirror=True)
        )
    hosts = {
        listener.host: replace(trio.settings, client_certificate=certificate_of(authority, name))
        for listener, name in ((trio.original, "for the original"), (trio.mirror, "for the mirror"))
    }
    trio.run(ALL, hosts=hosts)

    assert set(trio.original.certificates) == {"for the original"}
    assert set(trio.mirror.certificates) == {"for the mirror"}
    assert trio.foreign.certificates == []
    assert (len(trio.foreign.shown) > 0) == (elsewhere == "a third server" and lure in FOLLOWED)
    assert trio.seen() == NONE


def test_a_proxy_is_not_shown_the_certificate_of_a_registry(authority: Authority) -> None:
    """A proxy that is reached over TLS, and asks for a certificate, is not shown the one for the registry behind it."""
    home = "registry.corp.example"
    with asking(authority, "127.0.0.1", lambda _: Answer(502)) as proxy:
        settings = TransportSettings(proxy=proxy.url, client_certificate=certificate_of(authority, "courier"))
        with open_client(settings, home) as client, pytest.raises(httpx.TransportError):
            client.get(f"https://{home}/v2/")

    assert [each.method for each in proxy.requests] == ["CONNECT"]
    assert proxy.shown == [False]
