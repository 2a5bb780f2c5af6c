"""Charts are read as helm renders them."""

from functools import partial
from pathlib import Path

import pytest

from edgelift.palette.undeclared.content import PackContent
from edgelift.palette.undeclared.helm import render_with_helm
from edgelift.palette.undeclared.scan import look_at_pack
from tests.interop.tools import find_tool
from tests.palette.undeclared.test_helm import CHART


@pytest.mark.parametrize("values", ["", "charts: {web: {on: true}}", "charts: {web: {on: true, image: {tag: '2'}}}"])
def test_our_own_reading_of_a_chart_is_that_of_helm(values: str) -> None:
    """The same images, whether helm is there or not."""
    program = Path(find_tool("helm", "go install helm.sh/helm/v3/cmd/helm@v3.18.6"))
    content = PackContent("web", values=values, charts=(CHART,))
    ours, helms = (
        {use.hit.text for use in look_at_pack(content, helm=helm).uses if use.hit.confidence == "certain"}
        for helm in (None, partial(render_with_helm, program))
    )

    assert ours == helms
