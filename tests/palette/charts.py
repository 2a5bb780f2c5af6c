"""Charts made in memory: their files, packed as Helm packs them."""

import io
import tarfile
from collections.abc import Mapping

from edgelift.palette.undeclared.content import ChartArchive


def chart_files(
    name: str = "web", *, values: str = "", dependencies: str = "", app_version: str = "9.9.9", **templates: str
) -> dict[str, str]:
    """The files of a chart; each of `templates` is one of its `.yaml` files, `helpers` is its `_helpers.tpl`."""
    described = f"apiVersion: v2\nname: {name}\nversion: 1.2.3\nappVersion: {app_version!r}\n{dependencies}"
    paths = {key: "_helpers.tpl" if key == "helpers" else f"{key}.yaml" for key in templates}
    return {
        "Chart.yaml": described,
        "values.yaml": values,
        **{f"templates/{paths[key]}": text for key, text in templates.items()},
    }


def inside(name: str, files: Mapping[str, str]) -> dict[str, str]:
    """Files of a chart as those of a subchart."""
    return {f"charts/{name}/{path}": text for path, text in files.items()}


def pack_chart(files: Mapping[str, str | bytes], top: str = "web") -> bytes:
    """The `.tgz` of these files."""
    target = io.BytesIO()
    with tarfile.open(fileobj=target, mode="w:gz") as archive:
        for path, content in files.items():
            data = content.encode() if isinstance(content, str) else content
            member = tarfile.TarInfo(f"{top}/{path}")
            member.size = len(data)
            archive.addfile(member, io.BytesIO(data))
    return target.getvalue()


def make_chart(name: str = "web", **parts: str) -> ChartArchive:
    """A chart of one level; the arguments are those of `chart_files`."""
    return ChartArchive(f"charts/{name}.tgz", pack_chart(chart_files(name, **parts), name))


def deployment(image: str) -> str:
    """A manifest whose one container has this image, as it stands in a template."""
    return (
        "apiVersion: apps/v1\nkind: Deployment\nmetadata:\n  name: web\nspec:\n  template:\n    spec:\n"
        f"      containers:\n        - name: web\n          image: {image}\n"
    )
