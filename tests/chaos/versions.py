"""A schema registry over HTTP whose contract of `transactions` has three versions; only the first is the product's own.

Version 2 has one field more, with a default; version 3 has it too, and lacks two that have defaults.
"""

from __future__ import annotations

import io
import json
import random
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import fastavro

from schemas.codec.records import HEADER_BYTES, decode_one, plain
from schemas.compatibility import full_problems
from schemas.registry import IDS, VERSIONS, contract, fingerprint

TOPIC = "transactions"
NEW_FIELD = {
    "name": "chaos_note", "type": ["null", "string"], "classification": "C1", "doc": "Only here.", "default": None,
}  # fmt: skip
LEFT_OUT = ("counterparty_ref", "reverses")  # optional, and without meaning for what is computed
NOT_FOUND = 404


def later_versions() -> list[Any]:
    """Versions 2 and 3; both can be read by readers of version 1, and the other way round."""
    second = contract(TOPIC)
    second["fields"] = [*second["fields"], NEW_FIELD]
    third = json.loads(json.dumps(second))
    third["fields"] = [field for field in third["fields"] if field["name"] not in LEFT_OUT]
    for version in (second, third):
        assert not full_problems(version, [contract(TOPIC)])
    return [second, third]


class Registry(ThreadingHTTPServer):
    """The two calls of Confluent's API that are used; ids are those of the files, then the later versions'."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Answers)
        released = json.loads(IDS.read_text())
        self.schemas = {
            r["id"]: json.loads((VERSIONS / f"{r['name']}-{r['version']}.avsc").read_text()) for r in released
        }
        self.later = [max(self.schemas) + 1 + n for n, _ in enumerate(later_versions())]
        self.schemas |= dict(zip(self.later, later_versions(), strict=True))
        self.asked = 0
        self.thread = threading.Thread(target=self.serve_forever, daemon=True)

    def __enter__(self) -> Registry:
        self.thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.shutdown()
        self.server_close()

    @property
    def url(self) -> str:
        """Where it answers."""
        return f"http://127.0.0.1:{self.server_port}"


class Answers(BaseHTTPRequestHandler):
    """GET /schemas/ids/N and POST /subjects/NAME/versions."""

    server: Registry

    def do_GET(self) -> None:
        self.server.asked += 1
        found = self.server.schemas.get(int(self.path.split("?")[0].rsplit("/", 1)[1]))
        if found is None:
            self._answer(NOT_FOUND, {"error_code": 40403, "message": "Schema not found"})
        else:
            self._answer(200, {"schema": json.dumps(found)})

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        wanted = fingerprint(json.loads(body["schema"]))
        known = next((n for n, schema in self.server.schemas.items() if fingerprint(schema) == wanted), None)
        assert known is not None
        self._answer(200, {"id": known})

    def _answer(self, status: int, body: Any) -> None:
        data = json.dumps(body).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/vnd.schemaregistry.v1+json")
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def log_message(self, *args: object) -> None:
        """Keeps quiet."""


class Rewriter:
    """Writes postings in another version of their contract; `chance` says with which odds each version is taken."""

    def __init__(self, ids: list[int], seed: int) -> None:
        self.ids = ids
        self.parsed = [fastavro.parse_schema(plain(version)) for version in later_versions()]
        self.rng = random.Random(seed)
        self.chance = (1.0, 0.0, 0.0)  # version 1, 2, 3
        self.written = [0, 0, 0]

    def __call__(self, value: bytes) -> bytes:
        """The same posting, perhaps in another version."""
        (version,) = self.rng.choices(range(3), self.chance)
        self.written[version] += 1
        if version == 0:
            return value
        record = decode_one(value, name=TOPIC) | {"chaos_note": "new" if self.rng.random() < 0.5 else None}
        out = io.BytesIO()
        out.write(value[:1] + self.ids[version - 1].to_bytes(HEADER_BYTES - 1, "big"))
        fastavro.schemaless_writer(out, self.parsed[version - 1], record)
        return out.getvalue()
