"""The gate for URLs that a registry gives us."""

import pytest

from edgelift.errors import RegistryError
from edgelift.oci.gate import UrlGate, UrlKind

HOME = "https://registry.example.com"
BASE = f"{HOME}/v2/app/blobs/uploads/"

ADMITTED: dict[str, tuple[UrlKind, str, str, bool]] = {
    "a location at home": ("upload location", "/v2/app/blobs/uploads/1?_state=a%2fb==&x=", HOME, True),
    "a location with its host": ("upload location", f"{HOME}/v2/u?_state=Q%3D", "", True),
    "a location with the default port": ("upload location", "https://registry.example.com:443/v2/u", "", True),
    "a location at another host": ("upload location", "https://storage.example.net/u?sig=1", "", False),
    "a location at another port": ("upload location", "https://registry.example.com:8443/v2/u", "", False),
    "a redirect to another host": ("redirect", "https://bucket.s3.amazonaws.com/x?X-Amz-Signature=1", "", False),
    "the next page": ("next page", "/v2/app/tags/list?n=100&last=x", HOME, True),
    "the token server at home": ("token realm", f"{HOME}/token", "", True),
    "the token server at another port": ("token realm", "https://registry.example.com:5001/auth", "", True),
    "the token server next door": ("token realm", "https://auth.example.com/token", "", True),
    "the token server one floor up": ("token realm", "https://example.com/jwt/auth", "", True),
    "a stranger as token server": ("token realm", "https://auth.example.net/token", "", False),
}


@pytest.mark.parametrize(("kind", "url", "prefix", "credentials"), ADMITTED.values(), ids=ADMITTED)
def test_admitted(kind: UrlKind, url: str, prefix: str, credentials: bool) -> None:
    """What may be asked, and whether our credentials go along; the URL's query stays as it is."""
    passage = UrlGate(HOME).admit(url, kind, base=BASE)

    assert (prefix + url).replace(":443/", "/") == passage.url
    assert credentials == passage.has_credentials


REFUSED: dict[str, tuple[UrlKind, str]] = {
    "a redirect out of TLS": ("redirect", "http://storage.example.net/x"),
    "a location out of TLS": ("upload location", "http://storage.example.net/x"),
    "a realm out of TLS": ("token realm", "http://registry.example.com/token"),
    "a realm out of TLS next door": ("token realm", "http://auth.example.com/token"),
    "a page elsewhere": ("next page", "https://storage.example.net/v2/app/tags/list"),
    "a page at another port": ("next page", "https://registry.example.com:8443/v2/app/tags/list"),
    "a user in it": ("redirect", "https://someone:secret@registry.example.com/x"),
    "a file": ("redirect", "file:///etc/passwd"),
    "another protocol": ("upload location", "gopher://registry.example.com/x"),
    "no host": ("redirect", "http:///x"),
    "no URL": ("redirect", "https://[::1/x"),
}


@pytest.mark.parametrize(("kind", "url"), REFUSED.values(), ids=REFUSED)
def test_refused(kind: UrlKind, url: str) -> None:
    """What is not asked, whatever the registry says; the error names registry and kind, and no secret."""
    with pytest.raises(RegistryError) as caught:
        UrlGate(HOME).admit(url, kind, base=BASE)

    text = str(caught.value)
    assert ("registry.example.com" in text, kind in text, "secret" in text) == (True, True, False)


def test_plain_locations_of_the_registry_itself_are_taken_with_tls() -> None:
    """A registry behind a TLS proxy often writes http:// for itself: TLS it is."""
    passage = UrlGate(HOME).admit("http://registry.example.com/v2/u?_state=1", "upload location", base=BASE)

    assert (passage.url, passage.has_credentials) == (f"{HOME}/v2/u?_state=1", True)


def test_tls_that_a_plain_registry_led_to_is_not_left_again() -> None:
    """Once a chain of redirects has come to TLS it stays there."""
    gate = UrlGate("http://10.0.0.5:5000")

    assert gate.admit("http://10.0.0.6/x", "redirect", base="http://10.0.0.5:5000/v2/").has_credentials is False
    with pytest.raises(RegistryError, match="leaves TLS"):
        gate.admit("http://10.0.0.6/x", "redirect", base="https://storage.example.net/x")


REALMS = {
    "Docker Hub": ("registry-1.docker.io", "auth.docker.io", True),
    "the same address": ("10.0.0.5:5000", "10.0.0.5:5001", True),
    "addresses that look alike": ("10.0.0.5", "10.1.0.5", False),
    "a bare name": ("harbor", "harbor", True),
    "two bare names": ("harbor", "vault", False),
    "the same country code": ("registry.example.co.uk", "evil.co.uk", False),
    "the same owner in that country": ("registry.example.co.uk", "auth.example.co.uk", True),
    "another customer of the cloud": ("mine.azurecr.io", "yours.azurecr.io", False),
    "another customer of the cloud, in China": ("mine.amazonaws.com.cn", "yours.amazonaws.com.cn", False),
    "another customer of the cloud, by its new name": ("mine.on.aws", "yours.on.aws", False),
    "one cloud's region": ("registry.cn-hangzhou.aliyuncs.com", "dockerauth.cn-hangzhou.aliyuncs.com", True),
    "the name within a name": ("example.com", "example.com.evil.net", False),
    "the end of the name": ("registry.example.com", "badexample.com", False),
}


@pytest.mark.parametrize(("registry", "realm", "own"), REALMS.values(), ids=REALMS)
def test_which_token_servers_are_a_registrys_own(registry: str, realm: str, own: bool) -> None:
    """Credentials go to token servers whose name shows that they belong to the registry."""
    gate = UrlGate(f"https://{registry}")

    assert own == gate.admit(f"https://{realm}/token", "token realm", base=gate.origin).has_credentials


def test_a_trusted_realm_gets_credentials() -> None:
    """A token server of a name that has nothing in common can be named in the settings."""
    gate = UrlGate(HOME, frozenset({"sso.corp.example"}))

    assert gate.admit("https://sso.corp.example/token", "token realm", base=HOME).has_credentials
    assert not gate.admit("https://sso.corp.example:8443/token", "token realm", base=HOME).has_credentials
