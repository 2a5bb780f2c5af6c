"""What all blocks that stand for a bucket have in common."""

from typing import Any

from pydantic import BaseModel, Field, SecretStr


class Bucket(BaseModel):
    """A bucket, at AWS or at any other S3 server, and how to get in."""

    bucket: str = Field(description="Name of the bucket.")
    prefix: str = Field(default="", description="Prefix of every key, for example edgelift/.")
    endpoint: str | None = Field(default=None, description="Address of an S3 server other than AWS.")
    region: str | None = Field(default=None, description="Region of the bucket.")
    access_key: SecretStr | None = Field(default=None, description="Access key; empty for the worker's own identity.")
    secret_key: SecretStr | None = Field(default=None, description="Secret key that goes with the access key.")

    def place(self) -> dict[str, Any]:
        """All of it, as the clients of the library take it."""
        return {name: getattr(self, name) for name in Bucket.model_fields}
