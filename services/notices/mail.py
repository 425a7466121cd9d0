"""Mail: a notice as a message to a person of the bank, by the bank's own mail server (RFC 5321).

A notice is one message whatever happens: its Message-ID is the notice's id, so a mailbox that has had it can tell.
"""

import asyncio
import contextlib
import re
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from email.headerregistry import Address
from email.message import EmailMessage
from email.policy import SMTP as RFC_LINES
from typing import Any, Final

import aiosmtplib

from deploy.connections.mail import is_address
from deploy.printable import printable
from services.notices import texts
from services.notices.notifier import DeliveryError, Notice

ANSWER_S: Final = 10.0
"""Of one answer of the server."""

DELIVERY_S: Final = 30.0
"""From the connection to the answer to the message."""

ENHANCED: Final = re.compile(r"[245]\.\d{1,3}\.\d{1,3}", re.ASCII)
REFUSED: Final = range(500, 600)
BRANCH: Final = "branch:"
"""Before the recipient of a notice for whom nobody is accountable."""


class MailChannel:
    """Sends notices by mail, one connection each.

    server: where it goes and how, as `aiosmtplib.SMTP` takes it. Addresses are <staff id>@<domain>, and branch-<id>@<domain>
    where a notice goes to a branch.
    """

    name = "mail"

    def __init__(
        self,
        server: Mapping[str, Any],
        sender: str,
        domain: str,
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self.server, self.sender, self.domain, self.now = server, sender, domain, now

    async def send(self, notice: Notice) -> int:
        """Hand it to the server, once; raises DeliveryError.

        Final is the server's clear refusal of the message, its sender or its recipient alone: 5xx (RFC 5321, 4.2.1). A login
        that fails, 4xx, and a connection that drops are not, also where nobody knows whether the server has taken the
        message.
        """
        recipient = self.address(notice.recipient)
        if recipient is None:
            raise DeliveryError("the recipient makes no address", 1, final=True)
        client = aiosmtplib.SMTP(timeout=ANSWER_S, local_hostname=self.domain, **self.server)
        final, reason = False, ""
        try:
            async with asyncio.timeout(DELIVERY_S):
                await client.connect()
                try:
                    await client.send_message(
                        self._message(notice, recipient), sender=self.sender, recipients=[recipient]
                    )
                except (aiosmtplib.SMTPResponseException, aiosmtplib.SMTPRecipientsRefused) as problem:
                    code, reason = _said(problem)
                    final = code in REFUSED
                else:
                    with contextlib.suppress(aiosmtplib.SMTPException, OSError):
                        await client.quit()  # it has the message, whatever it says now
                    return 1
        except aiosmtplib.SMTPResponseException as problem:
            reason = _said(problem)[1]
        except (aiosmtplib.SMTPException, OSError, TimeoutError, ValueError) as problem:
            reason = type(problem).__name__
        finally:
            client.close()
        raise DeliveryError(reason, 1, final=final)

    def address(self, recipient: str) -> str | None:
        """The address of a recipient; None for one that makes none."""
        branch = recipient.removeprefix(BRANCH)
        found = f"{recipient if branch == recipient else f'branch-{branch}'}@{self.domain}"
        return found if is_address(found) else None

    def _message(self, notice: Notice, recipient: str) -> EmailMessage:
        message = EmailMessage(RFC_LINES)
        message["From"], message["To"] = Address(addr_spec=self.sender), Address(addr_spec=recipient)
        message["Subject"] = printable(notice.subject).replace("\n", " ")
        message["Date"] = self.now()
        message["Message-ID"] = f"<{notice.notice_id}@{self.sender.rpartition('@')[2]}>"
        message["Auto-Submitted"] = "auto-generated"  # so that nobody's out-of-office answers (RFC 3834)
        footer = texts.MAIL_FOOTERS[notice.locale].format(notice=notice.notice_id)
        message.set_content(f"{printable(notice.body)}\n\n-- \n{footer}\n", cte="base64")
        message["Content-Language"] = notice.locale
        return message


def _said(problem: aiosmtplib.SMTPResponseException | aiosmtplib.SMTPRecipientsRefused) -> tuple[int, str]:
    """Code of a server's answer, and what it says in figures (RFC 3463). Its words may name people, and are left out."""
    answer = problem.recipients[0] if isinstance(problem, aiosmtplib.SMTPRecipientsRefused) else problem
    figures = ENHANCED.match(answer.message)
    return answer.code, f"SMTP {answer.code}" + (f" {figures[0]}" if figures else "")
