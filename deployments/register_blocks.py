"""Make the block types known to Prefect, and fill blocks from the environment: `python -m deployments.register_blocks`.

Types are always registered. A block is written where its variables are set; secrets are read from the environment (or,
with NAME_FILE, from a file) and never from an argument:

    PALETTE_API_KEY, PALETTE_ENDPOINT                            → Palette Credentials "palette"
    REGISTRY_<BLOCK>_HOST, _USERNAME, _PASSWORD                  → Registry Credentials "<block>"
    ARCHIVE_BUCKET, _PREFIX, _ENDPOINT, _ACCESS_KEY, _SECRET_KEY → Bundle Archive "bundles"
"""

import os
import re
import sys
from collections.abc import Mapping
from pathlib import Path

from prefect.blocks.core import Block
from pydantic import SecretStr

from blocks import BundleArchive, PaletteCredentials, RegistryCredentials


def main() -> None:
    """Register every type and write the blocks that the environment describes."""
    for block in (PaletteCredentials, RegistryCredentials, BundleArchive):
        block.register_type_and_schema()
        sys.stdout.write(f"registered {block.get_block_type_slug()}\n")
    for name, block in blocks_from(os.environ).items():
        block.save(name, overwrite=True)
        sys.stdout.write(f"saved {block.get_block_type_slug()}/{name}\n")


def blocks_from(environment: Mapping[str, str]) -> dict[str, Block]:
    """The blocks that `environment` describes, by name."""
    blocks: dict[str, Block] = {}
    if key := _secret(environment, "PALETTE_API_KEY"):
        endpoint = environment.get("PALETTE_ENDPOINT", "https://api.spectrocloud.com")
        blocks["palette"] = PaletteCredentials(api_key=key, endpoint=endpoint)
    for variable, host in environment.items():
        if match := re.fullmatch(r"REGISTRY_(\w+)_HOST", variable):
            blocks[match[1].lower().replace("_", "-")] = _registry(environment, f"REGISTRY_{match[1]}", host)
    if bucket := environment.get("ARCHIVE_BUCKET"):
        blocks["bundles"] = BundleArchive(
            bucket=bucket,
            prefix=environment.get("ARCHIVE_PREFIX", ""),
            endpoint=environment.get("ARCHIVE_ENDPOINT"),
            access_key=_secret(environment, "ARCHIVE_ACCESS_KEY"),
            secret_key=_secret(environment, "ARCHIVE_SECRET_KEY"),
        )
    return blocks


def _registry(environment: Mapping[str, str], prefix: str, host: str) -> RegistryCredentials:
    return RegistryCredentials(
        registry=host,
        username=environment.get(f"{prefix}_USERNAME"),
        password=_secret(environment, f"{prefix}_PASSWORD"),
        plain_http=environment.get(f"{prefix}_PLAIN_HTTP", "").lower() in {"1", "true", "yes"},
    )


def _secret(environment: Mapping[str, str], name: str) -> SecretStr | None:
    if path := environment.get(f"{name}_FILE"):
        return SecretStr(Path(path).read_text(encoding="utf-8").strip())
    value = environment.get(name)
    return SecretStr(value) if value else None


if __name__ == "__main__":
    main()
