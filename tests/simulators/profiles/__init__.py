"""The registries there are, as variants of our own: a profile a registry, composed of small layers.

    with RegistrySimulator(tmp_path, profile=Ecr("a token", "team/app")) as sim:

What each of them does is the quirk table of the facts page (registries §1.11, with §1.5 to §1.10).
"""

from tests.simulators.profiles.amazon import Ecr, EcrPublic
from tests.simulators.profiles.azure import Acr
from tests.simulators.profiles.distribution import Distribution3, Distribution28
from tests.simulators.profiles.hosted import Ghcr, Hub, Quay
from tests.simulators.profiles.onsite import Artifactory, Gar, Harbor
from tests.simulators.profiles.profile import Profile
from tests.simulators.profiles.zot import Zot

__all__ = [
    "Acr",
    "Artifactory",
    "Distribution3",
    "Distribution28",
    "Ecr",
    "EcrPublic",
    "Gar",
    "Ghcr",
    "Harbor",
    "Hub",
    "Profile",
    "Quay",
    "Zot",
]
