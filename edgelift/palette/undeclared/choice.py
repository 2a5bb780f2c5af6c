"""Which undeclared images are carried, by the policy of a site or a command, and what is told of the others. Pure."""

from collections.abc import Iterable, Iterator, Sequence, Set

from edgelift.bundle.definition import Origin, RequestedImage
from edgelift.oci.reference import ImageReference
from edgelift.palette.undeclared.findings import PackReport, UsedImage
from edgelift.palette.undeclared.references import read_reference
from edgelift.site import UndeclaredPolicy
from edgelift.sizes import count

_LISTED = 10  # images that a line names
_TOLD = frozenset({"floating", "windows", "known-issue"})  # the others are for who looks at a pack, not for each plan


def choose(reports: Sequence[PackReport], policy: UndeclaredPolicy) -> tuple[RequestedImage, ...]:
    """The undeclared images that `policy` carries, by reference; each with the packs that use it as its origins."""
    chosen: dict[str, list[Origin]] = {}
    wanted = {str(ImageReference.parse(text)) for text in policy} if isinstance(policy, tuple) else policy
    for report, image in _images(reports):
        place = f"undeclared: {image.evidence[0]}" if image.evidence else "undeclared"
        for reference in _carried_as(image, wanted):
            chosen.setdefault(reference, []).append(Origin(profile=report.profile, pack=report.pack, path=place))
    return tuple(RequestedImage(reference=name, origins=tuple(origins)) for name, origins in sorted(chosen.items()))


def _carried_as(image: UsedImage, policy: str | set[str]) -> Iterator[str]:
    """The references by which `policy` carries `image`: those that are listed for it, where its tag is not known."""
    if isinstance(policy, set):
        name = _name_of(image)
        yield from (each for each in sorted(policy) if each == image.image or ImageReference.parse(each).name == name)
    elif image.is_complete and (policy == "all" or (policy == "confident" and image.is_confident)):
        yield image.image


def _name_of(image: UsedImage) -> str | None:
    """Registry and repository of an image of which only the tag is not known."""
    reference = read_reference(image.untagged) if image.untagged is not None else None
    return reference.name if reference is not None else None


def tell(reports: Sequence[PackReport], chosen: Iterable[RequestedImage], policy: UndeclaredPolicy) -> Iterator[str]:
    """A line for all that is used and not carried, one for each listed image that nothing uses, and the remarks."""
    carried = {image.reference for image in chosen}
    left = _left(reports, carried)
    confident = [image for image in left if image.is_confident]
    untagged = [image for image in left if image.untagged is not None]
    if confident:
        yield _sum_up(confident, len(left) - len(confident) - len(untagged))
    if untagged:
        yield _list_untagged(untagged)
    if isinstance(policy, tuple):
        for text in policy:
            if str(ImageReference.parse(text)) not in carried:
                yield f"{text}: no pack uses it undeclared, so include_undeclared does not carry it"
    for report in reports:
        for remark in report.remarks:
            if remark.kind in _TOLD:
                yield str(Origin(profile=report.profile, pack=report.pack, path="")) + f": {remark.message}"


def _left(reports: Sequence[PackReport], carried: Set[str]) -> list[UsedImage]:
    """What is not `carried`, each image once, as sure as it is anywhere."""
    names = {ImageReference.parse(reference).name for reference in carried}
    left: dict[str, UsedImage] = {}
    for _, image in _images(reports):
        is_carried = image.image in carried or _name_of(image) in names
        if not is_carried and (image.image not in left or image.is_confident):
            left[image.image] = image
    return list(left.values())


def _sum_up(confident: Sequence[UsedImage], others: int) -> str:
    images = count(len(confident), "image is", "images are")
    certain = sum(image.confidence == "certain" for image in confident)
    more = f", {others} more possible" if others else ""
    return (
        f"{images} used by these packs, but not declared and not carried ({certain} certain, "
        f"{len(confident) - certain} likely{more}): look at them with `edgelift images --undeclared`, carry them with "
        "--include-undeclared confident"
    )


def _list_untagged(images: Sequence[UsedImage]) -> str:
    listed = [f"{image.untagged}{describe_tags(image)}" for image in images[:_LISTED]]
    more = f" and {len(images) - _LISTED} more" if len(images) > _LISTED else ""
    return (
        f"not carried, since only a chart knows the tag: {', '.join(listed)}{more}; give each by its whole name, with "
        "--image or in include_undeclared"
    )


def describe_tags(image: UsedImage) -> str:
    """The tags that an image may have, in brackets; nothing where none is known."""
    return f" (perhaps {' or '.join(image.tags)})" if image.tags else ""


def _images(reports: Sequence[PackReport]) -> Iterator[tuple[PackReport, UsedImage]]:
    for report in reports:
        for image in report.undeclared:
            yield report, image
