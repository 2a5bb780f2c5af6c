"""helm renders charts where it is installed: with the pack's values, in a folder of its own, without a network."""

from pathlib import Path

import pytest

from edgelift.palette.undeclared.helm import render_with_helm
from edgelift.palette.values import load_values
from tests.palette.charts import deployment, make_chart

IMAGE = (
    "{{ if .Values.on }}{{ .Values.image.repository }}:{{ .Values.image.tag | default .Chart.AppVersion }}"
    "{{ else }}team/off:1{{ end }}"
)
VALUES = "on: false\nimage: {repository: team/app, tag: ''}"
CHART = make_chart(values=VALUES, dep=deployment(IMAGE), app_version="1.10")
TELLS = "#!/bin/sh\necho \"args: '$*'\"\nenv | sed 's/^/# /'\nsed 's/^/# /' values.yaml\n"


def program(folder: Path, text: str) -> Path:
    """A program that stands in for helm."""
    path = folder / "helm"
    path.write_text(text)
    path.chmod(0o755)
    return path


def test_helm_gets_the_values_and_nothing_of_ours(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Switches and whole numbers keep their types, versions stay text; no variable of ours is passed on."""
    monkeypatch.setenv("PALETTE_API_KEY", "secret")
    text = render_with_helm(program(tmp_path, TELLS), CHART, load_values("on: true\ntag: 1.10\nreplicas: 3\n"))

    assert text is not None
    assert "args: 'template release chart.tgz --values values.yaml'" in text
    assert {"# 'on': true", "# replicas: 3", "# tag: '1.10'"} <= set(text.split("\n"))
    assert "secret" not in text


FAILS = {"an error": "#!/bin/sh\necho 'image: a/b:1'\nexit 1\n", "no program": "not a program\n"}


@pytest.mark.parametrize("text", FAILS.values(), ids=FAILS)
def test_where_helm_fails_there_is_no_answer(tmp_path: Path, text: str) -> None:
    """What it wrote before is not taken for all of it."""
    assert render_with_helm(program(tmp_path, text), CHART, {}) is None
