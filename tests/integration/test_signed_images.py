"""Signed images through the flows: what refers to them arrives, or the run fails and says of which image."""

from dataclasses import replace

import pytest

from edgelift.errors import PlanError
from tests.cosign import attach_sbom, make_key, sign, sign_as_referrer, untag
from tests.integration.prefect_server import PrefectServer
from tests.integration.sites import Site, sync

KEY = make_key()


@pytest.mark.parametrize("direct", [False, True])
def test_what_refers_to_an_image_arrives_with_it(prefect: PrefectServer, site: Site, direct: bool) -> None:
    """By way of a bundle, and directly: the receipt counts it, and the target's own list has it."""
    index, plain = site.images[0], site.images[1]
    tagged, bundle = sign(index.root, KEY, index.repository), untag(sign_as_referrer(plain.root, KEY, plain.repository))
    sbom = untag(attach_sbom(index.manifests[0], index.repository))
    site.source.put_image(tagged, bundle, sbom)

    attempt = sync(prefect, site, direct=direct)

    told = {
        proof["reference"]: (proof["signed"], proof["carried"], proof["arrived"]) for proof in site.receipt["proofs"]
    }
    assert (attempt.state, site.receipt["whole"]) == ("COMPLETED", True)
    assert [told[site.reference(image)] for image in site.images] == [
        (True, 2, 2),
        (True, 1, 1),
        *[(False, 0, 0)] * (len(site.images) - 2),
    ]
    assert site.delivered(replace(tagged, repository=index.repository)) == tagged.root.digest
    found = site.target.content.referrers(site.repository(plain), plain.root.digest)
    assert [each.digest for each in found] == [bundle.root.digest]


def test_a_source_that_fails_to_list_referrers_fails_the_run(prefect: PrefectServer, site: Site) -> None:
    """The image is named; nothing has moved, since an unsigned copy of a signed image is no delivery."""
    failing = site.images[2]
    site.source.deny(f"/v2/{failing.repository}/referrers/")

    attempt = sync(prefect, site)

    assert (attempt.state, type(attempt.outcome)) == ("FAILED", PlanError)
    (failure,) = attempt.outcome.failures
    assert failure.startswith(f"{site.reference(failing)} ")
    assert "cannot list the referrers" in failure
    assert not any(each.method in ("PUT", "POST") for each in site.target.requests)


def test_a_run_that_requires_signatures_names_who_has_none(prefect: PrefectServer, site: Site) -> None:
    """As the site file says it."""
    signed = [sign(image.root, KEY, image.repository) for image in site.images[1:]]
    site.source.put_image(*signed)

    attempt = sync(prefect, site, require_signatures=True)

    assert (attempt.state, len(attempt.outcome.failures)) == ("FAILED", 1)
    assert attempt.outcome.failures[0].startswith(f"{site.reference(site.images[0])} ")
