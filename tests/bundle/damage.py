"""Ways to damage, change and forge a bundle, each a function of the good one and of chance.

damaged = flip(subject, random.Random(7))     # the bytes of a file that is not that bundle any more

What is made by hand has right checksums, a right seal and a right seek table: only what it says can give it away.
"""

import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property

import zstandard

from edgelift.bundle.container import END_OF_TAR, Container, Span
from edgelift.bundle.lock import BundleLock, LockedImage
from edgelift.bundle.seek_table import Frame, SeekTable
from edgelift.oci.descriptor import Descriptor
from tests.bundle.content import GZIP, ZSTD, MemoryContent, lock_of
from tests.bundle.crafting import Part, container_of, frames_of, parts_of, plain_spans, tar_of_parts


@dataclass(frozen=True)
class Subject:
    """A good bundle as its `file`, and all that it was made from; `signature` is that of its lock."""

    file: bytes
    lock: BundleLock
    content: MemoryContent
    signature: bytes | None = None

    @property
    def parts(self) -> list[Part]:
        """The members of its tar, to be changed."""
        return parts_of(self.lock, self.content, self.signature)

    @cached_property
    def container(self) -> Container:
        """Where they are."""
        return container_of(self.lock, self.signature)

    @cached_property
    def tar(self) -> bytes:
        """Its tar."""
        return tar_of_parts(self.parts)

    @cached_property
    def spans(self) -> list[Span]:
        """How its tar is cut."""
        return list(self.container.frames())

    @cached_property
    def frames(self) -> list[Frame]:
        """Its frames in the file, without the seal."""
        table = SeekTable.read(lambda offset, length: self.file[offset : offset + length], len(self.file))
        assert table is not None
        return [frame for frame in table if frame.size]

    @property
    def end(self) -> int:
        """Where the frames end in the file, and seal and seek table begin."""
        return self.frames[-1].stored_start + self.frames[-1].stored_size


Damage = Callable[[Subject, random.Random], bytes]


# What happens to files


def flip(subject: Subject, chance: random.Random) -> bytes:
    """One bit, anywhere."""
    return _flipped(subject.file, chance, 0, len(subject.file))


def flip_frame_header(subject: Subject, chance: random.Random) -> bytes:
    """One bit of what a frame begins with: of its header or that of its first block."""
    start = chance.choice(subject.frames).stored_start
    return _flipped(subject.file, chance, start, start + 13)


def flip_closing(subject: Subject, chance: random.Random) -> bytes:
    """One bit of the seal or the seek table."""
    return _flipped(subject.file, chance, subject.end, len(subject.file))


def zero_out(subject: Subject, chance: random.Random) -> bytes:
    """A sector that was never written."""
    start = chance.randrange(len(subject.file) - 64)
    gone = bytes(64) if any(subject.file[start : start + 64]) else b"\1" * 64
    return subject.file[:start] + gone + subject.file[start + 64 :]


def cut(subject: Subject, chance: random.Random) -> bytes:
    """Only the beginning."""
    return subject.file[: chance.randrange(len(subject.file))]


def extend(subject: Subject, chance: random.Random) -> bytes:
    """More than there should be."""
    return subject.file + chance.randbytes(chance.randrange(1, 200))


def insert(subject: Subject, chance: random.Random) -> bytes:
    """Some bytes too many in the middle."""
    at = chance.randrange(len(subject.file))
    return subject.file[:at] + chance.randbytes(chance.randrange(1, 50)) + subject.file[at:]


def take_out(subject: Subject, chance: random.Random) -> bytes:
    """Some bytes missing in the middle."""
    at = chance.randrange(len(subject.file) - 50)
    return subject.file[:at] + subject.file[at + chance.randrange(1, 50) :]


def move(subject: Subject, chance: random.Random) -> bytes:
    """The end before the middle."""
    start, stop = sorted(chance.sample(range(0, len(subject.file), 16), 2))
    return subject.file[:start] + subject.file[stop:] + subject.file[start:stop]


# What someone does to the tar, who makes frames, checksums and seal anew


def change_tar(subject: Subject, chance: random.Random) -> bytes:
    """One byte, anywhere."""
    tar = bytearray(subject.tar)
    tar[chance.randrange(len(tar))] ^= chance.randrange(1, 256)
    return frames_of(bytes(tar), subject.spans)


def change_header(subject: Subject, chance: random.Random) -> bytes:
    """One bit of a member's header."""
    parts = subject.parts
    part = chance.choice(parts)
    part.header = _flipped(part.header, chance, 0, len(part.header))
    return frames_of(tar_of_parts(parts), subject.spans)


def change_padding(subject: Subject, chance: random.Random) -> bytes:
    """One bit of what is between members, or after the last."""
    parts, end = subject.parts, END_OF_TAR
    padded = [part for part in parts if part.padding]
    number = chance.randrange(len(padded) + 1)
    if number == len(padded):
        end = _flipped(end, chance, 0, len(end))
    else:
        padded[number].padding = _flipped(padded[number].padding, chance, 0, len(padded[number].padding))
    return frames_of(tar_of_parts(parts, end), subject.spans)


def swap_members(subject: Subject, chance: random.Random) -> bytes:
    """Two members in each other's place."""
    parts = subject.parts
    one, other = chance.sample(range(len(parts)), 2)
    parts[one], parts[other] = parts[other], parts[one]
    return frames_of(tar_of_parts(parts), subject.spans)


def swap_contents(subject: Subject, chance: random.Random) -> bytes:
    """A blob with other content of the same size under its name."""
    parts = subject.parts
    part = chance.choice([part for part in parts if part.name.startswith("blobs/") and len(part.content) > 1])
    part.content = chance.choice([bytes(len(part.content)), chance.randbytes(len(part.content)), part.content[::-1]])
    return frames_of(tar_of_parts(parts), subject.spans)


def swap_frames(subject: Subject, chance: random.Random) -> bytes:
    """Two frames in each other's place, and the seek table to match."""
    spans = list(subject.spans)
    one, other = sorted(chance.sample(range(len(spans)), 2))
    order = list(range(len(spans)))
    order[one], order[other] = order[other], order[one]
    tar = b"".join(subject.tar[spans[number].start : spans[number].stop] for number in order)
    return frames_of(tar, _laid_end_to_end([spans[number] for number in order]))


def cut_otherwise(subject: Subject, chance: random.Random) -> bytes:
    """The same tar in other frames, or in one that has no table."""
    spans, number = list(subject.spans), chance.randrange(len(subject.spans))
    span = spans[number]
    ways = {
        "as other tools do": lambda: list(plain_spans(len(subject.tar))),
        "in halves": lambda: _halved(spans, chance.choice([at for at, each in enumerate(spans) if _size(each) > 1])),
        "of the other kind": lambda: [*spans[:number], _other_kind(span), *spans[number + 1 :]],
    }
    way = chance.choice([*ways, "without a table"])
    if way == "without a table":
        return zstandard.compress(subject.tar, level=chance.randrange(1, 10))
    return frames_of(subject.tar, ways[way]())


# What someone does to the lock, who makes all the rest anew


def contradict(subject: Subject, chance: random.Random) -> bytes:
    """A lock that the manifests do not bear out."""
    images = list(subject.lock.images)
    number = chance.choice([at for at, image in enumerate(images) if len(image.blobs) > 1])
    image = images[number]
    at = chance.randrange(len(image.blobs))
    blob = image.blobs[at]
    content = MemoryContent(dict(subject.content.blobs))
    stranger = content.add(chance.randbytes(chance.randrange(1, 900)), blob.media_type)
    other = blob.model_copy(update={"media_type": ZSTD if blob.media_type == GZIP else GZIP})
    images[number] = chance.choice(
        [
            _with_blobs(image, (*image.blobs[:at], *image.blobs[at + 1 :])),
            _with_blobs(image, (*image.blobs[:at], stranger, *image.blobs[at + 1 :])),
            _with_blobs(image, (*image.blobs, stranger)),
            _with_blobs(image, (*image.blobs[:at], other, *image.blobs[at + 1 :])),
        ]
    )
    return _remade(subject, images, content)


def forge(subject: Subject, chance: random.Random) -> bytes:
    """A lock that is right in itself, of another bundle: nothing but a signature tells which one is wanted."""
    images = list(subject.lock.images)
    one, other = chance.sample(range(len(images)), 2)
    first, second = images[one], images[other]
    content = MemoryContent(dict(subject.content.blobs))
    evil = content.add_image(first.reference, [content.add(chance.randbytes(500), GZIP)])
    changes: list[Callable[[], Sequence[LockedImage]]] = [
        lambda: [each for each in images if each is not first],
        lambda: [_named(each, {first: second, second: first}.get(each, each).reference) for each in images],
        lambda: [_named(each, f"{each.reference}-1") if each is first else each for each in images],
        lambda: [evil if each is first else each for each in images],
        lambda: [*images[1:], images[0]],
    ]
    return _remade(subject, chance.choice(changes)(), content)


def compress_otherwise(subject: Subject, chance: random.Random) -> bytes:
    """The very frames, but compressed at another level than the lock says: as right as what another zstd makes."""
    return frames_of(subject.tar, subject.spans, level=chance.choice([1, 7, 19]))


def _remade(subject: Subject, images: Sequence[LockedImage], content: MemoryContent) -> bytes:
    """The whole bundle of other `images`, still with the signature of the lock as it was."""
    lock = lock_of(*images)
    tar = tar_of_parts(parts_of(lock, content, subject.signature))
    return frames_of(tar, container_of(lock, subject.signature).frames())


def _flipped(content: bytes, chance: random.Random, start: int, stop: int) -> bytes:
    changed = bytearray(content)
    changed[chance.randrange(start, stop)] ^= 1 << chance.randrange(8)
    return bytes(changed)


def _size(span: Span) -> int:
    return span.stop - span.start


def _other_kind(span: Span) -> Span:
    return Span(span.start, span.stop, is_raw=not span.is_raw)


def _halved(spans: list[Span], number: int) -> list[Span]:
    span = spans[number]
    middle = (span.start + span.stop) // 2
    halves = [Span(span.start, middle, span.is_raw), Span(middle, span.stop, span.is_raw)]
    return [*spans[:number], *halves, *spans[number + 1 :]]


def _laid_end_to_end(spans: Sequence[Span]) -> list[Span]:
    laid, position = list[Span](), 0
    for span in spans:
        laid.append(Span(position, position + _size(span), span.is_raw))
        position += _size(span)
    return laid


def _with_blobs(image: LockedImage, blobs: Sequence[Descriptor]) -> LockedImage:
    return image.model_copy(update={"blobs": tuple(blobs)})


def _named(image: LockedImage, reference: str) -> LockedImage:
    return image.model_copy(update={"reference": reference})
