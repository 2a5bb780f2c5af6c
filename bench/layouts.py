"""One OCI layout with many images → `images/NAME` beside it, a layout for each over the same blobs.

`crane push` takes a layout of one image. The name is what stands in the image's annotation, after the source's host.
"""

import json
import os
import sys

NAME = "org.opencontainers.image.ref.name"


def main() -> None:
    """Split the layout in the folder that is the only argument."""
    folder = sys.argv[1]
    with open(f"{folder}/index.json", encoding="utf-8") as file:  # noqa: PTH123 - pathlib would double what this takes
        index = json.load(file)
    for entry in index["manifests"]:
        _, _, name = entry["annotations"][NAME].partition("/")
        home = f"{folder}/images/{name.replace('/', '_').replace(':', '_')}"
        os.makedirs(home)  # noqa: PTH103 - as above
        os.symlink("../../blobs", f"{home}/blobs")  # noqa: PTH211 - as above
        for document, content in (
            ("oci-layout", {"imageLayoutVersion": "1.0.0"}),
            ("index.json", index | {"manifests": [entry]}),
        ):
            with open(f"{home}/{document}", "w", encoding="utf-8") as file:  # noqa: PTH123 - as above
                json.dump(content, file)


if __name__ == "__main__":
    main()
