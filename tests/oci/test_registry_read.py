"""Reading from a registry: manifests, descriptions and blobs, from registries that err, lie or break off."""

import json
import logging
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from edgelift.demo.content import SampleLayer, make_image
from edgelift.errors import (
    DeniedError,
    IntegrityError,
    MalformedReferenceError,
    NotFoundError,
    RefusedError,
    RegistryError,
    UnreachableError,
)
from edgelift.oci.credentials import Credentials
from edgelift.oci.descriptor import Descriptor
from edgelift.oci.digest import Digest
from edgelift.oci.download import BlobBody
from edgelift.oci.manifest import DOCKER_MANIFEST, OCI_MANIFEST
from edgelift.oci.registry import Registry
from edgelift.transport import TransportSettings
from tests.oci.clocks import Hands
from tests.simulators.http_faults import Answer, HttpFaults, Request
from tests.simulators.registry import RegistrySimulator

APP = make_image("team/app", layers=(SampleLayer("tar", 700_000),))
BLOB = max(APP.blobs, key=lambda blob: blob.size)
CONTENT = APP.contents[BLOB.digest]
RAW = APP.contents[APP.root.digest]
MIDDLE = BLOB.size // 2


@pytest.fixture
def sim(tmp_path: Path) -> Iterator[RegistrySimulator]:
    """A registry that holds one image."""
    with RegistrySimulator(tmp_path) as simulator:
        simulator.put_image(APP)
        yield simulator


def open_registry(host: str, settings: TransportSettings | None = None) -> Registry:
    """A client that does not wait between attempts."""
    return Registry(host, settings or TransportSettings(), Credentials(), clock=Hands().clock)


def read(body: BlobBody) -> tuple[bytes, type[Exception] | None]:
    """What a body gives, and how it ends."""
    received = b""
    try:
        for chunk in body.chunks:
            received += chunk
    except (RegistryError, IntegrityError) as error:
        return received, type(error)
    return received, None


# Manifests


@pytest.mark.parametrize("selector", ["1.0", APP.root.digest])
def test_a_manifest_is_read_as_it_is(selector: str, sim: RegistrySimulator) -> None:
    """By tag or digest, the bytes are those that were stored."""
    manifest = open_registry(sim.host).read_manifest("team/app", selector)

    assert (manifest.raw, manifest.descriptor.digest) == (RAW, APP.root.digest)


def test_all_kinds_of_manifests_are_asked_for_in_one_line(sim: RegistrySimulator) -> None:
    """Without naming a kind it knows, many registries say that there is nothing."""
    open_registry(sim.host).read_manifest("team/app", "1.0")
    (asked,) = [each.headers["accept"] for each in sim.requests if each.path.endswith("1.0")]

    assert (OCI_MANIFEST in asked, DOCKER_MANIFEST in asked) == (True, True)


WRONG_MANIFESTS = {
    "other bytes than the digest says": (
        Answer(headers=(("Content-Type", OCI_MANIFEST),), body=RAW + b" "),
        "not what its digest says",
    ),
    "a web page": (Answer(headers=(("Content-Type", "text/html"),), body=b"<html>"), "not what its digest says"),
}


@pytest.mark.parametrize(("answer", "told"), WRONG_MANIFESTS.values(), ids=WRONG_MANIFESTS)
def test_a_manifest_by_digest_is_checked(answer: Answer, told: str) -> None:
    """Bytes that are not what was asked for are not taken, whatever the headers claim."""
    claim = (*answer.headers, ("Docker-Content-Digest", str(APP.root.digest)))
    lie = Answer(headers=claim, body=answer.body)
    with HttpFaults(lambda _: lie) as server, pytest.raises(IntegrityError, match=told) as caught:
        open_registry(server.host).read_manifest("team/app", APP.root.digest)

    assert f"{server.host}: cannot read team/app@{APP.root.digest}" in str(caught.value)


def test_a_tag_is_what_its_bytes_are() -> None:
    """By tag, the digest is computed: the header is not believed."""
    headers = (("Content-Type", OCI_MANIFEST), ("Docker-Content-Digest", f"sha256:{'0' * 64}"))
    with HttpFaults(lambda _: Answer(headers=headers, body=RAW)) as server:
        manifest = open_registry(server.host).read_manifest("team/app", "1.0")

    assert manifest.descriptor.digest == APP.root.digest


NOT_MANIFESTS: dict[str, tuple[Answer, type[Exception]]] = {
    "a web page": (Answer(headers=(("Content-Type", "text/html"),), body=b"<html>proxy login</html>"), IntegrityError),
    "schema 1": (Answer(body=b'{"schemaVersion":1}'), RefusedError),
    "nothing": (Answer(body=b""), IntegrityError),
    "too much": (Answer(headers=(("Content-Type", OCI_MANIFEST),), body=b" " * (8 * 2**20 + 1)), RegistryError),
    "much too much": (Answer(body=b" " * 2**20, length=2**40, ending="close"), RegistryError),
}


@pytest.mark.parametrize(("answer", "error"), NOT_MANIFESTS.values(), ids=NOT_MANIFESTS)
def test_what_is_no_manifest_is_refused(answer: Answer, error: type[Exception]) -> None:
    """The error names the registry and what was asked of it."""
    with HttpFaults(lambda _: answer) as server, pytest.raises(error, match=r"cannot read team/app:1\.0") as caught:
        open_registry(server.host).read_manifest("team/app", "1.0")

    assert server.host in str(caught.value)


def test_an_endless_manifest_is_not_read_to_its_end() -> None:
    """A body that goes on for ever costs the limit, no more."""
    chunk = b"10000\r\n" + b" " * 65536 + b"\r\n"
    raw = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n" + chunk * 400
    with (
        HttpFaults(lambda _: Answer(raw=raw, ending="stall")) as server,
        pytest.raises(RegistryError, match="larger than 8,388,608 bytes"),
    ):
        open_registry(server.host).read_manifest("team/app", "1.0")


def test_a_manifest_that_is_cut_is_read_again(sim: RegistrySimulator) -> None:
    """A manifest is small: it is read anew, not continued."""
    sim.cut("GET", "/manifests/", after_bytes=10)
    manifest = open_registry(sim.host).read_manifest("team/app", "1.0")

    assert (manifest.raw, sim.count("GET", "/manifests/")) == (RAW, 2)


def test_what_is_not_there_is_told_with_the_registrys_code(sim: RegistrySimulator) -> None:
    """A missing tag is told with registry, repository, tag, status and code."""
    with pytest.raises(NotFoundError) as caught:
        open_registry(sim.host).read_manifest("team/app", "2.0")

    error = caught.value
    assert (error.status, error.code) == (404, "MANIFEST_UNKNOWN")
    assert error.message.startswith(f"{sim.host}: cannot read team/app:2.0: 404 MANIFEST_UNKNOWN")


HOSTILE_NAMES = {
    "a path": ("../../etc", "1.0"),
    "a query": ("app?x=", "1.0"),
    "a tag with a path": ("app", "../../../secret"),
    "a digest with a path": ("app", "sha256:../../x"),
    "a short digest": ("app", "sha256:" + "0" * 63),
}


@pytest.mark.parametrize(("repository", "selector"), HOSTILE_NAMES.values(), ids=HOSTILE_NAMES)
def test_names_are_checked_before_they_get_into_a_url(repository: str, selector: str) -> None:
    """What is no name leads to no request."""
    with HttpFaults() as server, pytest.raises(MalformedReferenceError):
        open_registry(server.host).read_manifest(repository, selector)

    assert server.requests == []


# Describing


def test_describing_reads_no_manifest(sim: RegistrySimulator) -> None:
    """A good answer to HEAD is enough: GET counts against rate limits."""
    registry = open_registry(sim.host)

    found = [registry.describe("team/app", selector) for selector in ("1.0", APP.root.digest, "2.0")]

    assert (found, sim.count("GET")) == ([APP.root, APP.root, None], 0)


MISSING_HEADERS = {
    "no digest": {"docker-content-digest": ""},
    "no such digest": {"docker-content-digest": "sha256:zz"},
    "another digest": {"docker-content-digest": f"sha256:{'0' * 64}"},
    "no media type": {"content-type": "application/json"},
}


@pytest.mark.parametrize("headers", MISSING_HEADERS.values(), ids=MISSING_HEADERS)
def test_a_description_that_says_too_little_is_completed(headers: dict[str, str], sim: RegistrySimulator) -> None:
    """Where HEAD does not say, or cannot be right, the manifest itself is read."""
    sim.set_headers(headers, "HEAD")

    assert open_registry(sim.host).describe("team/app", APP.root.digest) == APP.root


@pytest.mark.parametrize(("status", "found"), {404: None, 405: APP.root}.items())
def test_registries_without_a_straight_answer_to_head(
    status: int, found: Descriptor | None, sim: RegistrySimulator
) -> None:
    """405 means that HEAD is not known: the manifest is read then."""
    sim.fail("HEAD", "/manifests/", status=status)

    assert open_registry(sim.host).describe("team/app", "1.0") == found


def test_a_refusal_of_a_tag_that_is_not_listed_is_an_absence(sim: RegistrySimulator) -> None:
    """403 is how some registries say that there is no such tag."""
    sim.fail("HEAD", "/manifests/", status=403)

    assert open_registry(sim.host).describe("team/app", "9.9") is None


def test_a_refusal_of_a_tag_that_is_listed_is_no_absence(sim: RegistrySimulator) -> None:
    """A tag that stands and may not be read is not taken for free: a push would move it."""
    sim.fail("HEAD", "/manifests/", status=403)

    with pytest.raises(DeniedError):
        open_registry(sim.host).describe("team/app", "1.0")


@pytest.mark.parametrize(("status", "error"), {401: DeniedError, 400: RefusedError, 500: RegistryError}.items())
def test_a_description_that_fails_is_no_absence(status: int, error: type[Exception], sim: RegistrySimulator) -> None:
    """What could not be found out is not reported as missing."""
    sim.fail("HEAD", "/manifests/", status=status, times=None)

    with pytest.raises(error):
        open_registry(sim.host).describe("team/app", "1.0")


def test_sizes_of_blobs(sim: RegistrySimulator) -> None:
    """A blob has its size, an absent one has none, and one that may not be looked at raises."""
    registry = open_registry(sim.host)
    sizes = [registry.blob_size("team/app", digest) for digest in (BLOB.digest, Digest.of(b"absent"))]
    sim.deny("/blobs/")

    assert sizes == [BLOB.size, None]
    with pytest.raises(DeniedError):
        registry.blob_size("team/app", BLOB.digest)


def test_a_blob_without_a_size_is_no_absence() -> None:
    """A registry that does not say how long a blob is has not said that there is none."""
    with HttpFaults(lambda _: Answer(length=None)) as server, pytest.raises(RegistryError, match="how long"):
        open_registry(server.host).blob_size("team/app", BLOB.digest)


# Blobs


def test_a_blob_is_read_from_its_start_and_from_its_middle(sim: RegistrySimulator) -> None:
    """A continued blob is the rest, and only that is sent."""
    registry = open_registry(sim.host)
    whole, rest = registry.read_blob("team/app", BLOB), registry.read_blob("team/app", BLOB, MIDDLE)

    assert (whole.offset, read(whole)) == (0, (CONTENT, None))
    assert (rest.offset, read(rest)) == (MIDDLE, (CONTENT[MIDDLE:], None))
    assert sim.requests[-1].sent == BLOB.size - MIDDLE


def test_a_blob_that_is_here_already_is_not_asked_for(sim: RegistrySimulator) -> None:
    """Nothing is left to read of a blob from its end: an empty range cannot be asked for."""
    body = open_registry(sim.host).read_blob("team/app", BLOB, BLOB.size)

    assert (body.offset, read(body), sim.count()) == (BLOB.size, (b"", None), 0)


def test_a_registry_that_ignores_ranges_begins_anew(sim: RegistrySimulator) -> None:
    """A 200 to a range request is the whole blob, and says so."""
    sim.ignore_ranges()
    body = open_registry(sim.host).read_blob("team/app", BLOB, MIDDLE)

    assert (body.offset, read(body)) == (0, (CONTENT, None))


def partial(content_range: str | None, body: bytes = CONTENT[MIDDLE:]) -> Callable[[Request], Answer]:
    """A registry whose partial answers have this `Content-Range`."""
    headers = () if content_range is None else (("Content-Range", content_range),)

    def respond(request: Request) -> Answer:
        if request.method == "HEAD":
            return Answer(404)
        return Answer(206, headers, body) if "range" in request.headers else Answer(body=CONTENT)

    return respond


LAST = BLOB.size - 1
RANGES = {
    "right": (partial(f"bytes {MIDDLE}-{LAST}/{BLOB.size}"), MIDDLE),
    "right, of an unknown total": (partial(f"bytes {MIDDLE}-{LAST}/*"), MIDDLE),
    "from elsewhere": (partial(f"bytes {MIDDLE + 1}-{LAST}/{BLOB.size}"), 0),
    "from the start": (partial(f"bytes 0-{LAST}/{BLOB.size}", CONTENT), 0),
    "not to the end": (partial(f"bytes {MIDDLE}-{LAST - 1}/{BLOB.size}", CONTENT[MIDDLE:-1]), 0),
    "of another total": (partial(f"bytes {MIDDLE}-{LAST}/{BLOB.size + 1}"), 0),
    "without a range": (partial(None), 0),
    "several ranges": (partial("bytes 0-1, bytes 4-5"), 0),
    "in another unit": (partial(f"lines {MIDDLE}-{LAST}/{BLOB.size}"), 0),
    "of another length": (partial(f"bytes {MIDDLE}-{LAST}/{BLOB.size}", CONTENT[MIDDLE:] + b"!"), 0),
    "refused": (
        lambda request: (
            Answer(416, length=BLOB.size, body=b"short") if "range" in request.headers else Answer(body=CONTENT)
        ),
        0,
    ),
}


@pytest.mark.parametrize(("respond", "offset"), RANGES.values(), ids=RANGES)
def test_partial_answers_are_taken_only_if_they_are_the_rest(respond: Callable[[Request], Answer], offset: int) -> None:
    """Anything else than exactly the missing bytes leads to a new start: never are wrong bytes appended."""
    with HttpFaults(respond) as server:
        body = open_registry(server.host).read_blob("team/app", BLOB, MIDDLE)

        assert (body.offset, read(body)) == (offset, (CONTENT[offset:], None))


ENDINGS: dict[str, tuple[Answer, bytes, type[Exception]]] = {
    "reset": (Answer(body=CONTENT[:MIDDLE], length=BLOB.size, ending="reset"), CONTENT[:MIDDLE], UnreachableError),
    "ended early": (
        Answer(body=CONTENT[:MIDDLE], length=BLOB.size, ending="close"),
        CONTENT[:MIDDLE],
        UnreachableError,
    ),
    "ended early, length unsaid": (
        Answer(body=CONTENT[:MIDDLE], length=None, ending="close"),
        CONTENT[:MIDDLE],
        UnreachableError,
    ),
    "silent": (Answer(body=CONTENT[:MIDDLE], length=BLOB.size, ending="stall"), CONTENT[:MIDDLE], UnreachableError),
    "too long, length unsaid": (Answer(body=CONTENT + b"!", length=None, ending="close"), CONTENT, IntegrityError),
}


@pytest.mark.parametrize(("answer", "arrived", "error"), ENDINGS.values(), ids=ENDINGS)
def test_a_blob_that_ends_wrongly(answer: Answer, arrived: bytes, error: type[Exception]) -> None:
    """What arrived is given first; a cut may be continued, too many bytes are wrong bytes."""
    with HttpFaults(lambda _: answer) as server:
        settings = TransportSettings(idle_timeout=0.3)
        received, ended = read(open_registry(server.host, settings).read_blob("team/app", BLOB))

    assert ended is error
    assert arrived.startswith(received)
    assert error is IntegrityError or received == arrived


def test_a_blob_of_another_size_is_not_read() -> None:
    """A registry that announces another size has other content; not a byte is given."""
    with (
        HttpFaults(lambda _: Answer(body=CONTENT + b"!")) as server,
        pytest.raises(IntegrityError, match=f"has {BLOB.size + 1} bytes there, not {BLOB.size}"),
    ):
        open_registry(server.host).read_blob("team/app", BLOB)


def test_a_blob_that_is_not_there(sim: RegistrySimulator) -> None:
    """A missing blob is told before anything is read."""
    absent = Descriptor(media_type="x/y", digest=Digest.of(b"absent"), size=6)

    with pytest.raises(NotFoundError, match=f"cannot read team/app@{absent.digest}: 404 BLOB_UNKNOWN"):
        open_registry(sim.host).read_blob("team/app", absent)


# Redirects


def test_a_redirect_to_storage_is_followed_without_credentials(tmp_path: Path) -> None:
    """Storage elsewhere gets the range, and no login; each read asks the registry for a fresh address."""
    from edgelift.serve.access import Login  # noqa: PLC0415 - only here

    with RegistrySimulator(tmp_path, login=Login("courier", "canary")) as sim:
        sim.put_image(APP)
        sim.redirect_blobs(single_use=True)
        registry = Registry(
            sim.host, TransportSettings(), Credentials.of([(sim.host, "courier", "canary")]), clock=Hands().clock
        )
        bodies = [registry.read_blob("team/app", BLOB), registry.read_blob("team/app", BLOB, MIDDLE)]
        received = [(body.offset, read(body)) for body in bodies]
        stored = [each for each in sim.requests if each.path.startswith("/storage/")]

    assert received == [(0, (CONTENT, None)), (MIDDLE, (CONTENT[MIDDLE:], None))]
    assert [(each.had_authorization, "range" in each.headers) for each in stored] == [(False, False), (False, True)]


def redirect_to(location: str) -> Callable[[Request], Answer]:
    """A registry that redirects everything."""
    return lambda request: Answer(307, (("Location", location),), b"<a>moved</a>")


FORBIDDEN_REDIRECTS = {
    "the cloud's metadata": ("http://169.254.169.254/latest/meta-data/", UnreachableError),
    "a file": ("file:///etc/passwd", RegistryError),
    "itself, for ever": ("/v2/again", RegistryError),
    "nowhere": ("http://[::1", RegistryError),
}


@pytest.mark.parametrize(("location", "error"), FORBIDDEN_REDIRECTS.values(), ids=FORBIDDEN_REDIRECTS)
def test_redirects_that_are_not_followed(location: str, error: type[Exception]) -> None:
    """A registry cannot send us to what it has no business with, nor round in circles."""
    with HttpFaults(redirect_to(location)) as server:
        with pytest.raises(error, match=server.host) as caught:
            open_registry(server.host).read_blob("team/app", BLOB)
        count = len(server.requests)

    assert isinstance(caught.value, RegistryError)
    assert (caught.value.retryable, count <= 11) == (False, True)


def test_storage_that_fails_is_told_apart_from_the_registry() -> None:
    """The error says which server it was; its address is shown without the signature."""
    with (
        HttpFaults(lambda _: Answer(403, body=b"<Error>expired</Error>")) as storage,
        HttpFaults(redirect_to(f"{storage.url}/bucket/x?X-Amz-Signature=canary")) as server,
        pytest.raises(RegistryError) as caught,
    ):
        open_registry(server.host).read_blob("team/app", BLOB)

    assert (storage.host in str(caught.value), server.host in str(caught.value)) == (True, True)
    assert "canary" not in str(caught.value)


def test_logs_hold_no_secret(sim: RegistrySimulator, caplog: pytest.LogCaptureFixture) -> None:
    """At the most talkative level, with redirects and retries, no signature is logged."""
    sim.redirect_blobs()
    sim.fail("GET", "/storage/", status=503)
    with caplog.at_level(logging.DEBUG):
        read(open_registry(sim.host).read_blob("team/app", BLOB))

    assert ("/storage/" in caplog.text, "X-Amz-Signature" in caplog.text) == (True, False)


def test_no_json_is_trusted_to_be_small(sim: RegistrySimulator) -> None:
    """An error of a megabyte is read in part and told in a line."""
    sim.reply("GET", "/manifests/", status=403, body=json.dumps({"errors": "x" * 2**20}).encode())

    with pytest.raises(DeniedError) as caught:
        open_registry(sim.host).read_manifest("team/app", "1.0")

    assert len(str(caught.value)) < 600
