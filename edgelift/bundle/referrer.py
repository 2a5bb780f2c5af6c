"""What a lock has of an image, and of what refers to it: signatures, attestations, SBOMs."""

from collections.abc import Iterable
from typing import Annotated, Self

from pydantic import BaseModel, ConfigDict, FailFast, model_validator

from edgelift.oci.content import ImageContent
from edgelift.oci.descriptor import Descriptor
from edgelift.oci.digest import Digest
from edgelift.oci.manifest import is_foreign
from edgelift.oci.referrer_tags import cosign_tags

# The first wrong entry is enough: a bundle's lock is a stranger's, and errors take far more memory than what is wrong.
Descriptors = Annotated[tuple[Descriptor, ...], FailFast()]

SIGSTORE_BUNDLE = "application/vnd.dev.sigstore.bundle"  # how its types begin; a version follows
PREDICATE = "dev.sigstore.bundle.predicateType"  # the annotation that says what a bundle states
COSIGN_SIGNED = "https://sigstore.dev/cosign/sign/v1"  # that statement of cosign's own signatures
_SIGNATURES = frozenset({"application/vnd.dev.cosign.artifact.sig.v1+json", "application/vnd.cncf.notary.signature"})


class Pinned(BaseModel):
    """Content by its digests: all that the manifest `descriptor` needs.

    `manifests` holds it and all that it names, children before parents; `blobs` holds configs and layers, each once.
    `external` are layers that may not be distributed and that its registry does not have: they are left to the hosts.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    descriptor: Descriptor
    manifests: Descriptors
    blobs: Descriptors
    external: Descriptors = ()

    @model_validator(mode="after")
    def _ends_with_its_descriptor(self) -> Self:
        if not self.manifests or self.manifests[-1].digest != self.descriptor.digest:
            raise ValueError("the last of its manifests is not the one that its descriptor names")
        return self

    @model_validator(mode="after")
    def _leaves_out_only_what_may_not_be_distributed(self) -> Self:
        if not all(map(is_foreign, self.external)):
            raise ValueError("one of its external layers may be distributed")
        return self

    @property
    def content(self) -> ImageContent:
        """What a copy of it has to bring."""
        return ImageContent(self.manifests, self.blobs)

    def missing(self, named: Iterable[Descriptor]) -> list[Descriptor]:
        """Which blobs, as manifests have `named` them, are neither carried nor external layers that may be left out."""
        carried = {blob.digest for blob in self.blobs}
        external = {layer.digest for layer in self.external}
        return [
            blob for blob in named if blob.digest not in carried and not (is_foreign(blob) and blob.digest in external)
        ]


class LockedReferrer(Pinned):
    """What refers to `subject`, which is a manifest of an image or another referrer.

    With a `tag` it is found under that, one of those that cosign derives from the subject; without, its own manifest
    names the subject. `descriptor` has the artifact's type, where the manifest says it.
    """

    subject: Digest
    tag: str | None = None

    @model_validator(mode="after")
    def _has_a_tag_of_its_subject(self) -> Self:
        if self.tag is not None and self.tag not in cosign_tags(self.subject):
            raise ValueError("its tag is none for what it refers to")  # it could move any tag of the repository
        return self

    @property
    def is_signature(self) -> bool:
        """Whether it says that it is a signature; what that is worth, only a key tells."""
        if self.tag is not None:
            return self.tag.endswith(".sig")
        kind = self.descriptor.artifact_type or ""
        if kind.startswith(SIGSTORE_BUNDLE):
            return (self.descriptor.annotations or {}).get(PREDICATE, COSIGN_SIGNED) == COSIGN_SIGNED
        return kind in _SIGNATURES

    def __str__(self) -> str:
        return f"the {'signature' if self.is_signature else 'referrer'} {self.tag or self.descriptor.digest}"
