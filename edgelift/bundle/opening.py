"""From what people name as a bundle to its bytes: a file, one in parts, or an object in S3."""

from pathlib import Path

from edgelift.bundle.part_files import find_index, is_in_parts, open_parts
from edgelift.bundle.parts import index_path
from edgelift.bundle.source import ByteSource, LocalFile, is_object
from edgelift.errors import BundleError


def open_source(place: Path | str) -> ByteSource:
    """Open a path, or s3://bucket/key with the server and the keys that boto3 finds. Raises `EdgeliftError`.

    A bundle in parts is named by its index, by any of its parts, or by the folder that holds them.
    """
    if isinstance(place, str) and is_object(place):
        from edgelift.s3_object import open_object  # noqa: PLC0415 - loads boto3, which no file needs

        return open_object(place)
    path = Path(place)
    index_file = find_index(path)
    if index_file is not None:
        return open_parts(index_file)
    try:
        return LocalFile(path)
    except BundleError as error:
        if not is_in_parts(path):
            raise
        raise BundleError(error.message, hint=f"it is in parts: name {index_path(path)}") from None
