"""What opens a server: the encryption, the certificates, and who one is."""

import ipaddress
import ssl
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, Literal

from deploy.errors import StackError
from schemas import bounds
from schemas.bounded import TooLargeError, check_size

Protocol = Literal["PLAINTEXT", "SSL", "SASL_SSL"]
Mechanism = Literal["SCRAM-SHA-512", "OAUTHBEARER"]
PLAINTEXT: Final = "PLAINTEXT"
SASL_TLS: Final = "SASL_SSL"
SCRAM: Final = "SCRAM-SHA-512"
OAUTH: Final = "OAUTHBEARER"


class AccessError(StackError):
    """What is to open a server is missing, or is none: a setting is wrong, not a server."""


@dataclass(frozen=True, slots=True)
class Certificates:
    """Whom one trusts, and one's own certificate. Files in PEM; `setting`: what the names of the settings begin with."""

    setting: str
    ca: Path | None = None  # None: the usual authorities
    certificate: Path | None = None
    key: Path | None = None
    key_password: str = field(default="", repr=False)
    check_host: bool = True

    def context(self) -> ssl.SSLContext:
        """For Python's own connections. AccessError naming the setting whose file is none."""
        self._check("CA", self.ca)
        self._check("CERTIFICATE", self.certificate)
        self._check("KEY", self.key)
        if bool(self.certificate) != bool(self.key):
            raise AccessError(f"{self.setting}_CERTIFICATE and {self.setting}_KEY go together")
        try:
            found = ssl.create_default_context(cafile=self.ca)
        except ssl.SSLError as problem:
            raise AccessError(f"{self.setting}_CA: {self.ca} holds no certificate", "it takes a PEM file") from problem
        found.check_hostname = self.check_host
        if self.certificate is not None:
            try:  # a password in any case: OpenSSL would ask for one at the terminal
                found.load_cert_chain(self.certificate, self.key, lambda: self.key_password or "none")
            except (ssl.SSLError, OSError) as problem:
                raise AccessError(
                    f"{self.setting}_CERTIFICATE and {self.setting}_KEY are no certificate with its key: {problem}",
                    f"PEM files that belong together; {self.setting}_KEY_PASSWORD opens the key",
                ) from problem
        return found

    def _check(self, name: str, path: Path | None) -> None:
        """AccessError for a file that is not there, or is too large to be one."""
        try:
            if path is not None:
                check_size(path, bounds.SMALL_FILE_BYTES_MAX)
        except TooLargeError as problem:
            raise AccessError(f"{self.setting}_{name}: {problem}", problem.hint) from problem
        except OSError as problem:
            raise AccessError(f"{self.setting}_{name}: {path}: {problem.strerror}", "is the path right?") from problem


@dataclass(frozen=True, slots=True)
class TokenGrant:
    """Who gets tokens by OAuth's client credentials, and where."""

    token_url: str = ""
    client_id: str = ""
    client_secret: str = field(default="", repr=False)
    scope: str = ""


@dataclass(frozen=True, slots=True)
class Wire:
    """How brokers are spoken to."""

    protocol: Protocol = PLAINTEXT
    certificates: Certificates = Certificates("TIDEGAUGE_KAFKA")
    mechanism: Mechanism = SCRAM
    user: str = ""
    password: str = field(default="", repr=False)
    grant: TokenGrant = TokenGrant()

    @property
    def who(self) -> str:
        """As whom; empty for nobody in particular."""
        if self.protocol != SASL_TLS:
            return ""
        return self.user if self.mechanism == SCRAM else self.grant.client_id

    def checked(self) -> "Wire":
        """Itself. AccessError that names the setting which is missing."""
        if self.protocol == SASL_TLS:
            wanted = (
                {"USER": self.user, "PASSWORD": self.password}
                if self.mechanism == SCRAM
                else {
                    "TOKEN_URL": self.grant.token_url,
                    "CLIENT_ID": self.grant.client_id,
                    "CLIENT_SECRET": self.grant.client_secret,
                }
            )
            if missing := [f"TIDEGAUGE_KAFKA_{name}" for name, value in wanted.items() if not value]:
                raise AccessError(
                    f"{self.protocol} with {self.mechanism} needs {', '.join(missing)}",
                    "set it, or another TIDEGAUGE_KAFKA_SECURITY_PROTOCOL; see docs/security.md",
                )
        return self


PLAIN: Final = Wire()


class Brokers(str):
    """Brokers, host:port separated by commas, and what opens them. For messages it is the text."""

    __slots__ = ("wire",)
    wire: Wire

    def __new__(cls, servers: str, wire: Wire = PLAIN) -> "Brokers":
        """The brokers; without `wire` in plaintext, as nobody."""
        made = super().__new__(cls, servers)
        made.wire = wire
        return made


def loopback(host: str) -> bool:
    """True for this machine's own names and addresses."""
    try:
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return host == "localhost"
