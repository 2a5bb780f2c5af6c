"""The options that sign, and those that demand signatures. No key is an argument: files and blocks hold it."""

import os
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from edgelift.errors import ConfigurationError
from edgelift.keys import read_private_key

if TYPE_CHECKING:
    from edgelift.site import SigningSettings

SIGNATURES = "Signatures"

PublicKeyFile = Annotated[
    Path | None,
    typer.Option(
        "--public-key",
        metavar="FILE",
        help="Refuse what is not signed with the private half of this key (PEM); default: EDGELIFT_PUBLIC_KEY.",
        rich_help_panel=SIGNATURES,
    ),
]
SigningKeyFile = Annotated[
    Path | None,
    typer.Option("--signing-key", metavar="FILE", help="Sign with this RSA key (PEM).", rich_help_panel=SIGNATURES),
]
SigningKeyFd = Annotated[
    int | None,
    typer.Option(
        "--signing-key-fd",
        metavar="N",
        envvar="EDGELIFT_SIGNING_KEY_FD",
        help="Read that key from a file descriptor.",
        rich_help_panel=SIGNATURES,
    ),
]
SigningKeyBlock = Annotated[
    str | None,
    typer.Option(
        "--signing-key-block", metavar="NAME", help="Take it from a Signing Key block.", rich_help_panel=SIGNATURES
    ),
]
PassphraseFd = Annotated[
    int | None,
    typer.Option(
        "--passphrase-fd",
        metavar="N",
        envvar="EDGELIFT_PASSPHRASE_FD",
        help="Read its passphrase from a file descriptor; default: EDGELIFT_SIGNING_PASSPHRASE.",
        rich_help_panel=SIGNATURES,
    ),
]


def signing_of(
    *, key: Path | None, key_fd: int | None, block: str | None, passphrase_fd: int | None
) -> "SigningSettings | None":
    """The key that signs, as the options say; raises `ConfigurationError` where one that is not in a block cannot."""
    from edgelift.site import SigningSettings  # noqa: PLC0415 - what only checks signatures does without

    if passphrase_fd is not None and key is None and key_fd is None:
        raise ConfigurationError("--passphrase-fd is for the key of --signing-key or --signing-key-fd")
    if sum(each is not None for each in (key, key_fd, block)) > 1:
        raise ConfigurationError("one key signs: name one of the --signing-key options")
    path = key.absolute() if key is not None else _descriptor("--signing-key-fd", key_fd)
    if path is None:
        return SigningSettings(block=block) if block is not None else None
    passphrase = _descriptor("--passphrase-fd", passphrase_fd)
    read_private_key(path, passphrase)
    return SigningSettings(file=str(path), passphrase_file=str(passphrase) if passphrase is not None else None)


def _descriptor(option: str, number: int | None) -> Path | None:
    """The file descriptor `number` as a path, where it was handed to us; those of our own are not inherited."""
    if number is None:
        return None
    try:
        is_handed_over = os.get_inheritable(number)
    except (OSError, OverflowError):
        is_handed_over = False
    if not is_handed_over:
        raise ConfigurationError(
            f"{option}: the file descriptor {number} is not open",
            hint=f"open it in your shell, for example {number}< FILE",
        )
    return Path(f"/dev/fd/{number}")
