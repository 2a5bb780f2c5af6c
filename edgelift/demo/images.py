"""The images that the demo asks for. Pure data: the sample content is built from it; profiles and services name it."""

from dataclasses import dataclass


@dataclass(frozen=True)
class DemoImage:
    """One small made-up image.

    One entry in `architectures` means a plain image manifest, more mean an index of that many. Images with the same
    non-empty `base` start with the same layers, architecture by architecture; "" means that nothing is shared.
    """

    repository: str
    tag: str
    architectures: tuple[str, ...] = ("amd64", "arm64")
    base: str = ""

    def reference(self, registry: str) -> str:
        """The reference of this image in `registry`, which is a host with an optional port."""
        return f"{registry}/{self.repository}:{self.tag}"


KUBERNETES_VERSION = "1.32.1"
AGENT_VERSION = "v4.7.9"
CUSTOM_TAG = "demo"

PROVIDER_IMAGE = DemoImage(
    "demo/kairos/ubuntu", f"k3s-{KUBERNETES_VERSION}-{AGENT_VERSION}-{CUSTOM_TAG}", ("amd64",), "ubuntu"
)
AGENT_IMAGE = DemoImage("demo/edge/stylus-linux-amd64", AGENT_VERSION, ("amd64",))
PAUSE = DemoImage("demo/pause", "3.10")
COREDNS = DemoImage("demo/coredns", "1.12.0")
CALICO_NODE = DemoImage("demo/calico/node", "v3.29.1", base="calico")
CALICO_CNI = DemoImage("demo/calico/cni", "v3.29.1", base="calico")
CALICO_CONTROLLERS = DemoImage("demo/calico/kube-controllers", "v3.29.1", base="calico")
NGINX = DemoImage("demo/nginx", "1.27.3", base="alpine")
HELLO = DemoImage("demo/hello", "1.4.0", base="alpine")
METRICS_AGENT = DemoImage("demo/metrics-agent", "0.9.2", ("amd64",), "alpine")
LOG_COLLECTOR = DemoImage("demo/log-collector", "3.2.1", base="alpine")
# Palette keeps its agent in a repository for each architecture.
AGENT_IMAGE_ARM64 = DemoImage("demo/edge/stylus-linux-arm64", AGENT_VERSION, ("arm64",))
AGENT_OPERATOR = DemoImage("demo/edge/stylus-operator", AGENT_VERSION)

PROFILE_IMAGES: tuple[DemoImage, ...] = (
    PROVIDER_IMAGE,
    AGENT_IMAGE,
    PAUSE,
    COREDNS,
    CALICO_NODE,
    CALICO_CNI,
    CALICO_CONTROLLERS,
    NGINX,
    HELLO,
    METRICS_AGENT,
    LOG_COLLECTOR,
)
# What Palette's own service of the agent names besides: profiles declare none of it.
SERVICE_IMAGES: tuple[DemoImage, ...] = (AGENT_IMAGE_ARM64, AGENT_OPERATOR)
DEMO_IMAGES = (*PROFILE_IMAGES, *SERVICE_IMAGES)
