"""Every client of Kafka, Redis and PostgreSQL takes from one place how a server is reached, and there is none that doesn't."""

import ast
import ssl
import subprocess
from collections import Counter
from pathlib import Path
from typing import Final

import pytest
from aiokafka import AIOKafkaConsumer
from confluent_kafka import Producer
from faust.transport.drivers.aiokafka import credentials_to_aiokafka_auth

from deploy.connections import clients
from deploy.connections.clients import aiokafka_options, faust_credentials, librdkafka
from deploy.connections.database import opened_database, shown_database
from deploy.connections.settings import opened_url
from deploy.connections.tokens import Tokens
from deploy.connections.wire import OAUTH, SASL_TLS, AccessError, Brokers, Certificates, TokenGrant, Wire
from deploy.settings import Settings
from tests.schemas.registry_server import TOKEN, RegistryServer
from tests.schemas.test_registry import self_signed
from tests.test_tidy import nodes, parsed

ROOT = Path(__file__).resolve().parents[2]
ROOMS: Final = ("agents", "services", "connectors", "deploy", "tidegauge", "bench", "tests")
# Constructor -> what one of its arguments is made by.
LIBRDKAFKA: Final = frozenset(("librdkafka", "producer_config"))
CLIENTS: Final = {
    "Producer": LIBRDKAFKA, "Consumer": LIBRDKAFKA, "AdminClient": LIBRDKAFKA, "DeserializingConsumer": LIBRDKAFKA,
    "SerializingProducer": LIBRDKAFKA, "AIOKafkaConsumer": frozenset(("aiokafka_options",)),
    "AIOKafkaProducer": frozenset(("aiokafka_options",)), "AIOKafkaAdminClient": frozenset(("aiokafka_options",)),
    "AIOKafkaClient": frozenset(("aiokafka_options",)),
    "FolderlessApp": frozenset(("faust_credentials",)), "BlockApp": frozenset(("faust_credentials",)),
    "App": frozenset(("faust_credentials",)),
}  # fmt: skip
FOREIGN: Final = {  # place: why it takes another way
    "bench/peers/faust_tutorial.py": "a program of a neighbour's, as its tutorial has it, in an environment without ours",
    "tests/integration/credentials.py": "tries what each credential may do, by the very options of `librdkafka`",
    "tests/engine/test_hooks.py": "connects to nobody: it looks at what the library keeps",
    "tests/deploy/test_connections.py": "this test",
}
REDIS: Final = frozenset(
    ("Redis", "StrictRedis", "ConnectionPool", "BlockingConnectionPool", "Sentinel", "RedisCluster")
)


class Site:
    """A call that makes a client."""

    def __init__(self, path: str, call: ast.Call, name: str) -> None:
        self.path, self.call, self.name = path, call, name

    @property
    def made_by(self) -> set[str]:
        """The functions that its arguments call."""
        inside = (node for part in (*self.call.args, *self.call.keywords) for node in ast.walk(part))
        return {called(node) for node in inside if isinstance(node, ast.Call)}

    def __str__(self) -> str:
        return f"{self.path}:{self.call.lineno}: {self.name}"


def called(node: ast.Call) -> str:
    return node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "")


def files() -> list[Path]:
    listed = subprocess.run(
        ["git", "ls-files", "-co", "--exclude-standard", *ROOMS], cwd=ROOT, capture_output=True, text=True, check=True
    )
    return [ROOT / name for name in listed.stdout.split() if name.endswith(".py") and (ROOT / name).exists()]


def imported(path: Path) -> set[str]:
    """Names that a module takes from the libraries: a test's own `Consumer` is none."""
    libraries = ("confluent_kafka", "aiokafka", "faust", "redis", "agents.engine")
    return {
        alias.asname or alias.name
        for node in nodes(path)
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith(libraries)
        for alias in node.names
    }


def sites() -> list[Site]:
    """Every call of the repository that makes a client of Kafka."""
    found = []
    for path in files():
        own = {node.name for node in parsed(path).body if isinstance(node, ast.ClassDef)}
        known = imported(path) | own & {"BlockApp"}
        for node in nodes(path):
            if isinstance(node, ast.Call) and (name := called(node)) in CLIENTS:
                of_module = isinstance(node.func, ast.Attribute)
                if of_module or name in known:
                    found.append(Site(path.relative_to(ROOT).as_posix(), node, name))
    return found


@pytest.mark.slow
def test_every_client_of_kafka_takes_the_one_place() -> None:
    """A constructor whose arguments don't come from `deploy.connections` fails; so does a list that finds too few."""
    found = sites()
    wrong = [str(site) for site in found if not site.made_by & CLIENTS[site.name] and site.path not in FOREIGN]
    assert not wrong, wrong
    assert {site.path for site in found} >= FOREIGN.keys() - {"tests/deploy/test_connections.py"}, "no longer needed"
    product = Counter(site.name for site in found if not site.path.startswith(("tests", "bench")))
    assert product == {
        "AIOKafkaConsumer": 2, "AIOKafkaProducer": 1, "BlockApp": 1, "FolderlessApp": 1, "AdminClient": 2, "Producer": 6,
        "Consumer": 4,
    }  # fmt: skip


def test_every_client_of_redis_takes_one_url() -> None:
    """`Settings.redis` holds all that opens the server: no client, nor the pool it takes from, is made but from a URL."""
    wrong = [
        f"{path.relative_to(ROOT)}:{node.lineno}"
        for path in files()
        for node in nodes(path)
        if isinstance(node, ast.Call)
        and called(node) in REDIS
        and not ast.unparse(node.func).startswith("psycopg_pool.")
        and [word.arg for word in node.keywords] != ["connection_pool"]
    ]
    assert not wrong, wrong
    taken = Counter(where for path in files() for where in urls_of_redis(path))
    assert taken == {"settings.redis": 5, "settings.tickets": 3, "given": 4}, "of a text, or a site that is not counted"


def urls_of_redis(path: Path) -> list[str]:
    """What each client takes for its URL: the setting's name, `given` for what its function was given, else its text."""
    if path.relative_to(ROOT).parts[0] in ("tests", "bench"):
        return []
    found = []
    for function in nodes(path):
        if not isinstance(function, ast.FunctionDef | ast.AsyncFunctionDef):
            continue
        given = {one.arg for one in (*function.args.posonlyargs, *function.args.args, *function.args.kwonlyargs)}
        for node in ast.walk(function):
            if isinstance(node, ast.Call) and called(node) == "from_url":
                assert isinstance(node.func, ast.Attribute)
                assert ast.unparse(node.func.value).rpartition(".")[2] in REDIS, ast.unparse(node)
                text = ast.unparse(node.args[0])
                found.append("given" if text in given else text.removeprefix("self."))
    assert len(found) == sum(isinstance(node, ast.Call) and called(node) == "from_url" for node in nodes(path)), path
    return found


def test_every_client_of_postgresql_is_made_in_one_place() -> None:
    """`deploy.connections.database` makes connections and pools, with an end to every wait; nobody else does."""
    makers = (
        "psycopg.connect",
        "Connection.connect",
        "AsyncConnection.connect",
        "ConnectionPool",
        "AsyncConnectionPool",
    )
    names = ("connect", "ConnectionPool")  # what is written out in full is looked at closely
    found = [
        path.relative_to(ROOT).as_posix()
        for path in files()
        for node in nodes(path)
        if isinstance(node, ast.Call) and called(node).endswith(names) and ast.unparse(node.func).endswith(makers)
    ]
    # The last one looks at what a program of docs/integrators.md has written, as any reader would.
    assert sorted(found) == [*["deploy/connections/database.py"] * 2, "tests/clients/test_clients.py"]


def test_nobody_spells_the_addresses() -> None:
    """Neither library's word for where brokers are stands anywhere else."""
    words = ("bootstrap" + ".servers", "bootstrap" + "_servers=settings.kafka")
    found = {path.relative_to(ROOT).as_posix() for path in files() if any(word in path.read_text() for word in words)}
    own = {"deploy/connections/clients.py", "tests/deploy/test_connections.py"}
    assert found - own - {path for path in found if path.startswith(("tests/clients/", "tests/docs/"))} == set()


FULL: Final = {
    "bootstrap_servers": "kafka.example:9093", "kafka_security_protocol": "SASL_SSL", "kafka_user": "worker",
    "kafka_password": "a password",
}  # fmt: skip


def test_the_default_is_plaintext() -> None:
    """As it was before there were these settings."""
    settings = Settings(bootstrap_servers="kafka.example:9092")
    assert settings.kafka == "kafka.example:9092"
    assert librdkafka(settings.kafka) == {"bootstrap.servers": "kafka.example:9092"}
    assert aiokafka_options(settings.kafka) == {"bootstrap_servers": "kafka.example:9092"}
    assert faust_credentials(settings.kafka) is None


def test_each_library_gets_the_user() -> None:
    """SCRAM over TLS, in the words of each, and each library takes them."""
    kafka = Settings(**FULL).kafka
    given = librdkafka(kafka)
    assert given == {
        "bootstrap.servers": "kafka.example:9093", "security.protocol": "SASL_SSL", "sasl.mechanism": "SCRAM-SHA-512",
        "sasl.username": "worker", "sasl.password": "a password", "ssl.endpoint.identification.algorithm": "https",
    }  # fmt: skip
    Producer(given)
    options = aiokafka_options(kafka)
    assert isinstance(options.pop("ssl_context"), ssl.SSLContext)
    assert options == {
        "bootstrap_servers": "kafka.example:9093", "security_protocol": "SASL_SSL", "sasl_mechanism": "SCRAM-SHA-512",
        "sasl_plain_username": "worker", "sasl_plain_password": "a password",
    }  # fmt: skip
    faust = dict(credentials_to_aiokafka_auth(faust_credentials(kafka)))
    faust.pop("ssl_context")
    assert faust == {name: value for name, value in options.items() if name != "bootstrap_servers"}
    assert "a password" not in repr(kafka) + repr(kafka.wire) + repr(Settings(**FULL))


async def test_each_library_gets_the_tokens(monkeypatch: pytest.MonkeyPatch) -> None:
    """OAUTHBEARER: librdkafka fetches by itself, aiokafka and Faust by one provider, which asks again before the end."""
    oauth = {
        **FULL, "kafka_sasl_mechanism": "OAUTHBEARER", "kafka_token_url": "https://login.example/token",
        "kafka_client_id": "worker", "kafka_client_secret": "a secret", "kafka_scope": "kafka",
    }  # fmt: skip
    kafka = Settings(**oauth).kafka
    given = librdkafka(kafka)
    assert (given["sasl.mechanism"], given["sasl.oauthbearer.method"]) == ("OAUTHBEARER", "oidc")
    assert given["sasl.oauthbearer.client.secret"] == "a secret" and "sasl.password" not in given
    Producer(given)
    provider = aiokafka_options(kafka)["sasl_oauth_token_provider"]
    asked = []

    async def new_token(*words: object) -> tuple[str, float]:
        asked.append(words)
        return f"token {len(asked)}", 3600.0 if len(asked) > 1 else 30.0

    monkeypatch.setattr("deploy.connections.tokens.new_token", new_token)
    assert [await provider.token() for _ in range(3)] == ["token 1", "token 2", "token 2"]
    assert asked[0] == ("https://login.example/token", "worker", "a secret", "kafka", None)
    assert credentials_to_aiokafka_auth(faust_credentials(kafka))["sasl_mechanism"] == "OAUTHBEARER"
    AIOKafkaConsumer(**aiokafka_options(kafka))


async def test_tokens_come_from_their_issuer() -> None:
    """By the client's id and secret, once for as long as it lasts; a wrong secret raises."""
    with RegistryServer() as server:
        for secret in ("client secret", "another"):
            grant = TokenGrant(f"{server.url}/token", "tidegauge", secret)
            provider = Tokens(Wire(SASL_TLS, mechanism=OAUTH, grant=grant))
            if secret == "another":
                with pytest.raises(Exception, match="invalid_client"):
                    await provider.token()
            else:
                assert [await provider.token() for _ in range(3)] == [TOKEN] * 3
        assert server.tokens_given == 1


def test_certificates(tmp_path: Path) -> None:
    """An authority, one's own certificate, and no look at host names, for each library."""
    certificate = key = self_signed(tmp_path)
    files = {"kafka_ca": certificate, "kafka_certificate": certificate, "kafka_key": key}
    kafka = Settings(bootstrap_servers="h:1", kafka_security_protocol="SSL", kafka_check_host=False, **files).kafka
    assert librdkafka(kafka) == {
        "bootstrap.servers": "h:1", "security.protocol": "SSL", "ssl.ca.location": str(certificate),
        "ssl.certificate.location": str(certificate), "ssl.key.location": str(key),
        "ssl.endpoint.identification.algorithm": "none",
    }  # fmt: skip
    Producer(librdkafka(kafka))
    context = aiokafka_options(kafka)["ssl_context"]
    assert not context.check_hostname and context.verify_mode == ssl.CERT_REQUIRED
    assert len(context.get_ca_certs()) == 1


@pytest.mark.parametrize(
    ("more", "said"),
    [
        ({"kafka_password": None}, "TIDEGAUGE_KAFKA_PASSWORD"),
        ({"kafka_sasl_mechanism": "OAUTHBEARER", "kafka_client_id": "x"}, "TIDEGAUGE_KAFKA_TOKEN_URL, "),
        ({"kafka_ca": Path("/nowhere.pem")}, "TIDEGAUGE_KAFKA_CA: /nowhere.pem: No such file"),
        ({"kafka_ca": Path(__file__)}, "TIDEGAUGE_KAFKA_CA: .* holds no certificate"),
        ({"kafka_certificate": Path(__file__)}, "TIDEGAUGE_KAFKA_KEY go together"),
        ({"kafka_certificate": Path(__file__), "kafka_key": Path(__file__)}, "are no certificate with its key"),
    ],
)
def test_what_is_missing_is_named(more: dict[str, object], said: str) -> None:
    """Before anybody is asked anything, by whatever library."""
    kafka = Settings(**{**FULL, **more}).kafka
    for use in (librdkafka, aiokafka_options, faust_credentials):
        with pytest.raises(AccessError, match=said):
            use(kafka)


def test_brokers_are_text() -> None:
    """A message, a variable of a child and a key of a cache take them as they are."""
    kafka = Settings(**FULL).kafka
    assert (f"{kafka}", kafka.split(":")[1], type(str(kafka))) == ("kafka.example:9093", "9093", str)
    assert clients.wire_of("plain:9092") == clients.wire_of(Brokers("plain:9092"))


def test_the_url_of_redis(tmp_path: Path) -> None:
    """User, password and files go into the URL, quoted; what it says itself counts first."""
    certificate = self_signed(tmp_path)
    tls, none = Certificates("TIDEGAUGE_REDIS", certificate), Certificates("TIDEGAUGE_REDIS")
    assert opened_url("redis://h:1/0", "", "", none) == "redis://h:1/0"
    assert opened_url("redis://h:1/0", "views", "a/b@c", none) == "redis://views:a%2Fb%40c@h:1/0"
    assert opened_url("redis://:own@h:1/0", "views", "x", none) == "redis://:own@h:1/0"
    found = Settings(redis_url="rediss://h:1/0", redis_user="u", redis_password="p", redis_ca=certificate)
    assert found.redis.startswith("rediss://u:p@h:1/0?ssl_ca_certs=") and "ssl_check_hostname=true" in found.redis
    assert found.redis_shown == "rediss://…@h:1/0"
    with pytest.raises(AccessError, match="not spoken to by TLS"):
        opened_url("redis://h:1/0", "", "", tls)


def test_the_url_of_postgresql(tmp_path: Path) -> None:
    """User, password and files go into the URL, quoted; what it says itself counts first."""
    certificate = self_signed(tmp_path)
    tls, none = Certificates("TIDEGAUGE_DATABASE", certificate), Certificates("TIDEGAUGE_DATABASE")
    assert opened_database("postgresql://127.0.0.1:1/d", "", "", none) == "postgresql://127.0.0.1:1/d"
    assert opened_database("postgresql://localhost/d", "u", "a/b@c", none) == "postgresql://u:a%2Fb%40c@localhost/d"
    assert opened_database("postgresql://own:x@localhost/d", "u", "p", none) == "postgresql://own:x@localhost/d"
    found = Settings(database_url="postgresql://h/d", database_user="u", database_password="p", database_ca=certificate)
    assert found.database.startswith("postgresql://u:p@h/d?sslmode=verify-full&sslrootcert=")
    assert shown_database(found.database) == "postgresql://…@h/d"
    assert "sslmode=verify-ca" in found.model_copy(update={"database_check_host": False}).database
    with pytest.raises(AccessError, match="not spoken to by TLS"):
        opened_database("postgresql://h/d?sslmode=disable", "", "", tls)
    with pytest.raises(AccessError, match=r"TIDEGAUGE_DATABASE_CA: /nowhere\.pem: No such file"):
        opened_database("postgresql://h/d", "", "", Certificates("TIDEGAUGE_DATABASE", Path("/nowhere.pem")))


def test_a_database_elsewhere_is_spoken_to_by_tls() -> None:
    """Without any further setting, and its name is looked at; the URL alone can say otherwise."""
    assert "sslmode=verify-full" in Settings(database_url="postgresql://db.bank/d").database
    plain = "postgresql://db.bank/d?sslmode=disable"
    assert Settings(database_url=plain).database == plain
