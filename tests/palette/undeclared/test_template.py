"""Templates are evaluated as Helm does, as far as values alone can say; what only a cluster knows stays unknown."""

from contextlib import suppress

import pytest

from edgelift.errors import ProfileError
from edgelift.palette.undeclared.content import Budget
from edgelift.palette.undeclared.manifests import UNSURE
from edgelift.palette.undeclared.references import UNKNOWN
from edgelift.palette.undeclared.template import Renderer
from edgelift.palette.undeclared.template_syntax import parse_template
from edgelift.palette.values import load_values

VALUES = """\
image: {registry: quay.io, repository: team/app, tag: "", digest: ""}
debug: false
replicas: 0
extra: {b: two, a: one}
list: [x, y]
name: web
form: "{{ .Values.name }}:1"
"""
HELPERS = """\
{{- define "image" -}}
{{- $registry := .image.registry -}}
{{- if .global }}{{- $registry = .global.imageRegistry | default $registry -}}{{- end -}}
{{- printf "%s/%s:%s" $registry .image.repository (.image.tag | default .chart.AppVersion | toString) -}}
{{- end -}}
"""


def render(text: str) -> str:
    """What this template writes with the values above."""
    template = parse_template(HELPERS + text)
    dot = {"Values": load_values(VALUES), "Chart": {"AppVersion": "1.10"}, "Release": UNKNOWN, "Capabilities": UNKNOWN}
    return Renderer(template.defined, Budget(50_000)).render(template.body, dot).lstrip("\n")


RENDERED = {
    "text": ("image: x", "image: x"),
    "a value": ("{{ .Values.name }}", "web"),
    "a value in quotes": ("{{ .Values.name | quote }}", '"web"'),
    "trimmed": ("a {{- .Values.name -}} b", "awebb"),
    "a comment": ("a{{/* {{ no }} */}}b", "ab"),
    "braces in a text": ('{{ print "}}" }}', "}}"),
    "missing": ("{{ .Values.nobody.there }}", ""),
    "default": ('{{ .Values.image.tag | default "x" }}', "x"),
    "default of the chart": ("{{ default .Chart.AppVersion .Values.image.tag }}", "1.10"),
    "printf": ('{{ printf "%s-%v" .Values.name 3 }}', "web-3"),
    "coalesce": ('{{ coalesce .Values.image.tag .Values.name "z" }}', "web"),
    "ternary": ('{{ ternary "a" "b" .Values.debug }}', "b"),
    "false is empty": ("{{ if .Values.debug }}a{{ else }}b{{ end }}", "b"),
    "nought is empty": ("{{ if .Values.replicas }}a{{ else }}b{{ end }}", "b"),
    "else if": ('{{ if .Values.debug }}a{{ else if eq .Values.name "web" }}b{{ else }}c{{ end }}', "b"),
    "and, or, not": ("{{ if and .Values.name (not (or .Values.debug .Values.replicas)) }}a{{ end }}", "a"),
    "with": ("{{ with .Values.image }}{{ .registry }}{{ end }}", "quay.io"),
    "with nothing": ("{{ with .Values.image.tag }}a{{ else }}b{{ end }}", "b"),
    "range of a list": ("{{ range $i, $x := .Values.list }}{{ $i }}{{ $x }}{{ end }}", "0x1y"),
    "range of a section": ("{{ range $k, $v := .Values.extra }}{{ $k }}={{ $v }},{{ end }}", "a=one,b=two,"),
    "range of the entry": ("{{ range .Values.list }}{{ . }}{{ $.Values.name }}{{ end }}", "xwebyweb"),
    "a variable of an inner block": ("{{ $x := 1 }}{{ if true }}{{ $x = 2 }}{{ end }}{{ $x }}", "2"),
    "a helper": ('{{ include "image" (dict "image" .Values.image "chart" .Chart) }}', "quay.io/team/app:1.10"),
    "a helper with a registry for all": (
        '{{ include "image" (dict "image" .Values.image "chart" .Chart "global" (dict "imageRegistry" "m.io")) }}',
        "m.io/team/app:1.10",
    ),
    "template": ('{{ template "image" (dict "image" .Values.image "chart" .Chart) }}', "quay.io/team/app:1.10"),
    "tpl": ("{{ tpl .Values.form . }}", "web:1"),
    "nindent": ("a:{{ toYaml .Values.extra | nindent 2 }}", "a:\n  a: one\n  b: two"),
    "index": ('{{ index .Values "extra" "a" }}{{ index .Values.list 1 }}', "oney"),
    "dig": ('{{ dig "image" "nobody" "z" .Values }}', "z"),
    "a path behind parentheses": ("{{ (.Values.image).registry }}", "quay.io"),
    "set": ('{{ $d := dict "a" "1" }}{{ $_ := set $d "b" "2" }}{{ $d.b }}', "2"),
    "only a cluster knows": ("{{ .Release.Name }}", UNKNOWN),
    "a part is not known": ('{{ printf "%s-web" .Release.Name }}', f"{UNKNOWN}-web"),
    "a function that is not there": ('{{ derivePassword 1 "x" }}', UNKNOWN),
    "the same on both sides": ("{{ if .Release.IsUpgrade }}a{{ else }}a{{ end }}", "a"),
    "a part of a line that is not known": ("{{ if .Release.IsUpgrade }}a{{ else }}b{{ end }}", UNKNOWN),
    "decided in spite of it": ("{{ if or .Values.name .Release.IsUpgrade }}a{{ else }}b{{ end }}", "a"),
    "set where it is not known": ("{{ $x := 1 }}{{ if .Release.IsUpgrade }}{{ $x = 2 }}{{ end }}{{ $x }}", UNKNOWN),
}


@pytest.mark.parametrize(("template", "text"), RENDERED.values(), ids=RENDERED)
def test_a_template_is_rendered(template: str, text: str) -> None:
    """Each form that charts use for their images."""
    assert render(template) == text


def test_of_lines_that_only_some_clusters_get_both_sides_are_written() -> None:
    """They are marked at their end, in a comment, so that YAML reads them all the same."""
    text = render('{{ if .Capabilities.APIVersions.Has "x" }}\na: 1\n{{ else }}\nb: 2\n{{ end }}')

    assert [line for line in text.split("\n") if line] == [f"a: 1 #{UNSURE}", f"b: 2 #{UNSURE}"]


MALFORMED = {
    "an action that is not closed": "{{ .Values.x",
    "a text that is not closed": '{{ "x }}',
    "a block that is not closed": "{{ if true }}a",
    "an end too many": "a{{ end }}",
    "a parenthesis that is not closed": "{{ (print 1 }}",
    "a parenthesis too many": "{{ print 1) }}",
    "no template at all": "{{ § }}",
    "blocks without end": "{{ if 1 }}" * 5000 + "{{ end }}" * 5000,
    "parentheses without end": "{{ " + "(" * 4000 + ")" * 4000 + " }}",
    "a very long action": "{{ " + "x" * 10_000 + " }}",
}


@pytest.mark.parametrize("template", MALFORMED.values(), ids=MALFORMED)
def test_what_is_no_template_is_refused(template: str) -> None:
    """It is told as such, whatever it holds."""
    with pytest.raises(ProfileError):
        render(template)


ENDLESS = {
    "it includes itself": '{{ define "a" }}{{ include "a" . }}x{{ include "a" . }}{{ end }}{{ include "a" . }}',
    "it doubles": '{{ $x := "0123456789" }}' + "{{ $x = print $x $x }}" * 40 + "{{ $x }}",
    "it ranges in ranges": "{{ $l := list 1 2 3 4 5 6 7 8 9 }}" + "{{ range $l }}" * 9 + "x" + "{{ end }}" * 9,
}


@pytest.mark.parametrize("template", ENDLESS.values(), ids=ENDLESS)
def test_what_would_not_end_is_given_up(template: str) -> None:
    """It ends with an error, or with what is not known, and soon."""
    with suppress(ProfileError):
        assert len(render(template)) < 1_000_000


HUGE = {
    "an indent": '{{ indent 99999999 "x" }}',
    "a replacement of nothing": '{{ replace "" "xxxxxxxx" "y" }}',
    "a negative index": "{{ index .Values.list 9 }}",
}


@pytest.mark.parametrize("template", HUGE.values(), ids=HUGE)
def test_a_call_that_makes_no_sense_is_unknown(template: str) -> None:
    """Functions take a stranger's arguments and neither fail nor fill the memory."""
    assert render(template) == UNKNOWN
