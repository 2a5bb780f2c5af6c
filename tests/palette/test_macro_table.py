"""The macro table: every form in which packs write images, what it means, and who says so.

Each case is a line as it stands in the list of a pack's images, beside the values of a real operating system pack. What
is expected was written by hand after the source that the case names, never copied from a run.

Sources: *docs*: Palette's documentation, by page; *CanvOS*: its Earthfile, `earthly.sh` and profile templates;
*pack-central*: the public packs; *Sprig*: its documentation of strings and defaults; *Go*: the documentation of
text/template; *YAML*: YAML 1.1 as PyYAML reads it, which is what raw texts have to be kept from.
"""

from dataclasses import dataclass, field
from typing import NamedTuple

import pytest
from pydantic import SecretStr

from edgelift.palette.models import ClusterProfile, ProfileVariable, UserMacro, UserMacros
from edgelift.palette.resolve import Resolution, resolve_profiles
from tests.palette.builders import make_pack, make_profile, messages, references, variables

BYOI = "spectro.pack.edge-native-byoi.options"
OPTIONS = f"""
options:
  system.uri: "{{{{ .{BYOI}.system.registry }}}}/{{{{ .{BYOI}.system.repo }}}}:\
{{{{ .{BYOI}.system.k8sDistribution }}}}-{{{{ .spectro.system.kubernetes.version }}}}-\
{{{{ .{BYOI}.system.peVersion }}}}-{{{{ .{BYOI}.system.customTag }}}}"
  system.registry: ttl.sh
  system.repo: ubuntu
  system.k8sDistribution: k3s
  system.osName: ubuntu
  system.peVersion: v4.5.11
  system.customTag: demo
  system.osVersion: 22
"""
ADD_ON_VALUES = """
server:
  config:
    application.instanceLabelKey: argocd.argoproj.io/instance
controller:
  image: {repository: quay.io/argoproj/argocd, tag: v2.13.1}
"""
DIGEST = f"sha256:{'a' * 64}"


class Case(NamedTuple):
    """What stands in the list of images, what it resolves to, and the source of that."""

    line: str
    expected: str
    source: str


@dataclass(frozen=True)
class Site:
    """The profiles around a case: an operating system pack with its options, Kubernetes, and an add-on."""

    options: str = OPTIONS
    variables: tuple[ProfileVariable, ...] = variables(TAG="2.0", EMPTY="")
    macros: dict[str, str] = field(default_factory=lambda: {"registry": "harbor.example", "team": "edge"})

    def profiles(self, line: str) -> list[ClusterProfile]:
        """The profiles, with `line` in the list of images of the operating system pack."""
        content = f"pack:\n  content:\n    images:\n      {line}\n"
        shared = {
            "variables": self.variables,
            "user_macros": UserMacros(
                values=tuple(UserMacro(name=name, value=SecretStr(value)) for name, value in self.macros.items())
            ),
            "tenant_uid": "65c90f2d0a1b2c3d4e5f6b00",
            "project_uid": "65c90f2d0a1b2c3d4e5f6a00",
            "project_name": "stores",
        }
        system = make_pack(content + self.options, "edge-native-byoi", layer="os")
        kubernetes = make_pack("", "edge-k3s", layer="k8s", version="1.32.1")
        return [
            make_profile(system, kubernetes, name="infra", type="infra", **shared),
            make_profile(make_pack(ADD_ON_VALUES, "argo-cd"), name="apps", **shared),
        ]

    def resolve(self, line: str, **settings: str) -> Resolution:
        """What the profiles resolve to."""
        return resolve_profiles(self.profiles(line), settings)


FORMS = {
    # Where references are
    "literal reference": Case("- image: quay.io/app:1.2", "quay.io/app:1.2", "docs: content tags of a pack"),
    "container scheme": Case(
        '- image: "container://us-docker.pkg.dev/palette-images/edge/stylus-linux-amd64:v4.5.11"',
        "us-docker.pkg.dev/palette-images/edge/stylus-linux-amd64:v4.5.11",
        "docs: agent-upgrade-airgap; CanvOS: two-node profile template",
    ),
    "composed system.uri": Case(
        '- image: "{{.spectro.pack.edge-native-byoi.options.system.uri}}"',
        "ttl.sh/ubuntu:k3s-1.32.1-v4.5.11-demo",
        "CanvOS: earthly.sh and Earthfile, how the tag of a provider image is made",
    ),
    "digest instead of a tag": Case(
        f"- image: nvcr.io/nvidia/driver@{DIGEST}", f"nvcr.io/nvidia/driver@{DIGEST}", "pack-central: 16 references"
    ),
    "neither tag nor digest": Case(
        "- image: docker.io/curlimages/curl", "docker.io/curlimages/curl:latest", "pack-central: one reference"
    ),
    "one name on Docker Hub": Case(
        "- image: busybox:1.37", "docker.io/library/busybox:1.37", "pack-central: one reference; docs: PE-9239"
    ),
    "team on Docker Hub": Case(
        "- image: grafana/loki:3.3.2", "docker.io/grafana/loki:3.3.2", "pack-central: 73 references without a host"
    ),
    # Spelling
    "spaces inside": Case(f"- image: '{{{{ .{BYOI}.system.registry }}}}/x:1'", "ttl.sh/x:1", "docs: model-profile"),
    "no spaces inside": Case(f"- image: '{{{{.{BYOI}.system.registry}}}}/x:1'", "ttl.sh/x:1", "docs: model-profile"),
    "double quotes": Case(f'- image: "{{{{ .{BYOI}.system.registry }}}}/x:1"', "ttl.sh/x:1", "docs: model-profile"),
    "no quotes": Case(
        f"- image: {{{{ .{BYOI}.system.registry }}}}/x:1", "ttl.sh/x:1", "docs: samples without them; YAML: a mapping"
    ),
    "curly quotes": Case(
        f"- image: “{{{{ .{BYOI}.system.registry }}}}/x:1”", "ttl.sh/x:1", "docs: a sample with typographic quotes"
    ),
    "single curly quotes": Case("- image: ‘quay.io/app:1.2’", "quay.io/app:1.2", "docs: the same sample"),  # noqa: RUF001
    "spaces at the end": Case("- image: quay.io/app:1.2   ", "quay.io/app:1.2", "pack-central: 96 lines"),
    "comment behind": Case("- image: quay.io/app:1.2 # why", "quay.io/app:1.2", "YAML"),
    "several macros": Case(
        "- image: '{{.spectro.macro.registry}}/{{.spectro.macro.team}}/app:{{.spectro.var.TAG}}'",
        "harbor.example/edge/app:2.0",
        "docs: macros and variables",
    ),
    "trim markers": Case(
        "- image: '{{- .spectro.macro.registry -}} /app:1'", "harbor.example/app:1", "Go: text and spaces"
    ),
    # Paths
    "dotted key": Case(
        "- image: 'quay.io/{{ .spectro.pack.edge-native-byoi.options.system.k8sDistribution }}:1'",
        "quay.io/k3s:1",
        "docs: BYOOS pack; the key is `system.k8sDistribution`",
    ),
    "dotted key below a key": Case(
        "- image: '{{ .spectro.pack.argo-cd.server.config.application.instanceLabelKey }}:1'",
        "argocd.argoproj.io/instance:1",
        "pack-central: argo-cd",
    ),
    "pack of another profile": Case(
        "- image: '{{.spectro.pack.argo-cd.controller.image.repository}}:"
        "{{.spectro.pack.argo-cd.controller.image.tag}}'",
        "quay.io/argoproj/argocd:v2.13.1",
        "docs: packs of one cluster see one another",
    ),
    # Scopes
    "Kubernetes version": Case(
        "- image: 'quay.io/kubelet:v{{ .spectro.system.kubernetes.version }}'",
        "quay.io/kubelet:v1.32.1",
        "CanvOS: provider images carry the version of the Kubernetes pack",
    ),
    "variable": Case("- image: 'quay.io/app:{{ .spectro.var.TAG }}'", "quay.io/app:2.0", "docs: profile variables"),
    "user macro": Case("- image: '{{ .spectro.macro.registry }}/x:1'", "harbor.example/x:1", "docs: macros"),
    "uid of the project": Case(
        "- image: 'quay.io/p:{{ .spectro.system.project.uid }}'",
        "quay.io/p:65c90f2d0a1b2c3d4e5f6a00",
        "docs: system macros",
    ),
    "name of the project": Case(
        "- image: 'quay.io/{{ .spectro.system.project.name }}:1'", "quay.io/stores:1", "docs: system macros"
    ),
    "uid of the tenant": Case(
        "- image: 'quay.io/t:{{ .spectro.system.tenant.uid }}'",
        "quay.io/t:65c90f2d0a1b2c3d4e5f6b00",
        "docs: system macros",
    ),
    # Functions
    "substr": Case(
        "- image: 'quay.io/kubectl:{{ .spectro.system.kubernetes.version | substr 0 4 }}'",
        "quay.io/kubectl:1.32",
        "pack-central: 12 packs; Sprig: substr",
    ),
    "trimPrefix": Case(
        f"- image: 'quay.io/agent:{{{{ .{BYOI}.system.peVersion | trimPrefix \"v\" }}}}'",
        "quay.io/agent:4.5.11",
        "Sprig: trimPrefix",
    ),
    "default of nothing": Case(
        "- image: 'quay.io/app:{{ .spectro.pack.edge-native-byoi.options.none | default \"latest\" }}'",
        "quay.io/app:latest",
        "Sprig: default; the option is there and empty",
    ),
    "printf": Case(
        "- image: '{{ printf \"%s/app:%s\" .spectro.macro.registry .spectro.var.TAG }}'",
        "harbor.example/app:2.0",
        "Go: printf",
    ),
}


@pytest.mark.parametrize("case", FORMS.values(), ids=FORMS)
def test_every_form_resolves_to_what_its_source_says(case: Case) -> None:
    """The form gives one reference, and nothing stands in the way."""
    site = Site(options=f"{OPTIONS}  none:\n")
    resolution = site.resolve(case.line)

    assert (references(resolution), messages(resolution)) == ([case.expected], [])


class Scalar(NamedTuple):
    """A custom tag as it stands in YAML, and the end of the provider image's tag."""

    written: str
    expected: str
    source: str


SCALARS = {
    "whole number": Scalar("22", "22", "docs: system.osVersion; YAML: an int"),
    "float": Scalar("24.04", "24.04", "docs: system.osVersion; YAML: a float"),
    "float with a zero at the end": Scalar("1.10", "1.10", "YAML: the float 1.1"),
    "octal": Scalar("0777", "0777", "YAML: the int 511"),
    "yes": Scalar("yes", "yes", "YAML: true"),
    "date": Scalar("2024-01-01", "2024-01-01", "YAML: a date"),
    "exponent": Scalar("1e3", "1e3", "YAML: a text in 1.1, a float in 1.2"),
    "nothing": Scalar("", "", "docs: customTag may be empty; the dash before it stays, as the macro has it"),
    "null": Scalar("~", "", "YAML: null"),
    "quoted": Scalar("'007'", "007", "YAML: a text"),
}


@pytest.mark.parametrize("case", SCALARS.values(), ids=SCALARS)
def test_a_scalar_goes_into_a_tag_as_it_is_written(case: Scalar) -> None:
    """Palette puts texts together: no number loses its zeros, and no word becomes a truth value."""
    site = Site(options=OPTIONS.replace("system.customTag: demo", f"system.customTag: {case.written}"))
    resolution = site.resolve(f'- image: "{{{{.{BYOI}.system.uri}}}}"')

    assert references(resolution) == [f"ttl.sh/ubuntu:k3s-1.32.1-v4.5.11-{case.expected}"]


NO_IMAGE = {
    "NA": "docs: system.uri of agent mode",
    "na": "docs: the same, in small letters",
    "": "docs: no provider image",
}


@pytest.mark.parametrize("written", NO_IMAGE, ids=["NA", "na", "nothing"])
def test_a_system_uri_that_is_none_is_not_carried(written: str) -> None:
    """The host brings its own system: there is nothing to pull, and nothing wrong."""
    site = Site(options=f"options:\n  system.uri: {written}\n")
    resolution = site.resolve(f'- image: "{{{{.{BYOI}.system.uri}}}}"')

    assert (references(resolution), messages(resolution)) == ([], [])


def test_a_literal_system_uri_is_taken() -> None:
    """The other way that Palette's documentation shows: the whole reference, without macros."""
    site = Site(options="options:\n  system.uri: example.io/x:tag\n")

    assert references(site.resolve(f'- image: "{{{{.{BYOI}.system.uri}}}}"')) == ["example.io/x:tag"]


# Known after the deployment only (docs: the table of system macros), and what has to be given for it.
DEPLOYED = (
    *("user.name", "user.uid", "user.email"),
    *("cluster.uid", "cluster.name", "cluster.kubevip"),
    *("reverseproxy.server", "reverseproxy.port", "reverseproxy.vhostport", "reverseproxy.protocol"),
    *("cloud.type", "cloud.region", "cloud.image.id", "aws.region", "appdeployment.tiername"),
)


@pytest.mark.parametrize("name", DEPLOYED)
def test_what_only_a_cluster_knows_has_to_be_given(name: str) -> None:
    """Without a setting it is an error that names the setting; with it, the reference is whole."""
    line = f"- image: 'quay.io/app:{{{{ .spectro.system.{name} }}}}'"
    (message,) = messages(Site().resolve(line))

    assert f"--set system.{name}=VALUE" in message
    assert references(Site().resolve(line, **{f"system.{name}": "given"})) == ["quay.io/app:given"]


REFUSED = {
    "macro of an application": Case(
        "- image: 'quay.io/{{ .spectro.app.$appdeploymentName.db.out }}:1'", "not part of the profiles", "docs"
    ),
    "variable without a value": Case("- image: 'quay.io/x:{{ .spectro.var.EMPTY }}'", "no default value", "docs"),
    "user macro that is not there": Case("- image: 'quay.io/x:{{ .spectro.macro.none }}'", "no user macro", "docs"),
    "function that edgelift does not know": Case(
        "- image: 'quay.io/x:{{ .spectro.var.TAG | sha256sum }}'", "the function 'sha256sum'", "Sprig"
    ),
    "template of Helm": Case("- image: '{{ .Values.image }}'", "not a Palette macro", "Go"),
    "braces left open": Case("- image: 'quay.io/x:{{ .spectro.var.TAG'", "not closed", "Go"),
    "one curly quote": Case("- image: “quay.io/x:1", "curly quotes", "docs: samples"),
    "capitals": Case("- image: Quay.io/Team/App:1", "not a repository name", "distribution specification"),
}


@pytest.mark.parametrize("case", REFUSED.values(), ids=REFUSED)
def test_what_has_no_meaning_is_an_error_with_its_place(case: Case) -> None:
    """No reference is guessed; the message says what is wrong, and in which entry of which pack."""
    (message,) = messages(Site().resolve(case.line))

    assert case.expected in message
    assert message.startswith("infra@1.0.0 > edge-native-byoi > pack.content.images[0].image: ")
