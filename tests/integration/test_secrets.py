"""No secret is left anywhere: passwords, an API key and a signing key are used, rightly and wrongly, then looked for.

The registry is a real one, with a login and over TLS; runs log all they can and persist all they may.
"""

import base64
import ssl
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import httpx
import pytest
import zstandard

from blocks import PaletteCredentials, RegistryCredentials, SigningKey
from edgelift.demo.content import build_demo_images
from edgelift.demo.palette_api import DEMO_PROJECT, create_palette_api
from edgelift.demo.profiles import demo_profiles
from edgelift.serve.server import RunningServer
from edgelift.site import ContentSource, EdgeSite, RegistryAccess, SigningSettings, TargetSettings
from tests.images import load_image
from tests.integration.prefect_server import PrefectServer, State
from tests.integration.traces import database_rows, files_below, find_traces
from tests.keys import encrypt, private_pem
from tests.real_parts import RunningRegistry, secured_registry_server

API_KEY = "the-canary-among-api-keys-5f1d"
WRONG_API_KEY = "the-wrong-canary-among-api-keys-77c0"
WRONG_PASSWORD = "the-wrong-canary-among-passwords-91ab"
PASSPHRASE = "the-canary-among-passphrases-2b8e"
WRONG_PASSPHRASE = "the-wrong-canary-among-passphrases-c4d0"
SERVICE_ACCOUNT = "the-canary-of-a-service-account-03e7"

# All there is to log is logged, and what may be persisted is.
TALKATIVE = {
    "PREFECT_LOGGING_LEVEL": "DEBUG",
    "PREFECT_LOGGING_ROOT_LEVEL": "DEBUG",
    "PREFECT_LOGGING_EXTRA_LOGGERS": "edgelift,httpx,urllib3",
    "PREFECT_LOGGING_TO_API_WHEN_MISSING_FLOW": "ignore",
    "PREFECT_RESULTS_PERSIST_BY_DEFAULT": "true",
}
# The runs: the blocks that each uses (palette, registry, signing), the state it ends in, and what its message must say.
RUNS = {
    "all-is-well": ("palette", "registry", "signing", "COMPLETED", ""),
    "wrong-password": ("palette", "wrong-password", "signing", "FAILED", "401"),
    "wrong-key": ("wrong-key", "registry", "signing", "FAILED", "refused the API key (404)"),
    "two-logins": ("palette", "two-logins", "signing", "FAILED", "give either a password or a service account"),
    "wrong-passphrase": (
        "palette",
        "registry",
        "wrong-passphrase",
        "FAILED",
        "cannot be decrypted with this passphrase",
    ),
}


@dataclass(frozen=True)
class Aftermath:
    """What is left once all runs have ended."""

    server: PrefectServer
    folder: Path
    states: Mapping[str, State]
    secrets: Mapping[str, str]

    def places(self, kind: str) -> Iterator[tuple[str, bytes]]:
        """One kind of places to look at, each with its content."""
        if kind == "database":
            return database_rows(self.server.folder / "prefect" / "prefect.db")
        folders = {
            "prefect home": self.server.folder / "prefect",
            "results": self.server.folder / "prefect" / "storage",
            "store": self.folder / "store",
            "output": self.folder / "output",
            "temporary files": self.folder / "temporary",
            "home": self.server.folder / "home",
        }
        if kind == "logs":
            return ((str(path), path.read_bytes()) for path in self.server.logs.values())
        return files_below(folders[kind])


@pytest.fixture(scope="module")
def aftermath(worker: PrefectServer, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Aftermath]:
    """All runs, one beside the other."""
    folder = tmp_path_factory.mktemp("secrets")
    (folder / "temporary").mkdir()
    with secured_registry_server(folder / "registry") as registry:
        fill(registry)
        palette_api = create_palette_api(demo_profiles(registry.host), API_KEY, denied_status=404)
        with RunningServer(palette_api) as palette:
            private = encrypt(private_pem("site"), PASSPHRASE).decode()
            save_blocks(worker, registry, palette.url, private)
            runs = {name: start(worker, name, registry, folder) for name in RUNS}
            states = {name: worker.wait(run) for name, run in runs.items()}
            secrets = {
                "password": str(registry.password),
                "login": f"{registry.username}:{registry.password}",
                "wrong password": WRONG_PASSWORD,
                "API key": API_KEY,
                "wrong API key": WRONG_API_KEY,
                "service account": SERVICE_ACCOUNT,
                "passphrase": PASSPHRASE,
                "wrong passphrase": WRONG_PASSPHRASE,
                "private key": private_pem("site").decode().splitlines()[5],
                "encrypted private key": private.splitlines()[5],
            }
            yield Aftermath(worker, folder, states, secrets)


def fill(registry: RunningRegistry) -> None:
    """Put the sample images into a registry with a login and a certificate of its own."""
    login, trust = (str(registry.username), str(registry.password)), ssl.create_default_context(cafile=registry.ca_cert)
    with httpx.Client(base_url=registry.url, auth=login, verify=trust, trust_env=False) as client:
        for image in build_demo_images():
            load_image(registry.host, image.repository, image.tag, image, client=client)


def save_blocks(server: PrefectServer, registry: RunningRegistry, palette: str, private: str) -> None:
    """Write the blocks of all runs."""
    common = {"registry": registry.host, "ca_cert": Path(str(registry.ca_cert)).read_text()}
    login = {"username": registry.username, "password": registry.password}
    with server.as_api():
        PaletteCredentials(endpoint=palette, api_key=API_KEY).save("palette", overwrite=True)
        PaletteCredentials(endpoint=palette, api_key=WRONG_API_KEY).save("wrong-key", overwrite=True)
        RegistryCredentials(**common, **login).save("registry", overwrite=True)
        wrong = {**login, "password": WRONG_PASSWORD}
        RegistryCredentials(**common, **wrong).save("wrong-password", overwrite=True)
        # What can be typed into the form of the UI, which knows the types of fields only.
        both = RegistryCredentials.model_construct(**common, **login, service_account={"key": SERVICE_ACCOUNT})
        both.save("two-logins", overwrite=True)
        SigningKey(private_key=private, passphrase=PASSPHRASE).save("signing", overwrite=True)
        SigningKey(private_key=private, passphrase=WRONG_PASSPHRASE).save("wrong-passphrase", overwrite=True)


def start(server: PrefectServer, name: str, registry: RunningRegistry, folder: Path) -> str:
    """Start one of `RUNS`."""
    palette_block, registry_block, signing_block, _, _ = RUNS[name]
    site = EdgeSite(
        name=name,
        source=ContentSource(profiles=("edge-infra", "hello-site"), project=DEMO_PROJECT.name, palette=palette_block),
        target=TargetSettings(registry=f"{registry.host}/{name}"),
        access=RegistryAccess(docker_config=False, registries=(registry_block,)),
        signing=SigningSettings(block=signing_block),
        deep=True,
    )
    places = {"output": str(folder / "output"), "store": str(folder / "store")}
    return server.start(server.deploy(site), places, {**TALKATIVE, "TMPDIR": str(folder / "temporary")})


@pytest.mark.parametrize("name", RUNS)
def test_runs_end_as_they_should(aftermath: Aftermath, name: str) -> None:
    """The search below is worth something only if the secrets were used: rightly once, and wrongly in every way."""
    _, _, _, state, message = RUNS[name]

    assert aftermath.states[name].type == state
    assert message in aftermath.states[name].message


@pytest.mark.parametrize(
    "kind", ["database", "prefect home", "results", "logs", "output", "store", "temporary files", "home"]
)
def test_no_secret_is_left_behind(aftermath: Aftermath, kind: str) -> None:
    """Neither parameters, inputs, results, artifacts, states, events, logs nor files hold a secret in any spelling."""
    places = list(aftermath.places(kind))

    found = {name: find_traces(secret, places) for name, secret in aftermath.secrets.items()}

    assert found == {name: [] for name in aftermath.secrets}


def test_the_search_reaches_what_it_should(aftermath: Aftermath, tmp_path: Path) -> None:
    """What is known to be there is found, and so is a secret in base64, in a URL or in a bundle."""
    rows = dict(database_rows(aftermath.server.folder / "prefect" / "prefect.db"))
    assert {"flow_run.parameters", "log.message", "artifact.data", "events.payload", "block_document.data"} <= set(rows)
    for kind in ("database", "results", "logs", "output", "store"):
        assert find_traces("demo/nginx", aftermath.places(kind)), kind
    (tmp_path / "a.json").write_text(base64.b64encode(b"in a pickle: " + API_KEY.encode() + b".").decode())
    (tmp_path / "b.zst").write_bytes(zstandard.compress(b"in a member: " + API_KEY.encode()))
    (tmp_path / "c.txt").write_text("nothing")

    found = find_traces(API_KEY, files_below(tmp_path))

    assert {str(tmp_path / "a.json"), f"{tmp_path / 'b.zst'}, decompressed"} <= set(found)
    assert str(tmp_path / "c.txt") not in found
