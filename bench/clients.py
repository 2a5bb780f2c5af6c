"""Who is measured, and the script of each for each kind of work, with the best settings that the client has.

A script finds in its environment: SOURCE and TARGET (hosts), NAMES (a file with one REPOSITORY:TAG a line) and
REFERENCES (the same with the source's host), LAYOUT (a folder that stays between the runs of a client), UNPACKED (one
that is gone before each run), BUNDLE (the file that a pull makes and a push begins with), PARALLEL, and FOLDER, around
all of them.
"""

import os
import shutil
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

Kind = Literal["pull", "push", "copy"]
KINDS: tuple[Kind, ...] = ("pull", "push", "copy")
STATES = ("first", "again", "changed")
CANDIDATES = (2, 4, 8)  # processes or transfers side by side; each peer gets the best of them

# Ours fsyncs every file it makes: the peers' files are brought to the disk before their time ends.
_PACK = """
tar -C "$LAYOUT" -cf - . | zstd -q -3 -T0 -f -o "$BUNDLE"
sync -f "$FOLDER"
"""
_UNPACK = """
mkdir -p "$UNPACKED"
zstd -q -dc "$BUNDLE" | tar -C "$UNPACKED" -xf -
"""


@dataclass(frozen=True)
class Client:
    """One way to do the works. `program` must be on the PATH; `parallel` names the kinds that have such a setting."""

    name: str
    scripts: Mapping[Kind, str]
    program: str = ""
    version: str = ""
    install: str = ""
    remark: str = ""
    parallel: Mapping[Kind, tuple[int, ...]] = field(default_factory=dict)
    states: tuple[str, ...] = STATES
    keeps_source_host: bool = False  # names at the target begin with HOST_PORT of the source
    is_flow: bool = False
    environment: Mapping[str, str] = field(default_factory=dict)

    @property
    def is_ours(self) -> bool:
        """Whether it is our engine, or a command around it."""
        return not self.program

    def is_here(self) -> bool:
        """Whether it can run on this machine."""
        return self.is_ours or shutil.which(self.program) is not None

    def tell_version(self) -> str:
        """What the program says of its version, on one line."""
        if self.is_ours or not self.is_here():
            return ""
        told = subprocess.run(self.version, shell=True, capture_output=True, text=True, check=False)  # noqa: S602 - ours
        return " ".join(told.stdout.split())


ENGINE = "edgelift"

ENGINE_ALONE = Client(
    name=ENGINE,
    keeps_source_host=True,
    remark="the library alone, one process: `python -m bench.engine`",
    scripts={
        "pull": '"$PYTHON" -m bench.engine pull --references "$REFERENCES" --folder "$LAYOUT" --bundle "$BUNDLE"',
        "push": '"$PYTHON" -m bench.engine push --bundle "$BUNDLE" --target "$TARGET"',
        "copy": '"$PYTHON" -m bench.engine copy --references "$REFERENCES" --folder "$LAYOUT.copy" --target "$TARGET"',
    },
)

PEERS = (
    Client(
        name="skopeo",
        program="skopeo",
        version="skopeo --version",
        install="Debian package skopeo",
        remark="N `skopeo copy` side by side; one OCI layout for each image over one shared blob folder; "
        "registry to registry also as `skopeo sync` (N = 1)",
        parallel={"pull": CANDIDATES, "push": CANDIDATES, "copy": (1, *CANDIDATES)},
        scripts={
            "pull": """
mkdir -p "$LAYOUT/images"
copy() { skopeo --insecure-policy copy -q --all --preserve-digests --src-tls-verify=false \\
    --dest-oci-accept-uncompressed-layers --dest-shared-blob-dir "$LAYOUT/blobs" \\
    "docker://$SOURCE/$1" "oci:$LAYOUT/images/${1//[\\/:]/_}:it"; }
export -f copy
xargs -P "$PARALLEL" -a "$NAMES" -I@ bash -c 'copy @'
"""
            + _PACK,
            "push": _UNPACK
            + """
copy() { skopeo --insecure-policy copy -q --all --preserve-digests --dest-tls-verify=false \\
    --src-shared-blob-dir "$UNPACKED/blobs" "oci:$UNPACKED/images/${1//[\\/:]/_}:it" "docker://$TARGET/$1"; }
export -f copy
xargs -P "$PARALLEL" -a "$NAMES" -I@ bash -c 'copy @'
""",
            "copy": """
if [ "$PARALLEL" = 1 ]; then
    { echo "'$SOURCE':"; echo "  tls-verify: false"; echo "  images:"
      sed 's/\\(.*\\):\\(.*\\)/    \\1: ["\\2"]/' "$NAMES"; } > "$FOLDER/sync.yaml"
    exec skopeo --insecure-policy sync --all --preserve-digests --dest-tls-verify=false \\
        --src yaml --dest docker "$FOLDER/sync.yaml" "$TARGET/edge"
fi
xargs -P "$PARALLEL" -a "$NAMES" -I@ skopeo --insecure-policy copy -q --all --preserve-digests \\
    --src-tls-verify=false --dest-tls-verify=false "docker://$SOURCE/@" "docker://$TARGET/@"
""",
        },
    ),
    Client(
        name="crane",
        program="crane",
        version="echo crane $(crane version)",
        install="go install github.com/google/go-containerregistry/cmd/crane@latest",
        remark="one `crane pull --format=oci` for all images; N `crane push` or `crane copy` side by side",
        parallel={"push": CANDIDATES, "copy": CANDIDATES},
        scripts={
            "pull": """
rm -f "$LAYOUT/index.json"
crane pull --format=oci --annotate-ref $(cat "$REFERENCES") "$LAYOUT"
"""
            + _PACK,
            # It pushes layouts of one image only: each image gets one of its own, over the same blobs.
            "push": _UNPACK
            + """
"$PYTHON" -S -m bench.layouts "$UNPACKED"
xargs -P "$PARALLEL" -a "$NAMES" -I@ bash -c 'name=@; crane push "$UNPACKED/images/${name//[\\/:]/_}" "$TARGET/@"'
""",
            "copy": 'xargs -P "$PARALLEL" -a "$NAMES" -I@ crane copy --jobs 4 "$SOURCE/@" "$TARGET/@"',
        },
    ),
    Client(
        name="regctl",
        program="regctl",
        version="echo regctl $(regctl version --format '{{.VCSTag}}')",
        install="go install github.com/regclient/regclient/cmd/regctl@latest",
        remark="N `regctl image copy` side by side; one at a time into the OCI layout, which takes no two writers",
        parallel={"push": CANDIDATES, "copy": CANDIDATES},
        scripts={
            "pull": """
copy() { regctl --host "reg=$SOURCE,tls=disabled" image copy --fast "$SOURCE/$1" "ocidir://$LAYOUT:${1//[\\/:]/_}"; }
export -f copy
xargs -a "$NAMES" -I@ bash -c 'copy @'
"""
            + _PACK,
            "push": _UNPACK
            + """
copy() { regctl --host "reg=$TARGET,tls=disabled" image copy --fast "ocidir://$UNPACKED:${1//[\\/:]/_}" "$TARGET/$1"; }
export -f copy
xargs -P "$PARALLEL" -a "$NAMES" -I@ bash -c 'copy @'
""",
            "copy": """
xargs -P "$PARALLEL" -a "$NAMES" -I@ \\
    regctl --host "reg=$SOURCE,tls=disabled" --host "reg=$TARGET,tls=disabled" image copy --fast "$SOURCE/@" "$TARGET/@"
""",
        },
    ),
    Client(
        name="regsync",
        program="regsync",
        version="echo regsync $(regsync version --format '{{.VCSTag}}')",
        install="go install github.com/regclient/regclient/cmd/regsync@latest",
        remark="`regsync once` with `parallel: N`, one process for all images",
        parallel=dict.fromkeys(KINDS, (1, *CANDIDATES)),
        scripts={
            "pull": """
{ printf 'version: 1\\ndefaults: {parallel: %s, fastCheck: true, skipDockerConfig: true}\\n' "$PARALLEL"
  printf 'creds: [{registry: "%s", tls: disabled}]\\nsync:\\n' "$SOURCE"
  while read -r name; do
    printf -- '- {source: "%s", target: "ocidir://%s:%s", type: image}\\n' "$SOURCE/$name" "$LAYOUT" "${name//[\\/:]/_}"
  done < "$NAMES"; } > "$FOLDER/regsync.yaml"
regsync once -v error -c "$FOLDER/regsync.yaml"
"""
            + _PACK,
            "push": _UNPACK
            + """
{ printf 'version: 1\\ndefaults: {parallel: %s, fastCheck: true, skipDockerConfig: true}\\n' "$PARALLEL"
  printf 'creds: [{registry: "%s", tls: disabled}]\\nsync:\\n' "$TARGET"
  while read -r name; do
    printf -- '- {source: "ocidir://%s:%s", target: "%s", type: image}\\n' \\
        "$UNPACKED" "${name//[\\/:]/_}" "$TARGET/$name"
  done < "$NAMES"; } > "$FOLDER/regsync.yaml"
regsync once -v error -c "$FOLDER/regsync.yaml"
""",
            "copy": """
{ printf 'version: 1\\ndefaults: {parallel: %s, fastCheck: true, skipDockerConfig: true}\\n' "$PARALLEL"
  printf 'creds: [{registry: "%s", tls: disabled}, {registry: "%s", tls: disabled}]\\nsync:\\n' "$SOURCE" "$TARGET"
  while read -r name; do
    printf -- '- {source: "%s", target: "%s", type: image}\\n' "$SOURCE/$name" "$TARGET/$name"
  done < "$NAMES"; } > "$FOLDER/regsync.yaml"
regsync once -v error -c "$FOLDER/regsync.yaml"
""",
        },
    ),
    Client(
        name="hauler",
        program="hauler",
        version="hauler version --json",
        install="see https://docs.hauler.dev (its Go module is hauler.dev/go/hauler/v2)",
        remark="`hauler store sync`, `save`, `load` and `copy`; registry to registry by way of its store",
        scripts={
            "pull": """
{ printf 'apiVersion: content.hauler.cattle.io/v1\\nkind: Images\\nmetadata: {name: bench}\\nspec:\\n  images:\\n'
  sed 's/.*/  - name: &/' "$REFERENCES"; } > "$FOLDER/hauler.yaml"
hauler store sync --store "$LAYOUT" --files "$FOLDER/hauler.yaml"
hauler store save --store "$LAYOUT" --filename "$BUNDLE"
sync -f "$FOLDER"
""",
            "push": """
hauler store load --store "$UNPACKED" --filename "$BUNDLE"
hauler store copy --store "$UNPACKED" --plain-http "registry://$TARGET"
""",
            "copy": """
{ printf 'apiVersion: content.hauler.cattle.io/v1\\nkind: Images\\nmetadata: {name: bench}\\nspec:\\n  images:\\n'
  sed 's/.*/  - name: &/' "$REFERENCES"; } > "$FOLDER/hauler.yaml"
hauler store sync --store "$LAYOUT.copy" --files "$FOLDER/hauler.yaml"
hauler store copy --store "$LAYOUT.copy" --plain-http "registry://$TARGET"
""",
        },
    ),
)


def flow(name: str, remark: str, environment: Mapping[str, str]) -> Client:
    """The whole command, with Prefect's settings in `environment`; it looks up no signatures, as the engine alone."""
    return Client(
        name=name,
        remark=remark,
        keeps_source_host=True,
        is_flow=True,
        states=("first",),
        environment=environment,
        scripts={
            "pull": """
"$EDGELIFT" build --quiet --no-signatures --name bundle $(sed 's/^/--image /' "$REFERENCES") \\
    --store "$LAYOUT" --output "$FOLDER"
""",
            "push": '"$EDGELIFT" push --quiet --file "$BUNDLE" --registry "$TARGET" --output "$FOLDER/delivery"',
            "copy": """
{ printf 'name: bench\\ndirect: true\\ntarget: {registry: "%s"}\\nsource:\\n' "$TARGET"
  printf '  signatures: false\\n  images:\\n'
  sed 's/.*/  - &/' "$REFERENCES"; } > "$FOLDER/site.yaml"
"$EDGELIFT" sync --quiet "$FOLDER/site.yaml" --store "$LAYOUT.copy" --output "$FOLDER/site"
""",
        },
    )


def find_go_tools() -> None:
    """Put the folders that `go install` writes to at the end of the PATH."""
    places = (os.environ.get("GOBIN"), str(Path(os.environ.get("GOPATH") or Path.home() / "go") / "bin"))
    os.environ["PATH"] = os.pathsep.join([os.environ.get("PATH", os.defpath), *filter(None, places)])
