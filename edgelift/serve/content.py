"""What a registry serves: the port between the HTTP side and the things content lives in.

Repositories and digests given to these methods are valid; tags and sessions may be any text.
"""

from collections.abc import Iterable, Sequence
from typing import Protocol, runtime_checkable

from edgelift.errors import IntegrityError, RefusedError
from edgelift.oci.descriptor import Descriptor
from edgelift.oci.digest import Digest
from edgelift.oci.manifest import Manifest, parse_manifest
from edgelift.serve.part import BlobPart

Served = tuple[Descriptor, bytes]  # a manifest: its descriptor and its exact bytes


class RegistryContent(Protocol):
    """Repositories, the tags and manifests in them, and the blobs that can be read through them."""

    def repositories(self) -> Sequence[str]:
        """All repositories, sorted."""

    def tags(self, repository: str) -> Sequence[str] | None:
        """The tags in any order; None where there is no such repository."""

    def resolve(self, repository: str, selector: str | Digest) -> Served | None:
        """The manifest of a tag or a `Digest`; None where the repository has none."""

    def referrers(self, repository: str, subject: Digest) -> Sequence[Descriptor]:
        """The manifests of the repository that name `subject`."""

    def blob_size(self, repository: str, digest: Digest) -> int | None:
        """The size of a blob in bytes; None where this repository does not refer to it."""

    def read_blob_range(self, repository: str, digest: Digest, start: int, stop: int) -> BlobPart:
        """Bytes `start` to `stop` (exclusive) of a blob that `blob_size` knows."""


@runtime_checkable
class WritableContent(RegistryContent, Protocol):
    """Content that clients push to. Upload sessions belong to a repository and survive a restart."""

    def begin_upload(self, repository: str) -> str:
        """Begin a session; gives its name."""

    def upload_offset(self, repository: str, session: str) -> int | None:
        """How many bytes have arrived; None where there is no such session."""

    def append_upload(self, repository: str, session: str, offset: int, chunk: bytes) -> bool:
        """Add `chunk` at `offset`; False where the session is gone or stands elsewhere."""

    def commit_upload(self, repository: str, session: str, digest: Digest) -> bool:
        """Make the session the blob `digest`; False where it is gone.

        Raises `IntegrityError` and drops the session where its bytes have another digest.
        """

    def cancel_upload(self, repository: str, session: str) -> bool:
        """Drop the session; False where there is none."""

    def mount_blob(self, source: str, repository: str, digest: Digest) -> bool:
        """Let `repository` refer to a blob of `source`; False where `source` does not have it."""

    def write_manifest(self, repository: str, manifest: Manifest, tag: str | None) -> None:
        """Keep `manifest`, then point `tag` at it."""

    def delete_manifest(self, repository: str, digest: Digest) -> bool:
        """Forget a manifest and every tag on it; False where there is none."""

    def delete_blob(self, repository: str, digest: Digest) -> bool:
        """Let `repository` refer to a blob no longer, whatever its manifests name; False where it does not."""

    def delete_tag(self, repository: str, tag: str) -> bool:
        """Forget a tag; False where there is none."""


def select_referrers(subject: Digest, manifests: Iterable[Served]) -> Sequence[Descriptor]:
    """Those of `manifests` that name `subject`, as the referrers API lists them; what is no manifest is passed over."""
    described = (_describe_referrer(subject, *each) for each in manifests)
    return [each for each in described if each is not None]


def _describe_referrer(subject: Digest, descriptor: Descriptor, raw: bytes) -> Descriptor | None:
    try:
        manifest = parse_manifest(raw, descriptor.media_type, descriptor.digest)
    except (IntegrityError, RefusedError):
        return None
    return manifest.listed if manifest.subject == subject else None
