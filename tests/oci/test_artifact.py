"""Files as artifacts: in the real docker-registry for what has to be true, in the simulator for what goes wrong."""

import hashlib
import json
import os
import random
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import oras.provider
import pytest

from edgelift.demo.content import SampleLayer, make_image
from edgelift.errors import BundleError, DeniedError, IntegrityError, RegistryError, StoreError, UnreachableError
from edgelift.oci import artifact as artifact_module
from edgelift.oci.artifact import ARTIFACT_TYPE, Artifact, find_artifact, push_artifact, read_artifact
from edgelift.oci.credentials import Credentials
from edgelift.oci.digest import Digest
from edgelift.oci.pacing import Clock
from edgelift.oci.registry import Registry
from edgelift.serve.access import Login
from edgelift.transport import TransportSettings
from tests.real_parts import RunningRegistry, require_tool
from tests.simulators.registry import RegistrySimulator
from tests.simulators.token_server import TokenServer

MIB = 2**20
SIZE = 17 * MIB + 5  # two chunks, the last one short
BUNDLE = "application/vnd.edgelift.bundle.v1.tar+zstd"
PATIENT = Clock(sleep=lambda seconds: None)


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A file that is sent in two chunks."""
    path = tmp_path_factory.mktemp("bundle") / "edge.tar.zst"
    path.write_bytes(random.Random(11).randbytes(SIZE))
    return path


@pytest.fixture
def sim(tmp_path: Path) -> Iterator[RegistrySimulator]:
    """An empty registry with a fault switch."""
    with RegistrySimulator(tmp_path / "simulator") as simulator:
        yield simulator


def digest_of(path: Path) -> Digest:
    """The sha256 digest of a file."""
    return Digest.of(path.read_bytes())


def client_of(host: str, *logins: tuple[str, str, str], ca_cert: Path | None = None) -> Registry:
    """A client for `host` that wastes no time between tries."""
    return Registry(host, TransportSettings(ca_cert=ca_cert), Credentials.of(logins), clock=PATIENT)


def push(registry: Registry, path: Path, progress: Callable[[int], None] | None = None) -> Artifact:
    """Push `path` as `site/bundles:june`."""
    return push_artifact(
        registry, "site/bundles", "june", path, digest=digest_of(path), media_type=BUNDLE, progress=progress
    )


def read(registry: Registry, artifact: Artifact) -> bytes:
    """The file of `artifact`."""
    return b"".join(read_artifact(registry, "site/bundles", artifact))


def test_an_artifact_goes_there_and_back(docker_registry: RunningRegistry, bundle: Path) -> None:
    """What is found under the tag is what was pushed, to the last byte; progress adds up to its size."""
    registry = client_of(docker_registry.host)
    sent: list[int] = []

    pushed = push(registry, bundle, sent.append)

    found = find_artifact(registry, "site/bundles", "june")
    assert pushed == found
    assert (sum(sent), found.file.size) == (SIZE, SIZE)
    assert bundle.read_bytes() == read(registry, found)


def test_skopeo_reads_the_manifest(docker_registry: RunningRegistry, bundle: Path) -> None:
    """The manifest is an OCI artifact with one layer, and its digest is the one we say."""
    pushed = push(client_of(docker_registry.host), bundle)

    raw = subprocess.run(
        [require_tool("skopeo"), "inspect", "--raw", "--tls-verify=false", f"docker://{docker_registry.host}/site/bundles:june"],
        capture_output=True,
        check=True,
    ).stdout  # fmt: skip

    assert pushed.manifest.digest == Digest.of(raw)
    manifest = json.loads(raw)
    assert (manifest["artifactType"], manifest["config"]["mediaType"], manifest["config"]["size"]) == (
        ARTIFACT_TYPE,
        "application/vnd.oci.empty.v1+json",
        2,
    )
    assert manifest["layers"] == [
        {
            "mediaType": BUNDLE,
            "digest": digest_of(bundle),
            "size": SIZE,
            "annotations": {"org.opencontainers.image.title": "edge.tar.zst"},
        }
    ]


def test_oras_pulls_the_file_under_its_name(docker_registry: RunningRegistry, bundle: Path, tmp_path: Path) -> None:
    """Who has oras and not edgelift gets the bundle, as the file it was."""
    push(client_of(docker_registry.host), bundle)

    oras_client = oras.provider.Registry(hostname=docker_registry.host, insecure=True)
    (pulled,) = oras_client.pull(f"{docker_registry.host}/site/bundles:june", outdir=str(tmp_path))

    assert (Path(pulled).name, digest_of(Path(pulled))) == ("edge.tar.zst", digest_of(bundle))


def test_a_login_and_an_authority_of_ones_own(secured_registry: RunningRegistry, bundle: Path) -> None:
    """Over TLS, with our authority's certificate and a password, it is the same."""
    login = (secured_registry.host, str(secured_registry.username), str(secured_registry.password))
    registry = client_of(secured_registry.host, login, ca_cert=secured_registry.ca_cert)

    assert bundle.read_bytes() == read(registry, push(registry, bundle))


def test_a_wrong_password_is_not_shown(secured_registry: RunningRegistry, bundle: Path) -> None:
    """The registry's refusal is an error that names the host, and not what we tried."""
    login = (secured_registry.host, "courier", "not the password")
    registry = client_of(secured_registry.host, login, ca_cert=secured_registry.ca_cert)

    with pytest.raises(DeniedError) as caught:
        push(registry, bundle)

    assert secured_registry.host in str(caught.value)
    assert "not the password" not in repr(caught.value) + str(caught.value)


def test_an_unknown_authority_is_refused(secured_registry: RunningRegistry, bundle: Path) -> None:
    """A certificate that nothing vouches for ends it before a password is sent."""
    login = (secured_registry.host, str(secured_registry.username), str(secured_registry.password))

    with pytest.raises(UnreachableError, match="certificate is not trusted"):
        push(client_of(secured_registry.host, login), bundle)

    assert '"status":200' not in secured_registry.log.read_text()


def test_bearer_tokens_are_fetched(tmp_path: Path, bundle: Path) -> None:
    """A registry that hands out tokens gets them, for as many requests as the chunks take."""
    tokens = TokenServer(Login("courier", "made up"))
    with RegistrySimulator(tmp_path, tokens=tokens) as sim:
        registry = client_of(sim.host, (sim.host, "courier", "made up"))

        assert bundle.read_bytes() == read(registry, push(registry, bundle))


def test_the_same_file_is_not_sent_twice(sim: RegistrySimulator, bundle: Path) -> None:
    """A second push only looks; its progress says that all is done."""
    registry = client_of(sim.host)
    push(registry, bundle)
    sim.forget_requests()
    done: list[int] = []

    push(registry, bundle, done.append)

    assert {request.method for request in sim.requests} == {"HEAD"}
    assert sum(done) == SIZE


def test_a_tag_moves_to_the_newer_file(sim: RegistrySimulator, bundle: Path, tmp_path: Path) -> None:
    """Another bundle under the same tag takes its place."""
    registry = client_of(sim.host)
    newer = tmp_path / bundle.name
    newer.write_bytes(b"the bundle of today")
    push(registry, bundle)

    push(registry, newer)

    assert read(registry, find_artifact(registry, "site/bundles", "june")) == b"the bundle of today"


@pytest.mark.parametrize("content", [b"", b"x"], ids=["an empty file", "one byte"])
def test_small_files_are_artifacts_too(docker_registry: RunningRegistry, tmp_path: Path, content: bytes) -> None:
    """A signature, or even nothing, goes the same way."""
    path = tmp_path / "edge.tar.zst.sig"
    path.write_bytes(content)
    registry = client_of(docker_registry.host)

    assert content == read(registry, push(registry, path))


UPLOADS = "/blobs/uploads/"
FAULTS: dict[str, Callable[[RegistrySimulator], None]] = {
    "busy when asked to begin": lambda sim: sim.fail("POST", UPLOADS, status=503, times=2),
    "too many requests": lambda sim: sim.fail("POST", UPLOADS, status=429, retry_after=1),
    "busy in the middle": lambda sim: sim.fail("PATCH", UPLOADS, status=503, skip=2),
    "cut in the middle of a chunk": lambda sim: sim.cut("PATCH", UPLOADS, after_bytes=MIB, skip=2),
    "the answer to a chunk is lost": lambda sim: sim.lose_response("PATCH", UPLOADS, skip=2),
    "the last answer is lost": lambda sim: sim.lose_response("PUT", UPLOADS, skip=1),
    "the upload is forgotten": lambda sim: sim.fail("PATCH", UPLOADS, status=404, code="BLOB_UPLOAD_UNKNOWN", skip=2),
    "the tag's answer is lost": lambda sim: sim.lose_response("PUT", "/manifests/"),
}


@pytest.mark.parametrize("fault", FAULTS.values(), ids=FAULTS)
def test_passing_faults_do_not_stop_a_push(
    sim: RegistrySimulator, bundle: Path, fault: Callable[[RegistrySimulator], None]
) -> None:
    """The artifact is whole in the end, and what was done is not counted twice."""
    fault(sim)
    sent: list[int] = []
    registry = client_of(sim.host)

    pushed = push(registry, bundle, sent.append)

    assert bundle.read_bytes() == read(registry, pushed)
    assert sum(sent) == SIZE


def test_a_refusal_in_the_middle_leaves_no_tag(sim: RegistrySimulator, bundle: Path) -> None:
    """A registry that takes no more says so once, and shows nothing."""
    sim.fail("PATCH", UPLOADS, status=413, code="SIZE_INVALID", times=None, skip=1)

    with pytest.raises(RegistryError, match="413") as caught:
        push(client_of(sim.host), bundle)

    assert not caught.value.retryable
    assert client_of(sim.host).describe("site/bundles", "june") is None


def test_a_changed_file_never_gets_its_name(sim: RegistrySimulator, bundle: Path) -> None:
    """A file that is not what its digest says is noticed before the registry is asked to keep it."""
    other = Digest.of(b"the bundle that was approved")
    registry = client_of(sim.host)

    with pytest.raises(IntegrityError, match=r"edge\.tar\.zst is not what its digest says"):
        push_artifact(registry, "site/bundles", "june", bundle, digest=other, media_type=BUNDLE)

    assert (registry.describe("site/bundles", "june"), registry.blob_size("site/bundles", other)) == (None, None)


def test_a_file_that_is_not_there_is_an_error_of_ours(sim: RegistrySimulator, tmp_path: Path) -> None:
    """No OSError escapes."""
    with pytest.raises(StoreError, match=r"cannot read .*absent: No such file"):
        push_artifact(
            client_of(sim.host), "site", "june", tmp_path / "absent", digest=Digest.of(b""), media_type=BUNDLE
        )


def test_credentials_stay_with_the_registry(tmp_path: Path, bundle: Path) -> None:
    """A registry that sends the upload to another server does not get our password sent there."""
    login = Login("courier", "made up")
    with RegistrySimulator(tmp_path / "home", login=login) as home, RegistrySimulator(tmp_path / "other") as other:
        home.set_headers({"location": f"{other.url}/v2/site/bundles/blobs/uploads/1"}, "POST", UPLOADS)

        with pytest.raises(RegistryError):
            push(client_of(home.host, (home.host, "courier", "made up")), bundle)

        assert other.requests
        assert [request for request in other.requests if request.had_authorization] == []


def test_the_environment_changes_nothing(
    sim: RegistrySimulator, bundle: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Neither proxies nor logins that lie around are used, and nothing is printed."""
    (tmp_path / ".netrc").write_text("machine 127.0.0.1 login stranger password from-netrc\n")
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:9")
    monkeypatch.setenv("HTTPS_PROXY", "http://127.0.0.1:9")

    push(client_of(sim.host), bundle)

    assert [request for request in sim.requests if request.had_authorization] == []


def test_nothing_is_printed(sim: RegistrySimulator, bundle: Path, capfd: pytest.CaptureFixture[str]) -> None:
    """A library does not talk to the terminal, not even through the one it uses."""
    push(client_of(sim.host), bundle)

    assert capfd.readouterr() == ("", "")


INTERRUPTIONS: dict[str, Callable[[RegistrySimulator], None]] = {
    "cut three times": lambda sim: sim.cut(after_bytes=MIB, times=3),
    "ended early": lambda sim: sim.truncate(after_bytes=MIB),
    "cut, and no ranges": lambda sim: (sim.cut(after_bytes=MIB), sim.ignore_ranges())[0],
}


@pytest.mark.parametrize("interrupt", INTERRUPTIONS.values(), ids=INTERRUPTIONS)
def test_a_broken_download_is_continued(
    sim: RegistrySimulator, bundle: Path, interrupt: Callable[[RegistrySimulator], None]
) -> None:
    """Every byte comes once, in order, however often the connection breaks."""
    registry = client_of(sim.host)
    pushed = push(registry, bundle)
    interrupt(sim)

    assert bundle.read_bytes() == read(registry, pushed)


def test_a_download_without_progress_is_given_up(sim: RegistrySimulator, bundle: Path) -> None:
    """A registry that gives nothing more ends in an error that can be retried."""
    registry = client_of(sim.host)
    pushed = push(registry, bundle)
    sim.cut(after_bytes=0, times=None)

    with pytest.raises(UnreachableError):
        read(registry, pushed)


def test_an_image_is_not_taken_for_an_artifact(sim: RegistrySimulator) -> None:
    """A tag that holds an image is refused by name, before anything of it is read."""
    sim.put_image(make_image("team/app", layers=(SampleLayer("tar", 1000),)))

    with pytest.raises(BundleError, match=r"team/app:1\.0 is not a bundle that edgelift archived"):
        find_artifact(client_of(sim.host), "team/app", "1.0")

    assert sim.count("GET", "/blobs/") == 0


PUSH = """
import sys
from pathlib import Path
from edgelift.oci.artifact import push_artifact
from edgelift.oci.credentials import Credentials
from edgelift.oci.digest import Digest
from edgelift.oci.registry import Registry
from edgelift.transport import TransportSettings
host, path, digest = sys.argv[1:]
def peak():  # of this program alone: getrusage would count what its parent had when it forked
    return int(Path("/proc/self/status").read_text().partition("VmHWM:")[2].split()[0])
registry = Registry(host, TransportSettings(), Credentials())
before = peak()
push_artifact(registry, "site", "june", Path(path), digest=Digest(digest), media_type="application/octet-stream")
print(peak() - before)
"""


def test_memory_does_not_grow_with_the_file(docker_registry: RunningRegistry, tmp_path: Path) -> None:
    """Pushing 160 MiB takes a chunk or two of memory."""
    large = tmp_path / "large.tar.zst"
    with large.open("wb") as file:
        file.truncate(160 * MIB)
    with large.open("rb") as file:
        digest = f"sha256:{hashlib.file_digest(file, 'sha256').hexdigest()}"
    here = Path(artifact_module.__file__).parents[2]

    run = subprocess.run(
        [sys.executable, "-c", PUSH, docker_registry.host, str(large), digest],
        capture_output=True,
        text=True,
        check=False,
        cwd=here,
        env={**os.environ, "PYTHONPATH": str(here)},
    )

    assert run.stderr == ""
    assert int(run.stdout) * 1024 < 64 * MIB
