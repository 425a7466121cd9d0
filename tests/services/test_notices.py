"""Notices: the same record gives the same notices, nothing confidential leaves, delivery is bounded and told."""

import json
import string
from dataclasses import asdict
from datetime import date
from typing import Any

import httpx2
import pytest
import redis.asyncio
from hypothesis import given
from hypothesis import strategies as st

from policies.language.loader import load_pack
from schemas.codec.records import encode
from schemas.registry import contract, file_registry
from services.notices import texts
from services.notices.addressees import ROSTER_KEPT_S, Addressees
from services.notices.channels import ConsoleChannel, RedisLedger, give_up, waiting_notices
from services.notices.days import BankDays
from services.notices.notice_ids import TOLD_MAX, ToldNotices
from services.notices.notifier import (
    LOOK_S,
    RETRY_MAX_S,
    DeliveryError,
    Notifier,
    compose,
    masked,
    notice_id,
)
from services.notices.webhook import ATTEMPTS_MAX, WebhookChannel
from services.staff.roster import new_roster
from services.views.keys import Keys
from services.views.projections import TopicRecord
from streams.closing import Run
from streams.vocabulary.terms import ALERT_KINDS, SEVERITIES
from tests.services.contract_notices import (
    CHANNEL_CONTRACT,
    NOTICE,
    check_ledger_of_what_waits,
    check_ledger_remembers,
)
from tests.services.fakes import MemoryChannel, MemoryLedger, MemorySource, MemoryTold

KEY = b"a key of the tests"
ALERT: dict[str, Any] = {
    "alert_id": "alert-1", "event_id": "event-1", "customer_id": "6230001234560042", "rule": "outflow-7d",
    "severity": "high", "status": "raised", "window_days": 7, "outflow_minor": 987654321,
    "reference_aum_minor": 3456789012, "share_bp": 2857, "tier": "diamond", "branch": "0102", "rm_id": "rm-7",
    "raised_day": 20514, "caused_by": "posting-1",
    "counterparties": [{"bank": "OTHERBANK", "amount_minor": 987654321}], "pack_id": "p", "pack_version": 1,
    "kind": "outflow", "next_close": None, "projected_tier": None, "next_tier": None, "to_hold_minor": None,
    "projected_minor": None, "lost_close": None, "lost_from": None, "due_day": None, "level": None,
    "note": "asked for a loan", "amount_minor": 923456789,
}  # fmt: skip
FORESEEN = {
    "window_days": 0, "outflow_minor": 0, "share_bp": 0, "counterparties": [], "next_close": 20543,
    "projected_tier": "platinum", "next_tier": "private", "to_hold_minor": 7654321, "projected_minor": 55443322,
    "lost_close": 20543, "lost_from": 20544,
}  # fmt: skip


NOTICE_RECORD = {
    "event_id": "e", "notice_id": "n", "customer_id": "C1", "channel": "console", "recipient": "rm-7", "subject": "s",
    "body": "b", "status": "sent", "attempts": 1, "at": 0, "caused_by": "c", "error": None,
}  # fmt: skip


def console_parts() -> tuple[Any, Any, Any]:
    out: list[str] = []
    state = {"broken": False}

    def write(text: str) -> None:
        if state["broken"]:
            raise BrokenPipeError
        out.append(text)

    return ConsoleChannel(write), lambda: out, lambda: state.update(broken=True)


def webhook_parts() -> tuple[Any, Any, Any]:
    bodies: list[str] = []
    state = {"broken": False}

    def receive(request: httpx2.Request) -> httpx2.Response:
        if state["broken"]:
            return httpx2.Response(503)
        bodies.append("\n".join(map(str, json.loads(request.content).values())))
        return httpx2.Response(204)

    channel = WebhookChannel(httpx2.AsyncClient(transport=httpx2.MockTransport(receive)), "https://hook", wait=no_wait)
    return channel, lambda: bodies, lambda: state.update(broken=True)


def memory_parts() -> tuple[Any, Any, Any]:
    channel = MemoryChannel()
    received = lambda: [f"{n.subject}\n{n.body}\n{n.recipient}" for n in channel.sent]  # noqa: E731
    return channel, received, lambda: setattr(channel, "broken", True)


async def no_wait(_: float) -> None:
    """A wait that is over at once."""


@pytest.mark.parametrize("parts", [console_parts, webhook_parts, memory_parts])
@pytest.mark.parametrize("check", CHANNEL_CONTRACT, ids=lambda check: check.__name__)
async def test_channel(check: Any, parts: Any) -> None:
    """The channels and their fake keep one contract."""
    await check(*parts())


async def test_ledger_fake() -> None:
    """The fake ledger keeps the contract."""
    await check_ledger_remembers(MemoryLedger())
    ledger = MemoryLedger()

    async def waiting() -> dict[str, str]:
        return ledger.waiting

    async def give(notice: str, why: str) -> None:
        ledger.gone[notice] = why

    await check_ledger_of_what_waits(ledger, waiting, give)


@pytest.mark.integration
async def test_ledger_real(redis_client: Any, redis_url: str) -> None:
    """The Redis ledger keeps the contract, and forgets in the end."""

    async def waiting() -> dict[str, str]:
        return waiting_notices(redis_client, Keys.of(""))

    async def give(notice: str, why: str) -> None:
        give_up(redis_client, Keys.of(""), notice, why)

    async with redis.asyncio.Redis.from_url(redis_url) as client:
        await check_ledger_of_what_waits(RedisLedger(client, Keys.of("")), waiting, give)
        redis_client.flushdb()
        await check_ledger_remembers(RedisLedger(client, Keys.of("")))
    assert 0 < redis_client.ttl(Keys.of("").notice("n1")) <= 35 * 24 * 3600


async def test_ledger_down_is_no_reason_to_be_silent() -> None:
    """Without Redis a notice goes out, perhaps twice."""
    client = redis.asyncio.Redis.from_url("redis://127.0.0.1:1")
    channel = MemoryChannel()
    await Notifier([channel], RedisLedger(client, Keys.of("")), MemoryTold(), KEY, lambda: 0).notify(ALERT)
    assert len(channel.sent) == 1
    await client.aclose()


async def test_the_accountable_person_is_told() -> None:
    """By the lists, a level further up for each level; while they can't be read by the last ones, and never by none at all."""
    staff = [("rm-7", "rm", "hq/0102"), ("s1", "section_head", "hq/0102"), ("p1", "president", "hq")]
    known = new_roster(date(2026, 3, 2), ["hq", "hq/0102"], staff, [("rm-7", date(2026, 3, 2), date(2026, 3, 2), None)])
    now, answers = [0.0], [known]

    def read() -> Any:
        if not answers:
            raise OSError("away")
        return answers[0]

    addressee = Addressees(
        read, lambda _pack, kind, tier: {("personal", "private"): "president"}.get((kind, tier)), lambda: now[0]
    )
    channel = MemoryChannel()
    notifier = Notifier([channel], MemoryLedger(), MemoryTold(), KEY, lambda: 0, addressee=addressee)
    (record,) = await notifier.notify(ALERT)
    await notifier.notify(ALERT | {"status": "escalated", "level": 1})
    await notifier.notify(ALERT | {"status": "deepened", "tier": "private"})
    answers.clear()
    now[0] += ROSTER_KEPT_S
    await notifier.notify(ALERT | {"status": "escalated", "level": 5})
    assert [one.recipient for one in channel.sent] == ["s1", "p1", "p1", "p1"] and record["recipient"] == "s1"
    assert await Addressees(read, lambda *_: None, lambda: 0.0)(ALERT) == "rm-7"
    empty = Addressees(lambda: new_roster(date(2026, 3, 2), [], [], []), lambda *_: None, lambda: 0.0)
    assert [await empty(ALERT | {"rm_id": name}) for name in ("rm-7", None)] == ["rm-7", "branch:0102"]
    elsewhere = new_roster(date(2026, 3, 2), ["hq", "hq/0102", "hq/0103"], [("rm-7", "rm", "hq/0103")], [])
    nobody = Addressees(lambda: elsewhere, lambda *_: None, lambda: 0.0)  # he may not see the customer
    assert await nobody(ALERT) == "branch:0102"


@pytest.mark.parametrize("locale", sorted(texts.SUBJECTS))
@pytest.mark.parametrize("status", texts.STATUSES)
@pytest.mark.parametrize("window_days", [0, 1, 30])
def test_nothing_confidential_in_words(locale: str, status: str, window_days: int) -> None:
    """A notice holds no value of a C2 field: no customer number, amount, tier or counterparty."""
    alert = ALERT | {"status": status, "window_days": window_days, "gross_minor": 912345678}
    notice = compose(KEY, alert, "webhook", locale)
    assert notice is not None
    words = json.dumps(asdict(notice), ensure_ascii=False)
    secret = [field["name"] for field in contract("rm-alerts")["fields"] if field["classification"] == "C2"]
    assert "customer_id" in secret
    for name in secret:
        values = [share[key] for share in alert[name] for key in share] if name == "counterparties" else [alert[name]]
        assert not any(str(value) in words for value in values), name
    assert "****0042" in notice.subject
    assert "28.57 %" in notice.body


@pytest.mark.parametrize("locale", sorted(texts.SUBJECTS))
@pytest.mark.parametrize("status", texts.STATUSES)
@pytest.mark.parametrize("kind", ["upgrade_near", "downgrade_risk"])
def test_what_is_foreseen_names_no_tier_and_no_amount(locale: str, status: str, kind: str) -> None:
    """The notice says what is expected and when the next close is; tier, amounts and the day of loss are at the desk."""
    notice = compose(KEY, ALERT | FORESEEN | {"kind": kind, "status": status}, "webhook", locale)
    assert notice is not None
    words = json.dumps(asdict(notice), ensure_ascii=False)
    assert "2026-03-31" in notice.body and "****0042" in notice.subject
    for secret in ("7654321", "55443322", "3456789012", "platinum", "private", "diamond", ALERT["customer_id"]):
        assert secret not in words
    assert compose(KEY, ALERT | FORESEEN | {"kind": "what comes later"}, "webhook", locale) is None


def test_texts_are_complete() -> None:
    """Every language has every text, and no text asks for what it may not hold."""
    locales = set(texts.SUBJECTS)
    assert (
        locales
        == set(texts.LATE_SUBJECT)
        == set(texts.LATE_BODIES)
        == set(texts.BODIES)
        == set(texts.SEVERITY_NAMES)
        == set(texts.WINDOWS)
    )
    assert texts.DEFAULT_LOCALE in locales
    for locale in locales:
        assert (
            set(texts.SUBJECTS[locale])
            == set(texts.BODIES[locale])
            == set(texts.LATE_BODIES[locale])
            == set(ALERT_KINDS)
        )
        assert all(set(subjects) == set(texts.STATUSES) for subjects in texts.SUBJECTS[locale].values())
        assert set(texts.SEVERITY_NAMES[locale]) == set(SEVERITIES)
        subjects = [text for by_status in texts.SUBJECTS[locale].values() for text in by_status.values()]
        for text in (*subjects, *texts.BODIES[locale].values(), *texts.LATE_BODIES[locale].values()):
            assert {name for _, name, _, _ in string.Formatter().parse(text) if name} <= texts.PLACES


@pytest.mark.parametrize("locale", sorted(texts.CLEAR_SUBJECTS))
def test_an_all_clear_when_a_case_is_retracted(locale: str) -> None:
    """Who was told of an outflow is told when it is taken back, without a figure; of an outlook there is nothing to clear."""
    notice = compose(KEY, ALERT | {"status": texts.ALL_CLEAR}, "webhook", locale)
    assert notice is not None
    assert (notice.subject, notice.body) != ("", "")
    assert "****0042" in notice.subject and "alert-1" in notice.body and "28.57" not in notice.body
    assert (
        compose(KEY, ALERT | FORESEEN | {"kind": "upgrade_near", "status": texts.ALL_CLEAR}, "webhook", locale) is None
    )
    assert all(
        compose(KEY, ALERT | {"status": status}, "webhook", locale) is None for status in ("corrected", "expired")
    )
    for text in (texts.CLEAR_SUBJECTS[locale], texts.CLEAR_BODIES[locale]):
        assert {name for _, name, _, _ in string.Formatter().parse(text) if name} <= texts.PLACES
    assert set(texts.CLEAR_SUBJECTS) == set(texts.CLEAR_BODIES) == set(texts.SUBJECTS)


@given(st.text(max_size=30))
def test_mask_shows_less_than_half(customer_id: str) -> None:
    """A masked number shows at most four characters and never half of a short one."""
    shown = masked(customer_id).removeprefix("****")
    assert len(shown) <= 4
    assert len(shown) * 2 < max(len(customer_id), 1)
    assert customer_id.endswith(shown)


@pytest.mark.parametrize("status", ["acknowledged", "snoozed", "closed", "what comes later"])
async def test_states_nobody_is_told_of(status: str) -> None:
    """Who has acknowledged an alert is not told that he has."""
    assert (
        await Notifier([MemoryChannel()], MemoryLedger(), MemoryTold(), KEY, lambda: 0).notify(
            ALERT | {"status": status}
        )
        == []
    )


async def test_customer_without_manager_goes_to_the_branch() -> None:
    """An alert is told to somebody."""
    notice = compose(KEY, ALERT | {"rm_id": None}, "console", "en")
    assert notice is not None
    assert notice.recipient == "branch:0102"


async def test_same_record_is_delivered_once() -> None:
    """A record that comes again, or is made anew, gives the same ids and goes out no more; a deepening is news."""
    channel, ledger, anew = MemoryChannel(), MemoryLedger(), {"event_id": "event-9", "alert_id": "alert-9"}
    notifiers = [Notifier([channel], ledger, MemoryTold(), KEY, lambda: 7) for _ in range(2)]
    first, again = [await notifier.notify(ALERT | new) for notifier, new in zip(notifiers, ({}, anew), strict=True)]
    notifier = notifiers[0]
    assert await notifier.notify(ALERT | anew) == []
    deeper = await notifier.notify(ALERT | {"status": "deepened", "event_id": "event-2"})
    assert [record["event_id"] for record in first] == [record["event_id"] for record in again]
    assert (first[0]["attempts"], again[0]["attempts"]) == (1, 0)
    assert len({notice.notice_id for notice in channel.sent}) == len(channel.sent) == 2
    assert deeper[0]["notice_id"] != first[0]["notice_id"]
    for record in (*first, *again, *deeper):
        encode("notices", record)


async def test_what_stands_on_notices_is_not_sent_again() -> None:
    """Of a log that was made anew, with Redis empty: whatever became of a notice; nor is it written twice."""
    channel = MemoryChannel()
    (sent,) = await Notifier([channel], MemoryLedger(), MemoryTold(), KEY, lambda: 7).notify(ALERT)
    failed = sent | {"notice_id": notice_id(KEY, ALERT | {"status": "deepened"}, "memory"), "status": "failed"}
    values = [encode("notices", sent), b"damaged", encode("notices", failed), None]
    source = MemorySource({"notices:0": [TopicRecord("notices", 0, i, b"k", value) for i, value in enumerate(values)]})
    told = ToldNotices(source, file_registry())
    notifier = Notifier([channel], MemoryLedger(), told, KEY, lambda: 7)
    for status in ("raised", "deepened", "deepened"):
        await notifier.notify(ALERT | {"status": status, "kind": "upgrade_near"} | FORESEEN)
        await notifier.notify(ALERT | {"status": status, "event_id": "of the new log"})
    assert [notice.status for notice in channel.sent] == ["raised", "raised", "deepened"]
    assert [len(told.ids), told.most] == [4, TOLD_MAX]


async def test_ids_are_bounded() -> None:
    """The oldest are forgotten; what comes while the notifier runs is known too."""
    at = [0.0]
    records = [
        TopicRecord("notices", 0, i, b"k", encode("notices", NOTICE_RECORD | {"notice_id": f"n{i}"})) for i in range(5)
    ]
    source = MemorySource({"notices:0": records[:4]})
    told = ToldNotices(source, file_registry(), lambda: at[0], most=3)
    assert [await told.stands(f"n{i}") for i in range(4)] == [False, True, True, True]
    source.logs["notices:0"] = records
    assert not await told.stands("n4")  # it is asked once a second
    at[0] = 2.0
    assert await told.stands("n4")


def test_an_id_says_of_what_it_is_and_nothing_else() -> None:
    """Case, status, severity, level and channel make another one; what a rebuilt log has otherwise does not, but the key."""
    mine = notice_id(KEY, ALERT, "webhook")
    for other in ("customer_id", "kind", "rule", "status", "severity", "level"):
        assert notice_id(KEY, ALERT | {other: "x"}, "webhook") != mine
    assert len({mine, notice_id(KEY, ALERT | {"raised_day": 1}, "webhook"), notice_id(KEY, ALERT, "console")}) == 3
    for name in sorted(ALERT.keys() - {"customer_id", "kind", "rule", "raised_day", "status", "severity", "level"}):
        assert notice_id(KEY, ALERT | {name: "x"}, "webhook") == mine
    assert notice_id(b"another key", ALERT, "webhook") != mine


async def test_failure_is_tried_again_until_it_works() -> None:
    """A channel that fails is tried again with growing waits; the other has its notice meanwhile, once."""
    broken, good, ledger = MemoryChannel(), MemoryChannel(), MemoryLedger()
    broken.broken, good.name = True, "good"
    waited: list[float] = []

    async def wait(seconds: float) -> None:
        waited.append(seconds)
        assert len(good.sent) == 1
        assert len(ledger.waiting) == 1
        broken.broken = sum(waited) < 2000

    notifier = Notifier([broken, good], ledger, MemoryTold(), KEY, lambda: 7, wait=wait)
    records = await notifier.notify(ALERT)
    assert {(record["channel"], record["status"]) for record in records} == {("memory", "sent"), ("good", "sent")}
    assert (len(broken.sent), len(good.sent), ledger.waiting) == (1, 1, {})
    assert max(waited) <= LOOK_S
    # 5, 10, … 160 s, and then every 300 s
    assert records[1]["attempts"] == 3 * (6 + -((315 - 2000) // int(RETRY_MAX_S))) + 1


async def test_a_clear_refusal_is_final() -> None:
    """What the receiver refuses is told as failed, and not tried again."""
    channel, ledger = MemoryChannel(), MemoryLedger()
    channel.broken = channel.final = True
    (record,) = await Notifier([channel], ledger, MemoryTold(), KEY, lambda: 7, wait=no_wait).notify(ALERT)
    assert (record["status"], record["attempts"], record["error"]) == ("failed", 3, "broken")
    encode("notices", record)


async def test_who_is_tired_of_waiting_gives_up() -> None:
    """A notice that was given up is told as suppressed, with the reason, within seconds."""
    channel, ledger = MemoryChannel(), MemoryLedger()
    channel.broken = True
    waited: list[float] = []

    async def wait(seconds: float) -> None:
        waited.append(seconds)
        if sum(waited) > 400:
            ledger.gone |= dict.fromkeys(ledger.waiting, "the webhook is gone")

    (record,) = await Notifier([channel], ledger, MemoryTold(), KEY, lambda: 7, wait=wait).notify(ALERT)
    assert (record["status"], record["error"]) == ("suppressed", "given up: the webhook is gone")
    assert sum(waited) <= 400 + LOOK_S
    assert ledger.waiting == {}
    encode("notices", record)


@pytest.mark.parametrize(("day", "late"), [(20520, False), (20514, False), (20517, False), (20518, True)])
@pytest.mark.parametrize("locale", sorted(texts.SUBJECTS))
@pytest.mark.parametrize("kind", ALERT_KINDS)
async def test_what_is_late_says_so(day: int, late: bool, locale: str, kind: str) -> None:
    """More than the pack's days behind the newest close: other words, the same id; nobody is asked to hurry."""
    closes = [TopicRecord("business-days", 0, 0, b"d", closed(day if late else min(day, 20517)))]
    source = MemorySource({"business-days:0": closes, "policies:0": []}, 10)
    days = BankDays(source, file_registry(), {("p", 1): 3, ("p", 2): 9})
    channel = MemoryChannel()
    notifier = Notifier([channel], MemoryLedger(), MemoryTold(), KEY, lambda: 7, locale, late=days.late)
    await notifier.notify(ALERT | FORESEEN | {"kind": kind})
    await notifier.notify(ALERT | FORESEEN | {"kind": kind, "pack_version": 2, "customer_id": "another one"})
    first, second = channel.sent
    assert first.subject.startswith(texts.LATE_SUBJECT[locale]) is late
    assert not second.subject.startswith(texts.LATE_SUBJECT[locale])
    assert first.notice_id == notice_id(KEY, ALERT | {"kind": kind}, "memory")
    for word in ("Please contact", "请尽快"):
        assert (word in second.body) >= (word in first.body)
        assert not (late and word in first.body)


def closed(day: int, **other: Any) -> bytes:
    """The close of a day."""
    return encode("business-days", {"business_day": day, "closed_at": 0, "cut": [], **other})


@pytest.mark.parametrize("forced", [None, "a slip"])
async def test_a_close_that_does_not_count_makes_nothing_late(forced: str | None) -> None:
    """A slip of a year, which the workers set aside, or a takeover has left out, is no day of the bank's."""
    values = [closed(20513), closed(20900, asked=20900, last_closed=20513, force_reason=forced)]
    records = [TopicRecord("business-days", 0, i, b"d", value) for i, value in enumerate(values)]
    left_out = frozenset({Run(20900, 20513)} if forced else ())
    days = BankDays(MemorySource({"business-days:0": records}, 10), file_registry(), {}, left_out=left_out)
    assert not await days.late(ALERT)
    assert days.newest == ALERT["raised_day"]


async def test_days_of_a_pack_put_into_force() -> None:
    """`notice_days` of the version that raised the alert counts, also of one that came by the log; 3 by default."""
    body = load_pack("rolling-quarter-aum").body
    packs = [body, body.replace("version: 1", "version: 2", 1) + "\nnotice_days: 30\n", "no pack"]
    records = [
        TopicRecord("policies", 0, i, b"p", encode("policies", {
            "pack_id": "x", "version": i + 1, "effective_from": 20000, "body": text, "customer_class": "personal",
        }))
        for i, text in enumerate(packs)
    ]  # fmt: skip
    source = MemorySource(
        {"business-days:0": [TopicRecord("business-days", 0, 0, b"d", closed(20520))], "policies:0": records}, 1
    )
    days = BankDays(source, file_registry(), {})
    alert = ALERT | {"pack_id": "rolling-quarter-aum"}
    assert [await days.late(alert | {"pack_version": version}) for version in (1, 2, 3)] == [True, False, True]


@pytest.mark.parametrize(
    ("answers", "attempts", "waits"),
    [
        ([503, 200], 2, [0.5]),
        ([429, 503, 503, 200], 4, [3.0, 1.0, 2.0]),
        ([500] * 9, None, [0.5, 1.0, 2.0]),
        ([httpx2.ConnectError("no"), 200], 2, [0.5]),
        ([400, 200], None, []),
        ([302, 200], None, []),
    ],
    ids=["mends", "asked to wait", "never mends", "unreachable first", "refused", "sent elsewhere"],
)
async def test_webhook_tries_within_bounds(answers: list[Any], attempts: int | None, waits: list[float]) -> None:
    """Only what time may mend is tried again, at most four times, with growing or asked-for waits."""
    waited: list[float] = []
    left = list(answers)

    def receive(_: httpx2.Request) -> httpx2.Response:
        answer = left.pop(0)
        if isinstance(answer, Exception):
            raise answer
        return httpx2.Response(answer, headers={"Retry-After": "3"} if answer == 429 else {})

    async def wait(seconds: float) -> None:
        waited.append(seconds)

    channel = WebhookChannel(httpx2.AsyncClient(transport=httpx2.MockTransport(receive)), "https://hook", wait=wait)
    if attempts is None:
        with pytest.raises(DeliveryError):
            await channel.send(NOTICE)
        assert len(answers) - len(left) <= ATTEMPTS_MAX
    else:
        assert await channel.send(NOTICE) == attempts
    assert waited == waits


async def test_webhook_holds_no_customer_number() -> None:
    """What is posted names the customer by the last digits alone."""
    seen: list[httpx2.Request] = []

    def receive(request: httpx2.Request) -> httpx2.Response:
        seen.append(request)
        return httpx2.Response(200)

    channel = WebhookChannel(httpx2.AsyncClient(transport=httpx2.MockTransport(receive)), "https://hook")
    notice = compose(KEY, ALERT, "webhook", "zh-CN")
    assert notice is not None
    await channel.send(notice)
    assert ALERT["customer_id"].encode() not in seen[0].content
    assert "webhook-signature" not in seen[0].headers
