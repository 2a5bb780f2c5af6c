"""Which addresses a server may send us to."""

import pytest

from edgelift.addresses import is_listed, is_loopback, kind_of, may_send, means, split_host

KINDS = {
    "8.8.8.8": "public",
    "2001:4860:4860::8888": "public",
    "10.1.2.3": "private",
    "192.168.0.1": "private",
    "172.31.255.255": "private",
    "100.64.0.1": "private",
    "fd12::1": "private",
    "127.0.0.1": "loopback",
    "127.8.9.10": "loopback",
    "::1": "loopback",
    "::ffff:127.0.0.1": "loopback",
    "64:ff9b::7f00:1": "loopback",
    "64:ff9b::a01:203": "private",
    "169.254.1.1": "link-local",
    "fe80::1%eth0": "link-local",
    "169.254.169.254": "forbidden",
    "::ffff:169.254.169.254": "forbidden",
    "100.100.100.200": "forbidden",
    "fd00:ec2::254": "forbidden",
    "0.0.0.0": "forbidden",
    "::": "forbidden",
    "224.0.0.1": "forbidden",
    "ff02::1": "forbidden",
}


@pytest.mark.parametrize(("address", "kind"), KINDS.items(), ids=KINDS)
def test_kinds_of_addresses(address: str, kind: str) -> None:
    """Each address is of the kind that decides who may send us there, also where it hides in another form."""
    assert kind == kind_of(address)


SENDS = {
    "public to public": (["8.8.8.8"], ["1.1.1.1"], True),
    "public to private": (["8.8.8.8"], ["10.0.0.1"], False),
    "public to loopback": (["8.8.8.8"], ["127.0.0.1"], False),
    "public to public and private": (["8.8.8.8"], ["1.1.1.1", "10.0.0.1"], False),
    "private to private": (["10.0.0.1"], ["192.168.1.1"], True),
    "private to public": (["10.0.0.1"], ["8.8.8.8"], True),
    "private to loopback": (["10.0.0.1"], ["127.0.0.1"], False),
    "private to metadata": (["10.0.0.1"], ["169.254.169.254"], False),
    "loopback to loopback": (["127.0.0.1"], ["127.0.0.2"], True),
    "loopback to metadata": (["127.0.0.1"], ["169.254.169.254"], False),
    "private and public to private": (["10.0.0.1", "8.8.8.8"], ["10.0.0.2"], False),
    "unknown to public": ([], ["8.8.8.8"], True),
    "unknown to private": ([], ["10.0.0.1"], False),
}


@pytest.mark.parametrize(("sender", "target", "allowed"), SENDS.values(), ids=SENDS)
def test_who_may_send_us_where(sender: list[str], target: list[str], allowed: bool) -> None:
    """A server sends us as far as its own network, never deeper into ours."""
    assert allowed == may_send(sender, target)


HOSTS = {
    "registry.example.com": ("registry.example.com", None),
    "Registry.Example.com:5000": ("registry.example.com", 5000),
    "localhost": ("localhost", None),
    "[::1]:5000": ("::1", 5000),
    "[::1]": ("::1", None),
}


@pytest.mark.parametrize(("text", "parts"), HOSTS.items(), ids=HOSTS)
def test_hosts_are_split(text: str, parts: tuple[str, int | None]) -> None:
    """A host as in references falls into name and port."""
    assert parts == split_host(text)


MEANINGS = {
    "the same": ("registry.example.com:5000", "registry.example.com", 5000, True),
    "another port": ("registry.example.com:5000", "registry.example.com", 5001, False),
    "no port means 443": ("registry.example.com", "registry.example.com", 443, True),
    "no port means 80": ("registry.example.com", "registry.example.com", 80, True),
    "no port means no other": ("registry.example.com", "registry.example.com", 5000, False),
    "a name within the name": ("example.com", "registry.example.com", 443, False),
}


@pytest.mark.parametrize(("written", "name", "port", "same"), MEANINGS.values(), ids=MEANINGS)
def test_what_a_written_host_means(written: str, name: str, port: int, same: bool) -> None:
    """A host is itself, port included."""
    assert same == means(written, name, port)


LISTED = {
    "a host": ("registry.local", True),
    "a host at another port": ("registry.local:5000", False),
    "its domain": ("local", True),
    "its domain with a dot": (".local", True),
    "its domain with a star": ("*.local", True),
    "the end of its name": ("gistry.local", False),
    "everything": ("*", True),
    "a network": ("10.0.0.0/8", False),
}


@pytest.mark.parametrize(("entry", "listed"), LISTED.values(), ids=LISTED)
def test_names_in_a_no_proxy_list(entry: str, listed: bool) -> None:
    """Lists name hosts, domains and networks."""
    assert listed == is_listed("registry.local", 443, ["elsewhere.example", entry])


@pytest.mark.parametrize(("entry", "listed"), {"10.0.0.0/8": True, "10.1.2.3": True, "10.2.0.0/16": False}.items())
def test_addresses_in_a_no_proxy_list(entry: str, listed: bool) -> None:
    """An address is listed by itself or by its network."""
    assert listed == is_listed("10.1.2.3", 443, [entry])


@pytest.mark.parametrize(
    ("name", "loopback"), {"localhost": True, "127.9.9.9": True, "::1": True, "10.0.0.1": False, "local": False}.items()
)
def test_names_for_this_machine(name: str, loopback: bool) -> None:
    """Only names that are this machine beyond doubt count as it."""
    assert loopback == is_loopback(name)
