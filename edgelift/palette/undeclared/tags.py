"""Tags that an image may have where the values leave that to its chart: by the versions that are at hand. Pure.

A chart whose values have an empty tag makes one of its `appVersion`. That is known where the chart is at hand; else its
own version, which often is the same, and then the pack's, give two guesses, with and without a `v`.
"""

import re
from collections.abc import Mapping

from edgelift.oci.reference import is_tag
from edgelift.palette.undeclared.content import PackContent

_VERSION = re.compile(r"v?(\d+(?:\.\d+){1,3}(?:-(?!rev)[0-9A-Za-z.-]+)?)(?:-rev\d+)?\Z")  # Palette adds -rev2
_CHARTS = "charts."  # where the values of charts are, by their names


def suggest_tags(content: PackContent, app_versions: Mapping[str, str], path: str) -> tuple[str, ...]:
    """Tags for the image that the values of `content` name at `path`, the likeliest first; none where nothing tells.

    `app_versions` are those of charts at hand, by how the paths of their values begin.
    """
    chart = max((start for start in app_versions if path.startswith(start)), key=len, default=None)
    if chart is not None:
        return (app_versions[chart],) if is_tag(app_versions[chart]) else ()
    found = _VERSION.match(_version_of_chart(content, path) or content.version)
    return (f"v{found[1]}", found[1]) if found is not None and is_tag(f"v{found[1]}") else ()


def _version_of_chart(content: PackContent, path: str) -> str | None:
    """What the name of the chart's file (NAME-VERSION.tgz), which is not at hand, says of its version."""
    chart = path.removeprefix(_CHARTS).partition(".")[0] if path.startswith(_CHARTS) else ""
    files = (file.rpartition("/")[2] for file in content.missing_charts if file.endswith(".tgz"))
    named = (file.removesuffix(".tgz").removeprefix(f"{chart}-") for file in files if file.startswith(f"{chart}-"))
    return next((version for version in named if _VERSION.match(version)), None) if chart else None
