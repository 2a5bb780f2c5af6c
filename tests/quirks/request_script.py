"""A script of requests, played against two registries that are to answer alike, and what is compared of the answers.

Compared are status, error codes, the headers named in `HEADERS` and the content of what is good. Ports, upload names,
their signed state and the order in which a registry that does not sort lists its tags are made equal first.
"""

import hashlib
import http.client
import json
import re
import socket
import struct
import time
from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field, replace
from typing import Any
from urllib.parse import urlsplit

HEADERS = (
    "accept-ranges",
    "allow",
    "blob-upload-uuid",
    "cache-control",
    "content-length",
    "content-range",
    "content-type",
    "docker-content-digest",
    "docker-distribution-api-version",
    "docker-upload-uuid",
    "etag",
    "link",
    "location",
    "oci-filters-applied",
    "oci-subject",
    "range",
)
SIGNED = "application/vnd.docker.distribution.manifest.v1+prettyjws"
_UUID = re.compile(r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}")
_STATE = re.compile(r"_state=[^&]*")
_TIMEOUT = 20  # seconds
_SETTLING = 0.5  # seconds until a server has seen the end of a connection, and put away what had arrived


@dataclass(frozen=True)
class Step:
    """One request. `{names}` in `url` stand for kept locations; `keep` is the name this answer's Location gets.

    `cut` sends only so many bytes of the body, then resets the connection; there is no answer to compare then.
    """

    title: str
    method: str
    url: str
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes = b""
    keep: str = ""
    cut: int | None = None


@dataclass(frozen=True)
class Observed:
    """What is compared of one answer. `content` is the codes of errors, the JSON of lists, the hash of all else."""

    title: str
    status: int | None
    headers: Mapping[str, str]
    content: Any


def play(host: str, steps: Iterable[Step]) -> list[Observed]:
    """The answers of the registry at `host` to `steps`, each on a connection of its own."""
    kept: dict[str, str] = {}
    observed = []
    for step in steps:
        request = replace(step, url=step.url.format(**kept))
        if step.cut is not None:
            _send_cut(host, request)
            observed.append(Observed(step.title, None, {}, "cut"))
            continue
        answer, location = _exchange(host, request)
        if step.keep:
            kept[step.keep] = location
        observed.append(answer)
    return observed


def _exchange(host: str, step: Step) -> tuple[Observed, str]:
    connection = http.client.HTTPConnection(host, timeout=_TIMEOUT)
    try:
        connection.putrequest(step.method, step.url, skip_accept_encoding=True)
        for name, value in ({"Content-Length": str(len(step.body))} | dict(step.headers)).items():
            connection.putheader(name, value)
        connection.endheaders(step.body)
        response = connection.getresponse()
        given = {name.lower(): value for name, value in response.getheaders()}
        try:
            body, is_whole = response.read(), True
        except http.client.IncompleteRead as error:
            body, is_whole = error.partial, False
    finally:
        connection.close()
    headers = {name: _plain(given[name], host) for name in HEADERS if name in given}
    content = _content(response.status, body, given.get("content-type", ""))
    if response.status >= 400 and is_whole:
        headers.pop("content-length", None)  # of the message, whose words are each registry's own
    if headers.get("content-type") == SIGNED:
        headers, content = {"content-type": SIGNED}, "signed anew at each start"
    if not is_whole:
        content = [content, f"{len(body)} bytes, fewer than were announced"]
    return Observed(step.title, response.status, headers, content), _path(given.get("location", ""))


def _send_cut(host: str, step: Step) -> None:
    """Send a part of the request, reset the connection once the server has had time to read it."""
    name, _, port = host.rpartition(":")
    headers = {"Host": host, "Content-Length": str(len(step.body))} | dict(step.headers)
    head = "\r\n".join([f"{step.method} {step.url} HTTP/1.1", *(f"{k}: {v}" for k, v in headers.items()), "", ""])
    with socket.create_connection((name, int(port)), timeout=_TIMEOUT) as connection:
        connection.sendall(head.encode() + step.body[: step.cut])
        connection.settimeout(_SETTLING)
        with suppress(TimeoutError):  # nothing comes: the server waits for the rest
            connection.recv(1)
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    time.sleep(_SETTLING)


def _content(status: int, body: bytes, media_type: str) -> Any:
    if status >= 400:
        try:
            return [error["code"] for error in json.loads(body)["errors"]]
        except (ValueError, LookupError, TypeError):
            return "no error document" if body else ""
    if media_type.startswith("application/json") and body:
        document = json.loads(body)
        if isinstance(document.get("tags"), list):
            document["tags"] = sorted(document["tags"])
        return document
    return hashlib.sha256(body).hexdigest() if body else ""


def _plain(value: str, host: str) -> str:
    return _STATE.sub("_state=STATE", _UUID.sub("UUID", value.replace(host, "HOST")))


def _path(location: str) -> str:
    parts = urlsplit(location)
    return f"{parts.path}?{parts.query}" if parts.query else parts.path
