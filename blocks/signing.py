"""The key that signs bundles."""

from prefect.blocks.core import Block
from pydantic import ConfigDict, Field, SecretStr

from edgelift.bundle.signature import PrivateKey


class SigningKey(Block):
    """An RSA key that signs bundles and their locks.

    Example:
        Load a configured block:
        ```python
        from blocks.signing import SigningKey

        key = SigningKey.load("BLOCK_NAME")
        ```
    """

    model_config = ConfigDict(hide_input_in_errors=True)  # a wrong block is told of without what is in it

    _block_type_name = "Signing Key"
    _block_type_slug = "signing-key"
    _description = "RSA key that signs content bundles and their locks."
    _documentation_url = "https://docs.openssl.org/3.0/man1/openssl-genpkey/"

    private_key: SecretStr = Field(description="PEM of the key: RSA, 2048 to 8192 bits.")
    passphrase: SecretStr | None = Field(default=None, description="Passphrase of the key; empty where it has none.")

    def get_client(self) -> PrivateKey:
        """The key, ready to sign."""
        return PrivateKey.from_pem(self.private_key, self.passphrase, "the key of the Signing Key block")
