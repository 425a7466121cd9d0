"""The webhook against receivers that mean harm: nothing is read without a bound, nothing waits without an end."""

import asyncio
import base64
import gzip
import json
import ssl
import subprocess
import sys
import tracemalloc
from collections.abc import Awaitable, Callable
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import httpx2
import pytest
from pydantic import ValidationError
from standardwebhooks import Webhook, WebhookVerificationError

from deploy.settings import Settings
from services.assembly import webhook_trust
from services.notices import webhook
from services.notices.notifier import DeliveryError
from services.notices.webhook import ANSWER_BYTES_MAX, WebhookChannel
from tests.services.contract_notices import NOTICE

SECRET = "whsec_" + base64.b64encode(bytes(range(32))).decode()
MEGABYTE = 1 << 20
Serve = Callable[[asyncio.StreamWriter], Awaitable[None]]


async def no_wait(_: float) -> None:
    """A wait that is over at once."""


@asynccontextmanager
async def receiver(serve: Serve) -> Any:
    """A receiver on a free port that reads a request's head and then does as it likes; yields its URL."""
    tasks: set[asyncio.Task[None]] = set()

    async def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        tasks.add(asyncio.current_task())  # type: ignore[arg-type]
        await reader.readuntil(b"\r\n\r\n")
        try:
            await serve(writer)
        except ConnectionError:
            pass
        finally:
            writer.close()

    server = await asyncio.start_server(connected, "127.0.0.1", 0)
    try:
        yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/"
    finally:
        server.close()
        for task in tasks:
            task.cancel()


@pytest.mark.slow
@pytest.mark.parametrize("packed", [False, True], ids=["400 MB", "gzip of 1.2 GB"])
async def test_answer_is_not_read_beyond_its_bound(packed: bool) -> None:
    """Of an answer of 400 MB some packets are read, and a small gzip of 1.2 GB is never unpacked."""
    piece = gzip.compress(bytes(300 * MEGABYTE), 9) if packed else bytes(MEGABYTE)
    head, count = (b"Content-Encoding: gzip\r\n", 4) if packed else (b"", 400)
    taken = 0

    async def serve(writer: asyncio.StreamWriter) -> None:
        nonlocal taken
        writer.write(b"HTTP/1.1 200 OK\r\n" + head + b"Content-Length: %d\r\n\r\n" % (len(piece) * count))
        for _ in range(count):
            writer.write(piece)
            await writer.drain()
            taken += 1

    async with receiver(serve) as url, httpx2.AsyncClient() as client:
        tracemalloc.start()
        assert await WebhookChannel(client, url).send(NOTICE) == 1
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
    assert peak < 8 * MEGABYTE
    assert packed or taken < 40  # what the sockets hold; a megabyte each


async def test_dripping_answer_ends(monkeypatch: pytest.MonkeyPatch) -> None:
    """A head that comes byte by byte is given up after the attempt's time; a body that does so fails nothing."""
    monkeypatch.setattr(webhook, "ATTEMPT_S", 0.2)
    whole = {"yes": False}

    async def serve(writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 9000\r\n" + (b"\r\n" if whole["yes"] else b"X-Slow: "))
        while True:
            writer.write(b"x")
            await writer.drain()
            await asyncio.sleep(0.02)

    async with receiver(serve) as url, httpx2.AsyncClient() as client:
        channel = WebhookChannel(client, url, wait=no_wait)
        async with asyncio.timeout(10):
            with pytest.raises(DeliveryError, match="TimeoutError") as told:
                await channel.send(NOTICE)
            assert told.value.attempts == webhook.ATTEMPTS_MAX
            whole["yes"] = True
            assert await channel.send(NOTICE) == 1


async def test_delivery_has_an_end(monkeypatch: pytest.MonkeyPatch) -> None:
    """All attempts and waits together end at the deadline, whatever the receiver asks for."""
    monkeypatch.setattr(webhook, "DELIVERY_S", 0.2)
    refuse = httpx2.MockTransport(lambda _: httpx2.Response(503, headers={"Retry-After": "8"}))
    async with httpx2.AsyncClient(transport=refuse) as client, asyncio.timeout(5):
        with pytest.raises(DeliveryError, match=r"not taken within .*HTTP 503") as told:
            await WebhookChannel(client, "https://hook").send(NOTICE)
    assert told.value.attempts == 1


async def test_redirect_is_a_refusal() -> None:
    """A notice goes where the setting says, and nowhere that an answer names."""
    seen: list[str] = []

    def receive(request: httpx2.Request) -> httpx2.Response:
        seen.append(str(request.url))
        return httpx2.Response(302, headers={"Location": "http://elsewhere.example/"})

    async with httpx2.AsyncClient(transport=httpx2.MockTransport(receive)) as client:
        with pytest.raises(DeliveryError, match="HTTP 302"):
            await WebhookChannel(client, "https://hook").send(NOTICE)
    assert seen == ["https://hook"]


async def test_url_that_is_none_fails_the_delivery() -> None:
    """Where the setting's check is passed by, the channel still says what it may say: that it could not deliver."""
    async with httpx2.AsyncClient() as client:
        with pytest.raises(DeliveryError, match="InvalidURL"):
            await WebhookChannel(client, "https://hook:port/", wait=no_wait).send(NOTICE)


@pytest.mark.parametrize(
    "url",
    [
        "http://hook.bank.example/", "http://10.0.0.7/", "ftp://127.0.0.1/", "https://", "hook.example", "https://[::1",
        "https://h:99999999/", "https://h\n/", "http://localhost.evil.example/", "http://127.0.0.1@evil.example/",
    ],
)  # fmt: skip
def test_setting_refuses_a_url(url: str) -> None:
    """What is no URL, or would send notices over a network in clear, is a wrong setting and named as one."""
    with pytest.raises(ValidationError, match="webhook_url"):
        Settings(webhook_url=url)


@pytest.mark.parametrize(
    "url", ["https://hook.example/a?b=c", "http://127.0.0.1:8/", "http://[::1]/", "http://localhost/"]
)
def test_setting_takes_a_url(url: str) -> None:
    """https anywhere, http to this machine itself."""
    assert Settings(webhook_url=url).webhook_url == url


@pytest.mark.parametrize(
    "secret", ["", "whsec_", "plain text", "whsec_c2hvcnQ=", "whsec_" + "A" * 100, "whsec_!" + "A" * 44]
)
def test_setting_refuses_a_secret(secret: str) -> None:
    """Too short, too long, no base64, no prefix."""
    with pytest.raises(ValidationError, match="webhook_secret") as told:
        Settings(webhook_secret=secret)
    assert not secret or f"'{secret}'" not in str(told.value)


async def test_signature_has_the_time_in_it() -> None:
    """A receiver's own library takes the notice, and neither another body, id nor time; each attempt has its own time."""
    seen: list[httpx2.Request] = []
    at = datetime.now(UTC).replace(microsecond=999_000)

    def receive(request: httpx2.Request) -> httpx2.Response:
        seen.append(request)
        return httpx2.Response(200 if len(seen) == 2 else 503)

    async with httpx2.AsyncClient(transport=httpx2.MockTransport(receive)) as client:
        times = iter([at, at.replace(year=at.year - 1)])
        await WebhookChannel(client, "https://hook", SECRET, no_wait, lambda: next(times)).send(NOTICE)
    first, second = seen
    assert first.headers["webhook-id"] == first.headers["Idempotency-Key"] == NOTICE.notice_id
    reader, headers = Webhook(SECRET), dict(first.headers)
    assert reader.verify(first.content, headers) == json.loads(first.content)
    for forged in (
        (first.content + b" ", headers),
        (first.content, headers | {"webhook-id": "another"}),
        (first.content, headers | {"webhook-timestamp": str(int(at.timestamp()) + 1)}),
        (second.content, dict(second.headers)),  # a year old
    ):
        with pytest.raises(WebhookVerificationError):
            reader.verify(*forged)


async def test_signature_of_the_specification() -> None:
    """The example that Standard Webhooks gives: another implementation has made it."""
    at = datetime.fromtimestamp(1614265330, UTC)
    signer = WebhookChannel(httpx2.AsyncClient(), "https://h", "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw").signer
    assert signer is not None
    signed = signer.sign("msg_p5jXN8AQM9LWM0D4loKWxJek", at, '{"test": 2432232314}')
    assert signed == "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="


def test_private_authority(tmp_path: Path) -> None:
    """A bank's own authority is trusted alone; a file without a certificate is told before anything starts."""
    bundle = tmp_path / "ca.pem"
    bundle.write_text("nothing")
    with pytest.raises(OSError, match=r"."):
        webhook_trust(Settings(webhook_ca=bundle))
    usual = ssl.create_default_context().get_ca_certs(binary_form=True)
    if usual:
        bundle.write_text(ssl.DER_cert_to_PEM_cert(usual[0]))
        assert webhook_trust(Settings(webhook_ca=bundle)).get_ca_certs(binary_form=True) == usual[:1]


@pytest.mark.slow
def test_missing_authority_is_one_line(tmp_path: Path) -> None:
    """`tidegauge notices` with a file that is not there ends in one line with the setting's name."""
    import os

    environment = os.environ | {"TIDEGAUGE_WEBHOOK_CA": str(tmp_path / "none.pem")}
    command = [sys.executable, "-m", "tidegauge.cli.main", "notices"]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert (done.returncode, "TIDEGAUGE_WEBHOOK_CA" in done.stderr, "Traceback" in done.stderr) == (2, True, False)


def test_bound_is_what_is_documented() -> None:
    """64 KB, as the page for integrators says."""
    assert ANSWER_BYTES_MAX == 64 * 1024
