"""The demo's cluster profiles: one for infrastructure and two add-ons, over the images of `edgelift.demo.images`."""

from edgelift.demo.charts import REGISTRY_CHART, REPOSITORY_CHART
from edgelift.demo.images import (
    AGENT_IMAGE,
    AGENT_VERSION,
    CALICO_CNI,
    CALICO_CONTROLLERS,
    CALICO_NODE,
    COREDNS,
    CUSTOM_TAG,
    HELLO,
    KUBERNETES_VERSION,
    LOG_COLLECTOR,
    METRICS_AGENT,
    NGINX,
    PAUSE,
    PROVIDER_IMAGE,
    DemoImage,
)
from edgelift.palette.models import ClusterProfile, Pack, PackManifest, ProfileVariable

INFRASTRUCTURE_UID = "65c90f2d0a1b2c3d4e5f6a70"
ADD_ON_UID = "65c90f2d0a1b2c3d4e5f6a71"
LOGGING_UID = "65c90f2d0a1b2c3d4e5f6a73"
_PACK_REGISTRY_UID = "5eecc89d0b150045ae661cef"

_OS_VALUES = """\
pack:
  content:
    images:
      - image: "{{.spectro.pack.edge-native-byoi.options.system.uri}}"
      - image: "container://%(agent)s"
stylusPackage: container://%(agent)s
options:
  system.uri: "{{ .spectro.pack.edge-native-byoi.options.system.registry }}\
/{{ .spectro.pack.edge-native-byoi.options.system.repo }}\
:{{ .spectro.pack.edge-native-byoi.options.system.k8sDistribution }}\
-{{ .spectro.system.kubernetes.version }}\
-{{ .spectro.pack.edge-native-byoi.options.system.peVersion }}\
-{{ .spectro.pack.edge-native-byoi.options.system.customTag }}"
  system.registry: %(registry)s
  system.repo: %(repository)s
  system.k8sDistribution: k3s
  system.osName: ubuntu
  system.osVersion: 22.04
  system.peVersion: %(version)s
  system.customTag: %(custom)s
"""
_AGENT_VALUES = """\
pack:
  namespace: metrics
  content:
    images:
      - image: %(registry)s/%(repository)s:{{ .spectro.var.METRICS_AGENT_VERSION }}
"""
_CHARTS = """\
    charts:
      - repo: %(repo)s
        name: %(name)s
        version: %(version)s
"""
_WELCOME_MANIFEST = """\
apiVersion: v1
kind: ConfigMap
metadata:
  name: welcome
  namespace: hello
data:
  text: welcome to the edge
"""


def demo_profiles(registry: str, charts: str = "") -> tuple[ClusterProfile, ClusterProfile, ClusterProfile]:
    """The three demo profiles, whose images stand in `registry`: a host with an optional port.

    Where there is a chart repository, at the URL `charts`, they ask for a chart of it and for one of the registry, too.
    The second add-on has an image of the first.
    """
    chart_lists = _chart_lists(registry, charts) if charts else ("", "")
    infrastructure = ClusterProfile(
        name="edge-infra",
        uid=INFRASTRUCTURE_UID,
        version="1.0.0",
        type="infra",
        cloud_type="edge-native",
        packs=(
            _pack("edge-native-byoi", "2.1.0", "os", _os_values(registry)),
            _pack("edge-k3s", KUBERNETES_VERSION, "k8s", _values(registry, PAUSE, COREDNS)),
            _pack("cni-calico", "3.29.1", "cni", _values(registry, CALICO_CNI, CALICO_NODE, CALICO_CONTROLLERS)),
        ),
    )
    add_on = ClusterProfile(
        name="hello-site",
        uid=ADD_ON_UID,
        version="1.4.0",
        type="add-on",
        cloud_type="edge-native",
        packs=(
            _pack(
                "hello",
                "1.4.0",
                "addon",
                _values(registry, HELLO, NGINX, PAUSE) + chart_lists[0],
                welcome=_WELCOME_MANIFEST,
            ),
            _pack("metrics-agent", "0.9.2", "addon", _agent_values(registry) + chart_lists[1]),
        ),
        variables=(ProfileVariable(name="METRICS_AGENT_VERSION", default_value=METRICS_AGENT.tag),),
    )
    logging = ClusterProfile(
        name="site-logging",
        uid=LOGGING_UID,
        version="2.0.1",
        type="add-on",
        cloud_type="edge-native",
        packs=(_pack("log-collector", LOG_COLLECTOR.tag, "addon", _values(registry, LOG_COLLECTOR, NGINX)),),
    )
    return infrastructure, add_on, logging


def _pack(name: str, version: str, layer: str, values: str, **manifests: str) -> Pack:
    return Pack(
        name=name,
        version=version,
        tag=version,
        layer=layer,
        values=values,
        registry_uid=_PACK_REGISTRY_UID,
        manifests=tuple(
            PackManifest(name=each, uid=f"{name}-{each}", content=content) for each, content in manifests.items()
        ),
    )


def _values(registry: str, *images: DemoImage) -> str:
    lines = [f"      - image: {image.reference(registry)}" for image in images]
    return "\n".join(["pack:", "  content:", "    images:", *lines, ""])


def _os_values(registry: str) -> str:
    return _OS_VALUES % {
        "agent": AGENT_IMAGE.reference(registry),
        "registry": registry,
        "repository": PROVIDER_IMAGE.repository,
        "version": AGENT_VERSION,
        "custom": CUSTOM_TAG,
    }


def _agent_values(registry: str) -> str:
    return _AGENT_VALUES % {"registry": registry, "repository": METRICS_AGENT.repository}


def _chart_lists(registry: str, charts: str) -> tuple[str, str]:
    """What comes after the images of two packs: a chart of the registry, and one of the repository `charts`."""
    places = ((REGISTRY_CHART, f"oci://{registry}/{REGISTRY_CHART.folder}"), (REPOSITORY_CHART, charts))
    first, second = (_CHARTS % {"repo": repo, "name": chart.name, "version": chart.version} for chart, repo in places)
    return first, second
