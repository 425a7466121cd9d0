"""Why a server does not let a client in, in one line: asked when something has failed, not before.

The libraries say of a closed connection that it is closed. What is behind it shows when the steps are taken one by one: a
connection, its encryption, the certificate, the user.
"""

import socket
import ssl
import time
from datetime import UTC, datetime
from typing import Any, Final
from urllib.parse import urlsplit

from deploy.connections.clients import librdkafka, wire_of
from deploy.connections.wire import PLAINTEXT, SASL_TLS, AccessError, Brokers, Certificates

PROBE_S: Final = 3.0
EXPIRED, WRONG_HOST = 10, 62  # OpenSSL's codes of a certificate that is refused
PROTOCOL: Final = "TIDEGAUGE_KAFKA_SECURITY_PROTOCOL"
# An ApiVersions request (key 18) of version 0 without a client's name: any broker answers it.
_ASK: Final = bytes.fromhex("0000000a0012000000000001ffff")


def why_refused(kafka: Brokers) -> str:
    """What stands between this process and the brokers, with the setting that is to be corrected; empty if nothing is seen."""
    try:
        wire = wire_of(kafka)
        for server in kafka.split(","):
            host, port = _place(server)
            if not _open(host, port):
                continue
            if wire.protocol == PLAINTEXT:
                return _of_plaintext(host, port)
            secured = wire.protocol
            if found := _of_tls(host, port, wire.certificates, f"{PROTOCOL} is {secured}, and {server} is plaintext"):
                return found
            return _of_user(kafka) if wire.protocol == SASL_TLS else ""
    except AccessError as problem:
        return problem.message
    return ""


def reached(kafka: Brokers) -> bool:
    """Whether something listens at one of the brokers' addresses."""
    return any(_open(*_place(server)) for server in kafka.split(","))


def _place(server: str) -> tuple[str, int]:
    host, _, port = server.strip().rpartition(":")
    return host, int(port)


def _open(host: str, port: int) -> bool:
    try:
        socket.create_connection((host, port), PROBE_S).close()
    except OSError:
        return False
    return True


def _of_plaintext(host: str, port: int) -> str:
    """Whether what listens there wants TLS, or a user."""
    anybody = ssl.create_default_context()
    anybody.check_hostname, anybody.verify_mode = False, ssl.CERT_NONE  # only whether it speaks TLS; nothing is sent
    try:
        with (
            socket.create_connection((host, port), PROBE_S) as raw,
            anybody.wrap_socket(raw, server_hostname=host),
        ):
            return f"{host}:{port} speaks TLS only: set {PROTOCOL} to SSL or SASL_SSL"
    except OSError:  # ssl.SSLError is one: it does not speak TLS
        return ""


def _of_tls(host: str, port: int, certificates: Certificates, plaintext: str) -> str:
    """What is wrong with the encryption; `plaintext`: what to say where there is none."""
    context, name = certificates.context(), certificates.setting
    try:
        with (
            socket.create_connection((host, port), PROBE_S) as raw,
            context.wrap_socket(raw, server_hostname=host) as spoken,
        ):
            # With TLS 1.3 a server refuses a client's certificate only behind the handshake.
            spoken.sendall(_ASK)
            spoken.recv(1)
    except ssl.SSLCertVerificationError as problem:
        if problem.verify_code == EXPIRED:
            return f"the certificate of {host}:{port} has expired: renew it there"
        if problem.verify_code == WRONG_HOST or "mismatch" in problem.verify_message:
            return (
                f"the certificate of {host}:{port} is of another host ({problem.verify_message}); see {name}_CHECK_HOST"
            )
        trusted = certificates.ca or "the usual authorities"
        return f"the certificate of {host}:{port} is of no authority in {trusted} ({problem.verify_message}): set {name}_CA"
    except ssl.SSLError as problem:
        return _alert(problem, f"{host}:{port}", certificates, plaintext)
    except TimeoutError:
        return ""
    except OSError:  # a plaintext server hangs up on what it can't read
        return plaintext
    return ""


def _alert(problem: ssl.SSLError, where: str, certificates: Certificates, plaintext: str) -> str:
    """What a server said of our own certificate, if it did."""
    reason, name = str(problem.reason or ""), certificates.setting
    if "CERTIFICATE" in reason and ("EXPIRED" in reason or _has_ended(certificates)):
        return f"{where} says that the certificate in {name}_CERTIFICATE has expired: renew it"
    if "CERTIFICATE" in reason and certificates.certificate is None:
        return f"{where} asks for a certificate: set {name}_CERTIFICATE and {name}_KEY"
    if "CERTIFICATE" in reason or "UNKNOWN_CA" in reason:
        return f"{where} does not take the certificate in {name}_CERTIFICATE ({reason.lower().replace('_', ' ')})"
    if "WRONG_VERSION" in reason or "EOF" in reason or "RECORD" in reason:
        return plaintext
    return f"{where}: {' '.join(str(problem).split())}"


def _has_ended(certificates: Certificates) -> bool:
    """Whether the own certificate has ended by this machine's clock; servers often say only that they don't take it."""
    from deploy.security.authority import certificate_end  # here, as most processes have no certificate

    return certificates.certificate is not None and certificate_end(certificates.certificate) < datetime.now(UTC)


def _of_user(kafka: Brokers) -> str:
    """What the brokers say of the user, or of its token."""
    from confluent_kafka import KafkaError, KafkaException
    from confluent_kafka.admin import AdminClient

    from deploy.admin import nowhere

    said: list[Any] = []
    heard: dict[str, Any] = {"error_cb": said.append}
    client = AdminClient({**librdkafka(kafka), **heard}, logger=nowhere)
    until = time.monotonic() + PROBE_S
    while time.monotonic() < until:
        try:
            client.list_topics(timeout=0.5)
        except KafkaException:
            client.poll(0.1)
        else:
            return ""
        for problem in said:
            if problem.code() == KafkaError._AUTHENTICATION:  # noqa: SLF001 - librdkafka's own errors are named so
                return _refused_user(kafka, str(problem.str()))
    return ""


def _refused_user(kafka: Brokers, text: str) -> str:
    wire = wire_of(kafka)
    reason = text.rpartition("SASL authentication error: ")[2].partition(" (after ")[0] or text
    names = "USER and TIDEGAUGE_KAFKA_PASSWORD" if wire.grant.client_id == "" else "CLIENT_ID and its secret"
    return f"the brokers refuse {wire.who}: {reason}; see TIDEGAUGE_KAFKA_{names}"


def why_redis_refuses(url: str) -> str:
    """The same of a Redis server; empty if nothing is seen. The URL is that of the settings, with all that opens it."""
    import redis

    parts = urlsplit(url)
    if parts.scheme == "unix" or not _open(parts.hostname or "", parts.port or 6379):
        return ""
    where = f"{parts.hostname}:{parts.port or 6379}"
    try:
        with redis.Redis.from_url(url, socket_timeout=PROBE_S, socket_connect_timeout=PROBE_S) as client:
            client.ping()
    except redis.AuthenticationError:
        who = parts.username or "a client without a user"
        return f"{where} refuses {who}: see TIDEGAUGE_REDIS_USER and TIDEGAUGE_REDIS_PASSWORD"
    except redis.exceptions.NoPermissionError:
        return (
            f"{where}: user {parts.username or 'default'} lacks a right; `tidegauge security acls` has those it needs"
        )
    except redis.RedisError as problem:
        return _of_redis(problem, where, parts.scheme)
    return ""


def _of_redis(problem: Exception, where: str, scheme: str) -> str:
    """What a failed connection was about."""
    cause: BaseException | None = problem
    while cause is not None and not isinstance(cause, ssl.SSLError):
        cause = cause.__cause__ or cause.__context__
    if isinstance(cause, ssl.SSLCertVerificationError):
        what = "has expired" if cause.verify_code == EXPIRED else f"is not taken ({cause.verify_message})"
        return f"the certificate of {where} {what}: renew it, or see TIDEGAUGE_REDIS_CA and TIDEGAUGE_REDIS_CHECK_HOST"
    if isinstance(cause, ssl.SSLError) or scheme == "rediss":
        return f"{where} does not speak TLS: write redis:// in TIDEGAUGE_REDIS_URL, or turn its TLS on"
    return f"{where} hangs up on what is not encrypted: write rediss:// in TIDEGAUGE_REDIS_URL"


# What libpq or the server says -> what is said of it: a cause, and what to do. Read from above.
_OF_DATABASE: Final = (
    ("certificate verify failed", "its certificate is of no authority in {ca}, or has expired", "set {ca}, or renew it"),
    ("root certificate file", "there are no authorities to vouch for its certificate", "set {ca}"),
    ("does not match host name", "its certificate is of another host", "see TIDEGAUGE_DATABASE_CHECK_HOST"),
    ("does not support SSL", "it does not speak TLS", "turn its TLS on, or write ?sslmode=disable in TIDEGAUGE_DATABASE_URL"),
    ("no encryption", "it takes no client in plaintext", "take sslmode=disable out of TIDEGAUGE_DATABASE_URL, and set {ca}"),
    ("password authentication failed", "it refuses this user", "{who}"),
    ("no password supplied", "it asks for a password", "{who}"),
    ("permission denied", "this user lacks a right", "`tidegauge security acls --form postgres` has those it needs"),
)  # fmt: skip


def why_database_refuses(problem: Exception) -> tuple[str, str]:
    """What stands between this process and a PostgreSQL server, or what that has against a statement; and what to do."""
    text = " ".join(str(problem).split("\n")[0].split())  # the lines behind may hold values of rows
    words = {"ca": "TIDEGAUGE_DATABASE_CA", "who": "see TIDEGAUGE_DATABASE_USER and TIDEGAUGE_DATABASE_PASSWORD"}
    for sign, cause, remedy in _OF_DATABASE:
        if sign in str(problem):
            return f"PostgreSQL: {cause.format(**words)} ({text})", remedy.format(**words)
    return f"PostgreSQL failed: {text}", "start it with `tidegauge up`, or correct TIDEGAUGE_DATABASE_URL"
