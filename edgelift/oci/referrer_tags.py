"""The tags under which what refers to a digest is found, where no registry has to keep a list of it. Pure."""

from edgelift.oci.digest import Digest

COSIGN_SUFFIXES = (".sig", ".att", ".sbom")  # of a tag for signatures, attestations and an SBOM


def cosign_tags(subject: Digest) -> tuple[str, ...]:
    """The tags that cosign derives from the digest that it signs; it knows sha256 alone."""
    if subject.algorithm != "sha256":
        return ()
    return tuple(f"{subject.algorithm}-{subject.hex}{suffix}" for suffix in COSIGN_SUFFIXES)


def fallback_tag(subject: Digest) -> str:
    """The tag of the index that stands in for a registry's list (distribution-spec, "Referrers Tag Schema")."""
    return f"{subject.algorithm}-{subject.hex[:64]}"
