"""Nothing that comes makes a row, a fence or an output that the brokers would refuse: the partition would stop for good."""

import json
from collections.abc import Iterable, Iterator
from typing import Any

import pytest

from policies import load_pack
from schemas.bounds import KEY_OR_VALUE_BYTES_MAX
from schemas.codec.records import encode
from schemas.registry import contract
from schemas.topics import CLOSES, INPUTS, KEYED
from streams.calendar import DAY_MS
from streams.money import CURRENCIES
from tests.contracts.drawn import LIVED, REGISTRY
from tests.contracts.test_standing_job import Watched, begun, letters
from tests.standing.partition import Topics, conf, customer, layered
from tests.standing.test_changeover import activation
from tests.standing.test_placement import ACT, FACT
from tests.twins.events import posting, rate, snapshot

PACK = load_pack("rolling-quarter-aum")
BASES: dict[str, list[dict[str, Any]]] = {
    "transactions": [posting(1, 10**9, LIVED)],
    "balances": [snapshot(5, LIVED)],
    "customers": [customer("C1", rm_id="r", card_held="c")],
    "facts": [FACT | {"as_of": LIVED, "text": "t"}, FACT | {"as_of": LIVED, "name": "source_complete", "text": "t"}],
    "fx-rates": [rate("USD", 7_000_000, LIVED)],
    "policies": [activation(PACK.body.replace("version: 1", "version: 2", 1))],
    "crm-actions": [
        ACT | {"at": LIVED * DAY_MS, "action": name, "approved_by": "s2", "details": details}
        for name, details in (
            ("nothing we know", {}), ("apply_card", {"card": PACK.classes["personal"].tiers[-1].card or "", "role": "x"}),
            ("override_tier", {"tier": "diamond", "role": "x", "reason": "y"}), ("pin_policy", {"version": "1"}),
            ("record", {"record": "consent"}),
        )
    ],
    CLOSES: [{"topic": CLOSES, "business_day": LIVED, "closed_at": 0, "cut": [], "asked": None, "last_closed": None,
              "force_reason": "x", "retracts": None}],
}  # fmt: skip
FILLS = ["x", "\x01", "\x01\x02\x1f\x0b\x05\x07\x10\x11\x13\x03\x17"]


def wire(event: dict[str, Any]) -> bytes:
    """An event as it is on its topic."""
    return encode(event["topic"], {name: value for name, value in event.items() if name != "topic"}, REGISTRY)


def stretched(topic: str, base: dict[str, Any], fill: str) -> Iterator[dict[str, Any]]:
    """The event with each of its texts in turn as long as a record may be."""
    for field in contract(topic)["fields"]:
        name, kind = field["name"], json.dumps(field["type"])
        if "string" not in kind or name == "cut":
            continue
        places = base[name] if isinstance(base.get(name), dict) else [None]
        for place in places:
            room = KEY_OR_VALUE_BYTES_MAX - 8 - len(wire(base | {name: {**base[name], place: ""} if place else ""}))
            text = (fill * (room // len(fill) + 1))[:room]
            yield base | {name: {**base[name], place: text} if place else text}


def lived(events: Iterable[tuple[str, bytes, bytes]]) -> Watched:
    """A partition that has taken the events, then a few days and an ordinary posting."""
    log = Topics().tell([customer("C1"), posting(1, 10**9, LIVED - 40, account="first")])
    for topic, key, value in events:
        log.append(topic, key, value)
    partition = begun(layered(), log).run()
    partition.flush(None)
    log.tell([LIVED + 1, posting(2, 7, LIVED + 2, account="first"), LIVED + 40])
    partition.run()
    partition.flush(None)
    assert partition.job.positions() == log.ends
    return partition


@pytest.mark.slow
@pytest.mark.parametrize("topic", INPUTS)
def test_a_text_as_long_as_a_record_may_be(topic: str) -> None:
    """In each field of each topic, with what JSON makes six times as long: all that is written still fits."""
    for base in BASES[topic]:
        whole = base | {"topic": topic}
        assert wire(whole)
        for fill in FILLS[:1] if topic == "policies" else FILLS:
            for event in stretched(topic, whole, fill):
                key = event["customer_id"].encode() if topic in KEYED else b"x"
                lived([(topic, key, wire(event))])


def rates(count: int) -> Iterator[dict[str, Any]]:
    """Rates of all currencies, a day each and then the day before."""
    for number in range(count):
        currency, day = CURRENCIES[number % len(CURRENCIES)], LIVED - number // len(CURRENCIES)
        yield rate(currency, 1_000_000 + number, day) | {"event_id": f"treasury/{currency}/{day}/{number}"}


def flood(what: str) -> list[dict[str, Any]]:
    """More of something than is held. A quotation mark takes the most room in a fence's JSON: control characters are refused."""
    long = [str(i).rjust(128, '"') for i in range(9_000)]
    fact = FACT | {"topic": "facts", "as_of": LIVED}
    match what:
        case "rates with long ids":
            return [rate("USD", 7_000_000, LIVED - i) | {"event_id": f"{i}" + '"' * 490} for i in range(9_000)]
        case "rates":
            return list(rates(90_000))
        case "sources of postings" | "counterparty banks":
            name = "source" if what == "sources of postings" else "counterparty_bank"
            who = [{"customer": f"C{i % 50}", "account": f"A{i % 50}"} for i in range(len(long))]
            return [posting(i, 5, LIVED, **who[i]) | {name: text} for i, text in enumerate(long)]
        case "sources of facts":
            return [fact | {"source": text} for text in long]
        case "sources that are complete":
            return [fact | {"name": "source_complete", "source": text} for text in long]
    return [fact | {"as_of": day, "name": "bank_open", "value": 1} for day in range(7_305, 47_482)]


FLOODS = (
    "rates with long ids", "rates", "sources of postings", "counterparty banks", "sources of facts",
    "sources that are complete", "days of the calendar",
)  # fmt: skip


def assert_room(partition: Watched) -> None:
    """Whether all names lie within what was made for them: kernels check no bounds."""
    ledger = partition.job.ledger
    for names in (ledger.classes, ledger.sources, ledger.banks):
        used, top = names.index.meta.tolist()
        assert used <= len(names.index.ref) and 2 * used <= len(names.index.table) and top <= len(names.index.arena)


@pytest.mark.parametrize("field", ["source", "counterparty_bank", "asset_class"])
@pytest.mark.parametrize("length", [2, 128])
def test_names_of_one_block_have_room(field: str, length: int) -> None:
    """However many and long they are, in postings of as many accounts."""
    names = [f"{chr(33 + i % 90)}{chr(33 + i // 90)}".ljust(length, "x")[:length] for i in range(600)]
    events = [posting(1, 5, LIVED, account=f"A{i}") | {field: name} for i, name in enumerate(names)]
    assert_room(lived([(event["topic"], b"C1", wire(event)) for event in events]))


@pytest.mark.slow
@pytest.mark.parametrize("what", FLOODS)
def test_more_of_it_than_is_held(what: str) -> None:
    """What goes beyond is a dead letter, or is not told apart any more; neighbours are processed."""
    events = [(event["topic"], event.get("customer_id", "C1").encode(), wire(event)) for event in flood(what)]
    partition = lived(events)
    assert_room(partition)
    told = list(letters(partition))
    assert len(set(told)) == len(told) < len(events)
    row = next(row for row in partition.of("standings") if row["customer_id"] == "C1" and row["as_of"] == LIVED + 40)
    assert row["aum_minor"] >= 10**9 + 7


def test_the_base_currency_is_that_of_the_rates() -> None:
    """Else the flood of rates would be refused for another reason."""
    assert conf().base_currency == rate("USD", 1, 1)["base"]
