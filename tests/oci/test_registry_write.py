"""Writing to a registry: uploads, mounts and manifests, where answers get lost and sessions die."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from edgelift.demo.content import SampleLayer, make_image
from edgelift.errors import DeniedError, IntegrityError, NotFoundError, RefusedError, RegistryError, UnreachableError
from edgelift.oci.credentials import Credentials
from edgelift.oci.descriptor import Descriptor
from edgelift.oci.digest import Digest
from edgelift.oci.manifest import OCI_MANIFEST
from edgelift.oci.registry import Registry
from edgelift.oci.upload import UPLOADS
from edgelift.serve.access import Login
from edgelift.transport import TransportSettings
from tests.oci.clocks import Hands
from tests.simulators.http_faults import Answer, HttpFaults, Request
from tests.simulators.registry import RegistrySimulator
from tests.simulators.token_server import TokenServer

APP = make_image("team/app", layers=(SampleLayer("tar", 300_000),))
BLOB = max(APP.blobs, key=lambda blob: blob.size)
CONTENT = APP.contents[BLOB.digest]
RAW = APP.contents[APP.root.digest]


@pytest.fixture
def sim(tmp_path: Path) -> Iterator[RegistrySimulator]:
    """An empty registry."""
    with RegistrySimulator(tmp_path) as simulator:
        yield simulator


def open_registry(
    host: str, credentials: Credentials | None = None, settings: TransportSettings | None = None
) -> Registry:
    """A client that does not wait between attempts."""
    return Registry(host, settings or TransportSettings(), credentials or Credentials(), clock=Hands().clock)


class Source:
    """The bytes of a blob, and how often they were asked for."""

    def __init__(self, content: bytes = CONTENT) -> None:
        self._content = content
        self.reads = 0

    def __call__(self) -> Iterator[bytes]:
        """The bytes, in two chunks."""
        self.reads += 1
        middle = len(self._content) // 2
        yield self._content[:middle]
        yield self._content[middle:]


def describe(content: bytes) -> Descriptor:
    """A blob with `content`."""
    return Descriptor(media_type="application/octet-stream", digest=Digest.of(content), size=len(content))


# Uploads


def test_a_blob_over_which_the_registry_breaks_down_is_sent(sim: RegistrySimulator) -> None:
    """It answers 500 whenever it is asked for it, and takes it all the same; other errors are not passed over."""
    sim.fail("HEAD", f"/blobs/{BLOB.digest}", status=500, times=None)
    outcome = open_registry(sim.host).upload_blob("team/app", BLOB, Source())
    sim.heal()
    sim.fail("HEAD", f"/blobs/{BLOB.digest}", status=503, times=None)

    assert (outcome, sim.count("PUT", "/uploads/", status=201)) == ("uploaded", 1)
    with pytest.raises(RegistryError, match="503"):
        open_registry(sim.host).upload_blob("team/app", BLOB, Source())


def test_a_blob_is_uploaded_once(sim: RegistrySimulator) -> None:
    """The first upload is one POST and one PUT; the second sees that the blob is there."""
    registry, source = open_registry(sim.host), Source()
    outcomes = [registry.upload_blob("team/app", BLOB, source) for _ in range(2)]

    assert (outcomes, source.reads) == (["uploaded", "exists"], 1)
    assert [each.method for each in sim.requests] == ["HEAD", "POST", "PUT", "HEAD"]
    assert b"".join(registry.read_blob("team/app", BLOB).chunks) == CONTENT


@pytest.mark.parametrize("content", [b"", b"{}"], ids=["empty", "two bytes"])
def test_the_smallest_blobs_are_uploaded(content: bytes, sim: RegistrySimulator) -> None:
    """A blob of no bytes is a blob."""
    registry, blob = open_registry(sim.host), describe(content)

    assert registry.upload_blob("team/app", blob, lambda: iter([content])) == "uploaded"
    assert registry.blob_size("team/app", blob.digest) == len(content)


def test_a_blob_is_sent_again_where_the_registry_is_not_believed(sim: RegistrySimulator) -> None:
    """With `force` nobody asks whether the blob is there: the registry has said so before, and it was not."""
    sim.head_lies(BLOB.digest, BLOB.size)
    registry, source = open_registry(sim.host), Source()
    believed = registry.upload_blob("team/app", BLOB, source)
    forced = registry.upload_blob("team/app", BLOB, source, force=True)

    assert (believed, forced, source.reads) == ("exists", "uploaded", 1)
    assert b"".join(registry.read_blob("team/app", BLOB).chunks) == CONTENT


def test_a_blob_of_another_size_counts_as_absent(sim: RegistrySimulator) -> None:
    """A registry that claims the digest with a wrong size does not have the blob."""
    sim.head_lies(BLOB.digest, BLOB.size + 1)

    assert open_registry(sim.host).upload_blob("team/app", BLOB, Source()) == "uploaded"


FAILURES: dict[str, tuple[Callable[[RegistrySimulator], None], int]] = {
    "the answer is lost": (lambda sim: sim.lose_response("PUT", "/uploads/"), 1),
    "the upload is cut": (lambda sim: sim.cut("PUT", "/uploads/", after_bytes=100_000), 2),
    "the upload is cut twice": (lambda sim: sim.cut("PUT", "/uploads/", after_bytes=100_000, times=2), 3),
    "the session is lost": (lambda sim: sim.fail("PUT", "/uploads/", status=404, code="BLOB_UPLOAD_UNKNOWN"), 2),
    "the session is invalid": (lambda sim: sim.fail("PUT", "/uploads/", status=400, code="BLOB_UPLOAD_INVALID"), 2),
    "the registry is busy": (lambda sim: sim.fail("PUT", "/uploads/", status=503), 2),
    "too many requests": (lambda sim: sim.fail("PUT", "/uploads/", status=429, retry_after=2), 2),
    "an error inside": (lambda sim: sim.fail("PUT", "/uploads/", status=500), 2),
    "the beginning is cut": (lambda sim: sim.lose_response("POST", "/uploads/"), 1),
    "the beginning is refused for now": (lambda sim: sim.fail("POST", "/uploads/", status=503, times=3), 1),
    "looking fails": (lambda sim: sim.fail("HEAD", "/blobs/", status=502), 1),
}


@pytest.mark.parametrize(("fault", "reads"), FAILURES.values(), ids=FAILURES)
def test_uploads_survive(fault: Callable[[RegistrySimulator], None], reads: int, sim: RegistrySimulator) -> None:
    """After any passing failure the blob gets there, read no more often than needed: what succeeded is not repeated."""
    fault(sim)
    registry, source = open_registry(sim.host), Source()

    assert (registry.upload_blob("team/app", BLOB, source), source.reads) == ("uploaded", reads)
    assert b"".join(registry.read_blob("team/app", BLOB).chunks) == CONTENT


def test_a_silent_registry_is_given_up_and_asked_again(sim: RegistrySimulator) -> None:
    """An upload whose answer does not come is looked into after the time-out."""
    sim.stall("PUT", "/uploads/", after_bytes=None, seconds=3)
    settings = TransportSettings(idle_timeout=0.3)

    assert open_registry(sim.host, settings=settings).upload_blob("team/app", BLOB, Source()) == "uploaded"


def test_an_upload_that_always_breaks_is_given_up(sim: RegistrySimulator) -> None:
    """The number of attempts is bounded; the last failure is told."""
    sim.cut("PUT", "/uploads/", after_bytes=100_000, times=None)
    source = Source()

    with pytest.raises(UnreachableError, match=r"cannot upload .* to team/app: the connection was cut") as caught:
        open_registry(sim.host).upload_blob("team/app", BLOB, source)

    assert (source.reads, caught.value.retryable) == (UPLOADS, True)


def test_a_lost_answer_is_not_looked_into_where_the_registry_is_not_believed(sim: RegistrySimulator) -> None:
    """With `force` a lost answer is followed by another upload: the registry's word does not count."""
    sim.head_lies(BLOB.digest, BLOB.size)
    sim.cut("PUT", "/uploads/", after_bytes=100_000)
    registry, source = open_registry(sim.host), Source()
    registry.upload_blob("team/app", BLOB, source, force=True)

    assert (source.reads, b"".join(registry.read_blob("team/app", BLOB).chunks)) == (2, CONTENT)


REFUSALS: dict[str, tuple[str, int, str, type[RegistryError]]] = {
    "too large": ("PUT", 413, "SIZE_INVALID", RefusedError),
    "wrong digest": ("PUT", 400, "DIGEST_INVALID", RefusedError),
    "no right": ("POST", 403, "DENIED", DeniedError),
    "no such repository": ("POST", 404, "NAME_UNKNOWN", NotFoundError),
    "read only": ("POST", 405, "UNSUPPORTED", RefusedError),
}


@pytest.mark.parametrize(("method", "status", "code", "error"), REFUSALS.values(), ids=REFUSALS)
def test_refusals_of_uploads_are_final(
    method: str, status: int, code: str, error: type[RegistryError], sim: RegistrySimulator
) -> None:
    """What will not change is not tried again."""
    sim.fail(method, "/uploads/", status=status, code=code, times=None)

    with pytest.raises(error, match=f"cannot upload {BLOB.digest} to team/app: {status} {code}") as caught:
        open_registry(sim.host).upload_blob("team/app", BLOB, Source())

    assert (type(caught.value), caught.value.code, sim.count(method)) == (error, code, 1)


def test_bytes_that_are_not_the_blob_are_not_finished(sim: RegistrySimulator) -> None:
    """Where our own side finds that it has wrong bytes the upload is called off, and its error is raised."""

    def read() -> Iterator[bytes]:
        yield CONTENT[:1000]
        raise IntegrityError("the stored blob is damaged")

    with pytest.raises(IntegrityError, match="the stored blob is damaged"):
        open_registry(sim.host).upload_blob("team/app", BLOB, read)

    assert (sim.count("PUT", status=201), sim.count("DELETE")) == (0, 1)


def test_a_registry_that_holds_other_content_is_told() -> None:
    """An answer with another digest of the same kind means that something else was stored."""

    def respond(request: Request) -> Answer:
        if request.method == "POST":
            return Answer(202, (("Location", "/v2/team/app/blobs/uploads/1"),))
        return (
            Answer(404) if request.method == "HEAD" else Answer(201, (("Docker-Content-Digest", f"sha256:{'0' * 64}"),))
        )

    with HttpFaults(respond) as server, pytest.raises(IntegrityError, match="other content"):
        open_registry(server.host).upload_blob("team/app", BLOB, Source())


# Where to upload to

LOCATIONS = {
    "relative": "/v2/team/app/blobs/uploads/1?_state=aB-_%3d%3D&x=a+b",
    "absolute": "{url}/v2/team/app/blobs/uploads/1?_state=aB-_%3d%3D&x=a+b",
    "beside": "1?_state=aB-_%3d%3D&x=a+b",
}


@pytest.mark.parametrize("location", LOCATIONS.values(), ids=LOCATIONS)
def test_locations_are_used_as_they_are(location: str) -> None:
    """However a registry writes where to upload to, the digest is added and nothing else is changed."""

    def respond(request: Request) -> Answer:
        if request.method == "POST":
            return Answer(202, (("Location", location.format(url=f"http://{request.headers['host']}")),))
        return Answer(404) if request.method == "HEAD" else Answer(201)

    with HttpFaults(respond) as server:
        open_registry(server.host).upload_blob("team/app", BLOB, Source())
        (put,) = [each for each in server.requests if each.method == "PUT"]

    expected = f"/v2/team/app/blobs/uploads/1?_state=aB-_%3D%3D&x=a+b&digest={BLOB.digest}"
    assert (put.target.replace("%3d", "%3D"), put.headers["content-length"]) == (expected, str(BLOB.size))
    assert (put.body, put.headers["content-type"]) == (CONTENT, "application/octet-stream")


def test_a_location_at_another_server_gets_no_credentials() -> None:
    """Bytes may go where the registry says; the login does not."""
    with HttpFaults(lambda _: Answer(201)) as storage:

        def respond(request: Request) -> Answer:
            if request.headers.get("authorization", "").startswith("Basic"):
                location = (("Location", f"{storage.url}/put?sig=1"),)
                return Answer(404) if request.method == "HEAD" else Answer(202, location)
            return Answer(401, (("WWW-Authenticate", "Basic realm=x"),))

        with HttpFaults(respond) as server:
            credentials = Credentials.of([(server.host, "courier", "canary")])
            open_registry(server.host, credentials).upload_blob("team/app", BLOB, Source())

    (put,) = storage.requests
    assert (put.target, "authorization" in put.headers) == (f"/put?sig=1&digest={BLOB.digest}", False)


BAD_LOCATIONS = {
    "none": (),
    "the cloud's metadata": (("Location", "http://169.254.169.254/latest/"),),
    "a file": (("Location", "file:///etc/passwd"),),
}


@pytest.mark.parametrize("headers", BAD_LOCATIONS.values(), ids=BAD_LOCATIONS)
def test_locations_that_are_not_used(headers: tuple[tuple[str, str], ...]) -> None:
    """An upload does not go where the registry has no business to send it."""

    def respond(request: Request) -> Answer:
        return Answer(404) if request.method == "HEAD" else Answer(202, headers)

    with HttpFaults(respond) as server, pytest.raises(RegistryError, match=server.host):
        open_registry(server.host).upload_blob("team/app", BLOB, Source())


# Mounts


def test_a_blob_is_mounted_from_another_repository(sim: RegistrySimulator) -> None:
    """What the registry has under another name is not sent again."""
    registry, source = open_registry(sim.host), Source()
    registry.upload_blob("team/app", BLOB, source)

    assert registry.upload_blob("team/copy", BLOB, source, mount_from="team/app") == "mounted"
    assert (source.reads, registry.blob_size("team/copy", BLOB.digest)) == (1, BLOB.size)


@pytest.mark.parametrize("is_there", [True, False], ids=["there", "not there"])
def test_a_registry_that_mounts_is_asked_in_one_request(is_there: bool, sim: RegistrySimulator) -> None:
    """Once it has mounted, a mount from the repository itself tells whether a blob is there, and begins its upload."""
    source, registry = Source(), open_registry(sim.host)
    registry.upload_blob("team/app", BLOB, source)
    registry.upload_blob("team/copy", BLOB, source, mount_from="team/app")
    sim.forget_requests()
    repository = "team/copy" if is_there else "team/new"

    assert registry.upload_blob(repository, BLOB, source) == ("exists" if is_there else "uploaded")
    assert sim.count("HEAD") == 0
    assert sim.count("POST", f"mount={BLOB.digest}&from={repository}", 201 if is_there else 202) == 1
    assert sim.count() == (1 if is_there else 2)


def test_a_registry_that_mounts_is_not_asked_when_it_is_not_believed(sim: RegistrySimulator) -> None:
    """What has to be sent in any case is sent."""
    source, registry = Source(), open_registry(sim.host)
    registry.upload_blob("team/app", BLOB, source)
    registry.upload_blob("team/copy", BLOB, source, mount_from="team/app")

    assert registry.upload_blob("team/copy", BLOB, source, force=True) == "uploaded"


def test_a_mount_that_becomes_a_session_is_used(sim: RegistrySimulator) -> None:
    """202 to a mount is an upload that has begun: no second one is begun."""
    outcome = open_registry(sim.host).upload_blob("team/copy", BLOB, Source(), mount_from="team/nothing")

    assert (outcome, sim.count("POST")) == ("uploaded", 1)


@pytest.mark.parametrize("status", [400, 401, 403, 404, 405])
def test_a_mount_that_is_refused_becomes_an_upload(status: int, sim: RegistrySimulator) -> None:
    """Registries refuse mounts in many ways; a plain upload is the answer to all of them."""
    sim.fail("POST", "/uploads/", status=status)

    assert open_registry(sim.host).upload_blob("team/copy", BLOB, Source(), mount_from="team/app") == "uploaded"


def test_a_token_server_that_refuses_two_scopes_does_not_end_the_upload() -> None:
    """Some token servers know one scope at a time: the mount is given up, not the blob."""

    def respond(request: Request) -> Answer:
        if request.target.startswith("/token"):
            return Answer(400) if request.target.count("scope=") > 1 else Answer(body=b'{"token":"good"}')
        if "authorization" not in request.headers:
            realm = f'Bearer realm="http://{request.headers["host"]}/token"'
            return Answer(401, (("WWW-Authenticate", realm),))
        if request.method == "POST":
            return Answer(202, (("Location", "/v2/team/copy/blobs/uploads/1"),))
        return Answer(404) if request.method == "HEAD" else Answer(201)

    with HttpFaults(respond) as server:
        outcome = open_registry(server.host).upload_blob("team/copy", BLOB, Source(), mount_from="team/app")

    assert outcome == "uploaded"


# Proving the right to push


def test_the_right_to_push_is_proved_without_a_trace(sim: RegistrySimulator) -> None:
    """An upload is begun and called off."""
    open_registry(sim.host).check_push("team/app")

    assert [(each.method, each.status) for each in sim.requests] == [("POST", 202), ("DELETE", 204)]


def test_an_upload_that_cannot_be_called_off_is_left(sim: RegistrySimulator) -> None:
    """Calling off is a courtesy: some registries do not let us."""
    sim.deny("/uploads/", "DELETE")
    open_registry(sim.host).check_push("team/app")

    assert sim.count("DELETE") == 1


def test_a_login_that_may_only_pull_is_found_out(tmp_path: Path) -> None:
    """A token that is given says nothing about what it is good for; the attempt does."""
    tokens = TokenServer(Login("courier", "word"))
    tokens.withhold(".*", "push")
    with RegistrySimulator(tmp_path, tokens=tokens) as sim:
        credentials = Credentials.of([(sim.host, "courier", "word")])
        registry = open_registry(sim.host, credentials)
        registry.log_in()

        with pytest.raises(DeniedError, match="cannot push to team/app"):
            registry.check_push("team/app")


# Manifests


def push_blobs(registry: Registry) -> None:
    """Bring all that the manifest names."""
    for blob in APP.blobs:
        registry.upload_blob("team/app", blob, Source(APP.contents[blob.digest]))


@pytest.mark.parametrize("selector", ["1.0", APP.root.digest])
def test_a_manifest_is_written_as_it_is(selector: str, sim: RegistrySimulator) -> None:
    """By tag or digest, the registry gets exactly the bytes."""
    registry = open_registry(sim.host)
    push_blobs(registry)
    registry.write_manifest("team/app", selector, RAW, OCI_MANIFEST)

    assert registry.read_manifest("team/app", selector).raw == RAW


LOST: dict[str, tuple[Callable[[RegistrySimulator], None], int]] = {
    "the answer is lost": (lambda sim: sim.lose_response("PUT", "/manifests/"), 1),
    "the registry is busy": (lambda sim: sim.fail("PUT", "/manifests/", status=503), 2),
    "an error inside": (lambda sim: sim.fail("PUT", "/manifests/", status=500), 2),
    "too many requests": (lambda sim: sim.fail("PUT", "/manifests/", status=429, retry_after=1), 2),
    "looking fails, too": (
        lambda sim: (sim.lose_response("PUT", "/manifests/"), sim.fail("HEAD", "/manifests/"))[0],  # type: ignore[func-returns-value]
        1,
    ),
}


@pytest.mark.parametrize(("fault", "puts"), LOST.values(), ids=LOST)
def test_writing_a_manifest_survives(
    fault: Callable[[RegistrySimulator], None], puts: int, sim: RegistrySimulator
) -> None:
    """A lost answer is looked into before the manifest is sent again: a fixed tag would refuse a second write."""
    registry = open_registry(sim.host)
    push_blobs(registry)
    fault(sim)
    registry.write_manifest("team/app", "1.0", RAW, OCI_MANIFEST)

    assert (sim.count("PUT", "/manifests/"), registry.describe("team/app", "1.0")) == (puts, APP.root)


def test_missing_content_is_told_so_that_it_can_be_sent(sim: RegistrySimulator) -> None:
    """A registry that misses a blob of the manifest says so in a way that can be acted on."""
    with pytest.raises(RegistryError, match=r"cannot write team/app:1\.0: 400 MANIFEST_BLOB_UNKNOWN") as caught:
        open_registry(sim.host).write_manifest("team/app", "1.0", RAW, OCI_MANIFEST)

    assert (caught.value.says_blob_unknown, caught.value.status, caught.value.retryable) == (True, 400, False)


MANIFEST_REFUSALS: dict[str, tuple[int, str, type[RegistryError]]] = {
    "an unknown media type": (415, "UNSUPPORTED", RefusedError),
    "a tag that may not move": (409, "TAG_INVALID", RefusedError),
    "quota": (412, "DENIED", RefusedError),
    "no right": (403, "DENIED", DeniedError),
}


@pytest.mark.parametrize(("status", "code", "error"), MANIFEST_REFUSALS.values(), ids=MANIFEST_REFUSALS)
def test_refusals_of_manifests_are_final(
    status: int, code: str, error: type[RegistryError], sim: RegistrySimulator
) -> None:
    """What will not change is not tried again, and told with the registry's code."""
    sim.fail("PUT", "/manifests/", status=status, code=code, times=None)

    with pytest.raises(error) as caught:
        open_registry(sim.host).write_manifest("team/app", "1.0", RAW, OCI_MANIFEST)

    told = (type(caught.value), caught.value.code, caught.value.says_blob_unknown, sim.count("PUT"))
    assert told == (error, code, False, 1)


def test_a_manifest_that_is_too_large_is_told_why(sim: RegistrySimulator) -> None:
    """Registries that refuse more than 4 MiB do not say so clearly; we do."""
    sim.fail("PUT", "/manifests/", status=400, code="MANIFEST_INVALID")
    raw = RAW + b" " * (4 * 2**20)

    with pytest.raises(RefusedError) as caught:
        open_registry(sim.host).write_manifest("team/app", "1.0", raw, OCI_MANIFEST)

    assert caught.value.hint == "registries take manifests of up to 4 MiB"


DIGESTS = {
    "other content": (f"sha256:{'0' * 64}", True),
    "the same": (str(APP.root.digest), False),
    "another algorithm": (f"sha512:{'0' * 128}", False),
    "nonsense": ("?", False),
}


@pytest.mark.parametrize(("digest", "is_wrong"), DIGESTS.values(), ids=DIGESTS)
def test_what_the_registry_says_it_received_is_compared(digest: str, is_wrong: bool) -> None:
    """Another digest of the same algorithm means that the registry changed what it was sent."""
    with HttpFaults(lambda _: Answer(201, (("Docker-Content-Digest", digest),))) as server:
        registry = open_registry(server.host)
        try:
            registry.write_manifest("team/app", "1.0", RAW, OCI_MANIFEST)
            found_wrong = False
        except IntegrityError:
            found_wrong = True

    assert found_wrong == is_wrong
