"""Registry clients: the committed files, and Confluent's API over HTTP."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest

from schemas.codec.blocks import Reader, decode
from schemas.codec.records import RecordError, decode_one, encode
from schemas.codec.status import Status
from schemas.registry import ConfluentRegistry, RegistryError, contract, file_registry, names, registry_for
from tests.schemas.helpers import ALWAYS, batch, framed, posting, row


class Answers(BaseHTTPRequestHandler):
    """The two calls of Confluent's API that are used, over a dict."""

    def do_GET(self) -> None:
        self.server.asked.append(self.path)
        schema_id = int(self.path.split("?")[0].rsplit("/", 1)[1])
        known = self.server.known
        if self.server.status != 200:
            self.answer(self.server.status, {"error_code": 50001, "message": "down"})
        elif not 0 < schema_id - 100 <= len(known):
            self.answer(404, {"error_code": 40403, "message": "Schema not found"})
        else:
            self.answer(200, known[schema_id - 101])

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        self.server.asked.append(self.path)
        if self.server.status != 200:
            self.answer(self.server.status, {"error_code": self.server.status, "message": "incompatible"})
            return
        self.server.known.append({key: body[key] for key in ("schema", "schemaType") if key in body})
        self.answer(200, {"id": 100 + len(self.server.known)})

    def answer(self, status: int, body: Any) -> None:
        data = json.dumps(body).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/vnd.schemaregistry.v1+json")
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def log_message(self, *args: object) -> None:
        """Keeps quiet."""


@pytest.fixture
def server() -> Iterator[Any]:
    http: Any = ThreadingHTTPServer(("127.0.0.1", 0), Answers)
    http.asked, http.known, http.status = [], [], 200
    thread = threading.Thread(target=http.serve_forever, daemon=True)
    thread.start()
    yield http
    http.shutdown()
    http.server_close()
    thread.join()


@pytest.fixture
def confluent(server: Any) -> Any:
    registry = registry_for(f"http://127.0.0.1:{server.server_port}")
    assert isinstance(registry, ConfluentRegistry)
    return registry


def test_without_a_url_the_files_are_the_registry() -> None:
    """Every contract has an id, and the id leads back to it."""
    registry = registry_for(None)
    assert registry is file_registry()
    for name in names():
        assert registry.schema(registry.id_of(name)) == contract(name)
    assert registry.schema(10**6) is None
    with pytest.raises(KeyError, match="nobody"):
        contract("nobody")


def test_a_contract_is_registered_once_and_read_back(server: Any, confluent: Any) -> None:
    """What is encoded with a registry's id decodes through the registry, in blocks and one by one."""
    value = encode("transactions", posting(3), confluent)
    assert encode("transactions", posting(4), confluent)[:5] == value[:5] == b"\0\0\0\0\x65"
    assert (
        server.asked.count("/subjects/transactions-value/versions")
        + server.asked.count("/subjects/transactions-value/versions?normalize=False")
        == 1
    )
    reader = Reader("transactions", confluent)
    for _ in range(2):
        columns = decode([batch([value])], reader, 0, ALWAYS)
        assert row(columns, reader, 0) == posting(3) == decode_one(value, confluent)


def test_an_id_unknown_to_the_registry_is_asked_once(server: Any, confluent: Any) -> None:
    """A 404 is an answer: the record is bad, and the registry is left in peace."""
    reader = Reader("transactions", confluent)
    for _ in range(3):
        assert decode([batch([framed(77, b"")])], reader, 0, ALWAYS).status.tolist() == [Status.UNKNOWN_SCHEMA]
    assert len([path for path in server.asked if "/schemas/ids/77" in path]) == 1


def test_what_is_not_avro_is_no_schema_of_ours(server: Any, confluent: Any) -> None:
    """An id that stands for Protobuf makes a bad record and no failure."""
    server.known.append({"schema": 'syntax = "proto3";', "schemaType": "PROTOBUF"})
    columns = decode([batch([framed(101, b"")])], Reader("transactions", confluent), 0, ALWAYS)
    assert columns.status.tolist() == [Status.INCOMPATIBLE]


def test_a_registry_that_fails_is_no_bad_record(server: Any, confluent: Any) -> None:
    """An error other than 404 raises RegistryError, for reading and for registering."""
    server.status = 409
    with pytest.raises(RegistryError, match="incompatible"):
        confluent.id_of("facts")
    with pytest.raises(RegistryError):
        confluent.schema(5)


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
