"""A site to synchronise in tests: a source registry full of images, an empty target, both with a fault switch."""

import json
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from http import HTTPStatus
from pathlib import Path
from typing import Any

from edgelift.demo.content import SampleImage, make_image
from edgelift.oci.digest import Digest
from edgelift.serve.access import Login
from edgelift.site import ContentSource, EdgeSite, RegistryAccess, TargetSettings
from edgelift.store.local import LocalStore
from flows.sync_site import sync_site
from tests.images import make_image_set
from tests.integration.prefect_server import Attempt, PrefectServer
from tests.simulators.registry import RegistrySimulator

NAME = "harbour"


@dataclass(frozen=True)
class Site:
    """What is to be moved, from where and where to; everything that is written lies below `folder`."""

    folder: Path
    source: RegistrySimulator
    target: RegistrySimulator
    images: Sequence[SampleImage]

    def settings(
        self,
        *,
        on_conflict: str = "fail",
        registries: tuple[str, ...] = (),
        parallel: int = 8,
        direct: bool = False,
        **source: Any,
    ) -> EdgeSite:
        """The site as a flow takes it; all images are asked for by name unless `source` says what."""
        return EdgeSite(
            name=NAME,
            source=ContentSource(**{"images": tuple(map(self.reference, self.images)), **source}),
            target=TargetSettings.model_validate({"registry": f"{self.target.host}/edge", "on_conflict": on_conflict}),
            access=RegistryAccess(docker_config=False, registries=registries, parallel=parallel),
            direct=direct,
        )

    def reference(self, image: SampleImage) -> str:
        """The name of `image` in the source registry."""
        return f"{self.source.host}/{image.repository}:{image.tag}"

    def repository(self, image: SampleImage) -> str:
        """The repository of `image` in the target registry."""
        return f"edge/{self.source.host.replace(':', '_')}/{image.repository}"

    @property
    def places(self) -> dict[str, str]:
        """The parameters of `sync_site` that say where everything is kept."""
        return {"output": str(self.folder / "output"), "store": str(self.folder / "store")}

    @property
    def store(self) -> LocalStore:
        """The working store."""
        return LocalStore(self.folder / "store")

    @property
    def bundle(self) -> Path:
        """Where the bundle is, once there is one."""
        return self.folder / "output" / f"{NAME}.tar.zst"

    @property
    def receipt(self) -> dict[str, Any]:
        """The receipt."""
        found: dict[str, Any] = json.loads((self.folder / "output" / f"{NAME}.receipt.json").read_bytes())
        return found

    @property
    def fetched_blobs(self) -> list[str]:
        """The paths of all blobs that the source has given away, as often as it has."""
        return [each.path for each in self.source.requests if "/blobs/" in each.path and each.status == HTTPStatus.OK]

    def forget_requests(self) -> None:
        """Begin both logs anew."""
        self.source.forget_requests()
        self.target.forget_requests()

    def move_tag(self, image: SampleImage) -> None:
        """Somebody pushes another image to the source under the tag of `image`."""
        other = make_image(image.repository, tag="newer", seed="newer")
        self.source.put_image(other)
        self.source.move_tag(image.repository, image.tag, other.root.digest)

    def lose_tag(self, image: SampleImage) -> None:
        """The target forgets the tag of `image`."""
        (self.folder / "target" / "repositories" / self.repository(image) / "_tags" / image.tag).unlink()

    def lose_blob(self, digest: Digest) -> None:
        """The target loses a blob, and does not notice: every manifest and tag stands."""
        (self.folder / "target" / "blobs" / digest.algorithm / digest.hex).unlink()

    def delivered(self, image: SampleImage) -> Digest | None:
        """What the target has under the tag of `image`."""
        found = self.target.content.resolve(self.repository(image), image.tag)
        return found[0].digest if found else None


@contextmanager
def site_in(folder: Path, count: int, *, multi_arch: int = 1, login: Login | None = None) -> Iterator[Site]:
    """A source with `count` images and an empty target; a `login` is asked for by the source."""
    images = make_image_set(count, multi_arch)
    with ExitStack() as servers:
        source = servers.enter_context(RegistrySimulator(folder / "source", login=login))
        target = servers.enter_context(RegistrySimulator(folder / "target"))
        source.put_image(*images)
        yield Site(folder, source, target, images)


def sync(prefect: PrefectServer, site: Site, first: Attempt | None = None, **settings: Any) -> Attempt:
    """Synchronise `site` in this process; after a `first` attempt, retry that."""
    parameters = {"site": site.settings(**settings), **site.places}
    return prefect.run(sync_site, parameters) if first is None else prefect.run_again(sync_site, parameters, first)


def content_requests(simulator: RegistrySimulator, *methods: str) -> set[str]:
    """The repositories whose manifests or blobs were asked for or sent with one of `methods`."""
    paths = [each.path.split("/") for each in simulator.requests if each.method in methods]
    kinds = ("blobs", "manifests")
    return {"/".join(path[2 : path.index(kind)]) for path in paths for kind in kinds if kind in path}
