"""The main flow with encryption, users and the least rights; and each way of not being let in, with the line that says it."""

import datetime as dt
import json
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from functools import partial
from operator import attrgetter
from pathlib import Path
from typing import Any, NamedTuple

import pytest
import redis
from confluent_kafka import Producer
from confluent_kafka.admin import AclBinding, AclOperation, AclPermissionType, ResourcePatternType, ResourceType

from connectors.formats import files_out
from deploy import admin
from deploy.connections.clients import librdkafka
from deploy.connections.diagnosis import why_refused
from deploy.connections.wire import Brokers, Certificates, Wire
from deploy.embedded import processes
from deploy.embedded.stack import Stack
from deploy.errors import StackError
from deploy.record import read_record, write_record
from deploy.security.authority import SecureFolder, write_authority, write_certificate
from deploy.security.principals import BY_NAME, PRINCIPALS, Principal, acls
from deploy.settings import Settings
from schemas.codec.records import decode_one
from services.access.audit import AUDIT_FILE
from services.database.setup import make_ready
from tests.chaos.check import read
from tests.conftest import HEAP_MB
from tests.integration.credentials import Credential
from tests.integration.live import PROGRAM, REPO, WAIT_S, Live
from tests.integration.test_guards import LAST, bank
from tidegauge.checks.sight import needed
from tidegauge.demo.processes import environment

pytestmark = [pytest.mark.integration, pytest.mark.slow]
LINES_MAX = 3
FOREIGN = "somebody-elses"
FIRST = LAST - 11
STANDINGS = ("standings", "--as-of", "2026-01-12")


class Secured(NamedTuple):
    """A secured stack with its bank."""

    stack: Stack
    live: Live

    def call(self, *words: str, **env: str) -> tuple[int, str, str]:
        """A command as a process of its own, with more of an environment."""
        done = subprocess.run(
            [sys.executable, "-m", PROGRAM, *words], cwd=REPO, capture_output=True, text=True, timeout=WAIT_S, check=False,
            env={**environment(self.live.settings), **env},
        )  # fmt: skip
        return done.returncode, done.stdout, done.stderr

    def recorded(self) -> list[dict[str, Any]]:
        """The decisions on record, by their time; read as who may do everything."""
        log = [read(self.stack._as_super(), "audit-log", p) for p in range(self.live.settings.partitions)]
        found = [decode_one(value or b"", name="audit-log") for part in log for _, _, value in part]
        return sorted(found, key=lambda one: one["at"])


@pytest.fixture(scope="module")
def secured(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Secured]:
    """A bank of some days, closed, its worker and its view running, each as its own principal."""
    folder = tmp_path_factory.mktemp("secured") / "data"
    settings = Settings(kafka_heap_mb=HEAP_MB, partitions=2)
    with (
        Stack(
            folder, settings, with_tickets=True, with_postgres=True, any_ports=True, tether=True, secure=True
        ) as stack,
        Live(stack.settings) as live,
    ):
        make_ready(stack.settings)
        live.start()
        live.begin("views")
        files = tmp_path_factory.mktemp("files")
        files_out.write_files(bank(FIRST, LAST), files, "ndjson")
        importing = live.begin("import", "--format", "ndjson", str(files))  # a process: another principal than this one
        assert importing.wait(WAIT_S) == 0, live.said()
        live.wait_closed()
        yield Secured(stack, live)
        home = read_record(folder)["postgres_home"]
    shutil.rmtree(home)


def test_the_main_flow(secured: Secured) -> None:
    """Worker, loader, views, look-up and close, each with its own rights and nobody else's."""
    code, out, err = secured.call("close", "2026-01-13")
    assert code == 0, err
    secured.live.wait_closed()
    code, out, err = secured.call("standings", "--as-of", "2026-01-13", "--json")
    assert code == 0, err
    customer = json.loads(out)[0]["customer_id"]

    def looked_up() -> bool:
        done = secured.call("queue", "lookup", customer, "--json")
        return done[0] == 0 and '"degraded": false' in done[1]

    secured.live.wait(looked_up, "a queue class that is not degraded", 60)
    for words in (("alerts", "--customer", customer), ("explain", customer), ("outlook", customer), ("topics",)):
        code, out, err = secured.call(*words)
        assert code == 0, (words, out, err)
    assert secured.call("policy", "activate", "abc-bands", "--dry-run")[0] in (0, 1, 2)
    code, out, err = secured.call("doctor", "--json")
    assert "authorization" not in (out + err).lower(), out + err
    assert all(process.poll() is None for process in secured.live.others[:1]), secured.live.said()


def test_secrets_are_nobodys_to_see(secured: Secured) -> None:
    """Not in a process list, a log or a message; and the files are their owner's alone."""
    folder = SecureFolder(secured.stack.data_dir)
    words = {folder.password(principal.name) for principal in PRINCIPALS} | {folder.password("broker")}
    assert len(words) == len(PRINCIPALS) + 1
    lists = " ".join(path.read_text() for path in Path("/proc").glob("[0-9]*/cmdline") if _mine(path))
    logs = " ".join(path.read_text(errors="replace") for path in secured.stack.data_dir.rglob("*.log"))
    shown = secured.call("config", "show")[1] + secured.call("up", "--json")[1]
    assert not [word for word in words if word in lists + logs + shown]
    assert not [path for path in folder.folder.rglob("*") if path.stat().st_mode & 0o077]


def _mine(path: Path) -> bool:
    try:
        path.read_text()
    except OSError:
        return False
    return True


def refused(found: tuple[int, str, str], *words: str) -> None:
    """A refusal in a line that names these, and a hint."""
    code, out, err = found
    assert code in (1, 2) and not out and "Traceback" not in err, found
    assert 0 < len(err.splitlines()) <= LINES_MAX, err
    assert all(word in err for word in words), err


def test_the_database(secured: Secured, tmp_path: Path) -> None:
    """Takes lists by TLS, as the command's principal; and each way of not being let in is said."""
    units = tmp_path / "units.csv"
    units.write_text("unit,name,change\nhq,Head office,set\n")
    words = ("staff", "import", str(units))
    code, out, err = secured.call(*words)
    assert (code, out) == (0, "units: 1 added, 0 changed, 0 ended, 0 unchanged\n"), err
    url = f"postgresql://127.0.0.1:{read_record(secured.stack.data_dir)['postgres_port']}/tidegauge"
    folder = SecureFolder(secured.stack.data_dir)
    known = {
        "TIDEGAUGE_DATABASE_USER": "operator",
        "TIDEGAUGE_DATABASE_CA": str(folder.ca),
        "TIDEGAUGE_DATABASE_URL": url,
    }
    right = known | {"TIDEGAUGE_DATABASE_PASSWORD": folder.password("operator")}
    assert secured.call(*words, **right)[0] == 0
    write_authority(tmp_path, dt.datetime.now(dt.UTC))
    refused(
        secured.call(*words, **right | {"TIDEGAUGE_DATABASE_CA": str(tmp_path / "ca.pem")}), "of no authority",
        "TIDEGAUGE_DATABASE_CA",
    )  # fmt: skip
    refused(
        secured.call(*words, **known, TIDEGAUGE_DATABASE_PASSWORD="x" * 32),
        "refuses this user",
        "TIDEGAUGE_DATABASE_PASSWORD",
    )
    plain = {name: value for name, value in right.items() if name != "TIDEGAUGE_DATABASE_CA"}
    refused(
        secured.call(*words, **plain | {"TIDEGAUGE_DATABASE_URL": f"{url}?sslmode=disable"}), "no client in plaintext",
        "sslmode=disable",
    )  # fmt: skip
    refused(secured.call("database", "migrate", **right), "lacks a right", "security acls --form postgres")


def test_plaintext(secured: Secured) -> None:
    """Who does not encrypt is told that the brokers do."""
    refused(
        secured.call(*STANDINGS, TIDEGAUGE_BOOTSTRAP_SERVERS=secured.stack.bootstrap_servers),
        "speaks TLS only", "TIDEGAUGE_KAFKA_SECURITY_PROTOCOL",
    )  # fmt: skip


def test_a_wrong_principal(secured: Secured) -> None:
    """A wrong password, a user that nobody knows, an authority that is not theirs: each says which setting."""
    for env in (
        {"TIDEGAUGE_KAFKA_PASSWORD": "wrong"},
        {"TIDEGAUGE_KAFKA_USER": "nobody", "TIDEGAUGE_KAFKA_PASSWORD": "x"},
    ):
        refused(secured.call(*STANDINGS, **env), "refuse", "TIDEGAUGE_KAFKA_USER", "TIDEGAUGE_KAFKA_PASSWORD")
    other = secured.live.logs / "other"
    other.mkdir()
    write_authority(other, dt.datetime.now(dt.UTC))
    refused(secured.call(*STANDINGS, TIDEGAUGE_KAFKA_CA=str(other / "ca.pem")), "no authority in", "TIDEGAUGE_KAFKA_CA")
    refused(secured.call("alerts", "--rm", "r", TIDEGAUGE_REDIS_PASSWORD="wrong"), "TIDEGAUGE_REDIS_PASSWORD")


def test_an_expired_certificate(secured: Secured, tmp_path: Path) -> None:
    """A broker's: the line says that it has expired. The server here only shows one."""
    write_authority(tmp_path, dt.datetime.now(dt.UTC))
    write_certificate(tmp_path, tmp_path / "old.pem", dt.datetime.now(dt.UTC), -1)
    port = processes.free_row(1)
    program = (
        "import ssl, socket\n"
        "c = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)\n"
        f"c.load_cert_chain({str(tmp_path / 'old.pem')!r})\n"
        f"s = c.wrap_socket(socket.create_server(('127.0.0.1', {port})), server_side=True)\n"
        "print('ready', flush=True)\n"
        "while True:\n"
        "    try: s.accept()\n"
        "    except OSError: pass\n"
    )
    with subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE, text=True) as server:
        try:
            assert server.stdout is not None and server.stdout.readline() == "ready\n"
            found = secured.call(
                *STANDINGS, TIDEGAUGE_BOOTSTRAP_SERVERS=f"127.0.0.1:{port}", TIDEGAUGE_KAFKA_SECURITY_PROTOCOL="SSL",
                TIDEGAUGE_KAFKA_CA=str(tmp_path / "ca.pem"),
            )  # fmt: skip
        finally:
            server.kill()
    refused(found, "has expired")


def test_an_own_certificate(secured: Secured, tmp_path: Path) -> None:
    """The controllers' port asks for one: none, one of somebody else's authority and one that has ended are told apart."""
    assert secured.stack.cluster is not None
    folder, now = SecureFolder(secured.stack.data_dir), dt.datetime.now(dt.UTC)
    servers = f"127.0.0.1:{secured.stack.cluster.ports(0)[1]}"

    def why(own: Path | None) -> str:
        certificates = Certificates("TIDEGAUGE_KAFKA", folder.ca, own, own)
        return why_refused(Brokers(servers, Wire("SSL", certificates)))

    write_authority(tmp_path, now)
    for name, authority, days in (("good", folder.folder, 1), ("old", folder.folder, -1), ("other", tmp_path, 1)):
        write_certificate(authority, tmp_path / name, now, days, "a client")
    assert "asks for a certificate: set TIDEGAUGE_KAFKA_CERTIFICATE" in why(None)
    assert "has expired" in why(tmp_path / "old")
    assert "does not take the certificate in TIDEGAUGE_KAFKA_CERTIFICATE" in why(tmp_path / "other")
    assert why(tmp_path / "good") == ""


def test_a_missing_right(secured: Secured) -> None:
    """The loader's right to write postings is taken away: its import says what it lacks, and nothing was sent."""
    folder = secured.live.logs / "more"
    folder.mkdir()
    files_out.write_files(bank(LAST + 1, LAST + 2), folder, "ndjson")
    with without_right(secured, "loader", "transactions"):
        code, _, err = secured.call("import", "--format", "ndjson", str(folder))
        assert code == 1 and "Traceback" not in err
        assert "uthorization failed" in err and "user loader" in err and "tidegauge security acls" in err, err


def test_decisions_are_on_record(secured: Secured) -> None:
    """Of every command, on the topic, with who, what and the request; whoever can't keep the record does nothing."""
    folder = secured.stack.data_dir
    before = len(secured.recorded())
    assert secured.call("keys", "issue", "kiosk", "hq", TIDEGAUGE_ACTOR="administrator:hq")[0] == 0
    refused(secured.call("keys", "issue", "kiosk", "hq", TIDEGAUGE_ACTOR="teller:hq"), "may not write")
    told = secured.recorded()
    assert len(told) == before + 2 and not (folder / AUDIT_FILE).exists()
    assert [(one["action"], one["resource"], one["outcome"]) for one in told[-2:]] == [
        ("write", "keys of kiosk of hq", "allowed"), ("write", "keys of kiosk of hq", "denied"),
    ]  # fmt: skip
    assert len({one["details"]["request_id"] for one in told[-2:]}) == 2
    with without_right(secured, "operator", "audit-log"):
        found = secured.call("keys", "issue", "counter", "hq", TIDEGAUGE_ACTOR="administrator:hq")
        refused(found, "can't be recorded", "uthorization failed", "user operator", "tidegauge security acls")
    listed = secured.call("keys", "list", "--json", TIDEGAUGE_ACTOR="administrator:hq")[1]
    assert [key["role"] for key in json.loads(listed)] == ["kiosk"], "nothing was done"


# What doctor can't know with the rights of these principals, and what of it while `transactions` is hidden from them.
BY_OPERATOR = {"brokers", "topic settings", "copies", "changelog"}
UNSEEN = {
    "lookup": BY_OPERATOR | {"waiting", "accounts", "closes", "marks", "deletions", "state", "handover", "calendar"},
    "desk": BY_OPERATOR,
}


@pytest.mark.parametrize("principal", UNSEEN)
def test_what_doctor_may_not_see_is_not_good(secured: Secured, principal: str) -> None:
    """Of what a principal has no right to, and of a topic that the brokers hide, nothing is known: neither good nor wrong."""

    def grades() -> dict[str, set[str]]:
        password = SecureFolder(secured.stack.data_dir).password(principal)
        own = {"TIDEGAUGE_KAFKA_USER": principal, "TIDEGAUGE_KAFKA_PASSWORD": password}
        code, out, err = secured.call("doctor", "--json", **own)
        assert code in (0, 1) and not err, (code, err)
        found: dict[str, set[str]] = {}
        for line in json.loads(out):
            found.setdefault(line["name"], set()).add(line["grade"])
        return found

    found = grades()
    unseen = {name for name, said in found.items() if "unseen" in said}
    assert unseen == UNSEEN[principal], {name: found.get(name) for name in unseen ^ UNSEEN[principal]}
    settings = secured.live.settings
    hidden = {name for name, topics in needed(settings).items() if settings.topic("transactions") in topics}
    operations = [AclOperation.DESCRIBE]
    operations += [AclOperation.READ] * ("transactions" in BY_NAME[principal].reads)  # who may read it sees it
    with ExitStack() as rights:
        for operation in operations:
            rights.enter_context(without_right(secured, principal, "transactions", operation))
        found = grades()
    assert {name: said for name, said in found.items() if name in {*hidden, "topics"} and said != {"unseen"}} == {}
    assert found.keys() >= hidden


@contextmanager
def without_right(
    secured: Secured, principal: str, topic: str, operation: AclOperation = AclOperation.WRITE
) -> Iterator[None]:
    """A principal may not write to a topic meanwhile, or do something else there."""
    root = admin.client(secured.stack._as_super())
    right = AclBinding(
        ResourceType.TOPIC, topic, ResourcePatternType.LITERAL, f"User:{principal}", "*", operation,
        AclPermissionType.ALLOW,
    )  # fmt: skip
    removed = root.delete_acls([_filter(right)], request_timeout=20)
    assert sum(len(done.result(20)) for done in removed.values()) == 1
    try:
        yield
    finally:
        for done in root.create_acls([right], request_timeout=20).values():
            done.result(20)


def _filter(right: AclBinding) -> object:
    from confluent_kafka.admin import AclBindingFilter

    return AclBindingFilter(
        right.restype, right.name, right.resource_pattern_type, right.principal, right.host, right.operation,
        right.permission_type,
    )  # fmt: skip


def test_nobody_writes_what_is_the_workers(secured: Secured) -> None:
    """The credential of a consumer does no more than its row: no tier by the desk, no topic by a misspelling."""
    settings = secured.live.settings.model_copy(update={"kafka_user": "desk"})
    failed: list[object] = []
    producer = Producer({**librdkafka(settings.kafka), "message.timeout.ms": 8000, "log_level": 0})
    for topic in ("tier-changes", "transactions", "a-topic-that-nobody-has"):
        producer.produce(topic, b"x", b"x", on_delivery=lambda problem, _: failed.append(problem))
    producer.flush(20)
    assert len(failed) == 3 and all(failed)
    assert "a-topic-that-nobody-has" not in admin.client(secured.live.settings.kafka).list_topics(timeout=10).topics
    assert why_refused(settings.kafka) == ""


@pytest.mark.parametrize(
    "principal", [principal for principal in PRINCIPALS if principal.kafka], ids=attrgetter("name")
)
def test_a_credential_opens_its_row(secured: Secured, principal: Principal) -> None:
    """Of all topics, groups, transactional ids and the cluster: what its row says, by the brokers themselves, and no more."""
    settings = secured.live.settings
    prefix, group = settings.topic_prefix, settings.group
    credential = Credential(settings.model_copy(update={"kafka_user": principal.name}).kafka)
    every = {(acl.kind, acl.name) for one in PRINCIPALS for acl in acls(one, prefix, group)}
    row = {(acl.kind, acl.name): set(acl.operations) for acl in acls(principal, prefix, group)}

    def expected(kind: str) -> dict[str, set[str]]:
        names = {name for found, name in every if found == kind} | {FOREIGN}
        return {name: row.get((kind, name), set()) for name in names}

    assert credential.topics(expected("topic")) == expected("topic")
    assert credential.groups(expected("group")) == expected("group")
    assert credential.cluster() == row.get(("cluster", "kafka-cluster"), set())
    own = tuple(name for kind, name in row if kind == "transactionalId")
    ids = {f"{name}-{FOREIGN}" for name in expected("transactionalId")}
    assert {name for name in ids if credential.takes(name)} == {name for name in ids if name.startswith(own)}


def test_a_credential_tried_out(secured: Secured) -> None:
    """As the brokers say it, so it is: a loader, a look-up and a notifier each try what is theirs and what is not."""
    settings = secured.live.settings
    loader, lookup, notices = (
        Credential(settings.model_copy(update={"kafka_user": name}).kafka) for name in ("loader", "lookup", "notices")
    )
    loader.writes_and_withdraws(f"tidegauge-facts-{FOREIGN}", BY_NAME["loader"].writes)
    assert not loader.writes("tier-changes") and not loader.writes("notices")
    assert lookup.reads("queue-priority") and not lookup.reads("standings") and not lookup.writes("queue-priority")
    assert notices.joins(f"{settings.group}-alerts", "rm-alerts") and not notices.joins(settings.group, "rm-alerts")
    reader = settings.model_copy(update={"kafka_user": "reader"})
    assert "refuse" in why_refused(reader.kafka), "it has no business on the brokers"


def test_a_look_up_writes_nothing(secured: Secured) -> None:
    """In Redis: no row of a queue class, by a command or a script, and nothing of others' keys, nor their names.

    A ticket system of the bank's own writes nothing at all.
    """
    for user in ("lookup", "reader"):
        settings = secured.live.settings.model_copy(update={"redis_user": user})
        with redis.Redis.from_url(settings.redis) as client:
            assert client.ping() and client.hget("tidegauge:priority:x", "queue_class") is None
            forbidden: list[Callable[[], Any]] = [
                partial(client.hset, "tidegauge:priority:x", "queue_class", "gold"),
                partial(client.eval, "return redis.call('SET', KEYS[1], 'x')", 1, "tidegauge:priority:x"),
                partial(client.hgetall, "tidegauge:standing:x"), client.flushall, partial(client.config_get, "*"),
                client.scan, client.keys, client.randomkey, client.dbsize,
            ]  # fmt: skip
            if user == "reader":
                forbidden += [
                    partial(client.hset, "tidegauge:session:x", "actor", "y"), partial(client.get, "tidegauge:session:x")
                ]  # fmt: skip
            for asked in forbidden:
                with pytest.raises(redis.ResponseError, match=r"(?i)permission"):
                    asked()
    default = secured.stack.settings.redis.replace("operator:", "default:")
    with redis.Redis.from_url(default) as nobody, pytest.raises(redis.AuthenticationError):
        nobody.ping()


def test_a_folder_keeps_what_it_began_with(secured: Secured) -> None:
    """`up` without a word goes on secured; a folder that began in plaintext is refused."""
    code, _, err = secured.call("up", "--json")
    assert code == 0, err
    plain = secured.live.logs / "plain"
    plain.mkdir(mode=0o700)
    write_record(plain, {"cluster_id": "one of before"})
    assert not Settings(data_dir=plain).secured and secured.live.settings.secured
    with pytest.raises(StackError, match="began in plaintext"):
        Stack(plain, Settings(data_dir=plain), secure=True).start()
