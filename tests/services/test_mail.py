"""Mail against a real server on this machine: what it takes, what it refuses, and what nobody knows."""

import asyncio
import datetime as dt
import email
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from email.message import EmailMessage
from email.policy import default
from pathlib import Path
from typing import Any

import pytest
from aiosmtpd.smtp import SMTP, AuthResult
from pydantic import SecretStr, ValidationError

from deploy.connections.wire import AccessError
from deploy.security.authority import write_authority, write_certificate
from deploy.settings import Settings
from services.notices import mail, texts
from services.notices.mail import MailChannel
from services.notices.notifier import DeliveryError, Notifier
from tests.services.contract_notices import CHANNEL_CONTRACT, NOTICE
from tests.services.fakes import MemoryLedger, MemoryTold
from tests.services.test_notices import ALERT, KEY, no_wait

SENDER = "tidegauge@bank.example"
WORD = "a word of the tests"


@dataclass
class Mailbox:
    """What the server has taken, and what it answers to RCPT and to DATA; `drops`: it hangs up without an answer to DATA."""

    taken: list[EmailMessage] = field(default_factory=list)
    to: list[str] = field(default_factory=list)
    of_rcpt: str = "250 OK"
    of_data: str = "250 OK"
    drops: int = 0

    async def handle_RCPT(self, server: Any, session: Any, envelope: Any, address: str, options: Any) -> str:
        if self.of_rcpt.startswith("250"):
            envelope.rcpt_tos.append(address)
        return self.of_rcpt

    async def handle_DATA(self, server: Any, session: Any, envelope: Any) -> str:
        if self.of_data.startswith("250"):
            self.taken.append(email.message_from_bytes(envelope.content, policy=default))
            self.to += envelope.rcpt_tos
        if self.drops:
            self.drops -= 1
            server.transport.abort()
        return self.of_data

    def words(self) -> list[str]:
        """Of each message, all that a reader sees."""
        return ["\n".join((one["Subject"], one.get_content(), one["To"])) for one in self.taken]


@asynccontextmanager
async def served(box: Mailbox, *, tls: ssl.SSLContext | None = None, **how: Any) -> AsyncIterator[int]:
    """A mail server on a free port; `tls`: from the first byte on."""
    loop = asyncio.get_running_loop()
    server = await loop.create_server(
        lambda: SMTP(box, hostname="mail.test", loop=loop, **how), "127.0.0.1", 0, ssl=tls
    )
    try:
        yield server.sockets[0].getsockname()[1]
    finally:
        server.close()


def channel(port: int, scheme: str = "smtp", **settings: Any) -> MailChannel:
    """The channel of some settings."""
    found = Settings(mail_url=f"{scheme}://127.0.0.1:{port}", mail_from=SENDER, **settings)
    return MailChannel(found.mail_server(), SENDER, "bank.example")


@pytest.mark.parametrize("check", CHANNEL_CONTRACT, ids=lambda check: check.__name__)
async def test_channel(check: Any) -> None:
    """Mail keeps the contract of channels."""
    box = Mailbox()
    async with served(box) as port:
        await check(channel(port), box.words, lambda: setattr(box, "of_data", "451 later"))


@pytest.mark.parametrize("locale", sorted(texts.MAIL_FOOTERS))
async def test_message(locale: str) -> None:
    """The notice's id is the Message-ID; one machine says to others that it is one; the footer is in the notice's language."""
    box = Mailbox()
    async with served(box) as port:
        await channel(port).send(replace(NOTICE, locale=locale))
        await channel(port).send(replace(NOTICE, recipient="branch:0102", subject="a\r\nBcc: x@y.example"))
    first, second = box.taken
    assert first["Message-ID"] == f"<{NOTICE.notice_id}@bank.example>" and first["From"] == SENDER
    assert (first["Auto-Submitted"], first["Content-Language"]) == ("auto-generated", locale)
    assert texts.MAIL_FOOTERS[locale].format(notice=NOTICE.notice_id) in first.get_content()
    assert box.to == ["rm-7@bank.example", "branch-0102@bank.example"]
    assert second["Bcc"] is None and "Bcc: x@y.example" in second["Subject"]


@pytest.mark.parametrize(
    ("of_rcpt", "of_data", "final", "reason"),
    [
        ("550 5.1.1 <rm-7@bank.example> is unknown", "250 OK", True, "SMTP 550 5.1.1"),
        ("450 4.2.1 greylisted", "250 OK", False, "SMTP 450 4.2.1"),
        ("250 OK", "554 no", True, "SMTP 554"),
        ("250 OK", "452 full", False, "SMTP 452"),
    ],
)
async def test_answers_are_told_apart(of_rcpt: str, of_data: str, final: bool, reason: str) -> None:
    """5xx is a refusal, 4xx asks for another try; what is told of it names nobody."""
    async with served(Mailbox(of_rcpt=of_rcpt, of_data=of_data)) as port:
        with pytest.raises(DeliveryError) as told:
            await channel(port).send(NOTICE)
    assert (told.value.final, str(told.value)) == (final, reason)


async def test_a_server_that_takes_and_drops() -> None:
    """Whether it has taken the message nobody knows: it goes again, as the same message, and counts as sent once."""
    box, ledger = Mailbox(drops=2), MemoryLedger()
    async with served(box) as port:
        (record,) = await Notifier([channel(port)], ledger, MemoryTold(), KEY, lambda: 0, wait=no_wait).notify(ALERT)
    assert (record["status"], record["attempts"], record["error"]) == ("sent", 3, None)
    assert len(box.taken) == 3 and len({one["Message-ID"] for one in box.taken}) == 1
    assert box.taken[0]["Message-ID"] == f"<{record['notice_id']}@bank.example>"
    assert ledger.waiting == {}


@pytest.mark.parametrize(
    "recipient", ["", "rm 7", "rm-7>, <x@y.example", "a@b", "张三", "a" * 65, "branch:" + "b" * 60, "branch:a:b"]
)
async def test_a_recipient_without_an_address(recipient: str) -> None:
    """It is never told to somebody else: that is final, and the server is not asked."""
    with pytest.raises(DeliveryError) as told:
        await channel(1).send(replace(NOTICE, recipient=recipient))
    assert told.value.final and "address" in str(told.value)


async def test_nothing_waits_without_an_end(monkeypatch: pytest.MonkeyPatch) -> None:
    """A server that says nothing, and one that is not there, are tried again later."""
    monkeypatch.setattr(mail, "DELIVERY_S", 0.1)

    async def silent(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            await asyncio.sleep(30)
        finally:
            writer.close()

    server = await asyncio.start_server(silent, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    for where in (port, 1):
        with pytest.raises(DeliveryError) as told:
            await channel(where).send(NOTICE)
        assert not told.value.final and told.value.attempts == 1
    server.close()


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An authority, and the certificate of a server of this machine."""
    found, now = tmp_path_factory.mktemp("mail"), dt.datetime.now(dt.UTC)
    write_authority(found, now)
    write_certificate(found, found / "server.pem", now, 2)
    return found


@pytest.mark.filterwarnings("ignore:Requiring AUTH:UserWarning")  # the server does not see that TLS came first
@pytest.mark.parametrize("scheme", ["smtp", "smtps"])
async def test_login_behind_tls(folder: Path, scheme: str) -> None:
    """STARTTLS and TLS, with a login; a wrong password is a wrong setting, so the notice waits; so with a strange authority."""
    trust = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    trust.load_cert_chain(folder / "server.pem")

    def login(server: Any, session: Any, envelope: Any, mechanism: str, data: Any) -> AuthResult:
        return AuthResult(success=(data.login, data.password) == (b"tidegauge", WORD.encode()), handled=False)

    how = {"tls": trust} if scheme == "smtps" else {"tls_context": trust, "require_starttls": True}
    box, opened = Mailbox(), {"mail_user": "tidegauge", "mail_ca": folder / "ca.pem"}
    async with served(box, authenticator=login, auth_required=True, auth_require_tls=scheme == "smtp", **how) as port:
        assert await channel(port, scheme, **opened, mail_password=SecretStr(WORD)).send(NOTICE) == 1
        for wrong in ({"mail_password": SecretStr("x")}, {"mail_password": SecretStr(WORD), "mail_ca": None}):
            if scheme == "smtp" and "mail_ca" in wrong:
                continue  # without an authority this machine's own server is spoken to in clear
            with pytest.raises(DeliveryError) as told:
                await channel(port, scheme, **{**opened, **wrong}).send(NOTICE)
            assert not told.value.final
    assert len(box.taken) == 1


def test_mail_beyond_this_machine_is_encrypted() -> None:
    """smtp:// means STARTTLS before anything is said, and has the port of submissions; smtps:// TLS from the first byte on."""
    known = {"mail_from": SENDER}
    upgraded = Settings(mail_url="smtp://mail.bank.example", **known).mail_server()
    at_once = Settings(mail_url="smtps://mail.bank.example", **known).mail_server()
    assert [(one["port"], one["use_tls"], one["start_tls"]) for one in (upgraded, at_once)] == [
        (587, False, True), (465, True, False),
    ]  # fmt: skip
    assert all(one["tls_context"].verify_mode is ssl.CERT_REQUIRED for one in (upgraded, at_once))


@pytest.mark.parametrize(
    ("given", "named"),
    [
        ({"mail_url": "http://mail.bank"}, "mail_url"),
        ({"mail_url": "smtp://"}, "mail_url"),
        ({"mail_url": "smtp://u:p@mail.bank"}, "mail_url"),
        ({"mail_url": "smtp://mail.bank:99999"}, "mail_url"),
        ({"mail_url": "smtp://[::1"}, "mail_url"),
        ({"mail_from": "nobody"}, "mail_from"),
        ({"mail_from": "a b@bank.example"}, "mail_from"),
        ({"mail_domain": "bank example"}, "mail_domain"),
    ],
)
def test_settings_refuse(given: dict[str, Any], named: str) -> None:
    """What is no server, no sender or no domain is a wrong setting and named as one."""
    with pytest.raises(ValidationError, match=named):
        Settings(**given)


def test_what_is_missing_is_named(tmp_path: Path) -> None:
    """A sender, half a login, a certificate: by its setting, to whoever sends mail, and to nobody else."""
    half = {"mail_url": "smtp://mail.bank", "mail_user": "tidegauge"}
    with pytest.raises(AccessError, match="TIDEGAUGE_MAIL_FROM"):
        Settings(**half).mail_server()
    with pytest.raises(AccessError, match="TIDEGAUGE_MAIL_PASSWORD"):
        Settings(**half, mail_from=SENDER).mail_server()
    (tmp_path / "ca.pem").write_text("nothing")
    with pytest.raises(AccessError, match="TIDEGAUGE_MAIL_CA"):
        Settings(mail_ca=tmp_path / "ca.pem").mail_trust()
