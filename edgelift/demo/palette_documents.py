"""The documents that Palette answers with, made from profiles. Shapes follow its published API description (4.8)."""

import gzip
import io
import json
import tarfile
from collections.abc import Sequence
from typing import Any

from edgelift.palette.models import ClusterProfile, Pack

_NO_TIME = "0001-01-01T00:00:00.000Z"


def export_document(profile: ClusterProfile) -> dict[str, Any]:
    """`profile` in the shape of Palette's export."""
    template = {"type": profile.type, "cloudType": profile.cloud_type, "packs": [_exported(p) for p in profile.packs]}
    return {
        "metadata": {"name": profile.name, "description": "", "labels": {}},
        "spec": {"version": profile.version, "template": template, "variables": variables(profile)},
    }


def profile_document(profile: ClusterProfile, *, is_draft: bool) -> dict[str, Any]:
    """`profile` as `GET /v1/clusterprofiles/{uid}` shows it, published or not; empty lists are null, as Palette's."""
    template = {
        "name": profile.name,
        "uid": profile.uid,
        "type": profile.type,
        "cloudType": profile.cloud_type,
        "profileVersion": profile.version,
        "packServerRefs": None,
        "packs": [pack_reference(pack) for pack in profile.packs] or None,
    }
    spec = {
        "draft": template if is_draft else None,
        "published": None if is_draft else template,
        "version": profile.version,
        "versions": [{"uid": profile.uid, "version": profile.version}],
    }
    status = {"hasUserMacros": False, "isPublished": not is_draft, "inUseClusterUids": None}
    return metadata(profile.uid, profile.name, annotations={"scope": "project"}) | {"spec": spec, "status": status}


def metadata(uid: str, name: str, **more: object) -> dict[str, Any]:
    """What every object of Palette begins with."""
    times = dict.fromkeys(("creationTimestamp", "deletionTimestamp", "lastModifiedTimestamp"), _NO_TIME)
    return {"metadata": {"uid": uid, "name": name, **times, **more}}


def pack_reference(pack: Pack) -> dict[str, Any]:
    """`pack` as a profile holds it."""
    return {
        "name": pack.name,
        "layer": pack.layer,
        "type": pack.type,
        "version": pack.version,
        "tag": pack.tag,
        "values": pack.values,
        "packUid": f"{pack.name}-{pack.tag}",
        "registryUid": pack.registry_uid,
        "isInvalid": pack.is_invalid,
        "inValidReason": pack.invalid_reason,
        "manifests": [{"kind": "", "name": each.name, "uid": each.uid} for each in pack.manifests] or None,
    }


def pack_summary(pack: Pack, *, with_manifests: bool = False) -> dict[str, Any]:
    """`pack` as the lists of a profile's packs show it, with the contents of its manifests or only their names."""
    reference = pack_reference(pack)
    spec = {key: reference[key] for key in ("name", "layer", "type", "version", "values", "registryUid", "manifests")}
    if with_manifests:
        spec["manifests"] = [
            {"uid": each.uid, "name": each.name, "content": each.content, "digest": each.digest}
            for each in pack.manifests
        ]
    return metadata(reference["packUid"], pack.name) | {"spec": spec | {"displayName": pack.display_name}}


def _exported(pack: Pack) -> dict[str, Any]:
    registry = {"uid": pack.registry_uid, "name": "Public Repo", "kind": "pack", "isPrivate": False, "providerType": ""}
    return {
        **{key: getattr(pack, key) for key in ("name", "type", "layer", "version", "tag", "values")},
        "registry": {"metadata": registry},
        "manifests": [{"name": each.name, "content": each.content} for each in pack.manifests],
    }


def variables(profile: ClusterProfile) -> list[dict[str, Any]]:
    """The variables of `profile`; the defaults of sensitive ones are masked."""
    return [
        {
            "name": each.name,
            "displayName": each.name,
            "format": each.format,
            "defaultValue": "********" if each.is_sensitive else each.default_value,
            "inputType": "dropdown" if each.options else "text",
            "options": [{"value": option.value, "label": "", "default": False} for option in each.options] or None,
            "regex": each.regex,
            "isSensitive": each.is_sensitive,
        }
        for each in profile.variables
    ]


def cluster_definition(profiles: Sequence[ClusterProfile]) -> bytes:
    """A gzipped tar that stands for a cluster definition; the same profiles give the same bytes.

    What Palette puts in there is not public, so nobody may look inside.
    """
    content = json.dumps({"clusterProfileDetails": [export_document(profile) for profile in profiles]}).encode()
    tar_bytes = io.BytesIO()
    with tarfile.open(fileobj=tar_bytes, mode="w") as tar:
        member = tarfile.TarInfo("cluster-definition.json")
        member.size = len(content)
        tar.addfile(member, io.BytesIO(content))
    return gzip.compress(tar_bytes.getvalue(), mtime=0)
