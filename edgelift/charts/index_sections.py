"""The sections of an index, one a chart, by where they stand in its text: what nobody asks for is not parsed. Pure.

They are told where the text is laid out as Helm and its like write it: each chart's name at the beginning of a line of
its own, all as deep as the first. Of any other layout nothing is said; it is parsed as a whole.
"""

import re
from collections.abc import Mapping
from itertools import islice

_ENTRIES = re.compile(rb"^entries:[ \t]*\r?\n", re.MULTILINE)
_FIRST = re.compile(rb"(?:[ \t]*(?:#[^\n]*)?\r?\n)*( {1,16})[^\s#-]")
_NAME = rb"[\w.+-]{1,250}"
_KEY = re.compile(rb"(?:\"(%s)\"|'(%s)'|(%s)):(?=\s|\Z)" % ((_NAME,) * 3))
_LIST_ENTRY = re.compile(rb"-(?=\s)")  # may be as deep as the name of its chart


def find_sections(content: bytes) -> Mapping[str, tuple[int, int]] | None:
    """Where the section of each chart begins and ends in `content`, its name included; None for another layout.

    A name that is there twice counts as it does in YAML, the last time.
    """
    heads = list(islice(_ENTRIES.finditer(content), 2))
    first = _FIRST.match(content, heads[0].end()) if len(heads) == 1 else None
    if first is None:
        return None
    depth, starts, end = len(first[1]), list[tuple[str, int]](), len(content)
    # A line of a text that goes on is deeper than what it belongs to, so that none of these is one.
    for line in re.compile(rb"^ {0,%d}(?=[^\s#])" % depth, re.MULTILINE).finditer(content, heads[0].end()):
        if line.start() == line.end():
            end = line.start()
            break
        key = _KEY.match(content, line.end())
        if len(line[0]) < depth or (key is None and _LIST_ENTRY.match(content, line.end()) is None):
            return None
        if key is not None:
            starts.append(((key[1] or key[2] or key[3]).decode(), line.start()))
    ends = [start for _, start in starts[1:]] + [end]
    return {name: (start, stop) for (name, start), stop in zip(starts, ends, strict=True)}
