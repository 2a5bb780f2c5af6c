"""Signatures as cosign lays them out, made here, with keys that are made here: of both forms, on any image.

image = make_image("team/app")
sim.put_image(image, sign(image.root, key), sign_as_referrer(image.root, key), attach_sbom(image.root))
"""

import base64
import json
from dataclasses import replace
from functools import cache

from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, padding, rsa

from edgelift.bundle.referrer import COSIGN_SIGNED, PREDICATE
from edgelift.cosign import DSSE_PAYLOAD, SIGNATURE, SIMPLE_SIGNING, SIMPLE_TYPE
from edgelift.demo.content import OCI_CONFIG, SampleImage
from edgelift.oci.descriptor import Descriptor
from edgelift.oci.digest import Digest
from edgelift.oci.manifest import OCI_MANIFEST
from tests.images import EMPTY_CONFIG, EMPTY_TYPE, make_artifact

REPOSITORY = "team/app"
BUNDLE = "application/vnd.dev.sigstore.bundle.v0.3+json"
PrivateKey = ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey | ed25519.Ed25519PrivateKey


@cache
def make_key(kind: str = "ecdsa", name: str = "maker") -> PrivateKey:
    """A key, the same one for the same name: `ecdsa` (P-256), `rsa` or `ed25519`."""
    if kind == "rsa":
        return rsa.generate_private_key(65537, 2048)
    return ed25519.Ed25519PrivateKey.generate() if kind == "ed25519" else ec.generate_private_key(ec.SECP256R1())


def public_pem(key: PrivateKey) -> str:
    """The public half, as cosign.pub has it."""
    form = serialization.PublicFormat.SubjectPublicKeyInfo
    return key.public_key().public_bytes(serialization.Encoding.PEM, form).decode()


def sign(subject: Descriptor, key: PrivateKey, repository: str = REPOSITORY, **changes: str) -> SampleImage:
    """A signature of `subject` under the tag `….sig`; `changes` are other values of `digest`, `kind`, `signature`."""
    critical = {
        "identity": {"docker-reference": ""},
        "image": {"docker-manifest-digest": changes.get("digest", subject.digest)},
        "type": changes.get("kind", SIMPLE_TYPE),
    }
    payload = json.dumps({"critical": critical, "optional": None}).encode()
    signature = changes.get("signature", base64.b64encode(_sign(key, payload)).decode())
    config = json.dumps({"architecture": "", "os": "", "rootfs": {"type": "layers", "diff_ids": []}}).encode()
    return _artifact(
        repository,
        f"sha256-{subject.digest.hex}.sig",
        (OCI_CONFIG, config),
        (SIMPLE_SIGNING, payload),
        signature=signature,
    )


def sign_as_referrer(
    subject: Descriptor, key: PrivateKey, repository: str = REPOSITORY, *, states: str = COSIGN_SIGNED, of: str = ""
) -> SampleImage:
    """A signature of `subject` in a Sigstore bundle that names it as its subject; `of` is another digest to sign.

    It has no tag at a registry that lists referrers: that of the result is none that anybody looks for.
    """
    signed = [{"digest": {"sha256": Digest(of or subject.digest).hex}}]
    kind = "https://in-toto.io/Statement/v1"
    statement = {"_type": kind, "subject": signed, "predicateType": states, "predicate": {}}
    payload = json.dumps(statement).encode()
    message = b"DSSEv1 %d %s %d %s" % (len(DSSE_PAYLOAD), DSSE_PAYLOAD.encode(), len(payload), payload)
    envelope = {
        "payload": base64.b64encode(payload).decode(),
        "payloadType": DSSE_PAYLOAD,
        "signatures": [{"sig": base64.b64encode(_sign(key, message)).decode()}],
    }
    bundle = {"mediaType": BUNDLE, "verificationMaterial": {"publicKey": {"hint": ""}}, "dsseEnvelope": envelope}
    return bundle_of(subject, bundle, repository, states=states)


def bundle_of(
    subject: Descriptor, bundle: object, repository: str = REPOSITORY, *, states: str = COSIGN_SIGNED
) -> SampleImage:
    """Whatever `bundle` is, as a referrer of `subject` that is said to state something."""
    annotations = {PREDICATE: states, "dev.sigstore.bundle.content": "dsse-envelope"}
    layer = (BUNDLE, json.dumps(bundle).encode())
    return _artifact(repository, "bundle", (EMPTY_TYPE, EMPTY_CONFIG), layer, subject=subject, annotations=annotations)


def attach_sbom(subject: Descriptor, repository: str = REPOSITORY, text: str = "what is in it") -> SampleImage:
    """An SBOM that names `subject` as its subject."""
    kind = "application/spdx+json"
    return make_artifact(repository, "sbom", subject=subject, artifact_type=kind, payload=text.encode())


def untag(image: SampleImage) -> SampleImage:
    """The same under the tag of its own digest, so that several do not compete for one."""
    return replace(image, tag=f"untagged-{image.root.digest.hex[:16]}")


def _sign(key: PrivateKey, message: bytes) -> bytes:
    if isinstance(key, ec.EllipticCurvePrivateKey):
        return key.sign(message, ec.ECDSA(hashes.SHA256()))
    if isinstance(key, rsa.RSAPrivateKey):
        return key.sign(message, padding.PKCS1v15(), hashes.SHA256())
    return key.sign(message)


def _artifact(
    repository: str,
    tag: str,
    config: tuple[str, bytes],
    layer: tuple[str, bytes],
    *,
    signature: str = "",
    subject: Descriptor | None = None,
    annotations: dict[str, str] | None = None,
) -> SampleImage:
    blobs = [
        Descriptor(media_type=kind, digest=Digest.of(content), size=len(content)) for kind, content in (config, layer)
    ]
    described = [each.model_dump(mode="json", by_alias=True, exclude_none=True) for each in blobs]
    if signature:
        described[1]["annotations"] = {SIGNATURE: signature}
    document = {"schemaVersion": 2, "mediaType": OCI_MANIFEST, "config": described[0], "layers": [described[1]]}
    if subject is not None:
        plain = subject.plain().model_dump(mode="json", by_alias=True, exclude_none=True)
        document |= {"artifactType": layer[0], "subject": plain, "annotations": annotations or {}}
    raw = json.dumps(document).encode()
    root = Descriptor(media_type=OCI_MANIFEST, digest=Digest.of(raw), size=len(raw))
    contents = {root.digest: raw, blobs[0].digest: config[1], blobs[1].digest: layer[1]}
    return SampleImage(repository, tag, root, (root,), tuple(blobs), contents)
