"""What any channel and any ledger of notices must do; `check_*` run by the fakes and by the real parts alike."""

from collections.abc import Callable
from typing import Any

import pytest

from services.notices.notifier import Channel, DeliveryError, DeliveryLedger, Notice

NOTICE = Notice(
    "n1", "a1", "raised", "high", "rm-7", "0102", "2026-03-02", "zh-CN", "【高】客户 ****0042", "单笔资金净流出占资产的 30.00 %"
)  # fmt: skip


async def check_delivers_the_words(channel: Channel, received: Callable[[], list[str]], fail: Any) -> None:
    """What is sent arrives whole, once, in its own script, and the attempts are counted."""
    assert await channel.send(NOTICE) == 1
    (text,) = received()
    assert NOTICE.subject in text
    assert NOTICE.body in text
    assert NOTICE.recipient in text


async def check_failure_is_told(channel: Channel, received: Callable[[], list[str]], fail: Callable[[], None]) -> None:
    """A channel that can't deliver says so after a bounded number of attempts, and works again afterwards."""
    fail()
    with pytest.raises(DeliveryError) as told:
        await channel.send(NOTICE)
    assert told.value.attempts >= 1
    assert str(told.value)
    assert received() == []


async def check_ledger_remembers(ledger: DeliveryLedger) -> None:
    """What was marked is known, what was not is not; marking twice is harmless."""
    assert not await ledger.seen("n1")
    await ledger.mark("n1")
    await ledger.mark("n1")
    assert await ledger.seen("n1")
    assert not await ledger.seen("n2")


async def check_ledger_of_what_waits(ledger: DeliveryLedger, waiting: Any, give_up: Any) -> None:
    """What waits is listed until it is marked; what was given up says why."""
    await ledger.wait_for("n1", "webhook → rm-7: HTTP 503")
    assert await waiting() == {"n1": "webhook → rm-7: HTTP 503"}
    assert await ledger.given_up("n1") is None
    await give_up("n1", "enough")
    assert await ledger.given_up("n1") == "enough"
    await ledger.mark("n1")
    assert await waiting() == {}


CHANNEL_CONTRACT = [check_delivers_the_words, check_failure_is_told]
