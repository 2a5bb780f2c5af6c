"""Zot: OCI's formats only, uploads that die with their connection, mounts of anything, and syncing on demand."""

import hashlib
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from edgelift.errors import RefusedError
from edgelift.oci.credentials import Credentials
from edgelift.oci.registry import Registry
from edgelift.transport import TransportSettings
from tests.images import make_artifact
from tests.oci.clocks import Hands
from tests.quirks.sites import DOCKER, FIRST, Site, site_of
from tests.simulators.profiles import Zot

LARGE = hashlib.shake_256(b"a blob for Zot").digest(7 * 2**19)


@pytest.fixture
def zot(tmp_path: Path) -> Iterator[Site]:
    """A Zot as it is out of the box."""
    with site_of(tmp_path, Zot()) as site:
        yield site


def test_dockers_format_is_found_out_before_anything_is_sent(zot: Site) -> None:
    """§1.7 T6, §1.11 Zot "415 for docker types": the preflight says so, with the setting that helps."""
    (error,) = zot.preflight(DOCKER, FIRST).errors

    assert "docker2s2" in error
    assert zot.sim.count("PATCH") + zot.sim.count("PUT", "/blobs/") == 0


def test_dockers_format_is_refused_once(zot: Site) -> None:
    """§1.7 T6: never converted, and not tried again; other images go through."""
    with pytest.raises(RefusedError) as caught:
        zot.push(DOCKER)
    zot.push(FIRST)

    assert (caught.value.status, caught.value.retryable) == (415, False)
    assert zot.sim.count("PUT", "/manifests/", status=415) == 1
    assert zot.registry.describe(FIRST.repository, "1.0") == FIRST.root


def test_dockers_format_goes_where_it_is_allowed(tmp_path: Path) -> None:
    """§1.7 T6: with `http.compat: ["docker2s2"]` the same image goes through, byte for byte."""
    with site_of(tmp_path, Zot(takes_docker=True)) as site:
        assert site.preflight(DOCKER).errors == ()
        site.push(DOCKER)

        assert site.pull(DOCKER) == dict(DOCKER.contents)


def test_an_upload_that_is_cut_begins_anew(zot: Site) -> None:
    """§1.5 "Zot: PATCH body read error => DeleteBlobUpload": the session is gone (404), a new one gets through."""
    zot.sim.fail("PUT", "/blobs/uploads/", status=413)
    zot.sim.cut("PATCH", "/blobs/uploads/", after_bytes=2**19, skip=1)

    assert zot.upload(LARGE) == "uploaded"
    assert zot.holds(LARGE)
    assert zot.sim.count("GET", "/blobs/uploads/", status=404) == 1
    assert zot.sim.count("POST", "/blobs/uploads/") == 3


def test_a_lost_answer_to_the_first_chunk_is_looked_into(zot: Site) -> None:
    """§1.5 "Zot: wrong `from` offset => 416": the status is asked for, so that no chunk goes to the wrong place."""
    zot.sim.fail("PUT", "/blobs/uploads/", status=413)
    zot.sim.lose_response("PATCH", "/blobs/uploads/")

    assert zot.upload(LARGE) == "uploaded"
    assert zot.holds(LARGE)
    assert zot.sim.count("PATCH", status=416) == 0


def test_a_blob_is_mounted_from_wherever_it_is(zot: Site) -> None:
    """§1.5 "Zot: mount -> 201 by digest if present anywhere", even from a repository that never had it."""
    zot.upload(b"somewhere else", "edge/elsewhere")

    assert zot.upload(b"somewhere else", mount_from="edge/nowhere") == "mounted"
    assert zot.holds(b"somewhere else")


def test_referrers_are_told(zot: Site) -> None:
    """§1.11 Zot "referrers yes": the index of what names an image, with the filter that was applied."""
    artifact = make_artifact(FIRST.repository, "signature", subject=FIRST.root)
    zot.push(FIRST)
    zot.push(artifact)

    url = f"{zot.sim.url}/v2/{FIRST.repository}/referrers/{FIRST.root.digest}"
    answer = httpx.get(url, params={"artifactType": "application/vnd.example.signature.v1"}, trust_env=False)
    assert [each["digest"] for each in answer.json()["manifests"]] == [artifact.root.digest]
    assert answer.headers["oci-filters-applied"] == "artifactType"


def test_a_sync_on_demand_is_waited_for_in_turns(tmp_path: Path) -> None:
    """§1.9 "Zot: a GET/HEAD of a tag can block": our own time limit ends the wait, and a later one finds the tag."""
    profile = Zot(upstream=(FIRST,), delay=0.6)
    with site_of(tmp_path, profile) as site:
        settings = TransportSettings(idle_timeout=0.25)
        registry = Registry(site.sim.host, settings, Credentials(), clock=Hands().clock)

        described = registry.describe(FIRST.repository, "1.0")
        registry.close()

    assert described == FIRST.root
    assert site.sim.count("HEAD", "/manifests/1.0", status=None) >= 2
