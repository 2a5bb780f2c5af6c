"""A whole build for a process of its own, under whatever clock, locale or number of processors it was given.

    python -m tests.bundle.building '{"definition": "…", "key": "…", "folder": "…", "images": 4, "seed": 0}'

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
from edgelift.bundle.definition import BundleDefinition
from edgelift.bundle.lock import LockedImage
from edgelift.bundle.signature import PrivateKey
from edgelift.bundle.signed import write_signed
from edgelift.oci.credentials import Credentials
from edgelift.oci.pacing import Clock
from edgelift.oci.pull import pull_content
from edgelift.oci.reference import ImageReference
from edgelift.oci.registries import Registries
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
    folder: str
    images: int = 4
    seed: int = 0


def run(build: Build) -> None:
    """Leave bundle and lock, each with its signature, in the folder."""
    definition = BundleDefinition.model_validate_json(Path(build.definition).read_bytes())
    key = PrivateKey.from_pem(SecretStr(Path(build.key).read_bytes().decode()), None, build.key)
    folder = Path(build.folder)
    store = LocalStore(folder / "store")
    with Registries(TransportSettings(), Credentials(), clock=CLOCK) as registries:
        plan = plan_bundle(definition, registries, store)
        plan.raise_for_errors()
        images = random.Random(build.seed).sample(plan.lock.images, len(plan.lock.images))

        def pull(image: LockedImage) -> None:
            reference = ImageReference.parse(image.reference)
            pull_content(registries.registry(reference.registry), reference.repository, image.content, store)

        with Assembly(plan.lock, store, folder / "site.tar.zst", key=key) as assembly:
            with ThreadPoolExecutor(build.images) as pool:
                list(pool.map(pull, images))
            assembly.finish()
        write_signed(folder / "site.lock.json", plan.lock.to_json(), key)


if __name__ == "__main__":
    run(Build(**json.loads(sys.argv[1])))
