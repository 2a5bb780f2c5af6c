"""The profile of Distribution 2.8 against the real one, and Zot's against a real Zot, request by request."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.quirks import scripts
from tests.quirks.request_script import Observed, Step, play
from tests.quirks.zots import zot_script, zot_server
from tests.real_parts import RunningRegistry
from tests.simulators.profiles import Distribution28, Profile, Zot
from tests.simulators.registry import RegistrySimulator

WITH_STATE = "&"  # what joins a digest to a location that has a query already


def distribution_script() -> list[Step]:
    """Everything, as far as Distribution does it."""
    return [
        *scripts.uploads(WITH_STATE),
        *scripts.mounts(),
        *scripts.blobs(),
        *scripts.manifests(WITH_STATE),
        *scripts.docker_manifests(WITH_STATE),
        *scripts.lists(),
        *scripts.sha512(WITH_STATE),
        *scripts.deletes(),
        *scripts.mistakes(),
    ]


@contextmanager
def simulated(folder: Path, profile: Profile) -> Iterator[str]:
    """A registry of that kind, by its host."""
    with RegistrySimulator(folder, profile=profile) as sim:
        yield sim.host


def differences(real: list[Observed], ours: list[Observed]) -> list[tuple[Observed, Observed]]:
    """The answers that are not alike."""
    return [(one, other) for one, other in zip(real, ours, strict=True) if one != other]


def test_the_profile_answers_as_the_real_distribution_does(docker_registry: RunningRegistry, tmp_path: Path) -> None:
    """All answers to the script have the status, error codes, headers and content of those of Debian's registry."""
    steps = distribution_script()

    with simulated(tmp_path, Distribution28()) as host:
        ours = play(host, steps)

    assert differences(play(docker_registry.host, steps), ours) == []


def test_the_comparison_sees_what_is_different(tmp_path: Path) -> None:
    """A registry that keeps to the specification differs from the profile in each of the quirks that make it one."""
    steps = distribution_script()

    with simulated(tmp_path / "plain", Profile()) as host, simulated(tmp_path / "dist28", Distribution28()) as other:
        titles = {one.title for one, _ in differences(play(host, steps), play(other, steps))}

    assert titles >= {
        "status after a cut",
        "chunk out of order",
        "the same chunk to the same location",
        "range at the end",
        "tags n",
        "OCI without Accept",
        "manifest of 5 MiB",
        "blob in the first request",
        "delete a tag",
    }


def test_zots_profile_answers_as_its_source_says(tmp_path: Path) -> None:
    """§1.5 "Zot [C]", §1.7 T5 and T6: status and error code of every answer, by hand from Zot's source."""
    script = zot_script()

    with simulated(tmp_path, Zot()) as host:
        answers = [(each.status, code_of(each)) for each in play(host, [step for step, _ in script])]

    wrong = [(step.title, said, given) for (step, said), given in zip(script, answers, strict=True) if said != given]
    assert wrong == []


def test_zots_profile_answers_as_a_real_zot_does(tmp_path: Path) -> None:
    """All answers to Zot's script have the same status, error codes, headers and content as those of a real one."""
    steps = [step for step, _ in zot_script()]

    with zot_server(tmp_path / "zot") as host:
        real = play(host, steps)
    with simulated(tmp_path / "simulated", Zot()) as host:
        ours = play(host, steps)

    assert differences(real, ours) == []


def code_of(answer: Observed) -> str:
    """The first error code of an answer."""
    return answer.content[0] if isinstance(answer.content, list) else ""
