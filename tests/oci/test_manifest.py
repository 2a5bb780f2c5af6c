"""Manifests and indexes: bytes that are kept, views that are checked, and everything a server may answer instead."""

import hashlib
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgelift.errors import IntegrityError, RefusedError
from edgelift.oci.descriptor import Descriptor, Platform
from edgelift.oci.digest import Digest
from edgelift.oci.manifest import (
    ACCEPT,
    DOCKER_INDEX,
    DOCKER_MANIFEST,
    INDEX_TYPES,
    MANIFEST_TYPES,
    OCI_INDEX,
    OCI_MANIFEST,
    SCHEMA1_TYPES,
    ImageIndex,
    ImageManifest,
    is_foreign,
    parse_manifest,
)

CONFIG = {"mediaType": "application/vnd.oci.image.config.v1+json", "digest": str(Digest.of(b"config")), "size": 6}
LAYER = {"mediaType": "application/vnd.oci.image.layer.v1.tar+gzip", "digest": str(Digest.of(b"layer")), "size": 5}
CHILD = {"mediaType": OCI_MANIFEST, "digest": str(Digest.of(b"child")), "size": 5}
IMAGE: dict[str, Any] = {"schemaVersion": 2, "config": CONFIG, "layers": [LAYER]}
INDEX: dict[str, Any] = {"schemaVersion": 2, "manifests": [CHILD]}


def as_json(document: object) -> bytes:
    """`document` as a server may send it."""
    return json.dumps(document).encode()


SERVED = {
    "OCI manifest": (IMAGE | {"mediaType": OCI_MANIFEST}, OCI_MANIFEST, OCI_MANIFEST),
    "OCI manifest that does not say so": (IMAGE, OCI_MANIFEST, OCI_MANIFEST),
    "OCI manifest that says null": (IMAGE | {"mediaType": None}, OCI_MANIFEST, OCI_MANIFEST),
    "OCI manifest that says nothing": (IMAGE | {"mediaType": ""}, OCI_MANIFEST, OCI_MANIFEST),
    "Docker manifest": (IMAGE | {"mediaType": DOCKER_MANIFEST}, DOCKER_MANIFEST, DOCKER_MANIFEST),
    "OCI index": (INDEX | {"mediaType": OCI_INDEX}, OCI_INDEX, OCI_INDEX),
    "OCI index that does not say so": (INDEX, OCI_INDEX, OCI_INDEX),
    "Docker index": (INDEX | {"mediaType": DOCKER_INDEX}, DOCKER_INDEX, DOCKER_INDEX),
    "with a charset": (IMAGE, f"{OCI_MANIFEST}; charset=utf-8", OCI_MANIFEST),
    "with a charset and no space": (INDEX, f"{OCI_INDEX};charset=utf-8", OCI_INDEX),
    "in capitals": (IMAGE, OCI_MANIFEST.upper(), OCI_MANIFEST),
    "as nothing, and it tells": (IMAGE | {"mediaType": DOCKER_MANIFEST}, "", DOCKER_MANIFEST),
    "as JSON, and it tells": (INDEX | {"mediaType": DOCKER_INDEX}, "application/json", DOCKER_INDEX),
    "as text, and it tells": (INDEX | {"mediaType": OCI_INDEX}, "text/plain; charset=utf-8", OCI_INDEX),
    "as nothing, an image by its looks": (IMAGE, "", OCI_MANIFEST),
    "as JSON, an image by its looks": (IMAGE, "application/json; charset=utf-8", OCI_MANIFEST),
    "as bytes, an index by its looks": (INDEX, "application/octet-stream", OCI_INDEX),
    "without a schema version": ({"config": CONFIG, "layers": [LAYER]}, OCI_MANIFEST, OCI_MANIFEST),
    "no layer": (IMAGE | {"layers": []}, OCI_MANIFEST, OCI_MANIFEST),
    "no layer, as Go says it": (IMAGE | {"layers": None}, OCI_MANIFEST, OCI_MANIFEST),
    "no child, as Go says it": ({"schemaVersion": 2, "manifests": None}, OCI_INDEX, OCI_INDEX),
}


@pytest.mark.parametrize(("document", "served_as", "media_type"), SERVED.values(), ids=SERVED)
def test_each_kind_is_told(document: dict[str, Any], served_as: str, media_type: str) -> None:
    """The server's word counts, without its parameters; where it says nothing of use, the document's does."""
    raw = as_json(document)

    manifest = parse_manifest(raw, served_as)

    assert Descriptor(media_type=media_type, digest=Digest.of(raw), size=len(raw)) == manifest.descriptor
    assert isinstance(manifest.parsed, ImageIndex) == (media_type in INDEX_TYPES)


def test_the_bytes_are_kept() -> None:
    """Spaces, order, unknown members and doubled keys stay: the digest covers them."""
    raw = b'{ "layers" : [] ,\n\t"config":%s, "x":1.0, "x":1e0, "\\u00e4":"\xc3\xa4" }\n' % as_json(CONFIG)

    manifest = parse_manifest(raw, OCI_MANIFEST, Digest.of(raw))

    assert (raw, Digest.of(raw), len(raw)) == (manifest.raw, manifest.descriptor.digest, manifest.descriptor.size)


def test_an_image_names_its_blobs() -> None:
    """The config comes first, then the layers in order; an image has no children."""
    manifest = parse_manifest(as_json(IMAGE | {"layers": [LAYER, LAYER | {"size": 6}]}), OCI_MANIFEST)

    assert ([blob.size for blob in manifest.blobs], manifest.children) == ([6, 5, 6], ())


def test_an_index_names_its_children() -> None:
    """An index has children and no blobs of its own."""
    manifest = parse_manifest(as_json(INDEX), OCI_INDEX)

    assert ((Descriptor.model_validate(CHILD),), ()) == (manifest.children, manifest.blobs)


ARTIFACTS = {
    "a Helm chart": ("application/vnd.cncf.helm.config.v1+json", "application/vnd.cncf.helm.chart.content.v1.tar+gzip"),
    "a signature": ("application/vnd.oci.image.config.v1+json", "application/vnd.dev.cosign.simplesigning.v1+json"),
    "WebAssembly": ("application/vnd.wasm.config.v0+json", "application/wasm"),
    "an empty config": ("application/vnd.oci.empty.v1+json", "application/vnd.oci.empty.v1+json"),
    "nobody's business": ("x/y", "x/y; z=1"),
}


@pytest.mark.parametrize(("config_type", "layer_type"), ARTIFACTS.values(), ids=ARTIFACTS)
def test_any_content_is_carried(config_type: str, layer_type: str) -> None:
    """What configs and layers hold is not ours to judge."""
    document = {
        "schemaVersion": 2,
        "artifactType": "application/vnd.example",
        "config": CONFIG | {"mediaType": config_type},
        "layers": [LAYER | {"mediaType": layer_type}],
        "subject": CHILD,
        "annotations": {"a": "b"},
    }

    manifest = parse_manifest(as_json(document), OCI_MANIFEST)

    assert [config_type, layer_type] == [blob.media_type for blob in manifest.blobs]
    assert manifest.parsed.subject == Descriptor.model_validate(CHILD)


def test_an_index_may_name_unknown_kinds() -> None:
    """A child of a kind that we do not know is kept as a child."""
    document = INDEX | {"manifests": [CHILD | {"mediaType": "application/vnd.example+json"}]}

    assert parse_manifest(as_json(document), OCI_INDEX).children[0].media_type == "application/vnd.example+json"


REFUSED: dict[str, tuple[bytes, str, str]] = {
    "HTML": (b"<!doctype html><title>Login</title>", OCI_MANIFEST, "is not JSON"),
    "nothing": (b"", OCI_MANIFEST, "is not JSON"),
    "half": (as_json(IMAGE)[:-9], OCI_MANIFEST, "is not JSON"),
    "two documents": (as_json(IMAGE) * 2, OCI_MANIFEST, "is not JSON"),
    "bytes that are no text": (b'{"a":"\xff"}', OCI_MANIFEST, "is not JSON"),
    "another encoding": (as_json(IMAGE).decode().encode("utf-16"), OCI_MANIFEST, "is not JSON"),
    "a byte order mark": (b"\xef\xbb\xbf" + as_json(IMAGE), OCI_MANIFEST, "is not JSON"),
    "deep lists": (b"[" * 200_000, OCI_MANIFEST, "is not JSON"),
    "deep lists that end": (b"[" * 100_000 + b"]" * 100_000, OCI_MANIFEST, "is not JSON"),
    "deep tables": (b'{"a":' * 100_000 + b"1" + b"}" * 100_000, OCI_MANIFEST, "is not JSON"),
    "a number of 5,000 digits": (b'{"schemaVersion":' + b"9" * 5000 + b"}", OCI_MANIFEST, "is not JSON"),
    "a list": (b"[]", OCI_MANIFEST, "is not a JSON object"),
    "null": (b"null", OCI_MANIFEST, "is not a JSON object"),
    "text": (b'"manifest"', OCI_MANIFEST, "is not a JSON object"),
    "an empty object": (b"{}", OCI_MANIFEST, "names neither layers nor manifests"),
    "an error": (as_json({"errors": [{"code": "DENIED"}]}), "application/json", "names neither layers nor manifests"),
    "both kinds": (as_json(IMAGE | INDEX), OCI_MANIFEST, "could be read as an index as well as an image"),
    "both kinds, as an index": (as_json(INDEX | {"layers": []}), OCI_INDEX, "could be read as an index"),
    "both kinds, one of them null": (as_json(IMAGE | {"manifests": None}), OCI_MANIFEST, "could be read as an index"),
    "an index as a manifest": (as_json(INDEX), OCI_MANIFEST, "is an index"),
    "a manifest as an index": (as_json(IMAGE), OCI_INDEX, "is an image"),
    "another word than the server's": (as_json(IMAGE | {"mediaType": DOCKER_MANIFEST}), OCI_MANIFEST, "says it is"),
    "an index that says manifest": (as_json(INDEX | {"mediaType": OCI_MANIFEST}), "", "is an index"),
    "an unknown kind": (as_json(IMAGE), "application/vnd.example.manifest+json", "is not a manifest's media type"),
    "an unknown kind by its own word": (as_json(IMAGE | {"mediaType": "a/b"}), "", "'a/b' is not a manifest's"),
    "a media type in a list": (as_json(IMAGE | {"mediaType": [OCI_MANIFEST]}), OCI_MANIFEST, "mediaType is not a text"),
    "a media type in a table": (as_json(IMAGE | {"mediaType": {"a": 1}}), "", "mediaType is not a text"),
    "a number as media type": (as_json(IMAGE | {"mediaType": 2}), "", "mediaType is not a text"),
    "a truth as media type": (as_json(IMAGE | {"mediaType": False}), OCI_MANIFEST, "mediaType is not a text"),
    "layers in a table": (as_json(IMAGE | {"layers": {"a": LAYER}}), OCI_MANIFEST, "malformed at layers"),
    "a layer that is text": (as_json(IMAGE | {"layers": [LAYER, "sha256:abc"]}), OCI_MANIFEST, r"at layers\.1"),
    "a layer without digest": (
        as_json(IMAGE | {"layers": [{"mediaType": "a/b", "size": 1}]}),
        OCI_MANIFEST,
        r"malformed at layers\.0\.digest",
    ),
    "a digest that is a path": (
        as_json(IMAGE | {"config": CONFIG | {"digest": "sha256:../../../../etc/passwd"}}),
        OCI_MANIFEST,
        r"malformed at config\.digest: .*is not a digest",
    ),
    "a negative size": (as_json(IMAGE | {"config": CONFIG | {"size": -1}}), OCI_MANIFEST, r"at config\.size"),
    "an infinite size": (
        as_json(IMAGE | {"config": CONFIG | {"size": 1}}).replace(b'"size": 1', b'"size": 1e400'),
        OCI_MANIFEST,
        r"at config\.size",
    ),
    "a size that is not a number": (
        as_json(IMAGE | {"config": CONFIG | {"size": float("nan")}}),
        OCI_MANIFEST,
        r"at config\.size",
    ),
    "no config": (as_json({"schemaVersion": 2, "layers": []}), OCI_MANIFEST, "malformed at config"),
    "a config that is null": (as_json(IMAGE | {"config": None}), OCI_MANIFEST, "malformed at config"),
    "no layers": (as_json({"schemaVersion": 2, "config": CONFIG}), OCI_MANIFEST, "malformed at layers"),
    "a subject that is text": (as_json(IMAGE | {"subject": "sha256:abc"}), OCI_MANIFEST, "malformed at subject"),
}


@pytest.mark.parametrize(("raw", "served_as", "problem"), REFUSED.values(), ids=REFUSED)
def test_what_is_no_manifest_is_refused(raw: bytes, served_as: str, problem: str) -> None:
    """Whatever a server answers, the only exception is one that says what is wrong with it, and where."""
    with pytest.raises(IntegrityError, match=problem):
        parse_manifest(raw, served_as)


def test_wrong_bytes_are_not_even_looked_at() -> None:
    """Bytes that do not have the digest that was asked for are refused before they are parsed."""
    with pytest.raises(IntegrityError, match=f"manifest {Digest.of(b'other')} are not what its digest says"):
        parse_manifest(as_json(IMAGE), OCI_MANIFEST, Digest.of(b"other"))


def test_the_digest_that_was_asked_for_stands() -> None:
    """A manifest that was asked for by its sha512 keeps that digest."""
    raw = as_json(IMAGE)
    digest = Digest("sha512:" + hashlib.sha512(raw).hexdigest())

    assert digest == parse_manifest(raw, OCI_MANIFEST, digest).descriptor.digest


SCHEMA1 = as_json({"schemaVersion": 1, "name": "a", "tag": "1", "fsLayers": [], "history": [], "signatures": []})
SCHEMA1_ANSWERS = {
    "by its version": (SCHEMA1, "application/json"),
    "by its version, as a manifest": (SCHEMA1, OCI_MANIFEST),
    "by what the server says": (as_json({"name": "a", "fsLayers": []}), max(SCHEMA1_TYPES) + "; charset=utf-8"),
    "by what it says itself": (as_json(IMAGE | {"mediaType": min(SCHEMA1_TYPES)}), DOCKER_MANIFEST),
}


@pytest.mark.parametrize(("raw", "served_as"), SCHEMA1_ANSWERS.values(), ids=SCHEMA1_ANSWERS)
def test_schema_1_is_refused_by_name(raw: bytes, served_as: str) -> None:
    """The old format is not called damaged: the message says what it is, and what to do about it."""
    with pytest.raises(RefusedError, match="Docker's schema 1 format") as caught:
        parse_manifest(raw, served_as)

    assert "push it again" in str(caught.value.hint)


def test_every_kind_is_asked_for_in_one_line() -> None:
    """A registry that honours `Accept` never converts, and old formats come back to be refused by name."""
    assert ACCEPT.split(", ")[0] == OCI_INDEX
    assert set(ACCEPT.split(", ")) == MANIFEST_TYPES | INDEX_TYPES | SCHEMA1_TYPES


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=8,
)
members = st.sampled_from(["schemaVersion", "mediaType", "config", "layers", "manifests", "subject", "annotations"])


@given(st.dictionaries(members, json_values), st.sampled_from(["", "application/json", OCI_INDEX, OCI_MANIFEST]))
def test_no_json_brings_another_exception(document: dict[str, Any], served_as: str) -> None:
    """Any value in any place is read or refused in our own terms."""
    raw = as_json(document)
    try:
        manifest = parse_manifest(raw, served_as)
    except (IntegrityError, RefusedError):
        return

    assert raw == manifest.raw


@given(st.binary(max_size=200))
def test_no_bytes_bring_another_exception(raw: bytes) -> None:
    """Any bytes are refused in our own terms."""
    with pytest.raises(IntegrityError):
        parse_manifest(raw, OCI_MANIFEST)


def index_of(*platforms: str | None) -> ImageIndex:
    """An index of manifests for `platforms` (`os/architecture[/variant]`), their sizes counting from 0."""
    keys = ("os", "architecture", "variant")
    entries = [
        CHILD | {"size": number} | ({"platform": dict(zip(keys, text.split("/"), strict=False))} if text else {})
        for number, text in enumerate(platforms)
    ]
    return ImageIndex.model_validate({"manifests": entries})


AMD64 = Platform()
ARM64 = Platform(architecture="arm64")
SELECTED: dict[str, tuple[ImageIndex, Platform, int | None]] = {
    "the only one": (index_of("linux/amd64"), AMD64, 0),
    "by architecture": (index_of("linux/amd64", "linux/arm64"), ARM64, 1),
    "the first of equals": (index_of("linux/amd64", "linux/amd64"), AMD64, 0),
    "not another system": (index_of("windows/amd64", "linux/amd64"), AMD64, 1),
    "not one without a platform": (index_of(None, "linux/amd64"), AMD64, 1),
    "not an attestation": (index_of("unknown/unknown"), AMD64, None),
    "none": (index_of("linux/s390x"), AMD64, None),
    "none of nothing": (index_of(), AMD64, None),
    "arm64 with its usual variant": (index_of("linux/arm64/v8"), ARM64, 0),
    "any variant where none is wanted": (index_of("linux/arm/v6"), Platform(architecture="arm"), 0),
    "amd64 for every processor": (index_of("linux/amd64/v3", "linux/amd64"), AMD64, 1),
    "amd64/v1 for every processor": (index_of("linux/amd64/v2", "linux/amd64/v1"), AMD64, 1),
    "amd64/v3 where there is no other": (index_of("linux/arm64", "linux/amd64/v3"), AMD64, 1),
    "the variant": (index_of("linux/arm/v6", "linux/arm/v7"), Platform(architecture="arm", variant="v7"), 1),
    "none for every variant": (index_of("linux/arm/v6", "linux/arm"), Platform(architecture="arm", variant="v7"), 1),
    "not another variant": (index_of("linux/arm/v6"), Platform(architecture="arm", variant="v7"), None),
}


@pytest.mark.parametrize(("index", "wanted", "chosen"), SELECTED.values(), ids=SELECTED)
def test_a_platform_is_chosen(index: ImageIndex, wanted: Platform, chosen: int | None) -> None:
    """The first manifest that runs on the wanted platform, and on every processor of it where it can be had."""
    entry = index.select(wanted)

    assert chosen == (None if entry is None else entry.size)


def test_platforms_are_listed() -> None:
    """Attestations and entries without a platform are not offered."""
    index = index_of("linux/amd64", None, "unknown/unknown", "linux/arm/v7")

    assert [str(platform) for platform in index.platforms] == ["linux/amd64", "linux/arm/v7"]


FOREIGN = {
    "application/vnd.oci.image.layer.nondistributable.v1.tar+gzip": True,
    "application/vnd.docker.image.rootfs.foreign.diff.tar.gzip": True,
    "application/vnd.oci.image.layer.v1.tar+gzip": False,
    "application/vnd.docker.image.rootfs.diff.tar.gzip": False,
}


@pytest.mark.parametrize(("media_type", "expected"), FOREIGN.items(), ids=FOREIGN)
def test_foreign_layers_are_told(media_type: str, expected: bool) -> None:
    """Layers that may not be distributed say so in their media type."""
    assert expected == is_foreign(Descriptor(media_type=media_type, digest=Digest.of(b""), size=0))


def test_a_manifest_keeps_its_bytes_out_of_logs() -> None:
    """Printing a manifest shows what it is, not all that it holds."""
    manifest = parse_manifest(as_json(IMAGE | {"annotations": {"note": "long story"}}), OCI_MANIFEST)

    assert ("long story" in repr(manifest), str(manifest.descriptor.digest) in repr(manifest)) == (False, True)
    assert isinstance(manifest.parsed, ImageManifest)
