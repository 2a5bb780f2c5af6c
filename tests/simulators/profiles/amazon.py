"""Amazon's registries: the private one of an account, and the public gallery."""

from starlette.requests import Request
from starlette.responses import Response
from starlette.types import ASGIApp

from edgelift.serve.access import Login, RequireLogin
from edgelift.serve.directory import DirectoryContent
from edgelift.serve.requests import error_response
from tests.simulators.profiles.layers import Head, answer_first, asked_of, change_head, pile
from tests.simulators.profiles.profile import Profile
from tests.simulators.profiles.refusals import (
    Decide,
    refuse,
    refuse_large_layers,
    refuse_pages_over,
    refuse_standing_tags,
)
from tests.simulators.profiles.sessions import FirstChunkOnly

USERNAME = "AWS"
SMALLEST_PART = 5 * 2**20
MOST_NAMES = 1000
_PART = "the parameter 'maxResults' must be less than or equal to 1000"


class Ecr(Profile):
    """Basic authentication with a token; repositories are made beforehand; blobs come from a storage elsewhere.

    A PATCH is answered with 201, and the bodies of those after the first are lost. `layer_limit` is in bytes.
    """

    redirects_blobs = True

    def __init__(
        self,
        token: str,
        *repositories: str,
        immutable_tags: bool = False,
        layer_limit: int = 52_000 * 2**20,
    ) -> None:
        self.login = Login(USERNAME, token)
        self.repositories = set(repositories)
        self._immutable_tags = immutable_tags
        self._layer_limit = layer_limit

    def wrap(self, app: ASGIApp, content: DirectoryContent) -> ASGIApp:
        """As ECR does it."""
        rules: list[Decide] = [
            refuse_pages_over(MOST_NAMES, 405, "UNSUPPORTED", _PART),
            refuse_large_layers(self._layer_limit, 405, "UNSUPPORTED", "the layer is larger than the maximum"),
            refuse(lambda asked: asked.kind == "referrers", 404, "NAME_UNKNOWN", "not found"),
        ]
        if self._immutable_tags:
            words = "the image tag already exists and cannot be overwritten because the repository is immutable"
            rules.append(refuse_standing_tags(content, 400, "TAG_INVALID", words))
        return pile(
            app,
            lambda inner: FirstChunkOnly(inner, SMALLEST_PART),
            *map(answer_first, rules),
            answer_first(self._refuse_unknown),
            lambda inner: RequireLogin(inner, self.login),
            change_head(_challenge),
        )

    def _refuse_unknown(self, request: Request) -> Response | None:
        repository = asked_of(request).repository
        if not repository or repository in self.repositories:
            return None
        return error_response(404, "NAME_UNKNOWN", f"The repository with name '{repository}' does not exist")


class EcrPublic(Ecr):
    """The gallery: layers of 10 000 MiB at most, no list of repositories."""

    def __init__(self, token: str, *repositories: str, layer_limit: int = 10_000 * 2**20) -> None:
        super().__init__(token, *repositories, layer_limit=layer_limit)

    def wrap(self, app: ASGIApp, content: DirectoryContent) -> ASGIApp:
        """As the gallery does it."""
        no_catalog = refuse(lambda asked: asked.kind == "catalog", 404, "UNSUPPORTED", "not supported")
        return pile(super().wrap(app, content), answer_first(no_catalog))


def _challenge(request: Request, head: Head) -> None:
    if "www-authenticate" in head.headers:
        realm = f'realm="{request.url.scheme}://{request.url.netloc}/"'
        head.headers["www-authenticate"] = f'Basic {realm},service="ecr.amazonaws.com"'
