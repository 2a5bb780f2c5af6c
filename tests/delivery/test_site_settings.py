"""The settings for edge hosts: YAML whose rules find exactly what was pushed."""

import re
from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from edgelift.bundle.definition import BundleDefinition
from edgelift.bundle.lock import BundleLock, LockedImage
from edgelift.delivery.site_settings import mapping_rules, site_settings
from edgelift.delivery.target import Target
from edgelift.oci.descriptor import Descriptor
from edgelift.oci.digest import Digest
from edgelift.oci.manifest import OCI_MANIFEST
from edgelift.oci.reference import ImageReference

MANIFEST = Descriptor(media_type=OCI_MANIFEST, digest=Digest.of(b"manifest"), size=8)
MIRROR = "mirror.example:5000"


def lock_of(*references: str) -> BundleLock:
    """A lock of `references`."""
    images = tuple(
        LockedImage(reference=str(ImageReference.parse(text)), descriptor=MANIFEST, manifests=(MANIFEST,), blobs=())
        for text in references
    )
    return BundleLock(definition=BundleDefinition(), images=images)


def stylus_of(lock: BundleLock, target: Target) -> dict[str, Any]:
    """What an edge host reads from the settings."""
    document: dict[str, Any] = yaml.safe_load(site_settings(lock, target))
    assert list(document) == ["stylus"]
    settings: dict[str, Any] = document["stylus"]["externalRegistries"]
    return settings


def test_the_settings_are_yaml() -> None:
    """The registry with its base as domain, places for login and certificate, and one rule a source registry."""
    settings = stylus_of(lock_of("nginx:1", "quay.io/kairos/x:1", "nginx:2"), Target.parse(f"{MIRROR}/spectro-images"))

    (registry,) = settings["registries"]
    assert f"{MIRROR}/spectro-images" == registry["domain"]
    assert {"domain", "username", "password", "certificates"} == set(registry)
    assert {
        "docker.io": f"{MIRROR}/spectro-images/docker.io",
        "quay.io": f"{MIRROR}/spectro-images/quay.io",
    } == settings["registryMappingRules"]


def test_the_comment_says_where_it_goes() -> None:
    """Whoever finds the file knows what it is for, and what is still to be filled in."""
    comment = [line for line in site_settings(lock_of("nginx"), Target.parse(MIRROR)).splitlines() if line[0] == "#"]

    assert [word for word in ("user-data", MIRROR, "username", "certificates") if word not in " ".join(comment)] == []


RULES: dict[str, tuple[list[str], list[str], dict[str, str]]] = {
    "a port": (["localhost:5000/a:1"], [], {"localhost:5000": f"{MIRROR}/localhost_5000"}),
    "a rule for a host": (["quay.io/a:1"], ["quay.io=q"], {"quay.io": f"{MIRROR}/q"}),
    "a rule for a part": (
        ["quay.io/a/b:1"],
        ["quay.io/a=q"],
        {"quay.io": f"{MIRROR}/quay.io", "quay.io/a": f"{MIRROR}/q"},
    ),
    "a rule to the top": (["quay.io/a:1"], ["quay.io="], {"quay.io": MIRROR}),
    "a rule for what is not in the lock": (
        ["quay.io/a:1"],
        ["ghcr.io=g"],
        {"quay.io": f"{MIRROR}/quay.io", "ghcr.io": f"{MIRROR}/g"},
    ),
    "a host that has no default name": (
        ["[fd00::1]:5000/a:1"],
        ["[fd00::1]:5000/a=a"],
        {"[fd00::1]:5000/a": f"{MIRROR}/a"},
    ),
    "nothing": ([], [], {}),
}


@pytest.mark.parametrize(("references", "rules", "expected"), RULES.values(), ids=RULES)
def test_rules_are_written_out(references: list[str], rules: list[str], expected: dict[str, str]) -> None:
    """Each source has a rule, the given ones and the defaults."""
    assert expected == mapping_rules(lock_of(*references), Target.parse(MIRROR, tuple(rules)))


def test_rules_read_as_what_they_are() -> None:
    """No host is taken for a number or a truth by the YAML reader at the far side."""
    hosts = ["1.2", "1e3.example", "no.example", "10.1.2.3:8000", "[::1]:5000"]
    references = [f"{host}/a:1" for host in hosts]
    target = Target.parse(MIRROR, ("[::1]:5000=six",))

    assert set(hosts) == set(stylus_of(lock_of(*references), target)["registryMappingRules"])


def follow(rules: dict[str, str], name: str) -> str:
    """What an edge host makes of `name`: the longest matching prefix is replaced, the rest stays."""
    prefix = max((each for each in rules if name == each or name.startswith(f"{each}/")), key=len)
    return rules[prefix] + name[len(prefix) :]


_components = st.from_regex(r"[a-z]{1,2}([-._][a-z]{1,2})?", fullmatch=True)
_paths = st.lists(_components, min_size=1, max_size=4).map("/".join)
_hosts = st.sampled_from(["docker.io", "quay.io", "localhost:5000", "ghcr.io", "10.1.2.3:8000", "quay.io:443"])
_references = st.builds("{}/{}:1".format, _hosts, _paths) | _components.map("docker.io/{}:1".format)
_rules = st.dictionaries(_hosts | st.builds("{}/{}".format, _hosts, _paths), st.just("") | _paths, max_size=5)


@given(
    references=st.lists(_references, min_size=1, max_size=6),
    rules=_rules,
    base=st.just("") | _paths,
    aliases=st.booleans(),
)
def test_the_rules_lead_to_what_was_pushed(
    references: list[str], rules: dict[str, str], base: str, aliases: bool
) -> None:
    """For any images and rules: what the printed rules make of a source name is the name it was pushed as."""
    given_rules = tuple(f"{source}={MIRROR}/{path}" for source, path in rules.items() if path or "/" not in source)
    target = Target.parse(f"{MIRROR}/{base}", given_rules, docker_hub_aliases=aliases)
    lock = lock_of(*references)
    printed = stylus_of(lock, target)["registryMappingRules"]

    for image in lock.images:
        reference = ImageReference.parse(image.reference)
        official = re.fullmatch(r"docker\.io/library/([^/]+)", reference.name)
        written = [reference.name, f"docker.io/{official[1]}"] if aliases and official else [reference.name]
        pushed = [f"{target.registry}/{name.repository}" for name in target.names(reference, MANIFEST.digest)]
        assert list(dict.fromkeys(follow(printed, name) for name in written)) == pushed
