"""The cluster definition: what Palette is asked, of which profiles, and what is taken for one."""

import gzip
import json
from collections.abc import Iterator

import pytest
from pydantic import SecretStr

from edgelift.attach import download_cluster_definition
from edgelift.attachments import ClusterDefinitionSource
from edgelift.bundle.cluster_definition import LIMIT, LockedClusterDefinition
from edgelift.demo.palette_api import DEMO_PROJECT, demo_profiles
from edgelift.demo.palette_documents import cluster_definition
from edgelift.demo.profiles import ADD_ON_UID, INFRASTRUCTURE_UID
from edgelift.errors import ConfigurationError, PaletteError, ProfileError
from edgelift.oci.digest import Digest
from edgelift.palette.client import PaletteClient
from edgelift.palette.cluster_definition import check_archive, check_profiles, question_for
from edgelift.palette.models import ClusterProfile
from edgelift.palette.values import DISPLAY_NAME
from tests.palette.builders import make_pack, make_profile
from tests.simulators.palette import PaletteSimulator

KEY = "a1b2c3d4e5f6-secret-key"
PROFILES = demo_profiles("registry.example")
SOURCE = ClusterDefinitionSource(name="harbour", profiles=("hello-site@1.4.0", INFRASTRUCTURE_UID))
DOWNLOAD = "/spc/download"


@pytest.fixture
def palette() -> Iterator[PaletteSimulator]:
    """The API over the demo's profiles."""
    with PaletteSimulator(PROFILES, KEY) as simulator:
        yield simulator


def connect(palette: PaletteSimulator, project: str | None = "demo") -> PaletteClient:
    """A client of this API that waits for nothing."""
    return PaletteClient(palette.url, SecretStr(KEY), project=project, sleep=lambda _seconds: None)


def download(
    palette: PaletteSimulator, source: ClusterDefinitionSource = SOURCE, project: str | None = "demo"
) -> tuple[LockedClusterDefinition, bytes]:
    """What comes of `source`."""
    return download_cluster_definition(source, lambda: connect(palette, project))


def test_what_palette_makes_is_pinned(palette: PaletteSimulator) -> None:
    """Name, size and digest, and the profiles by uid and version, in whatever order they were asked for."""
    pinned, content = download(palette)

    assert content == cluster_definition(PROFILES[:2])
    assert (pinned.name, pinned.file_name, pinned.size, pinned.digest) == (
        "harbour",
        "harbour.tgz",
        len(content),
        Digest.of(content),
    )
    assert [(each.uid, each.version) for each in pinned.profiles] == [
        (INFRASTRUCTURE_UID, "1.0.0"),
        (ADD_ON_UID, "1.4.0"),
    ]
    assert (pinned, content) == download(palette, SOURCE.model_copy(update={"profiles": SOURCE.profiles[::-1]}))


def test_the_question_is_palettes(palette: PaletteSimulator) -> None:
    """Name and kind are fixed by Palette's documentation; the stand-in takes no other, in the scope of the project."""
    download(palette)
    asked = palette.exchanges[-1]

    assert question_for(["a", "b"]) == {
        "metadata": {"name": "cluster-profiles"},
        "spec": {"cloudType": "edge-native", "profiles": [{"uid": "a"}, {"uid": "b"}]},
    }
    assert (asked.method, asked.path, asked.status) == ("POST", f"/v1/spectroclusters{DOWNLOAD}", 200)
    assert (asked.headers["projectuid"], asked.headers["accept-encoding"]) == (DEMO_PROJECT.uid, "identity")


# The rules


def packs(*names: str) -> list[ClusterProfile]:
    """Two profiles: the first has all packs of these names, the second the last of them."""
    own = make_profile(*(make_pack(name=name) for name in names), name="own", uid="1")
    return [own, make_profile(make_pack(name=names[-1]), name="other", uid="2")]


INFRASTRUCTURE = [make_profile(name=name, type="infra", uid=name) for name in ("one", "two")]
RULES = {
    "two with infrastructure": (INFRASTRUCTURE, "only one profile may have infrastructure layers.*one@1.0.0, two@1.0"),
    "full and infrastructure": (
        [INFRASTRUCTURE[0], make_profile(name="full", type="cluster", uid="full")],
        "only one profile may have infrastructure layers",
    ),
    "a pack in both": (packs("web", "db"), "pack db is in several of the profiles: own@1.0.0, other@1.0.0"),
    "a profile twice": ([INFRASTRUCTURE[0]] * 2, "profile one@1.0.0 is named twice"),
}


@pytest.mark.parametrize(("profiles", "says"), RULES.values(), ids=RULES)
def test_profiles_that_break_the_rules_are_refused(profiles: list[ClusterProfile], says: str) -> None:
    """Palette's rules, each with the profiles and packs that break it."""
    with pytest.raises(ProfileError, match=says):
        check_profiles(profiles)


def test_every_broken_rule_is_told() -> None:
    """Who has two mistakes hears of both."""
    both = [each.model_copy(update={"packs": (make_pack(name="web"),)}) for each in INFRASTRUCTURE]
    with pytest.raises(ProfileError) as caught:
        check_profiles(both)

    assert caught.value.message.count("\n  - ") == 2


def test_what_is_told_apart_is_no_duplicate() -> None:
    """A pack that has a display name of its own may be there again, and one profile may have one twice."""
    named = f"pack:\n  {DISPLAY_NAME}: second\n"
    check_profiles(
        [
            make_profile(make_pack(name="web"), make_pack(name="web"), name="own", uid="1"),
            make_profile(make_pack(named, name="web"), name="other", uid="2"),
        ]
    )


def test_the_rules_come_before_the_question() -> None:
    """Palette is not asked for what it would refuse."""
    two = [each.model_copy(update={"uid": f"65c90f2d0a1b2c3d4e5f6a9{n}"}) for n, each in enumerate(INFRASTRUCTURE)]
    source = ClusterDefinitionSource(name="harbour", profiles=tuple(each.uid for each in two))
    with PaletteSimulator(two, KEY) as palette:
        with pytest.raises(ProfileError, match="only one profile may have infrastructure layers"):
            download(palette, source)

        assert [path for path in palette.paths if DOWNLOAD in path] == []


def test_a_project_has_to_be_named(palette: PaletteSimulator) -> None:
    """Palette makes cluster definitions of profiles of one project; the tenant is none."""
    with connect(palette, None) as client, pytest.raises(ConfigurationError, match="no project is named"):
        client.download_cluster_definition(PROFILES)


def test_a_profile_of_another_project_is_named(palette: PaletteSimulator) -> None:
    """Palette shows a profile to whoever knows its uid; that it is in this project, the list of the project says."""
    stranger = make_profile(name="stranger", uid="65c90f2d0a1b2c3d4e5f6aff")
    with connect(palette) as client, pytest.raises(PaletteError, match=r"stranger@1.0.0 is not in project demo"):
        client.download_cluster_definition([*PROFILES, stranger])


# What comes


GOOD = gzip.compress(b"what Palette made", mtime=0)
ANSWERS = {
    "nothing": (b"", "gave nothing where a cluster definition should be"),
    "not gzip": (b"PK\x03\x04" + bytes(40), "44 bytes that are no gzip archive"),
    "the first bytes alone": (GOOD[:10], "10 bytes that are no gzip archive"),
    "too much": (GOOD + bytes(LIMIT), "more than 64 MiB"),
}


@pytest.mark.parametrize(("content", "says"), ANSWERS.values(), ids=ANSWERS)
def test_what_is_no_archive_is_refused(content: bytes, says: str) -> None:
    """Form and size are looked at; nothing else of it is known."""
    with pytest.raises(PaletteError, match=says):
        check_archive(content, "palette.example")
    check_archive(GOOD, "palette.example")


def error(code: str) -> bytes:
    """An error as Palette writes it."""
    return json.dumps({"code": code, "message": f"no {KEY}", "details": None, "ref": ""}).encode()


REFUSALS = {
    "not found": (404, error("ResourceNotFound"), "makes no cluster definition of these profiles.*ResourceNotFound"),
    "not found, and nothing said": (404, b"", "makes no cluster definition of these profiles"),
    "an error that is called a success": (200, error("RequestError"), r"JSON in place of a file \(RequestError"),
    "an empty success": (200, b"", "gave nothing where a cluster definition should be"),
    "a page of a proxy": (200, b"<html>sorry</html>", "are no gzip archive"),
    "forbidden": (403, error("Forbidden"), r"answered POST .*download with 403 \(Forbidden"),
}


@pytest.mark.parametrize(("status", "body", "says"), REFUSALS.values(), ids=REFUSALS)
def test_a_refusal_is_an_error(palette: PaletteSimulator, status: int, body: bytes, says: str) -> None:
    """Never an empty file: the error says what Palette said, without the key that it repeats."""
    palette.answers_with(status, body=body, path=DOWNLOAD, times=None)
    with pytest.raises(PaletteError, match=says) as caught:
        download(palette)

    assert KEY not in str(caught.value)


@pytest.mark.parametrize("status", [429, 503])
def test_a_busy_palette_is_asked_again(palette: PaletteSimulator, status: int) -> None:
    """As for every other question: what passes is waited for."""
    palette.answers_with(status, {"Retry-After": "1"}, path=DOWNLOAD, times=2)

    assert download(palette)[1] == cluster_definition(PROFILES[:2])


def test_a_connection_that_breaks_is_asked_again(palette: PaletteSimulator) -> None:
    """Half of an archive is none."""
    palette.resets(path=DOWNLOAD)

    assert download(palette)[1] == cluster_definition(PROFILES[:2])
