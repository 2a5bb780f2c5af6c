"""A whole build for a process of its own, under whatever clock, locale or number of processors it was given.

    python -m tests.bundle.building '{"definition": "…", "key": "…", "cluster_definition": "…", "folder": "…", …}'

Plan, then pull and assemble at once, then sign: the steps of the flow `build-bundle`, without Prefect.
"""

import json
import random
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from pydantic import SecretStr

from edgelift.bundle.assembly import Assembly
from edgelift.bundle.attached import Attached
from edgelift.bundle.cluster_definition import LockedClusterDefinition
from edgelift.bundle.definition import BundleDefinition
from edgelift.bundle.lock import LockedImage
from edgelift.bundle.signature import PrivateKey
from edgelift.bundle.signed import write_signed
from edgelift.oci.credentials import Credentials
from edgelift.oci.pacing import Clock
from edgelift.oci.pull import pull_content
from edgelift.oci.reference import ImageReference
from edgelift.oci.registries import Registries
from edgelift.packs.artifact import PackArtifact
from edgelift.packs.local import read_packs
from edgelift.packs.names import is_local
from edgelift.plan import plan_bundle
from edgelift.store.local import LocalStore
from edgelift.transport import TransportSettings

# Not `time.sleep`: the library that fakes the wall clock breaks it.
CLOCK = Clock(sleep=lambda seconds: threading.Event().wait(seconds) and None)


@dataclass(frozen=True)
class Build:
    """What to build: paths as text; so many `images` are pulled at a time, in an order that `seed` decides."""

    definition: str
    key: str
    cluster_definition: str
    pack: str
    folder: str
    images: int = 4
    seed: int = 0


def run(build: Build) -> None:
    """Leave bundle, lock and cluster definition, each with its signature, in the folder."""
    definition = BundleDefinition.model_validate_json(Path(build.definition).read_bytes())
    key = PrivateKey.from_pem(SecretStr(Path(build.key).read_bytes().decode()), None, build.key)
    folder = Path(build.folder)
    store = LocalStore(folder / "store")
    with Registries(TransportSettings(), Credentials(), clock=CLOCK) as registries:
        attached = attach(build, store)
        plan = plan_bundle(definition, registries, store, attached)
        plan.raise_for_errors()
        images = [image for image in plan.lock.images if not is_local(image.reference)]
        random.Random(build.seed).shuffle(images)

        def pull(image: LockedImage) -> None:
            reference = ImageReference.parse(image.reference)
            pull_content(registries.registry(reference.registry), reference.repository, image.content, store)

        with Assembly(plan.lock, store, folder / "site.tar.zst", key=key) as assembly:
            with ThreadPoolExecutor(build.images) as pool:
                list(pool.map(pull, images))
            assembly.finish()
        write_signed(folder / "site.lock.json", plan.lock.to_json(), key)
        if attached.cluster_definition is not None:
            content = attached.cluster_definition.read_from(store)
            write_signed(folder / attached.cluster_definition.file_name, content, key)


def attach(build: Build, store: LocalStore) -> Attached:
    """What is attached: a cluster definition, which a file stands for, and a local pack."""
    content = Path(build.cluster_definition).read_bytes()
    definition = LockedClusterDefinition.of("harbour", content, ())
    store.write(definition.descriptor, content)
    artifacts = [PackArtifact.of(pack) for pack in read_packs([build.pack])]
    for artifact in artifacts:
        artifact.keep(store)
    return Attached(cluster_definition=definition, packs=tuple(artifact.pinned for artifact in artifacts))


if __name__ == "__main__":
    run(Build(**json.loads(sys.argv[1])))
