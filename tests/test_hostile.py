"""Strangers' bytes: what servers, bundles, profiles and credentials files hold may not mislead, exhaust or hang us."""

import fcntl
import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

import httpx
import pytest

from edgelift.bundle.definition import BundleDefinition
from edgelift.bundle.lock import BundleLock, LockedImage
from edgelift.bundle.writer import assemble_bundle
from edgelift.cli.console import say, say_json, set_verbosity, tell
from edgelift.cli.prefect_api import start_server
from edgelift.delivery.target import Target
from edgelift.delivery.validate import validate_lock
from edgelift.demo.content import make_image
from edgelift.errors import ConfigurationError, EdgeliftError, IncompleteError, RefusedError, RegistryError
from edgelift.oci.credentials import Credentials
from edgelift.oci.descriptor import Descriptor
from edgelift.oci.digest import Digest
from edgelift.oci.manifest import OCI_INDEX, OCI_MANIFEST
from edgelift.oci.reference import ImageReference
from edgelift.oci.registry import Registry
from edgelift.oci.wire import read_limited
from edgelift.pin import MAX_BLOBS, pin_image
from edgelift.store.local import LocalStore
from edgelift.transport import TransportSettings
from tests.bundle.content import mixed_content
from tests.images import rename_image
from tests.oci.clocks import Hands
from tests.simulators.http_faults import Answer, HttpFaults, Request
from tests.simulators.registry import RegistrySimulator

APP = make_image("app", architectures=("amd64", "arm64"))
PATIENCE = 20  # seconds; before, these took minutes or had no end


def registry_at(host: str, credentials: Credentials | None = None) -> Registry:
    """A client for plain HTTP that does not wait between attempts."""
    settings = TransportSettings(plain_http=frozenset({host}))
    return Registry(host, settings, credentials or Credentials(), clock=Hands().clock)


# Answers of registries


def test_headers_need_not_be_ascii() -> None:
    """A manifest behind a proxy with an umlaut in its name is read like any other."""
    image = make_image("a/b")
    headers = (("Content-Type", image.root.media_type), ("Via", "1.1 z\xfcrich"))
    with HttpFaults(lambda _: Answer(200, headers, image.contents[image.root.digest])) as server:
        manifest = registry_at(server.host).read_manifest("a/b", "1")

    assert image.root.digest == manifest.descriptor.digest


def _redirect(where: str) -> Answer:
    return Answer(307, (("Location", where),))


def _realm(where: str) -> Answer:
    return Answer(401, (("WWW-Authenticate", f'Bearer realm="{where}"'),))


def _upload(where: str) -> Answer:
    return Answer(202, (("Location", where),))


def _next_page(where: str) -> Answer:
    return Answer(200, (("Link", f'<{where}>; rel="next"'),), b'{"tags": ["a"]}')


SENT_TO: dict[str, tuple[Callable[[str], Answer], Callable[[Registry], object]]] = {
    "a redirect": (_redirect, lambda registry: registry.read_manifest("a/b", "1")),
    "a token realm": (_realm, lambda registry: registry.read_manifest("a/b", "1")),
    "an upload location": (_upload, lambda registry: registry.check_push("a/b")),
    "a next page": (_next_page, lambda registry: registry.list_tags("a/b")),
}
NO_ADDRESSES = ("https://xn--/x", "http://xn--zzzzzzzzzz99999/", "ftp:x", "javascript:alert(1)", "http://[::1")


@pytest.mark.parametrize("address", NO_ADDRESSES)
@pytest.mark.parametrize(("answer", "ask"), SENT_TO.values(), ids=SENT_TO)
def test_what_is_no_address_is_not_followed(
    answer: Callable[[str], Answer], ask: Callable[[Registry], object], address: str
) -> None:
    """Wherever a registry may send us, an address that nobody can read is an error of ours, and the last request."""
    with HttpFaults(lambda _: answer(address)) as server:
        with pytest.raises(RegistryError):
            ask(registry_at(server.host))

        assert len(server.requests) == 1


LONG_HEADERS: dict[str, tuple[Answer, Callable[[Registry], object]]] = {
    "commas in a challenge": (
        Answer(401, (("WWW-Authenticate", "," * 60_000),)),
        lambda registry: registry.read_manifest("a/b", "1"),
    ),
    "brackets in a link": (
        Answer(200, (("Link", "<" * 60_000),), b'{"tags": ["a"]}'),
        lambda registry: registry.list_tags("a/b"),
    ),
}


@pytest.mark.parametrize(("answer", "ask"), LONG_HEADERS.values(), ids=LONG_HEADERS)
def test_reading_a_header_takes_no_time_worth_mentioning(answer: Answer, ask: Callable[[Registry], object]) -> None:
    """The time grows with the length of a header, not with its square."""
    began = time.monotonic()
    with HttpFaults(lambda _: answer) as server, suppress(RegistryError):
        ask(registry_at(server.host))

    assert time.monotonic() - began < 5


def test_a_length_of_thousands_of_digits_is_no_length() -> None:
    """Python itself refuses to read such a number; the registry is named all the same."""
    head = b"HTTP/1.1 200 OK\r\nContent-Length: " + b"9" * 5000 + b"\r\n\r\n"
    with (
        HttpFaults(lambda _: Answer(raw=head, ending="close")) as server,
        pytest.raises(RegistryError, match="does not say how long"),
    ):
        registry_at(server.host).blob_size("a/b", Digest.of(b""))


class _Trickle(httpx.SyncByteStream):
    def __iter__(self) -> Iterator[bytes]:
        while True:
            time.sleep(0.01)
            yield b" "


def test_an_answer_that_trickles_comes_to_an_end() -> None:
    """A byte now and then is no silence, and still not waited for without end."""
    response = httpx.Response(200, stream=_Trickle(), request=httpx.Request("GET", "http://registry.example/"))

    with pytest.raises(httpx.ReadTimeout):
        read_limited(response, 10**9, seconds=0.1)


def test_a_password_is_hidden_however_it_comes_back() -> None:
    """A server that repeats what it was sent may write it in another way."""
    body = json.dumps({"errors": [{"code": "DENIED", "message": "no: p%C3%A4ss%2Fw+rd and p%C3%A4ss%2Fw%20rd"}]})

    def respond(request: Request) -> Answer:
        if "authorization" not in request.headers:
            return Answer(401, (("WWW-Authenticate", "Basic"),))
        return Answer(403, body=body.encode())

    with HttpFaults(respond) as server:
        registry = registry_at(server.host, Credentials.of([(server.host, "user", "p\xe4ss/w rd")]))
        with pytest.raises(RegistryError) as caught:
            registry.read_manifest("a/b", "1")

    assert "no: … and …" in caught.value.message


def test_a_login_in_a_host_is_not_shown() -> None:
    """Who writes a password where a host belongs does not find it in a log."""
    with pytest.raises(ConfigurationError) as caught:
        registry_at("user:hunter2@registry.example")

    assert "hunter2" not in str(caught.value)


def test_an_image_of_endless_blobs_is_refused(tmp_path: Path) -> None:
    """Many large manifests below one index would fill the memory with descriptors."""
    half = MAX_BLOBS // 2 + 1
    contents: dict[str, tuple[str, bytes]] = {}

    def serve(kind: str, document: dict[str, object]) -> dict[str, object]:
        raw = json.dumps({"schemaVersion": 2, **document}, separators=(",", ":")).encode()
        contents[Digest.of(raw)] = (kind, raw)
        return {"mediaType": kind, "digest": Digest.of(raw), "size": len(raw)}

    def layers(first: int) -> list[dict[str, object]]:
        return [{"mediaType": "x", "digest": f"sha256:{each:064x}", "size": 1} for each in range(first, first + half)]

    children = [serve(OCI_MANIFEST, {"config": layers(0)[0], "layers": layers(first)}) for first in (0, half)]
    root = serve(OCI_INDEX, {"manifests": children})

    def respond(request: Request) -> Answer:
        kind, raw = contents[request.target.rpartition("/")[2]]
        return Answer(200, (("Content-Type", kind),), raw)

    with HttpFaults(respond) as server:
        reference = ImageReference.parse(f"{server.host}/a/b@{root['digest']}")
        with pytest.raises(RefusedError, match="more than 100,000 blobs"):
            pin_image(reference, None, registry_at(server.host), LocalStore(tmp_path))


# Documents

MANY = 2_700_000  # as many as a manifest of 8 MiB can hold
MERGES = "a0: &a0 {k: v}\\n" + "".join(
    f"a{n}: &a{n} {{MERGE: [{','.join([f'*a{n - 1}'] * 10)}]}}\\n" for n in range(1, 9)
)
WIDE = f"a: &a {{{', '.join(f'k{n}: v' for n in range(20_000))}}}\\nb: {{<<: [{', '.join(['*a'] * 20_000)}]}}"
# Each is run in a process of its own, since without a limit it would take this one down.
BOMBS = {
    "a manifest of empty entries": (
        "from edgelift.oci.manifest import parse_manifest, OCI_INDEX\n"
        f"parse_manifest(b'{{\"manifests\":[' + b','.join([b'{{}}'] * {MANY}) + b']}}', OCI_INDEX)",
        "IntegrityError: a manifest is malformed at manifests.0",
    ),
    "a lock of empty entries": (
        "from edgelift.bundle.lock import BundleLock\n"
        f"BundleLock.from_json(b'{{\"definition\":{{}},\"images\":[' + b','.join([b'{{}}'] * {MANY}) + b']}}')",
        "ConfigurationError: the lock is not a bundle lock: images.0",
    ),
    "a profile of empty packs": (
        "from edgelift.palette.export import parse_exported_profile\n"
        f"packs = ','.join(['{{}}'] * {MANY})\n"
        "parse_exported_profile('{\"spec\":{\"template\":{\"packs\":[' + packs + ']}}}', 'it')",
        "ProfileError: it is not a cluster profile",
    ),
    "a site file of merge keys": (
        f"from edgelift.site import EdgeSite\nEdgeSite.from_yaml('{MERGES}'.replace('MERGE', '<<'), 'it')",
        "ConfigurationError: it is not YAML at line 2, column 10: merge keys (<<) are not taken",
    ),
    "values of tagged merge keys": (
        "from edgelift.palette.values import load_yaml\n"
        f"print(len(load_yaml('{MERGES}'.replace('MERGE', '!!merge <<'))), 'mappings')",
        "9 mappings",
    ),
    "values that merge the same often": (
        f"from edgelift.palette.values import load_yaml\nload_yaml('{WIDE}')",
        "ProfileError: line 2, column 4: its merge keys (<<) bring more than 1,000,000 entries",
    ),
    "a macro that leads everywhere": (
        "from edgelift.palette.models import ClusterProfile, Pack\n"
        "from edgelift.palette.resolve import resolve_profiles\n"
        "aliases = ''.join(f'l{n}: &l{n} {{a: *l{n - 1}, a.a: *l{n - 1}}}\\n' for n in range(1, 2000))\n"
        "macro = '{{ .spectro.pack.p.l1999.' + '.'.join(['a'] * 2020) + ' }}'\n"
        "values = f'l0: &l0 {{z: q}}\\n{aliases}pack: {{content: {{images: [{{image: \"{macro}\"}}]}}}}'\n"
        "resolve_profiles([ClusterProfile(name='x', packs=(Pack(name='p', values=values),))]).raise_for_errors()",
        "ProfileError: the profiles cannot be resolved because of an error",
    ),
}


@pytest.mark.parametrize(("script", "outcome"), BOMBS.values(), ids=BOMBS)
def test_a_small_document_takes_little_time_and_memory(script: str, outcome: str) -> None:
    """What is a few megabytes to send is told to be wrong, or read, within one gibibyte."""
    limited = f"import resource\nresource.setrlimit(resource.RLIMIT_AS, (2**30, 2**30))\n{script}"
    ended = subprocess.run(
        [sys.executable, "-"], input=limited, capture_output=True, text=True, timeout=PATIENCE, check=False
    )

    assert outcome in (ended.stdout + ended.stderr)


def test_a_lock_that_does_not_end_with_its_own_manifest_is_refused() -> None:
    """Else another manifest than the one that is compared would get the tag."""
    document = json.loads(lock_of(image_of()).to_json())
    document["images"][0]["manifests"].reverse()

    with pytest.raises(ConfigurationError, match="the last of its manifests"):
        BundleLock.from_json(json.dumps(document))


def test_a_lock_names_references_and_nothing_else() -> None:
    """A lock inside a bundle is a stranger's text, and its references are shown, logged and made into names."""
    document = json.loads(lock_of(image_of()).to_json())
    document["images"][0]["reference"] = "\x1b[2Jquay.io/app:1.0"

    with pytest.raises(ConfigurationError, match=r"images\.0\.reference"):
        BundleLock.from_json(json.dumps(document))


ODD_LOGINS: dict[str, object] = {
    "a password that is null": {"username": "u", "password": None},
    "a password that is a number": {"username": "u", "password": 5},
    "a user name that is a list": {"username": ["u"], "password": "secret"},
    "an identity token that is a number": {"username": "u", "identitytoken": 5},
    "half a character": {"username": "u", "password": "\ud800secret"},
}


@pytest.mark.parametrize("login", ODD_LOGINS.values(), ids=ODD_LOGINS)
def test_a_login_that_is_no_text_is_refused(login: object, tmp_path: Path) -> None:
    """A configuration of Docker's with odd values is named, and nothing secret of it shown."""
    path = tmp_path / "config.json"
    path.write_text(json.dumps({"auths": {"registry.example": login}}))

    with pytest.raises(ConfigurationError, match=r"the login for registry\.example cannot be read") as caught:
        Credentials.from_docker_config(path)

    assert "secret" not in str(caught.value)


def test_a_palette_login_that_cannot_be_sent_is_refused(tmp_path: Path) -> None:
    """The same for the credentials file of Palette's edge CLI."""
    path = tmp_path / "credentials.json"
    login = {"endpoint": "registry.example", "username": "u", "password": "\ud800"}
    path.write_text(json.dumps({"image": [login]}))

    with pytest.raises(ConfigurationError, match="an entry that is no login"):
        Credentials.from_palette_edge_file(path)


# Verdicts


def image_of(**changes: tuple[Descriptor, ...]) -> LockedImage:
    """The sample image, pinned; with `changes` to what the lock says of it."""
    parts = {"manifests": APP.manifests, "blobs": APP.blobs} | changes
    return LockedImage(reference="quay.io/app:1.0", descriptor=APP.root, **parts)


def lock_of(*images: LockedImage) -> BundleLock:
    """A lock of these images."""
    return BundleLock(definition=BundleDefinition(name="site"), images=images)


INCOMPLETE = {
    "a manifest": image_of(manifests=APP.manifests[1:]),
    "a blob": image_of(blobs=APP.blobs[1:]),
    "everything but the index": image_of(manifests=(APP.root,), blobs=()),
}


@pytest.mark.parametrize("deep", [False, True], ids=["asking", "reading back"])
@pytest.mark.parametrize("image", INCOMPLETE.values(), ids=INCOMPLETE)
def test_what_a_lock_leaves_out_is_not_proved(image: LockedImage, deep: bool, tmp_path: Path) -> None:
    """A lock that was edited, or comes with a stranger's bundle, does not decide what an image needs."""
    with RegistrySimulator(tmp_path) as sim:
        sim.put_image(rename_image(APP, "quay.io/app", "1.0"))
        receipt = validate_lock(lock_of(image), Target.parse(sim.host), registry_at(sim.host), deep=deep)

    assert [proof.verdict for proof in receipt.proofs] == ["not-checkable"]
    assert "the lock leaves out sha256:" in receipt.proofs[0].reason
    assert not receipt.is_whole


def test_nothing_is_not_everything(tmp_path: Path) -> None:
    """A lock without images proves nothing, whatever the registry holds."""
    with RegistrySimulator(tmp_path) as sim:
        receipt = validate_lock(lock_of(), Target.parse(sim.host), registry_at(sim.host))

    assert receipt.document()["whole"] is False
    with pytest.raises(IncompleteError, match="the lock names no image"):
        receipt.raise_unless_whole()


# What stays behind, and what others see


def test_what_killed_runs_left_of_a_bundle_is_removed(tmp_path: Path) -> None:
    """It is as large as a bundle and hidden; what another run is writing, or is no remainder, stays."""
    path, old = tmp_path / "site[1].tar.zst", time.time() - 3600
    left, locked, young, other = (
        tmp_path / name
        for name in (
            ".site[1].tar.zst.0123abcd",
            ".site[1].tar.zst.0123abce",
            ".site[1].tar.zst.0123abcf",
            ".site[1].tar.zst.notours1",
        )
    )
    for each in (left, locked, young, other):
        each.write_bytes(b"x")
        os.utime(each, None if each == young else (old, old))
    with locked.open("rb") as writer:
        fcntl.flock(writer, fcntl.LOCK_EX)
        assemble_bundle(*mixed_content(), path)

    assert {each.name for each in tmp_path.iterdir()} == {path.name, locked.name, young.name, other.name}


def test_another_program_with_the_number_of_the_server_is_left_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """After a restart of the machine the number in our note may be anybody's."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as bystander:
        note = {"pid": bystander.pid, "api": "http://127.0.0.1:1/api", "ui": "http://127.0.0.1:1"}
        (tmp_path / "edgelift").mkdir()
        (tmp_path / "edgelift" / "prefect-server.json").write_text(json.dumps(note))
        said = start_server("127.0.0.1", 1, stop=True)
        bystander.communicate(b"\n")

    assert (said, bystander.returncode) == ("the Prefect server had stopped already", 0)


def test_nothing_that_is_shown_steers_the_terminal(capfd: pytest.CaptureFixture[str]) -> None:
    """Names in bundles and profiles are strangers' texts; line ends, tabs and letters of any language stay."""
    hostile = "edge\x1b]0;owned\x07\r\x9b2J\tü\n"
    set_verbosity(verbose=False, quiet=False)
    say(hostile)
    tell(hostile)
    say_json({"name": hostile})
    shown = capfd.readouterr()

    assert shown.err == "edge\\u001b]0;owned\\u0007\\u000d\\u009b2J\tü\n\n"
    assert shown.out.startswith(shown.err)
    assert json.loads(shown.out.removeprefix(shown.err)) == {"name": hostile}


def test_errors_stay_ours() -> None:
    """Whatever a registry sends in place of HTTP ends as an error of ours."""
    answers = (
        b"garbage",
        b"HTTP/1.1 999 X\r\nContent-Length: 0\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: 5, 6\r\n\r\nhello",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n-5\r\nhello",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n" + b"f" * 100_000,
        b"HTTP/1.1 200 OK\r\n" + b"X: y\r\n" * 500 + b"\r\n",
    )
    for raw in answers:
        with (
            HttpFaults(lambda _, raw=raw: Answer(raw=raw, ending="close")) as server,
            pytest.raises(EdgeliftError),
        ):
            registry_at(server.host).read_manifest("a/b", "1")
