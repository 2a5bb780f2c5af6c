"""How sizes and numbers are told."""

from edgelift.sizes import count, format_size

SIZES = {0: "0 B", 1023: "1023 B", 1024: "1.0 KiB", 3_355_443: "3.2 MiB", 5 << 40: "5.0 TiB", 1 << 60: "1048576.0 TiB"}


def test_sizes_are_told_in_binary_units() -> None:
    """With one digit after the point, in the largest unit of which there is one."""
    assert {size: format_size(size) for size in SIZES} == SIZES


def test_nouns_agree_with_their_number() -> None:
    """One is singular; the plural has an s, or is given, a verb with it where there is one."""
    assert [count(number, "image") for number in (0, 1, 1200)] == ["0 images", "1 image", "1,200 images"]
    assert [count(number, "entry is", "entries are") for number in (1, 2)] == ["1 entry is", "2 entries are"]
