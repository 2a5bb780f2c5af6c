"""The command line as its users meet it: in a process and a folder of its own.

outcome = CommandLine(tmp_path).run("plan", "--image", "nginx")       # outcome.code, .out, .err
"""

import json
import resource
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from edgelift.bundle.definition import BundleDefinition, RequestedImage
from edgelift.bundle.lock import BundleLock
from edgelift.bundle.writer import assemble_bundle
from edgelift.demo.content import SampleImage
from edgelift.oci.credentials import Credentials
from edgelift.oci.pull import pull_content
from edgelift.oci.reference import ImageReference
from edgelift.oci.registries import Registries
from edgelift.plan import plan_bundle
from edgelift.store.local import LocalStore
from edgelift.transport import TransportSettings
from tests.cli.loaded import Command, run_loaded

EDGELIFT = str(Path(sys.executable).with_name("edgelift"))
PATIENCE = 120  # seconds; only for what hangs


@dataclass(frozen=True)
class Outcome:
    """How a command ended, and what it said."""

    code: int
    out: str
    err: str

    @property
    def document(self) -> Any:
        """Standard output as JSON."""
        return json.loads(self.out)

    @property
    def error(self) -> str:
        """The error that it ended with, on one line."""
        _, found, message = self.err.partition("error: ")
        return " ".join(message.split()) if found else ""


@dataclass(frozen=True)
class CommandLine:
    """Runs commands in `folder` with an environment that holds nothing of the developer's."""

    folder: Path
    environment: Mapping[str, str] = field(default_factory=dict)

    @property
    def full_environment(self) -> dict[str, str]:
        """All that the command finds in its environment."""
        home = self.folder / "home"
        home.mkdir(exist_ok=True)
        return {"PATH": "/usr/bin:/bin", "HOME": str(home), "COLUMNS": "200", **self.environment}

    def run(
        self, *arguments: object, largest_file: int | None = None, within: Sequence[str] = (), **environment: str
    ) -> Outcome:
        """Run a command to its end; with `largest_file` the disk takes no file of more bytes.

        What runs `within` another command, or under that limit, is the installed program; see `loaded.py`.
        """
        environment = {**self.full_environment, **environment}
        if not within and largest_file is None:
            return self._run_loaded(arguments, environment)

        def limit() -> None:
            if largest_file is not None:
                resource.setrlimit(resource.RLIMIT_FSIZE, (largest_file, largest_file))

        done = subprocess.run(
            [*within, EDGELIFT, *map(str, arguments)],
            cwd=self.folder,
            env=environment,
            capture_output=True,
            text=True,
            timeout=PATIENCE,
            check=False,
            preexec_fn=limit,
        )
        return Outcome(done.returncode, done.stdout, done.stderr)

    def _run_loaded(self, arguments: Sequence[object], environment: Mapping[str, str]) -> Outcome:
        with tempfile.NamedTemporaryFile("r") as out, tempfile.NamedTemporaryFile("r") as err:
            command = Command(list(map(str, arguments)), str(self.folder), environment, out.name, err.name)
            code = run_loaded(command, PATIENCE)
            return Outcome(code, out.read(), err.read())


def references(host: str, *images: SampleImage) -> list[str]:
    """The references of `images` at the registry `host`."""
    return [f"{host}/{image.repository}:{image.tag}" for image in images]


def make_bundle(folder: Path, host: str, *images: SampleImage, name: str = "site") -> Path:
    """The bundle NAME.tar.zst of `images` from the registry `host`, with NAME.lock.json beside it."""
    folder.mkdir(parents=True, exist_ok=True)
    asked = tuple(RequestedImage(reference=each) for each in references(host, *images))
    store = LocalStore(folder / "store-of-the-bundle")
    with Registries(TransportSettings(), Credentials()) as registries:
        lock = plan_bundle(BundleDefinition(name=name, images=asked), registries, store).lock
        for image in lock.images:
            reference = ImageReference.parse(image.reference)
            pull_content(registries.registry(host), reference.repository, image.content_without(), store)
    bundle = assemble_bundle(lock, store, folder / f"{name}.tar.zst").path
    (folder / f"{name}.lock.json").write_bytes(lock.to_json())
    return bundle


def read_lock(bundle: Path) -> BundleLock:
    """The lock beside a bundle of `make_bundle`."""
    return BundleLock.from_json(bundle.with_name(bundle.name.replace(".tar.zst", ".lock.json")).read_bytes())


def files_below(folder: Path) -> list[str]:
    """Every file in `folder`, hidden ones too; but no report of a run, which is written however that ends."""
    files = (path for path in folder.rglob("*") if path.is_file() and not path.name.endswith(".report.html"))
    return sorted(str(path.relative_to(folder)) for path in files)
