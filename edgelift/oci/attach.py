"""Attach: see that a referrer, once it stands in a repository, is found from what it refers to.

A registry with lists of referrers puts it there by itself, and says so when it takes the manifest. For one without,
clients keep an index under a tag (distribution-spec, "Pushing Manifests with Subject" and "Referrers Tag Schema").
"""

import json
from typing import Any

from edgelift.errors import RefusedError, RegistryError
from edgelift.oci.descriptor import Descriptor
from edgelift.oci.digest import Digest
from edgelift.oci.manifest import OCI_INDEX, Manifest
from edgelift.oci.referrer_tags import fallback_tag
from edgelift.oci.registry import Registry

_ATTEMPTS = 5  # while others, elsewhere, write to the same index


def attach(registry: Registry, repository: str, subject: Digest, referrer: Digest) -> None:
    """Have `referrer`, a manifest of `repository`, listed for `subject`; raises `RegistryError`.

    The index under the tag is read, added to and read again: two of one run wait for each other, and what another
    client has taken out of it by writing at the same moment is put back.
    """
    if registry.referrers.has_noted(repository, referrer):
        return
    with registry.referrers.alone(repository, subject):
        for attempt in range(_ATTEMPTS):
            if _is_listed(registry, repository, subject, referrer):
                return
            if attempt:
                registry.channel.back_off(attempt, _lost(registry, repository, subject))
            _add(registry, repository, subject, registry.read_manifest(repository, referrer))
        if not _is_listed(registry, repository, subject, referrer):
            raise _lost(registry, repository, subject)


def _is_listed(registry: Registry, repository: str, subject: Digest, referrer: Digest) -> bool:
    listed = registry.list_referrers(repository, subject) or ()
    return any(each.digest == referrer for each in listed)


def _add(registry: Registry, repository: str, subject: Digest, referrer: Manifest) -> None:
    """Put `referrer` into the index under the tag; all that is in there stays."""
    tag = fallback_tag(subject)
    document = _read_index(registry, repository, tag)
    entries = document.get("manifests") or []
    document["manifests"] = [*entries, _entry(referrer.listed)]
    try:
        _write_index(registry, repository, tag, document)
    except RegistryError as error:
        if not error.says_blob_unknown:
            raise
        # It lists what has been deleted since, and no registry takes such an index again.
        there = [each for each in entries if registry.describe(repository, Digest(each["digest"])) is not None]
        document["manifests"] = [*there, _entry(referrer.listed)]
        _write_index(registry, repository, tag, document)


def _read_index(registry: Registry, repository: str, tag: str) -> dict[str, Any]:
    standing = registry.describe(repository, tag)
    if standing is None:
        return {"schemaVersion": 2, "mediaType": OCI_INDEX, "manifests": []}
    if standing.media_type != OCI_INDEX:
        raise RefusedError(
            f"{registry.host}/{repository}:{tag} is no list of referrers, but {standing.media_type}",
            hint="that tag is where registries without the referrers API have them: remove it there, or give the image "
            "another name with --map",
        )
    document: dict[str, Any] = json.loads(registry.read_manifest(repository, tag).raw)
    return document


def _write_index(registry: Registry, repository: str, tag: str, document: dict[str, Any]) -> None:
    raw = json.dumps(document, separators=(",", ":"), ensure_ascii=False).encode()
    registry.write_manifest(repository, tag, raw, OCI_INDEX)


def _entry(descriptor: Descriptor) -> dict[str, Any]:
    return descriptor.model_dump(mode="json", by_alias=True, exclude_none=True)


def _lost(registry: Registry, repository: str, subject: Digest) -> RegistryError:
    return RegistryError(
        f"{registry.host}/{repository}:{fallback_tag(subject)} loses the referrers that are added to it",
        hint="another client writes to it, too: run the same again once that has ended",
        retryable=True,
    )
