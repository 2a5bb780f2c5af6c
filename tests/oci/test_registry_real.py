"""The client against Debian's registry (Distribution 2.8), in plain text and over TLS with a login."""

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest

from edgelift.demo.content import SampleLayer, make_image
from edgelift.errors import DeniedError, IntegrityError, NotFoundError, RefusedError, RegistryError, UnreachableError
from edgelift.oci.credentials import Credentials
from edgelift.oci.digest import Digest
from edgelift.oci.registries import Registries
from edgelift.oci.registry import Registry
from edgelift.transport import TransportSettings
from tests.real_parts import RunningRegistry

APP = make_image("team/app", architectures=("amd64", "arm64"), layers=(SampleLayer("tar", 3_000_000), SampleLayer()))
BLOB = max(APP.blobs, key=lambda blob: blob.size)


def push(registry: Registry, repository: str = "team/app") -> None:
    """Bring the whole image to `repository`, the tag last."""
    for blob in APP.blobs:
        registry.upload_blob(repository, blob, lambda blob=blob: iter([APP.contents[blob.digest]]))  # type: ignore[misc]
    for manifest in APP.manifests:
        registry.write_manifest(repository, manifest.digest, APP.contents[manifest.digest], manifest.media_type)
    registry.write_manifest(repository, "1.0", APP.contents[APP.root.digest], APP.root.media_type)


def check_whole(registry: Registry) -> None:
    """Read back all that was pushed."""
    assert registry.describe("team/app", "1.0") == APP.root
    for manifest in APP.manifests:
        assert registry.read_manifest("team/app", manifest.digest).raw == APP.contents[manifest.digest]
    for blob in APP.blobs:
        body = registry.read_blob("team/app", blob)
        assert (body.offset, b"".join(body.chunks)) == (0, APP.contents[blob.digest])


def test_an_image_goes_there_and_back(docker_registry: RunningRegistry) -> None:
    """Blobs, manifests, an index and a tag arrive as they are, in a registry that needs nothing configured."""
    registry = Registry(docker_registry.host, TransportSettings(), Credentials())
    registry.log_in()
    registry.check_push("team/app")
    push(registry)

    check_whole(registry)
    assert (registry.list_tags("team/app"), registry.list_repositories()) == (("1.0",), ("team/app",))


def test_an_image_goes_there_and_back_over_tls_with_a_login(secured_registry: RunningRegistry) -> None:
    """The same, behind a certificate of one's own and a password."""
    assert secured_registry.username is not None
    assert secured_registry.password is not None
    login = (secured_registry.host, secured_registry.username, secured_registry.password)
    settings = TransportSettings(ca_cert=secured_registry.ca_cert)
    registry = Registry(secured_registry.host, settings, Credentials.of([login]))
    registry.log_in()
    push(registry)

    check_whole(registry)


def test_what_a_secured_registry_refuses(secured_registry: RunningRegistry) -> None:
    """No trust, no login and a wrong login are three different errors."""
    host, trusting = secured_registry.host, TransportSettings(ca_cert=secured_registry.ca_cert)
    wrong = Credentials.of([(host, "courier", "canary")])

    with pytest.raises(UnreachableError, match="not trusted here"):
        Registry(host, TransportSettings(), Credentials()).log_in()
    with pytest.raises(DeniedError, match="wants a login"):
        Registry(host, trusting, Credentials()).log_in()
    with pytest.raises(DeniedError, match="401 UNAUTHORIZED") as caught:
        Registry(host, trusting, wrong).log_in()
    assert "canary" not in str(caught.value)
    with pytest.raises(RefusedError, match="400") as plain:
        Registry(host, TransportSettings(plain_http=frozenset({host})), Credentials()).log_in()
    assert "wants TLS" in (plain.value.hint or "")


def test_a_blob_is_continued_in_the_middle(docker_registry: RunningRegistry) -> None:
    """A range is answered with the rest."""
    registry = Registry(docker_registry.host, TransportSettings(), Credentials())
    push(registry)
    body = registry.read_blob("team/app", BLOB, 1_000_000)

    assert (body.offset, b"".join(body.chunks)) == (1_000_000, APP.contents[BLOB.digest][1_000_000:])


def test_a_range_beyond_the_end_does_not_hang(docker_registry: RunningRegistry) -> None:
    """This registry's answer to an impossible range announces more than it sends; the true size is found out."""
    registry = Registry(docker_registry.host, TransportSettings(idle_timeout=5), Credentials())
    push(registry)
    longer = BLOB.model_copy(update={"size": BLOB.size + 1000})

    with pytest.raises(IntegrityError, match=f"has {BLOB.size} bytes there, not {BLOB.size + 1000}"):
        registry.read_blob("team/app", longer, BLOB.size + 500)


def test_a_mount_moves_no_bytes(docker_registry: RunningRegistry) -> None:
    """A blob under another name is linked."""
    registry = Registry(docker_registry.host, TransportSettings(), Credentials())
    push(registry)

    def unread() -> Iterator[bytes]:
        raise AssertionError("nothing was to be sent")
        yield b""

    assert registry.upload_blob("team/copy", BLOB, unread, mount_from="team/app") == "mounted"
    assert registry.blob_size("team/copy", BLOB.digest) == BLOB.size


def test_a_blob_that_is_not_what_it_claims_is_refused(docker_registry: RunningRegistry) -> None:
    """The registry hashes what it gets, and says so."""
    registry = Registry(docker_registry.host, TransportSettings(), Credentials())
    wrong = b"x" * BLOB.size

    with pytest.raises(RefusedError, match="400 DIGEST_INVALID"):
        registry.upload_blob("team/app", BLOB, lambda: iter([wrong]))


def test_a_manifest_whose_blobs_are_missing_is_told_so(docker_registry: RunningRegistry) -> None:
    """The registry's own words for missing content are recognised."""
    registry = Registry(docker_registry.host, TransportSettings(), Credentials())
    child = APP.manifests[0]

    with pytest.raises(RegistryError) as caught:
        registry.write_manifest("team/app", child.digest, APP.contents[child.digest], child.media_type)

    assert caught.value.says_blob_unknown


def test_what_is_not_there(docker_registry: RunningRegistry) -> None:
    """Absence has its own answers: None where that is a question, an error where it is not."""
    registry = Registry(docker_registry.host, TransportSettings(), Credentials())
    absent = Digest.of(b"absent")

    assert (registry.describe("team/app", "1.0"), registry.blob_size("team/app", absent)) == (None, None)
    with pytest.raises(NotFoundError, match="404 NAME_UNKNOWN"):
        registry.list_tags("team/app")
    with pytest.raises(NotFoundError, match="404 MANIFEST_UNKNOWN"):
        registry.read_manifest("team/app", absent)


def test_many_threads_share_a_client(docker_registry: RunningRegistry) -> None:
    """Uploads and downloads at the same time do not disturb each other."""
    registry = Registry(docker_registry.host, TransportSettings(), Credentials())
    push(registry)

    def there_and_back(number: int) -> bool:
        for blob in APP.blobs:
            registry.upload_blob(f"thread/{number}", blob, lambda blob=blob: iter([APP.contents[blob.digest]]))  # type: ignore[misc]
        return all(
            b"".join(registry.read_blob(f"thread/{number}", blob).chunks) == APP.contents[blob.digest]
            for blob in APP.blobs
        )

    with ThreadPoolExecutor(12) as pool:
        assert list(pool.map(there_and_back, range(12))) == [True] * 12


def test_registries_are_made_once_and_have_their_own_settings(
    docker_registries: Callable[[], RunningRegistry], secured_registry: RunningRegistry
) -> None:
    """One client a host, under all of its names; what is set for one host holds for that one."""
    plain, own = docker_registries(), TransportSettings(ca_cert=secured_registry.ca_cert)
    with Registries(TransportSettings(), Credentials(), {secured_registry.host: own}) as registries:
        registries.registry(plain.host).log_in()
        with pytest.raises(DeniedError):  # the certificate was accepted, or it would be unreachable
            registries.registry(secured_registry.host).log_in()

        assert registries.registry("docker.io") is registries.registry("registry-1.docker.io")
        assert registries.registry(plain.host) is registries.registry(plain.host)
        assert registries.registry("docker.io").host == "docker.io"
