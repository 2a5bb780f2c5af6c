"""Looking for a secret in all that a run leaves behind: as it is, and as it is written on the way."""

import base64
import sqlite3
from collections.abc import Iterable, Iterator
from pathlib import Path
from urllib.parse import quote

import zstandard


def find_traces(secret: str, places: Iterable[tuple[str, bytes]]) -> list[str]:
    """The names of the places where `secret` is, in any of its forms."""
    forms = forms_of(secret)
    return [name for name, content in places if any(form in content for form in forms)]


def forms_of(secret: str) -> set[bytes]:
    """The secret plainly, in a URL, in hexadecimal digits, and inside anything that was written in base64."""
    raw = secret.encode()
    return {raw, quote(secret, safe="").encode(), raw.hex().encode(), *_inside_base64(raw)}


def _inside_base64(raw: bytes) -> Iterator[bytes]:
    """The characters that stand for `raw` wherever it begins: a position of three, and two alphabets."""
    for shift in range(3):
        around = b"\0" * shift + raw + b"\0" * (-(shift + len(raw)) % 3)
        whole = slice(-(-shift * 8 // 6), (shift + len(raw)) * 8 // 6)  # characters that depend on `raw` alone
        yield base64.b64encode(around)[whole]
        yield base64.urlsafe_b64encode(around)[whole]


def database_rows(path: Path) -> Iterator[tuple[str, bytes]]:
    """Every value in every table of an SQLite database."""
    with sqlite3.connect(f"file:{path}?mode=ro", uri=True) as database:
        tables = [name for (name,) in database.execute("SELECT name FROM sqlite_master WHERE type = 'table'")]
        for table in tables:
            rows = database.execute(f'SELECT * FROM "{table}"')
            for row in rows:
                for (column, *_), value in zip(rows.description, row, strict=True):
                    yield f"{table}.{column}", value if isinstance(value, bytes) else str(value).encode()


def files_below(*folders: Path) -> Iterator[tuple[str, bytes]]:
    """Every file, and what is compressed in it where it is a bundle."""
    for path in (path for folder in folders for path in sorted(folder.rglob("*")) if path.is_file()):
        yield str(path), path.read_bytes()
        if path.suffix == ".zst":
            with path.open("rb") as file:
                reader = zstandard.ZstdDecompressor().stream_reader(file, read_across_frames=True)
                yield f"{path}, decompressed", reader.read()
