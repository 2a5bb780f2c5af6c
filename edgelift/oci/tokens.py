"""Asking a registry's token server for a token (distribution project: "Token Authentication", "OAuth2")."""

from urllib.parse import urlencode

import httpx

from edgelift.errors import RegistryError
from edgelift.oci.auth import Token, TokenRequest, format_basic, how_to_log_in, parse_token
from edgelift.oci.credentials import Credential
from edgelift.oci.failures import refusal
from edgelift.oci.gate import UrlGate, show
from edgelift.oci.wire import Call, Reply, Wire

_DOING = "get a token"


def fetch_token(wire: Wire, gate: UrlGate, request: TokenRequest) -> Token:
    """The token that `request` asks for, after one attempt.

    Raises `DeniedError` where the credentials are refused, and `RegistryError` where the realm is not one that may see
    them. Redirects are not followed.
    """
    passage = gate.admit(request.realm, "token realm", base=gate.origin)
    if request.credential is not None and not passage.has_credentials:
        realm = httpx.URL(passage.url)
        raise RegistryError(
            f"{wire.host} asks for its credentials to be sent to {show(realm)}, which does not look like its own",
            hint=f"if that is its token server, allow it: --trusted-realm {realm.netloc.decode()}, or trusted_realms",
        )
    reply = _exchange_identity_token(wire, passage.url, request) or _ask(wire, passage.url, request)
    try:
        return parse_token(reply.body, wire.clock.now())
    except (ValueError, RecursionError):
        raise RegistryError(f"{wire.place(reply.url)}: cannot {_DOING}: the answer holds none") from None


def _ask(wire: Wire, realm: str, request: TokenRequest) -> Reply:
    fields = [("service", request.service)] if request.service else []
    fields += [("scope", scope) for scope in request.scopes]
    url = realm + ("&" if "?" in realm else "?") * bool(fields) + urlencode(fields)
    call = Call("GET", url, _DOING)
    return _accept(wire, request, call, wire.read(call, wire.send(call, url, _basic(request.credential))))


def _basic(credential: Credential | None) -> str | None:
    if credential is None:
        return None
    secret = credential.password
    if not secret and credential.identity_token is not None:
        secret = credential.identity_token  # some servers that know no OAuth2 take it as a password
    return format_basic(credential.username, secret.get_secret_value())


def _exchange_identity_token(wire: Wire, realm: str, request: TokenRequest) -> Reply | None:
    """The answer to the OAuth2 way of asking; None where there is no identity token, or the server does not know it."""
    if request.credential is None or request.credential.identity_token is None:
        return None
    refresh_token = request.credential.identity_token.get_secret_value()
    form = {
        "grant_type": "refresh_token",
        "service": request.service,
        "client_id": "edgelift",
        "scope": " ".join(request.scopes),
        "refresh_token": refresh_token,
    }
    headers = {"content-type": "application/x-www-form-urlencoded"}
    call = Call("POST", realm, _DOING, headers=headers, content=urlencode(form).encode(), secrets=(refresh_token,))
    reply = wire.read(call, wire.send(call, realm))
    return None if reply.status in (404, 405) else _accept(wire, request, call, reply)


def _accept(wire: Wire, request: TokenRequest, call: Call, reply: Reply) -> Reply:
    if reply.status == httpx.codes.OK:
        return reply
    hint = f"check the user name and password for {wire.host}" if request.credential else how_to_log_in(wire.host)
    raise refusal(wire.place(reply.url), call.doing, reply.status, reply.problem, hint)
