"""Target names: where each reference lands, and what cannot land anywhere."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgelift.delivery.target import MappingRule, Target, TargetName
from edgelift.errors import ConfigurationError, MalformedReferenceError
from edgelift.oci.digest import Digest
from edgelift.oci.reference import NAME_LIMIT, ImageReference, is_repository, is_tag

DIGEST = Digest.of(b"manifest")
KEEP_TAG = f"edgelift-{DIGEST.hex[:16]}"
MIRROR = "mirror.example:5000"
LOCAL_PACK = "local.invalid/spectro-packs/archive/nginx:1.2"


def names(target: Target, reference: str) -> list[str]:
    """The names of `reference` at `target`, as text."""
    return [str(name) for name in target.names(ImageReference.parse(reference), DIGEST)]


DEFAULT = {
    "a registry with a dot": ("quay.io/kairos/x:1", "quay.io/kairos/x:1"),
    "Docker Hub": ("nginx:1.27", "docker.io/library/nginx:1.27"),
    "Docker Hub by another name": ("index.docker.io/grafana/loki:3", "docker.io/grafana/loki:3"),
    "no tag": ("nginx", "docker.io/library/nginx:latest"),
    "a port": ("localhost:5000/team/app:1", "localhost_5000/team/app:1"),
    "an address and a port": ("10.1.2.3:8000/app:1", "10.1.2.3_8000/app:1"),
    "dashes in the host": ("us-docker.pkg.dev/palette-images/edge/x:1", "us-docker.pkg.dev/palette-images/edge/x:1"),
    "two dashes in the host": ("a--b.example/x:1", "a--b.example/x:1"),
    "only a digest": (f"quay.io/x@{DIGEST}", f"quay.io/x:{KEEP_TAG}"),
    "tag and digest": (f"quay.io/x:1@{Digest.of(b'index')}", "quay.io/x:1"),
}


@pytest.mark.parametrize("base", ["", "spectro-images", "a/b-c"], ids=["no base", "base", "base of two"])
@pytest.mark.parametrize(("reference", "expected"), DEFAULT.values(), ids=DEFAULT)
def test_the_source_host_is_kept_as_a_path(reference: str, expected: str, base: str) -> None:
    """Without rules the whole source name goes below the base, the port behind an underscore."""
    target = Target.parse(f"{MIRROR}/{base}")

    assert [f"{base}/{expected}" if base else expected] == names(target, reference)


def test_the_keep_tag_names_what_is_kept() -> None:
    """A reference without a tag gets one of the digest that is pushed, so that no registry cleans it away."""
    reference = ImageReference.parse(f"quay.io/x@{Digest.of(b'index')}")
    tags = [Target.parse(MIRROR).names(reference, Digest.of(each))[0].tag for each in (b"a", b"b")]

    assert [f"edgelift-{Digest.of(each).hex[:16]}" for each in (b"a", b"b")] == tags
    assert all(is_tag(tag) for tag in tags)


PACK = "quay.io/team/spectro-packs/archive/nginx:1.2"
PACKS = {
    "of a registry": (PACK, ()),
    "of this machine": (LOCAL_PACK, ()),
    "with a rule for others": (PACK, ("quay.io/other=elsewhere",)),
}


@pytest.mark.parametrize("base", ["", "spectro-images"], ids=["no base", "base"])
@pytest.mark.parametrize(("reference", "rules"), PACKS.values(), ids=PACKS)
def test_a_pack_lands_where_palette_looks(reference: str, rules: tuple[str, ...], base: str) -> None:
    """Not below the host that it comes from, but in the project of packs, whatever registry it comes from."""
    target = Target.parse(f"{MIRROR}/{base}", rules)
    (name,) = target.names(ImageReference.parse(reference), DIGEST, "pack")

    assert str(name) == "/".join(part for part in (base, "spectro-packs/archive/nginx:1.2") if part)


def test_a_mapping_rule_moves_a_pack() -> None:
    """As it does an image."""
    target = Target.parse(MIRROR, ("quay.io/team=edge", "local.invalid=own"))

    assert [str(target.names(ImageReference.parse(each), DIGEST, "pack")[0]) for each in (PACK, LOCAL_PACK)] == [
        "edge/spectro-packs/archive/nginx:1.2",
        "own/spectro-packs/archive/nginx:1.2",
    ]


def test_docker_hub_has_no_short_names_for_packs() -> None:
    """Nobody pulls a pack by one."""
    target = Target.parse(MIRROR, docker_hub_aliases=True)

    assert len(target.names(ImageReference.parse("docker.io/library/nginx:1"), DIGEST, "pack")) == 1


TARGETS = {
    "host": ("mirror.example", "mirror.example", ""),
    "host and port": ("mirror.example:5000", "mirror.example:5000", ""),
    "slash at the end": ("mirror.example:5000/", "mirror.example:5000", ""),
    "base": ("mirror.example/spectro-images/", "mirror.example", "spectro-images"),
    "base of several": ("10.10.254.254:8000/a/b", "10.10.254.254:8000", "a/b"),
    "capitals in the host": ("Mirror.Example:5000/a", "mirror.example:5000", "a"),
    "spaces around": (" mirror.example/a \n", "mirror.example", "a"),
    "one word": ("mirror", "mirror", ""),
    "Docker Hub by another name": ("index.docker.io/team", "docker.io", "team"),
    "IPv6": ("[fd00::1]:5000/a", "[fd00::1]:5000", "a"),
}


@pytest.mark.parametrize(("text", "registry", "base"), TARGETS.values(), ids=TARGETS)
def test_a_target_is_read(text: str, registry: str, base: str) -> None:
    """Host, port and base, in one canonical spelling."""
    target = Target.parse(text)

    assert (registry, base, f"{registry}/{base}".rstrip("/")) == (target.registry, target.base, str(target))


NO_TARGETS = {
    "nothing": "",
    "only a slash": "/",
    "a scheme": "https://mirror.example/a",
    "capitals in the base": "mirror.example/Spectro",
    "an empty part": "mirror.example/a//b",
    "a tag": "mirror.example/a:1",
    "a port that is none": "mirror.example:99999/a",
    "a path upwards": "mirror.example/../a",
    "a query": "mirror.example/a?b=c",
}


@pytest.mark.parametrize("text", NO_TARGETS.values(), ids=NO_TARGETS)
def test_what_is_no_target_is_refused(text: str) -> None:
    """The message repeats it, and the hint shows how to write one."""
    with pytest.raises(ConfigurationError, match=re.escape(f"{text!r} is not a target registry")) as caught:
        Target.parse(text)

    assert "HOST[:PORT][/BASE]" in str(caught.value.hint)


LOGINS = ["courier:hunter2@mirror.example/a", "https://courier:hunter2@mirror.example", "courier:hun@hunter2@mirror"]


@pytest.mark.parametrize("text", LOGINS)
def test_a_login_is_not_repeated(text: str) -> None:
    """A password in front of a host is neither used nor shown, in a target or in a rule."""
    for attempt in (
        lambda: Target.parse(text),
        lambda: Target.parse(MIRROR, (f"quay.io={text}",)),
        lambda: Target.parse(MIRROR, (f"{text}=a",)),
    ):
        with pytest.raises(ConfigurationError) as caught:
            attempt()
        assert "hun" not in str(caught.value)


MAPPED = {
    "a host": (["quay.io=quay"], "quay.io/kairos/x:1", "quay/kairos/x:1"),
    "a host and a path": (["quay.io/kairos=edge/kairos"], "quay.io/kairos/x:1", "edge/kairos/x:1"),
    "the whole name": (["quay.io/kairos/x=edge/y"], "quay.io/kairos/x:1", "edge/y:1"),
    "only whole components": (["quay.io/kai=edge"], "quay.io/kairos/x:1", "quay.io/kairos/x:1"),
    "only whole hosts": (["quay.io=edge"], "quay.io.example/x:1", "quay.io.example/x:1"),
    "only that port": (["mirror.a=edge"], "mirror.a:5000/x:1", "mirror.a_5000/x:1"),
    "a host with a port": (["mirror.a:5000=edge"], "mirror.a:5000/x:1", "edge/x:1"),
    "IPv6": (["[fd00::1]:5000=edge"], "[fd00::1]:5000/x:1", "edge/x:1"),
    "the longest, given last": (["quay.io=a", "quay.io/k=b", "quay.io/k/l=c"], "quay.io/k/l/m:1", "c/m:1"),
    "the longest, given first": (["quay.io/k/l=c", "quay.io/k=b", "quay.io=a"], "quay.io/k/l/m:1", "c/m:1"),
    "a shorter one where the longest ends early": (["quay.io=a", "quay.io/k=b"], "quay.io/kk/l:1", "a/kk/l:1"),
    "to the top": (["quay.io="], "quay.io/kairos/x:1", "kairos/x:1"),
    "to the host": ([f"quay.io={MIRROR}"], "quay.io/kairos/x:1", "kairos/x:1"),
    "to host and path": ([f"quay.io={MIRROR}/edge"], "quay.io/kairos/x:1", "edge/kairos/x:1"),
    "to the host in capitals": (["quay.io=Mirror.Example:5000/edge"], "quay.io/kairos/x:1", "edge/kairos/x:1"),
    "slashes at the ends": (["quay.io/kairos/=/edge/"], "quay.io/kairos/x:1", "edge/x:1"),
    "spaces around": ([" quay.io = edge "], "quay.io/kairos/x:1", "edge/kairos/x:1"),
    "Docker Hub": (["docker.io=hub"], "nginx:1", "hub/library/nginx:1"),
    "Docker Hub by another name": (["index.docker.io/library=hub"], "nginx:1", "hub/nginx:1"),
    "the source in capitals": (["Quay.IO=edge"], "quay.io/x:1", "edge/x:1"),
    "another rule": (["ghcr.io=edge"], "quay.io/x:1", "quay.io/x:1"),
}


@pytest.mark.parametrize(("rules", "reference", "expected"), MAPPED.values(), ids=MAPPED)
def test_rules_replace_the_longest_prefix(rules: list[str], reference: str, expected: str) -> None:
    """What a rule matches is replaced on a `/` boundary; what it does not match stays as it is."""
    assert [expected] == names(Target.parse(MIRROR, tuple(rules)), reference)


def test_a_rule_replaces_and_is_not_put_below_the_base() -> None:
    """Palette's rules give the whole path; only what no rule matches goes below the base."""
    target = Target.parse(f"{MIRROR}/spectro-images", ("quay.io/kairos=edge", f"ghcr.io={MIRROR}/spectro-images/gh"))

    assert [
        name for text in ("quay.io/kairos/x:1", "quay.io/other/x:1", "ghcr.io/x:1") for name in names(target, text)
    ] == ["edge/x:1", "spectro-images/quay.io/other/x:1", "spectro-images/gh/x:1"]


NO_RULES = {
    "no equals sign": ("quay.io/kairos", "is not a mapping rule"),
    "no source": ("=edge", "is not a mapping rule"),
    "nothing": ("", "is not a mapping rule"),
    "a scheme in the source": ("https://quay.io=edge", "is not a mapping rule"),
    "a source without its registry": ("kairos/x=edge", "is not a mapping rule"),
    "a tag in the source": ("quay.io/kairos/x:1=edge", "is not a mapping rule"),
    "capitals in the source's path": ("quay.io/Kairos=edge", "is not a mapping rule"),
    "a host that is none": ("my_host.example=edge", "is not a mapping rule"),
    "another host": ("quay.io=other.example/edge", "leads to the registry other.example, but the target is mirror"),
    "another port": ("quay.io=mirror.example:5001/edge", "leads to the registry mirror.example:5001"),
    "the host without its port": ("quay.io=mirror.example/edge", "leads to the registry mirror.example,"),
    "localhost": ("quay.io=localhost/edge", "leads to the registry localhost"),
    "a scheme in the target": (f"quay.io=https://{MIRROR}/edge", "does not lead to a repository path"),
    "capitals in the target": ("quay.io=Edge", "does not lead to a repository path"),
    "capitals behind the host": (f"quay.io={MIRROR}/Edge", "does not lead to a repository path"),
    "a path upwards": ("quay.io=../edge", "does not lead to a repository path"),
    "a second equals sign": ("quay.io=a=b", "does not lead to a repository path"),
}


@pytest.mark.parametrize(("rule", "problem"), NO_RULES.values(), ids=NO_RULES)
def test_what_is_no_rule_is_refused(rule: str, problem: str) -> None:
    """A rule that could never match, or leads elsewhere, is refused: it is repeated, and a hint says what to write."""
    with pytest.raises(ConfigurationError, match=problem) as caught:
        Target.parse(MIRROR, (rule,))

    assert (repr(rule) in caught.value.message, bool(caught.value.hint)) == (True, True)


def test_a_path_may_look_like_a_host() -> None:
    """One old source may stand under the name of another: the hint says how to write that."""
    with pytest.raises(ConfigurationError) as caught:
        Target.parse(MIRROR, ("k8s.gcr.io=registry.k8s.io/old",))
    advised = f"{MIRROR}/registry.k8s.io/old"

    assert str(caught.value.hint).endswith(f"write {advised}")
    assert names(Target.parse(MIRROR, (f"k8s.gcr.io={advised}",)), "k8s.gcr.io/pause:1") == [
        "registry.k8s.io/old/pause:1"
    ]


def test_two_rules_for_one_source() -> None:
    """Which of them counts is not guessed, also where they are spelt differently."""
    with pytest.raises(ConfigurationError, match=r"several mapping rules for docker\.io/library") as caught:
        Target.parse(MIRROR, ("quay.io=a", "docker.io/library=b", "index.docker.io/library/=c"))

    assert caught.value.hint


ALIASES = {
    "an official image": ((), "nginx:1", ["base/docker.io/library/nginx:1", "base/docker.io/nginx:1"]),
    "only a digest": (
        (),
        f"nginx@{DIGEST}",
        [f"base/docker.io/{name}:{KEEP_TAG}" for name in ("library/nginx", "nginx")],
    ),
    "a user's image": ((), "grafana/loki:1", ["base/docker.io/grafana/loki:1"]),
    "another registry": ((), "quay.io/library/x:1", ["base/quay.io/library/x:1"]),
    "what only begins like it": ((), "docker.io/library/a/b:1", ["base/docker.io/library/a/b:1"]),
    "a rule for Docker Hub": (("docker.io=hub",), "nginx:1", ["hub/library/nginx:1", "hub/nginx:1"]),
    "a rule for library": (("docker.io/library=lib",), "nginx:1", ["lib/nginx:1", "base/docker.io/nginx:1"]),
    "rules that meet": (("docker.io/library=hub", "docker.io=hub"), "nginx:1", ["hub/nginx:1"]),
}


@pytest.mark.parametrize(("rules", "reference", "expected"), ALIASES.values(), ids=ALIASES)
def test_docker_hub_aliases(rules: tuple[str, ...], reference: str, expected: list[str]) -> None:
    """An official image gets its short name, too, where the same rules would look for it; never twice the same."""
    target = Target.parse(f"{MIRROR}/base", rules, docker_hub_aliases=True)

    assert expected == names(target, reference)


IMPOSSIBLE = {
    "IPv6 by default": (Target.parse(MIRROR), "[fd00::1]:5000/app:1", "no valid repository name"),
    "a rule that leaves nothing": (Target.parse(MIRROR, ("quay.io/x=",)), "quay.io/x:1", "no valid repository name"),
    "too long": (Target.parse(f"{MIRROR}/spectro-images"), f"quay.io/{'a' * 240}:1", "longer than 255 characters"),
}


@pytest.mark.parametrize(("target", "reference", "problem"), IMPOSSIBLE.values(), ids=IMPOSSIBLE)
def test_what_cannot_have_a_name_is_named(target: Target, reference: str, problem: str) -> None:
    """The message says what it would become and why that cannot be; the hint leads to a mapping rule."""
    name = ImageReference.parse(reference).name

    with pytest.raises(MalformedReferenceError, match=problem) as caught:
        names(target, reference)

    assert caught.value.message.startswith(f"{name} would become ")
    assert (MIRROR in caught.value.message, "SRC=DST" in str(caught.value.hint)) == (True, True)


def test_a_name_may_fill_the_limit() -> None:
    """Registry, base and name together may have 255 characters."""
    room = NAME_LIMIT - len(f"{MIRROR}/quay.io/")
    (name,) = names(Target.parse(MIRROR), f"quay.io/{'a' * room}:1")

    assert len(f"{MIRROR}/{name}") == NAME_LIMIT + len(":1")


_component = st.from_regex(r"[a-z]{1,3}(-[a-z]{1,2})?", fullmatch=True)
_paths = st.lists(_component, min_size=1, max_size=4).map("/".join)
_hosts = st.sampled_from(["docker.io", "quay.io", "localhost:5000", "ghcr.io", "10.1.2.3:8000"])
_sources = st.builds("{}/{}".format, _hosts, _paths) | _hosts


@given(host=_hosts, path=_paths, base=st.just("") | _paths, sources=st.lists(_sources, unique=True, max_size=4))
def test_every_name_is_one_that_a_registry_takes(host: str, path: str, base: str, sources: list[str]) -> None:
    """Whatever the rules, a name is a repository path and a tag, and comes from the longest rule that matches."""
    rules = tuple(f"{source}=rule{number}" for number, source in enumerate(sources))
    target = Target.parse(f"{MIRROR}/{base}", rules)

    (name,) = target.names(ImageReference(host, path, "1"), DIGEST)

    matching = [source for source in sources if f"{host}/{path}/".startswith(f"{source}/")]
    expected = "/".join(filter(None, [base, host.replace(":", "_"), path]))
    if matching:
        longest = max(matching, key=len)
        expected = f"rule{sources.index(longest)}{f'{host}/{path}'[len(longest) :]}"
    assert TargetName(expected, "1") == name
    assert is_repository(name.repository)


def test_a_rule_stands_alone() -> None:
    """A rule can be read and applied without a target around it."""
    rule = MappingRule.parse("quay.io/kairos=edge", MIRROR)

    assert [rule.apply(name) for name in ("quay.io", "quay.io/kairos", "quay.io/kairos/x", "quay.io/kairosx")] == [
        None,
        "edge",
        "edge/x",
        None,
    ]
