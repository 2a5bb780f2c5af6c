"""Bundles in a bucket and in a directory: listed, brought back, and let go of."""

import uuid
from dataclasses import replace
from pathlib import Path

import pytest

from edgelift.archive.s3 import S3Archive
from tests.archive.buckets import MIB, Bucket, digest_of
from tests.archive.bundles import files_of, keep_parts, make_bundle
from tests.cli.commands import CommandLine, files_below
from tests.keys import KeyFiles, signing_key
from tests.real_parts import RunningS3


@pytest.fixture
def bucket(s3_server: RunningS3) -> Bucket:
    """An empty bucket."""
    return Bucket(s3_server, s3_server.make_bucket(f"cli-{uuid.uuid4().hex[:12]}"))


@pytest.fixture
def with_keys(command_line: CommandLine, s3_server: RunningS3) -> CommandLine:
    """The command line, with what boto3 needs in its environment."""
    environment = {
        "AWS_ENDPOINT_URL": s3_server.endpoint,
        "AWS_ACCESS_KEY_ID": s3_server.access_key,
        "AWS_SECRET_ACCESS_KEY": s3_server.secret_key,
    }
    return replace(command_line, environment=environment)


def keep(archive: S3Archive, folder: Path, name: str, seed: int = 0) -> Path:
    """Archive a signed bundle, and what goes with it, as `name`."""
    key, path = signing_key(), folder / f"{name}.tar.zst"
    for file in files_of(path, make_bundle(path, seed=seed, key=key), key):
        archive.store(file, digest=digest_of(file))
    return path


def test_bundles_are_listed_restored_and_pruned(with_keys: CommandLine, bucket: Bucket, tmp_path: Path) -> None:
    """The round of an operator: what is there, one of them back under a public key, the old ones gone."""
    archive, place = bucket.archive(prefix="sites"), f"s3://{bucket.name}/sites"
    paths = [keep(archive, tmp_path / "made", f"{number}", seed=number) for number in range(2)]
    bucket.server.client().put_object(Bucket=bucket.name, Key="sites/broken.tar.zst", Body=b"no bundle")
    key = KeyFiles.write(tmp_path, "site").public

    listed = with_keys.run("list", place, "--public-key", key)
    restored = with_keys.run("restore", f"{place}/1.tar.zst", "back", "--public-key", key, "--json")
    rehearsed = with_keys.run("prune", place, "--keep", "1", "--json")
    before = bucket.state()[0]
    pruned = with_keys.run("prune", place, "--keep", "1", "--delete")

    assert (listed.code, restored.code, rehearsed.code, pruned.code) == (0, 0, 0, 0), listed.err + restored.err
    assert "2 bundles" in listed.out
    assert all(f"{number}.tar.zst" in listed.out for number in range(2))
    assert f"warning: {place}/broken.tar.zst" in listed.err
    assert (restored.document["digest"], restored.document["signature"]) == (digest_of(paths[1]), "ok")
    assert files_below(with_keys.folder / "back") == ["1.lock.json", "1.lock.json.sig", "1.tar.zst", "1.tar.zst.sig"]
    assert [each["file"] for each in rehearsed.document["bundles"]] == ["0.tar.zst"]
    assert (len(before), rehearsed.document["deleted"]) == (9, False)
    assert "delete 1 bundle," in pruned.out
    assert {key for key in before if not key.startswith("sites/0.")} == set(bucket.state()[0])


def test_a_bundle_in_parts_is_one_bundle(with_keys: CommandLine, bucket: Bucket, tmp_path: Path) -> None:
    """One line and one size, brought back in its parts by its index, and gone to the last of them."""
    archive, place = bucket.archive(prefix="sites"), f"s3://{bucket.name}/sites"
    older, newer = keep_parts(archive, tmp_path / "made", signing_key(), count=2)
    index = "site-7.tar.zst.parts.json"

    listed = with_keys.run("list", place, "--json")
    restored = with_keys.run("restore", f"{place}/{older}/{index}", "back", "--json")
    pruned = with_keys.run("prune", place, "--keep", "1", "--delete")

    assert (listed.code, restored.code, pruned.code) == (0, 0, 0), listed.err + restored.err + pruned.err
    assert [(each["parts"], each["signed_file"]) for each in listed.document["bundles"]] == [(3, True)] * 2
    assert listed.document["bundles"][0]["size"] > 2 * MIB
    parts = [f"site-7.tar.zst.part-000{number}" for number in (1, 2, 3)]
    assert restored.document["parts"] == [f"back/{part}" for part in parts]
    signatures = ["site-7.lock.json.sig", "site-7.tar.zst.sig"]
    assert files_below(with_keys.folder / "back") == sorted([*parts, index, "site-7.lock.json", *signatures])
    assert {key.split("/")[1] for key in bucket.state()[0]} == {newer}


def test_a_directory_is_listed_alike(command_line: CommandLine, tmp_path: Path) -> None:
    """The same document; needs no keys."""
    lock = make_bundle(tmp_path / "shelf" / "a.tar.zst", name="harbour")

    outcome = command_line.run("list", "shelf", "--json")

    (found,) = outcome.document["bundles"]
    assert (found["name"], found["images"], found["carried_bytes"], found["architecture"], found["signature"]) == (
        ("harbour", 1, lock.unique_size, "amd64", "none")
    )


BAD = {
    "list of no directory": (["list", "nowhere"], 1, "nowhere is not a directory"),
    "list of no bucket": (["list", "s3://"], 2, "does not name a bucket"),
    "restore of a path": (["restore", "site.tar.zst"], 2, "write it as s3://bucket/key"),
    "restore of a bucket": (["restore", "s3://bucket/"], 2, "write it as s3://bucket/key"),
    "prune by no age": (["prune", "s3://bucket", "--older-than", "soon"], 2, "--older-than: 'soon' cannot be read"),
}


@pytest.mark.parametrize(("arguments", "code", "message"), BAD.values(), ids=BAD)
def test_what_makes_no_sense_is_refused(
    command_line: CommandLine, arguments: list[str], code: int, message: str
) -> None:
    """One message with the next step, and no traceback."""
    outcome = command_line.run(*arguments)

    assert (outcome.code, message in outcome.error) == (code, True), outcome.err
    assert "Traceback" not in outcome.err
