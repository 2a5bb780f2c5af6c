"""The look at the packs of profiles, as Palette's API and exported files give them, and of packs in folders. Pure."""

from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import NamedTuple

from edgelift.errors import ConfigurationError, ProfileError
from edgelift.oci.reference import ImageReference
from edgelift.palette.images import clean_reference, find_images
from edgelift.palette.macros import MacroExpander
from edgelift.palette.models import ClusterProfile, Pack
from edgelift.palette.undeclared.content import ChartArchive, PackContent, PackFile
from edgelift.palette.undeclared.findings import PackReport, Remark
from edgelift.palette.undeclared.helm import HelmRenderer
from edgelift.palette.undeclared.report import report_pack
from edgelift.palette.undeclared.scan import look_at_pack
from edgelift.palette.values import LoadedPack, load_values

Charts = Mapping[tuple[str, str], Mapping[str, ChartArchive | str]]


class _Subject(NamedTuple):
    pack: LoadedPack
    content: PackContent
    declared: tuple[ImageReference, ...]
    typos: tuple[Remark, ...]


def find_undeclared(
    profiles: Sequence[ClusterProfile],
    settings: Mapping[str, str],
    *,
    declared: Collection[str] = (),
    contents: Mapping[Pack, PackContent] | None = None,
    charts: Charts | None = None,
    helm: HelmRenderer | None = None,
) -> tuple[PackReport, ...]:
    """A report for each pack of `profiles`; what any of them declares, or `declared` has, is declared.

    `contents` has those packs of which more is at hand than a profile holds. `charts` has what was fetched for packs,
    as origins name these (profile, pack), by its name: see `PackContent.with_charts`.
    Packs whose values cannot be read are left out: resolving reports them.
    """
    packs = list(_load(profiles))
    expander = MacroExpander(packs, settings)
    subjects = [_subject(pack, expander, contents or {}, charts or {}) for pack in packs]
    known = [reference for each in subjects for reference in each.declared]
    known += [ImageReference.parse(reference) for reference in declared]
    return tuple(_report(each, expander, known, helm) for each in subjects)


def _load(profiles: Sequence[ClusterProfile]) -> Iterator[LoadedPack]:
    for profile in profiles:
        for pack in profile.packs:
            try:
                yield LoadedPack(profile, pack, load_values(pack.values))
            except ProfileError:
                continue


def _subject(
    pack: LoadedPack, expander: MacroExpander, contents: Mapping[Pack, PackContent], charts: Charts
) -> _Subject:
    content = contents.get(pack.pack) or _content(pack)
    images, complaints = find_images(pack.tree)
    references = (_reference(expander.expand(image.text, pack).text) for image in images)
    return _Subject(
        pack,
        content.with_charts(charts.get((pack.profile.origin_label, pack.label), {})),
        tuple(reference for reference in references if reference is not None),
        tuple(Remark(kind="typo", message=f"{each.path}: {each.message}") for each in complaints),
    )


def _report(
    subject: _Subject, expander: MacroExpander, known: Sequence[ImageReference], helm: HelmRenderer | None
) -> PackReport:
    look = look_at_pack(subject.content, lambda text: _expand(text, subject.pack, expander), helm)
    report = report_pack(
        subject.content,
        look,
        subject.declared,
        known,
        profile=subject.pack.profile.origin_label,
        label=subject.pack.label,
    )
    return report.model_copy(update={"remarks": (*subject.typos, *report.remarks)})


def _content(pack: LoadedPack) -> PackContent:
    """What a profile holds of a pack: values and pack manifests, but none of its charts."""
    charts = pack.tree.get("charts")
    return PackContent(
        name=pack.pack.name,
        version=pack.pack.version,
        layer=pack.pack.layer,
        values=pack.pack.values,
        manifests=tuple(PackFile(each.name, each.content) for each in pack.pack.manifests),
        missing_charts=tuple(str(name) for name in charts) if isinstance(charts, Mapping) else (),
        is_chart=pack.pack.is_chart,
    )


def _expand(text: str, pack: LoadedPack, expander: MacroExpander) -> str:
    """The text with its macros expanded, or as it stands where one of them is not known, or may be a secret."""
    expansion = expander.expand(text, pack)
    return text if expansion.unresolved or expansion.is_secret else expansion.text


def _reference(text: str) -> ImageReference | None:
    reference = clean_reference(text)
    try:
        return ImageReference.parse(reference) if reference is not None else None
    except ConfigurationError:
        return None
