"""The blocks: fit for Prefect's forms, kept by a real server, and turned into clients that are let in."""

import json
from pathlib import Path
from typing import Any

import pytest
from prefect.blocks.core import Block
from prefect.testing.standard_test_suites import BlockStandardTestSuite
from pydantic import SecretStr, ValidationError

from blocks import BlobStore, BundleArchive, PaletteCredentials, RegistryCredentials, ResultStorage, SigningKey
from blocks.load import load_block
from blocks.registry import load_registries, open_with_blocks
from deployments.register_blocks import blocks_from
from edgelift.errors import ConfigurationError, DeniedError
from edgelift.oci.descriptor import Descriptor
from edgelift.oci.digest import Digest
from edgelift.site import RegistryAccess
from edgelift.transport import TransportSettings
from tests.certificates import Authority
from tests.integration.prefect_server import PrefectServer
from tests.keys import PASSPHRASE, KeyFiles
from tests.real_parts import RunningRegistry
from tests.simulators.amazon import Amazon
from tests.simulators.http_faults import HttpFaults

PEM = "-----BEGIN CERTIFICATE-----\nMIIB\n-----END CERTIFICATE-----\n"
KEY = {"type": "service_account", "private_key": "-----BEGIN PRIVATE KEY-----\nmade-up\n"}
ECR = "123456789012.dkr.ecr.eu-west-1.amazonaws.com"
BLOB = Descriptor(media_type="application/octet-stream", digest=Digest.of(b"{}"), size=2)

BLOCKS: dict[str, Block] = {
    "palette": PaletteCredentials(endpoint="https://palette.example", api_key="made-up-key", insecure=True),
    "registry with a password": RegistryCredentials(
        registry="mirror.example:5000/edge", username="courier", password="made-up-password", ca_cert=PEM
    ),
    "registry with a service account": RegistryCredentials(registry="us-docker.pkg.dev", service_account=KEY),
    "open registry": RegistryCredentials(registry="127.0.0.1:5000", plain_http=True),
    "registry with a client certificate": RegistryCredentials(
        registry="mirror.example", client_cert=PEM, client_key="-----BEGIN PRIVATE KEY-----\nmade-up\n"
    ),
    "registry at AWS": RegistryCredentials(registry=ECR, aws=True, aws_profile="site"),
    "registry behind a proxy with a limit": RegistryCredentials(registry="mirror.example", largest_request_mib=10),
    "archive": BundleArchive(
        bucket="bundles", prefix="sites/", endpoint="https://s3.example", access_key="made-up-id",
        secret_key="made-up-secret", metadata={"owner": "edge"},
    ),
    "results": ResultStorage(
        bucket="results", endpoint="https://s3.example", access_key="made-up-id", secret_key="made-up-secret"
    ),
    "store": BlobStore(
        bucket="blobs", prefix="store/", endpoint="https://s3.example", region="eu-west-1", access_key="made-up-id",
        secret_key="made-up-secret",
    ),
    "signing key": SigningKey(private_key="-----BEGIN PRIVATE KEY-----\nmade-up\n", passphrase="made-up-passphrase"),
}  # fmt: skip


KINDS = (PaletteCredentials, RegistryCredentials, BundleArchive, BlobStore, ResultStorage, SigningKey)


@pytest.mark.parametrize("block", KINDS)
class TestStandards(BlockStandardTestSuite):
    """What Prefect asks of a block: texts for its form, a code example, a page to read on."""

    @pytest.fixture
    def block(self, request: pytest.FixtureRequest) -> Any:
        """One block class; the parameter takes its place."""
        return request.param

    def test_has_a_valid_image(self, block: type[Block]) -> None:
        """No block has a picture: Prefect's own form shows its placeholder, and nothing is fetched from anywhere."""
        assert block._logo_url is None


@pytest.mark.parametrize("block", BLOCKS.values(), ids=BLOCKS)
def test_a_block_comes_back_as_it_was_saved(prefect: PrefectServer, block: Block) -> None:
    """Saved and loaded again, over what stood there before, every field is the same; secrets are secrets again."""
    with prefect.as_api():
        block.save("round-trip", overwrite=True)
        loaded = load_block(type(block), "round-trip")

    assert loaded == block
    assert "made-up" not in repr(loaded)


@pytest.mark.parametrize("block", BLOCKS.values(), ids=BLOCKS)
def test_the_api_masks_what_is_secret(prefect: PrefectServer, block: Block) -> None:
    """Whoever lists blocks sees stars in place of passwords, keys and service accounts."""
    with prefect.as_api():
        document = block.save("masked", overwrite=True)
    shown = json.dumps(prefect.ask("GET", f"/block_documents/{document}")["data"])

    assert [secret for secret in ("made-up", "PRIVATE KEY") if secret in shown] == []


def test_the_entry_point_makes_the_blocks_known(prefect: PrefectServer) -> None:
    """Installed, the types are registered by name of the module, and load without an import of ours."""
    done = prefect.python("-m", "prefect", "block", "register", "-m", "blocks")
    types = {each["slug"] for each in prefect.ask("POST", "/block_types/filter", {})}
    with prefect.as_api():
        BLOCKS["open registry"].save("by-slug", overwrite=True)
    script = "from prefect.blocks.core import Block; print(type(Block.load('registry-credentials/by-slug')).__module__)"
    loaded = prefect.python("-c", script)

    assert (done.returncode, done.stderr) == (0, "")
    assert {"palette-credentials", "registry-credentials", "bundle-archive", "blob-store", "signing-key"} <= types
    assert loaded.stdout.strip() == "blocks.registry"


# Loading


def test_a_missing_block_is_named(prefect: PrefectServer) -> None:
    """The error says which block there is not, and where to make it."""
    with prefect.as_api(), pytest.raises(ConfigurationError) as raised:
        load_block(PaletteCredentials, "nowhere")

    assert raised.value.message == "Prefect has no block palette-credentials/nowhere"
    assert "deployments.register_blocks" in str(raised.value.hint)


def test_a_block_that_does_not_fit_is_named_without_its_content(prefect: PrefectServer) -> None:
    """Prefect's form cannot check that a login is whole; what loads it says what is wrong, and shows no value."""
    wrong = RegistryCredentials.model_construct(registry="mirror.example", username="courier")
    with prefect.as_api():
        wrong.save("wrong", overwrite=True)
        with pytest.raises(ConfigurationError) as raised:
            load_block(RegistryCredentials, "wrong")

    assert raised.value.message == (
        "the block registry-credentials/wrong cannot be used: document: a user name needs a password"
    )


def test_a_block_for_aws_logs_in_and_creates_repositories(monkeypatch: pytest.MonkeyPatch) -> None:
    """It allows the worker's AWS credentials for its own registry, and no other."""
    block = RegistryCredentials(registry=ECR, aws=True, plain_http=True)
    with Amazon() as amazon:
        environment = {"AWS_ACCESS_KEY_ID": "made-up", "AWS_SECRET_ACCESS_KEY": "made-up", "HTTPS_PROXY": amazon.url}
        for name, value in (environment | {"AWS_ENDPOINT_URL_ECR": amazon.url}).items():
            monkeypatch.setenv(name, value)
        with open_with_blocks(RegistryAccess(docker_config=False), {"site": block}) as connections:
            registry = connections.target(ECR, create_repositories=True)
            registry.upload_blob("team/app", BLOB, lambda: iter([b"{}"]))
            sources = [connections.source_of(host, "team/app") for host in (ECR, ECR.replace("1.ama", "2.ama"))]

    assert (sources, amazon.repositories) == (["block site", "anonymous"], {"team/app"})


def test_a_block_tells_what_its_proxy_lets_through() -> None:
    """In MiB, as people and proxies write it."""
    block = RegistryCredentials(registry="mirror.example", largest_request_mib=10)

    assert block.transport_settings(TransportSettings()).largest_request == 10 * 2**20


def test_a_block_shows_its_client_certificate(tmp_path: Path) -> None:
    """Certificate and key from the block get us in where one is demanded, and leave no file behind."""
    authority = Authority(tmp_path)
    issued = authority.issue("courier")
    with HttpFaults(certificate=authority.issue("127.0.0.1"), client_authority=authority.ca_cert) as server:
        block = RegistryCredentials(
            registry=server.host,
            ca_cert=authority.ca_cert.read_text(),
            client_cert=issued.cert.read_text(),
            client_key=issued.key.read_text(),
        )
        with block.get_client() as connections:
            connections.registry(server.host).log_in()

    assert set(server.shown) == {True}
    assert "PRIVATE KEY" not in repr(block)


WRONG_FIELDS: dict[str, dict[str, Any]] = {
    "two logins": {"registry": "a.example", "username": "u", "password": "made-up", "service_account": KEY},
    "a list": {"registry": "a.example", "username": "u", "password": ["made-up"]},
    "a login and AWS": {"registry": ECR, "username": "u", "password": "made-up", "aws": True},
    "AWS for another registry": {"registry": "a.example", "aws": True, "aws_profile": "made-up"},
    "an AWS profile for nothing": {"registry": ECR, "aws_profile": "made-up"},
    "half a client certificate": {"registry": "a.example", "client_cert": "made-up"},
    "the other half": {"registry": "a.example", "client_key": "made-up"},
    "no registry": {"username": "u", "password": "made-up"},
}


@pytest.mark.parametrize("fields", WRONG_FIELDS.values(), ids=WRONG_FIELDS)
def test_errors_of_fields_do_not_show_them(fields: dict[str, Any]) -> None:
    """A validation error, which Prefect logs with its traceback, has no value in it."""
    with pytest.raises(ValidationError) as raised:
        RegistryCredentials(**fields)

    assert "made-up" not in str(raised.value)


# Registries


def test_a_service_account_logs_in_as_json_key() -> None:
    """Google's registries take the key itself as the password of `_json_key`."""
    found = BLOCKS["registry with a service account"].credentials().find("us-docker.pkg.dev", "project/images/app")

    assert found is not None
    assert (found.username, json.loads(found.password.get_secret_value())) == ("_json_key", KEY)


LOGINS = {
    "below the path": ("mirror.example:5000", "edge/app", "courier"),
    "beside the path": ("mirror.example:5000", "edges/app", None),
    "other port": ("mirror.example", "edge/app", None),
    "other host": ("mirror2.example:5000", "edge/app", None),
}


@pytest.mark.parametrize(("host", "repository", "username"), LOGINS.values(), ids=LOGINS)
def test_a_login_of_one_project_is_for_that_project(host: str, repository: str, username: str | None) -> None:
    """HOST/PATH limits the login to repositories below the path, at exactly that host and port."""
    found = BLOCKS["registry with a password"].credentials().find(host, repository)

    assert (found.username if found else None) == username


def test_transport_settings_are_for_one_registry() -> None:
    """Certificate, plain HTTP and insecurity of a block hold for its registry; everything else stays common."""
    common = TransportSettings(ca_cert=Path("/common.pem"), proxy="http://proxy.example")

    secured = BLOCKS["registry with a password"].transport_settings(common)
    plain = BLOCKS["open registry"].transport_settings(common)

    assert Path(str(secured.ca_cert)).read_text() == PEM
    assert (secured.plain_http, secured.proxy) == (frozenset(), "http://proxy.example")
    assert (plain.plain_http, plain.ca_cert) == ({"127.0.0.1:5000"}, Path("/common.pem"))


def test_a_block_is_let_in(prefect: PrefectServer, secured_registry: RunningRegistry) -> None:
    """With the password and the authority's certificate in its block, a run is let in; without the block it is not."""
    block = RegistryCredentials(
        registry=secured_registry.host,
        username=secured_registry.username,
        password=secured_registry.password,
        ca_cert=Path(str(secured_registry.ca_cert)).read_text(),
    )
    anonymous = RegistryCredentials(registry=secured_registry.host, ca_cert=block.ca_cert)
    with prefect.as_api():
        block.save("secured", overwrite=True)
        access = RegistryAccess(docker_config=False, registries=("secured",))
        with load_registries(access) as connections:
            connections.registry(secured_registry.host).log_in()
            source = connections.source_of(secured_registry.host, "any/image")

    assert source == "block secured"
    with anonymous.get_client() as connections, pytest.raises(DeniedError):
        connections.registry(secured_registry.host).log_in()


# From the environment


def test_blocks_are_made_from_the_environment(prefect: PrefectServer, tmp_path: Path) -> None:
    """Every set of variables becomes a block of its name; secrets may be in files, and none is printed."""
    key_file = tmp_path / "key"
    key_file.write_text("the-key-in-a-file\n")
    keys = KeyFiles.write(tmp_path, "site", PASSPHRASE)
    done = prefect.python(
        "-m",
        "deployments.register_blocks",
        PALETTE_API_KEY_FILE=str(key_file),
        PALETTE_ENDPOINT="https://palette.example",
        REGISTRY_HARBOUR_12_HOST="mirror.example:5000/edge",
        REGISTRY_HARBOUR_12_USERNAME="courier",
        REGISTRY_HARBOUR_12_PASSWORD="made-up-password",
        REGISTRY_LAB_HOST="lab.example",
        REGISTRY_LAB_PLAIN_HTTP="true",
        ARCHIVE_BUCKET="bundles",
        ARCHIVE_SECRET_KEY="made-up-secret",
        ARCHIVE_ACCESS_KEY="made-up-id",
        RESULTS_BUCKET="results",
        RESULTS_SECRET_KEY="made-up-secret",
        RESULTS_ACCESS_KEY="made-up-id",
        STORE_BUCKET="blobs",
        STORE_ENDPOINT="https://s3.example",
        STORE_SECRET_KEY="made-up-secret",
        SIGNING_KEY_FILE=str(keys.private),
        SIGNING_PASSPHRASE=PASSPHRASE,
    )

    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.splitlines() == [
        "registered palette-credentials",
        "registered registry-credentials",
        "registered bundle-archive",
        "registered blob-store",
        "registered result-storage",
        "registered signing-key",
        "saved palette-credentials/palette",
        "saved registry-credentials/harbour-12",
        "saved registry-credentials/lab",
        "saved bundle-archive/bundles",
        "saved result-storage/results",
        "saved blob-store/store",
        "saved signing-key/signing",
    ]
    with prefect.as_api():
        palette = load_block(PaletteCredentials, "palette")
        harbour = load_block(RegistryCredentials, "harbour-12")
        lab = load_block(RegistryCredentials, "lab")
        archive = load_block(BundleArchive, "bundles")
        results = load_block(ResultStorage, "results")
        store = load_block(BlobStore, "store")
        signing = load_block(SigningKey, "signing")
    assert (palette.endpoint, palette.api_key) == ("https://palette.example", SecretStr("the-key-in-a-file"))
    assert (harbour.registry, harbour.username) == ("mirror.example:5000/edge", "courier")
    assert harbour.password == SecretStr("made-up-password")
    assert (lab.plain_http, lab.username) == (True, None)
    assert (archive.bucket, archive.secret_key) == ("bundles", SecretStr("made-up-secret"))
    assert (results.bucket, results.secret_key) == ("results", SecretStr("made-up-secret"))
    assert (store.bucket, store.endpoint, store.access_key) == ("blobs", "https://s3.example", None)
    assert signing.get_client().public_key.pem == keys.public.read_bytes()


def test_an_empty_environment_makes_no_block() -> None:
    """What is not set is left as it is in Prefect."""
    assert blocks_from({"PATH": "/bin", "PALETTE_ENDPOINT": "https://palette.example"}) == {}
