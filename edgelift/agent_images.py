"""The images of Palette's own services that a source asks for, read from Palette, each with where it is named."""

from collections.abc import Callable, Sequence
from http import HTTPStatus
from typing import NamedTuple

from edgelift.agent_services import DEFAULT_SERVICES, AgentServices, ServiceGroup
from edgelift.bundle.definition import Architecture, Origin, RequestedImage
from edgelift.errors import ConfigurationError, MalformedReferenceError, PaletteError, ProfileError
from edgelift.oci.reference import ImageReference
from edgelift.palette.client import PaletteClient
from edgelift.palette.images import clean_reference
from edgelift.palette.services import Service, find_manifest_images, for_architectures
from edgelift.site import ContentSource


class AgentContent(NamedTuple):
    """Images, and a line for whatever could not be read."""

    images: Sequence[RequestedImage] = ()
    warnings: Sequence[str] = ()


def read_agent_images(source: ContentSource, open_palette: Callable[[], PaletteClient]) -> AgentContent:
    """The images of the services that `source` asks for; `open_palette` is called where Palette has to be asked.

    A service that Palette does not have, and what is no image reference, is a warning. Raises `ConfigurationError` for
    a group that names nothing, `PaletteError` where Palette has none of the services.
    """
    services = source.agent_services or DEFAULT_SERVICES
    groups = _groups(source, services)
    images = _Images(services, source.architecture, is_fips=source.fips)
    names = list(dict.fromkeys(name for group in groups.values() for name in group.services))
    found = [service for name in names if (service := _read(open_palette(), name, services, images)) is not None]
    for service in found:
        images.add_service(service)
    for label, group in groups.items():
        images.add_named(group, label)
    if names and not found:
        raise PaletteError(
            f"Palette has none of these services: {', '.join(names)}", hint="name others with --agent-services"
        )
    return AgentContent(images.requested(), images.warnings)


class _Images:
    """Gathers references with their origins."""

    def __init__(self, services: AgentServices, architecture: Architecture | None, *, is_fips: bool) -> None:
        self._rules = sorted(services.fips.items(), key=lambda rule: -len(rule[0])) if is_fips else []
        self._architecture = architecture
        self._origins: dict[str, dict[Origin, None]] = {}
        self.warnings: list[str] = []

    def add_service(self, service: Service) -> None:
        """Add what the manifests of `service` name."""
        count = 0
        for manifest in service.manifests:
            origin = Origin(profile=service.origin_label, pack="", path=manifest.name)
            try:
                texts = find_manifest_images(manifest.content)
            except ProfileError as error:
                self.warnings.append(f"{origin}: this manifest cannot be read: {error.message}")
                continue
            count += len(texts)
            for text in texts:
                self._add(text, origin)
        if count == 0:
            self.warnings.append(f"{service.origin_label}: its manifests name no image")

    def add_named(self, group: ServiceGroup, label: str) -> None:
        """Add the images that `group` names outright."""
        for text in group.images:
            self._add(text, Origin(profile="agent services", pack="", path=label))

    def requested(self) -> list[RequestedImage]:
        """Every image with its origins, by reference."""
        return [RequestedImage(reference=each, origins=tuple(self._origins[each])) for each in sorted(self._origins)]

    def _add(self, text: str, origin: Origin) -> None:
        try:
            reference = ImageReference.parse(self._certified(clean_reference(text) or ""))
        except MalformedReferenceError as error:
            self.warnings.append(f"{origin}: {error.message}, so it is left out")
            return
        for each in for_architectures(reference, self._architecture):
            self._origins.setdefault(str(each), {})[origin] = None

    def _certified(self, text: str) -> str:
        for prefix, other in self._rules:
            if text.startswith(f"{prefix.rstrip('/')}/"):
                return other.rstrip("/") + text[len(prefix.rstrip("/")) :]
        return text


def _groups(source: ContentSource, services: AgentServices) -> dict[str, ServiceGroup]:
    groups = {}
    if source.agent_images in ("core", "all"):
        groups["core"] = services.core
    if source.agent_images == "all":
        groups["day_two"] = services.day_two
    if source.compliance_images:
        groups["compliance"] = services.compliance
    empty = [label for label, group in groups.items() if not (group.services or group.images)]
    if empty:
        raise ConfigurationError(
            f"no service and no image is known for {' and '.join(empty)}: which ones Palette takes is not public",
            hint=f"list them under {empty[0]} in the file of --agent-services, or in the site file",
        )
    return groups


def _read(palette: PaletteClient, name: str, services: AgentServices, images: _Images) -> Service | None:
    try:
        return palette.read_service(name, services.versions.get(name))
    except PaletteError as error:
        if error.status != HTTPStatus.NOT_FOUND:
            raise
        images.warnings.append(f"Palette has no service {name}, so its images are not carried")
        return None
