"""The cluster definition that Palette makes of profiles: what is asked, of which profiles, and whether it is one. Pure.

Palette's rules (Export Cluster Definition): at most one profile with infrastructure layers, no pack in two of them, all
in one project. What is inside is not public: the form of the file is all that can be looked at.
"""

from collections import defaultdict
from collections.abc import Collection, Sequence
from typing import Any

from edgelift.bundle.cluster_definition import LIMIT
from edgelift.errors import PaletteError, ProfileError
from edgelift.palette.models import ClusterProfile
from edgelift.palette.values import LoadedPack, load_values

CLUSTER_DEFINITIONS = "/v1/spectroclusters/spc/download"
_NOT_FOUND = 404
_GZIP = b"\x1f\x8b\x08"  # RFC 1952 §2.3.1, with deflate, the only method there is
_SMALLEST = 20  # bytes; gzip's header and trailer, and the shortest deflate stream


def question_for(uids: Sequence[str]) -> dict[str, Any]:
    """The body that asks for the cluster definition of the profiles with these `uids`; name and kind are Palette's."""
    profiles = [{"uid": uid} for uid in uids]
    return {"metadata": {"name": "cluster-profiles"}, "spec": {"cloudType": "edge-native", "profiles": profiles}}


def check_profiles(profiles: Sequence[ClusterProfile]) -> None:
    """Raises `ProfileError`, which names everything that keeps `profiles` from being one cluster definition."""
    problems = []
    infrastructure = [each.origin_label for each in profiles if each.is_infrastructure]
    if len(infrastructure) > 1:
        problems.append(f"only one profile may have infrastructure layers, these have: {', '.join(infrastructure)}")
    twice = {each.origin_label: None for each in profiles if sum(other.uid == each.uid for other in profiles) > 1}
    problems += [f"profile {label} is named twice" for label in twice]
    problems += [
        f"pack {label} is in several of the profiles: {', '.join(holders)}"
        for label, holders in _holders(profiles).items()
        if len(holders) > 1
    ]
    if problems:
        lines = "".join(f"\n  - {problem}" for problem in problems)
        raise ProfileError(
            f"these profiles do not make a cluster definition:{lines}",
            hint="choose others: one with infrastructure layers at most, and no pack twice",
        )


def check_project(profiles: Sequence[ClusterProfile], listed: Collection[str], project: str) -> None:
    """Raises `PaletteError` unless all `profiles` are among those that are `listed`, by uid, in `project`."""
    elsewhere = sorted(each.origin_label for each in profiles if each.uid not in listed)
    if elsewhere:
        raise PaletteError(
            f"a cluster definition is made of profiles of one project: {', '.join(elsewhere)} "
            f"{'is' if len(elsewhere) == 1 else 'are'} not in project {project}",
            hint="choose profiles of that project, or another project with --project-id",
            status=_NOT_FOUND,
        )


def explain_refusal(error: PaletteError) -> PaletteError:
    """`error`, or a plainer one where Palette says that it does not find what it should make the archive of."""
    if error.status != _NOT_FOUND:
        return error
    return PaletteError(
        f"Palette makes no cluster definition of these profiles: {error.message}",
        hint="see that all of them are still there, and published, in one project",
        status=_NOT_FOUND,
    )


def check_archive(content: bytes, host: str) -> None:
    """Raises `PaletteError` unless `content`, which came from `host`, can be the archive of a cluster definition."""
    if not content:
        problem = "nothing"
    elif not content.startswith(_GZIP) or len(content) < _SMALLEST:
        problem = f"{len(content):,} bytes that are no gzip archive"
    elif len(content) > LIMIT:
        problem = f"more than {LIMIT >> 20} MiB"
    else:
        return
    raise PaletteError(
        f"{host} gave {problem} where a cluster definition should be",
        hint="export it by hand in Palette to see what is wrong with these profiles",
    )


def _holders(profiles: Sequence[ClusterProfile]) -> dict[str, dict[str, None]]:
    """For each pack, as it is told from others, the profiles that have it."""
    holders = defaultdict[str, dict[str, None]](dict)
    for profile in profiles:
        for pack in profile.packs:
            label = LoadedPack(profile, pack, load_values(pack.values)).label
            holders[label][profile.origin_label] = None
    return holders
