"""Serving beside a registry: figures from samples, and a client that notices what is not a whole blob."""

from pathlib import Path

import pytest

from bench.reader import read_all
from bench.serving import BOUND, SERVERS, Case, ratio, to_markdown
from edgelift.demo.content import make_image
from edgelift.demo.servers import fill_registry
from edgelift.oci.digest import Digest
from edgelift.serve.directory import DirectoryContent
from edgelift.serve.registry import create_registry
from edgelift.serve.server import RunningServer

IMAGE = make_image("team/app")


def test_ratio_is_that_of_each_round() -> None:
    """Rounds are compared one by one: a slow moment of the machine slows both down."""
    rates = dict(zip(SERVERS, ([100.0, 50.0, 90.0], [200.0, 50.0, 100.0]), strict=True))
    spread = ratio(rates)
    assert (spread.low, spread.median, spread.high) == (0.5, 0.9, 1.0)


@pytest.mark.parametrize(("ours", "verdict"), [(BOUND * 100, "| kept |"), (BOUND * 100 - 1, "| **not kept** |")])
def test_verdict(ours: float, verdict: str) -> None:
    """The document says of each row whether the bound was kept."""
    figures = {Case("raw frames", 8): {SERVERS[0]: [ours], SERVERS[1]: [100.0]}}
    (row,) = [line for line in to_markdown(figures, 1, 1, 0.1).splitlines() if line.startswith("| raw frames | 8 |")]
    assert row.endswith(verdict)


def test_client_reads_all_of_every_blob(tmp_path: Path) -> None:
    """The client counts the bytes of every blob, and fails where one is missing."""
    content = DirectoryContent(tmp_path)
    fill_registry(content, [IMAGE])
    paths = [f"/v2/team/app/blobs/{blob.digest}" for blob in IMAGE.blobs]
    with RunningServer(create_registry(content)) as server:
        assert [read_all(server.host, readers, paths)[1] for readers in (1, 8)] == [
            sum(blob.size for blob in IMAGE.blobs)
        ] * 2
        with pytest.raises(RuntimeError, match="404"):
            read_all(server.host, 1, [f"/v2/team/app/blobs/{Digest.of(b'absent')}"])
