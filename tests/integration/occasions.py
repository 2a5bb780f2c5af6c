"""Events as Prefect's server tells them, and somebody who is told: a web hook on loopback."""

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from tests.integration.prefect_server import PrefectServer, wait_for


def events_of(prefect: PrefectServer, run: str, *last: str) -> list[dict[str, Any]]:
    """Our events of the flow run `run`, in order, once all of `last` are among them: they come a little later."""

    def look() -> list[dict[str, Any]] | None:
        ours = {"event": {"prefix": ["edgelift."]}, "related": {"id": [f"prefect.flow-run.{run}"]}, "order": "ASC"}
        found: list[dict[str, Any]] = prefect.ask("POST", "/events/filter", {"filter": ours, "limit": 50})["events"]
        return found if set(last) <= {each["event"] for each in found} else None

    return wait_for(look, f"the events {last} of {run}", prefect.logs["server"])


@dataclass
class Inbox:
    """A web hook, and what it was sent."""

    url: str
    messages: list[dict[str, Any]] = field(default_factory=list)

    def wait(self, prefect: PrefectServer, subject: str) -> dict[str, Any]:
        """The first message with that subject."""

        def look() -> dict[str, Any] | None:
            return next((each for each in self.messages if each["subject"] == subject), None)

        return wait_for(look, f"a message about {subject!r}; there are {self.messages}", prefect.logs["server"])


@contextmanager
def open_inbox() -> Iterator[Inbox]:
    """An inbox on loopback, until the block ends."""

    class Handler(BaseHTTPRequestHandler):
        def _take(self) -> None:
            inbox.messages.append(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
            self.send_response(204)
            self.end_headers()

        do_POST = _take  # noqa: N815 - the name is http.server's

        def log_message(self, *_: object) -> None:
            """Nothing goes to standard error."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        inbox = Inbox(f"http://127.0.0.1:{server.server_port}/hook")
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
        thread.start()
        try:
            yield inbox
        finally:
            server.shutdown()
            thread.join()
