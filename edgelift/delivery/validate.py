"""Validate: the lock against what the target registry really serves. Changes nothing.

For each reference: the manifest by tag, the same by digest, then everything that it names; then the same of what refers
to it, and whether that is found from it. A listing (`tags/list`, `_catalog`) only ever adds extras: its absence proves
nothing.
"""

from collections.abc import Callable, Iterator, Set
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import partial
from typing import NamedTuple

from edgelift.bundle.lock import BundleLock, LockedImage
from edgelift.bundle.referrer import LockedReferrer, Pinned
from edgelift.bundle.selection import AnnotationSelector, select_entries
from edgelift.delivery.receipt import DeliveryReceipt, Extras, Proof, Verdict
from edgelift.delivery.target import Target, TargetName
from edgelift.errors import ConfigurationError, EdgeliftError, IntegrityError, MalformedReferenceError, NotFoundError
from edgelift.oci.descriptor import Descriptor
from edgelift.oci.digest import Digest
from edgelift.oci.pull import BlobStream
from edgelift.oci.referrer_tags import fallback_tag
from edgelift.oci.registry import Registry

PARALLEL_REFERENCES = 8
MAX_EXTRAS = 1000  # tags, and repositories, that a receipt names
_GRAVEST_FIRST: tuple[Verdict, ...] = ("missing", "differs", "not-checkable")
ProofDone = Callable[[Proof], None]


def validate_lock(
    lock: BundleLock,
    target: Target,
    registry: Registry,
    *,
    deep: bool = False,
    selector: str | None = None,
    on_proof: ProofDone | None = None,
) -> DeliveryReceipt:
    """Check every reference of `lock`, or those that `selector` chooses, at `target`; with `deep` hash every blob.

    What cannot be asked (denied, unreachable) is `not-checkable`, never good. Raises nothing for what is wrong with a
    reference at the target, only `MalformedReferenceError` for one that can have no name there, and
    `ConfigurationError` for a selector that chooses nothing.
    """
    chosen = select_entries(lock, selector).images
    expected = [(image, name) for image in chosen for name in target.names_of(image)]
    with ThreadPoolExecutor(PARALLEL_REFERENCES, thread_name_prefix="validate") as pool:
        proofs = []
        for proof in pool.map(lambda item: prove_image(item[0], item[1], registry, target, deep=deep), expected):
            proofs.append(proof)
            if on_proof is not None:
                on_proof(proof)
    return DeliveryReceipt(
        registry=str(target),
        bundle=lock.definition.name,
        lock=lock.digest,
        selection=str(AnnotationSelector.parse(selector)) if selector is not None else None,
        deep=deep,
        checked_at=datetime.now(UTC).isoformat(timespec="seconds"),
        proofs=tuple(proofs),
        extras=find_extras(_all_names(lock, target), target, registry),
    )


def find_extras(expected: set[TargetName], target: Target, registry: Registry) -> Extras:
    """Tags beside the `expected` ones in their repositories, and repositories beside theirs below the target's base.

    At most `MAX_EXTRAS` of each: they inform, and a registry can name millions.
    """
    repositories = sorted({name.repository for name in expected})
    tags: list[str] = []
    not_checkable: list[str] = []
    more = 0
    with ThreadPoolExecutor(PARALLEL_REFERENCES, thread_name_prefix="list") as pool:
        listings = list(pool.map(lambda repository: _list_beside(repository, expected, registry), repositories))
    for listed in listings:
        not_checkable += filter(None, [listed.problem])
        beside = listed.tags[: MAX_EXTRAS - len(tags)]
        tags += beside
        more += listed.total - len(beside)
    if more:
        not_checkable.append(f"tags: there are {more:,} more than the first {MAX_EXTRAS:,}")
    extra: tuple[str, ...] = ()
    try:
        catalog = registry.list_repositories()
        below = f"{target.base}/" if target.base else ""
        extra = tuple(sorted(name for name in catalog if name.startswith(below) and name not in repositories))
    except EdgeliftError as error:
        not_checkable.append(f"repositories: {error.message}")
    if len(extra) > MAX_EXTRAS:
        not_checkable.append(f"repositories: there are {len(extra) - MAX_EXTRAS:,} more than the first {MAX_EXTRAS:,}")
    return Extras(tags=tuple(tags), repositories=extra[:MAX_EXTRAS], not_checkable=tuple(not_checkable))


class _Beside(NamedTuple):
    """The tags of one repository that nobody expects: the first of them, how many there are, or why nobody knows."""

    tags: list[str]
    total: int
    problem: str = ""


def _list_beside(repository: str, expected: Set[TargetName], registry: Registry) -> _Beside:
    try:
        listed = registry.list_tags(repository)
    except EdgeliftError as error:
        return _Beside([], 0, f"tags of {repository}: {error.message}")
    beside = sorted(f"{repository}:{tag}" for tag in listed if TargetName(repository, tag) not in expected)
    return _Beside(beside[:MAX_EXTRAS], len(beside))  # no more of it: a registry can name millions


@dataclass
class _Check:
    """What was asked for one reference so far. A check raises what is wrong: the kind of error is the verdict."""

    registry: Registry
    repository: str
    deep: bool
    checked: int = 0
    bytes_read: int = 0
    arrived: int = 0
    _listed: dict[Digest, Set[Digest]] = field(default_factory=dict)

    def manifest(self, descriptor: Descriptor, part: Pinned) -> None:
        """Whether the manifest of `part` is there with the right bytes, and names nothing that would go unchecked."""
        self.checked += 1
        manifest = self.registry.read_manifest(self.repository, descriptor.digest)
        self.bytes_read += len(manifest.raw) if self.deep else 0
        listed = {each.digest for each in part.manifests}
        beside = [
            *(child for child in manifest.children if child.digest not in listed),
            *part.missing(manifest.blobs),
        ]
        if beside:
            raise ConfigurationError(
                f"the lock leaves out {beside[0].digest}, which manifest {descriptor.digest} needs: pin the image again"
            )

    def blob(self, descriptor: Descriptor) -> None:
        """Whether the blob is there with its size; deep: whether its bytes are right."""
        self.checked += 1
        size = self.registry.blob_size(self.repository, descriptor.digest)
        if size is None:
            raise NotFoundError(f"blob {descriptor.digest} is missing")
        if size != descriptor.size:
            raise IntegrityError(f"blob {descriptor.digest} has {size:,} bytes, not {descriptor.size:,}")
        if self.deep:
            hasher, stream = descriptor.digest.hasher(), BlobStream(self.registry, self.repository, descriptor)
            for chunk in stream:
                hasher.update(chunk)
            self.bytes_read += stream.received
            if hasher.hexdigest() != descriptor.digest.hex:
                raise IntegrityError(f"blob {descriptor.digest} holds wrong bytes")

    def is_found(self, referrer: LockedReferrer) -> None:
        """Whether a referrer is found from what it refers to: under its tag, or on a list of referrers."""
        self.checked += 1
        if referrer.tag is not None:
            standing = self.registry.read_manifest(self.repository, referrer.tag).descriptor.digest
            if standing != referrer.descriptor.digest:
                raise IntegrityError("its tag stands with another digest")
            return
        subject = referrer.subject
        if subject not in self._listed:
            listed = self.registry.list_referrers(self.repository, subject) or ()
            self._listed[subject] = {each.digest for each in listed}
        if referrer.descriptor.digest not in self._listed[subject]:
            raise NotFoundError(f"{self.registry.host}/{self.repository} does not list it for {subject}")


def prove_image(
    image: LockedImage, name: TargetName, registry: Registry, target: Target, *, deep: bool = False
) -> Proof:
    """The verdict on one image under one name; raises nothing that the registry could cause."""
    check = _Check(registry, name.repository, deep)
    found: Digest | None = None
    try:
        found = registry.read_manifest(name.repository, name.tag).descriptor.digest
        verdict, reason = _compare(image, found, check)
    except EdgeliftError as error:
        verdict, reason = _verdict(error), error.message
    return Proof(
        reference=image.reference,
        target=f"{target.registry}/{name}",
        verdict=verdict,
        expected=image.descriptor.digest,
        found=found,
        reason=reason,
        checked=check.checked + 1,
        bytes_read=check.bytes_read,
        kind=image.kind,
        signed=image.is_signed,
        carried=len(image.referrers),
        arrived=check.arrived,
    )


def _compare(image: LockedImage, found: Digest, check: _Check) -> tuple[Verdict, str]:
    if found != image.descriptor.digest:
        return "differs", "the tag stands with another digest"
    problems = list(_problems(image, check))
    if not problems and image.external:
        return "ok", f"external layers, which may not be distributed, are left to the hosts: {len(image.external)}"
    if not problems:
        return "ok", ""
    verdict, reason = min(problems, key=lambda problem: _GRAVEST_FIRST.index(problem[0]))
    return verdict, reason + (f" (and {len(problems) - 1} more)" if len(problems) > 1 else "")


def _problems(image: LockedImage, check: _Check) -> Iterator[tuple[Verdict, str]]:
    """What is not right; a registry that gives no answer is not asked any further."""
    for part in (image, *image.referrers):
        found = list(_part_problems(part, check))
        check.arrived += isinstance(part, LockedReferrer) and not found
        about = f"{part}: " if isinstance(part, LockedReferrer) else ""
        for verdict, reason in found:
            yield verdict, about + reason
            if verdict == "not-checkable":
                return


def _part_problems(part: Pinned, check: _Check) -> Iterator[tuple[Verdict, str]]:
    checks: list[Callable[[], None]] = [partial(check.manifest, each, part) for each in part.manifests]
    checks += [partial(check.blob, each) for each in part.blobs]
    if isinstance(part, LockedReferrer):
        checks.append(partial(check.is_found, part))
    for ask in checks:
        try:
            ask()
        except EdgeliftError as error:
            yield _verdict(error), error.message
            if _verdict(error) == "not-checkable":
                return


def _verdict(error: EdgeliftError) -> Verdict:
    if isinstance(error, NotFoundError):
        return "missing"
    return "differs" if isinstance(error, IntegrityError) else "not-checkable"


def _all_names(lock: BundleLock, target: Target) -> set[TargetName]:
    """What the whole lock would be called at the target: none of it is an extra there, selected or not."""
    names = set[TargetName]()
    for image in lock.images:
        with suppress(MalformedReferenceError):
            names.update(each for name in target.names_of(image) for each in _tags(image, name))
    return names


def _tags(image: LockedImage, name: TargetName) -> Iterator[TargetName]:
    """The tags that come with an image under one name: its own, and those under which its referrers are found."""
    yield name
    for referrer in image.referrers:
        yield TargetName(name.repository, referrer.tag or fallback_tag(referrer.subject))
