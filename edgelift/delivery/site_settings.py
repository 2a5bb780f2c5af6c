"""The settings that a Palette edge host needs to find what was pushed: `stylus.externalRegistries` (user-data).

Field names as in Palette's documentation of external registries; every source host gets a mapping rule of its own,
since a rule that is written down cannot be guessed differently.
"""

from typing import Any

import yaml

from edgelift.bundle.lock import BundleLock
from edgelift.delivery.target import Target
from edgelift.errors import MalformedReferenceError
from edgelift.oci.digest import Digest
from edgelift.oci.reference import ImageReference

HEADER = """\
# Goes into the user-data of the site's edge hosts, so that they find what was pushed to {target}.
# Fill in a read-only account, or remove username and password where the registry is open, and the certificate of
# the authority that signed the registry's, or remove certificates where that is one which everybody trusts.
"""


def site_settings(lock: BundleLock, target: Target) -> str:
    """The settings as YAML, with a comment that says where they go."""
    registry: dict[str, Any] = {
        "domain": str(target),
        "username": "<read-only user>",
        "password": "<its password>",
        "certificates": ["<PEM of the registry's CA, where it is not publicly trusted>"],
    }
    stylus = {"externalRegistries": {"registries": [registry], "registryMappingRules": mapping_rules(lock, target)}}
    return HEADER.format(target=target) + yaml.safe_dump({"stylus": stylus}, sort_keys=False, width=120)


def mapping_rules(lock: BundleLock, target: Target) -> dict[str, str]:
    """Source prefix → target prefix, the explicit rules and one for each source registry of the lock."""
    rules = {rule.source: _join(target.registry, rule.target) for rule in target.rules}
    pulled = (image for image in lock.images if image.kind != "pack")  # packs are Palette's business, not the hosts'
    for registry in sorted({ImageReference.parse(image.reference).registry for image in pulled}):
        prefix = _registry_prefix(registry, target)
        if registry not in rules and prefix is not None:
            rules[registry] = _join(target.registry, prefix)
    return dict(sorted(rules.items()))


def _registry_prefix(registry: str, target: Target) -> str | None:
    probe = ImageReference(registry, "x", "x")
    try:
        repository = Target(target.registry, target.base).names(probe, Digest.of(b""))[0].repository
    except MalformedReferenceError:
        return None
    return repository.removesuffix("/x")


def _join(registry: str, path: str) -> str:
    return f"{registry}/{path}" if path else registry
