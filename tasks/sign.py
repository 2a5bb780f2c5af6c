"""Sign: which key signs, seen to be fit before anything is moved. The key leaves neither its file nor its block."""

from edgelift.errors import ConfigurationError
from edgelift.keys import find_public_key
from edgelift.site import SigningSettings
from tasks.connect import optional_path, private_key


def check_signing(signing: SigningSettings | None, *, public_key: str | None = None, is_pushed: bool = False) -> None:
    """Raises `ConfigurationError` where the key cannot sign.

    What the same run pushes is checked on the way, where a public key is configured: then nothing begins whose bundle
    would be refused in the end.
    """
    key = private_key(signing)
    expected = find_public_key(optional_path(public_key)) if is_pushed else None
    if expected is None:
        return
    if key is None:
        raise ConfigurationError(
            f"bundles are checked with {expected.name}, and nothing signs this one",
            hint="name the key that signs it (in a site file: signing), or leave out the public key",
        )
    if key.public_key.pem != expected.pem:
        raise ConfigurationError(
            f"bundles are checked with {expected.name}, which is not the public half of the key that signs this one",
            hint="write that with openssl pkey -in KEY -pubout -out KEY.pub",
        )
