"""Access to the Palette API."""

from prefect.blocks.core import Block
from pydantic import ConfigDict, Field, SecretStr

from edgelift.palette.client import PaletteClient


class PaletteCredentials(Block):
    """An API key of Spectro Cloud Palette and where it is valid.

    Example:
        Load a configured block:
        ```python
        from blocks.palette import PaletteCredentials

        palette = PaletteCredentials.load("BLOCK_NAME")
        ```
    """

    model_config = ConfigDict(hide_input_in_errors=True)  # a wrong block is told of without what is in it

    _block_type_name = "Palette Credentials"
    _block_type_slug = "palette-credentials"
    _description = "API key of Spectro Cloud Palette."
    _documentation_url = "https://docs.spectrocloud.com/user-management/authentication/api-key/create-api-key/"

    endpoint: str = Field(default="https://api.spectrocloud.com", description="Address of the Palette API.")
    api_key: SecretStr = Field(description="API key, as made under My API Keys.")
    insecure: bool = Field(default=False, description="Do not verify the TLS certificate of a test installation.")

    def get_client(self, project: str | None = None) -> PaletteClient:
        """A client for `project` (uid or name), or for the whole tenant."""
        return PaletteClient(self.endpoint, self.api_key, project=project, insecure=self.insecure)
