"""What the real cosign has signed arrives so that the real cosign verifies it, and edgelift verifies it as well."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from edgelift.demo.content import make_image
from edgelift.keys import read_cosign_key
from tests.cosign import REPOSITORY
from tests.delivery.ways import Way, registries_without_waiting
from tests.images import load_image
from tests.interop.tools import find_tool, run_tool
from tests.real_parts import RunningRegistry
from tests.simulators.registry import RegistrySimulator

HOW = "go install github.com/sigstore/cosign/v2/cmd/cosign@latest"
APP = make_image(REPOSITORY, architectures=("amd64", "arm64"))
LOCAL = ("--allow-http-registry", "--allow-insecure-registry")
PASSWORD = {"COSIGN_PASSWORD": "a made-up password"}


@pytest.fixture(params=["with lists", "docker-registry"])
def target(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    """An empty registry: one with the referrers API, and a real one without."""
    if request.param == "docker-registry":
        make: Callable[[], RunningRegistry] = request.getfixturevalue("docker_registries")
        yield make().host
        return
    with RegistrySimulator(tmp_path / "target") as sim:
        yield sim.host


@pytest.mark.parametrize("source_has_lists", [True, False])
def test_cosign_verifies_what_arrived(
    source_has_lists: bool,
    target: str,
    tmp_path: Path,
    docker_registries: Callable[[], RunningRegistry],
) -> None:
    """Signed by a key at the source, image and attestation; verified with its public half at the target."""
    cosign = find_tool("cosign", HOW)
    run_tool(cosign, "generate-key-pair", environment=PASSWORD, folder=tmp_path)
    private, public = tmp_path / "cosign.key", tmp_path / "cosign.pub"
    statement = tmp_path / "predicate.json"
    statement.write_text('{"made": "up"}')
    with RegistrySimulator(tmp_path / "source") as sim, registries_without_waiting() as registries:
        host = sim.host if source_has_lists else docker_registries().host
        load_image(host, REPOSITORY, "1.0", APP)
        signed = f"{host}/{REPOSITORY}@{APP.root.digest}"
        sign = ("--key", private, "--tlog-upload=false", "--yes", *LOCAL)
        run_tool(cosign, "sign", "--recursive", *sign, signed, environment=PASSWORD)
        run_tool(cosign, "attest", *sign, "--predicate", statement, signed, environment=PASSWORD)
        key = read_cosign_key(public)
        rules = {"require_signatures": True, "cosign_key": key}
        way = Way.to(f"{host}/{REPOSITORY}:1.0", registries, tmp_path / "store", **rules)
        way.send(target)
        proof = way.prove(target)

        arrived = f"{target}/edge/quay.io/{REPOSITORY}@"
        check = ("--key", public, "--insecure-ignore-tlog", *LOCAL)
        for manifest in APP.manifests:
            assert "critical" in run_tool(cosign, "verify", *check, f"{arrived}{manifest.digest}")
        assert "payload" in run_tool(cosign, "verify-attestation", *check, f"{arrived}{APP.root.digest}")
    assert (proof.verdict, proof.signed, proof.carried, proof.arrived) == ("ok", True, 4, 4)


def test_cosign_verifies_a_bundle_that_arrived(
    target: str, tmp_path: Path, docker_registries: Callable[[], RunningRegistry]
) -> None:
    """The newer form, which is a referrer: out of a registry that has no lists of them, into one of each kind."""
    cosign = find_tool("cosign", HOW)
    run_tool(cosign, "generate-key-pair", environment=PASSWORD, folder=tmp_path)
    private, public = tmp_path / "cosign.key", tmp_path / "cosign.pub"
    with registries_without_waiting() as registries:
        host = docker_registries().host
        load_image(host, REPOSITORY, "1.0", APP)
        sign = ("--key", private, "--new-bundle-format", "--tlog-upload=false", "--yes", *LOCAL)
        run_tool(cosign, "sign", *sign, f"{host}/{REPOSITORY}@{APP.root.digest}", environment=PASSWORD)
        rules = {"require_signatures": True, "cosign_key": read_cosign_key(public)}
        way = Way.to(f"{host}/{REPOSITORY}:1.0", registries, tmp_path / "store", **rules)
        way.send(target)
        proof = way.prove(target)

        trusted = tmp_path / "trusted_root.json"  # of nobody: it would be fetched, and a key needs none
        trusted.write_text('{"mediaType":"application/vnd.dev.sigstore.trustedroot+json;version=0.1"}')
        check = ("--key", public, "--new-bundle-format", "--trusted-root", trusted, "--insecure-ignore-tlog", *LOCAL)
        run_tool(cosign, "verify", *check, f"{target}/edge/quay.io/{REPOSITORY}@{APP.root.digest}")
    assert [each.tag for each in way.lock.images[0].referrers] == [None]
    assert (proof.verdict, proof.signed, proof.arrived) == ("ok", True, 1)
