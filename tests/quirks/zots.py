"""A real Zot, where one is installed, and what its source says about the answers to a script of requests.

Zot is a Go program, `zotregistry.dev/zot/v2/cmd/zot` (build it with `-tags minimal`). The module proxy within reach of
the gate does not give that module out, so that its absence is no failure there.
"""

import json
import os
import shutil
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest

from tests.quirks import scripts
from tests.quirks.request_script import Step
from tests.quirks.scripts import (
    BLOB,
    DIGEST,
    DOCKER,
    INDEX,
    NOWHERE,
    OCI,
    OCTETS,
    REFERRER,
    begin,
    get,
    patch,
    put_blob,
)
from tests.real_parts import PATIENCE, missing_parts, running

_HOW = "install the Go program zotregistry.dev/zot/v2/cmd/zot, and have it on the PATH, in $GOBIN or in ~/go/bin"
Answer = tuple[int | None, str]  # status and first error code ("" for none), None for a request that is cut


def zot_script() -> list[tuple[Step, Answer]]:
    """Requests, and how Zot's source answers them (pkg/api/routes.go, pkg/storage/imagestore; read, not run)."""
    other = "/v2/team/other/blobs/uploads/"
    blob = f"team/app/blobs/{DIGEST}"
    mounted: list[tuple[Step, Answer]] = [
        (Step("mount", "POST", f"{other}?mount={DIGEST}&from=team/app"), (201, "")),
        (Step("mount without from", "POST", f"/v2/team/third/blobs/uploads/?mount={DIGEST}"), (201, "")),
        (Step("mount what is not there", "POST", f"{other}?mount={NOWHERE}&from=team/app"), (202, "")),
        (Step("from without mount", "POST", f"{other}?from=team/app"), (405, "")),
    ]
    pushed = [(step, (202 if step.method == "POST" else 201, "")) for step in scripts.push(OCI, "1.0", "1.1", mark="?")]
    pushed += [(step, (202 if step.method == "POST" else 201, "")) for step in scripts.push(INDEX, "1.0", mark="?")]
    pushed += [(step, (202 if step.method == "POST" else 201, "")) for step in scripts.push(REFERRER, mark="?")]
    refused = scripts.push(DOCKER, "1.0", mark="?")
    cut = OCTETS | {"Content-Range": "1000-2999"}
    return [
        (get("version", ""), (200, "")),
        (begin(), (202, "")),
        (Step("status of a fresh session", "GET", "{session}"), (204, "")),
        (patch("first chunk", "session", 0, 1000, keep="second"), (202, "")),
        (Step("status", "GET", "{second}"), (204, "")),
        (Step("status at the older location", "GET", "{session}"), (204, "")),
        (patch("chunk out of order", "second", 2000, 3000), (416, "BLOB_UPLOAD_INVALID")),
        (patch("the same chunk again", "second", 0, 1000), (416, "BLOB_UPLOAD_INVALID")),
        (patch("last chunk", "second", 1000, 3000, keep="third"), (202, "")),
        (put_blob("finish", "third", body=b"", mark="?"), (201, "")),
        (get("blob HEAD", blob, "HEAD"), (200, "")),
        (get("range", blob, Range="bytes=1000-"), (206, "")),
        (Step("status after the end", "GET", "{third}"), (404, "BLOB_UPLOAD_UNKNOWN")),
        (begin("rest"), (202, "")),
        (patch("chunk before the rest", "rest", 0, 1000), (202, "")),
        (put_blob("finish with the rest, placeless", "rest", body=BLOB[1000:], mark="?"), (400, "BLOB_UPLOAD_INVALID")),
        (begin("cut"), (202, "")),
        (patch("chunk before a cut", "cut", 0, 1000), (202, "")),
        (Step("chunk that is cut", "PATCH", "{cut}", cut, BLOB[1000:], cut=400), (None, "")),
        (Step("status after a cut", "GET", "{cut}"), (404, "BLOB_UPLOAD_UNKNOWN")),
        (begin("cancelled"), (202, "")),
        (Step("cancel", "DELETE", "{cancelled}"), (204, "")),
        (Step("cancel again", "DELETE", "{cancelled}"), (404, "BLOB_UPLOAD_UNKNOWN")),
        (Step("whole", "POST", f"{other}?digest={OCI.blobs[-1].digest}", OCTETS, _config()), (201, "")),
        (get("blob that is nowhere", f"team/app/blobs/{NOWHERE}"), (404, "BLOB_UNKNOWN")),
        *mounted,
        *pushed,
        *((step, (202 if step.method == "POST" else 201, "")) for step in refused[:-2]),
        *((step, (415, "MANIFEST_INVALID")) for step in refused[-2:]),
        (get("OCI without Accept", "library/oci/manifests/1.0"), (200, "")),
        (get("index without Accept", "library/index/manifests/1.0"), (200, "")),
        (get("tag that is not there", "library/oci/manifests/9.9"), (404, "MANIFEST_UNKNOWN")),
        (get("tag of an unknown repository", "no/where/manifests/1.0"), (404, "NAME_UNKNOWN")),
        (get("tags", "library/oci/tags/list"), (200, "")),
        (get("tags n", "library/oci/tags/list?n=1"), (200, "")),
        (get("tags n=0", "library/oci/tags/list?n=0"), (200, "")),
        (get("tags after one", "library/oci/tags/list?n=5&last=1.0"), (200, "")),
        (get("tags after none", "library/oci/tags/list?n=5&last=7.7"), (404, "")),
        (get("tags of an unknown repository", "no/where/tags/list"), (404, "NAME_UNKNOWN")),
        (get("referrers", f"library/oci/referrers/{OCI.root.digest}"), (200, "")),
        (Step("delete a tag", "DELETE", "/v2/library/oci/manifests/1.1"), (202, "")),
        (get("tag after that", "library/oci/manifests/1.1"), (404, "MANIFEST_UNKNOWN")),
    ]


def _config() -> bytes:
    return OCI.contents[OCI.blobs[-1].digest]


@contextmanager
def zot_server(folder: Path) -> Iterator[str]:
    """A fresh Zot, by its host; skips the calling test where there is none."""
    folder.mkdir(parents=True, exist_ok=True)
    program = _find_zot()
    address, log = ("127.0.0.1", "0"), folder / "log"
    config = {
        "distSpecVersion": "1.1.1",
        "storage": {"rootDirectory": str(folder / "storage"), "gc": False},
        "http": {"address": address[0], "port": address[1]},
        "log": {"level": "info", "output": str(log)},
    }
    (folder / "config.json").write_text(json.dumps(config))
    with running([program, "serve", str(folder / "config.json")], folder / "output"):
        deadline = time.monotonic() + PATIENCE
        while not (port := _port(log)) or not _answers(f"http://{address[0]}:{port}/v2/"):
            if time.monotonic() > deadline:
                pytest.fail(f"zot does not answer; its output:\n{(folder / 'output').read_text()[-4000:]}")
            time.sleep(0.05)
        yield f"{address[0]}:{port}"


def _find_zot() -> str:
    folders = [os.environ.get("PATH", os.defpath), os.environ.get("GOBIN", ""), str(Path.home() / "go" / "bin")]
    found = shutil.which("zot", path=os.pathsep.join(filter(None, folders)))
    if found is None:
        missing_parts.add("zot")
        pytest.skip(f"zot is not installed: {_HOW}")
    return found


def _port(log: Path) -> str:
    """The port that Zot says it has chosen."""
    if log.exists():
        for line in log.read_text().splitlines():
            with suppress(ValueError):
                entry = json.loads(line)
                if "port is unspecified" in entry.get("message", ""):
                    return str(entry.get("port", ""))
    return ""


def _answers(url: str) -> bool:
    try:
        urllib.request.build_opener(urllib.request.ProxyHandler({})).open(url, timeout=2).close()
    except OSError:
        return False
    return True
