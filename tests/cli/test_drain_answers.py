"""What stands at a worker's port may be anything: `drain` ends nothing by it, and is not held up."""

import json
import os
from typing import Any

import pytest

from deploy.settings import Settings
from schemas import answers
from tests.schemas.test_answers import ALLOWED_S, BAD, HEAD, Serve, serving
from tidegauge.worker_probe import worker_at

TOLD: dict[str, Any] = {
    "pid": os.getpid(), "group": "g", "member": "m", "state": "working", "partitions": [0], "unflushed": [],
}  # fmt: skip


def saying(body: bytes, head: bytes = HEAD) -> Serve:
    """A server of one answer."""
    return lambda client: client.sendall(head + b"Content-Length: %d\r\n\r\n" % len(body) + body)


def worker_behind(serve: Serve) -> dict[str, Any] | None:
    """What `drain` takes for a worker."""
    with serving(serve) as url:
        return worker_at(Settings(), int(url.rpartition(":")[2]))


def test_a_worker_is_known() -> None:
    """One that is told apart by its own words; one that has no member yet too."""
    for told in (TOLD, {**TOLD, "member": None}):
        assert worker_behind(saying(json.dumps(told).encode())) == told


@pytest.mark.parametrize(
    "body",
    [
        *(json.dumps({**TOLD, "pid": pid}).encode() for pid in (-1, 0, 1, 1 << 40, "1", None, 2.5)),
        *(json.dumps({**TOLD, name: None}).encode() for name in ("group", "state", "partitions", "unflushed")),
        b"{}", b"[]", b"7", b"", b"\xff", b"[" * 200_000, b'{"pid": ' + b"9" * 5000 + b"}",
    ],
)  # fmt: skip
def test_no_worker(body: bytes) -> None:
    """Other words, and numbers of processes that would end more than one."""
    assert worker_behind(saying(body)) is None


@pytest.mark.parametrize("bad", BAD)
def test_it_is_not_held_up(bad: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """An answer that never ends, or is too large, is none."""
    monkeypatch.setattr(answers, "REGISTRY_ANSWER_S", ALLOWED_S)
    assert worker_behind(BAD[bad][0]) is None


def test_no_http() -> None:
    """A server of something else, and nobody."""
    for said in (b"SSH-2.0-x\r\n", b"HTTP/1.1 abc\r\n\r\n", b"HTTP/1.1 500 No\r\nContent-Length: 2\r\n\r\n{}", b""):
        assert worker_behind(lambda client, said=said: client.sendall(said)) is None
