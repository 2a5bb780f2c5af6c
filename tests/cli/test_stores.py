"""Naming a working store: a folder, a bucket, or the block that has its keys."""

import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest

from edgelift.demo.content import make_image
from tests.archive.buckets import Bucket
from tests.cli.commands import CommandLine
from tests.real_parts import RunningS3
from tests.simulators.registry import RegistrySimulator
from tests.store.s3_content import keep_in_bucket, keys_in, store_in

APP = make_image("team/app")


@pytest.fixture
def sim(tmp_path: Path) -> Iterator[RegistrySimulator]:
    """A registry with an image."""
    with RegistrySimulator(tmp_path / "registry") as simulator:
        simulator.put_image(APP)
        yield simulator


def keys_for(server: RunningS3) -> dict[str, str]:
    """The environment in which boto3 finds the server."""
    return {
        "AWS_ENDPOINT_URL": server.endpoint,
        "AWS_ACCESS_KEY_ID": server.access_key,
        "AWS_SECRET_ACCESS_KEY": server.secret_key,
    }


def test_a_store_in_s3_is_looked_after_as_one_in_a_folder(tmp_path: Path, s3_server: RunningS3) -> None:
    """The same commands, the same documents: it is told of, checked with exit code 3 for damage, and swept."""
    bucket = Bucket(s3_server, s3_server.make_bucket(f"care-{uuid.uuid4().hex[:12]}"))
    line = CommandLine(tmp_path, {**keys_for(s3_server), "EDGELIFT_STORE": f"s3://{bucket.name}/edge"})
    nothing = line.run("store", "fsck")
    store = store_in(bucket, prefix="edge")
    keep_in_bucket(store, APP)
    lost = APP.blobs[0].digest
    s3_server.client().delete_object(Bucket=bucket.name, Key=f"edge/blobs/sha256/{lost.hex}")
    stat = line.run("store", "stat", "--json")
    fsck = line.run("store", "fsck", "--json")
    told = line.run("store", "gc", "--max-size", "0", "--json")
    used = line.run("store", "gc", "--max-size", "0", "--delete")
    del store
    swept = line.run("store", "gc", "--max-size", "0", "--grace", "0s", "--delete", "--wait", "60", "--json")

    assert (nothing.code, "there is no store in s3://" in nothing.error) == (2, True)
    assert (stat.code, stat.document["images"], stat.document["disk_free"]) == (0, 1, None)
    assert (fsck.code, [each["digest"] for each in fsck.document["problems"]]) == (3, [lost])
    assert fsck.document["store"] == f"s3://{bucket.name}/edge"
    assert (told.code, len(told.document["images"]), told.document["deleted"]) == (0, 1, False)
    assert (used.code, "is in use by" in used.error) == (1, True)
    assert (swept.code, swept.document["remaining_bytes"]) == (0, 0), swept.err
    assert keys_in(bucket, "edge/blobs/") == keys_in(bucket, "edge/names/") == []


def test_a_block_takes_prefect(command_line: CommandLine) -> None:
    """What runs without Prefect cannot load a block, and names the other way."""
    outcome = command_line.run("plan", "--image", "quay.io/team/app:1", "--store", "block:shared")

    assert (outcome.code, "only runs and `edgelift store` load" in outcome.error) == (2, True)


def test_a_plan_keeps_manifests_in_a_bucket(tmp_path: Path, sim: RegistrySimulator, s3_server: RunningS3) -> None:
    """With the keys that boto3 finds; a second plan need not read them again."""
    bucket = s3_server.make_bucket(f"plan-{uuid.uuid4().hex[:12]}")
    line = CommandLine(tmp_path, {**keys_for(s3_server), "EDGELIFT_STORE": f"s3://{bucket}/edge"})
    asked = ("plan", "--image", f"{sim.host}/team/app:1.0", "--json")
    first = line.run(*asked)
    sim.forget_requests()
    second = line.run(*asked)

    assert (first.code, second.code, first.document) == (0, 0, second.document)
    assert sim.count("GET", "/manifests/sha256") == 0
    found = s3_server.client().list_objects_v2(Bucket=bucket)["Contents"]
    assert f"edge/blobs/sha256/{APP.root.digest.hex}" in [each["Key"] for each in found]
