"""Uploading to an edge host: what arrives, what is checked, and what is said where it goes wrong."""

import logging
import traceback
import tracemalloc
from collections.abc import Callable, Iterator
from contextlib import closing, suppress
from pathlib import Path
from typing import Any

import pytest
from pydantic import SecretStr

from edgelift.bundle.source import LocalFile
from edgelift.edge.host import Address, EdgeHost, UploadKind
from edgelift.edge.upload import Upload, check_upload, kind_of, upload_file, wait_for_sync
from edgelift.errors import ConfigurationError, EdgeHostError, EdgeliftError, IncompleteError, IntegrityError
from edgelift.oci.digest import Digest
from edgelift.transport import TransportSettings
from tests.bundle.content import noise
from tests.certificates import Authority
from tests.simulators.edge_host import SYNC, TOKEN, UPLOADED, EdgeHostSimulator, sync_document

PASSWORD = "canary/pass word+äöü"
CONTENT = noise(3 * 2**20 + 11)
SIGNATURE = noise(256, 7)


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """A bundle, as far as a host can tell."""
    path = tmp_path / "site-7.tar.zst"
    path.write_bytes(CONTENT)
    return path


@pytest.fixture
def simulator() -> Iterator[EdgeHostSimulator]:
    """A host that does what its documentation says."""
    with EdgeHostSimulator(PASSWORD) as simulator:
        yield simulator


def open_host(simulator: EdgeHostSimulator, **settings: Any) -> EdgeHost:
    """The client of a simulator, not logged in."""
    return EdgeHost(Address.parse(simulator.url), TransportSettings(**settings))


def send(
    simulator: EdgeHostSimulator, path: Path, kind: UploadKind = "content", signature: bytes | None = None
) -> Upload:
    """Log in and upload."""
    with open_host(simulator) as host, closing(LocalFile(path)) as source:
        host.log_in("admin", SecretStr(PASSWORD))
        return upload_file(host, source, kind, signature)


def check(simulator: EdgeHostSimulator, upload: Upload) -> list[float]:
    """Log in and check; gives the pauses that were made."""
    pauses: list[float] = []
    with open_host(simulator) as host:
        host.log_in("admin", SecretStr(PASSWORD))
        check_upload(host, upload, sleep=pauses.append)
    return pauses


# What arrives


def test_a_bundle_arrives_as_it_is(simulator: EdgeHostSimulator, file: Path) -> None:
    """The host has the bytes, the name, and nothing else; what it says of them is right at once."""
    sent = send(simulator, file)
    (received,) = simulator.uploads

    assert (received.action, list(received.files)) == ("upload-content", ["uploadFile"])
    assert (received.file.file_name, received.file.size) == ("site-7.tar.zst", len(CONTENT))
    assert received.file.sha256 == Digest.of(CONTENT).hex == sent.digest.hex
    assert sent.path.endswith("/site-7.tar.zst")
    assert check(simulator, sent) == []


def test_a_signature_goes_with_it(simulator: EdgeHostSimulator, file: Path) -> None:
    """The detached signature is a file of its own in the same request."""
    send(simulator, file, signature=SIGNATURE)

    assert simulator.uploads[0].files["signature"].sha256 == Digest.of(SIGNATURE).hex


def test_a_cluster_definition_has_an_action_of_its_own(simulator: EdgeHostSimulator, file: Path) -> None:
    """It goes to where the host expects it."""
    send(simulator, file, "cluster-definition")

    assert simulator.uploads[0].action == "upload-clusterconfig"


KINDS = {
    "demo.tgz": "cluster-definition",
    "/mnt/demo-cluster.tgz": "cluster-definition",
    "site-7.tar.zst": "content",
    "s3://bucket/site-7.tar.zst": "content",
    "pack.tar.gz": "content",
    "demo.tgz.part-0001": "content",
}


@pytest.mark.parametrize(("name", "kind"), KINDS.items())
def test_what_a_file_is(name: str, kind: UploadKind) -> None:
    """Only .tgz is a cluster definition."""
    assert kind_of(name) == kind


def test_the_length_is_told_before(simulator: EdgeHostSimulator, file: Path) -> None:
    """The request has a Content-Length, so that proxies and the host can refuse it at once."""
    send(simulator, file)
    (request,) = [each for each in simulator.exchanges if "upload-content" in each.path]

    assert int(request.headers["content-length"]) == request.received
    assert "transfer-encoding" not in request.headers


def test_memory_is_bounded(simulator: EdgeHostSimulator, tmp_path: Path) -> None:
    """A file of any size takes a few pieces of memory, not its own size."""
    path = tmp_path / "large.tar.zst"
    with path.open("wb") as large:
        large.truncate(48 * 2**20)
    send(simulator, path)  # loads what is loaded once
    tracemalloc.start()
    send(simulator, path)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()

    assert simulator.uploads[1].file.size == 48 * 2**20
    assert peak < 12 * 2**20


def test_the_session_ends_with_the_work(simulator: EdgeHostSimulator, file: Path) -> None:
    """After the last request, and after a failure, the token is of no use any more."""
    send(simulator, file)
    assert not simulator.is_logged_in

    simulator.answers_with(500, path="upload-content")
    with suppress(EdgeHostError):
        send(simulator, file)
    assert not simulator.is_logged_in


# TLS


def test_a_host_with_a_certificate_of_the_site(tmp_path: Path, file: Path) -> None:
    """With the site's authority, the host is known."""
    authority = Authority(tmp_path)
    with EdgeHostSimulator(PASSWORD, certificate=authority.issue("127.0.0.1")) as simulator:
        with open_host(simulator, ca_cert=authority.ca_cert) as host, closing(LocalFile(file)) as source:
            host.log_in("admin", SecretStr(PASSWORD))
            upload_file(host, source, "content")

        assert simulator.uploads[0].file.sha256 == Digest.of(CONTENT).hex


def test_a_host_that_has_signed_its_own_certificate(tmp_path: Path) -> None:
    """It is not believed, no password is sent, and both options are named; with one of them it is taken as it is."""
    with EdgeHostSimulator(PASSWORD, certificate=Authority(tmp_path).issue("127.0.0.1")) as simulator:
        with open_host(simulator) as host, pytest.raises(EdgeHostError, match="not trusted here") as caught:
            host.log_in("admin", SecretStr(PASSWORD))
        assert simulator.exchanges == []
        with open_host(simulator, insecure=True) as host:
            host.log_in("admin", SecretStr(PASSWORD))

    assert "--ca-cert" in str(caught.value.hint)
    assert "--insecure" in str(caught.value.hint)


# Where it is


ADDRESSES = {
    "10.0.0.7": ("https", "10.0.0.7:5080"),
    "edge-7.example": ("https", "edge-7.example:5080"),
    "edge-7.example:8443": ("https", "edge-7.example:8443"),
    "https://10.0.0.7/": ("https", "10.0.0.7:5080"),
    "[fd00::7]": ("https", "[fd00::7]:5080"),
    "http://127.0.0.1:5080": ("http", "127.0.0.1:5080"),
}


@pytest.mark.parametrize(("text", "address"), ADDRESSES.items(), ids=ADDRESSES)
def test_addresses(text: str, address: tuple[str, str]) -> None:
    """TLS and the port of the Local UI, unless something else is written."""
    assert Address.parse(text) == Address(*address)


NO_ADDRESSES = [
    *("", "https://", "http://10.0.0.7", "10.0.0.7/ui", "ftp://10.0.0.7", "10.0.0.7:99999", "10.0.0.7:", "a b"),
    *("admin:hunter2@10.0.0.7", "https://admin:hunter2@10.0.0.7:5080", "10.0.0.7?x=hunter2", "https://[fd00::7"),
]


@pytest.mark.parametrize("text", NO_ADDRESSES, ids=range(len(NO_ADDRESSES)))
def test_what_is_no_address(text: str) -> None:
    """It is refused, with what to write, and without repeating a password in it."""
    with pytest.raises(ConfigurationError) as caught:
        Address.parse(text)

    assert caught.value.hint
    assert "hunter2" not in str(caught.value)


# What goes wrong


def test_a_wrong_password(simulator: EdgeHostSimulator) -> None:
    """The host's words are shown, without the password that it repeats in them."""
    with open_host(simulator) as host, pytest.raises(EdgeHostError) as caught:
        host.log_in("admin", SecretStr("a-wrong-secret"))

    assert "cannot log in as admin: 400 (InvalidCredentials: invalid credentials: …)" in caught.value.message
    assert "Local UI" in str(caught.value.hint)
    assert not caught.value.retryable


REFUSALS = {
    401: ("run it again", False),
    403: ("right", False),
    404: ("Local UI", False),
    413: ("proxy", False),
    500: ("disk", True),
    503: (None, True),
}


@pytest.mark.parametrize(("status", "told"), REFUSALS.items(), ids=REFUSALS)
def test_an_upload_that_is_refused(
    status: int, told: tuple[str | None, bool], simulator: EdgeHostSimulator, tmp_path: Path
) -> None:
    """What was attempted, on what, what came back, and the next step."""
    path = tmp_path / "small.tgz"
    path.write_bytes(b"small enough to be sent before it is refused")
    simulator.answers_with(status, b'{"code": "Whatever", "message": "it will not"}', path="upload-clusterconfig")
    with pytest.raises(EdgeHostError) as caught:
        send(simulator, path, "cluster-definition")
    hint, retryable = told

    assert caught.value.message == (f"{simulator.host}: cannot upload small.tgz: {status} (Whatever: it will not)")
    assert (caught.value.status, caught.value.retryable) == (status, retryable)
    assert hint is None or hint in str(caught.value.hint)


def test_a_connection_that_is_cut(simulator: EdgeHostSimulator, file: Path) -> None:
    """In the middle of a file: it can be tried again, and that all of it is sent again then is said."""
    simulator.resets(2**20, path="upload-content")
    with pytest.raises(EdgeHostError, match=r"cannot upload site-7\.tar\.zst") as caught:
        send(simulator, file)

    assert caught.value.retryable
    assert "all of the file is sent" in str(caught.value.hint)
    assert simulator.uploads == []
    assert check(simulator, send(simulator, file)) == []


def test_a_host_that_is_not_there() -> None:
    """The port of the Local UI is named."""
    with EdgeHostSimulator(PASSWORD) as gone:
        host = open_host(gone)
    with host, pytest.raises(EdgeHostError, match="connection refused") as caught:
        host.log_in("admin", SecretStr(PASSWORD))

    assert "5080" in str(caught.value.hint)


ANSWERS = [
    *(b"", b"<html>hello</html>", b"[]", b'{"Token": {}}', b'{"Token": {"Authorization": ""}}', bytes(5 * 2**20)),
    b'{"Token": {"Authorization": "a\\r\\nX-Evil: b"}}',
]


@pytest.mark.parametrize("body", ANSWERS, ids=range(len(ANSWERS)))
def test_something_else_at_that_address(body: bytes, simulator: EdgeHostSimulator) -> None:
    """What does not answer as a Local UI is said to be none, and is not read for ever."""
    simulator.answers_with(200, body, path="login")
    with open_host(simulator) as host, pytest.raises(EdgeHostError) as caught:
        host.log_in("admin", SecretStr(PASSWORD))

    assert "5080" in str(caught.value.hint)


def test_an_answer_without_a_path(simulator: EdgeHostSimulator, file: Path) -> None:
    """A file that was taken counts as sent, whatever the host has to say to that."""
    simulator.answers_with(201, b"thank you", path="upload-content")

    assert send(simulator, file).path == ""


def everything_of(error: BaseException) -> str:
    """What an error says, and what led to it."""
    return "".join(traceback.format_exception(error)) + repr(error.__context__)


def test_no_secret_is_written(simulator: EdgeHostSimulator, file: Path, caplog: pytest.LogCaptureFixture) -> None:
    """Neither password nor token is in a log or an error, though the host repeats both."""
    errors: list[EdgeliftError] = []
    with caplog.at_level(logging.DEBUG), open_host(simulator) as host:
        for act in (
            lambda: host.log_in("admin", SecretStr(PASSWORD + "wrong")),
            lambda: host.log_in("admin", SecretStr(PASSWORD)),
            host.sync_status,
            lambda: setattr(simulator, "is_logged_in", False),
            host.last_upload,  # the session has ended: its token is repeated
            host.sync_status,
        ):
            try:
                act()
            except EdgeliftError as error:
                errors.append(error)
    said = " ".join([caplog.text, repr(host), *map(everything_of, errors)])

    assert len(errors) == 3
    assert "Unauthorized: no session for …" in said
    for secret in (PASSWORD, TOKEN, "canary/pass", TOKEN.partition(".")[0]):
        assert secret not in said


# What the host says it has got


TOLD = {
    "another digest": {"sha256Hash": "0" * 64},
    "another size": {"sizeInBytes": 7},
    "what is no digest": {"sha256Hash": "e3b0"},
}


@pytest.mark.parametrize("told", TOLD.values(), ids=TOLD)
def test_other_bytes_than_were_sent(told: dict[str, Any], file: Path) -> None:
    """It is an error, whatever the host has answered to the upload itself."""
    with EdgeHostSimulator(PASSWORD, told=told) as simulator:
        sent = send(simulator, file)
        with pytest.raises(IntegrityError, match="has not got what was sent") as caught:
            check(simulator, sent)

    assert sent.digest in caught.value.message


RIGHT = {
    "upper case": {"sha256Hash": Digest.of(CONTENT).hex.upper()},
    "as a digest": {"sha256Hash": Digest.of(CONTENT)},
    "no size": {"sizeInBytes": None},
    "another name": {"fileName": "content.tar.zst"},
}


@pytest.mark.parametrize("told", RIGHT.values(), ids=RIGHT)
def test_ways_to_say_that_it_is_right(told: dict[str, Any], file: Path) -> None:
    """The digest decides, however it is written."""
    with EdgeHostSimulator(PASSWORD, told=told) as simulator:
        assert check(simulator, send(simulator, file)) == []


SAYS_NOTHING: dict[str, Callable[[EdgeHostSimulator], None]] = {
    "it is missing": lambda simulator: simulator.answers_with(404, path=UPLOADED, times=None),
    "it fails": lambda simulator: simulator.answers_with(500, path=UPLOADED, times=None),
    "it is another document": lambda simulator: simulator.answers_with(200, b"[]", path=UPLOADED, times=None),
    "it is empty": lambda simulator: simulator.answers_with(200, b"{}", path=UPLOADED, times=None),
}


@pytest.mark.parametrize("arrange", SAYS_NOTHING.values(), ids=SAYS_NOTHING)
def test_a_host_that_does_not_say(
    arrange: Callable[[EdgeHostSimulator], None], simulator: EdgeHostSimulator, file: Path
) -> None:
    """Some looks later it is said that nothing can be checked: that is no success, and ends with exit code 3."""
    sent = send(simulator, file)
    arrange(simulator)
    with pytest.raises(IncompleteError, match="cannot be checked") as caught:
        check(simulator, sent)

    assert caught.value.exit_code == 3
    assert caught.value.failures[0].startswith("not checkable: ")
    assert sent.digest.hex in str(caught.value.hint)


def test_a_host_that_tells_of_another_file(simulator: EdgeHostSimulator, file: Path) -> None:
    """What it says of content says nothing of a cluster definition."""
    send(simulator, file)
    definition = file.with_name("demo.tgz")
    definition.write_bytes(b"a definition")
    sent = send(simulator, definition, "cluster-definition")
    with pytest.raises(IncompleteError) as caught:
        check(simulator, sent)

    assert caught.value.failures == ("not checkable: it tells of another file, 'site-7.tar.zst'",)


def test_a_host_that_needs_a_moment(simulator: EdgeHostSimulator, file: Path) -> None:
    """While it says nothing yet, it is asked again."""
    sent = send(simulator, file)
    simulator.answers_with(404, path=UPLOADED, times=2)

    assert len(check(simulator, sent)) == 2


# Its sync


class Clock:
    """Time that passes only in pauses."""

    def __init__(self) -> None:
        self.now = 0.0

    def sleep(self, seconds: float) -> None:
        """Let time pass."""
        self.now += seconds

    def read(self) -> float:
        """The time."""
        return self.now


def wait(simulator: EdgeHostSimulator, seconds: float) -> float:
    """Log in and wait; gives how long that took."""
    clock = Clock()
    with open_host(simulator) as host:
        host.log_in("admin", SecretStr(PASSWORD))
        wait_for_sync(host, seconds, sleep=clock.sleep, clock=clock.read)
    return clock.now


def test_waiting_until_all_is_synced() -> None:
    """It ends once nothing has been pending twice: just after an upload, a host has not begun."""
    at_work = [sync_document(app="pending"), sync_document(app="completed")]
    states = [{"pendingItems": []}, *at_work, {"pendingItems": None}]
    with EdgeHostSimulator(PASSWORD, syncs=states) as simulator:
        assert wait(simulator, 600) == 15
        assert len([each for each in simulator.exchanges if each.path == SYNC]) == 4


FAILED = {
    "an item": (sync_document(app="failed", other="completed"), "app:1.0: app is failed"),
    "an error": ({"pendingItems": [], "errors": {"app": "no space"}}, "app: no space"),
}


@pytest.mark.parametrize(("state", "failure"), FAILED.values(), ids=FAILED)
def test_a_sync_that_fails(state: dict[str, Any], failure: str) -> None:
    """The host's reasons are passed on; the upload itself is done, so it is exit code 3."""
    with (
        EdgeHostSimulator(PASSWORD, syncs=[sync_document(app="pending"), state]) as simulator,
        pytest.raises(IncompleteError, match="could not sync 1") as caught,
    ):
        wait(simulator, 600)

    assert caught.value.failures == (failure,)


def test_a_sync_that_takes_too_long() -> None:
    """What is still pending is named."""
    with (
        EdgeHostSimulator(PASSWORD, syncs=[sync_document(app="pending", other="completed")]) as simulator,
        pytest.raises(IncompleteError, match="within 60 seconds") as caught,
    ):
        wait(simulator, 60)

    assert caught.value.failures == ("app:1.0",)


def test_a_host_that_fails_while_it_syncs(simulator: EdgeHostSimulator) -> None:
    """An answer that may come later is waited for; one that never will is not."""
    simulator.answers_with(503, path=SYNC, times=3)
    assert wait(simulator, 600) == 20

    simulator.answers_with(404, path=SYNC, times=None)
    with pytest.raises(IncompleteError, match="cannot be checked") as caught:
        wait(simulator, 600)
    assert caught.value.failures[0].startswith("not checkable: ")
