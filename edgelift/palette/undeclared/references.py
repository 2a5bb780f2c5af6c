"""What a text that may be an image reference is worth. Pure; every pattern here is linear in the text."""

import re

from edgelift.errors import ConfigurationError
from edgelift.oci.reference import ImageReference, names_registry
from edgelift.palette.images import clean_reference

LONGEST = 1024  # characters of a text that is looked at as a reference
UNKNOWN = "\ue000"  # stands in a text for what could not be evaluated

_SCHEME = re.compile(r"(?:container|docker)://")
_PLAIN = re.compile(r"[A-Za-z0-9][A-Za-z0-9._:/@-]*\Z")
_FLOATING = frozenset({"latest", "master", "main", "nightly", "edge", "dev", "devel", "develop", "canary", "head"})
_NO_IMAGE = (".png", ".svg", ".jpg", ".jpeg", ".gif", ".ico", ".iso", ".img", ".qcow2", ".vmdk", ".ova", ".raw", ".gz")
_MADE_UP = re.compile(
    r"example\.(?:com|org|net)|\.example(?=[:/]|\Z)|\byour-|\bmy-?registry|change-?me|placeholder", re.IGNORECASE
)
_WINDOWS = re.compile(r"windows|nanoserver|servercore|ltsc20\d\d", re.IGNORECASE)
_HOSTS = frozenset(
    {
        *("docker.io", "index.docker.io", "quay.io", "ghcr.io", "gcr.io", "k8s.gcr.io", "us.gcr.io", "eu.gcr.io"),
        *("registry.k8s.io", "nvcr.io", "public.ecr.aws", "mcr.microsoft.com", "docker.elastic.co", "cgr.dev"),
        *("registry.gitlab.com", "registry.redhat.io", "registry.access.redhat.com", "registry.suse.com"),
        *("icr.io", "xpkg.upbound.io", "cr.fluentbit.io", "projects.registry.vmware.com", "ttl.sh"),
    }
)
_HOST_ENDINGS = (".pkg.dev", ".azurecr.io", ".amazonaws.com", ".jfrog.io", ".icr.io", ".gcr.io", ".ocir.io")
# Images of Docker Hub that people name by one word.
_OFFICIAL = frozenset(
    {
        *("alpine", "bash", "busybox", "caddy", "cassandra", "consul", "elasticsearch", "golang", "haproxy", "httpd"),
        *("influxdb", "kibana", "mariadb", "memcached", "mongo", "mysql", "nats", "nginx", "node", "openjdk"),
        *("postgres", "python", "rabbitmq", "redis", "registry", "ruby", "telegraf", "traefik", "vault", "zookeeper"),
    }
)


def read_reference(text: str) -> ImageReference | None:
    """The reference that `text` is, or None; `busybox` is one, a URL, a path, a picture and a number are none."""
    plain = _SCHEME.sub("", text.strip(), count=1)
    if len(plain) > LONGEST or _PLAIN.match(plain) is None or plain.lower().endswith(_NO_IMAGE):
        return None
    reference = clean_reference(plain)
    if reference is None or reference.lower() in ("true", "false", "null", "none") or _is_number(reference):
        return None
    try:
        return ImageReference.parse(reference)
    except ConfigurationError:
        return None


def has_version(text: str) -> bool:
    """Whether the reference in `text` says which version it means, by tag or digest."""
    return "@" in text or ":" in text.rpartition("/")[2]


def is_official(text: str) -> bool:
    """Whether `text` names, by one word, an image that everybody knows."""
    return text.partition("@")[0].partition(":")[0] in _OFFICIAL


def is_on_known_host(text: str) -> bool:
    """Whether `text` begins with a host that is known for holding images."""
    host, slash, _ = _SCHEME.sub("", text, count=1).partition("/")
    return bool(slash) and (host.lower() in _HOSTS or host.lower().endswith(_HOST_ENDINGS))


def looks_like_reference(text: str) -> bool:
    """Whether `text`, wherever it stands, can hardly be anything but a reference, such as `team/app:1.2`."""
    plain = _SCHEME.sub("", text.strip(), count=1)
    name, _, version = plain.rpartition("@" if "@" in plain else ":")
    if "/" not in name or "/" in version or not re.search(r"\d|\Alatest\Z", version):
        return False
    return read_reference(text) is not None


def is_prefix(text: str) -> bool:
    """Whether `text` may stand before a repository: a registry, alone or with a path."""
    return bool(_PLAIN.match(text)) and "://" not in text and names_registry(text.partition("/")[0])


def is_made_up(text: str) -> bool:
    """Whether `text` is an example that somebody has to fill in."""
    return _MADE_UP.search(text) is not None


def is_floating(reference: ImageReference) -> bool:
    """Whether what `reference` names changes with time."""
    return reference.digest is None and (reference.tag or "").lower() in _FLOATING


def is_for_windows(reference: ImageReference) -> bool:
    """Whether `reference` says by its name that it is an image of Windows."""
    return _WINDOWS.search(f"{reference.repository}:{reference.tag or ''}") is not None


def _is_number(text: str) -> bool:
    return text.replace(".", "").isdigit()
