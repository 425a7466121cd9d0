"""Bad input through the standing job: a dead letter each that says where and why, and its neighbours count."""

import hashlib
from collections import Counter

import pytest

from schemas.codec.records import RecordError, decode_one, encode
from schemas.registry import file_registry
from schemas.topics import INPUTS, MARK, MARK_KEY
from streams.calendar import DAY_MAX, DAY_MIN
from tests.standing.partition import Partition, Topics, conf, customer
from tests.standing.test_changeover import activation
from tests.standing.test_lifecycle import fact
from tests.streams.fast import differences, state
from tests.twins.events import day, posting, rate, snapshot

BEFORE = posting(1, 10_000, "2024-03-01", branch="支行")
AFTER = posting(2, 20_000, "2024-03-04")
DAY = day("2024-03-02")


def wire(event) -> bytes:
    """An event as it is on its topic."""
    return encode(event["topic"], {name: value for name, value in event.items() if name != "topic"})


GOOD = wire(posting(7, 5, "2024-03-02", branch="支行"))
FACT = encode("facts", {"event_id": "e", "customer_id": "c", "name": "n", "value": 1, "as_of": 1, "source": "s"})


def other(**changes) -> bytes:
    """A posting with some fields changed."""
    return wire(posting(7, 5, DAY) | changes)


# What comes: (topic, bytes, reason, field).
BYTES = {
    "wrong magic byte": ("transactions", b"\1" + GOOD[1:], "wrong magic byte", None),
    "JSON": ("transactions", b'{"event_id": "x"}', "wrong magic byte", None),
    "unknown schema id": ("transactions", b"\0\x7f\xff\xff\xff" + GOOD[5:], "unknown schema id", None),
    "another topic's record": ("transactions", FACT, "schema does not fit the topic", "journal_seq"),
    "truncated": ("transactions", GOOD[:-1], "truncated", "reverses"),
    "nothing at all": ("transactions", b"", "truncated", None),
    "padded": ("transactions", GOOD + b"\0", "bytes after the end", None),
    "invalid UTF-8": ("transactions", GOOD.replace("支".encode(), b"\xff\xfe\xfd"), "invalid UTF-8", "branch"),
    "2 MB": ("transactions", other(branch="x" * (2 << 20)), "too large", None),
    "truncated balance": ("balances", wire(snapshot(1, DAY))[:-2], "truncated", None),
    "truncated customer": ("customers", b"\0\0", "truncated", None),
    "padded rate": ("fx-rates", wire(rate("USD", 7_000_000, DAY)) + b"!", "bytes after the end", None),
    "damaged close": (
        "business-days",
        b"\0" + file_registry().id_of("business-days").to_bytes(4, "big"),
        "truncated",
        "business_day",
    ),
}
VALUES = {
    "unknown currency": (other(currency="XXX", account_id="new"), "unknown currency", "currency"),
    "empty currency": (other(currency="", account_id="new"), "empty text", "currency"),
    "wrong currency": (other(currency="USD"), "account has another currency", "currency"),
    "wrong class": (other(asset_class="fund"), "account has another asset class", "asset_class"),
    "empty class": (other(asset_class="", account_id="new"), "empty text", "asset_class"),
    "unknown class": (other(asset_class="gold", account_id="new"), "unknown asset class", "asset_class"),
    "no customer": (other(customer_id=""), "empty text", "customer_id"),
    "no account": (other(account_id=""), "empty text", "account_id"),
    "a long account": (other(account_id="x" * 129), "text too long", "account_id"),
    "no source": (other(source=""), "empty text", "source"),
    "negative sequence": (other(journal_seq=-1), "journal number out of range", "journal_seq"),
    "sequence from 0": (other(journal_seq=0), "journal number out of range", "journal_seq"),
    "absurd amount": (other(amount_minor=10**14 + 1), "amount out of range", "amount_minor"),
    "value date of the year 1": (other(value_date=-719_162), "date out of range", "value_date"),
    "value date of 9999": (other(value_date=2_932_896), "date out of range", "value_date"),
    "value date years after the booking": (other(value_date=DAY + 401), "date out of range", "value_date"),
    "booked in 1970": (other(booked_at=0), "instant out of range", "booked_at"),
    "booked in 5138": (other(booked_at=100_000_000_000_000), "instant out of range", "booked_at"),
    "booked at the end of time": (other(booked_at=2**63 - 1), "instant out of range", "booked_at"),
    "conflicting payload": (
        other(journal_seq=1, amount_minor=77),
        "different payload under a known identity",
        "journal_seq",
    ),
}
BALANCES = {
    "absurd balance": ({"balance_minor": -(10**14) - 1}, "amount out of range", "balance_minor"),
    "negative version": ({"version": -1}, "version out of range", "version"),
    "cut off in 1970": ({"cutoff_at": 0}, "instant out of range", "cutoff_at"),
    "business day of 9999": ({"business_day": 2_932_896}, "date out of range", "business_day"),
    "opened after it": ({"opened_on": DAY + 30}, "date out of range", "opened_on"),
    "wrong currency": ({"currency": "USD"}, "account has another currency", "currency"),
}
RATES = {
    "not positive": ({"rate_micro": 0}, "rate out of range", "rate_micro"),
    "absurd": ({"rate_micro": 10**12 + 1}, "rate out of range", "rate_micro"),
    "unknown currency": ({"currency": "XXX"}, "unknown currency", "currency"),
    "another base": ({"base": "EUR"}, "not a rate to the base currency", "base"),
    "negative version": ({"version": -1}, "version out of range", "version"),
    "of the year 9999": ({"rate_date": 2_932_896}, "date out of range", "rate_date"),
}


def key_of(value: bytes) -> bytes:
    """The customer's key, or one where the value does not say."""
    try:
        return decode_one(value).get("customer_id", "C1").encode()
    except RecordError:
        return b"C1"


def check(topic: str, bad: bytes, reason: str | None, field: str | None) -> None:
    """The bad record between good ones: its dead letter, and a close as if it had never come."""
    good = Partition(Topics().tell([BEFORE, AFTER, rate("USD", 7_100_000, DAY), DAY + 10])).run()
    log = Topics()
    log.tell([BEFORE, rate("USD", 7_100_000, DAY)])
    key = key_of(bad)
    offset = log.append(topic, key, bad)
    log.tell([AFTER, DAY + 10])
    partition = Partition(log).run()
    [letter] = partition.of("dead-letters")
    assert (letter["topic"], letter["partition"], letter["offset"]) == (topic, 0, offset)
    assert (letter["original"], letter["original_key"]) == (bad[: 64 << 10], key)
    assert (letter["original_bytes"], letter["original_sha256"]) == (len(bad), hashlib.sha256(bad).hexdigest())
    assert letter["last_offset"] is None
    assert letter["detail"]
    if reason is not None:
        assert letter["reason"] == reason
        assert field is None or letter["field"] == field
    assert partition.job.positions() == log.ends
    assert partition.published["standings"] == good.published["standings"] != []
    assert differences(state(partition.job.ledger), state(good.job.ledger)) == []


@pytest.mark.parametrize("case", BYTES)
def test_bad_bytes(case):
    """Damaged bytes on any topic: the record alone is put aside."""
    check(*BYTES[case])


@pytest.mark.parametrize("case", VALUES)
def test_bad_postings(case):
    """A posting that cannot be right is put aside with the field at fault, and leaves no account or name behind."""
    check("transactions", *VALUES[case])


@pytest.mark.parametrize("case", BALANCES)
def test_bad_balances(case):
    """A balance that cannot be right is put aside with the field at fault."""
    changes, reason, field = BALANCES[case]
    check("balances", wire(snapshot(10_000, DAY) | changes), reason, field)


@pytest.mark.parametrize("case", RATES)
def test_bad_rates(case):
    """A rate that cannot be right is put aside, and the good one stays in force."""
    changes, reason, field = RATES[case]
    check("fx-rates", wire(rate("USD", 7_000_000, DAY, version=2) | changes), reason, field)


@pytest.mark.parametrize(("customer_id", "reason"), [("", "empty text"), ("x" * 129, "text too long")])
def test_bad_profiles(customer_id, reason):
    """A profile of nobody, or with an id too long, is put aside."""
    check("customers", wire(customer(customer_id)), reason, "customer_id")


@pytest.mark.parametrize("absurd", [DAY_MAX, DAY_MIN - 1, -1, 2**31 - 1, -(2**31)])
def test_closes_and_marks_of_absurd_days(absurd):
    """No topic waits at such a mark, and no such close keeps other days from being closed."""
    good = Partition(Topics().tell([BEFORE, AFTER, DAY + 10])).run()
    log = Topics().tell([BEFORE, absurd, AFTER])
    log.append("balances", MARK_KEY, encode(MARK, {"business_day": absurd}))
    partition = Partition(log.tell([DAY + 10])).run()
    letters = Counter((x["topic"], x["reason"]) for x in partition.of("dead-letters"))
    assert letters == {(topic, "date out of range"): 1 + (topic == "balances") for topic in INPUTS}
    assert partition.job.positions() == log.ends
    assert partition.published["standings"] == good.published["standings"] != []
    assert differences(state(partition.job.ledger), state(good.job.ledger)) == []


def test_too_old():
    """Behind the closed months that are held, and a snapshot behind the horizon: too old."""
    log = Topics().tell([BEFORE, day("2024-04-20"), posting(3, 1, "2022-12-31"), snapshot(1, "2024-03-15"), AFTER])
    partition = Partition(log).run()
    letters = partition.of("dead-letters")
    assert sorted((x["topic"], x["reason"], x["field"]) for x in letters) == [
        ("balances", "too old", "cutoff_at"), ("transactions", "too old", "booked_at"),
    ]  # fmt: skip


def test_a_replay_writes_no_dead_letter_again():
    """What was put aside before a crash is not put aside again by the silent replay."""
    log = Topics()
    log.append("transactions", b"k", b"junk")
    partition = Partition(log)
    for topic in INPUTS:
        partition.feed(topic)
    assert partition.work(live=False) == []


def test_a_duplicate_is_no_dead_letter():
    """The same posting again is counted and dropped."""
    partition = Partition(Topics().tell([BEFORE, BEFORE, AFTER])).run()
    assert partition.of("dead-letters") == []


def test_a_fact_that_no_pack_knows_is_named():
    """With the packs; one that is not in force yet makes it known, and the letter's record counts then."""
    steps = [fact("C1", 1, 7, DAY, "home_points"), fact("C1", 2, 30, DAY, "age"), DAY]
    partition = Partition(Topics().tell(steps)).run()
    letters = partition.of("dead-letters")
    assert [(letter["reason"], letter["field"]) for letter in letters] == [("a fact that no pack knows", "name")] * 2
    assert letters[0]["detail"] == "name: no pack knows the fact home_points; packs: rolling-quarter-aum"
    assert letters[1]["detail"] == "name: age follows from the profile, it is no fact; packs: rolling-quarter-aum"
    assert partition.of("standings") == []
    body = conf().pack.body.replace("scopes:", "facts: {home_points: {kind: count}}\nscopes:", 1)
    version = conf().pack.version
    body = body.replace(f"version: {version}", f"version: {version + 1}", 1).replace(
        f"effective_from: {conf().pack.effective_from}", "effective_from: 2024-06-01"
    )
    partition.log.tell([activation(body)])
    partition.run()
    partition.log.append("facts", b"C1", letters[0]["original"])  # as a redrive sends it
    partition.log.tell([fact("C1", 3, 8, DAY, "house_points"), day("2024-03-31")])
    partition.run()
    assert len(partition.of("dead-letters")) == 3
    assert partition.of("dead-letters")[-1]["detail"].startswith("name: no pack knows the fact house_points; ")
    assert [record["customer_id"] for record in partition.of("standings")] == ["C1"]


def test_a_text_for_a_number_is_a_letter():
    """Its number, mostly 0, would be taken for the figure; so of customers' facts, the calendar and marks of sources."""
    facts = [
        fact("C1", 1, 500, DAY), fact("C1", 2, 0, DAY + 1) | {"text": "much"}, fact("C1", 3, 1, DAY, "source_complete"),
        fact("C1", 4, 1, DAY, "source_complete") | {"text": "yes"}, fact("C1", 5, 0, DAY, "nobody_knows") | {"text": "x"},
    ]  # fmt: skip
    log = Topics()
    for one in facts:
        record = {name: value for name, value in one.items() if name != "topic"}
        log.append("facts", b"C1", encode(file_registry(2).id_of("facts"), record))
    partition = Partition(log).run()
    assert [(letter["offset"], letter["reason"], letter["field"]) for letter in partition.of("dead-letters")] == [
        (1, "a text for a fact that is a number", "text"), (3, "a text for a fact that is a number", "text"),
        (4, "a fact that no pack knows", "name"),
    ]  # fmt: skip
    assert partition.job.decider.facts.values["loan_balance"][:1].tolist() == [500]
