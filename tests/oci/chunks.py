"""What the tests of uploads in chunks share: blobs, a source that counts, and a client that does not wait."""

import random
from collections.abc import Callable, Iterator

from edgelift.oci.credentials import Credentials
from edgelift.oci.descriptor import Descriptor
from edgelift.oci.digest import Digest
from edgelift.oci.registry import Registry
from edgelift.transport import TransportSettings
from tests.oci.clocks import Hands
from tests.simulators.fault_layer import Exchange
from tests.simulators.registry import RegistrySimulator

MIB = 2**20


REPOSITORY = "team/app"


SESSION = "/blobs/uploads/."


PIECE = 256 * 1024


def make_content(size: int, seed: int = 0) -> bytes:
    """Bytes that look like a layer."""
    return random.Random(seed).randbytes(size)


def describe(content: bytes) -> Descriptor:
    """A blob with `content`."""
    return Descriptor(media_type="application/octet-stream", digest=Digest.of(content), size=len(content))


SMALL = make_content(5 * MIB + 1)


LARGE = make_content(12 * MIB, seed=1)


HUGE = make_content(28 * MIB, seed=2)


class Source:
    """A store with one blob in it; counts from where it is read. `before` is called before each piece."""

    def __init__(self, content: bytes, before: Callable[[int], None] = lambda _: None) -> None:
        self.content = content
        self.blob = describe(content)
        self.begun: list[int] = []
        self._before = before

    def read(self) -> Iterator[bytes]:
        """All of it."""
        return self.read_range(0, len(self.content))

    def read_range(self, start: int, stop: int) -> Iterator[bytes]:
        """A part of it."""
        self.begun.append(start)
        for position in range(start, stop, PIECE):
            self._before(position)
            yield self.content[position : min(position + PIECE, stop)]


def open_registry(host: str, hands: Hands | None = None, **settings: int) -> Registry:
    """A client that does not wait between attempts."""
    limits = TransportSettings(largest_request=settings.get("largest_request"))
    return Registry(host, limits, Credentials(), clock=(hands or Hands()).clock)


def upload(registry: Registry, source: Source, *, ranges: bool = True, force: bool = False) -> str:
    """Upload the blob of `source`."""
    read_range = source.read_range if ranges else None
    return registry.upload_blob(REPOSITORY, source.blob, source.read, read_range=read_range, force=force)


def holds(registry: Registry, content: bytes) -> bool:
    """Whether the registry serves exactly `content`."""
    return b"".join(registry.read_blob(REPOSITORY, describe(content)).chunks) == content


def patches(sim: RegistrySimulator, status: int | None = 202) -> list[Exchange]:
    """The chunks that were answered with `status`."""
    return [each for each in sim.requests if each.method == "PATCH" and each.status == status]


def ranges_of(exchanges: list[Exchange]) -> list[str]:
    """What part of the blob each chunk was."""
    return [each.headers["content-range"] for each in exchanges]


def in_chunks(sim: RegistrySimulator) -> Registry:
    """A client that knows that the registry takes 2 MiB at a time."""
    return open_registry(sim.host, largest_request=2 * MIB)
