"""The embedded stack's own authority: its certificate is renewed in time, and what it keeps is nobody else's to read."""

import datetime as dt
import stat
from pathlib import Path

from cryptography import x509

from deploy.security.authority import RENEW_DAYS, SERVER_DAYS, SecureFolder, certificate_end

NOW = dt.datetime(2026, 3, 1, tzinfo=dt.UTC)


def test_a_certificate_is_renewed_before_it_ends(tmp_path: Path) -> None:
    """The authority stays, so that clients go on trusting; the servers' certificate is made anew when it ends soon."""
    folder = SecureFolder(tmp_path)
    folder.prepare(NOW)
    authority, first = folder.ca.read_bytes(), folder.server.read_bytes()
    assert certificate_end(folder.server) == NOW + dt.timedelta(SERVER_DAYS)
    folder.prepare(NOW + dt.timedelta(SERVER_DAYS - RENEW_DAYS - 1))
    assert folder.server.read_bytes() == first
    folder.prepare(NOW + dt.timedelta(SERVER_DAYS - RENEW_DAYS + 1))
    assert folder.server.read_bytes() != first and folder.ca.read_bytes() == authority
    ca = x509.load_pem_x509_certificate(authority)
    for made in (first, folder.server.read_bytes()):
        x509.load_pem_x509_certificates(made)[0].verify_directly_issued_by(ca)


def test_passwords_are_made_once(tmp_path: Path) -> None:
    """Each principal has another one, and only the owner reads them."""
    folder = SecureFolder(tmp_path)
    folder.prepare(NOW)
    words = [folder.password(name) for name in ("worker", "views", "worker")]
    assert words[0] == words[2] != words[1] and len(words[0]) >= 32
    assert [path for path in folder.folder.rglob("*") if stat.S_IMODE(path.stat().st_mode) & 0o077] == []
