"""Certificates for the TLS tests: an authority of our own that no machine trusts unless told to."""

import datetime
import ipaddress
from dataclasses import dataclass
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

DAY = datetime.timedelta(days=1)


@dataclass(frozen=True)
class ServerCertificate:
    """A server's certificate and its private key, as PEM files."""

    cert: Path
    key: Path


class Authority:
    """Signs certificates for the hosts it is asked for; `ca_cert` is the PEM file that trusts them."""

    def __init__(self, folder: Path, name: str = "edgelift tests") -> None:
        self._folder = folder
        self._key = ec.generate_private_key(ec.SECP256R1())
        self._name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
        usage = x509.BasicConstraints(ca=True, path_length=0)
        certificate = self._builder(self._name, self._key, 2 * DAY).add_extension(usage, critical=True)
        self.ca_cert = folder / "ca.pem"
        self.ca_cert.write_bytes(self._sign(certificate))

    def issue(self, *hosts: str, expires_in: datetime.timedelta = DAY) -> ServerCertificate:
        """A certificate for `hosts` (names or IP addresses); a negative `expires_in` makes it expired."""
        key = ec.generate_private_key(ec.SECP256R1())
        subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, hosts[0])])
        names = x509.SubjectAlternativeName([_general_name(host) for host in hosts])
        certificate = self._builder(subject, key, expires_in).add_extension(names, critical=False)
        stem = f"{hosts[0]}-{len(list(self._folder.iterdir()))}"
        issued = ServerCertificate(self._folder / f"{stem}.pem", self._folder / f"{stem}.key")
        issued.cert.write_bytes(self._sign(certificate))
        issued.key.write_bytes(
            key.private_bytes(
                serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
            )
        )
        return issued

    def _builder(
        self, subject: x509.Name, key: ec.EllipticCurvePrivateKey, expires_in: datetime.timedelta
    ) -> x509.CertificateBuilder:
        now = datetime.datetime.now(datetime.UTC)
        return (
            x509.CertificateBuilder()
            .subject_name(subject)
            .issuer_name(self._name)
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - 3 * DAY)
            .not_valid_after(now + expires_in)
        )

    def _sign(self, builder: x509.CertificateBuilder) -> bytes:
        return builder.sign(self._key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM)


def _general_name(host: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ipaddress.ip_address(host))
    except ValueError:
        return x509.DNSName(host)
