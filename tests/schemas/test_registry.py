"""Registry clients: the committed files, and Confluent's API over HTTP."""

from __future__ import annotations

import datetime as dt
import ipaddress
import json
import ssl
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import NameOID

from deploy.settings import Settings
from schemas import bounds
from schemas.codec.blocks import Reader, decode
from schemas.codec.records import RecordError, decode_one, encode
from schemas.codec.status import Status
from schemas.confluent import ConfluentRegistry, RegistryAccess, subject_of
from schemas.registry import (
    Registry,
    RegistryError,
    UnregisteredError,
    contract,
    file_registry,
    names,
    registry_for,
)
from schemas.topics import INPUTS
from tests.schemas.helpers import ALWAYS, batch, framed, posting, row
from tests.schemas.registry_server import RegistryServer

FACT = {
    "event_id": "f", "customer_id": "C", "name": "loan_balance", "value": 1, "as_of": 20_000, "source": "loans",
}  # fmt: skip


def settings_of(server: RegistryServer, **more: Any) -> Settings:
    """Settings that name the server."""
    return Settings(schema_registry_url=server.url, **more)


@pytest.fixture
def server() -> Iterator[RegistryServer]:
    with RegistryServer() as server:
        yield server


@pytest.fixture
def empty() -> Iterator[RegistryServer]:
    with RegistryServer(released=False) as server:
        yield server


@pytest.fixture
def registry(server: RegistryServer) -> Registry:
    return registry_for(settings_of(server))


def test_without_a_url_the_files_are_the_registry() -> None:
    """Every contract has an id, and the id leads back to it."""
    registry = registry_for(Settings())
    assert registry is file_registry()
    for name in names():
        assert registry.schema(registry.id_of(name)) == contract(name, 1)
    assert registry.schema(10**6) is None
    with pytest.raises(KeyError, match="nobody"):
        contract("nobody")


def test_a_process_has_one_registry(server: RegistryServer) -> None:
    """The same settings give the same registry, so that what one part has learned the others know."""
    assert registry_for(settings_of(server)) is registry_for(settings_of(server))


def test_ids_are_the_registrys(server: RegistryServer, registry: Registry) -> None:
    """What is encoded with a registry's id decodes through the registry, in blocks and one by one; nothing is registered."""
    value = encode("transactions", posting(3), registry)
    assert int.from_bytes(value[1:5], "big") == server.subjects["tidegauge-transactions"][-1]
    asked = len(server.asked)
    assert encode("transactions", posting(4), registry)[:5] == value[:5]
    reader = Reader("transactions", registry)
    for _ in range(2):
        columns = decode([batch([value])], reader, 0, ALWAYS)
        assert row(columns, reader, 0) == posting(3) == decode_one(value, registry)
    assert len(server.asked) == asked
    assert not server.writes


def test_every_contract_has_another_id_than_in_the_files(registry: Registry) -> None:
    """The test registry hides no reader that takes the files' ids."""
    for name in names():
        assert file_registry().schema(registry.id_of(name)) is None


def test_a_contract_that_is_not_there_is_not_registered_by_itself(empty: RegistryServer) -> None:
    """Writing needs the operator: the error says how, and an explicit registration gives the id."""
    registry = registry_for(settings_of(empty))
    with pytest.raises(UnregisteredError, match="tidegauge-transactions"):
        encode("transactions", posting(), registry)
    assert not empty.writes
    assert isinstance(registry, ConfluentRegistry)
    given = registry.register("transactions")
    assert registry.register("transactions") == given == registry.id_of("transactions")
    assert empty.writes == ["/subjects/tidegauge-transactions/versions"]


def test_the_subject_of_an_input_is_its_writers(empty: RegistryServer) -> None:
    """Nothing of ours registers there; what an older version has registered there keeps its id."""
    for name in INPUTS:
        assert subject_of(name) == f"tidegauge-{name}"
    empty.add("facts-value", {"schema": json.dumps({"type": "record", "name": "Theirs", "fields": []})})
    old = empty.add("balances-value", {"schema": json.dumps(contract("balances"))})
    registry = registry_for(settings_of(empty))
    assert isinstance(registry, ConfluentRegistry)
    assert registry.register("balances") == old
    assert empty.writes == []
    registry.register("facts")
    assert empty.writes == ["/subjects/tidegauge-facts/versions"] * 2  # the version to come too


def test_other_words_are_the_same_contract(empty: RegistryServer) -> None:
    """A registry that has the contract with an older description is good enough, as the files are."""
    reworded = {**contract("facts", 1), "doc": "Once it was put otherwise."}
    old = empty.add("facts-value", {"schema": json.dumps(reworded)})
    empty.add("facts-value", {"schema": json.dumps({**reworded, "fields": reworded["fields"][:-1]})})
    assert registry_for(settings_of(empty)).id_of("facts") == old


@pytest.mark.parametrize("text", ["[" * 100_000, '{"a":' * 100_000, "null", "7", "", 'syntax = "proto3";', '"\\ud800"'])
def test_other_words_are_looked_for_among_any(empty: RegistryServer, text: str) -> None:
    """Whatever else stands under the subject, the contract is found, or is not there."""
    subject = subject_of("rm-alerts")
    empty.add(subject, {"schema": text})
    registry = registry_for(settings_of(empty))
    with pytest.raises(UnregisteredError):
        registry.id_of("rm-alerts")
    old = empty.add(subject, {"schema": json.dumps({**contract("rm-alerts", 1), "doc": "Otherwise."})})
    empty.add(subject, {"schema": text})
    assert registry.id_of("rm-alerts") == old


def test_other_words_are_looked_for_so_long(empty: RegistryServer, monkeypatch: pytest.MonkeyPatch) -> None:
    """Among the newest versions only; and a registry that is slow is one that gives no answer."""
    subject = subject_of("rm-alerts")
    empty.add(subject, {"schema": json.dumps({**contract("rm-alerts", 1), "doc": "Otherwise."})})
    for _ in range(bounds.SCHEMA_VERSIONS_MAX):
        empty.add(subject, {"schema": '"int"'})
    registry = registry_for(settings_of(empty))
    with pytest.raises(UnregisteredError):
        registry.id_of("rm-alerts")
    asked = [path for _, path in empty.asked if "/versions/" in path]
    assert len(asked) == bounds.SCHEMA_VERSIONS_MAX
    monkeypatch.setattr(bounds, "SCHEMA_VERSIONS_S", 0.0)
    with pytest.raises(RegistryError, match="were not told within"):
        registry.id_of("rm-alerts")


def test_what_is_kept_of_a_registry_is_bounded(empty: RegistryServer, monkeypatch: pytest.MonkeyPatch) -> None:
    """The oldest texts go, the client keeps none, and what is too large to read by is not kept."""
    monkeypatch.setattr(bounds, "SCHEMAS_KEPT_BYTES_MAX", 1000)
    texts = [json.dumps({"type": "fixed", "name": f"F{i}", "size": 1, "doc": "x" * 300}) for i in range(9)]
    ids = [empty.add("s", {"schema": text}) for text in [*texts, json.dumps("x" * bounds.SCHEMA_BYTES_MAX)]]
    registry = ConfluentRegistry(RegistryAccess(empty.url))
    found = [registry.schema(number) for number in ids]
    assert found[:9] == list(map(json.loads, texts))
    assert found[9] == {"type": "record", "name": "unreadable", "fields": []}
    asked = len(empty.asked)
    assert registry.schema(ids[9]) == found[9]
    assert len(empty.asked) == asked
    assert registry.schema(ids[0]) == found[0]
    assert len(empty.asked) == asked + 1


def test_an_id_unknown_to_the_registry_is_asked_once(server: RegistryServer, registry: Registry) -> None:
    """`Schema not found` is an answer: the record is bad, and the registry is left in peace."""
    reader = Reader("transactions", registry)
    for _ in range(3):
        assert decode([batch([framed(77, b"")])], reader, 0, ALWAYS).status.tolist() == [Status.UNKNOWN_SCHEMA]
    assert server.asked.count(("GET", "/schemas/ids/77")) == 1


def test_what_is_not_avro_is_no_schema_of_ours(server: RegistryServer, registry: Registry) -> None:
    """An id that stands for Protobuf makes a bad record and no failure."""
    number = server.add("other-value", {"schema": 'syntax = "proto3";', "schemaType": "PROTOBUF"})
    columns = decode([batch([framed(number, b"")])], Reader("transactions", registry), 0, ALWAYS)
    assert columns.status.tolist() == [Status.INCOMPATIBLE]


@pytest.mark.parametrize("status", [403, 409, 500])
def test_a_registry_that_fails_is_no_bad_record(server: RegistryServer, registry: Registry, status: int) -> None:
    """Any error other than `not found` raises RegistryError, for reading and for writing; what is known stays known."""
    known = registry.id_of("facts")
    value = encode("facts", FACT, registry)
    server.status = status
    with pytest.raises(RegistryError, match="down"):
        registry.id_of("balances")
    with pytest.raises(RegistryError):
        registry.schema(5)
    assert registry.id_of("facts") == known
    assert decode_one(value, registry, "facts") == FACT | {"text": None}


def test_a_wrong_address_is_no_unknown_schema(server: RegistryServer) -> None:
    """A page that is not there at all must not turn every record into a dead letter."""
    registry = registry_for(Settings(schema_registry_url=f"{server.url}/nowhere"))
    for question in (lambda: registry.schema(7_000), lambda: registry.id_of("facts")):
        with pytest.raises(RegistryError, match="404"):
            question()


def test_a_user_or_a_token_opens_it(server: RegistryServer) -> None:
    """Basic and OAuth credentials; the token is asked for once."""
    server.user = ("tidegauge", "pass:word")
    good = {"schema_registry_user": "tidegauge", "schema_registry_password": "pass:word"}
    assert registry_for(settings_of(server, **good)).id_of("facts")
    for wrong in ({}, good | {"schema_registry_password": "another"}):
        with pytest.raises(RegistryError, match="who are you"):
            registry_for(settings_of(server, **wrong)).id_of("facts")
    server.user, server.token = None, True
    client = {
        "schema_registry_token_url": f"{server.url}/token", "schema_registry_client_id": "tidegauge",
        "schema_registry_client_secret": "client secret", "schema_registry_scope": "registry",
    }  # fmt: skip
    registry = registry_for(settings_of(server, **client))
    assert registry.schema(registry.id_of("facts")) == contract("facts", 1)
    assert registry.id_of("balances")
    assert server.tokens_given == 1
    with pytest.raises(RegistryError):
        registry_for(settings_of(server, **client | {"schema_registry_client_secret": "no"})).id_of("facts")


@pytest.mark.parametrize(
    "half",
    [
        {"schema_registry_user": "a"},
        {"schema_registry_password": "a"},
        {"schema_registry_client_id": "a", "schema_registry_client_secret": "b"},
        {"schema_registry_ca": Path("nowhere.pem")},
    ],
)
def test_half_a_setting_is_refused(server: RegistryServer, half: dict[str, Any]) -> None:
    """It is said at the start, and the secret isn't."""
    with pytest.raises(RegistryError, match="TIDEGAUGE_SCHEMA_REGISTRY"):
        registry_for(settings_of(server, **half))
    assert not server.asked


def test_only_the_named_authority_is_trusted(tmp_path: Path) -> None:
    """With its CA file a registry of the bank's own certificate authority is read; without it it is not believed."""
    certificate = self_signed(tmp_path)
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    tls.load_cert_chain(certificate)
    with RegistryServer(tls=tls) as server:
        assert registry_for(settings_of(server, schema_registry_ca=certificate)).id_of("facts")
        with pytest.raises(RegistryError, match="CERTIFICATE"):
            registry_for(settings_of(server)).id_of("facts")


def self_signed(folder: Path) -> Path:
    """A certificate of 127.0.0.1 with its key."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "a registry")])
    now = dt.datetime.now(dt.UTC)
    address = x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))])
    made = (
        x509.CertificateBuilder().subject_name(name).issuer_name(name).public_key(key.public_key())
        .serial_number(x509.random_serial_number()).not_valid_before(now - dt.timedelta(days=1))
        .not_valid_after(now + dt.timedelta(days=1)).add_extension(address, critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )  # fmt: skip
    path = folder / "registry.pem"
    hidden = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    path.write_bytes(hidden + made.public_bytes(Encoding.PEM))
    return path


def test_the_record_path_says_what_is_wrong() -> None:
    """A record that doesn't fit its contract, or bytes that aren't one, raise RecordError."""
    good = posting()
    for bad in (
        {**good, "currency": None},
        {**good, "nature": "gift"},
        {**good, "nobody": 1},
        {**good, "value_date": "2024-01-01"},
    ):
        with pytest.raises(RecordError):
            encode("transactions", bad)
    missing = {key: value for key, value in good.items() if key != "currency"}
    with pytest.raises(RecordError):
        encode("transactions", missing)
    value = encode("transactions", good)
    for spoiled in (b"", value[:4], b"\1" + value[1:], b"\0\0\0\x27\x0f" + value[5:], value + b"\0", value[:-1]):
        with pytest.raises(RecordError):
            decode_one(spoiled)
    with pytest.raises(RecordError):
        encode(9999, good)


def test_the_record_path_resolves_to_the_newest_contract() -> None:
    """With a contract's name an older writer's record gets the newer fields' defaults; dates stay numbers."""

    class Old:
        def schema(self, schema_id: int) -> Any:
            schema = contract("transactions")
            return {**schema, "fields": [f for f in schema["fields"] if f["name"] != "reverses"]}

        def id_of(self, name: str) -> int:
            return 7

    old = Old()
    record = posting()
    without = {key: value for key, value in record.items() if key != "reverses"}
    value = encode("transactions", without, old)
    assert decode_one(value, old) == without
    assert decode_one(value, old, "transactions") == record
