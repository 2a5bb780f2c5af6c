"""Secrets that are easy to find again, and how many bytes of them, in any form, are in what a server heard."""

import base64
import re
from urllib.parse import quote, quote_plus

from pydantic import SecretStr

from edgelift.oci.credentials import Credential

USERNAME = "courier"
PASSWORD = "canary/pass word+äöü"
TOKEN = "canary-bearer-9f2c"
IDENTITY = "canary-identity-77ab"
COOKIE = "canary-cookie-51de"
STATE = "canary-upload-state-3c10"
SIGNATURE = "canary-signature-e8b4"
BASIC = base64.b64encode(f"{USERNAME}:{PASSWORD}".encode()).decode()
IDENTITY_BASIC = base64.b64encode(f"<token>:{IDENTITY}".encode()).decode()

MIRROR_USERNAME = "keeper"
MIRROR_PASSWORD = "canary/mirror word+ß"
MIRROR_TOKEN = "canary-mirror-bearer-4d61"
MIRROR_BASIC = base64.b64encode(f"{MIRROR_USERNAME}:{MIRROR_PASSWORD}".encode()).decode()
AWS_KEY_ID = "AKIACANARY7Q2XZL5HWP"
AWS_SECRET = "canary/aws+secret-6b0e"
AWS_SESSION = "canary-aws-session-d93a"

OF_HOME = (PASSWORD, TOKEN, BASIC)
OF_MIRROR = (MIRROR_PASSWORD, MIRROR_TOKEN, MIRROR_BASIC)
OF_AWS = (AWS_KEY_ID, AWS_SECRET, AWS_SESSION)
CREDENTIALS = (*OF_HOME, *OF_MIRROR, *OF_AWS, IDENTITY, COOKIE, IDENTITY_BASIC)
SECRETS = (*CREDENTIALS, STATE, SIGNATURE)

LOGIN = Credential(USERNAME, SecretStr(PASSWORD))
MIRROR_LOGIN = Credential(MIRROR_USERNAME, SecretStr(MIRROR_PASSWORD))
IDENTITY_LOGIN = Credential("<token>", SecretStr(""), SecretStr(IDENTITY))

_HEADERS = re.compile(rb"(?im)^(?:authorization|proxy-authorization|cookie):[ \t]*([^\r\n]*)")


def credential_bytes(heard: bytes) -> int:
    """How many bytes of `heard` are credentials: our canaries in any spelling, and any header that carries some."""
    headers = sum(len(value) for value in _HEADERS.findall(heard))
    return headers + bytes_of(_HEADERS.sub(b"", heard), CREDENTIALS)


def bytes_of(heard: bytes, secrets: tuple[str, ...]) -> int:
    """How many bytes of `heard` are one of `secrets`, in whatever spelling."""
    return sum(heard.count(form) * len(form) for form in _forms(secrets))


def found_in(text: str, secrets: tuple[str, ...] = SECRETS) -> list[str]:
    """The secrets that `text` gives away, in whatever spelling."""
    return [form.decode() for form in sorted(_forms(secrets)) if form.decode() in text]


def _forms(secrets: tuple[str, ...]) -> set[bytes]:
    return {
        form.encode() for each in secrets for form in (each, quote(each, safe=""), quote_plus(each), repr(each)[1:-1])
    }
