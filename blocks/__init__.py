"""The settings, secrets among them, as Prefect blocks: fields and `get_client()`, nothing else."""

from blocks.archive import BundleArchive
from blocks.palette import PaletteCredentials
from blocks.registry import RegistryCredentials
from blocks.results import ResultStorage
from blocks.signing import SigningKey
from blocks.store import BlobStore

__all__ = ["BlobStore", "BundleArchive", "PaletteCredentials", "RegistryCredentials", "ResultStorage", "SigningKey"]
