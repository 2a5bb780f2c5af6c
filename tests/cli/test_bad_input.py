"""What an engineer gets wrong, and what the command line says to it: what, where, and what to do next.

Each case is a row of the table: it never ends in a traceback, and leaves nothing under a name that looks finished.
"""

import json
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from pathlib import Path

import pytest
import yaml

from edgelift.demo.content import SampleLayer, make_image
from edgelift.demo.palette_api import DEMO_PROJECT, export_document
from edgelift.demo.profiles import demo_profiles
from edgelift.palette.models import ClusterProfile
from edgelift.serve.access import Login
from tests.certificates import Authority
from tests.cli.commands import CommandLine, files_below, make_bundle, references
from tests.palette.builders import image_values, make_pack, make_profile
from tests.real_parts import require_tool
from tests.simulators.palette import PaletteSimulator
from tests.simulators.registry import RegistrySimulator

APP = make_image("team/app", architectures=("amd64", "arm64"))
ARM = make_image("team/arm", architectures=("arm64",))
OTHER = make_image("edge/app", seed="another")
KEY = "the-key-of-the-tests"
WRONG = "a-wrong-secret"


@dataclass(frozen=True)
class Bad:
    """A command that is to fail: its exit code, and what its error has to say, in this order."""

    arguments: tuple[object, ...]
    code: int
    says: tuple[str, ...]
    environment: dict[str, str] = field(default_factory=dict)
    largest_file: int | None = None


class Stage:
    """The servers and files that a case needs, made when it asks for them."""

    def __init__(self, folder: Path, servers: ExitStack) -> None:
        self.folder = folder
        self.out = folder / "out"
        self.servers = servers

    def plan(self, *arguments: object) -> tuple[object, ...]:
        """A plan that would write a lock."""
        store = self.folder / "store"
        return ("plan", *arguments, "--store", store, "--output", self.out / "site.lock.json")

    def registry(self, **settings: object) -> RegistrySimulator:
        """A registry with two images."""
        root = self.folder / "registry"
        sim = self.servers.enter_context(RegistrySimulator(root, **settings))  # type: ignore[arg-type]
        sim.put_image(APP, ARM)
        return sim

    def palette(self) -> dict[str, str]:
        """The environment that leads to a Palette, with its right key."""
        palette = PaletteSimulator(demo_profiles("registry.example"), KEY)
        return {"PALETTE_ENDPOINT": self.servers.enter_context(palette).url, "PALETTE_API_KEY": KEY}

    def bundle(self) -> Path:
        """A bundle."""
        return make_bundle(self.folder / "given", self.registry().host, APP)

    def file(self, name: str, content: str) -> Path:
        """A file with this text."""
        path = self.folder / name
        path.write_text(content)
        return path

    def profile(self, profile: ClusterProfile) -> Path:
        """An exported profile."""
        return self.file(f"{profile.name}.json", json.dumps(export_document(profile)))


@pytest.fixture
def stage(tmp_path: Path) -> Iterator[Stage]:
    """An empty stage."""
    with ExitStack() as servers:
        yield Stage(tmp_path, servers)


# Palette


def wrong_key(stage: Stage) -> Bad:
    """The API key is not Palette's."""
    environment = stage.palette() | {"PALETTE_API_KEY": WRONG}
    says = ("Palette at 127.0.0.1:", "refused the API key", "→ check the key", "My API Keys")
    return Bad(stage.plan("--profiles", "edge-infra"), 1, says, environment)


def no_key(stage: Stage) -> Bad:
    """No API key is set."""
    says = ("there is no API key", "→ set PALETTE_API_KEY", "--profile-file")
    return Bad(stage.plan("--profiles", "edge-infra"), 2, says)


def unknown_profile(stage: Stage) -> Bad:
    """The project has no such profile."""
    arguments = stage.plan("--profiles", "edge-infar", "--project-id", DEMO_PROJECT.name)
    says = ("no cluster profile 'edge-infar' in project demo", "→ check the uid or the name")
    return Bad(arguments, 1, says, stage.palette())


def unknown_version(stage: Stage) -> Bad:
    """The profile has no such version."""
    arguments = stage.plan("--profiles", "edge-infra@9.9", "--project-id", DEMO_PROJECT.name)
    return Bad(arguments, 1, ("edge-infra has no version 9.9", "→ it has: 1.0.0"), stage.palette())


def unknown_project(stage: Stage) -> Bad:
    """The key does not see such a project."""
    arguments = stage.plan("--profiles", "edge-infra", "--project-id", "Nowhere")
    return Bad(arguments, 1, ("no project 'Nowhere'", "→ it shows: demo"), stage.palette())


# Profiles


def two_infrastructure_profiles(stage: Stage) -> Bad:
    """Two profiles of the kind a cluster has one of."""
    infrastructure = demo_profiles("registry.example")[0]
    files = [stage.profile(replace_name(infrastructure, name)) for name in ("one", "two")]
    arguments = stage.plan("--profile-file", files[0], "--profile-file", files[1])
    return Bad(arguments, 2, ("only one profile may have infrastructure layers", "one@1.0.0", "two@1.0.0", "keep one"))


def unresolved_macro(stage: Stage) -> Bad:
    """A macro that nothing answers."""
    profile = make_profile(make_pack(image_values("app:{{ .spectro.system.kubernetes.version }}")), name="addon")
    says = ("addon@1.0.0 > web > pack.content.images[0]", "spectro.system.kubernetes.version", "--set")
    return Bad(stage.plan("--profile-file", stage.profile(profile)), 2, says)


def malformed_reference_in_a_profile(stage: Stage) -> Bad:
    """A reference with a scheme, in a pack."""
    profile = make_profile(make_pack(image_values("https://quay.io/app:1")), name="addon")
    says = ("addon@1.0.0 > web > pack.content.images[0]", "'https://quay.io/app:1' is not an image reference")
    return Bad(stage.plan("--profile-file", stage.profile(profile)), 2, says)


def no_profile(stage: Stage) -> Bad:
    """A file that is something else."""
    path = stage.file("values.yaml", "replicas: 3\n")
    return Bad(stage.plan("--profile-file", path), 2, (str(path), "holds no cluster profile", "→ export the profile"))


# References


def malformed_reference(stage: Stage) -> Bad:
    """A reference with a scheme, on the command line."""
    says = ("'https://quay.io/app:1' is not an image reference", "→ write it as registry/repository:tag", "no scheme")
    return Bad(stage.plan("--image", "https://quay.io/app:1"), 2, says)


def nothing_asked_for(stage: Stage) -> Bad:
    """No source at all."""
    return Bad(stage.plan(), 2, ("nothing is asked for", "→ name profiles with --profiles", "--image"))


def image_not_found(stage: Stage) -> Bad:
    """A tag that is not there."""
    host = stage.registry().host
    says = (f"{host}/team/app:9.9 (asked for by name)", "404", "→ check repository and tag")
    return Bad(stage.plan("--image", f"{host}/team/app:9.9"), 1, says)


def no_matching_architecture(stage: Stage) -> Bad:
    """An image for another architecture."""
    name = references(stage.registry().host, ARM)[0]
    says = (f"{name} is not there for linux/amd64; it is for linux/arm64", "→ use a tag that has it", "--arch")
    return Bad(stage.plan("--image", name, "--arch", "amd64"), 1, says)


def bad_bundle_name(stage: Stage) -> Bad:
    """A path for a name."""
    says = ("'../site' cannot be the name of a bundle", "→ take up to 100 letters", "--output")
    return Bad(stage.plan("--image", "nginx", "--name", "../site"), 2, says)


# Registries


def wrong_password(stage: Stage) -> Bad:
    """A login that the registry refuses."""
    sim = stage.registry(login=Login("courier", "right"))
    login = {"endpoint": sim.host, "username": "courier", "password": WRONG}
    path = stage.file("creds.json", json.dumps({"image": [login]}))
    says = (f"{sim.host}: cannot", "401", f"→ check the user name and password for {sim.host}")
    return Bad(stage.plan("--image", references(sim.host, APP)[0], "--cred-file-path", path), 1, says)


def no_login(stage: Stage) -> Bad:
    """No login where one is wanted."""
    sim = stage.registry(login=Login("courier", "right"))
    says = (sim.host, f"→ there are no credentials for {sim.host}", "docker login")
    return Bad(stage.plan("--image", references(sim.host, APP)[0]), 1, says)


def registry_down(stage: Stage) -> Bad:
    """A port where nothing listens."""
    says = ("127.0.0.1:1/team/app:1.0", "connection refused", "→ check that it runs, and its port")
    return Bad(stage.plan("--image", "127.0.0.1:1/team/app:1.0"), 1, says)


def unknown_host(stage: Stage) -> Bad:
    """A host that has no address."""
    says = ("registry.invalid/app:1", "its name is not known", "→ check the name, and the DNS")
    return Bad(stage.plan("--image", "registry.invalid/app:1"), 1, says)


def unknown_authority(stage: Stage) -> Bad:
    """A certificate that nobody vouches for."""
    sim = stage.registry(certificate=Authority(stage.folder).issue("127.0.0.1"))
    says = ("TLS certificate is not trusted here", f"→ give the certificate of {sim.host}'s authority with --ca-cert")
    return Bad(stage.plan("--image", references(sim.host, APP)[0]), 1, says)


def no_authority_in_the_file(stage: Stage) -> Bad:
    """A certificate file that holds none."""
    path = stage.file("nonsense.pem", "no certificate")
    sim = stage.registry(certificate=Authority(stage.folder).issue("127.0.0.1"))
    arguments = stage.plan("--image", references(sim.host, APP)[0], "--ca-cert", path)
    return Bad(arguments, 2, (f"{path} holds no certificate in PEM form",))


def no_authority_file(stage: Stage) -> Bad:
    """A certificate file that is not there."""
    return Bad(stage.plan("--image", "nginx", "--ca-cert", "nowhere.pem"), 2, ("--ca-cert", "no file nowhere.pem"))


# Targets


def target_with_a_scheme(stage: Stage) -> Bad:
    """A URL for a target."""
    arguments = stage.plan("--image", "nginx", "--registry", "https://mirror.example")
    return Bad(arguments, 2, ("'https://mirror.example' is not a target registry", "→ write it as HOST[:PORT][/BASE]"))


def target_denies(stage: Stage) -> Bad:
    """A target that takes no pushes from us."""
    bundle, target = stage.bundle(), stage.folder / "target"
    sim = stage.servers.enter_context(RegistrySimulator(target))
    sim.deny("/uploads/", "POST")
    says = (
        f"{sim.host}/edge cannot take this bundle",
        "cannot push to edge/",
        "403",
        f"→ there are no credentials for {sim.host}",
    )
    return Bad(("push", "--dry-run", "--file", bundle, "--registry", f"{sim.host}/edge"), 1, says)


def target_conflicts(stage: Stage) -> Bad:
    """A target whose tag stands with another digest."""
    sim = stage.registry()
    place = f"edge/{sim.host.replace(':', '_')}/team/app"
    sim.put_image(replace(OTHER, repository=place))
    says = (f"{sim.host}/{place}:1.0 stands with", "→ --on-conflict replace moves the tag", "keep")
    arguments = stage.plan("--image", references(sim.host, APP)[0], "--registry", f"{sim.host}/edge")
    return Bad(arguments, 1, says)


# Disks


def full_disk(stage: Stage) -> Bad:
    """A disk that takes no more."""
    name = references(stage.registry().host, APP)[0]
    says = ("cannot write sha256:", "the disk is full", "bytes are needed", "→ free some space")
    return Bad(stage.plan("--image", name), 1, says, largest_file=100)


def no_folder(stage: Stage) -> Bad:
    """A store where none can be."""
    arguments = ("plan", "--image", "nginx", "--store", "/dev/null/store")
    return Bad(arguments, 1, ("cannot open the store /dev/null/store", "→ look at the permissions"))


def long_path(stage: Stage) -> Bad:
    """A path that no file system takes."""
    name = references(stage.registry().host, APP)[0]
    arguments = ("plan", "--image", name, "--store", stage.folder / "store", "--output", f"{'x' * 300}/l.json")
    return Bad(arguments, 1, ("File name too long", "→"))


# Bundles


def truncated_bundle(stage: Stage) -> Bad:
    """The first half of a bundle."""
    bundle = stage.bundle()
    content = bundle.read_bytes()
    bundle.write_bytes(content[: len(content) // 2])
    return Bad(("inspect", bundle), 1, (str(bundle), "cut", "→"))


def altered_bundle(stage: Stage) -> Bad:
    """A bundle with one bit turned over in a layer."""
    bundle = stage.bundle()
    content = bytearray(bundle.read_bytes())
    content[len(content) // 2] ^= 1
    bundle.write_bytes(content)
    return Bad(("verify", bundle), 1, (str(bundle), "damaged", "→"))


def no_bundle(stage: Stage) -> Bad:
    """A file of another kind."""
    path = stage.file("site.tar.zst", "not a bundle at all")
    return Bad(("inspect", path), 1, (f"{path} is not a bundle", "→ a bundle is the .tar.zst that build made"))


def missing_bundle(stage: Stage) -> Bad:
    """No file of that name."""
    return Bad(("verify", "nowhere.tar.zst"), 1, ("cannot open nowhere.tar.zst: No such file",))


# Documents


def lock_with_an_unknown_key(stage: Stage) -> Bad:
    """A lock that says more than it can."""
    lock = json.loads(
        make_bundle(stage.folder / "given", stage.registry().host, APP).with_name("site.lock.json").read_bytes()
    )
    path = stage.file("edited.lock.json", json.dumps(lock | {"aproved": True}))
    arguments = ("validate", "--lock", path, "--registry", "mirror.example")
    return Bad(arguments, 2, (f"{path} is not a bundle lock", "aproved"))


def definition_with_an_unknown_key(stage: Stage) -> Bad:
    """A lock whose definition has a typo in it."""
    lock = json.loads(
        make_bundle(stage.folder / "given", stage.registry().host, APP).with_name("site.lock.json").read_bytes()
    )
    lock["definition"]["architekture"] = "amd64"
    path = stage.file("edited.lock.json", json.dumps(lock))
    arguments = ("validate", "--lock", path, "--registry", "mirror.example")
    return Bad(arguments, 2, (f"{path} is not a bundle lock", "definition.architekture"))


def site_with_an_unknown_key(stage: Stage) -> Bad:
    """A site file with a secret where none belongs."""
    site = {
        "name": "plant-7",
        "source": {"images": ["nginx"], "imges": ["busybox"]},
        "target": {"registry": "mirror.example"},
        "password": WRONG,
    }
    path = stage.file("site.yaml", yaml.safe_dump(site))
    return Bad(("sync", path), 2, (f"{path} is not a site file", "source.imges", "password", "→ deployments/sites"))


def no_site(stage: Stage) -> Bad:
    """A site file that is not YAML."""
    path = stage.file("site.yaml", "name: [plant")
    return Bad(("sync", path), 2, (f"{path} is not YAML at line 1",))


def bad_setting(stage: Stage) -> Bad:
    """A setting without a value."""
    return Bad(
        stage.plan("--image", "nginx", "--set", "version"), 2, ("'version' is not a setting", "→ write it as --set")
    )


def bad_mapping(stage: Stage) -> Bad:
    """A mapping rule to another registry."""
    arguments = stage.plan("--image", "nginx", "--registry", "mirror.example", "--map", "quay.io=other.example/x")
    return Bad(arguments, 2, ("leads to the registry other.example, but the target is mirror.example", "→"))


def repositories_of_others(stage: Stage) -> Bad:
    """Repositories to be created at a registry that is not Amazon's."""
    arguments = ("push", "--file", stage.folder / "b", "--registry", "mirror.example/edge", "--create-repositories")
    says = ("--create-repositories is for Amazon ECR, and mirror.example is none", "→ leave the option out")
    return Bad(arguments, 2, says)


def repositories_without_credentials(stage: Stage) -> Bad:
    """Repositories to be created without leave to use the credentials for it."""
    host = "123456789012.dkr.ecr.eu-west-1.amazonaws.com"
    arguments = ("push", "--file", stage.folder / "b", "--registry", host, "--create-repositories")
    return Bad(arguments, 2, ("--create-repositories needs AWS credentials", "→ allow yours to be used: --aws"))


def no_prefect(stage: Stage) -> Bad:
    """A Prefect server that is not there."""
    environment = {"PREFECT_API_URL": "http://127.0.0.1:1/api"}
    arguments = ("build", "--name", "site", "--image", "nginx", "--output", stage.out)
    return Bad(arguments, 2, ("no Prefect server answers", "PREFECT_API_URL", "→ start that server"), environment)


CASES: tuple[Callable[[Stage], Bad], ...] = (
    *(wrong_key, no_key, unknown_profile, unknown_version, unknown_project),
    *(two_infrastructure_profiles, unresolved_macro, malformed_reference_in_a_profile, no_profile),
    *(malformed_reference, nothing_asked_for, image_not_found, no_matching_architecture, bad_bundle_name),
    *(wrong_password, no_login, registry_down, unknown_host),
    *(unknown_authority, no_authority_in_the_file, no_authority_file),
    *(target_with_a_scheme, target_denies, target_conflicts, full_disk, no_folder, long_path),
    *(truncated_bundle, altered_bundle, no_bundle, missing_bundle),
    *(lock_with_an_unknown_key, definition_with_an_unknown_key, site_with_an_unknown_key, no_site),
    *(bad_setting, bad_mapping, repositories_of_others, repositories_without_credentials, no_prefect),
)


def replace_name(profile: ClusterProfile, name: str) -> ClusterProfile:
    """The same profile under another name."""
    return profile.model_copy(update={"name": name, "uid": ""})


@pytest.mark.parametrize("case", CASES, ids=[case.__name__ for case in CASES])
def test_what_is_wrong_is_said(case: Callable[[Stage], Bad], stage: Stage, command_line: CommandLine) -> None:
    """The message names what is wrong, where, and the next step; the exit code says whose turn it is."""
    bad = case(stage)
    before = files_below(stage.folder / "given")
    outcome = command_line.run(*bad.arguments, largest_file=bad.largest_file, **bad.environment)

    assert (outcome.code, "Traceback" in outcome.err) == (bad.code, False), outcome.err
    position = -1
    for words in bad.says:
        position = outcome.error.find(words, position + 1)
        assert position >= 0, f"{words!r} is not, or not there, in:\n{outcome.err}"
    assert WRONG not in outcome.out + outcome.err
    assert KEY not in outcome.out + outcome.err
    assert files_below(stage.out) == []
    assert files_below(stage.folder / "given") == before


def test_a_disk_that_is_too_small_is_found_before_anything_moves(stage: Stage, command_line: CommandLine) -> None:
    """On a real disk of half a megabyte: what is free, what is needed, and no blob on its way."""
    sim, disk = stage.registry(), stage.folder / "disk"
    sim.put_image(make_image("team/large", layers=(SampleLayer("tar", 600_000),)))
    disk.mkdir()
    mount = 'mount -t tmpfs -o size=512k none "$0" && exec "$@"'
    within = (require_tool("unshare"), "-rm", "sh", "-c", mount, str(disk))
    if command_line.run("--version", within=within).code != 0:
        pytest.skip("this machine lets us mount nothing")
    arguments = ("--store", disk / "store", "--output", disk / "out" / "site.lock.json")
    outcome = command_line.run("plan", "--image", f"{sim.host}/team/large:1.0", *arguments, within=within)

    assert (outcome.code, "Traceback" in outcome.err) == (1, False)
    assert f"{disk}/store has " in outcome.error
    assert "are needed; free some space or choose another folder" in outcome.error
    assert sim.count("GET", "/blobs/") == 0
