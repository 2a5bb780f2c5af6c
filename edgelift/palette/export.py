"""Profiles from documents: the file that Palette exports, and the answer of `GET /v1/clusterprofiles/{uid}`. No I/O."""

import json
from collections.abc import Mapping
from typing import Any

from pydantic import ValidationError

from edgelift.errors import ProfileError
from edgelift.explain import explain
from edgelift.palette.models import ClusterProfile
from edgelift.palette.values import CURLY_QUOTES, load_yaml

_EXPORT_HINT = "export the profile in Palette as JSON or YAML, or save the answer of GET /v1/clusterprofiles/{uid}"
_DRAFT_NOTICE = "this version is not published: its draft was read"


def parse_exported_profile(text: str, where: str) -> ClusterProfile:
    """The profile in an exported file, or in a saved answer of the API; JSON or YAML.

    `where` names the file in messages. Raises `ProfileError` with line and column for a file that cannot be parsed.
    """
    text = text.removeprefix("\ufeff")
    document = _parse_json(text, where) if text.lstrip().startswith("{") else _parse_yaml(text, where)
    return profile_from_document(document, where)


def profile_from_document(document: Any, where: str) -> ClusterProfile:
    """The profile in a parsed document of either shape; raises `ProfileError` where it is no profile."""
    spec = _section(document, "spec")
    if _section(spec, "template"):
        fields = _exported_fields(document, spec)
    elif _section(spec, "published") or _section(spec, "draft"):
        fields = _answered_fields(document, spec)
    else:
        raise ProfileError(
            f"{where} holds no cluster profile: it has neither spec.template nor spec.published nor spec.draft",
            hint=_EXPORT_HINT,
        )
    try:
        return ClusterProfile.model_validate(fields)
    except ValidationError as error:
        raise ProfileError(f"{where} is not a cluster profile: {explain(error)}", hint=_EXPORT_HINT) from None


def _exported_fields(document: Any, spec: Mapping[str, Any]) -> dict[str, Any]:
    metadata = _section(document, "metadata")
    return {
        "name": metadata.get("name"),
        "uid": metadata.get("uid"),
        "version": spec.get("version"),
        "variables": spec.get("variables"),
    } | _template_fields(_section(spec, "template"))


def _answered_fields(document: Any, spec: Mapping[str, Any]) -> dict[str, Any]:
    metadata = _section(document, "metadata")
    is_published = bool(_section(spec, "published"))
    template = _section(spec, "published" if is_published else "draft")
    return {
        "name": metadata.get("name") or template.get("name"),
        "uid": metadata.get("uid") or template.get("uid"),
        "version": spec.get("version") or template.get("profileVersion"),
        "variables": spec.get("variables"),
        "notices": () if is_published else (_DRAFT_NOTICE,),
    } | _template_fields(template)


def _template_fields(template: Mapping[str, Any]) -> dict[str, Any]:
    return {name: template.get(name) for name in ("type", "cloudType", "packs")}


def _section(document: Any, name: str) -> Mapping[str, Any]:
    section = document.get(name) if isinstance(document, Mapping) else None
    return section if isinstance(section, Mapping) else {}


def _parse_json(text: str, where: str) -> Any:
    try:
        # Numbers stay text: a version 1.10 without quotes is not 1.1.
        return json.loads(text, parse_float=str, parse_int=str)
    except json.JSONDecodeError as error:
        line = text.split("\n")[error.lineno - 1]
        curly = any(quote in line for quote in CURLY_QUOTES)
        raise ProfileError(
            f"{where} is not JSON: line {error.lineno}, column {error.colno}: {error.msg}",
            hint="replace the curly quotes there by straight ones" if curly else _EXPORT_HINT,
        ) from None
    except RecursionError:
        raise ProfileError(f"{where} is not a cluster profile: its JSON is nested too deep") from None


def _parse_yaml(text: str, where: str) -> Any:
    try:
        return load_yaml(text)
    except ProfileError as error:
        raise ProfileError(f"{where} is not YAML: {error.message}", hint=error.hint or _EXPORT_HINT) from None
