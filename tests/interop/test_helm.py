"""Charts that edgelift carried, in the hands of Helm itself: pulled, compared, verified."""

import json
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import yaml

from edgelift.bundle.definition import RequestedChart
from edgelift.charts.artifact import CHART_CONFIG
from edgelift.delivery.target import Target
from edgelift.store.local import LocalStore
from tests.charts.delivery import deliver, plan, pull
from tests.interop.tools import find_tool, run_tool
from tests.real_parts import RunningRegistry
from tests.simulators.charts import ChartRepositorySimulator

SIGNER = "edgelift tests"


@pytest.fixture
def helm(tmp_path: Path) -> Callable[..., str]:
    """Helm with an empty home."""
    program = find_tool("helm", "go install helm.sh/helm/v3/cmd/helm@v3.18.6")
    homes = {name: str(tmp_path / "helm" / name) for name in ("HELM_CACHE_HOME", "HELM_CONFIG_HOME", "HELM_DATA_HOME")}

    def call(*arguments: str | Path) -> str:
        return run_tool(program, *arguments, environment=homes, folder=tmp_path)

    return call


@pytest.fixture
def keyrings(tmp_path: Path) -> Iterator[tuple[Path, Path]]:
    """A fresh key to sign charts with: the secret keyring and the public one, in the form that Helm reads."""
    gpg = find_tool("gpg", "Debian package gnupg")
    home = tmp_path / "gnupg"
    home.mkdir(mode=0o700)
    base = (gpg, "--homedir", home, "--batch", "--pinentry-mode", "loopback", "--passphrase", "")
    run_tool(*base, "--quick-generate-key", f"{SIGNER} <tests@example.com>", "rsa3072", "sign", "never")
    rings = tmp_path / "secret.gpg", tmp_path / "public.gpg"
    for ring, export in zip(rings, ("--export-secret-keys", "--export"), strict=True):
        run_tool(*base, "--output", ring, export)
    yield rings
    run_tool(find_tool("gpgconf", "Debian package gpgconf"), "--homedir", home, "--kill", "all")


def package(helm: Callable[..., str], folder: Path, name: str, *options: str | Path) -> Path:
    """A fresh chart with all that `helm create` puts into it, packaged."""
    folder.mkdir(parents=True, exist_ok=True)
    helm("create", folder / name)
    about = folder / name / "Chart.yaml"
    about.write_text(about.read_text() + "annotations:\n  note: a <b> & c\nmaintainers:\n- {name: Ann, email: a@b.c}\n")
    helm("package", folder / name, "--version", "1.2.3+edge.1", "--destination", folder, *options)
    return folder / f"{name}-1.2.3+edge.1.tgz"


def test_helm_pulls_what_was_carried(
    helm: Callable[..., str],
    keyrings: tuple[Path, Path],
    docker_registries: Callable[[], RunningRegistry],
    tmp_path: Path,
) -> None:
    """A signed chart of an HTTP repository and one of a registry: the same bytes, and a signature that holds."""
    secret, public = keyrings
    served = package(helm, tmp_path / "served", "web", "--sign", "--key", SIGNER, "--keyring", secret)
    pushed = package(helm, tmp_path / "pushed", "app")
    source, target = docker_registries(), Target.parse(f"{docker_registries().host}/edge")
    helm("push", pushed, f"oci://{source.host}/team", "--plain-http")
    store = LocalStore(tmp_path / "store")
    with ChartRepositorySimulator() as charts:
        helm("repo", "index", tmp_path / "served")
        files = {path.name: path.read_bytes() for path in (tmp_path / "served").iterdir() if path.is_file()}
        charts.files |= {f"{charts.path}/{name}": content for name, content in files.items()}
        asked = (
            RequestedChart(repository=charts.url, name="web", version="^1.2"),
            RequestedChart(repository=f"oci://{source.host}/team", name="app", version="1.x"),
        )
        planned = plan(store, *asked)
        planned.raise_for_errors()
        pull(planned.lock, store)
    receipt = deliver(planned.lock, store, target)

    assert receipt.is_whole
    for proof in receipt.proofs:
        name = proof.target.rpartition(":")[0]
        helm("pull", f"oci://{name}", "--version", "1.2.3+edge.1", "--plain-http", "--destination", tmp_path)
    assert (tmp_path / served.name).read_bytes() == served.read_bytes()
    assert (tmp_path / pushed.name).read_bytes() == pushed.read_bytes()

    web = next(proof.target for proof in receipt.proofs if "/web:" in proof.target).rpartition(":")[0]
    (verified := tmp_path / "verified").mkdir()
    helm("pull", f"oci://{web}", "--version", "1.2.3+edge.1", "--plain-http", "--prov", "--destination", verified)
    assert "Chart Hash Verified" in helm("verify", verified / served.name, "--keyring", public)


def test_a_chart_is_the_artifact_that_helm_would_push(
    helm: Callable[..., str], docker_registries: Callable[[], RunningRegistry], tmp_path: Path
) -> None:
    """Config to the byte, layers and annotations but for the time: whoever has one has the other."""
    packaged = package(helm, tmp_path / "charts", "web")
    registry = docker_registries()
    helm("push", packaged, f"oci://{registry.host}/team", "--plain-http")
    ours, theirs = LocalStore(tmp_path / "ours"), LocalStore(tmp_path / "theirs")
    with ChartRepositorySimulator() as charts:
        charts.files[f"{charts.path}/{packaged.name}"] = packaged.read_bytes()
        made = plan(ours, RequestedChart(repository=f"{charts.url}/{packaged.name}", name="web", version="*")).lock
    kept = plan(theirs, RequestedChart(repository=f"oci://{registry.host}/team", name="web", version="*")).lock
    pull(kept, theirs)

    documents = []
    for lock, store in ((made, ours), (kept, theirs)):
        (image,) = lock.images
        manifest = json.loads(b"".join(store.read(image.descriptor)))
        manifest["annotations"].pop("org.opencontainers.image.created", None)
        config = next(blob for blob in image.blobs if blob.media_type == CHART_CONFIG)
        documents.append((b"".join(store.read(config)), manifest["layers"], manifest["annotations"]))
    assert documents[0] == documents[1]
    assert yaml.safe_load(documents[0][0])["name"] == "web"
