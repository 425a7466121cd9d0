"""A schema registry over HTTP: the part of Confluent's API that is used. Its ids are never those of the files."""

from __future__ import annotations

import base64
import json
import ssl
import threading
from collections.abc import Iterable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

from schemas.compatibility import FULL, problems
from schemas.confluent import subject_of
from schemas.registry import IDS, VERSIONS

SHIFT = 7_000
TOKEN = "the token"
OK, UNAUTHORIZED, NOT_FOUND, CONFLICT = 200, 401, 404, 409


class RegistryServer(ThreadingHTTPServer):
    """A context. `released`: it has every released contract, in another order than the files, so that ids are shifted.

    `status` other than 200 is the answer to everything; `user` (name, password) or `token` is asked for where set.
    """

    daemon_threads = True

    def __init__(self, *, released: bool = True, tls: ssl.SSLContext | None = None) -> None:
        super().__init__(("127.0.0.1", 0), Answers)
        self.schemas: dict[int, dict[str, Any]] = {}  # id -> as it was given
        self.subjects: dict[str, list[int]] = {}
        self.levels: dict[str, str] = {}  # of compatibility, by subject
        self.strict = False  # a level can be set of a known subject only
        self.asked: list[tuple[str, str]] = []
        self.status, self.token = OK, False
        self.user: tuple[str, str] | None = None
        self.tokens_given = 0
        self.tls = tls
        if tls is not None:
            self.socket = tls.wrap_socket(self.socket, server_side=True)
        for entry in reversed(json.loads(IDS.read_text())) if released else ():
            schema = json.loads((VERSIONS / f"{entry['name']}-{entry['version']}.avsc").read_text())
            self.add(subject_of(entry["name"]), {"schema": json.dumps(schema)})
        if released:
            for ids in self.subjects.values():
                ids.reverse()  # oldest first
        self.thread = threading.Thread(target=self.serve_forever, args=(0.02,), daemon=True)

    def __enter__(self) -> RegistryServer:
        self.thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.shutdown()
        self.server_close()
        self.thread.join()

    def add(self, subject: str, given: dict[str, Any]) -> int:
        """Registers a schema, as it is; its id."""
        new = SHIFT + len(self.schemas)
        self.schemas[new] = given
        self.subjects.setdefault(subject, []).append(new)
        return new

    @property
    def url(self) -> str:
        """Where it answers."""
        return f"{'https' if self.tls else 'http'}://127.0.0.1:{self.server_port}"

    @property
    def writes(self) -> list[str]:
        """Paths by which something was registered."""
        return [path for method, path in self.asked if method == "POST" and path.endswith("/versions")]

    def refuses(self, subject: str, text: str) -> bool:
        """Whether a version in its subject's level of compatibility can't follow one that is there; FULL where none is set."""
        full = self.levels.get(subject, FULL) == FULL
        there = [json.loads(self.schemas[number]["schema"]) for number in self.subjects.get(subject, ())]
        new = json.loads(text)
        return any(problems(new, old) or (full and problems(old, new)) for old in there)

    def same(self, ids: Iterable[int], text: str) -> int | None:
        """The id of the very same schema, words and all, as a registry compares them."""
        wanted = json.loads(text)
        return next((n for n in ids if _json(self.schemas[n]["schema"]) == wanted), None)


class Answers(BaseHTTPRequestHandler):
    """Ids, subjects and their versions; tokens at /token."""

    server: RegistryServer

    def do_GET(self) -> None:
        if (parts := self._parts()) is None:
            return
        match parts:
            case ["schemas", "ids", number]:
                found = self.server.schemas.get(int(number))
                self._answer(*((OK, found) if found else (NOT_FOUND, _error(40403, "Schema not found"))))
            case ["subjects", name, "versions"] if name in self.server.subjects:
                self._answer(OK, list(range(1, len(self.server.subjects[name]) + 1)))
            case ["subjects", name, "versions", number] if name in self.server.subjects:
                schema_id = self.server.subjects[name][int(number) - 1]
                self._answer(OK, self._version(name, schema_id))
            case ["subjects", *_]:
                self._answer(NOT_FOUND, _error(40401, "Subject not found"))
            case _:
                self._answer(NOT_FOUND, {"message": "no such page"})

    def do_PUT(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        match self._parts():
            case ["config", name] if self.server.strict and name not in self.server.subjects:
                self._answer(NOT_FOUND, _error(40401, "Subject not found"))
            case ["config", name]:
                self.server.levels[name] = body["compatibility"]
                self._answer(OK, body)
            case None:
                return
            case _:
                self._answer(NOT_FOUND, {"message": "no such page"})

    def do_POST(self) -> None:
        raw = self.rfile.read(int(self.headers["Content-Length"])).decode()
        if self.path == "/token":
            good = self.headers["Authorization"] == _basic("tidegauge", "client secret")
            self.server.tokens_given += good
            assert parse_qs(raw)["grant_type"] == ["client_credentials"]
            given = {"access_token": TOKEN, "token_type": "Bearer", "expires_in": 3600}
            self._answer(*((OK, given) if good else (UNAUTHORIZED, {"error": "invalid_client"})))
            return
        if (parts := self._parts()) is None:
            return
        body = json.loads(raw)
        match parts:
            case ["subjects", name]:
                found = self.server.same(self.server.subjects.get(name, ()), body["schema"])
                missing = _error(40403 if name in self.server.subjects else 40401, "not found")
                self._answer(*((NOT_FOUND, missing) if found is None else (OK, self._version(name, found))))
            case ["subjects", name, "versions"]:
                known = self.server.same(self.server.subjects.get(name, ()), body["schema"])
                kept = {key: body[key] for key in ("schema", "schemaType") if key in body}
                if known is None and self.server.refuses(name, body["schema"]):
                    self._answer(CONFLICT, _error(CONFLICT, "incompatible"))
                    return
                self._answer(OK, {"id": self.server.add(name, kept) if known is None else known})
            case ["compatibility", "subjects", name, "versions", "latest"]:
                if name in self.server.subjects:
                    self._answer(OK, {"is_compatible": "incompatible" not in body["schema"]})
                else:
                    self._answer(NOT_FOUND, _error(40401, "Subject not found"))
            case _:
                self._answer(NOT_FOUND, {"message": "no such page"})

    def _parts(self) -> list[str] | None:
        """The path's parts; None where the answer has been given already."""
        path = urlsplit(self.path).path
        self.server.asked.append((self.command, path))
        if self.server.status != OK:
            self._answer(self.server.status, _error(50001, "down"))
            return None
        wanted = f"Bearer {TOKEN}" if self.server.token else _basic(*self.server.user) if self.server.user else None
        if wanted is not None and self.headers["Authorization"] != wanted:
            self._answer(UNAUTHORIZED, _error(40101, "who are you?"))
            return None
        return [unquote(part) for part in path.strip("/").split("/")]

    def _version(self, name: str, schema_id: int) -> dict[str, Any]:
        number = self.server.subjects[name].index(schema_id) + 1
        return {"subject": name, "version": number, "id": schema_id, **self.server.schemas[schema_id]}

    def _answer(self, status: int, body: Any) -> None:
        data = json.dumps(body).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/vnd.schemaregistry.v1+json")
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def log_message(self, *args: object) -> None:
        """Keeps quiet."""


def _json(text: str) -> Any:
    """A schema's text as JSON; None where it is none."""
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return None


def _basic(user: str, password: str) -> str:
    return "Basic " + base64.b64encode(f"{user}:{password}".encode()).decode()


def _error(code: int, message: str) -> dict[str, Any]:
    return {"error_code": code, "message": message}
