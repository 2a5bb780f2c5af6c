"""Lists of images, as people keep them."""

import pytest

from edgelift.errors import ConfigurationError, MalformedReferenceError
from edgelift.image_list import parse_image_list

LISTS = {
    "lines": "nginx\nquay.io/app:2\n",
    "comments and empty lines": "# all of it\n\nnginx  # the web server\n   quay.io/app:2   \n",
    "one of them twice": "nginx:latest\nquay.io/app:2\ndocker.io/library/nginx\n",
    "YAML": "- nginx\n- quay.io/app:2\n",
    "YAML with comments": "---\n# all of it\n- nginx # the web server\n- 'quay.io/app:2'\n",
    "YAML in one line": "[nginx, 'quay.io/app:2']",
    "the line ends of another system": "nginx\r\nquay.io/app:2\r\n",
}
REFUSED = {
    "nothing": ("", ConfigurationError, "names no image"),
    "comments alone": ("# nginx\n", ConfigurationError, "names no image"),
    "YAML that is none": ("- nginx\n - x: [", ConfigurationError, "is not YAML at line 2"),
    "YAML of other things": ("- nginx\n- image: quay.io/app:2\n", ConfigurationError, "not a list of references"),
    "a number": ("- 5\n", ConfigurationError, "not a list of references"),
}


@pytest.mark.parametrize("text", LISTS.values(), ids=LISTS)
def test_references_are_read_in_every_form(text: str) -> None:
    """Canonical, each once, in the order of the list."""
    assert parse_image_list(text, "list") == ("docker.io/library/nginx:latest", "quay.io/app:2")


@pytest.mark.parametrize(("text", "error", "message"), REFUSED.values(), ids=REFUSED)
def test_what_is_no_list_is_refused(text: str, error: type[ConfigurationError], message: str) -> None:
    """The message names the file."""
    with pytest.raises(error, match=message) as caught:
        parse_image_list(text, "list.txt")

    assert "list.txt" in caught.value.message


@pytest.mark.parametrize(
    ("text", "places"),
    [
        ("nginx\n\nhttps://quay.io/app:2\nUPPER:1\n", ["line 3", "line 4"]),
        ("- https://quay.io/app\n- nginx\n- UPPER", ["entry 1", "entry 3"]),
    ],
    ids=["lines", "YAML"],
)
def test_all_malformed_references_are_named_with_their_places(text: str, places: list[str]) -> None:
    """Who made two mistakes hears of both, and where they are."""
    with pytest.raises(MalformedReferenceError) as caught:
        parse_image_list(text, "list.txt")

    lines = caught.value.message.splitlines()
    assert [line.partition(":")[0] for line in lines] == [f"list.txt, {place}" for place in places]
