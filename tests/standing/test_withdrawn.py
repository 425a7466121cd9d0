"""Deletions on compacted inputs, at their place in the log: live, and in a state that is built anew from what is left of it."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agents.standing.intake.facts import NO_DATE
from agents.standing.intake.rate_keys import RateKey, rate_named
from agents.standing.job import StandingJob
from connectors.formats.events import key_of
from deploy.topics import CATALOGUE
from policies import load_pack
from schemas.topics import CLOSES
from streams.fx import Rates
from streams.money import CURRENCIES
from tests.standing.partition import Partition, Topics, conf, customer
from tests.streams.fast import differences, state
from tests.twins.events import day, posting, rate

DAY = day("2024-03-02")
NAMES = ("C1", "C2", "C3")
PROFILE = st.builds(
    lambda name, number, kind, card, born, branch: customer(
        name, event_id=f"{name}-{number}", customer_class=kind, card_held=card, birth_date=born, branch=branch
    ),
    st.sampled_from(NAMES), st.integers(0, 9), st.sampled_from(("personal", "corporate")),
    st.sampled_from((None, "gold", "diamond")), st.sampled_from((None, -3000)), st.sampled_from(("B1", "B2")),
)  # fmt: skip


def deletion(name: str) -> dict[str, Any]:
    """Of a profile."""
    return {"topic": "customers", "deleted": name}


def told(log: Topics, steps: list[Any]) -> Topics:
    """Steps as Topics.tell takes them, and deletions."""
    for step in steps:
        if isinstance(step, dict) and "deleted" in step:
            log.append(step["topic"], step["deleted"].encode(), None)
        else:
            log.tell([step])
    return log


def compacted(steps: list[Any]) -> list[Any]:
    """What compaction leaves of profiles: the last record of each key, and no deletion once it is old."""
    last = {_name(step): at for at, step in enumerate(steps)}
    return [step for at, step in enumerate(steps) if last[_name(step)] == at and "deleted" not in step]


def _name(step: dict[str, Any]) -> str:
    return step.get("deleted") or step["customer_id"]


def people(partition: Partition) -> list[Any]:
    """What is known of the customers with money: profile, tiers, queue class, dates."""
    profiles, facts, ledger = partition.job.profiles, partition.job.decider.facts, partition.job.ledger
    out = []
    for slot in sorted(range(ledger.customers.count), key=ledger.customer_id):
        if not list(ledger.accounts_of(slot)):
            continue
        row = ledger.customers.rows[slot]
        out.append((
            ledger.customer_id(slot), int(row["customer_class"]), profiles.branch(slot), profiles.rm(slot),
            profiles.card(slot), profiles.tier_name(slot), int(row["tier_day"][0]), int(row["published"]),
            facts.dates[slot].tolist() if slot < len(facts.dates) else [NO_DATE] * 2,
        ))  # fmt: skip
    return out


EVENTS = st.lists(
    PROFILE | st.sampled_from(NAMES).map(deletion)
    | st.builds(lambda name, n, amount: posting(n, amount, DAY, customer=name, account=f"A-{name}"),
                st.sampled_from(NAMES), st.integers(1, 40), st.sampled_from((10**6, 10**8, 10**9))),
    max_size=14,
)  # fmt: skip


@pytest.mark.slow
@settings(max_examples=40, deadline=None)
@given(st.lists(PROFILE | st.sampled_from(NAMES).map(deletion), max_size=10), EVENTS, st.integers(0, 14))
def test_live_is_as_built_anew_from_what_compaction_leaves(old, events, cut):
    """Older profiles may be compacted away, deletions with them; those of the span of postings are all there."""
    once = {(e["customer_id"], e["journal_seq"]): id(e) for e in events if "journal_seq" in e}
    events = [e for e in events if "journal_seq" not in e or id(e) in once.values()]
    steps = [*events[:cut], DAY, *events[cut:], DAY + 1, day("2024-03-31")]
    live = Partition(told(Topics(), [*old, *steps]))
    anew = Partition(told(Topics(), [*compacted(old), *steps])).run()
    live.run()
    assert people(live) == people(anew)
    assert live.of("dead-letters") == anew.of("dead-letters") == []


def test_a_deleted_profile_gives_its_card_back():
    """Card, class, branch and dates; the tier of the card and the queue class follow, and a later profile counts."""
    job = StandingJob(replace(conf(), pack=load_pack("three-month-card")))
    log = told(Topics(), [customer("C1", card_held="diamond", birth_date=-3000), posting(1, 10**9, DAY), DAY])
    partition = Partition(log, job).run()
    before = [record["queue_class"] for record in partition.of("queue-priority")]
    told(log, [deletion("C1"), deletion("nobody"), DAY + 1])
    partition.run()
    assert partition.of("dead-letters") == []
    now = [record["queue_class"] for record in partition.of("queue-priority")]
    assert (len(now), now[-1] != now[-2]) == (len(before) + 1, True)
    slot = job.ledger.customer("C1")
    assert (job.profiles.card(slot), job.profiles.branch(slot), job.decider.facts.dates[slot].tolist()) == (
        None, None, [NO_DATE] * 2,
    )  # fmt: skip
    assert job.ledger.customers.count == 1
    told(log, [customer("C1", card_held="gold")])
    partition.run()
    assert job.profiles.card(slot) == "gold"


def test_a_deletion_that_lies_wrong():
    """Under no key, or on another partition: a letter, and nothing is changed."""
    log = Topics()
    log.append("customers", None, None)
    assert [letter["reason"] for letter in Partition(log).run().of("dead-letters")] == ["no key"]
    log, job = Topics(), StandingJob(replace(conf(), partitions=4))
    for name in (f"K{n}" for n in range(12)):
        log.append("customers", name.encode(), None)
    reasons = {letter["reason"] for letter in Partition(log, job).run().of("dead-letters")}
    assert reasons == {"lies on a partition that is not its key's"}


def test_a_rate_withdrawn_counts_no_more():
    """From the next close on the version below it holds; what is closed stays; a version sent again counts again."""
    steps = [rate("USD", 7_000_000, DAY - 9), posting(1, 100, DAY - 5, currency="USD")]
    log = told(Topics(), [*steps, rate("USD", 8_000_000, DAY - 1, 1), rate("USD", 9_000_000, DAY - 1, 2), DAY])
    partition = Partition(log).run()
    amounts = []
    for version in (2, 1, 1):
        log.append("fx-rates", key_of("fx-rates", rate("USD", 1, DAY - 1, version)).encode(), None)
        touch = posting(len(amounts) + 1, 0, DAY, account="B")  # else there is no new standing to be seen
        told(log, [touch, DAY + 1 + len(amounts)])
        partition.run()
        amounts.append(partition.of("standings")[-1]["aum_minor"])
    assert partition.of("standings")[0]["aum_minor"] == 900
    assert amounts == [800, 700, 700]
    told(log, [rate("USD", 9_000_000, DAY - 1, 2), posting(9, 0, DAY, account="B"), DAY + 9])
    assert partition.run().of("standings")[-1]["aum_minor"] == 900
    log.append("fx-rates", b"USD", None)
    [letter] = partition.run().of("dead-letters")
    assert (letter["reason"], letter["topic"]) == ("deletion", "fx-rates")
    assert "CURRENCY/BASE/DAY/VERSION" in letter["detail"]


@given(st.lists(st.tuples(st.integers(0, 2), st.integers(1, 4), st.booleans()), max_size=20), st.integers(0, 20))
def test_rates_are_those_not_withdrawn(given_, at):
    """Whatever versions come and go, and wherever a recovery begins anew from what is kept."""
    rates, usd, held = Rates("CNY"), CURRENCIES.index("USD"), dict[tuple[int, int], int]()
    for i, (off, version, put) in enumerate(given_):
        if put:
            rates.put(usd, DAY + off, 100 + version, version, f"e{version}")
            held[off, version] = 100 + version
        else:
            rates.withdraw(usd, DAY + off, version)
            held.pop((off, version), None)
        if i == at:
            kept, rates = rates.items(), Rates("CNY")
            for one in kept:
                rates.put(*one)
    wanted = sorted((usd, DAY + off, micro, version, f"e{version}") for (off, version), micro in held.items())
    assert sorted(rates.items()) == wanted


@given(st.sampled_from(CURRENCIES), st.integers(-(2**31), 2**31 - 1), st.integers(0, 2**62))
def test_the_key_of_a_rate_names_its_version(currency, on, version):
    """As the connectors write it."""
    record = {"currency": currency, "base": "CNY", "rate_date": on, "version": version}
    assert rate_named(key_of("fx-rates", record).encode()) == RateKey(currency, "CNY", on, version)


@pytest.mark.parametrize("topic", [CLOSES, "policies", "facts", "crm-actions"])
def test_what_is_kept_is_not_deleted(topic):
    """A letter that says what to do."""
    log = told(Topics(), [posting(1, 5, DAY)])
    log.append(topic, b"C1", None)
    partition = Partition(told(log, [DAY + 1])).run()
    [letter] = partition.of("dead-letters")
    assert (letter["topic"], letter["reason"]) == (topic, "deletion")
    assert "not deleted" in letter["detail"]
    assert len(partition.of("standings")) == 1


def test_the_span_in_which_a_rebuild_agrees():
    """Nothing younger than the oldest posting is compacted away, and its deletion is there as long."""
    days = {topic.name: topic.kept_days * 86_400_000 for topic in CATALOGUE}
    for name in ("customers", "fx-rates"):
        found = next(topic for topic in CATALOGUE if topic.name == name).config()
        assert int(found["min.compaction.lag.ms"]) >= days["transactions"] == 62 * 86_400_000
        assert int(found["delete.retention.ms"]) >= days["transactions"]


def test_state_is_untouched_by_a_deletion_of_nobody():
    """Of a customer who was never there, nothing is kept."""
    log = told(Topics(), [posting(1, 5, DAY), DAY])
    plain = Partition(log).run()
    other = Partition(told(Topics(), [posting(1, 5, DAY), deletion("C9"), DAY])).run()
    assert differences(state(plain.job.ledger), state(other.job.ledger)) == []
    assert plain.published["standings"] == other.published["standings"] != []
