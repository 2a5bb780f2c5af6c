"""Make the block types known to Prefect, and fill blocks from the environment: `python -m deployments.register_blocks`.

Types are always registered. A block is written where its variables are set; secrets are read from the environment (or,
with NAME_FILE, from a file) and never from an argument:

    PALETTE_API_KEY, PALETTE_ENDPOINT                            → Palette Credentials "palette"
    REGISTRY_<BLOCK>_HOST, _USERNAME, _PASSWORD, _CA_CERT_FILE,
        _PLAIN_HTTP=true, _INSECURE=true                         → Registry Credentials "<block>", in lower case
    ARCHIVE_BUCKET, _PREFIX, _ENDPOINT, _ACCESS_KEY, _SECRET_KEY → Bundle Archive "bundles"
    RESULTS_BUCKET, _PREFIX, _ENDPOINT, _ACCESS_KEY, _SECRET_KEY → Result Storage "results"
    STORE_BUCKET, _PREFIX, _ENDPOINT, _ACCESS_KEY, _SECRET_KEY   → Blob Store "store"
    SIGNING_KEY, SIGNING_PASSPHRASE                              → Signing Key "signing"
    NOTIFY_SLACK_URL                                             → Slack Webhook "notify-slack"
    NOTIFY_WEBHOOK_URL                                           → Custom Webhook "notify-webhook"
    NOTIFY_SENDGRID_API_KEY, NOTIFY_EMAIL_FROM, NOTIFY_EMAIL_TO  → Sendgrid Email "notify-email"
"""

import argparse
import os
import re
import sys
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Any

import httpx
from prefect.blocks.core import Block
from pydantic import SecretStr, ValidationError

from blocks import BlobStore, BundleArchive, PaletteCredentials, RegistryCredentials, ResultStorage, SigningKey
from deployments.notification_blocks import notification_blocks
from deployments.server import explain_failure, require_server, server_address
from edgelift.documents import read_document
from edgelift.errors import ConfigurationError, EdgeliftError
from edgelift.explain import explain

# Of blocks with a bucket: what their variables begin with, and what they are called.
_BUCKETS = (("ARCHIVE", "bundles", BundleArchive), ("RESULTS", "results", ResultStorage), ("STORE", "store", BlobStore))


def main() -> None:
    """Register every type and write the blocks that the environment describes."""
    form = argparse.RawDescriptionHelpFormatter
    argparse.ArgumentParser(
        prog="python -m deployments.register_blocks", description=__doc__, formatter_class=form
    ).parse_args()
    try:
        blocks = blocks_from(os.environ)
        require_server()
        for kind in (PaletteCredentials, RegistryCredentials, BundleArchive, BlobStore, ResultStorage, SigningKey):
            kind.register_type_and_schema()
            sys.stdout.write(f"registered {kind.get_block_type_slug()}\n")
        for name, block in blocks.items():
            block.save(name, overwrite=True)
            sys.stdout.write(f"saved {block.get_block_type_slug()}/{name}\n")
    except EdgeliftError as error:
        sys.stderr.write(f"error: {error}\n")
        sys.exit(error.exit_code)
    except httpx.HTTPError as error:
        sys.stderr.write(f"error: cannot reach Prefect at {server_address()}: {explain_failure(error)}\n")
        sys.exit(1)


def blocks_from(environment: Mapping[str, str]) -> dict[str, Block]:
    """The blocks that `environment` describes, by name."""
    blocks: dict[str, Block] = {}
    if key := _secret(environment, "PALETTE_API_KEY"):
        endpoint = environment.get("PALETTE_ENDPOINT", "https://api.spectrocloud.com")
        blocks["palette"] = PaletteCredentials(api_key=key, endpoint=endpoint)
    for variable, host in environment.items():
        if match := re.fullmatch(r"REGISTRY_(\w+)_HOST", variable):
            blocks[match[1].lower().replace("_", "-")] = _registry(environment, f"REGISTRY_{match[1]}", host)
    for prefix, name, kind in _BUCKETS:
        if bucket := environment.get(f"{prefix}_BUCKET"):
            blocks[name] = kind(bucket=bucket, **_place(environment, prefix))
    if private_key := _secret(environment, "SIGNING_KEY"):
        blocks["signing"] = SigningKey(private_key=private_key, passphrase=_secret(environment, "SIGNING_PASSPHRASE"))
    return blocks | notification_blocks(environment, partial(_secret, environment))


def _place(environment: Mapping[str, str], prefix: str) -> dict[str, Any]:
    return {
        "prefix": environment.get(f"{prefix}_PREFIX", ""),
        "endpoint": environment.get(f"{prefix}_ENDPOINT"),
        "access_key": _secret(environment, f"{prefix}_ACCESS_KEY"),
        "secret_key": _secret(environment, f"{prefix}_SECRET_KEY"),
    }


def _registry(environment: Mapping[str, str], prefix: str, host: str) -> RegistryCredentials:
    certificate = environment.get(f"{prefix}_CA_CERT_FILE")
    try:
        return RegistryCredentials(
            registry=host,
            username=environment.get(f"{prefix}_USERNAME"),
            password=_secret(environment, f"{prefix}_PASSWORD"),
            ca_cert=read_document(Path(certificate)).decode() if certificate else None,
            plain_http=_is_set(environment, f"{prefix}_PLAIN_HTTP"),
            insecure=_is_set(environment, f"{prefix}_INSECURE"),
        )
    except (ValidationError, UnicodeDecodeError) as error:
        reason = explain(error) if isinstance(error, ValidationError) else f"{certificate} is no text"
        raise ConfigurationError(f"{prefix}_… cannot be a block: {reason}") from None


def _is_set(environment: Mapping[str, str], name: str) -> bool:
    return environment.get(name, "").lower() in {"1", "true", "yes"}


def _secret(environment: Mapping[str, str], name: str) -> SecretStr | None:
    if path := environment.get(f"{name}_FILE"):
        return SecretStr(read_document(Path(path)).decode(errors="replace").strip())
    value = environment.get(name)
    return SecretStr(value) if value else None


if __name__ == "__main__":
    main()
