"""Writing a large file: whatever the pieces and the disk, the bytes are those that were given."""

import os
import random
import resource
import subprocess
import sys
from pathlib import Path

import pytest

from edgelift.bundle.output import BUFFER, OutputFile


def write(path: Path, pieces: list[bytes]) -> None:
    """Write `pieces` to a new file."""
    file = os.open(path, os.O_WRONLY | os.O_CREAT)
    try:
        with OutputFile(file) as output:
            for piece in pieces:
                output.write([piece])
            output.finish()
    finally:
        os.close(file)


@pytest.mark.parametrize("size", [0, 1, 4095, 4096, 4097, BUFFER - 1, BUFFER, BUFFER + 1, 3 * BUFFER + 12345])
def test_every_size_is_written_whole(tmp_path: Path, size: int) -> None:
    """Unbuffered writes come in whole blocks: the rest of a file has to find its way, too."""
    content = random.Random(size).randbytes(size)
    write(tmp_path / "file", [content[at : at + 100_003] for at in range(0, size, 100_003)])

    assert (tmp_path / "file").read_bytes() == content


def test_a_disk_without_unbuffered_writes_gets_buffered_ones() -> None:
    """Some file systems know no such thing; what matters is that the file is right."""
    folder = Path("/dev/shm")  # memory: older kernels refuse unbuffered files there
    if not folder.is_dir():
        pytest.skip("there is no /dev/shm on this system")
    path = folder / f"edgelift-output-{os.getpid()}"
    content = os.urandom(2 * BUFFER + 5)
    try:
        write(path, [content])
        assert path.read_bytes() == content
    finally:
        path.unlink(missing_ok=True)


def test_a_device_that_is_full_is_an_error() -> None:
    """The error of the thread that writes reaches the one that gives."""
    with pytest.raises(OSError, match="No space left"):
        write(Path("/dev/full"), [bytes(BUFFER)])


def test_a_write_that_is_cut_short_goes_on_where_it_ended(tmp_path: Path) -> None:
    """A limit amid a block ends in an error of the system's own, never in a file that looks whole."""
    script = (
        "import os, resource, signal, sys\n"
        "from edgelift.bundle.output import OutputFile\n"
        "signal.signal(signal.SIGXFSZ, signal.SIG_IGN)\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (1_000_001, 1_000_001))\n"
        "file = os.open(sys.argv[1], os.O_WRONLY | os.O_CREAT)\n"
        "try:\n"
        "    with OutputFile(file) as output:\n"
        "        output.write([bytes(2_000_000)])\n"
        "        output.finish()\n"
        "except OSError as error:\n"
        "    print(error.errno)\n"
    )
    command = [sys.executable, "-c", script, str(tmp_path / "file")]
    done = subprocess.run(command, check=True, capture_output=True, text=True)

    assert done.stdout.strip() == "27"  # EFBIG
    assert (tmp_path / "file").stat().st_size <= 1_000_001
    assert resource.getrlimit(resource.RLIMIT_FSIZE)[0] != 1_000_001
