"""The hosts of Amazon's registries: what their names say. Pure."""

import re
from dataclasses import dataclass

PUBLIC_HOST = "public.ecr.aws"
_PUBLIC_REGION = "us-east-1"  # the only one that gives logins for the public registry
_PRIVATE = re.compile(
    r"(?P<account>[0-9]{12})\.dkr(?:\.ecr(?P<fips>-fips)?\.(?P<region>[a-z]{2,4}(?:-[a-z]+)+-[0-9]{1,2})"
    r"\.amazonaws\.com(?:\.cn)?|-ecr(?P<fips6>-fips)?\.(?P<region6>[a-z]{2,4}(?:-[a-z]+)+-[0-9]{1,2})\.on\.aws)"
)


@dataclass(frozen=True)
class EcrHost:
    """One of Amazon's registries. `account` is None for the public one; `is_fips` asks for FIPS endpoints of AWS."""

    region: str
    account: str | None = None
    is_fips: bool = False


def parse_ecr_host(host: str) -> EcrHost | None:
    """What the name of a registry says, if it is one of Amazon's: exactly, since a login follows from it."""
    if host == PUBLIC_HOST:
        return EcrHost(_PUBLIC_REGION)
    found = _PRIVATE.fullmatch(host)
    if found is None:
        return None
    region, is_fips = found["region"] or found["region6"], bool(found["fips"] or found["fips6"])
    return EcrHost(region, found["account"], is_fips)
