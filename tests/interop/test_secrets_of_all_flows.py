"""No secret is left anywhere by the flows that `test_secrets.py` does not run, nor by automations and blocks for S3.

It takes a minute of computing, so that the usual run leaves it out.

Every secret is a canary of its own. They are used, rightly and wrongly, where all that can be logged is logged and all
that may be kept is kept; then they are looked for in the whole database, in the logs, in S3 and in every file.
"""

import json
import logging
import tempfile
from base64 import b64encode
from collections import defaultdict
from collections.abc import Iterable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest
import zstandard
from prefect import Flow
from prefect.settings import (
    PREFECT_LOGGING_TO_API_ENABLED,
    PREFECT_RESULTS_DEFAULT_STORAGE_BLOCK,
    PREFECT_RESULTS_PERSIST_BY_DEFAULT,
    temporary_settings,
)
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from blocks import BlobStore, BundleArchive, PaletteCredentials, RegistryCredentials, ResultStorage, SigningKey
from deployments.deploy_automations import main as deploy_automations
from deployments.register_blocks import blocks_from
from edgelift.demo.content import build_demo_images
from edgelift.demo.palette_api import DEMO_PROJECT, create_palette_api
from edgelift.demo.profiles import demo_profiles
from edgelift.serve.access import Login
from edgelift.serve.server import RunningServer
from edgelift.site import ArchiveSettings, ContentSource, EdgeSite, RegistryAccess, SigningSettings, TargetSettings
from flows.audit_site import audit_site
from flows.build_bundle import build_bundle
from flows.keep_archive import keep_archive
from flows.keep_store import keep_store
from flows.push_bundle import push_bundle
from flows.refresh_bundle import refresh_bundle
from flows.sync_fleet import sync_fleet
from tests.integration.occasions import events_of, open_inbox
from tests.integration.prefect_server import PrefectServer, prefect_server_at, wait_for
from tests.integration.sites import Site
from tests.integration.test_approval import YES, Delivery
from tests.integration.test_automations import happen
from tests.integration.traces import database_rows, files_below, find_traces
from tests.keys import KeyFiles, encrypt, private_pem
from tests.real_parts import RunningS3
from tests.simulators.registry import RegistrySimulator

CANARIES = {
    "password of the source": "the-canary-of-the-source-7d02",
    "password of the target": "the-canary-of-the-target-c118",
    "wrong password": "the-canary-that-opens-nothing-44e9",
    "API key": "the-canary-of-palette-0b6a",
    "wrong API key": "the-canary-unknown-to-palette-d35f",
    "passphrase": "the-canary-of-the-key-91c4",
    "wrong passphrase": "the-canary-of-no-key-2e70",
    "wrong S3 key": "the-canary-of-no-bucket-8a1b",
    "web hook": "the-canary-of-the-hook-f6d3",
    "web hook that refuses": "the-canary-of-the-deaf-hook-50c7",
    "mail key": "the-canary-of-the-mail-b20e",
}
PLANTED = "the-canary-that-is-put-there-6c95"
KINDS = ("database", "Prefect's home", "worker's home", "logs", "files", "S3")
BUCKETS = ("canary-store", "canary-archive", "canary-results")
SITE = "lighthouse"
# Where a web hook refuses a notice, Prefect's server logs its address; docs/operating.md warns of it.
KNOWN = {"logs": {"web hook that refuses"}}
# How each run ends, and what a refusal has to say: the search proves something only where the secrets were used.
RUNS = {
    "build": ("COMPLETED", ""),
    "build with a wrong API key": ("FAILED", "refused the API key (404)"),
    "build with a wrong S3 key": ("FAILED", "403"),
    "push": ("COMPLETED", ""),
    "push with a wrong S3 key": ("FAILED", "403"),
    "sync that waits for approval": ("Suspended", ""),
    "sync that is approved": ("Completed", ""),
    "fleet": ("COMPLETED", ""),
    "fleet with a wrong password": ("FAILED", "1 of 1 sites"),
    "audit": ("COMPLETED", ""),
    "audit of what has drifted": ("FAILED", "missing"),
    "refresh": ("COMPLETED", ""),
    "store that is mended": ("COMPLETED", ""),
    "archive": ("COMPLETED", ""),
    "archive with a wrong S3 key": ("FAILED", "403"),
    "refresh with a wrong passphrase": ("FAILED", "cannot be decrypted with this passphrase"),
}


@dataclass
class DeafHook:
    """A web hook that refuses everything."""

    asked: int = 0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer 404, and count it."""
        await Response(status_code=404)(scope, receive, send)
        self.asked += 1


@dataclass
class Stage:
    """Registries that ask for a login, a Palette that asks for a key, a folder for all that is written; what ended."""

    prefect: PrefectServer
    s3: RunningS3
    folder: Path
    source: RegistrySimulator
    target: RegistrySimulator
    palette: str
    key: str  # PEM, encrypted
    ended: dict[str, tuple[str, str]] = field(default_factory=dict)
    runs: list[str] = field(default_factory=list)

    @property
    def secrets(self) -> dict[str, str]:
        """All that must not be found, by what it is."""
        keys = {"key": private_pem("site").decode(), "encrypted key": self.key}
        return {**CANARIES, "S3 key": self.s3.secret_key, **{name: pem.splitlines()[5] for name, pem in keys.items()}}

    def run(self, name: str, flow: Flow[Any, Any], /, **parameters: Any) -> Any:
        """Carry out one of `RUNS` in this process; its result, or its error."""
        attempt = self.prefect.run(flow, parameters)
        self.ended[name] = (attempt.state, str(attempt.outcome))
        self.runs.append(attempt.run)
        return attempt.outcome

    def approve(self, site: EdgeSite) -> None:
        """Carry out the runs of a site whose delivery somebody has to approve."""
        delivery = Delivery(self.prefect, Site(self.folder, self.source, self.target, ()), site)
        self.ended["sync that waits for approval"] = (delivery.carry_out()[0], "")
        delivery.answer(YES)
        state, outcome = delivery.carry_out()
        self.ended["sync that is approved"] = (state, str(outcome))

    def places(self, kind: str) -> Iterator[tuple[str, bytes]]:
        """One of `KINDS` of places, each with its content."""
        folders = {
            "Prefect's home": self.prefect.folder / "prefect",
            "worker's home": self.prefect.folder / "home",
            "files": self.folder,
        }
        if kind == "database":
            return column_by_column(database_rows(folders["Prefect's home"] / "prefect.db"))
        if kind == "logs":
            logs = (*self.prefect.logs.values(), self.folder / "everything.log")
            return ((str(path), path.read_bytes()) for path in logs if path.exists())
        return self.objects() if kind == "S3" else files_below(folders[kind])

    def objects(self) -> Iterator[tuple[str, bytes]]:
        """All objects of `BUCKETS`, each with what is said of it; what is compressed, is read, too."""
        client = self.s3.client()
        for bucket in BUCKETS:
            for page in client.get_paginator("list_objects_v2").paginate(Bucket=bucket):
                for key in (each["Key"] for each in page.get("Contents", ())):
                    found = client.get_object(Bucket=bucket, Key=key)
                    content = found["Body"].read()
                    yield f"{bucket}/{key}", json.dumps(found["Metadata"]).encode() + content
                    if key.endswith(".tar.zst"):
                        yield f"{bucket}/{key}, decompressed", decompress(content)


def column_by_column(rows: Iterable[tuple[str, bytes]]) -> Iterator[tuple[str, bytes]]:
    """The values of each column as one text, which is searched far sooner than each by itself."""
    columns = defaultdict[str, list[bytes]](list)
    for column, value in rows:
        columns[column].append(value)
    return ((column, b"\n".join(values)) for column, values in columns.items())


def decompress(content: bytes) -> bytes:
    """All frames of it."""
    reader = zstandard.ZstdDecompressor().stream_reader(content, read_across_frames=True)
    return bytes(reader.read())


@pytest.fixture(scope="module")
def prefect(tmp_path_factory: pytest.TempPathFactory) -> Iterator[PrefectServer]:
    """A server of its own."""
    with prefect_server_at(tmp_path_factory.mktemp("prefect")) as server:
        yield server


@pytest.fixture(scope="module")
def aftermath(
    prefect: PrefectServer, s3_server: RunningS3, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Stage]:
    """What is left once all runs have ended, and everybody has been told who is to be told."""
    folder, registries = tmp_path_factory.mktemp("canaries"), tmp_path_factory.mktemp("registries")
    deaf = DeafHook()
    with ExitStack() as parts:
        logins = {name: Login(name, CANARIES[f"password of the {name}"]) for name in ("source", "target")}
        source, target = (
            parts.enter_context(RegistrySimulator(registries / name, login=login)) for name, login in logins.items()
        )
        source.put_image(*build_demo_images())
        api = create_palette_api(demo_profiles(source.host), CANARIES["API key"], denied_status=404)
        palette = parts.enter_context(RunningServer(api)).url
        key = encrypt(private_pem("site"), CANARIES["passphrase"]).decode()
        stage = Stage(prefect, s3_server, folder, source, target, palette, key)
        inbox, refusing = parts.enter_context(open_inbox()), parts.enter_context(RunningServer(deaf))
        save_blocks(stage, inbox.url, refusing.url)
        parts.enter_context(everything_is_kept(folder))
        parts.enter_context(notices(prefect, "inbox", "deaf"))
        parts.enter_context(planted(stage))
        carry_out(stage)
        inbox.wait(prefect, f"{SITE} has drifted")
        # By the second time, the server has said whatever it says about the first.
        wait_for(lambda: deaf.asked > 1, "a notice that is refused twice", prefect.logs["server"])
        events_of(prefect, stage.runs[-1], "edgelift.failed")
        prefect.log_of(stage.runs[-1])
        yield stage


def save_blocks(stage: Stage, hook: str, deaf_hook: str) -> None:
    """Save the blocks of all runs, with right secrets and with wrong ones."""
    for bucket in BUCKETS:
        stage.s3.make_bucket(bucket)
    place = {"endpoint": stage.s3.endpoint, "access_key": stage.s3.access_key, "secret_key": stage.s3.secret_key}
    wrong_place = {**place, "secret_key": CANARIES["wrong S3 key"]}
    addresses = {"inbox": f"{hook}/{CANARIES['web hook']}", "deaf": f"{deaf_hook}/{CANARIES['web hook that refuses']}"}
    mail = {"NOTIFY_EMAIL_FROM": "a@site.example", "NOTIFY_EMAIL_TO": "b@site.example"}
    blocks = {
        "canary": [
            PaletteCredentials(endpoint=stage.palette, api_key=CANARIES["API key"]),
            BlobStore(bucket="canary-store", **place),
            BundleArchive(bucket="canary-archive", keep=1, **place),
            ResultStorage(bucket="canary-results", **place),
            SigningKey(private_key=stage.key, passphrase=CANARIES["passphrase"]),
        ],
        "wrong-canary": [
            PaletteCredentials(endpoint=stage.palette, api_key=CANARIES["wrong API key"]),
            BlobStore(bucket="canary-store", **wrong_place),
            BundleArchive(bucket="canary-archive", **wrong_place),
            SigningKey(private_key=stage.key, passphrase=CANARIES["wrong passphrase"]),
            registry(stage.target, "target", "wrong password"),
        ],
        "source": [registry(stage.source, "source", "password of the source")],
        "target": [registry(stage.target, "target", "password of the target")],
        **{name: [blocks_from({"NOTIFY_WEBHOOK_URL": url})["notify-webhook"]] for name, url in addresses.items()},
        "mail": [blocks_from({"NOTIFY_SENDGRID_API_KEY": CANARIES["mail key"], **mail})["notify-email"]],
    }
    with stage.prefect.as_api():
        for name, several in blocks.items():
            for block in several:
                block.save(name, overwrite=True)


def registry(simulator: RegistrySimulator, user: str, password: str) -> RegistryCredentials:
    """The block of a registry."""
    return RegistryCredentials(registry=simulator.host, username=user, password=CANARIES[password])


@contextmanager
def everything_is_kept(folder: Path) -> Iterator[None]:
    """What libraries and Prefect log goes to a file, runs log to the API as well, and all results are kept in S3."""
    (folder / "temporary").mkdir()
    settings = {
        PREFECT_LOGGING_TO_API_ENABLED: True,
        PREFECT_RESULTS_PERSIST_BY_DEFAULT: True,
        PREFECT_RESULTS_DEFAULT_STORAGE_BLOCK: "result-storage/canary",
    }
    file, root = logging.FileHandler(folder / "everything.log"), logging.getLogger()
    loggers = [root, *map(logging.getLogger, ("prefect", "botocore"))]
    levels = {each: each.level for each in (*loggers, *root.handlers)}
    with pytest.MonkeyPatch.context() as patch, temporary_settings(settings):
        patch.setattr(tempfile, "tempdir", str(folder / "temporary"))
        patch.setenv("XDG_CACHE_HOME", str(folder / "cache"))
        for each in levels:  # to show all of it in a terminal would take longer than the runs
            each.setLevel(logging.DEBUG if isinstance(each, logging.Logger) else logging.WARNING)
        logging.getLogger("botocore").setLevel(logging.INFO)  # of whose hundred thousand lines nobody could read one
        root.addHandler(file)
        yield
        root.removeHandler(file)
        for each, level in levels.items():
            each.setLevel(level)
        file.close()


@contextmanager
def notices(prefect: PrefectServer, *hooks: str) -> Iterator[None]:
    """The automations, with notices to these web hooks; removed in the end."""
    with prefect.as_api():
        deploy_automations([part for hook in hooks for part in ("--notify", f"custom-webhook/{hook}")])
    yield
    with prefect.as_api():
        deploy_automations(["--remove"])


def carry_out(stage: Stage) -> None:
    """Bring about all of `RUNS`."""
    keys = KeyFiles.write(stage.folder.parent / "canary-keys", "site")
    content = {
        "source": profiles("canary"),
        "access": access_by("source", "target"),
        "signing": SigningSettings(block="canary"),
        "archive": ArchiveSettings(block="canary"),
    }
    places = {"output": str(stage.folder / "output"), "store": str(stage.folder / "store")}
    in_s3 = {"output": places["output"], "store": "block:canary"}

    built = stage.run("build", build_bundle, name="canary-build", **content, **in_s3)
    unknown = {**content, "source": profiles("wrong-canary")}
    stage.run("build with a wrong API key", build_bundle, name="canary-build", **unknown, **in_s3)
    closed = {**in_s3, "store": "block:wrong-canary"}
    stage.run("build with a wrong S3 key", build_bundle, name="canary-build", **content, **closed)

    pushed = {
        "bundle": built.archived,
        "target": TargetSettings(registry=f"{stage.target.host}/pushed"),
        "access": access_by("target"),
        "output": places["output"],
        "public_key": str(keys.public),
    }
    stage.run("push", push_bundle, archive_block="canary", **pushed)
    stage.run("push with a wrong S3 key", push_bundle, archive_block="wrong-canary", **pushed)

    site = EdgeSite(
        name=SITE,
        target=TargetSettings(registry=f"{stage.target.host}/{SITE}"),
        public_key=str(keys.public),
        **content,
    )
    stage.approve(site.model_copy(update={"name": "approved-canary", "approval": True}))
    stage.run("fleet", sync_fleet, sites=(site,), **places)
    locked_out = site.model_copy(update={"name": "locked-out-canary", "access": access_by("source", "wrong-canary")})
    stage.run("fleet with a wrong password", sync_fleet, sites=(locked_out,), **places)
    stage.run("audit", audit_site, site=site, **places)
    lose_something(stage)
    stage.run("audit of what has drifted", audit_site, site=site, **places)

    stage.run("refresh", refresh_bundle, name="refreshed-canary", **content, **places)
    max((stage.folder / "store" / "blobs").rglob("*"), key=lambda path: path.stat().st_size).unlink()
    stage.run("store that is mended", keep_store, store=places["store"], repair=True, access=access_by("source"))
    stage.run("archive", keep_archive, archive=content["archive"], delete=True)
    stage.run("archive with a wrong S3 key", keep_archive, archive=ArchiveSettings(block="wrong-canary"), keep=1)
    unsigned = {**content, "signing": SigningSettings(block="wrong-canary")}
    stage.run("refresh with a wrong passphrase", refresh_bundle, name="refreshed-canary", **unsigned, **places)


def profiles(palette: str) -> ContentSource:
    """The profiles of the demo, as that block gets them."""
    return ContentSource(profiles=("edge-infra", "hello-site"), project=DEMO_PROJECT.name, palette=palette)


def access_by(*blocks: str) -> RegistryAccess:
    """The logins of these blocks, and no others."""
    return RegistryAccess(docker_config=False, registries=blocks)


def lose_something(stage: Stage) -> None:
    """The registry of the site forgets a tag."""
    content = stage.target.content
    repository = next(each for each in content.repositories() if each.startswith(f"{SITE}/"))
    content.delete_tag(repository, content.tags(repository)[0])


@contextmanager
def planted(stage: Stage) -> Iterator[None]:
    """A canary in every kind of place, in one spelling or another."""
    ask, moment = stage.prefect.ask, datetime.now(UTC).isoformat()
    flow = ask("POST", "/flows/", {"name": "planted"})
    parameters = {"note": b64encode(f"so: {PLANTED}".encode()).decode()}
    run = ask("POST", "/flow_runs/", {"flow_id": flow["id"], "parameters": parameters, "tags": [quote(f"<{PLANTED}>")]})
    log = {"name": "planted", "level": 10, "message": f"'{PLANTED}'", "timestamp": moment, "flow_run_id": run["id"]}
    ask("POST", "/logs/", [log])
    ask("POST", "/artifacts/", {"key": "planted", "type": "markdown", "data": f"`{PLANTED}`"})
    happen(stage.prefect, "edgelift.planted", "site", "planted", note=PLANTED)
    logging.getLogger("httpx").debug("asked with %s", PLANTED.encode().hex())
    stage.s3.client().put_object(Bucket=BUCKETS[0], Key="planted", Body=b"", Metadata={"note": PLANTED})
    homes = (stage.prefect.folder / "prefect", stage.prefect.folder / "home", stage.folder)
    files = [folder / "planted.tar.zst" for folder in homes]
    for file in files:
        file.write_bytes(zstandard.compress(PLANTED.encode()))
    yield
    for file in files:
        file.unlink()


@pytest.mark.parametrize("name", RUNS)
def test_runs_end_as_they_should(aftermath: Stage, name: str) -> None:
    """Each secret is used, and what is wrong is refused with a reason that the search below has to be clean of."""
    (state, outcome), (wanted, says) = aftermath.ended[name], RUNS[name]

    assert (state, says in outcome) == (wanted, True), outcome


@pytest.mark.parametrize("kind", KINDS)
def test_no_secret_is_left_behind(aftermath: Stage, kind: str) -> None:
    """Prefect has them in its block documents, encrypted, and nobody else has them, in any spelling."""
    places = list(aftermath.places(kind))

    found = {name: find_traces(secret, places) for name, secret in aftermath.secrets.items()}

    assert {name for name, where in found.items() if where} == KNOWN.get(kind, set()), found


@pytest.mark.parametrize("kind", KINDS)
def test_what_was_put_there_is_found(aftermath: Stage, kind: str) -> None:
    """The search reaches every kind of place."""
    columns = {"flow_run.parameters", "flow_run.tags", "log.message", "artifact.data", "events.payload"}

    found = find_traces(PLANTED, aftermath.places(kind))

    assert found
    assert kind != "database" or columns <= set(found)


def test_the_secrets_are_in_their_blocks(aftermath: Stage) -> None:
    """All of them are known to Prefect, which tells them to whoever may ask for secrets, and to nobody else."""
    asked = {"limit": 200, "include_secrets": True}
    shown = json.dumps(aftermath.prefect.ask("POST", "/block_documents/filter", asked))
    masked = json.dumps(aftermath.prefect.ask("POST", "/block_documents/filter", {"limit": 200}))

    assert [name for name, secret in CANARIES.items() if secret not in shown] == []
    assert [name for name, secret in aftermath.secrets.items() if secret in masked] == []


def test_the_places_hold_what_runs_leave(aftermath: Stage) -> None:
    """Receipts, reports, bundles, results, and what was logged on the way."""
    files, objects = dict(aftermath.places("files")), dict(aftermath.places("S3"))

    names = {Path(name).name for name in files}
    assert {f"{SITE}.receipt.json", f"{SITE}.drift.json", "canary-build.report.html", "fleet.json"} <= names
    assert {name.partition("/")[0] for name in objects} == set(BUCKETS)
    log = files[str(aftermath.folder / "everything.log")]
    assert all(word in log for word in (b"pulled", b"401", b"connect_tcp"))
