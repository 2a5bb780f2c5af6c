"""Macros: what profiles can answer is expanded, settings win, and everything else is named."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgelift.palette.macros import Expansion, MacroExpander
from edgelift.palette.models import ProfileVariable
from tests.palette.builders import load_packs, make_pack, make_profile, variables

OS_VALUES = """
options:
  system.uri: "{{ .spectro.pack.edge-os.options.system.registry }}/ubuntu:{{ .spectro.system.kubernetes.version }}"
  system.registry: ttl.sh
  system.customTag: 1.10
  system.empty:
  nested:
    list:
      - image: zero
      - image: one
  system: {short: no, registry.mirror: longest}
  both: {ways: nested}
  both.ways: dotted
  braces: "{{ .spectro.system.kubernetes.version"
"""
INFRASTRUCTURE = make_profile(
    make_pack(OS_VALUES, "edge-os", layer="os"),
    make_pack("tag: here", "edge-k3s", layer="k8s", version="1.32.1"),
    name="infra",
    type="infra",
    project_uid="65c90f2d0a1b2c3d4e5f6a00",
    project_name="stores",
)
ADD_ON = make_profile(
    make_pack("tag: '{{ .spectro.var.TAG }}'\nloop: '{{ .spectro.pack.web.loop }}'", "web"),
    make_pack("a: '{{ .spectro.pack.ring.b }}'\nb: '{{ .spectro.pack.ring.a }}'", "ring"),
    variables=(
        *variables(TAG="2.0", EMPTY="", NESTED="{{ .spectro.var.TAG }}"),
        ProfileVariable(name="SECRET", default_value="********", is_sensitive=True),
    ),
)
PACKS = load_packs(INFRASTRUCTURE, ADD_ON)
WEB = next(pack for pack in PACKS if pack.pack.name == "web")


def expand(text: str, **settings: str) -> Expansion:
    """Expand `text` as it stands in the pack `web` of the add-on profile."""
    return MacroExpander(PACKS, settings).expand(text, WEB)


EXPANDED = {
    "no macro": ("nginx:1.27", "nginx:1.27"),
    "no spaces": ("{{.spectro.pack.edge-os.options.system.registry}}", "ttl.sh"),
    "many spaces": ("{{   .spectro.pack.edge-os.options.system.registry\t}}", "ttl.sh"),
    "trim markers": ("{{- .spectro.pack.edge-os.options.system.registry -}}", "ttl.sh"),
    "inside a text": ("a{{.spectro.var.TAG}}b{{.spectro.var.TAG}}c", "a2.0b2.0c"),
    "macro in a macro's value": ("{{ .spectro.pack.edge-os.options.system.uri }}", "ttl.sh/ubuntu:1.32.1"),
    "float keeps its zero": ("{{ .spectro.pack.edge-os.options.system.customTag }}", "1.10"),
    "key with nothing": ("x{{ .spectro.pack.edge-os.options.system.empty }}x", "xx"),
    "nested below a dotted name": ("{{ .spectro.pack.edge-os.options.system.short }}", "no"),
    "dotted key below a key": ("{{ .spectro.pack.edge-os.options.system.registry.mirror }}", "longest"),
    "the longest key that fits": ("{{ .spectro.pack.edge-os.options.both.ways }}", "dotted"),
    "list by number": ("{{ .spectro.pack.edge-os.options.nested.list.1.image }}", "one"),
    "list by brackets": ("{{ .spectro.pack.edge-os.options.nested.list[0].image }}", "zero"),
    "Kubernetes version": ("{{ .spectro.system.kubernetes.version }}", "1.32.1"),
    "variable": ("{{ .spectro.var.TAG }}", "2.0"),
    "variable in a variable": ("{{ .spectro.var.NESTED }}", "2.0"),
    "variable of the profile that the macro stands in": ("{{ .spectro.pack.web.tag }}", "2.0"),
    "pack of another profile": ("{{ .spectro.pack.edge-k3s.tag }}", "here"),
    "substr": ("v{{ .spectro.system.kubernetes.version | substr 0 4 }}", "v1.32"),
    "substr to the end": ("{{ .spectro.system.kubernetes.version | substr 2 -1 }}", "32.1"),
    "substr from before the start": ("{{ .spectro.system.kubernetes.version | substr -1 1 }}", "1"),
    "substr past the end": ("{{ .spectro.system.kubernetes.version | substr 5 99 }}", "1"),
    "function before its value": ('{{ trimPrefix "v" .spectro.var.TAG }}', "2.0"),
    "macro as an argument": ("{{ .spectro.pack.web.tag | trimSuffix .spectro.var.TAG }}", ""),
    "trim marker before": ("a \n {{- .spectro.var.TAG }} b", "a2.0 b"),
    "trim marker behind": ("a {{ .spectro.var.TAG -}} \n b", "a 2.0b"),
    "substr twice": ("{{ .spectro.system.kubernetes.version | substr 0 4|substr 2 4 }}", "32"),
}


@pytest.mark.parametrize(("text", "expected"), EXPANDED.values(), ids=EXPANDED)
def test_macros_that_profiles_answer_are_expanded(text: str, expected: str) -> None:
    """Packs, variables and the Kubernetes version are read from the profiles."""
    assert expand(text) == Expansion(expected)


def test_the_project_of_the_profile_is_known() -> None:
    """The uid and name of the project come from where the profile was read."""
    text = "{{ .spectro.system.project.uid }}/{{ .spectro.system.project.name }}"
    assert MacroExpander(PACKS, {}).expand(text, PACKS[0]).text == "65c90f2d0a1b2c3d4e5f6a00/stores"


UNRESOLVED = {
    "cluster": ("{{ .spectro.system.cluster.name }}", "not part of the profiles"),
    "project that is not known": ("{{ .spectro.system.project.uid }}", "not part of the profiles"),
    "pack that is not there": ("{{ .spectro.pack.nope.tag }}", "none of these profiles has that pack"),
    "path that is not there": ("{{ .spectro.pack.edge-os.options.nope }}", "no single value there"),
    "path to a mapping": ("{{ .spectro.pack.edge-os.options }}", "no single value there"),
    "path below a text": ("{{ .spectro.pack.edge-k3s.tag.more }}", "no single value there"),
    "list number too high": ("{{ .spectro.pack.edge-os.options.nested.list.9.image }}", "no single value there"),
    "variable that is not there": ("{{ .spectro.var.NOPE }}", "no such variable"),
    "variable without default": ("{{ .spectro.var.EMPTY }}", "has no default value"),
    "sensitive variable": ("{{ .spectro.var.SECRET }}", "sensitive"),
    "user macro": ("{{ .spectro.macro.registry }}", "not part of an exported profile"),
    "itself": ("{{ .spectro.pack.web.loop }}", "leads back to itself"),
    "a ring": ("{{ .spectro.pack.ring.a }}", "leads back to itself"),
    "unknown function": ("{{ .spectro.var.TAG | sha256sum }}", "the function 'sha256sum'"),
    "unknown function after a known one": ("{{ .spectro.var.TAG | substr 0 4 | b64enc }}", "the function 'b64enc'"),
    "wrong arguments": ("{{ .spectro.var.TAG | replace 1 }}", "'replace' of a macro does not take what it is given"),
    "bare word": ("{{ .spectro.var.TAG | trimPrefix v }}", "'v' in a macro is neither a value nor in quotes"),
    "value after a pipe": ("{{ .spectro.var.TAG | .spectro.var.TAG }}", "'.spectro.var.TAG' is no function"),
    "default of what is not known": ('{{ .spectro.var.EMPTY | default "x" }}', "has no default value"),
    "argument that is not known": ("{{ .spectro.var.TAG | trimPrefix .spectro.var.NOPE }}", "no such variable"),
    "Helm template": ("{{ .Values.image.tag }}", "not a Palette macro"),
    "two values": ("{{ .spectro.var.TAG .spectro.var.TAG }}", "'.spectro.var.TAG' is no function"),
    "trim marker without a space": ("{{-.spectro.var.TAG}}", "not a Palette macro"),
    "nothing inside": ("{{ }}", "not a Palette macro"),
    "braces left open": ("{{ .spectro.var.TAG", "not closed"),
    "braces left open in a value": ("{{ .spectro.pack.edge-os.options.braces }}", "not closed"),
}


@pytest.mark.parametrize(("text", "reason"), UNRESOLVED.values(), ids=UNRESOLVED)
def test_macros_that_profiles_cannot_answer_are_named(text: str, reason: str) -> None:
    """What cannot be expanded gives no text but one sentence that says why."""
    expansion = expand(text)
    assert (len(expansion.unresolved), reason in expansion.unresolved[0]) == (1, True)


def test_an_unresolved_macro_says_how_to_give_its_value() -> None:
    """The sentence names the macro and the option, ready to be copied."""
    assert expand("{{ .spectro.system.cluster.name }}").unresolved == (
        "{{ .spectro.system.cluster.name }} cannot be expanded: its value is not part of the profiles; "
        "give its value with --set system.cluster.name=VALUE",
    )


def test_all_unresolved_macros_of_a_text_are_reported_together() -> None:
    """Macros that fail inside another macro's value are each named, and each once."""
    text = "{{ .spectro.macro.a }}{{ .spectro.macro.b }}{{ .spectro.macro.a }}"
    inner = make_profile(make_pack(f"uri: '{text}'", "os"))
    packs = load_packs(inner)
    unresolved = MacroExpander(packs, {}).expand("{{ .spectro.pack.os.uri }}", packs[0]).unresolved
    assert [reason.partition(" cannot")[0] for reason in unresolved] == [
        "{{ .spectro.macro.a }}",
        "{{ .spectro.macro.b }}",
    ]


SETTINGS = {
    "full path": (".spectro.system.cluster.name", "{{ .spectro.system.cluster.name }}"),
    "without the dot": ("spectro.system.cluster.name", "{{ .spectro.system.cluster.name }}"),
    "without spectro": ("system.cluster.name", "{{ .spectro.system.cluster.name }}"),
    "bare name": ("cluster.name", "{{ .spectro.system.cluster.name }}"),
    "with the braces": ("{{ .spectro.system.cluster.name }}", "{{.spectro.system.cluster.name}}"),
    "variable without default": ("EMPTY", "{{ .spectro.var.EMPTY }}"),
    "variable with a default": ("var.TAG", "{{ .spectro.var.TAG }}"),
    "user macro": ("registry", "{{ .spectro.macro.registry }}"),
    "value of a pack": ("pack.edge-os.options.system.registry", "{{ .spectro.pack.edge-os.options.system.registry }}"),
    "Kubernetes version": ("kubernetes.version", "{{ .spectro.system.kubernetes.version }}"),
}


@pytest.mark.parametrize(("name", "text"), SETTINGS.values(), ids=SETTINGS)
def test_a_setting_wins(name: str, text: str) -> None:
    """A setting gives a macro its value, whatever the profiles say, however its name is written."""
    assert MacroExpander(PACKS, {name: "given"}).expand(text, WEB) == Expansion("given")


def test_the_exact_setting_wins_over_the_bare_one() -> None:
    """With two settings that fit, the one that names the kind too is meant."""
    settings = {"TAG": "bare", "var.TAG": "exact"}
    assert MacroExpander(PACKS, settings).expand("{{ .spectro.var.TAG }}", WEB).text == "exact"


def test_settings_that_were_used_are_known() -> None:
    """Who gave one that nothing asks for can be told."""
    expander = MacroExpander(PACKS, {"TAG": "bare", "var.NOPE": "x"})
    expander.expand("{{ .spectro.var.TAG }}", WEB)
    assert expander.used == {"TAG"}


def test_a_setting_reaches_macros_inside_other_values() -> None:
    """Composed values change with the setting of their part."""
    expansion = MacroExpander(PACKS, {"kubernetes.version": "1.31.0"}).expand(
        "{{ .spectro.pack.edge-os.options.system.uri }}", WEB
    )
    assert expansion.text == "ttl.sh/ubuntu:1.31.0"


def test_a_pack_that_stands_twice_reads_its_own_values() -> None:
    """Inside one of two uses of a pack its own values are meant; from outside the name is ambiguous."""
    profile = make_profile(make_pack("tag: 1", "twice"), make_pack("tag: 2", "twice"), make_pack("", "other"))
    first, second, other = load_packs(profile)
    expander = MacroExpander([first, second, other], {})
    results = [expander.expand("{{ .spectro.pack.twice.tag }}", pack) for pack in (first, second, other)]
    assert [result.text for result in results] == ["1", "2", ""]
    assert "several packs of that name" in results[2].unresolved[0]


def test_the_pack_of_the_same_profile_is_nearer() -> None:
    """Of two packs with one name in two profiles, the macro's own profile has the one that is meant."""
    ours = make_profile(make_pack("tag: ours", "shared"), make_pack("", "web"))
    theirs = make_profile(make_pack("tag: theirs", "shared"), name="other")
    packs = load_packs(theirs, ours)
    assert MacroExpander(packs, {}).expand("{{ .spectro.pack.shared.tag }}", packs[-1]).text == "ours"


def test_two_kubernetes_packs_give_no_version() -> None:
    """With several Kubernetes versions around none is guessed."""
    k8s = [make_pack("", f"k8s-{version}", layer="k8s", version=version) for version in ("1.31.0", "1.32.1")]
    packs = load_packs(make_profile(*k8s))
    unresolved = MacroExpander(packs, {}).expand("{{ .spectro.system.kubernetes.version }}", packs[0]).unresolved
    assert "several Kubernetes packs" in unresolved[0]


def test_macros_that_double_at_every_step_are_stopped() -> None:
    """A tower of macros that would expand to 2⁴⁰ texts is refused at once."""
    steps = "".join(
        f"x{n}: '{{{{ .spectro.pack.bomb.x{n - 1} }}}}{{{{ .spectro.pack.bomb.x{n - 1} }}}}'\n" for n in range(1, 41)
    )
    packs = load_packs(make_profile(make_pack(f"x0: lol\n{steps}", "bomb")))
    unresolved = MacroExpander(packs, {}).expand("{{ .spectro.pack.bomb.x40 }}", packs[0]).unresolved
    assert unresolved == ("its macros expand to more than 8192 characters",)


def test_a_long_chain_of_macros_is_stopped() -> None:
    """A chain that is far longer than anything real is refused, not recursed into."""
    steps = "".join(f"x{n}: '{{{{ .spectro.pack.chain.x{n - 1} }}}}'\n" for n in range(1, 2000))
    packs = load_packs(make_profile(make_pack(f"x0: end\n{steps}", "chain")))
    unresolved = MacroExpander(packs, {}).expand("{{ .spectro.pack.chain.x1999 }}", packs[0]).unresolved
    assert "nested more than 50 deep" in unresolved[0]


@given(st.text(alphabet="{}. |-abspectro[]09\n", max_size=60))
def test_any_text_expands_or_is_reported(text: str) -> None:
    """Whatever stands between braces, the answer is a text or a reason, never a crash and never braces."""
    expansion = expand(text)
    assert bool(expansion.unresolved) or ("{{" not in expansion.text and "}}" not in expansion.text)
