"""Metrics and health: those who watch are answered, strangers hold nothing for long."""

import socket
import time
import urllib.request
from collections.abc import Iterator

import pytest

from deploy import probes
from deploy.probes import CONNECTIONS_MAX, Probes, health, serve_probes


@pytest.fixture
def served(monkeypatch: pytest.MonkeyPatch) -> Iterator[Probes]:
    """A server that cuts connections after half a second."""
    monkeypatch.setattr(probes, "CONNECTION_S", 0.5)
    server = serve_probes({"/livez": health(lambda: "")}, "127.0.0.1", 0)
    yield server
    server.shutdown()
    server.server_close()


def get(port: int) -> str:
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/livez", timeout=5) as answer:
        return answer.read().decode()


def test_half_open_connections_are_cut(served: Probes) -> None:
    """Of 200 connections that send nothing or drip, sixteen are taken; after their time a watcher is answered again."""
    assert get(served.server_port) == "ok\n"
    held = [socket.create_connection(("127.0.0.1", served.server_port)) for _ in range(200)]
    for connection in held:
        connection.settimeout(60)
    for connection in held:
        try:
            connection.sendall(b"GET /livez")
            assert connection.recv(1) == b""
        except ConnectionError:
            pass
    for connection in held:
        connection.close()
    assert CONNECTIONS_MAX == 16
    until = time.monotonic() + 5
    while True:
        try:
            assert get(served.server_port) == "ok\n"
            return
        except OSError:  # the last connection's slot is given back in a moment
            assert time.monotonic() < until


def test_host_is_a_setting() -> None:
    """What listens on another address of this machine is reached there and not elsewhere."""
    server = serve_probes({"/livez": health(lambda: "")}, "127.0.0.2", 0)
    with pytest.raises(OSError, match=r"."):
        get(server.server_port)
    with urllib.request.urlopen(f"http://127.0.0.2:{server.server_port}/livez", timeout=5) as answer:
        assert answer.status == 200
    server.shutdown()
    server.server_close()
