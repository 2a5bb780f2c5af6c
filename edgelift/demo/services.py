"""The demo's services of Palette: the agent of edge hosts, which is a part of no profile."""

from edgelift.demo.images import AGENT_IMAGE, AGENT_OPERATOR, AGENT_VERSION
from edgelift.demo.palette_tenant import DemoService, DemoTenant

_MANIFEST = """\
apiVersion: v1
kind: ConfigMap
metadata:
  name: stylus
data:
  package: container://%(agent)s
---
apiVersion: apps/v1
kind: Deployment
metadata:
  name: stylus-operator
spec:
  template:
    spec:
      containers:
        - name: operator
          image: %(operator)s
"""


def demo_tenant(registry: str) -> DemoTenant:
    """A tenant whose Palette serves an agent, the images of which stand in `registry`."""
    names = {"agent": AGENT_IMAGE.reference(registry), "operator": AGENT_OPERATOR.reference(registry)}
    manifests = {"manifest.yaml": _MANIFEST % names}
    return DemoTenant(services=(DemoService("stylus", AGENT_VERSION.removeprefix("v"), manifests),))
