"""What the recording has in it: everything that a changelog can hold, and recoveries that have something to do."""

from __future__ import annotations

import json
from collections import Counter
from functools import cache
from typing import Any

import pytest

from tests.golden.engine import decode_one
from tests.golden.formats import KINDS
from tests.golden.recording import REVERSALS, Recording

RECORDED = Recording.read()
CUTS = sorted(RECORDED.states)
Event = dict[str, Any]


@cache
def published() -> list[tuple[int, str, Event]]:
    """(step, topic, record) of everything that was published."""
    return [
        (i, topic, decode_one(value or b""))
        for i, step in enumerate(RECORDED.steps) for topic, _, value in step.outputs
    ]  # fmt: skip


@cache
def sent(topic: str) -> list[Event]:
    """Records of an input, without marks and broken ones."""
    return [decode_one(value) for key, value in RECORDED.inputs[topic] if key != b"@close" and b"broken" not in value]


def of(topic: str) -> list[Event]:
    """Published records of a topic."""
    return [record for _, name, record in published() if name == topic]


def rows(cut: int, kind: bytes) -> dict[str, Any]:
    """Rows of a kind in the state behind a cut, read."""
    found = {key: value for key, value in RECORDED.states[cut].items() if key[:1] == kind and key != b"@fence"}
    return {key[1:].decode(): KINDS[kind].read(value) for key, value in found.items()}


def every(kind: bytes) -> list[Any]:
    """Rows of a kind in all recorded states."""
    return [row for cut in CUTS for row in rows(cut, kind).values()]


@pytest.mark.parametrize("cut", CUTS)
def test_a_recovery_has_something_to_do(cut: int) -> None:
    """Rows of a flush without its fence, and events between the last fence and what was committed."""
    steps = RECORDED.steps[: cut + 1]
    last = max(i for i, step in enumerate(steps) if step.fenced is not None)
    fenced = json.loads((steps[last].fenced or b"").split(b"\n")[0])["offsets"]
    committed = json.loads(steps[-1].positions or b"")
    assert sum(committed[topic] - fenced[topic] for topic in committed) > 20
    if cut != CUTS[-1]:
        assert any(step.flushed for step in steps[last + 1 :])
        assert len({step.positions for step in steps[last + 1 :]}) > 2


def test_what_a_customer_has_of_his_own() -> None:
    """Cards in every state, requests and grants that wait and approved ones, records, reviews, pins, put-off changes."""
    states = [row for row in every(b"l") if set(row) - {"official", "measured", "records", "beside"} or row["records"]]
    assert {row["card"][3] for row in states if "card" in row} == {"issued", "held", "lost"}
    assert {row["request"][3] is None for row in states if "request" in row} == {True, False}
    assert {row["grant"][3] is None for row in states if "grant" in row} == {True, False}
    for name in ("below", "reviewed_on", "pinned_version", "deferred", "standing", "staff_card", "renewal_said"):
        assert any(name in row for row in states), name
    assert any(row["records"] for row in states) and any(row["beside"][0] for row in states)
    said = Counter((record["kind"], record["reason"]) for record in of("decisions"))
    for what in (
        ("card", "card"), ("card", "expiry"), ("record", "override"), ("record", "expiry"), ("deferred", "stale"),
        ("restated", "restated"), ("refused", "not_approved"), ("renewal-due", "expiry"), ("review", "review"),
    ):  # fmt: skip
        assert said[what], what


def test_layers() -> None:
    """They move at closes and with a pack; one waits for a source."""
    assert {record["reason"] for record in of("decisions") if record["kind"] == "layer"} == {"close", "policy"}
    assert {row[0][0][0] for row in every(b"y") if row[0]} == {"nobody", "teller", "head"}
    assert any(row[3] and "deferred" in row[3] for row in every(b"y"))


def test_changes_that_were_put_off() -> None:
    """A tier change that holds from an earlier day than the one after its close."""
    late = [r for r in of("tier-changes") if r["reason"] == "close" and r["effective_date"] <= r["business_day"]]
    assert late


def test_alerts() -> None:
    """Raised, deepened, and a debit as large as the one that raised, within the cool-down, that says nothing."""
    alerts = of("rm-alerts")
    told = Counter((record["rule"], record["status"]) for record in alerts)
    for rule in ("single", "week", "drip"):
        assert told[rule, "raised"]
    assert told["single", "deepened"] and told["week", "deepened"]
    causes = {record["caused_by"] for record in alerts if record["rule"] == "single"}
    quiet = [
        posting["event_id"]
        for alert in alerts if (alert["rule"], alert["status"]) == ("single", "raised")
        for posting in sent("transactions")
        if posting["customer_id"] == alert["customer_id"] and 0 <= posting["value_date"] - alert["raised_day"] < 3
        and posting["nature"] == "external" and -posting["amount_minor"] == alert["outflow_minor"]
        and posting["event_id"] not in causes
    ]  # fmt: skip
    assert quiet
    assert any(row[6] is not None for row in every(b"c"))


def test_alerts_out_of_the_outlook() -> None:
    """Both kinds raised, deepened and closed; rows of such as stand and as are over; outlooks told."""
    told = Counter((record["rule"], record["status"]) for record in of("rm-alerts"))
    assert all(told[rule, status] for rule in ("near", "risk") for status in ("raised", "deepened", "closed"))
    assert {alert[4] for row in every(b"w") for alert in row.values()} == {1, 2}
    assert of("outlooks") and any(any(row) for row in every(b"o"))


def test_restatements_and_breaks() -> None:
    """Months restated, tiers that follow; breaks that are open at every cut."""
    assert {record["kind"] for record in of("restatements")} >= {"late_posting", "break_opened", "break_changed"}
    assert any(record["reason"] == "restated" for record in of("tier-changes"))
    for cut in CUTS[1:]:
        found = Counter[str]()
        for step, topic, record in published():
            if topic == "restatements" and step <= cut and record["kind"].startswith("break"):
                found[record["account_id"]] = record["amount_minor"]
        assert any(found.values())
        assert any(entry[0] & 7 == 6 for row in rows(cut, b"a").values() for entry in row["entries"])  # a BREAK


def test_packs() -> None:
    """Switched live, for a branch and for layers too; one refused; at some cuts one is announced and not yet in force."""
    ids = {(record["pack_id"], record["pack_version"]) for record in of("tier-changes")}
    assert {pack for pack, _ in ids} == {"harbour", "harbour-b2", "harbour-cards", "firms"}
    assert {("harbour", 2), ("firms", 2)} <= {(r["pack_id"], r["pack_version"]) for r in of("standings")}
    assert {r["layer_pack_version"] for r in of("standings") if r["layer"]} == {1, 2}
    assert any(record["reason"] == "policy" for record in of("tier-changes"))
    assert {record["topic"] for record in of("dead-letters")} == {"policies", "facts", "transactions"}
    days = {pack["body"]: pack["effective_from"] for pack in sent("policies")}
    pending = [
        cut for cut in CUTS
        if any(days[text] > rows(cut, b"p")[""]["closed"] + 1 for text in rows(cut, b"k").values())
    ]  # fmt: skip
    assert len(pending) >= 2
    assert any(place.endswith("@B2") for place in rows(CUTS[-1], b"p")[""]["first_month"])


def test_customers() -> None:
    """Both classes and some who change, branches, cards, queue classes as published, dates, an id in Chinese."""
    customers = rows(CUTS[-1], b"c")
    assert {row[1] for row in customers.values()} == {0, 1} and "客户" in customers
    assert {row[3] for row in customers.values()} == {"B1", "B2", "B3"}
    assert any(row[5] for row in customers.values()) and any(row[4] is None for row in customers.values())
    assert len({row[2] for row in every(b"c")}) > 3 and of("queue-priority")
    assert any(len(row[0]) == 3 for row in customers.values())
    classes: dict[str, set[str]] = {}
    for record in sent("customers"):
        classes.setdefault(record["customer_id"], set()).add(record["customer_class"])
    assert sum(len(kinds) > 1 for kinds in classes.values()) == 2
    assert {len(row) for row in every(b"d")} == {2}


def test_facts_and_counts() -> None:
    """Facts of all packs and of one's own, marks of sources, holidays, counts."""
    names = {name.split("/")[0] for cut in CUTS for name in rows(cut, b"f")}
    assert names == {"loan_balance", "referrals", "growing", "source_complete", "bank_open"}
    assert {row[0] for cut in CUTS for name, row in rows(cut, b"f").items() if name.startswith("bank_open")} == {0, 1}
    assert {name for name in rows(CUTS[-1], b"f") if name.startswith("source")} == {
        "source_complete/agency", "source_complete/core",
    }  # fmt: skip
    assert all(rows(cut, b"t") for cut in CUTS)


def test_accounts() -> None:
    """Three currencies, several asset classes, sources without postings, entries of every kind."""
    accounts = rows(CUTS[-1], b"a").values()
    assert len({row["currency"] for row in accounts}) == 3 and len({row["asset_class"] for row in accounts}) == 4
    assert {entry[0] & 7 for row in every(b"a") for entry in row["entries"]} == {1, 2, 3, 4, 5, 6}
    assert {row["snapshots_and_partial"] for row in every(b"a")} >= {0, 1}


def test_reversals() -> None:
    """In the other recording: of postings that came before and that come later, twice, of nothing; told, and in rows."""
    found = Recording.read(REVERSALS)
    sent = [
        decode_one(value) for key, value in found.inputs["transactions"] if key != b"@close" and b"broken" not in value
    ]
    place = {posting["event_id"]: at for at, posting in enumerate(sent)}
    backs = [posting for posting in sent if posting["reverses"] is not None]
    named = [posting for posting in backs if posting["reverses"] in place]
    assert {place[posting["event_id"]] > place[posting["reverses"]] for posting in named} == {True, False}
    assert max(Counter(posting["reverses"] for posting in named).values()) > 1 and len(named) < len(backs)
    told = [
        (topic, decode_one(value or b"")) for step in found.steps for topic, _, value in step.outputs
        if topic in ("restatements", "rm-alerts")
    ]  # fmt: skip
    alone = [record for topic, record in told if topic == "restatements" and record["kind"] == "reversal_unmatched"]
    assert 5 < len(alone) < len(backs) / 2
    single = [record for topic, record in told if topic == "rm-alerts" and record["rule"] == "single"]
    again = [posting["event_id"] for posting in sent if posting["amount_minor"] == -31_000_000]
    assert [record["outflow_minor"] for record in single if record["caused_by"] in again] == [31_000_000]
    nothing = next(posting["event_id"] for posting in backs if posting["reverses"] == "nothing")
    assert nothing in {record["caused_by"] for record in single}
    flags = [
        entry[6] for state in found.states.values() for key, value in state.items() if key[:1] == b"a"
        for entry in KINDS[b"a"].read(value)["entries"] if entry[0] & 7 == 1
    ]  # fmt: skip
    assert {flag & 6 for flag in flags} == {0, 2, 6}  # ordinary, a reversal, one whose partner was asked for
