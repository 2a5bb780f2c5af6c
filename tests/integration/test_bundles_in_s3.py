"""Pushing a bundle that lies in S3, as a flow: with the keys of a block, or with those of the worker."""

import pytest

from blocks import BundleArchive
from flows.build_bundle import build_bundle
from flows.push_bundle import push_bundle
from tests.integration.prefect_server import PrefectServer
from tests.integration.sites import NAME, Site
from tests.real_parts import RunningS3


@pytest.fixture
def block(prefect: PrefectServer, s3_server: RunningS3) -> str:
    """The name of a block for a bucket."""
    bucket = f"bundles-{prefect.folder.name}"
    with prefect.as_api():
        BundleArchive(
            bucket=bucket,
            prefix="sites",
            **s3_server.access,
        ).save("kept", overwrite=True)
    s3_server.make_bucket(bucket)
    return "kept"


def test_what_was_archived_is_pushed_from_where_it_is(
    prefect: PrefectServer, site: Site, block: str, monkeypatch: pytest.MonkeyPatch, s3_server: RunningS3
) -> None:
    """The URL that the build gave is enough with the block, or with keys in the worker's environment."""
    settings = site.settings()
    parameters = {
        "name": NAME,
        "source": settings.source,
        "access": settings.access,
        "archive": {"block": block},
        **site.places,
    }
    built = prefect.run(build_bundle, parameters)
    site.bundle.unlink()
    delivery = {"target": settings.target, "access": settings.access, "output": str(site.folder / "deliveries")}

    by_block = prefect.run(push_bundle, {"bundle": built.outcome.archived, "archive_block": block, **delivery})
    delivered = [site.delivered(image) for image in site.images]
    monkeypatch.setenv("AWS_ENDPOINT_URL", s3_server.endpoint)
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", s3_server.access_key)
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", s3_server.secret_key)
    by_environment = prefect.run(push_bundle, {"bundle": built.outcome.archived, **delivery})

    assert (built.state, by_block.state, by_environment.state) == ("COMPLETED",) * 3, by_block.outcome
    assert [image.root.digest for image in site.images] == delivered
