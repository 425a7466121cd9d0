"""The settings of the wire: encryption and identity towards Kafka, Redis and PostgreSQL.

Of Kafka and Redis the defaults are plaintext, as nobody; a PostgreSQL server elsewhere is spoken to by TLS.
"""

from pathlib import Path
from urllib.parse import quote, urlencode, urlsplit

from pydantic import Field, SecretStr
from pydantic_settings import BaseSettings, PydanticBaseSettingsSource

from deploy.connections.database import opened_database
from deploy.connections.wire import OAUTH, SCRAM, AccessError, Certificates, Mechanism, Protocol, TokenGrant, Wire
from deploy.kinds import OfPlace
from deploy.sources import Secrets


class WireSettings(BaseSettings):
    """A part of `Settings`."""

    # Kafka.
    kafka_security_protocol: OfPlace[Protocol] = Field("PLAINTEXT", description="How the brokers are spoken to.")
    kafka_ca: OfPlace[Path | None] = Field(None, description="CA file (PEM) of the brokers and of tokens for them.")
    kafka_certificate: OfPlace[Path | None] = Field(
        None, description="Own certificate (PEM), where brokers ask for one."
    )
    kafka_key: OfPlace[Path | None] = Field(None, description="Private key (PEM) of that certificate.")
    kafka_key_password: OfPlace[SecretStr | None] = Field(None, description="Password of that key.")
    kafka_check_host: OfPlace[bool] = Field(True, description="Brokers' certificates must be of their host names.")
    kafka_sasl_mechanism: OfPlace[Mechanism] = Field(SCRAM, description="How one says to the brokers who one is.")
    kafka_user: OfPlace[str] = Field("", description="User of the brokers (SCRAM).")
    kafka_password: OfPlace[SecretStr | None] = Field(None, description="Password of that user.")
    kafka_token_url: OfPlace[str] = Field("", description="Where tokens for the brokers come from (OAuth).")
    kafka_client_id: OfPlace[str] = Field("", description="Client that gets the tokens.")
    kafka_client_secret: OfPlace[SecretStr | None] = Field(None, description="Secret of that client.")
    kafka_scope: OfPlace[str] = Field("", description="Scope of the tokens.")

    # Redis. That it is encrypted says the URL: rediss://.
    redis_user: OfPlace[str] = Field("", description="ACL user of the Redis server.")
    redis_password: OfPlace[SecretStr | None] = Field(None, description="Password of that user.")
    redis_ca: OfPlace[Path | None] = Field(None, description="CA file (PEM) of the Redis server.")
    redis_certificate: OfPlace[Path | None] = Field(None, description="Own certificate (PEM), where it asks for one.")
    redis_key: OfPlace[Path | None] = Field(None, description="Private key (PEM) of that certificate.")
    redis_check_host: OfPlace[bool] = Field(True, description="Its certificate must be of its host name.")

    # PostgreSQL.
    database_user: OfPlace[str] = Field("", description="User of the PostgreSQL server.")
    database_password: OfPlace[SecretStr | None] = Field(None, description="Password of that user.")
    database_ca: OfPlace[Path | None] = Field(None, description="CA file (PEM) of the PostgreSQL server.")
    database_certificate: OfPlace[Path | None] = Field(
        None, description="Own certificate (PEM), where it asks for one."
    )
    database_key: OfPlace[Path | None] = Field(None, description="Private key (PEM) of that certificate.")
    database_check_host: OfPlace[bool] = Field(True, description="Its certificate must be of its host name.")

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """What code gives, variables, and for secrets files and commands."""
        return init_settings, env_settings, Secrets(settings_cls)

    def kafka_wire(self) -> Wire:
        """What the settings say of the way to the brokers."""
        certificates = Certificates(
            "TIDEGAUGE_KAFKA", self.kafka_ca, self.kafka_certificate, self.kafka_key, _text(self.kafka_key_password),
            self.kafka_check_host,
        )  # fmt: skip
        grant = TokenGrant(
            self.kafka_token_url, self.kafka_client_id, _text(self.kafka_client_secret), self.kafka_scope
        )
        return Wire(
            self.kafka_security_protocol, certificates, self.kafka_sasl_mechanism, self.kafka_user,
            _text(self.kafka_password), grant if self.kafka_sasl_mechanism == OAUTH else TokenGrant(),
        )  # fmt: skip

    def database_opened(self, url: str) -> str:
        """The URL with user, password and certificates, as psycopg takes it. AccessError for a file that is none."""
        return opened_database(
            url, self.database_user, _text(self.database_password),
            Certificates(
                "TIDEGAUGE_DATABASE", self.database_ca, self.database_certificate, self.database_key,
                check_host=self.database_check_host,
            ),
        )  # fmt: skip

    def opened_redis(self, url: str) -> str:
        """The URL with user, password and certificates, as Redis clients take it. AccessError for a file that is none."""
        return opened_url(url, self.redis_user, _text(self.redis_password), self.redis_certificates())

    def redis_certificates(self) -> Certificates:
        """Of whoever speaks to a Redis server."""
        return Certificates(
            "TIDEGAUGE_REDIS", self.redis_ca, self.redis_certificate, self.redis_key, check_host=self.redis_check_host
        )


def opened_url(url: str, user: str, password: str, certificates: Certificates) -> str:
    """A URL of a Redis server with what opens it. What the URL says itself counts first. AccessError."""
    parts = urlsplit(url)
    if (user or password) and "@" not in parts.netloc:
        place = f"{quote(user, safe='')}:{quote(password, safe='')}@{parts.netloc}"
        if parts.scheme == "unix":
            place = place.removesuffix("@") + "@"
        parts = parts._replace(netloc=place)
    if parts.scheme != "rediss":
        if certificates.ca or certificates.certificate:
            hint = "write rediss:// in TIDEGAUGE_REDIS_URL, or unset TIDEGAUGE_REDIS_CA and TIDEGAUGE_REDIS_CERTIFICATE"
            raise AccessError("certificates for a Redis server that is not spoken to by TLS", hint)
        return parts.geturl()
    certificates.context()  # says which file is none
    files = {
        "ssl_ca_certs": certificates.ca and str(certificates.ca),
        "ssl_certfile": certificates.certificate and str(certificates.certificate),
        "ssl_keyfile": certificates.key and str(certificates.key),
        "ssl_check_hostname": str(certificates.check_host).lower(),
    }
    more = urlencode({name: value for name, value in files.items() if value})
    return parts._replace(query="&".join(filter(None, (parts.query, more)))).geturl()


def _text(secret: SecretStr | None) -> str:
    return "" if secret is None else secret.get_secret_value()
