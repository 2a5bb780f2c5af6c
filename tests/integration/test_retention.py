"""Archives that keep several bundles of a site, and let go of older ones: as a flow, in a real S3 server."""

import uuid
from typing import Any

import pytest

from blocks import BundleArchive
from edgelift.errors import IntegrityError
from flows.build_bundle import build_bundle
from tests.archive.buckets import Bucket
from tests.integration.prefect_server import PrefectServer
from tests.integration.sites import NAME, Site
from tests.real_parts import RunningS3


@pytest.fixture
def bucket(prefect: PrefectServer, s3_server: RunningS3) -> Bucket:
    """A bucket, with the block `kept` for two bundles of each name."""
    bucket = Bucket(s3_server, s3_server.make_bucket(f"retention-{uuid.uuid4().hex[:12]}"))
    with prefect.as_api():
        BundleArchive(
            bucket=bucket.name,
            **s3_server.access,
            keep=2,
        ).save("kept", overwrite=True)
    return bucket


def parameters(site: Site, count: int, **further: Any) -> dict[str, Any]:
    """What the flow is asked for: the first `count` images of the site, and `further` parameters."""
    settings = site.settings(images=tuple(map(site.reference, site.images[:count])))
    return {
        "name": NAME,
        "source": settings.source,
        "access": settings.access,
        "archive": {"block": "kept"},
        **site.places,
        **further,
    }


def test_the_newest_bundles_of_a_site_are_kept(prefect: PrefectServer, site: Site, bucket: Bucket) -> None:
    """Each bundle gets a name of its own; of three the first goes, which is in parts, with its lock."""
    first = prefect.run(build_bundle, parameters(site, 1, part_size=2**20))
    assert [key for key in bucket.state()[0] if key.endswith(".part-0001")], first.outcome
    built = [first, *(prefect.run(build_bundle, parameters(site, count)) for count in (2, 3))]

    assert [each.state for each in built] == ["COMPLETED"] * 3, built[-1].outcome
    urls = [each.outcome.archived for each in built]
    kept = {key.removesuffix(".tar.zst").removesuffix(".lock.json") for key in bucket.state()[0]}
    assert kept == {url.rpartition("/")[2].removesuffix(".tar.zst") for url in urls[1:]}
    assert len(bucket.state()[0]) == 4


def test_an_unchanged_bundle_is_verified_once(
    prefect: PrefectServer, site: Site, bucket: Bucket, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A bundle that stands is verified when it is found; to be archived it is not read once more, nor sent."""
    first = prefect.run(build_bundle, parameters(site, 1))

    def refuse(*_: object, **__: object) -> None:
        raise IntegrityError("verified once more")

    monkeypatch.setattr("tasks.archive.verify_open", refuse)
    again = prefect.run(build_bundle, parameters(site, 1))

    assert (first.state, again.state) == ("COMPLETED", "COMPLETED"), again.outcome
    assert (first.outcome.archived, first.outcome.digest) == (again.outcome.archived, again.outcome.digest)
