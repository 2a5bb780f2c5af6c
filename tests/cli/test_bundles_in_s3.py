"""Commands over a bundle in S3: they read it where it lies, with the server and the keys of the environment."""

import signal
import subprocess
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from urllib.parse import urlsplit

import httpx
import pytest

from bench.wire import Forwarder
from edgelift.demo.content import SampleLayer, make_image
from tests.cli.commands import EDGELIFT, PATIENCE, CommandLine, files_below, make_bundle
from tests.real_parts import RunningS3
from tests.simulators.registry import RegistrySimulator

APP = make_image("team/app", layers=(SampleLayer("gzip", 3_000_000), SampleLayer("tar", 500_000)))
TOOL = make_image("team/tool")
URL = "s3://command-line/site.tar.zst"


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RegistrySimulator]:
    """A registry with two images."""
    with RegistrySimulator(tmp_path_factory.mktemp("source")) as simulator:
        simulator.put_image(APP, TOOL)
        yield simulator


@pytest.fixture(scope="module")
def bundle(source: RegistrySimulator, s3_server: RunningS3, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A bundle of them, which is also at `URL`."""
    path = make_bundle(tmp_path_factory.mktemp("bundle"), source.host, APP, TOOL)
    bucket, _, key = URL.removeprefix("s3://").partition("/")
    s3_server.make_bucket(bucket)
    s3_server.client().put_object(Bucket=bucket, Key=key, Body=path.read_bytes())
    return path


@pytest.fixture
def counter(s3_server: RunningS3) -> Iterator[Forwarder]:
    """A forwarder before the S3 server that counts."""
    forwarder = Forwarder(urlsplit(s3_server.endpoint).netloc)
    forwarder.start()
    yield forwarder
    forwarder.close()


@pytest.fixture
def with_keys(command_line: CommandLine, bundle: Path, counter: Forwarder, s3_server: RunningS3) -> CommandLine:
    """The command line, with what boto3 needs in its environment."""
    environment = {
        "AWS_ENDPOINT_URL": f"http://{counter.host}",
        "AWS_ACCESS_KEY_ID": s3_server.access_key,
        "AWS_SECRET_ACCESS_KEY": s3_server.secret_key,
    }
    return replace(command_line, environment=environment)


def test_it_is_inspected_like_a_file(with_keys: CommandLine, bundle: Path, counter: Forwarder) -> None:
    """The same document but for the name, and no blob is read for it."""
    here, there = (with_keys.run("inspect", each, "--json").document for each in (bundle, URL))

    assert (here.pop("file"), there.pop("file")) == (str(bundle), URL)
    assert here == there
    assert counter.meter.take().down < 100_000


def test_it_is_verified_like_a_file(with_keys: CommandLine, bundle: Path) -> None:
    """The verdict and the digest are those of the file."""
    here, there = (with_keys.run("verify", each, "--json").document for each in (bundle, URL))

    assert there == {**here, "file": URL}
    assert there["verdict"] == "ok"


def test_a_registry_is_validated_against_it(with_keys: CommandLine, source: RegistrySimulator) -> None:
    """What `--file` takes can lie in S3; here nothing has been delivered yet, and every reference is missing."""
    outcome = with_keys.run("validate", "--file", URL, "--registry", f"{source.host}/elsewhere", "--json")

    assert (outcome.code, outcome.document["counts"]["missing"]) == (3, 2)


def test_it_is_pushed_without_a_file(with_keys: CommandLine, api: str, tmp_path: Path) -> None:
    """A dry run, then the push: all images are at the target, and no copy of the bundle was made."""
    with RegistrySimulator(tmp_path / "target") as target:
        rehearsed = with_keys.run("push", "--dry-run", "--file", URL, "--registry", target.host, "--json")
        pushed = with_keys.run(
            "push", "--file", URL, "--registry", target.host, "--output", "out", "--json", PREFECT_API_URL=api
        )

    assert (rehearsed.code, len(rehearsed.document["pushes"])) == (0, 2)
    assert pushed.code == 0, pushed.err
    assert pushed.document["counts"]["ok"] == 2
    assert not [name for name in files_below(with_keys.folder / "out") if name.endswith(".zst")]


def test_it_is_served_without_a_file(with_keys: CommandLine, source: RegistrySimulator, counter: Forwarder) -> None:
    """The registry is there at once, and a blob that is asked for is read then."""
    process = subprocess.Popen(
        [EDGELIFT, "serve", URL, "--port", "0"],
        cwd=with_keys.folder,
        env=with_keys.full_environment,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stderr is not None
    address = process.stderr.readline().rpartition("listening on ")[2].strip()
    begun = counter.meter.take().down
    layer = max(APP.blobs, key=lambda blob: blob.size)
    home = f"{address}/v2/{source.host.replace(':', '_')}/team/app/blobs/{layer.digest}"
    content = httpx.get(home, trust_env=False, timeout=PATIENCE).content
    read = counter.meter.take().down
    process.send_signal(signal.SIGINT)
    _, said = process.communicate(timeout=PATIENCE)

    assert APP.contents[layer.digest] == content
    assert begun < 100_000 <= layer.size <= read < 1.1 * layer.size
    assert (process.returncode, said) == (0, "")


BAD = {
    "not there": ("s3://command-line/none.tar.zst", 1, "cannot read s3://command-line/none.tar.zst"),
    "no bucket": ("s3://no-such-bucket/site.tar.zst", 1, "make the bucket, or check its name"),
    "no key": ("s3://command-line", 2, "write it as s3://bucket/key"),
}


@pytest.mark.parametrize("command", ["inspect", "verify", "serve", "push --registry 127.0.0.1:1 --file"])
@pytest.mark.parametrize(("url", "code", "message"), BAD.values(), ids=BAD)
def test_what_cannot_be_read_is_told(with_keys: CommandLine, command: str, url: str, code: int, message: str) -> None:
    """One message with the next step, before anything else begins."""
    outcome = with_keys.run(*command.split(), url)

    assert (outcome.code, message in outcome.error) == (code, True), outcome.err
    assert "Traceback" not in outcome.err


def test_keys_that_are_nowhere_are_asked_for(with_keys: CommandLine) -> None:
    """Without keys the error says what is missing, and is one of configuration."""
    outcome = with_keys.run(
        "inspect", URL, AWS_ACCESS_KEY_ID="", AWS_SECRET_ACCESS_KEY="", AWS_EC2_METADATA_DISABLED="true"
    )

    assert (outcome.code, "give an access key and a secret key" in outcome.error) == (2, True), outcome.err
