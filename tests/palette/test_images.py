"""Images are found where packs declare them, odd declarations are named, and nothing else is taken for an image."""

import pytest

from edgelift.palette.content import Complaint
from edgelift.palette.images import DeclaredImage, clean_reference, find_images
from edgelift.palette.values import load_values


def find(values: str) -> tuple[list[DeclaredImage], list[Complaint]]:
    """The images that these values declare, and the complaints about them."""
    return find_images(load_values(values))


def listed(lines: str) -> str:
    """Values with this list of images."""
    return "pack:\n  content:\n    images:\n" + "".join(f"      {line}\n" for line in lines.splitlines())


NOTHING = {
    "empty values": "",
    "no pack section": "charts:\n  web:\n    image: nginx:1.27\n",
    "empty pack section": "pack:\n",
    "no content": "pack:\n  namespace: web\n",
    "empty content": "pack:\n  content:\n",
    "empty images": "pack:\n  content:\n    images:\n",
    "empty list": "pack:\n  content:\n    images: []\n",
    "only charts": "pack:\n  content:\n    charts: []\n",
    "only comments": listed("#- image: nginx:1.27"),
    "null image": listed("- image: null"),
    "text for a pack section": "pack: web\n",
    "content of something else": "pack:\n  namespace: web\ncontent:\n  title: hello\n",
}


@pytest.mark.parametrize("values", NOTHING.values(), ids=NOTHING)
def test_values_without_images_declare_none(values: str) -> None:
    """A pack that declares no image is in order."""
    assert find(values) == ([], [])


DECLARED = {
    "plain": ("- image: nginx:1.27", "nginx:1.27"),
    "double quotes": ('- image: "nginx:1.27"', "nginx:1.27"),
    "trailing spaces": ("- image: nginx:1.27   ", "nginx:1.27"),
    "comment behind": ("- image: nginx:1.27 # why", "nginx:1.27"),
    "other keys beside": ("- name: web\n  image: nginx:1.27", "nginx:1.27"),
    "macro without quotes": ("- image: {{ .spectro.var.IMAGE }}", "{{ .spectro.var.IMAGE }}"),
    "tag like a float": ("- image: nginx:1.10", "nginx:1.10"),
    "empty": ('- image: ""', ""),
}


@pytest.mark.parametrize(("lines", "text"), DECLARED.values(), ids=DECLARED)
def test_a_declared_image_is_found_with_its_path(lines: str, text: str) -> None:
    """The text of an image is what the values say, without expanding anything."""
    assert find(listed(lines)) == ([DeclaredImage("pack.content.images[0].image", text)], [])


def test_paths_count_every_entry() -> None:
    """The number in a path is the entry's place in the list, odd entries included."""
    images, _ = find(listed("- image: a:1\n- iamge: b:1\n- image: c:1"))
    assert [image.path for image in images] == ["pack.content.images[0].image", "pack.content.images[2].image"]


def test_anchors_are_followed() -> None:
    """Images may stand under an anchor elsewhere and be merged in."""
    images, _ = find(
        "x-images: &images\n  - image: nginx:1.27\nx-content: &content\n  images: *images\n"
        "pack:\n  content:\n    <<: *content\n"
    )
    assert images == [DeclaredImage("pack.content.images[0].image", "nginx:1.27")]


COMPLAINTS = {
    "misspelt": ("- iamge: nginx:1.27", "[0]", "warning", "did you mean 'image' where it says 'iamge'?"),
    "capital": ("- Image: nginx:1.27", "[0]", "warning", "did you mean 'image' where it says 'Image'?"),
    "plural": ("- images: nginx:1.27", "[0]", "warning", "did you mean 'image' where it says 'images'?"),
    "other key": ("- chart: web", "[0]", "warning", "it has ['chart']"),
    "bare text": ("- nginx:1.27", "[0]", "warning", "not a mapping"),
    "nested": ("- image:\n    repository: nginx", "[0].image", "error", "not a single text"),
    "mapping for a list": ("image: nginx:1.27", "", "error", "not a list"),
}


@pytest.mark.parametrize(("lines", "place", "severity", "message"), COMPLAINTS.values(), ids=COMPLAINTS)
def test_an_odd_declaration_is_named(lines: str, place: str, severity: str, message: str) -> None:
    """What looks like a declaration and is none is reported with its path."""
    images, (complaint,) = find(listed(lines))
    assert (images, complaint.path, complaint.severity) == ([], f"pack.content.images{place}", severity)
    assert message in complaint.message


MISPLACED = {
    "content at the margin": ("pack:\ncontent:\n  images:\n    - image: nginx:1.27\n", "content"),
    "beside other settings": ("pack:\n  namespace: x\ncontent:\n  images:\n  - image: nginx:1.27\n", "content"),
    "images beside content": ("pack:\n  content:\n  images:\n  - image: nginx:1.27\n", "pack"),
}


@pytest.mark.parametrize(("values", "place"), MISPLACED.values(), ids=MISPLACED)
def test_misplaced_images_are_read_where_the_meaning_is_plain(values: str, place: str) -> None:
    """The slips of pasting that make Palette see no images at all are read, and named."""
    images, (complaint,) = find(values)
    assert images == [DeclaredImage(f"{place}.images[0].image", "nginx:1.27")]
    assert (complaint.path, complaint.severity, "indent it" in complaint.message) == (place, "warning", True)


def test_misplaced_content_of_another_kind_is_an_error() -> None:
    """What only may be a list of images is not taken for one, and not passed over."""
    images, (complaint,) = find("pack:\ncontent:\n  images:\n    - title: sunset\n")
    assert (images, complaint.path, complaint.severity) == ([], "content", "error")


def test_content_that_is_a_list_is_an_error() -> None:
    """Images straight under content are reported."""
    assert [each.path for each in find("pack:\n  content:\n    - image: nginx:1.27\n")[1]] == ["pack.content"]


REFERENCES = {
    "plain": ("nginx:1.27", "nginx:1.27"),
    "spaces around": ("  nginx:1.27\t\n", "nginx:1.27"),
    "container scheme": ("container://us-docker.pkg.dev/edge/x:1", "us-docker.pkg.dev/edge/x:1"),
    "NA": ("NA", None),
    "na in small letters": ("na", None),
    "NA with spaces": (" Na ", None),
    "empty": ("", None),
    "only spaces": ("   ", None),
    "only a scheme": ("container://", None),
    "a name that begins like NA": ("nats:2.10", "nats:2.10"),
}


@pytest.mark.parametrize(("text", "expected"), REFERENCES.values(), ids=REFERENCES)
def test_a_reference_is_cleaned_of_what_palette_adds(text: str, expected: str | None) -> None:
    """Schemes and spaces go, and the words for "no image" mean none."""
    assert clean_reference(text) == expected
