"""A small certificate authority of the embedded stack's own: one certificate for its servers, renewed when it is due."""

import datetime as dt
import ipaddress
import secrets
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    load_pem_private_key,
)
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from deploy.private import made_once, private_folder, write_private
from schemas import bounds
from schemas.bounded import read_bounded

SERVER: Final = "tidegauge-broker"
AUTHORITY_DAYS: Final = 3650
SERVER_DAYS: Final = 365
RENEW_DAYS: Final = 30  # before its end


@dataclass(frozen=True, slots=True)
class SecureFolder:
    """The secrets of a secured stack, below its data folder: the authority, the servers' certificate, the passwords."""

    data_dir: Path

    @property
    def folder(self) -> Path:
        """Where they are."""
        return self.data_dir / "secure"

    @property
    def ca(self) -> Path:
        """The authority's certificate; that is what clients trust."""
        return self.folder / "ca.pem"

    @property
    def server(self) -> Path:
        """The servers' key and certificate, in one file."""
        return self.folder / "server.pem"

    def password(self, principal: str) -> str:
        """The password of a principal; it is made when it is first asked for."""
        path = self.password_file(principal)
        made_once(path, lambda: secrets.token_urlsafe(32))
        return read_bounded(path, bounds.KEY_FILE_BYTES_MAX).decode().strip()

    def password_file(self, principal: str) -> Path:
        """Where it stands, for its owner alone."""
        return self.folder / "passwords" / principal

    def prepare(self, now: dt.datetime) -> None:
        """Make what is missing, and the servers' certificate anew where it ends soon."""
        private_folder(self.folder)
        private_folder(self.folder / "passwords")
        if not self.ca.exists():
            write_authority(self.folder, now)
        if not self.server.exists() or certificate_end(self.server) < now + dt.timedelta(days=RENEW_DAYS):
            write_certificate(self.folder, self.server, now, SERVER_DAYS)


def certificate_end(path: Path) -> dt.datetime:
    """When the first certificate of a PEM file ends."""
    return x509.load_pem_x509_certificates(_read(path))[0].not_valid_after_utc


def write_authority(folder: Path, now: dt.datetime) -> None:
    """Make an authority: `ca.pem`, and its key in `ca.key`."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = _name("tidegauge embedded stack")
    made = (
        _builder(name, name, key.public_key(), now, AUTHORITY_DAYS)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        .sign(key, hashes.SHA256())
    )
    write_private(folder / "ca.key", _pem(key))
    write_private(folder / "ca.pem", made.public_bytes(Encoding.PEM).decode())


def write_certificate(folder: Path, path: Path, now: dt.datetime, days: int, name: str = SERVER) -> None:
    """A key and a certificate of this machine's own addresses, by the authority of `folder`, into one PEM file."""
    authority = x509.load_pem_x509_certificate(_read(folder / "ca.pem"))
    signer = load_pem_private_key(_read(folder / "ca.key"), None)
    if not isinstance(signer, ec.EllipticCurvePrivateKey):
        raise TypeError(f"{folder}/ca.key is no key of ours")
    key = ec.generate_private_key(ec.SECP256R1())
    places = [x509.DNSName("localhost"), x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]
    usage = [ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.CLIENT_AUTH]  # controllers are clients of each other
    made = (
        _builder(_name(name), authority.subject, key.public_key(), now, days)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(x509.SubjectAlternativeName(places), critical=False)
        .add_extension(x509.ExtendedKeyUsage(usage), critical=False)
        .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(signer.public_key()), critical=False)
        .sign(signer, hashes.SHA256())
    )
    write_private(path, _pem(key) + made.public_bytes(Encoding.PEM).decode())


def _builder(
    name: x509.Name, issuer: x509.Name, public: ec.EllipticCurvePublicKey, now: dt.datetime, days: int
) -> x509.CertificateBuilder:
    return (
        x509.CertificateBuilder().subject_name(name).issuer_name(issuer).public_key(public)
        .serial_number(x509.random_serial_number()).not_valid_before(min(now, now + dt.timedelta(days)) - dt.timedelta(1))
        .not_valid_after(now + dt.timedelta(days=days))
    )  # fmt: skip


def _name(common: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, common)])


def _pem(key: ec.EllipticCurvePrivateKey) -> str:
    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode()


def _read(path: Path) -> bytes:
    return read_bounded(path, bounds.SMALL_FILE_BYTES_MAX)
