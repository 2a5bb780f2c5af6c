"""Where content is read from, on the command line: mirrors, rewrites, certificates by host, and a budget that ends."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from edgelift.demo.content import SampleLayer, make_image
from tests.certificates import Authority
from tests.cli.commands import CommandLine
from tests.images import make_image_set, rename_image
from tests.simulators.profiles.hosted import Hub
from tests.simulators.registry import RegistrySimulator

NGINX = make_image("library/nginx", layers=(SampleLayer("tar", 10_000),))
REFERENCE = "docker.io/library/nginx:1.0"


@pytest.fixture
def mirror(tmp_path: Path) -> Iterator[RegistrySimulator]:
    """A registry that holds what is Docker Hub's below `hub/`."""
    with RegistrySimulator(tmp_path / "mirror") as simulator:
        simulator.put_image(rename_image(NGINX, "hub/library/nginx", "1.0"))
        yield simulator


@pytest.mark.parametrize("option", ["--mirror", "--rewrite"])
def test_an_image_of_docker_hub_is_planned_without_it(
    option: str, mirror: RegistrySimulator, command_line: CommandLine
) -> None:
    """The lock names the image as it was asked for; the content comes from the mirror."""
    place = f"docker.io={mirror.host}/hub"
    # A mirror that has no signature is no proof that there is none: Docker Hub itself would be asked for one.
    alone = ("--no-signatures",) if option == "--mirror" else ()
    outcome = command_line.run("plan", "--image", "nginx:1.0", option, place, *alone, "--json")

    assert [(each["reference"], each["digest"]) for each in outcome.document["images"]] == [
        (REFERENCE, NGINX.root.digest)
    ]
    assert outcome.code == 0
    assert mirror.count("GET", "^/v2/hub/library/nginx/manifests/1.0$", 200) == 1


def test_a_bundle_is_built_by_way_of_a_mirror(mirror: RegistrySimulator, command_line: CommandLine, api: str) -> None:
    """The whole build reads from the mirror, says so, and keeps the image's own name."""
    arguments = (
        "--image",
        "nginx:1.0",
        "--mirror",
        f"docker.io={mirror.host}/hub",
        "--no-signatures",
        "--name",
        "site",
        "--output",
        "out",
    )
    built = command_line.run("build", *arguments, PREFECT_API_URL=api)
    shown = command_line.run("inspect", "out/site.tar.zst", "--json")

    assert (built.code, [each["reference"] for each in shown.document["images"]]) == (0, [REFERENCE])
    assert f"logged in to {mirror.host} or docker.io: anonymous" in built.err
    assert f"pulled {REFERENCE} from {mirror.host}/hub: " in built.err


def test_certificates_by_host_let_us_in(tmp_path: Path, command_line: CommandLine) -> None:
    """A folder as Docker has it is all that a registry with an authority of its own needs."""
    (tmp_path / "authority").mkdir()
    authority = Authority(tmp_path / "authority")
    with RegistrySimulator(tmp_path / "registry", certificate=authority.issue("127.0.0.1")) as sim:
        sim.put_image(NGINX)
        own = tmp_path / "certs.d" / sim.host
        own.mkdir(parents=True)
        (own / "ca.crt").write_bytes(authority.ca_cert.read_bytes())
        asked = ("plan", "--image", f"{sim.host}/library/nginx:1.0", "--json")
        outcomes = [
            command_line.run(*asked, *options)
            for options in ((), ("--cert-dir", "certs.d"), ("--insecure-registry", sim.host))
        ]

    assert [outcome.code for outcome in outcomes] == [1, 0, 0]
    assert "not trusted" in outcomes[0].error


def test_a_plan_that_runs_out_of_pulls_says_when_to_come_back(tmp_path: Path, command_line: CommandLine) -> None:
    """Exit code 3: what was read is kept, no lock is written, and the same command goes on later."""
    images, profile = make_image_set(6, 0), Hub(pulls=4)
    with RegistrySimulator(tmp_path / "hub", profile=profile) as sim:
        sim.put_image(*images)
        asked = [part for each in images for part in ("--image", f"{sim.host}/{each.repository}:{each.tag}")]
        first = command_line.run("plan", *asked, "--output", "site.lock.json", "--store", "store")
        has_lock = (tmp_path / "site.lock.json").exists()
        profile.left = 4
        second = command_line.run("plan", *asked, "--output", "site.lock.json", "--store", "store")

    assert (first.code, has_lock, second.code) == (3, False, 0)
    assert f"2 of 6 images need 2 manifests or more of {sim.host}, but {sim.host}: 0 of 4 pulls remain" in first.error
    assert "UTC at the latest" in first.error
    assert f"{sim.host}: 2 of 4 pulls remain for the next 6 h" in second.err
    assert (tmp_path / "site.lock.json").exists()


BAD = {
    "a mirror that is none": (("--mirror", "docker.io"), "'docker.io' names no mirror"),
    "a rewrite with a scheme": (("--rewrite", "docker.io=https://mirror.example"), "names no mirror"),
    "two rewrites": (("--rewrite", "docker.io=a.example", "--rewrite", "docker.io=b.example"), "several rewrites"),
    "no such folder": (("--cert-dir", "nowhere"), "--cert-dir: there is no folder nowhere"),
}


@pytest.mark.parametrize(("options", "says"), BAD.values(), ids=BAD)
def test_a_mistake_is_told_at_once(options: tuple[str, ...], says: str, command_line: CommandLine) -> None:
    """Nothing is asked of anybody before the options make sense."""
    outcome = command_line.run("plan", "--image", "nginx", *options)

    assert (outcome.code, says in outcome.error) == (2, True)
