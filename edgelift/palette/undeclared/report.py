"""What a look at a pack means beside what is declared: undeclared images, and remarks on the declared ones. Pure."""

from collections.abc import Collection, Iterable, Iterator, Sequence

from edgelift.oci.reference import ImageReference
from edgelift.palette.models import K8S_LAYER
from edgelift.palette.undeclared.content import PackContent
from edgelift.palette.undeclared.findings import CONFIDENCES, UNKNOWN_TAG, Evidence, PackReport, Remark, UsedImage
from edgelift.palette.undeclared.hits import Hit
from edgelift.palette.undeclared.references import UNKNOWN, is_floating, is_for_windows, read_reference
from edgelift.palette.undeclared.scan import VALUES, Look, Use
from edgelift.palette.undeclared.tags import suggest_tags

_MOST_EVIDENCE = 5  # of one image
_PXK_E = "edge-k8s"


def report_pack(
    content: PackContent,
    look: Look,
    declared: Collection[ImageReference],
    declared_elsewhere: Iterable[ImageReference] = (),
    *,
    profile: str = "",
    label: str = "",
) -> PackReport:
    """What `look` found in `content` that is declared neither by it nor elsewhere, and what is odd about `declared`."""
    known = [*declared, *declared_elsewhere]
    used = _group(look.uses)
    missing = {image: uses for image, uses in used.items() if not _is_declared(image, known, used)}
    undeclared = [_judge(image, uses, known, content, look) for image, uses in missing.items()]
    return PackReport(
        profile=profile,
        pack=label or content.name,
        undeclared=tuple(sorted(undeclared, key=lambda each: (CONFIDENCES.index(each.confidence), each.image))),
        remarks=tuple(_remarks(content, look, declared, used)),
    )


def _group(uses: Sequence[Use]) -> dict[str, list[Use]]:
    """Uses by the image: its canonical reference, or its name and what cannot be known of it."""
    found: dict[str, list[Use]] = {}
    for use in uses:
        reference = read_reference(use.hit.text) if use.hit.is_complete else None
        found.setdefault(str(reference) if reference is not None else _show(use.hit.text), []).append(use)
    return found


def _show(text: str) -> str:
    return text.replace(UNKNOWN, "…")


def _name_of(image: str) -> str:
    """Registry and repository of an image, also of one whose tag is not known; "" where they are not known either."""
    reference = read_reference(image.removesuffix(UNKNOWN_TAG)) or read_reference(image.partition("{{")[0].rstrip(":"))
    return reference.name if reference is not None else ""


def _is_declared(image: str, declared: Sequence[ImageReference], used: Collection[str]) -> bool:
    reference = read_reference(image)
    if reference is not None:
        return any(_is_same(reference, each) for each in declared)
    # Of what is not known whole, any declaration or complete use of the same repository will be it.
    name = _name_of(image)
    return not name or any(name == each.name for each in declared) or any(_is_whole(each, name) for each in used)


def _is_whole(image: str, name: str) -> bool:
    reference = read_reference(image)
    return reference is not None and reference.name == name


def _is_same(used: ImageReference, declared: ImageReference) -> bool:
    if used.name != declared.name:
        return False
    if used.digest is not None and declared.digest is not None:
        return used.digest == declared.digest
    return used.tag == declared.tag and used.tag is not None


def _judge(
    image: str, uses: Sequence[Use], declared: Sequence[ImageReference], content: PackContent, look: Look
) -> UsedImage:
    best = min((use.hit for use in uses), key=lambda hit: CONFIDENCES.index(hit.confidence))
    reference, name = read_reference(image), _name_of(image)
    if reference is not None and is_for_windows(reference):
        best = best.capped("possible", "by its name it is for Windows only")
    if _breaks_when_carried(content):
        best = best.capped("possible", "the provider image of PXK-E has it already")
    return UsedImage(
        image=image,
        confidence=best.confidence,
        reason=best.reason,
        is_complete=reference is not None,
        is_floating=reference is not None and is_floating(reference),
        tags=_suggest_tags(image, uses, content, look),
        declared_as=tuple(sorted({str(each) for each in declared if each.name == name})),
        evidence=tuple(dict.fromkeys(_evidence(use.file, use.hit) for use in uses))[:_MOST_EVIDENCE],
    )


def _suggest_tags(image: str, uses: Sequence[Use], content: PackContent, look: Look) -> tuple[str, ...]:
    """For an image whose tag the values leave to its chart; what a template leaves open nobody can guess."""
    place = next((use.hit.path for use in uses if use.file == VALUES), None)
    is_open = image.endswith(UNKNOWN_TAG) and place is not None
    return suggest_tags(content, look.app_versions, place or "") if is_open else ()


def _evidence(file: str, hit: Hit) -> Evidence:
    return Evidence(file=file, line=hit.line, path=hit.path, text=_show(hit.text))


def _remarks(
    content: PackContent, look: Look, declared: Collection[ImageReference], used: Collection[str]
) -> Iterator[Remark]:
    names = {_name_of(image) for image in used}
    is_judged = bool(content.charts or content.manifests) and not look.unread
    for reference in declared:
        if is_judged and reference.name not in names:
            yield Remark(kind="unused", message=f"{reference} is declared, and nothing in the pack uses it")
        if is_floating(reference):
            yield Remark(kind="floating", message=f"{reference} changes with time: declare a version or a digest")
        if is_for_windows(reference):
            yield Remark(kind="windows", message=f"{reference} is for Windows by its name: of no use to Linux")
    if declared and _breaks_when_carried(content):
        yield Remark(
            kind="known-issue",
            message="images declared in the Kubernetes layer of PXK-E fail to load from a bundle (a known issue of "
            "Palette's since December 2024): the provider image has them, so take them out of pack.content.images",
        )
    yield from (Remark(kind="unread", message=each) for each in look.unread)
    if any(not _name_of(image) for image in used):
        yield Remark(kind="unread", message="it uses images whose names are not known before it is installed")


def _breaks_when_carried(content: PackContent) -> bool:
    return content.layer == K8S_LAYER and content.name == _PXK_E
