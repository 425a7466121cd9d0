"""A registry, or an issuer of tokens, that means harm: its answers end in time, and none of them fills the memory."""

import gzip
import json
import socket
import threading
import time
import tracemalloc
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress

import pytest

from schemas import answers, bounds, confluent
from schemas.confluent import ConfluentRegistry, RegistryAccess
from schemas.registry import RegistryError

MEGABYTE = 1 << 20
ALLOWED_S = 0.3  # where the time is what ends it
PATIENCE_S = 60.0  # where its size does
HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n"
SAID = json.dumps({"schema": '"string"', "access_token": "t", "token_type": "Bearer", "expires_in": 3600}).encode()
Serve = Callable[[socket.socket], None]


@contextmanager
def serving(serve: Serve) -> Iterator[str]:
    """A server whose every connection is handled by `serve`, in a thread of its own."""
    listener = socket.create_server(("127.0.0.1", 0))
    ended = threading.Event()

    def handle(client: socket.socket) -> None:
        with client, suppress(OSError):
            client.settimeout(10)
            client.recv(65536)
            serve(client)

    def accept() -> None:
        while not ended.is_set():
            with suppress(OSError):
                client, _ = listener.accept()
                threading.Thread(target=handle, args=(client,), daemon=True).start()

    thread = threading.Thread(target=accept, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{listener.getsockname()[1]}"
    finally:
        ended.set()
        listener.shutdown(socket.SHUT_RDWR)
        listener.close()
        thread.join(5)


def drip(head: bytes) -> Serve:
    """A byte every hundredth of a second, until nobody listens: no single read takes long, and it never ends by itself."""

    def serve(client: socket.socket) -> None:
        client.sendall(head)
        while True:
            client.sendall(b"x")
            time.sleep(0.01)

    return serve


def flood(head: bytes, piece: bytes) -> Serve:
    """More than anybody wants."""

    def serve(client: socket.socket) -> None:
        client.sendall(head)
        for _ in range(400):
            client.sendall(piece)

    return serve


def good(client: socket.socket) -> None:
    client.sendall(HEAD + b"Connection: close\r\nContent-Length: %d\r\n\r\n" % len(SAID) + SAID)


BAD = {
    "drips its head": (drip(HEAD + b"X-Slow: "), "within"),
    "drips its body": (drip(HEAD + b"Content-Length: 9000\r\n\r\n"), "within"),
    "says nothing": (lambda client: time.sleep(5), "within|Timeout"),
    "400 MB": (flood(HEAD + b"Content-Length: %d\r\n\r\n" % (400 * MEGABYTE), bytes(MEGABYTE)), "more than 1,048,576 bytes"),
    "no end": (flood(HEAD + b"\r\n", bytes(MEGABYTE)), "more than 1,048,576 bytes"),
    "gzip of 1.2 GB": (
        flood(HEAD + b"Content-Encoding: gzip\r\n\r\n", gzip.compress(bytes(300 * MEGABYTE), 6)), "packed"
    ),
    "nested": (lambda client: client.sendall(HEAD + b"\r\n" + b"[" * 200_000), "RecursionError|refuses|no answer"),
}  # fmt: skip


@pytest.mark.slow
@pytest.mark.parametrize("whose", ["registry", "issuer"])
@pytest.mark.parametrize("bad", BAD)
def test_answer_has_an_end(bad: str, whose: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """However a server answers: an error of the registry in some megabytes and few words."""
    serve, why = BAD[bad]
    monkeypatch.setattr(answers, "REGISTRY_ANSWER_S", ALLOWED_S if "within" in why else PATIENCE_S)
    monkeypatch.setattr(confluent, "RETRY_MS", 10)
    with serving(serve) as url, serving(good) as other:
        if whose == "registry":
            registry = ConfluentRegistry(RegistryAccess(url))
        else:
            registry = ConfluentRegistry(
                RegistryAccess(other, token_url=f"{url}/token", client_id="a", client_secret="b")
            )
        tracemalloc.start()
        with pytest.raises(RegistryError, match=why) as told:
            registry.schema(7)
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
    assert peak < 16 * MEGABYTE
    assert len(str(told.value)) < 500


def test_what_is_within_the_bounds_is_read(monkeypatch: pytest.MonkeyPatch) -> None:
    """At its bound an answer is read, and a byte above it is not; a token's likewise."""
    for size, fits in ((len(SAID), True), (len(SAID) - 1, False)):
        monkeypatch.setattr(bounds, "REGISTRY_ANSWER_BYTES_MAX", size)
        with serving(good) as url:
            for access in (
                RegistryAccess(url),
                RegistryAccess(url, token_url=f"{url}/token", client_id="a", client_secret="b"),
            ):
                if fits:
                    assert ConfluentRegistry(access).schema(7) == "string"
                else:
                    with pytest.raises(RegistryError, match=f"more than {size:,} bytes"):
                        ConfluentRegistry(access).schema(7)


def test_it_is_asked_from_a_loop_too() -> None:
    """A worker asks from within its loop."""
    import asyncio

    async def ask(registry: ConfluentRegistry) -> object:
        return registry.schema(7)

    with serving(good) as url:
        assert asyncio.run(ask(ConfluentRegistry(RegistryAccess(url)))) == "string"
