"""What packs use is compared with what they declare: undeclared images with evidence, remarks on the others."""

from dataclasses import replace

import pytest
from pydantic import SecretStr

from edgelift.palette.models import PackManifest, UserMacro, UserMacros
from edgelift.palette.undeclared.choice import choose, tell
from edgelift.palette.undeclared.content import PackContent, PackFile
from edgelift.palette.undeclared.findings import PackReport
from edgelift.palette.undeclared.profiles import find_undeclared
from edgelift.site import UndeclaredPolicy
from tests.palette.builders import image_values, make_pack, make_profile, variables
from tests.palette.charts import deployment, make_chart

USES = "charts:\n  web:\n    image: {repository: team/app, tag: v2}\n    old: {enabled: false, image: 'team/old:1'}\n"


def look(values: str, **fields: object) -> PackReport:
    """The report of the one pack of a profile."""
    (report,) = find_undeclared([make_profile(make_pack(values, **fields))], {})
    return report


def images(report: PackReport) -> dict[str, str]:
    """Undeclared images, and how sure they are."""
    return {image.image: image.confidence for image in report.undeclared}


def remarks(report: PackReport, kind: str) -> list[str]:
    """The remarks of a kind."""
    return [remark.message for remark in report.remarks if remark.kind == kind]


def test_an_undeclared_image_is_reported_with_its_evidence() -> None:
    """File, line, path and text say where somebody can look."""
    report = look(USES)

    assert (report.profile, report.pack) == ("site@1.0.0", "web")
    assert images(report) == {"docker.io/team/app:v2": "likely", "docker.io/team/old:1": "possible"}
    assert str(report.undeclared[0].evidence[0]) == "values.yaml:3 charts.web.image.repository"


def test_what_is_declared_is_not_undeclared() -> None:
    """However it is spelt, with a digest beside the tag or without, by this pack or by another."""
    digest = "sha256:" + "a" * 64
    assert images(look(image_values("docker.io/team/app:v2", "index.docker.io/team/old:1") + USES)) == {}
    assert images(look(image_values(f"team/app:v2@{digest}", "team/old:1") + USES)) == {}
    both = [make_profile(make_pack(USES), make_pack(image_values("team/app:v2", "team/old:1"), name="other"))]
    assert [images(report) for report in find_undeclared(both, {})] == [{}, {}]
    assert images(find_undeclared([make_profile(make_pack(USES))], {}, declared=["docker.io/team/app:v2"])[0]) == {
        "docker.io/team/old:1": "possible"
    }


def test_another_tag_is_another_image() -> None:
    """The site would have the declared one and lack the one that is used; both are told."""
    report = look(image_values("team/app:v1", "team/old:1") + USES)

    assert images(report) == {"docker.io/team/app:v2": "likely"}
    assert report.undeclared[0].declared_as == ("docker.io/team/app:v1",)


def test_an_unknown_tag_of_a_declared_repository_is_taken_as_declared() -> None:
    """The tag is the chart's own, and the pack's authors have declared it."""
    assert images(look(image_values("team/app:v1") + "image: {repository: team/app, tag: ''}\n")) == {}
    assert [image.is_complete for image in look("image: {repository: team/app, tag: ''}\n").undeclared] == [False]


UNTAGGED = "charts:\n  web:\n    image: {repository: team/unknown, tag: ''}\n"
TAGS: dict[str, tuple[PackContent, tuple[str, ...]]] = {
    "the version of its chart": (
        PackContent("web", "7.0", missing_charts=("charts/other-3.1.0.tgz", "charts/web-1.9.0.tgz")),
        ("v1.9.0", "1.9.0"),
    ),
    "the version of its pack": (PackContent("web", "v2.0.1-rev2"), ("v2.0.1", "2.0.1")),
    "a version that no tag can be": (PackContent("web", "1.0.0+edge"), ()),
    "a name instead of a version": (PackContent("web", "edge"), ()),
    "a chart that is at hand": (
        PackContent("web", "1.0", charts=(make_chart(app_version="5.6", dep=deployment('"{{ nothing .Values }}"')),)),
        ("5.6",),
    ),
}


@pytest.mark.parametrize(("content", "tags"), TAGS.values(), ids=TAGS)
def test_a_tag_that_is_left_open_may_be_guessed(content: PackContent, tags: tuple[str, ...]) -> None:
    """By the versions that are at hand; it is told as a guess, and the image is not carried by it."""
    pack = make_pack(UNTAGGED)
    (report,) = find_undeclared([make_profile(pack)], {}, contents={pack: replace(content, values=UNTAGGED)})
    (image,) = (each for each in report.undeclared if "unknown" in each.image)

    assert (image.image, image.tags, image.is_confident) == ("team/unknown:…", tags, False)
    assert choose([report], "all") == ()


def test_an_image_whose_tag_is_left_open_is_carried_as_it_is_listed() -> None:
    """Who knows the tag says it, and need not say where the image is used; without, a plan names it."""
    report = look(UNTAGGED)
    listed = ("team/unknown:v1", "team/other:v1")
    (image,) = choose([report], listed)

    assert (image.reference, len(image.origins)) == ("docker.io/team/unknown:v1", 1)
    assert [line.partition(":")[0] for line in tell([report], [image], listed)] == ["team/other"]
    assert list(tell([report], (), "confident")) == [
        "not carried, since only a chart knows the tag: team/unknown (perhaps v1.0.0 or 1.0.0); give each by its whole "
        "name, with --image or in include_undeclared"
    ]


def test_pack_manifests_are_looked_at() -> None:
    """Kubernetes YAML that is attached to a pack is all that a layer of manifests has."""
    manifest = PackManifest(name="extra", content=deployment("'team/extra:{{ .spectro.var.TAG }}'"))
    profile = make_profile(make_pack(manifests=(manifest,)), variables=variables(TAG="v5"))
    (report,) = find_undeclared([profile], {})

    assert images(report) == {"docker.io/team/extra:v5": "certain"}
    assert report.undeclared[0].evidence[0].file == "extra"


def test_the_value_of_a_user_macro_is_not_shown() -> None:
    """It may be a password: what a pack uses is told without it, and what it declares is compared with it."""
    macros = UserMacros(values=(UserMacro(name="TEAM", value=SecretStr("hidden")),))
    uses = "a: {image: 'quay.io/{{ .spectro.macro.TEAM }}/app:1'}\nb: {image: 'quay.io/hidden/side:1'}\n"
    values = image_values("'quay.io/{{ .spectro.macro.TEAM }}/side:1'") + uses.replace("hidden/side", "other/side")
    (report,) = find_undeclared([make_profile(make_pack(values), user_macros=macros)], {})
    (same,) = find_undeclared([make_profile(make_pack(values.replace("other", "hidden")), user_macros=macros)], {})

    assert "hidden" not in report.model_dump_json()
    assert images(report) == {"quay.io/other/side:1": "likely"}
    assert images(same) == {}


def test_windows_images_are_not_carried_unasked() -> None:
    """An edge site runs Linux: declared or not, such an image is told by its name."""
    report = look(image_values("team/agent:1-windows-amd64") + "image: team/exporter:nanoserver-ltsc2019\n")

    assert images(report) == {"docker.io/team/exporter:nanoserver-ltsc2019": "possible"}
    assert "docker.io/team/agent:1-windows-amd64 is for Windows" in remarks(report, "windows")[0]


def test_floating_tags_are_told() -> None:
    """No tag, `latest`, `master`: what arrives depends on the day."""
    report = look(image_values("team/a", "team/b:master", "team/c:1.2") + "image: team/d:latest\n")

    assert [message.partition(" ")[0] for message in remarks(report, "floating")] == [
        "docker.io/team/a:latest",
        "docker.io/team/b:master",
    ]
    assert [image.is_floating for image in report.undeclared] == [True]


def test_images_declared_in_the_kubernetes_layer_of_pxk_e_are_told() -> None:
    """Palette's own known issue: they break the deployment."""
    report = look(image_values("registry.k8s.io/pause:3.9"), name="edge-k8s", layer="k8s")

    assert "known issue" in remarks(report, "known-issue")[0]
    assert remarks(look(image_values("registry.k8s.io/pause:3.9"), name="edge-k3s", layer="k8s"), "known-issue") == []


def test_misspelt_keys_are_told() -> None:
    """With the key that was meant."""
    assert (
        "did you mean 'image' where it says 'iamge'?"
        in remarks(look("pack: {content: {images: [{iamge: 'team/app:1'}]}}"), "typo")[0]
    )


def test_a_declared_image_that_nothing_uses_is_told_where_all_is_at_hand() -> None:
    """With a part of the pack out of sight, nobody can say so."""
    pack = make_pack(image_values("team/app:1", "team/left-over:1"))
    content = PackContent("web", values=pack.values, manifests=(PackFile("m.yaml", deployment("team/app:1")),))
    (whole,) = find_undeclared([make_profile(pack)], {}, contents={pack: content})

    assert [message.partition(" ")[0] for message in remarks(whole, "unused")] == ["docker.io/team/left-over:1"]
    assert remarks(look(pack.values), "unused") == []


def carried(policy: UndeclaredPolicy) -> list[str]:
    """What the policy carries of two packs' images."""
    reports = (look(USES), look("image: {repository: team/unknown, tag: ''}\nx: {image: 'team/app:v2'}\n"))
    return [image.reference for image in choose(reports, policy)]


def test_a_policy_says_what_is_carried() -> None:
    """Nothing, what is certain or likely, all that has a whole name, or a list; each once."""
    assert carried("none") == []
    assert carried("confident") == ["docker.io/team/app:v2"]
    assert carried("all") == ["docker.io/team/app:v2", "docker.io/team/old:1"]
    assert carried(("team/old:1", "team/gone:1")) == ["docker.io/team/old:1"]


def test_what_is_carried_says_where_it_is_used() -> None:
    """The origin is the pack, and the place that gave it away."""
    (image,) = choose([look(USES)], "confident")

    assert [str(origin) for origin in image.origins] == [
        "site@1.0.0 > web > undeclared: values.yaml:3 charts.web.image.repository"
    ]


def test_what_is_left_is_counted_and_the_option_is_named() -> None:
    """Silence would mean a missing image at the site."""
    reports = [look(USES)]

    assert list(tell(reports, choose(reports, "none"), "none")) == [
        "1 image is used by these packs, but not declared and not carried (0 certain, 1 likely, 1 more possible): look "
        "at them with `edgelift images --undeclared`, carry them with --include-undeclared confident"
    ]
    assert list(tell(reports, choose(reports, "confident"), "confident")) == []
    gone = ("team/gone:1",)
    assert list(tell(reports, choose(reports, gone), gone))[1].startswith("team/gone:1: no pack")
