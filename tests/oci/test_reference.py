"""References: what people write, in one canonical form, or refused with the reason."""

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgelift.errors import MalformedReferenceError
from edgelift.oci.digest import Digest
from edgelift.oci.reference import (
    NAME_LIMIT,
    ImageReference,
    canonical_registry,
    for_message,
    is_registry,
    is_repository,
    is_tag,
)

SHA256 = "sha256:" + "0123456789abcdef" * 4
SHA512 = "sha512:" + "0123456789abcdef" * 8
HUB = "docker.io"

CANONICAL = {
    "one word": ("nginx", HUB, "library/nginx", "latest", None),
    "word and tag": ("nginx:1.27", HUB, "library/nginx", "1.27", None),
    "word and digest": (f"nginx@{SHA256}", HUB, "library/nginx", None, SHA256),
    "word, tag and digest": (f"nginx:1.27@{SHA256}", HUB, "library/nginx", "1.27", SHA256),
    "a user's repository": ("grafana/loki", HUB, "grafana/loki", "latest", None),
    "three components without a host": ("a/b/c:1", HUB, "a/b/c", "1", None),
    "library written out": ("library/nginx", HUB, "library/nginx", "latest", None),
    "docker.io": ("docker.io/nginx", HUB, "library/nginx", "latest", None),
    "docker.io in capitals": ("Docker.IO/nginx", HUB, "library/nginx", "latest", None),
    "index.docker.io": ("index.docker.io/library/nginx:1", HUB, "library/nginx", "1", None),
    "registry-1.docker.io": ("registry-1.docker.io/grafana/loki", HUB, "grafana/loki", "latest", None),
    "registry.hub.docker.com": ("registry.hub.docker.com/nginx", HUB, "library/nginx", "latest", None),
    "another host keeps one component": ("quay.io/kairos", "quay.io", "kairos", "latest", None),
    "a host that only looks like docker.io": ("docker.io.example/nginx", "docker.io.example", "nginx", "latest", None),
    "docker.io with a port": ("docker.io:5000/nginx", "docker.io:5000", "nginx", "latest", None),
    "a host in capitals": ("Quay.IO/kairos/x", "quay.io", "kairos/x", "latest", None),
    "port and no tag": ("mirror:5000/app", "mirror:5000", "app", "latest", None),
    "port and tag": ("mirror:5000/app:1", "mirror:5000", "app", "1", None),
    "port and digest": (f"mirror:5000/app@{SHA512}", "mirror:5000", "app", None, SHA512),
    "localhost": ("localhost/app", "localhost", "app", "latest", None),
    "localhost and port": ("localhost:5000/team/app", "localhost:5000", "team/app", "latest", None),
    "a tag that looks like a port": ("localhost:5000", HUB, "library/localhost", "5000", None),
    "an IPv4 address": ("10.10.254.254:8000/spectro/app:1", "10.10.254.254:8000", "spectro/app", "1", None),
    "an IPv6 address": ("[FD00::1]:5000/app:1", "[fd00::1]:5000", "app", "1", None),
    "an IPv6 address without port": ("[::1]/app", "[::1]", "app", "latest", None),
    "the highest port": ("mirror:65535/app", "mirror:65535", "app", "latest", None),
    "every separator": ("quay.io/a.b/c_d/e__f/g-h/i---j", "quay.io", "a.b/c_d/e__f/g-h/i---j", "latest", None),
    "capitals in a tag": ("quay.io/a:V1.2-RC_3", "quay.io", "a", "V1.2-RC_3", None),
    "a tag of 128 characters": (f"quay.io/a:{'t' * 128}", "quay.io", "a", "t" * 128, None),
    "a host with one word and a dot": ("registry.k8s.io/pause:3.10", "registry.k8s.io", "pause", "3.10", None),
}


@pytest.mark.parametrize(("text", "registry", "repository", "tag", "digest"), CANONICAL.values(), ids=CANONICAL)
def test_references_become_canonical(
    text: str, registry: str, repository: str, tag: str | None, digest: str | None
) -> None:
    """Each way to write a reference gives its parts, and its canonical text gives the same ones."""
    reference = ImageReference.parse(text)

    assert (registry, repository, tag, digest) == (
        reference.registry,
        reference.repository,
        reference.tag,
        reference.digest,
    )
    assert reference == ImageReference.parse(str(reference))
    assert str(reference).startswith(f"{registry}/{repository}")


REFUSED = {
    "nothing": ("", "names no repository"),
    "only a tag": (":1.27", "names no repository"),
    "only a digest": (f"@{SHA256}", "names no repository"),
    "an empty tag": ("nginx:", "'' is not a tag"),
    "an empty digest": ("nginx@", "what follows the @ is not a digest"),
    "a tag in place of a digest": ("nginx@1.27", "what follows the @ is not a digest"),
    "a digest cut short": (f"nginx@{SHA256[:-1]}", "what follows the @ is not a digest"),
    "a digest in capitals": (f"nginx@{SHA256.upper()}", "what follows the @ is not a digest"),
    "md5": ("nginx@md5:" + "a" * 32, "what follows the @ is not a digest"),
    "two digests": (f"nginx@{SHA256}@{SHA256}", "what follows the @ is not a digest"),
    "a scheme": ("https://quay.io/kairos/x", "'https:' is not a registry host"),
    "a transport of skopeo": ("docker://quay.io/kairos/x", "'docker:' is not a registry host"),
    "capitals in the repository": ("quay.io/Kairos/x", "'Kairos/x' is not a repository name"),
    "capitals without a host": ("NGINX", "'library/NGINX' is not a repository name"),
    "a space before": (" nginx", "is not a repository name"),
    "a newline behind": ("nginx\n", "is not a repository name"),
    "a newline behind the tag": ("nginx:1\n", "is not a tag"),
    "a tag that begins with a dot": ("nginx:.1", "'.1' is not a tag"),
    "a tag of 129 characters": ("nginx:" + "t" * 129, "is not a tag"),
    "two tags": ("quay.io/nginx:1:2", "is not a repository name"),
    "a slash at the end": ("quay.io/nginx/", "is not a repository name"),
    "a slash at the start": ("/nginx", "is not a repository name"),
    "two slashes": ("quay.io//nginx", "is not a repository name"),
    "a host and nothing": ("quay.io/", "'' is not a repository name"),
    "a path upwards": ("quay.io/../nginx", "is not a repository name"),
    "an unexpanded macro": ("quay.io/{{.spectro.image}}:1", "is not a repository name"),
    "three underscores": ("quay.io/a___b", "is not a repository name"),
    "a dash at the end": ("quay.io/a-", "is not a repository name"),
    "a host with an underscore": ("my_host.example/a", "'my_host.example' is not a registry host"),
    "a host that ends with a dot": ("quay.io./a", "'quay.io.' is not a registry host"),
    "a port that is no number": ("quay.io:http/a", "'quay.io:http' is not a registry host"),
    "a port that is too high": ("quay.io:65536/a", "'quay.io:65536' is not a registry host"),
    "port zero": ("quay.io:0/a", "'quay.io:0' is not a registry host"),
    "a letter that becomes ASCII in lower case": ("doc\N{KELVIN SIGN}er.io/nginx", "is not a registry host"),
    "letters of another script": ("quay.io/\N{CYRILLIC SMALL LETTER A}pp", "is not a repository name"),
    "a NUL": ("nginx\0", "is not a repository name"),
    "a query": ("quay.io/a?x=1", "is not a repository name"),
    "an encoded slash": ("quay.io/a%2fb", "is not a repository name"),
}


@pytest.mark.parametrize(("text", "reason"), REFUSED.values(), ids=REFUSED)
def test_what_is_no_reference_is_refused(text: str, reason: str) -> None:
    """The message repeats what was written and says what is wrong with it; the hint says how to write it."""
    with pytest.raises(MalformedReferenceError) as caught:
        ImageReference.parse(text)

    assert caught.value.message.startswith(f"{text!r} is not an image reference: ")
    assert reason in caught.value.message
    assert caught.value.hint


def name_of(length: int) -> str:
    """A name of `length` characters: a host, a slash and a repository."""
    return "quay.io/" + "a" * (length - len("quay.io/"))


def test_a_name_may_have_255_characters() -> None:
    """Host and repository together end where many clients end; the tag does not count."""
    longest = ImageReference.parse(f"{name_of(NAME_LIMIT)}:1")

    with pytest.raises(MalformedReferenceError, match="longer than 255 characters"):
        ImageReference.parse(f"{name_of(NAME_LIMIT + 1)}:1")

    assert len(longest.name) == 255


def test_the_limit_counts_what_is_added() -> None:
    """The canonical name is what has to fit, with Docker Hub's host and `library/`."""
    room = NAME_LIMIT - len("docker.io/library/")

    with pytest.raises(MalformedReferenceError, match="longer than 255 characters"):
        ImageReference.parse("a" * (room + 1))

    assert ImageReference.parse("a" * room).repository == "library/" + "a" * room


LOGINS = {
    "in a URL": "https://courier:hunter2@quay.io/kairos/x",
    "before a host": "courier:hunter2@quay.io/kairos/x:1",
    "before a pinned name": f"courier:hunter2@quay.io/kairos/x@{SHA256}",
    "with an @ in it": "courier:hunt@hunter2@quay.io/kairos/x",
    "with a slash in it": "courier:/hunter2@quay.io/kairos/x",
    "a long token": f"oauth2accesstoken:{'hunter2' * 100}@gcr.io/kairos/x",
    "with a line break in it": "courier:\nhunter2@quay.io/kairos/x",
}


@pytest.mark.parametrize("text", LOGINS.values(), ids=LOGINS)
def test_a_login_is_not_repeated(text: str) -> None:
    """A password in front of a host is refused, and not shown; the host is, so that one finds the place."""
    with pytest.raises(MalformedReferenceError) as caught:
        ImageReference.parse(text)

    assert ("hunt" in str(caught.value), "kairos/x" in str(caught.value)) == (False, True)


HUGE = {
    "one word": "a" * 2_000_000,
    "colons": "a:" * 1_000_000,
    "dots": "a." * 1_000_000 + "!",
    "at signs": "@" * 1_000_000,
    "dashes": "quay.io/" + "a-" * 1_000_000,
}


@pytest.mark.parametrize("text", HUGE.values(), ids=HUGE)
def test_a_huge_text_is_refused_in_short(text: str) -> None:
    """Megabytes in the place of a reference cost neither minutes nor megabytes of message."""
    begun = time.monotonic()

    with pytest.raises(MalformedReferenceError) as caught:
        ImageReference.parse(text)

    assert len(str(caught.value)) < 1200
    assert time.monotonic() - begun < 10


def test_what_a_message_shows() -> None:
    """A tag and a digest are no login."""
    assert [f"nginx:1.27@{SHA256}", "…@quay.io/x"] == [
        for_message(f"nginx:1.27@{SHA256}"),
        for_message("courier:hunter2@quay.io/x"),
    ]


def test_the_selector_is_the_digest_where_there_is_one() -> None:
    """A pinned reference is asked for by digest, whatever its tag says."""
    references = [f"nginx:1@{SHA256}", f"nginx@{SHA256}", "nginx:1", "nginx"]

    assert [ImageReference.parse(text).selector for text in references] == [SHA256, SHA256, "1", "latest"]


def test_without_digest() -> None:
    """The digest can be dropped from a reference that still has a tag."""
    texts = [f"nginx:1@{SHA256}", f"nginx@{SHA256}"]

    assert ["docker.io/library/nginx:1", f"docker.io/library/nginx@{SHA256}"] == [
        str(ImageReference.parse(text).without_digest()) for text in texts
    ]


PREDICATES = {
    "registry": (
        is_registry,
        ["quay.io", "mirror", "a:1", "[::1]:5000"],
        ["", "a_b", "a/b", "a:", "https://a", "a:99999"],
    ),
    "repository": (is_repository, ["a", "a/b-c", "a__b"], ["", "A", "a/", "a b", "a\n", "a:b"]),
    "tag": (is_tag, ["1", "_", "V-1.0", "t" * 128], ["", "-1", "a/b", "t" * 129, "1\n", "ä"]),
}


@pytest.mark.parametrize("kind", PREDICATES)
def test_single_parts_are_told(kind: str) -> None:
    """Each part of a reference can be judged alone."""
    is_valid, good, bad = PREDICATES[kind]

    assert {**dict.fromkeys(good, True), **dict.fromkeys(bad, False)} == {text: is_valid(text) for text in good + bad}


def test_one_spelling_for_a_registry() -> None:
    """Docker Hub has one name, and case does not matter."""
    written = ["INDEX.docker.io", "registry-1.docker.io", "Quay.io:443", "[FD00::A]"]

    assert [canonical_registry(host) for host in written] == ["docker.io", "docker.io", "quay.io:443", "[fd00::a]"]


_component = st.from_regex(r"[a-z0-9]{1,6}((\.|_|__|-{1,3})[a-z0-9]{1,6}){0,2}", fullmatch=True)
_host = st.from_regex(
    r"[a-z0-9]{1,8}\.[a-z]{2,4}(:[1-9][0-9]{0,3})?|localhost|\[fd00::[0-9a-f]{1,4}\]:5000", fullmatch=True
)
references = st.builds(
    ImageReference,
    _host,
    st.lists(_component, min_size=1, max_size=4).map("/".join),
    st.from_regex(r"[A-Za-z0-9_][A-Za-z0-9._-]{0,20}", fullmatch=True),
    st.none() | st.binary(max_size=4).map(Digest.of),
)


@given(references)
def test_a_canonical_reference_is_read_as_itself(reference: ImageReference) -> None:
    """Printing and parsing are each other's inverse."""
    assert reference == ImageReference.parse(str(reference))


@given(st.text(max_size=60) | st.from_regex(r"[a-zA-Z0-9./:@_\[\]-]{0,80}", fullmatch=True))
def test_whatever_is_written_is_read_or_refused(text: str) -> None:
    """No text raises anything but a refusal; what is read has a canonical text, and is safe in a URL and a path."""
    try:
        reference = ImageReference.parse(text)
    except MalformedReferenceError:
        return

    assert reference == ImageReference.parse(str(reference))
    assert (is_repository(reference.repository), is_registry(reference.registry)) == (True, True)
    assert {"..", ".", ""}.isdisjoint(reference.repository.split("/"))
