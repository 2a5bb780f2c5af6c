"""Resolving: from cluster profiles to the images and charts they declare, each with everywhere it is asked for.

Nothing is fetched and nothing is raised on the way: every problem of every profile is collected, with its place.
"""

import re
from collections.abc import Mapping, Sequence, Set
from dataclasses import dataclass, field
from typing import Literal

from pydantic import BaseModel, ConfigDict

from edgelift.bundle.definition import Origin, ProfileVersion, RequestedChart, RequestedImage
from edgelift.errors import MalformedReferenceError, ProfileError
from edgelift.oci.reference import ImageReference
from edgelift.palette.charts import DeclaredChart, clean_repository, find_charts
from edgelift.palette.content import Complaint
from edgelift.palette.images import DeclaredImage, clean_reference, find_images
from edgelift.palette.macros import MacroExpander, setting_name
from edgelift.palette.models import ClusterProfile, Pack, Problem
from edgelift.palette.values import CURLY_QUOTED, CURLY_QUOTES, LoadedPack, find_lines, load_values
from edgelift.palette.variables import explain_refusal

__all__ = ["Problem", "Resolution", "resolve_profiles", "version_of"]

_UNPLACED = (
    "the chart that this pack is cannot be found, so it is left out: only Palette knows where its Helm registry is; "
    "read the profile from Palette with a key that may see it, or name the chart with --chart"
)


class Resolution(BaseModel):
    """What profiles resolve to: images sorted by reference, charts by repository and name, and all problems."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    profiles: tuple[ProfileVersion, ...] = ()
    images: tuple[RequestedImage, ...] = ()
    charts: tuple[RequestedChart, ...] = ()
    problems: tuple[Problem, ...] = ()

    def raise_for_errors(self) -> None:
        """Raise one `ProfileError` that lists every error with its place; warnings alone raise nothing."""
        errors = [str(problem) for problem in self.problems if problem.severity == "error"]
        if errors:
            count = "an error" if len(errors) == 1 else f"{len(errors)} errors"
            lines = "".join(f"\n  - {error}" for error in errors)
            raise ProfileError(f"the profiles cannot be resolved because of {count}:{lines}")


def resolve_profiles(profiles: Sequence[ClusterProfile], settings: Mapping[str, str] | None = None) -> Resolution:
    """The images and charts that `profiles` declare in the content sections of their packs.

    `settings` gives values to macros that profiles cannot answer, by name (see `MacroExpander`).
    """
    distinct = tuple(dict.fromkeys(profiles))
    resolver = _Resolver()
    resolver.check_profiles(distinct)
    packs = resolver.load_packs(distinct)
    given = {setting_name(name): value for name, value in (settings or {}).items()}
    resolver.check_variables(distinct, given)
    expander = MacroExpander(packs, given)
    for pack in packs:
        resolver.add_images(pack, expander)
        resolver.add_charts(pack, expander)
    resolver.check_settings(set(given) - expander.used)
    return Resolution(
        profiles=tuple(version_of(profile) for profile in distinct),
        images=tuple(
            RequestedImage(reference=str(reference), origins=tuple(origins))
            for reference, origins in sorted(resolver.images.items(), key=lambda item: str(item[0]))
        ),
        charts=tuple(
            RequestedChart(repository=repository, name=name, version=version, origins=tuple(origins))
            for (repository, name, version), origins in sorted(resolver.charts.items())
        ),
        problems=tuple(dict.fromkeys(resolver.problems)),
    )


def version_of(profile: ClusterProfile) -> ProfileVersion:
    """`profile` as definitions and locks name it."""
    return ProfileVersion(
        name=profile.name, version=profile.version, uid=profile.uid, type=profile.type, packs=len(profile.packs)
    )


@dataclass
class _Resolver:
    """Gathers images, charts and problems of many packs."""

    images: dict[ImageReference, list[Origin]] = field(default_factory=dict)
    charts: dict[tuple[str, str, str], list[Origin]] = field(default_factory=dict)
    problems: list[Problem] = field(default_factory=list)

    def check_profiles(self, profiles: Sequence[ClusterProfile]) -> None:
        """Report the rules that profiles break together, and what their readers noticed."""
        infrastructure = [each for each in profiles if each.is_infrastructure]
        if len(infrastructure) > 1:
            names = ", ".join(f"{each.origin_label} ({each.type or 'by its packs'})" for each in infrastructure)
            self._report(f"only one profile may have infrastructure layers, these have: {names}; keep one of them")
        for profile in profiles:
            notices = profile.notices if profile.packs else (*profile.notices, "this profile has no packs")
            for notice in notices:
                self._report(notice, Origin(profile=profile.origin_label, pack="", path=""), "warning")

    def check_variables(self, profiles: Sequence[ClusterProfile], settings: Mapping[str, str]) -> None:
        """Report the settings that give a variable a value that its profile does not allow."""
        for profile in profiles:
            for variable in profile.variables:
                name = next((each for each in (f"var.{variable.name}", variable.name) if each in settings), None)
                reason = explain_refusal(variable, settings[name]) if name is not None else None
                if reason is not None:
                    origin = Origin(profile=profile.origin_label, pack="", path=f"variable {variable.name}")
                    self._report(f"this variable cannot have the value that it is given: {reason}", origin)

    def check_settings(self, unused: Set[str]) -> None:
        """Report the settings that no macro has asked for: one of them may be misspelt."""
        for name in sorted(unused):
            self._report(f"no macro of these profiles' images or charts asks for the setting {name}", None, "warning")

    def load_packs(self, profiles: Sequence[ClusterProfile]) -> list[LoadedPack]:
        """Every pack with its values as a tree; packs whose values cannot be read are reported and left out."""
        loaded: list[LoadedPack] = []
        for profile in profiles:
            labels: set[str] = set()
            for pack in profile.packs:
                each = self._load_pack(profile, pack)
                if each is not None and each.label in labels:
                    message = f"the profile has pack {each.label} twice without a display name to tell them apart"
                    self._report(message, _origin(each, ""), "warning")
                if each is not None:
                    labels.add(each.label)
                    loaded.append(each)
        return loaded

    def add_images(self, pack: LoadedPack, expander: MacroExpander) -> None:
        """Add the images that `pack` declares."""
        declared, complaints = find_images(pack.tree)
        self._complain(pack, complaints)
        for image in declared:
            if clean_reference(image.text) is not None:
                self._add_image(pack, image, expander)

    def add_charts(self, pack: LoadedPack, expander: MacroExpander) -> None:
        """Add the charts that `pack` declares."""
        declared, complaints = find_charts(pack.tree)
        self._complain(pack, complaints)
        for chart in declared:
            self._add_chart(pack, chart, expander)
        if pack.pack.is_chart:
            self._add_own_chart(pack)

    def _load_pack(self, profile: ClusterProfile, pack: Pack) -> LoadedPack | None:
        origin = Origin(profile=profile.origin_label, pack=pack.name, path="")
        if pack.is_invalid:
            reason = f" ({' '.join(pack.invalid_reason.split())})" if pack.invalid_reason else ""
            message = f"Palette calls this pack invalid{reason}: its tag {pack.tag} is gone from its pack registry"
            self._report(message, origin, "warning" if pack.values.strip() else "error")
        for line in find_lines(pack.values, CURLY_QUOTED):
            message = f"line {line} of its values has curly quotes, which are read as straight ones; Palette keeps them"
            self._report(message, origin, "warning")
        try:
            return LoadedPack(profile, pack, load_values(pack.values))
        except ProfileError as error:
            hint = f"; {error.hint}" if error.hint else ""
            self._report(f"its values cannot be read: {error.message}{hint}", origin)
            return None

    def _add_image(self, pack: LoadedPack, image: DeclaredImage, expander: MacroExpander) -> None:
        origin = _origin(pack, image.path)
        expansion = expander.expand(image.text, pack)
        for reason in expansion.unresolved:
            self._report(reason, origin)
        reference = clean_reference(expansion.text)
        if expansion.unresolved:
            return
        if reference is None:
            if not expansion.text.strip():
                self._report("this image expands to nothing, so it is left out", origin, "warning")
            return
        try:
            self.images.setdefault(ImageReference.parse(reference), []).append(origin)
        except MalformedReferenceError as error:
            hidden = "with the values of its user macros this is not an image reference"
            message = hidden if expansion.is_secret else error.message
            self._report(_explain_reference(message, image.text, pack), origin)

    def _add_chart(self, pack: LoadedPack, chart: DeclaredChart, expander: MacroExpander) -> None:
        origin = _origin(pack, chart.path)
        parts = [expander.expand(text, pack) for text in (chart.repository, chart.name, chart.version)]
        reasons = [reason for part in parts for reason in part.unresolved]
        for reason in reasons:
            self._report(reason, origin)
        if any(part.is_secret for part in parts) and "@" in parts[0].text:
            reasons.append("a user macro puts a login into the address of this chart, and the address into the lock")
            self._report(f"{reasons[-1]}: leave the login to a credentials file", origin)
        if not reasons:
            repository, name, version = (part.text.strip() for part in parts)
            self.charts.setdefault((clean_repository(repository), name, version), []).append(origin)

    def _add_own_chart(self, pack: LoadedPack) -> None:
        """Add the chart that a pack of type `helm` is."""
        chart, origin = pack.pack, _origin(pack, "")
        version = chart.tag or chart.version
        if not version:
            self._report("the chart that this pack is has no version, so it is left out", origin, "warning")
        elif not chart.chart_repository:
            self._report(_UNPLACED, origin, "warning")
        else:
            repository = clean_repository(chart.chart_repository)
            self.charts.setdefault((repository, chart.name, version), []).append(origin)

    def _complain(self, pack: LoadedPack, complaints: Sequence[Complaint]) -> None:
        for complaint in complaints:
            self._report(_explain_complaint(complaint, pack), _origin(pack, complaint.path), complaint.severity)

    def _report(
        self, message: str, origin: Origin | None = None, severity: Literal["error", "warning"] = "error"
    ) -> None:
        self.problems.append(Problem(message=message, origin=origin, severity=severity))


def _origin(pack: LoadedPack, path: str) -> Origin:
    return Origin(profile=pack.profile.origin_label, pack=pack.label, path=path)


def _explain_complaint(complaint: Complaint, pack: LoadedPack) -> str:
    at_margin = "." not in complaint.path
    return complaint.message + (_place(pack, rf"^{re.escape(complaint.path)}\s*:") if at_margin else "")


def _explain_reference(message: str, text: str, pack: LoadedPack) -> str:
    quotes = "; it stands in curly quotes, use straight ones" if any(quote in text for quote in CURLY_QUOTES) else ""
    return f"{message}{_place(pack, re.escape(text.strip()))}{quotes}"


def _place(pack: LoadedPack, pattern: str) -> str:
    lines = find_lines(pack.pack.values, pattern)
    return f" (line {lines[0]} of the values)" if len(lines) == 1 else ""
