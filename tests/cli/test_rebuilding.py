"""`build --check`: whether a bundle is, to the byte, what its lock gives; and `--compression-level`, in the lock."""

from pathlib import Path

import pytest

from tests.bundle.conftest import Assembled, mixed  # noqa: F401 - a fixture
from tests.bundle.crafting import container_of, craft, parts_of, tar_of_parts
from tests.cli.commands import CommandLine


@pytest.fixture
def recompressed(mixed: Assembled, tmp_path: Path) -> Path:  # noqa: F811 - the fixture above
    """The right content in the right frames, compressed as another release of zstd might have."""
    tar = tar_of_parts(parts_of(mixed.lock, mixed.content))
    return craft(tmp_path, tar, container_of(mixed.lock).frames(), level=19)


def test_a_bundle_is_what_its_lock_gives(mixed: Assembled, command_line: CommandLine) -> None:  # noqa: F811
    """No network, no name and no store is needed for that."""
    shown = command_line.run("build", "--check", mixed.path)
    told = command_line.run("build", "--check", mixed.path, "--json").document

    assert (shown.code, shown.out) == (0, f"{mixed.path}: ok, its lock gives the same {mixed.summary.size:,} bytes\n")
    assert told == {"file": str(mixed.path), "verdict": "ok", "size": mixed.summary.size}


def test_a_bundle_that_another_zstd_has_made_is_told_apart(recompressed: Path, command_line: CommandLine) -> None:
    """It verifies, and is still another file than a build makes here: digests and signatures differ."""
    verified, checked = command_line.run("verify", recompressed), command_line.run("build", "--check", recompressed)

    assert (verified.code, checked.code) == (0, 1)
    assert "built here it is another file, from byte" in checked.error


def test_a_damaged_bundle_is_not_compared(mixed: Assembled, command_line: CommandLine) -> None:  # noqa: F811
    """Damage is called damage, not another release of zstd."""
    file = bytearray(mixed.path.read_bytes())
    file[len(file) // 2] ^= 1
    mixed.path.write_bytes(file)
    outcome = command_line.run("build", "--check", mixed.path)

    assert outcome.code == 1
    assert "is damaged" in outcome.error


def test_a_build_needs_a_name(command_line: CommandLine) -> None:
    """Only a check does without."""
    outcome = command_line.run("build", "--image", "nginx")

    assert (outcome.code, "give it one with --name" in outcome.error) == (2, True)


def test_a_lock_has_its_own_level_of_compression(mixed: Assembled, command_line: CommandLine) -> None:  # noqa: F811
    """What a lock says is built; an option that says otherwise is refused rather than overheard."""
    (command_line.folder / "site.lock.json").write_bytes(mixed.lock.to_json())
    outcome = command_line.run("build", "--name", "site", "--lock", "site.lock.json", "--compression-level", 19)

    assert (outcome.code, "--lock is built as it is" in outcome.error) == (2, True)


def test_a_quick_look_says_what_it_has_not_seen(mixed: Assembled, command_line: CommandLine) -> None:  # noqa: F811
    """Damaged content passes, and the answer is not the one of a whole verification."""
    file = bytearray(mixed.path.read_bytes())
    raw = next(blob for blob in container_of(mixed.lock).blobs if blob.is_raw and blob.size > 100)
    file[file.index(mixed.content.blobs[raw.descriptor.digest][:100])] ^= 1
    mixed.path.write_bytes(file)
    quick, whole = command_line.run("verify", mixed.path, "--quick"), command_line.run("verify", mixed.path)
    told = command_line.run("verify", mixed.path, "--quick", "--json").document

    assert (quick.code, whole.code) == (0, 1)
    assert "structure ok" in quick.out
    assert "content not looked at" in quick.out
    assert (told["verdict"], told["signature"]) == ("structure ok", "none")
