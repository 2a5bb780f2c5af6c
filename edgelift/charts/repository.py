"""Where charts are, as people write it: `oci://HOST/PATH`, `https://HOST/PATH`, `HOST/PATH`, or one archive. Pure."""

import re
from dataclasses import dataclass, replace
from typing import Literal, Self
from urllib.parse import unquote

from edgelift.charts.versions import Version, VersionRange
from edgelift.errors import ConfigurationError, MalformedReferenceError
from edgelift.oci.reference import (
    ImageReference,
    canonical_registry,
    for_message,
    is_registry,
    names_registry,
)

RepositoryKind = Literal["oci", "http", "archive"]

_ARCHIVES = (".tgz", ".tar.gz")
_SCHEMES: dict[str, Literal["oci", "http"]] = {"oci": "oci", "http": "http", "https": "http"}
_HOW = "write it as https://HOST/PATH, as oci://HOST/PATH, or as the address of an archive (.tgz)"


@dataclass(frozen=True)
class ChartRepository:
    """A repository of charts, or one archive: `host` with an optional port, and `path` without slashes at its ends."""

    kind: RepositoryKind
    host: str
    path: str

    @classmethod
    def parse(cls, text: str) -> Self:
        """The repository that `text` means; raises `ConfigurationError`, which never shows a login or a query."""
        bare = text.strip()
        scheme, _, rest = bare.partition("://") if "://" in bare else ("https", "", bare)
        kind = _SCHEMES.get(scheme.lower())
        if kind is None:
            raise _malformed(text, f"charts are not read over {for_message(scheme)!r}")
        host, _, path = rest.partition("/")
        if "@" in host:
            raise _malformed(
                text, "it holds a login", "put the login into the credentials file, or into that of Docker"
            )
        if not (names_registry(host) and is_registry(host)) or re.search(r"[?#\s]|[^\x21-\x7e]", path):
            raise _malformed(text, "it is no plain address")
        path = path.strip("/").removesuffix("index.yaml").strip("/")
        if kind == "http" and path.endswith(_ARCHIVES):
            return cls("archive", host.lower(), path)
        return cls(kind, canonical_registry(host) if kind == "oci" else host.lower(), path)

    def candidates(self, chart: str) -> tuple["ChartRepository", ...]:
        """Where `chart` may be meant to be: some write its name at the end of the repository, too."""
        parent, _, last = self.path.rpartition("/")
        if self.kind == "archive" or last != chart:
            return (self,)
        return (self, replace(self, path=parent))

    def reference(self, chart: str, version: str) -> ImageReference:
        """The name that `chart` gets where images have theirs.

        Letters become lower-case, and `+` becomes `_` as Helm writes it. Raises `MalformedReferenceError`.
        """
        folder = self.path.rpartition("/")[0] if self.kind == "archive" else self.path
        repository = "/".join(part for part in (unquote(folder), chart) if part).lower()
        try:
            return ImageReference.parse(f"{self.host}/{repository}:{to_tag(version)}")
        except MalformedReferenceError as error:
            raise MalformedReferenceError(
                f"chart {for_message(chart)} {for_message(version)} of {self} can have no name in a registry: "
                f"{error.message}",
                hint="copy it to a repository with a plain address, and have the profile name that one",
            ) from None

    def __str__(self) -> str:
        return f"{self.host}/{self.path}" if self.path else self.host


@dataclass(frozen=True)
class ChartName:
    """A chart as somebody asks for it by hand."""

    repository: str
    name: str
    version: str

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read `oci://HOST/PATH/NAME:VERSION` or `URL#NAME:VERSION`; raises `ConfigurationError`."""
        is_oci = text.strip().lower().startswith("oci://")
        repository, separator, chart = text.strip().rpartition("/" if is_oci else "#")
        name, colon, version = chart.partition(":")
        if not (separator and colon and name and version.strip()) or repository.lower() == "oci:/":
            raise ConfigurationError(
                f"{for_message(text)!r} names no chart",
                hint="write it as oci://HOST/PATH/NAME:VERSION, or as URL#NAME:VERSION with the URL of its repository",
            )
        ChartRepository.parse(repository)
        return cls(repository, name, version.strip())


def to_tag(version: str) -> str:
    """The tag of a chart's version: a tag has no `+`, for which Helm writes `_`."""
    return version.replace("+", "_")


def from_tag(tag: str) -> str:
    """The version that the tag of a chart stands for."""
    return tag.replace("_", "+")


def may_stand_for(reference: ImageReference, repository: str, chart: str, version: str) -> bool:
    """Whether a request for `version` of `chart` in `repository` can have led to `reference`."""
    try:
        places = ChartRepository.parse(repository).candidates(chart)
        names = {place.reference(chart, "0").name for place in places}
    except ConfigurationError:
        return False
    found = from_tag(reference.tag or "")
    # The index of a repository may lead to a registry, and so to any name that ends in the chart's.
    leads_on = places[0].kind == "http" and reference.repository.endswith(f"/{chart}".lower())
    if reference.name not in names and not leads_on:
        return False
    wanted, parsed = VersionRange.parse(version), Version.parse(found)
    return found == version or (wanted is not None and parsed is not None and wanted.allows(parsed))


def _malformed(text: str, why: str, hint: str = _HOW) -> ConfigurationError:
    shown = for_message(re.sub(r"(://)[^/@]*@", r"\1…@", text.strip()).partition("?")[0])
    return ConfigurationError(f"{shown!r} is no repository of charts: {why}", hint=hint)
