"""Access to registries."""

import json
from dataclasses import replace
from pathlib import Path

from prefect.blocks.core import Block
from prefect.types import SecretDict
from pydantic import ConfigDict, Field, SecretStr, field_validator, model_validator

from blocks.load import load_block
from edgelift.access import Connections, NamedCredentials, cache_folder, open_registries, transport_settings
from edgelift.documents import write_document
from edgelift.oci.auth_ecr import EcrLogin
from edgelift.oci.credentials import Credentials
from edgelift.oci.digest import Digest
from edgelift.oci.ecr import parse_ecr_host
from edgelift.oci.reference import canonical_registry, is_registry
from edgelift.site import RegistryAccess
from edgelift.transport import ClientCertificate, TransportSettings


class RegistryCredentials(Block):
    """How to get into one registry.

    Example:
        Load a configured block:
        ```python
        from blocks.registry import RegistryCredentials

        registry = RegistryCredentials.load("BLOCK_NAME")
        ```
    """

    model_config = ConfigDict(hide_input_in_errors=True)  # a wrong block is told of without what is in it

    _block_type_name = "Registry Credentials"
    _block_type_slug = "registry-credentials"
    _description = "Login and transport settings of one OCI registry."
    _documentation_url = "https://distribution.github.io/distribution/spec/auth/"

    registry: str = Field(description="HOST[:PORT], or HOST[:PORT]/PATH for a login of one project.")
    username: str | None = Field(default=None, description="User name, for example a robot account.")
    password: SecretStr | None = Field(default=None, description="Password or access token.")
    service_account: SecretDict | None = Field(
        default=None, description="Google service account key (JSON object); the user name is then _json_key."
    )
    aws: bool = Field(
        default=False, description="Log in to Amazon ECR with the worker's AWS credentials (variables, profile, role)."
    )
    aws_profile: str | None = Field(default=None, description="The AWS profile to use; empty for AWS's own choice.")
    ca_cert: str | None = Field(default=None, description="PEM of the certificate authority of this registry.")
    client_cert: str | None = Field(default=None, description="PEM of the certificate to show to this registry.")
    client_key: SecretStr | None = Field(default=None, description="PEM of its private key, without a passphrase.")
    insecure: bool = Field(default=False, description="Do not verify the TLS certificate. For a test network only.")
    plain_http: bool = Field(default=False, description="The registry speaks plain HTTP.")
    largest_request_mib: int | None = Field(
        default=None, ge=1, description="What a proxy in front of it lets through, in MiB; found out where it is empty."
    )

    @field_validator("registry")
    @classmethod
    def _is_a_host(cls, registry: str) -> str:
        if not is_registry(registry.partition("/")[0]):
            raise ValueError("write it as HOST[:PORT] or HOST[:PORT]/PATH, without a scheme")
        return registry

    @model_validator(mode="after")
    def _has_one_login(self) -> "RegistryCredentials":
        if self.service_account is not None and self.password is not None:
            raise ValueError("give either a password or a service account")
        if self.username is not None and self.password is None:
            raise ValueError("a user name needs a password")
        if (self.client_cert is None) != (self.client_key is None):
            raise ValueError("a client certificate needs its key, and a key its certificate")
        if self.aws and (self.service_account is not None or self.password is not None):
            raise ValueError("give either a login or aws")
        if self.aws and (parse_ecr_host(self.host) is None or "/" in self.registry):
            raise ValueError("aws is for a registry of Amazon's, ACCOUNT.dkr.ecr.REGION.amazonaws.com, without a path")
        if self.aws_profile is not None and not self.aws:
            raise ValueError("a profile is for aws only")
        return self

    @property
    def host(self) -> str:
        """Host and port, in the canonical spelling."""
        return canonical_registry(self.registry.partition("/")[0])

    def credentials(self) -> Credentials:
        """The login, findable by host and path; none where the registry is open, or AWS gives it: see `named`."""
        if self.service_account is not None:
            key = json.dumps(self.service_account.get_secret_value())
            return Credentials.of([(self.registry, "_json_key", key)])
        if self.username is None or self.password is None:
            return Credentials()
        return Credentials.of([(self.registry, self.username, self.password.get_secret_value())])

    def named(self, name: str) -> NamedCredentials:
        """The login under the name of the block."""
        if self.aws:
            return NamedCredentials.of_ecr(name, EcrLogin(profile=self.aws_profile, host=self.host))
        return NamedCredentials(name, self.credentials())

    def transport_settings(self, common: TransportSettings) -> TransportSettings:
        """`common`, with what this block says of its registry."""
        return replace(
            common,
            ca_cert=_as_file(self.ca_cert) if self.ca_cert else common.ca_cert,
            client_certificate=self._client_certificate(),
            insecure=self.insecure or common.insecure,
            plain_http=common.plain_http | ({self.host} if self.plain_http else frozenset()),
            largest_request=self.largest_request_mib * 2**20 if self.largest_request_mib else common.largest_request,
        )

    def _client_certificate(self) -> ClientCertificate | None:
        if self.client_cert is None or self.client_key is None:
            return None
        key = self.client_key.get_secret_value().encode()
        return ClientCertificate(f"of the block for {self.registry}", self.client_cert.encode(), key)

    def get_client(self) -> Connections:
        """Clients that know this login and no other."""
        return open_with_blocks(RegistryAccess(docker_config=False), {"": self})


def load_registries(access: RegistryAccess) -> Connections:
    """Clients for the registries that `access` leads to, its blocks among them."""
    return open_with_blocks(access, {name: load_block(RegistryCredentials, name) for name in access.registries})


def open_with_blocks(access: RegistryAccess, blocks: dict[str, RegistryCredentials]) -> Connections:
    """Clients that know the logins of `blocks` (by name) before any other."""
    common = transport_settings(access)
    return open_registries(
        access,
        blocks=[block.named(f"block {name}") for name, block in blocks.items()],
        hosts={block.host: block.transport_settings(common) for block in blocks.values()},
    )


def _as_file(certificate: str) -> Path:
    """The PEM text as a file for the TLS library, one for each text; certificates are public."""
    content = certificate.encode()
    path = cache_folder() / "certificates" / f"{Digest.of(content).hex}.pem"
    write_document(path, content)
    return path
