"""Sites for tests that look at fleets and reach no registry."""

from typing import Any

from edgelift.site import EdgeSite


def make_site(name: str, image: str = "quay.io/team/app:1", **settings: Any) -> EdgeSite:
    """A site that needs one image."""
    document = {"source": {"images": [image]}, "target": {"registry": f"{name}.example:5000"}}
    return EdgeSite.model_validate({"name": name, **document, **settings})
