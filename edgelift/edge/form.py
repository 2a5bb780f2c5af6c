"""A multipart form (RFC 7578) whose file is read while it is sent: its size is known before, its digest after."""

import hashlib
from collections.abc import Callable, Iterator
from secrets import token_hex

from edgelift.bundle.source import ByteSource
from edgelift.oci.digest import Digest

_PIECE = 2**20  # bytes of the file that are in memory at once
# As browsers do it (HTML, "Multipart form data"): these would end the name, or the header.
_ESCAPES = str.maketrans({'"': "%22", "\r": "%0D", "\n": "%0A"})


class UploadForm:
    """The file of `source`, called `name`, in the field `uploadFile`; a `signature` in a field of that name."""

    def __init__(self, source: ByteSource, name: str, signature: bytes | None = None) -> None:
        self.name = name
        self.file_size = source.size
        self._source = source
        self._hasher = hashlib.sha256()
        boundary = f"edgelift-{token_hex(16)}"
        self.content_type = f"multipart/form-data; boundary={boundary}"
        self._before = _heading(boundary, "uploadFile", name)
        signed = b"" if signature is None else b"\r\n" + _heading(boundary, "signature", f"{name}.sig") + signature
        self._after = signed + f"\r\n--{boundary}--\r\n".encode()

    @property
    def size(self) -> int:
        """Bytes of the whole form."""
        return len(self._before) + self.file_size + len(self._after)

    @property
    def digest(self) -> Digest:
        """That of the file, once all of it has been sent."""
        return Digest(f"sha256:{self._hasher.hexdigest()}")

    def body(self, on_progress: Callable[[int], None]) -> Iterator[bytes]:
        """The form in pieces, to be taken once; `on_progress` gets the bytes of the file as they go.

        Raises `EdgeliftError` where the file cannot be read, or has become shorter.
        """
        yield self._before
        with self._source.passage(0, self.file_size) as read_at:
            for offset in range(0, self.file_size, _PIECE):
                piece = read_at(offset, min(_PIECE, self.file_size - offset))
                self._hasher.update(piece)
                yield piece
                on_progress(len(piece))
        yield self._after


def _heading(boundary: str, field: str, file_name: str) -> bytes:
    """What stands before the content of a file."""
    return (
        f"--{boundary}\r\n"
        f'Content-Disposition: form-data; name="{field}"; filename="{file_name.translate(_ESCAPES)}"\r\n'
        "Content-Type: application/octet-stream\r\n"
        "\r\n"
    ).encode(errors="replace")
