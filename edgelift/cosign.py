"""Whether an image is signed, and by whose key: signatures in the two forms that cosign has.

The older one is a layer of "simple signing" JSON with the signature in an annotation, under the tag `….sig`. The newer
one is a Sigstore bundle, found as a referrer, with a signed in-toto statement (DSSE) that names the digest. A key is
all that is asked: no certificate, no transparency log. What is in another form is carried, but never said to be right.
"""

import base64
import json
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any, NamedTuple

from edgelift.bundle.lock import LockedImage
from edgelift.bundle.referrer import COSIGN_SIGNED, SIGSTORE_BUNDLE, LockedReferrer
from edgelift.errors import SignatureError
from edgelift.oci.content import ContentStore
from edgelift.oci.descriptor import Descriptor
from edgelift.oci.digest import Digest
from edgelift.oci.manifest import parse_manifest
from edgelift.oci.pull import pull_blob
from edgelift.oci.reference import ImageReference
from edgelift.oci.source import Source

if TYPE_CHECKING:
    from edgelift.cosign_key import CosignKey

SIMPLE_SIGNING = "application/vnd.dev.cosign.simplesigning.v1+json"
SIGNATURE = "dev.cosignproject.cosign/signature"  # the annotation of such a layer
SIMPLE_TYPE = "cosign container image signature"
DSSE_PAYLOAD = "application/vnd.in-toto+json"
MAX_SIGNATURES = 1000  # in one manifest; cosign itself reads no more
MAX_SIGNED = 2**20  # bytes of what is signed
_UNSIGNED = "have it signed (cosign sign), leave it out, or build without --require-signatures"
_OTHER_KEY = "give the key of who signs it with --cosign-key, have it signed with this one, or leave it out"
_REDUCED = "build without --arch to carry the index and its signature, or have each architecture signed (--recursive)"

_Read = Callable[[Descriptor], bytes]


class _Signed(NamedTuple):
    """A signature, the bytes that it is of, and the digest that those name, where they are what they should be."""

    signature: bytes
    message: bytes
    names: Callable[[], object]


def parse_key(pem: str | None) -> "CosignKey | None":
    """The key of a definition; None where it has none. Raises `ConfigurationError`."""
    if pem is None:
        return None
    from edgelift.cosign_key import CosignKey  # noqa: PLC0415 - a tenth of a second, only where there is a key

    return CosignKey.from_pem(pem.encode(), "the cosign_key of the definition")


def check_signed(image: LockedImage, registry: Source, store: ContentStore, key: "CosignKey | None") -> None:
    """Raises `SignatureError` unless `image` is carried with a signature, and with a `key` one that it accepts.

    What is signed is fetched into `store`; raises `RegistryError` where that fails.
    """
    digest = image.descriptor.digest
    signatures = [each for each in image.referrers if each.is_signature and each.subject == digest]
    if not signatures:
        hint = _REDUCED if image.index is not None else _UNSIGNED
        raise SignatureError(f"no signature of {digest} is at its registry", hint=hint)
    if key is None:
        return
    repository = ImageReference.parse(image.reference).repository

    def read(layer: Descriptor) -> bytes:
        pull_blob(registry, repository, layer, store)
        return b"".join(store.read(layer))

    problems = list[str]()
    for signature in signatures:
        found = list(_problems(signature, digest, store, read, key))
        if None in found:
            return
        problems += filter(None, found)
    shown = "; ".join(dict.fromkeys(problems)) or "there is none in them"
    raise SignatureError(f"no signature of {digest} is one that {key.name} accepts: {shown}", hint=_OTHER_KEY)


def _problems(
    referrer: LockedReferrer, digest: Digest, store: ContentStore, read: _Read, key: "CosignKey"
) -> Iterator[str | None]:
    """For each signature in `referrer` what is wrong with it; None for one that vouches for `digest`."""
    root = referrer.manifests[-1]
    manifest = parse_manifest(b"".join(store.read(root)), root.media_type, root.digest)
    for layer in manifest.blobs[1 : MAX_SIGNATURES + 1]:
        try:
            signed = _signed_in(layer, read)
            is_right = signed is not None and key.accepts(signed.signature, signed.message)
            names = signed.names() if signed is not None and is_right else None  # nothing unsigned is looked into
        except (ValueError, LookupError, TypeError, AttributeError, RecursionError):
            yield "one is malformed"
            continue
        if signed is None:
            yield "one has a form that is not checked here"
        elif not is_right:
            yield "one is of another key"
        else:
            yield None if names == digest else "one is of another image"


def _signed_in(layer: Descriptor, read: _Read) -> _Signed | None:
    """The signature that `layer` brings; None for one in a form that is not known. Raises what bad JSON raises."""
    is_bundle = layer.media_type.startswith(SIGSTORE_BUNDLE)
    if layer.size > MAX_SIGNED or not (is_bundle or layer.media_type == SIMPLE_SIGNING):
        return None
    if is_bundle:
        return _parse_bundle(json.loads(read(layer)))
    payload = read(layer)
    signature = base64.b64decode((layer.annotations or {})[SIGNATURE], validate=True)
    return _Signed(signature, payload, lambda: _named_by_payload(json.loads(payload)))


def _named_by_payload(payload: dict[str, Any]) -> object:
    """The digest that a simple-signing payload names (containers/image, "Atomic Container Signature Format")."""
    critical = payload["critical"]
    return critical["image"]["docker-manifest-digest"] if critical["type"] == SIMPLE_TYPE else None


def _parse_bundle(bundle: dict[str, Any]) -> _Signed | None:
    """The signature of a Sigstore bundle (sigstore protobuf-specs, "Bundle"); None where it is of no statement."""
    if "dsseEnvelope" not in bundle:
        return None
    envelope = bundle["dsseEnvelope"]
    payload, kind = base64.b64decode(envelope["payload"], validate=True), envelope["payloadType"]
    (only,) = envelope["signatures"]  # a bundle has exactly one
    message = b"DSSEv1 %d %s %d %s" % (len(kind.encode()), kind.encode(), len(payload), payload)
    signature = base64.b64decode(only["sig"], validate=True)
    return _Signed(signature, message, lambda: _named_by_statement(json.loads(payload), kind))


def _named_by_statement(statement: dict[str, Any], kind: str) -> object:
    """The digest that an in-toto statement signs; None where it states something else."""
    if (kind, statement["predicateType"]) != (DSSE_PAYLOAD, COSIGN_SIGNED):
        return None
    (subject,) = statement["subject"]
    return f"sha256:{subject['digest']['sha256']}"
