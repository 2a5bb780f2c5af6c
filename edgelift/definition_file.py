"""Definition files: written for people to edit, and read again with what they made of them."""

from collections import Counter
from collections.abc import Mapping
from pathlib import Path

from edgelift.bundle.definition import FORMAT, BundleDefinition, RequestedChart
from edgelift.bundle.lock import FORMAT as LOCK_FORMAT
from edgelift.documents import read_document, read_text, write_document
from edgelift.errors import ConfigurationError, StoreError
from edgelift.explain import load_yaml

SUFFIX = ".definition.yaml"
HEADER = """\
# What the bundle {name} is to hold. Images, charts and packs may be added, changed and removed here, whole entries at a
# time: an image needs its reference, nothing else. Build it with: edgelift build --metadata-file {file}
"""
_WRITE = "write one with `edgelift build --metadata-only`; a plain list of images goes into --images-from"


def write_definition(definition: BundleDefinition, folder: Path) -> Path:
    """Write NAME.definition.yaml into `folder` and say where it is.

    Raises `StoreError` where another one stands there: somebody may have edited it.
    """
    path = folder / f"{definition.name}{SUFFIX}"
    content = (HEADER.format(name=definition.name, file=path.name) + definition.to_yaml()).encode()
    if path.is_file() and read_document(path) != content:
        raise StoreError(
            f"{path} stands there already, and says something else",
            hint="it may have been edited: move or remove it, or give another --output or --name",
        )
    write_document(path, content)
    return path


def read_definition(path: Path) -> BundleDefinition:
    """The definition in the file at `path`; images, charts and packs in their order, whatever theirs is in the file.

    Raises `ConfigurationError` that names every wrong key with its line, a reference that is there twice, and what the
    file is, where it is something else.
    """
    text = read_text(path)
    _require_definition(load_yaml(text, str(path)), str(path))
    definition = BundleDefinition.from_yaml(text, str(path))
    images = {image.reference: image for image in definition.images}
    charts = {(chart.repository, chart.name, chart.version): chart for chart in definition.charts}
    packs = {pack.reference: pack for pack in definition.packs or ()}
    if not (images or charts or packs):
        raise ConfigurationError(f"{path} holds no image: there is nothing to carry", hint=_WRITE)
    names = [*(each.reference for each in definition.requested), *(_named(chart) for chart in definition.charts)]
    twice = sorted(name for name, count in Counter(names).items() if count > 1)
    if twice:
        raise ConfigurationError(f"{path} names more than once: {', '.join(twice)}", hint="keep one entry of each")
    return definition.model_copy(
        update={
            "images": tuple(images[reference] for reference in sorted(images)),
            "charts": tuple(charts[chart] for chart in sorted(charts)),
            "packs": tuple(packs[reference] for reference in sorted(packs)) or None,
        }
    )


def _named(chart: RequestedChart) -> str:
    return f"{chart.repository} {chart.name} {chart.version}"


def _require_definition(document: object, where: str) -> None:
    """Raise `ConfigurationError` that says what `document` is, where it is no definition of ours."""
    if not isinstance(document, Mapping):
        raise ConfigurationError(f"{where} is not a bundle definition: it holds no keys and values", hint=_WRITE)
    if document.get("format") == FORMAT:
        return
    if document.get("format") == LOCK_FORMAT:
        raise ConfigurationError(f"{where} is a lock, not a definition", hint="build it with --lock")
    if {"source", "target"} <= document.keys():
        raise ConfigurationError(f"{where} is a site file, not a definition", hint="edgelift sync takes it")
    if {"metadata", "spec"} <= document.keys():
        raise ConfigurationError(f"{where} is an exported profile, not a definition", hint="give it to --profile-file")
    raise ConfigurationError(
        f"{where} is not a definition that edgelift has written: it has no `format: {FORMAT}`",
        hint=f"the definitions of Palette's own CLI have another format, which is not public; {_WRITE}",
    )
