"""What each library's clients of Kafka take, from the brokers of the settings. Nothing else may configure a client.

tests/deploy/test_connections.py counts the places that make clients, and sees that each takes this.
"""

from typing import TYPE_CHECKING, Any

from deploy.connections.wire import OAUTH, PLAIN, PLAINTEXT, SASL_TLS, Brokers, Wire

if TYPE_CHECKING:
    from faust.types.auth import CredentialsT


def wire_of(brokers: str) -> Wire:
    """What opens the brokers. AccessError where a setting is missing for it."""
    return (brokers.wire if isinstance(brokers, Brokers) else PLAIN).checked()


def librdkafka(brokers: str) -> dict[str, Any]:
    """The part of confluent-kafka's configuration that says where brokers are and what opens them. AccessError."""
    wire, servers = wire_of(brokers), {"bootstrap.servers": str(brokers)}
    if wire.protocol == PLAINTEXT:
        return servers
    files = wire.certificates
    files.context()  # says which file is none; librdkafka would only say that something is
    given = {
        "security.protocol": wire.protocol,
        "ssl.ca.location": files.ca and str(files.ca),
        "ssl.certificate.location": files.certificate and str(files.certificate),
        "ssl.key.location": files.key and str(files.key),
        "ssl.key.password": files.key_password,
        "ssl.endpoint.identification.algorithm": "https" if files.check_host else "none",
    }
    if wire.protocol == SASL_TLS:
        given |= _oauth(wire) if wire.mechanism == OAUTH else _scram(wire)
    return servers | {name: value for name, value in given.items() if value}


def _scram(wire: Wire) -> dict[str, Any]:
    return {"sasl.mechanism": wire.mechanism, "sasl.username": wire.user, "sasl.password": wire.password}


def _oauth(wire: Wire) -> dict[str, Any]:
    """Tokens that librdkafka gets by itself, and renews."""
    return {
        "sasl.mechanism": wire.mechanism,
        "sasl.oauthbearer.method": "oidc",
        "sasl.oauthbearer.token.endpoint.url": wire.grant.token_url,
        "sasl.oauthbearer.client.id": wire.grant.client_id,
        "sasl.oauthbearer.client.secret": wire.grant.client_secret,
        "sasl.oauthbearer.scope": wire.grant.scope,
        "https.ca.location": wire.certificates.ca and str(wire.certificates.ca),
    }


def aiokafka_options(brokers: str) -> dict[str, Any]:
    """The same for aiokafka's consumers and producers, as keywords. AccessError."""
    wire, servers = wire_of(brokers), {"bootstrap_servers": str(brokers)}
    if wire.protocol == PLAINTEXT:
        return servers
    found: dict[str, Any] = servers | {
        "security_protocol": wire.protocol, "ssl_context": wire.certificates.context(),
    }  # fmt: skip
    if wire.protocol != SASL_TLS:
        return found
    if wire.mechanism == OAUTH:
        from deploy.connections.tokens import Tokens

        return found | {"sasl_mechanism": OAUTH, "sasl_oauth_token_provider": Tokens(wire)}
    return found | {
        "sasl_mechanism": wire.mechanism, "sasl_plain_username": wire.user, "sasl_plain_password": wire.password,
    }  # fmt: skip


def faust_credentials(brokers: str) -> "CredentialsT | None":
    """The same for a Faust app; None for plaintext, where it needs none. AccessError."""
    wire = wire_of(brokers)
    if wire.protocol == PLAINTEXT:
        return None
    from faust import auth  # here: most processes have no Faust

    context = wire.certificates.context()
    if wire.protocol != SASL_TLS:
        return auth.SSLCredentials(context)
    if wire.mechanism == OAUTH:
        from deploy.connections.tokens import Tokens

        return auth.OAuthCredentials(oauth_cb=Tokens(wire), ssl_context=context)
    return auth.SASLCredentials(
        username=wire.user, password=wire.password, ssl_context=context, mechanism=wire.mechanism
    )
