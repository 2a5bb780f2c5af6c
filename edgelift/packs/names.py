"""Where packs are in a registry: below `spectro-packs/archive`, which Palette expects in every OCI pack registry. Pure.

A local pack comes from no registry. It has the name that it would have in one that cannot exist (RFC 2606, `.invalid`),
so that all that is said of packs holds for it as well, and nobody asks a server for it.
"""

from edgelift.errors import MalformedReferenceError
from edgelift.oci.reference import ImageReference, for_message, is_repository, is_tag, names_registry

PACK_PROJECT = "spectro-packs/archive"
LOCAL_REGISTRY = "local.invalid"


def pack_reference(place: str, name: str, version: str) -> ImageReference:
    """The pack at `place`, a registry with an optional base path; raises `MalformedReferenceError` for what is none."""
    host, _, base = place.partition("/")
    if not names_registry(host):
        raise MalformedReferenceError(
            f"{for_message(place)!r} names no registry",
            hint="write it as HOST[:PORT][/BASE] without scheme; a host has a dot or a port",
        )
    if "/" in name or not is_repository(name) or not is_tag(version):
        raise MalformedReferenceError(
            f"pack {for_message(name)!r} {for_message(version)!r} cannot be in a registry, where the name is part of a "
            "repository and the version is a tag",
            hint="a name has lower-case letters, digits and dashes, a version letters, digits, dots, dashes and "
            "underscores: see name and version in its pack.json",
        )
    repository = "/".join(part for part in (base.strip("/"), PACK_PROJECT, name) if part)
    return ImageReference.parse(f"{host}/{repository}:{version}")


def is_local(reference: ImageReference | str) -> bool:
    """Whether that is a local pack, which no registry has."""
    registry = reference.partition("/")[0] if isinstance(reference, str) else reference.registry
    return registry == LOCAL_REGISTRY


def repository_of_pack(repository: str) -> str:
    """Where the pack in `repository` is below the base path of any registry."""
    return f"{PACK_PROJECT}/{repository.rpartition('/')[2]}"
