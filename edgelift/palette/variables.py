"""Whether a value is one that a variable of a profile may have: by its format, its options and its pattern."""

import base64
import json
import re
import subprocess
import sys
from collections.abc import Callable, Mapping
from ipaddress import IPv4Address, IPv4Interface, IPv6Address

from edgelift.palette.models import ProfileVariable

_PATIENCE = 5.0  # seconds for a pattern; a good one takes microseconds
_MATCHES, _DIFFERS = 10, 11
# In a process of its own: there are patterns that take years, and Python cannot be told to stop.
_MATCHER = f"""\
import json, re, sys
pattern, text = json.load(sys.stdin)
sys.exit({_MATCHES} if re.search(pattern, text) else {_DIFFERS})
"""
_NUMBER = re.compile(r"[+-]?(\d+(\.\d*)?|\.\d+)([eE][+-]?\d+)?")
_VERSION = re.compile(r"v?\d+(\.\d+)*([-+][0-9A-Za-z.+-]+)?")


def explain_refusal(variable: ProfileVariable, value: str) -> str | None:
    """Why `variable` cannot have `value`, without naming the value; None where it can."""
    options = [option.value for option in variable.options]
    if options and value not in options:
        return f"it has to be one of {', '.join(options)}"
    read = _FORMATS.get(variable.format)
    if read is not None and not _takes(read, value):
        return f"it has to be of the format {variable.format}"
    if variable.regex and matches(variable.regex, value) is False:
        return f"it has to match {variable.regex}"
    return None


def matches(pattern: str, text: str, patience: float = _PATIENCE) -> bool | None:
    """Whether `text` has what `pattern` describes; None where nobody can tell.

    Palette's patterns are Go's: the few that Python reads in no way, and those that take more than `patience` seconds,
    are left to Palette.
    """
    try:
        run = subprocess.run(  # noqa: S603  # this interpreter and the program above
            [sys.executable, "-I", "-c", _MATCHER],
            input=json.dumps([pattern, text]).encode(),
            capture_output=True,
            timeout=patience,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired):
        return None
    return {_MATCHES: True, _DIFFERS: False}.get(run.returncode)


def _takes(read: Callable[[str], object], value: str) -> bool:
    try:
        return bool(read(value))
    except ValueError:
        return False


def _cidr(value: str) -> bool:
    return "/" in value and bool(IPv4Interface(value))


def _base64(value: str) -> bool:
    base64.b64decode(value, validate=True)
    return True


# `string` and formats that are not known take anything.
_FORMATS: Mapping[str, Callable[[str], object]] = {
    "number": _NUMBER.fullmatch,
    "boolean": {"true", "false"}.__contains__,
    "ipv4": IPv4Address,
    "ipv4cidr": _cidr,
    "ipv6": IPv6Address,
    "version": _VERSION.fullmatch,
    "base64": _base64,
}
