"""`helm template`, where helm is installed: what a chart really installs. Nothing is fetched."""

import shutil
import subprocess
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import yaml

from edgelift.palette.undeclared.content import ChartArchive
from edgelift.palette.values import Tree

HelmRenderer = Callable[[ChartArchive, Tree], str | None]

_SECONDS = 60
_LARGEST = 32 * 2**20  # bytes of what it writes
_LONGEST_NUMBER = 6  # digits: helm writes longer ones with an exponent


def find_helm() -> HelmRenderer | None:
    """What renders a chart with the helm on the PATH, or None where there is none."""
    program = shutil.which("helm")
    return partial(render_with_helm, Path(program)) if program is not None else None


def render_with_helm(program: Path, chart: ChartArchive, values: Tree) -> str | None:
    """The manifests that `chart` installs with these values; None where helm cannot say, or takes too long."""
    with TemporaryDirectory(prefix="edgelift-helm-") as folder:
        place = Path(folder)
        (place / "chart.tgz").write_bytes(chart.data)
        (place / "values.yaml").write_text(yaml.safe_dump(_typed(values)))
        command = [str(program), "template", "release", "chart.tgz", "--values", "values.yaml"]
        # An environment of its own: no cluster, no repositories, no login, no plugin of whoever runs this.
        own = {"HOME": folder, "HELM_NO_PLUGINS": "1", "KUBECONFIG": str(place / "none"), "PATH": "/usr/bin:/bin"}
        with (place / "out.yaml").open("wb") as output:
            try:
                run = subprocess.run(  # noqa: S603 - a program of the PATH, and arguments of our own
                    command,
                    cwd=place,
                    env=own,
                    stdin=subprocess.DEVNULL,
                    stdout=output,
                    stderr=subprocess.DEVNULL,
                    timeout=_SECONDS,
                    check=False,
                )
            except (OSError, subprocess.TimeoutExpired):
                return None
        if run.returncode or (place / "out.yaml").stat().st_size > _LARGEST:
            return None
        return (place / "out.yaml").read_text("utf-8", "replace")


def _typed(value: Any) -> Any:
    """The tree with the types that decide in a template: switches and short whole numbers; versions stay text."""
    if isinstance(value, Mapping):
        return {str(key): _typed(each) for key, each in value.items()}
    if isinstance(value, list):
        return [_typed(each) for each in value]
    if not isinstance(value, str):
        return value
    if value in ("true", "false"):
        return value == "true"
    is_number = value.isascii() and value.isdigit() and len(value) <= _LONGEST_NUMBER
    return int(value) if is_number and str(int(value)) == value else str(value)
