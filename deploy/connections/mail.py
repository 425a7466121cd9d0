"""The settings of mail: the server that takes notices, how one logs in there, and whose addresses they go to."""

import re
import ssl
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlsplit

from pydantic import Field, SecretStr, field_validator
from pydantic_settings import BaseSettings

from deploy.connections.wire import AccessError, Certificates, loopback
from deploy.kinds import OfPlace

TLS_SCHEME, STARTTLS_SCHEME = "smtps", "smtp"
PORTS: Final = {TLS_SCHEME: 465, STARTTLS_SCHEME: 587}
"""Of a URL that names none (RFC 8314)."""

ADDRESS_CHARS_MAX: Final = 254
_LABEL: Final = "[A-Za-z0-9](?:[A-Za-z0-9-]{0,61}[A-Za-z0-9])?"
_DOMAIN: Final = re.compile(rf"{_LABEL}(?:\.{_LABEL})*")
_LOCAL: Final = re.compile(r"[A-Za-z0-9_+-]+(?:\.[A-Za-z0-9_+-]+)*")
LOCAL_CHARS_MAX: Final = 64


def is_address(text: str) -> bool:
    """Whether a text is an address of mail that needs no quotes and no other script: name, @, domain."""
    local, at, domain = text.rpartition("@")
    good = len(text) <= ADDRESS_CHARS_MAX and len(local) <= LOCAL_CHARS_MAX
    return bool(at) and good and bool(_LOCAL.fullmatch(local)) and bool(_DOMAIN.fullmatch(domain))


class MailSettings(BaseSettings):
    """A part of `Settings`."""

    mail_url: OfPlace[str] = Field("", description="The server that takes mail, smtps://host or smtp://host:587.")
    mail_user: OfPlace[str] = Field("", description="User of that server; none: it asks for no login.")
    mail_password: OfPlace[SecretStr | None] = Field(None, description="Password of that user.")
    mail_ca: OfPlace[Path | None] = Field(None, description="PEM file of authorities for the mail server.")
    mail_from: OfPlace[str] = Field("", description="Sender of notices by mail.")
    mail_domain: OfPlace[str] = Field("", description="Domain of the staff's addresses; none: that of the sender.")

    @field_validator("mail_url")
    @classmethod
    def usable_mail_server(cls, url: str) -> str:
        """Refuse what is no URL of a mail server; a user in it would be in logs."""
        try:
            parts = urlsplit(url)
            host, port = parts.hostname or "", parts.port or 1
        except ValueError:
            host, port = "", 0
        plain = not (parts.path.strip("/") or parts.query or parts.fragment or parts.username) if host else False
        if url and (not plain or not port or parts.scheme not in PORTS):
            raise ValueError("no URL of a mail server, such as smtps://mail.bank or smtp://mail.bank:587")
        return url

    @field_validator("mail_from")
    @classmethod
    def usable_sender(cls, sender: str) -> str:
        """Refuse what is no address."""
        if sender and not is_address(sender):
            raise ValueError("no address of mail, such as tidegauge@bank.example")
        return sender

    @field_validator("mail_domain")
    @classmethod
    def usable_domain(cls, domain: str) -> str:
        """Refuse what is no domain."""
        if domain and not is_address(f"a@{domain}"):
            raise ValueError("no domain of mail, such as bank.example")
        return domain

    def mail_server(self) -> dict[str, Any]:
        """Where mail goes and how, as aiosmtplib takes it. AccessError for a setting that is missing, or names no certificate.

        Beyond this machine it is always encrypted: from the first byte on, or by STARTTLS before anything is said.
        """
        if not self.mail_from:
            raise AccessError("TIDEGAUGE_MAIL_URL is set and TIDEGAUGE_MAIL_FROM is not", "mail has a sender")
        if bool(self.mail_user) != bool(self.mail_password):
            raise AccessError("TIDEGAUGE_MAIL_USER and TIDEGAUGE_MAIL_PASSWORD go together", "see docs/settings.md")
        parts = urlsplit(self.mail_url)
        tls, host = parts.scheme == TLS_SCHEME, parts.hostname or ""
        upgraded = not tls and (not loopback(host) or self.mail_ca is not None)
        return {
            "hostname": host, "port": parts.port or PORTS[parts.scheme], "use_tls": tls, "start_tls": upgraded,
            "tls_context": self.mail_trust() if tls or upgraded else None, "username": self.mail_user or None,
            "password": self.mail_password.get_secret_value() if self.mail_password else None,
        }  # fmt: skip

    def mail_trust(self) -> ssl.SSLContext:
        """Whom the mail server's certificate must come from. AccessError for a file that holds none."""
        return Certificates("TIDEGAUGE_MAIL", self.mail_ca).context()
