"""What is wrong with a source's records is named by its code, with where they lie; what is right is not."""

import zlib
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from schemas.codec.blocks import Reader, decode
from schemas.codec.records import encode
from schemas.partitioner import partition_of
from schemas.topics import CLOSES, INPUTS
from tests.contracts.drawn import entries
from tests.schemas.helpers import ALWAYS, Registry, batch, datum, framed, posting
from tidegauge.cli.data.source_words import WORDS
from tidegauge.sources.check import PLACES_MAX, SourceCheck
from tidegauge.sources.log import shares

DAY_MS = 86_400_000
DAY = 20_500
WRITTEN = (DAY + 1) * DAY_MS
BALANCE = {
    "event_id": "b1", "source": "core", "customer_id": "c1", "account_id": "a1", "asset_class": "savings",
    "currency": "CNY", "balance_minor": 0, "cutoff_at": DAY * DAY_MS, "business_day": DAY, "version": 1,
    "opened_on": None, "branch": "b",
}  # fmt: skip
CUSTOMER = {
    "event_id": "p1", "customer_id": "c1", "customer_class": "personal", "branch": "b", "rm_id": None,
    "relationship_since": None, "birth_date": None, "card_held": None,
}  # fmt: skip
FACT = {"event_id": "f", "customer_id": "c1", "name": "loan_balance", "value": 1, "as_of": DAY, "source": "core"}
RATE = {
    "event_id": "r", "currency": "USD", "base": "CNY", "rate_micro": 7_000_000, "rate_date": DAY, "version": 1,
    "source": "t",
}  # fmt: skip


def good(number: int = 1, **other: Any) -> dict[str, Any]:
    """A posting with nothing wrong."""
    right = {"customer_id": "c1", "account_id": "a1", "value_date": DAY, "booked_at": DAY * DAY_MS, "amount_minor": 5}
    return posting(number, **right | other)


def checked(
    topic: str, *sent: tuple[bytes | None, bytes | None], partition: int = 0, partitions: int = 1,
    reader: Reader | None = None, source: str = "",
) -> SourceCheck:  # fmt: skip
    """Records of one partition, taken in two blocks."""
    check = SourceCheck(reader or Reader(topic), partitions, "Asia/Shanghai", "CNY", source)
    for first, part in ((0, sent[:1]), (1, sent[1:])):
        if part:
            raw = batch([value for _, value in part], first, keys=[key for key, _ in part])
            columns = decode([raw], check.reader, 0, ALWAYS)
            check.take(partition, columns, np.full(columns.n, WRITTEN))
    return check


def codes(check: SourceCheck) -> dict[str, int]:
    """Code and count of each finding."""
    return {one.code: one.count for one in check.findings()}


def postings(*records: dict[str, Any], **more: Any) -> dict[str, int]:
    """The codes of postings that lie right."""
    keys = [record["customer_id"].encode() for record in records]
    sent = [(key, encode("transactions", record)) for key, record in zip(keys, records, strict=True)]
    return codes(checked("transactions", *sent, **more))


def test_a_good_source_has_no_findings() -> None:
    """Numbers from 1 on, in any order, sent twice; a booking that has only its date; a posting valued a month later."""
    late = good(3, booked_at=(DAY + 1) * DAY_MS + 15 * 3_600_000, value_date=DAY + 31)
    assert postings(good(2), good(1), good(2, event_id="again"), late) == {}
    assert codes(checked("balances", (b"c1", encode("balances", BALANCE)))) == {}
    assert codes(checked("customers", (b"c1", encode("customers", CUSTOMER)))) == {}
    told = FACT | {"customer_id": "@bank", "name": "bank_open", "as_of": DAY + 90}
    assert codes(checked("facts", (b"c1", encode("facts", FACT)), (b"@bank", encode("facts", told)))) == {}
    assert codes(checked("fx-rates", (b"USD", encode("fx-rates", RATE)))) == {}


@pytest.mark.parametrize(
    ("code", "count", "records"),
    [("number_low", 1, [good(0), good(1)]),
     ("number_low", 2, [good(-1), good(0)]),
     ("number_hole", 1, [good(1), good(4)]),
     ("number_conflict", 1, [good(1), good(1, amount_minor=6)]),
     ("number_conflict", 1, [good(1), good(2), good(2, value_date=DAY - 1)]),
     ("date_absurd", 1, [good(1, value_date=20_260_302)]),
     ("date_absurd", 1, [good(1, booked_at=DAY * DAY_MS // 1000)]),
     ("date_absurd", 1, [good(1, booked_at=2**63 - 1)]),
     ("date_apart", 1, [good(1, value_date=DAY - 32)]),
     ("date_ahead", 1, [good(1, booked_at=(DAY + 2) * DAY_MS)]),
     ("nature_unknown", 1, [good(1, nature="unknown"), good(2)]),
     ("currency_unknown", 2, [good(1, currency="RMB"), good(2, currency="cny")]),
     ("amount_zero", 1, [good(1, amount_minor=0)])],
)  # fmt: skip
def test_postings(code: str, count: int, records: list[dict[str, Any]]) -> None:
    """Each fault by itself, and nothing else."""
    assert postings(*records) == {code: count}


def test_an_account_under_two_customers() -> None:
    """It is named once, where the second customer comes; of a balance as of a posting."""
    shared = [good(1), good(1, customer_id="c2"), good(2, customer_id="c2"), good(3, customer_id="c3"), good(2)]
    assert postings(*shared) == {"two_owners": 1}
    sent = [(name, encode("balances", BALANCE | {"customer_id": name.decode()})) for name in (b"c1", b"c1", b"c4")]
    found = checked("balances", *sent).findings()
    assert [(one.code, one.count, one.spots) for one in found] == [("two_owners", 1, [(0, 2)])]


def test_numbers_are_of_an_account_at_a_source() -> None:
    """Other accounts and sources have numbers of their own; how many are missing is told."""
    assert postings(good(1), good(1, account_id="a2", amount_minor=7), good(1, source="cards", amount_minor=8)) == {}
    sent = [(b"c1", encode("transactions", good(number))) for number in (1, 5, 3)]
    [hole] = checked("transactions", *sent).findings()
    assert (hole.details, hole.spots) == ({"missing": 2}, [(0, 1)])


def test_only_one_source_is_looked_at() -> None:
    """What another one has sent is left out."""
    assert postings(good(1), good(0, source="cards"), source="core") == {}
    assert postings(good(1), good(0, source="cards"), source="cards") == {"number_low": 1}
    assert postings(good(1), source="nobody") == {"no_records": 0}


def test_keys_and_partitions() -> None:
    """Every key, wherever it lies: CRC32 is told from other partitioners."""
    seen = set()
    for name in (f"C{number}" for number in range(20)):
        value, key = encode("transactions", good(1, customer_id=name)), name.encode()
        assert codes(checked("transactions", (None, value), partitions=4)) == {"no_key": 1}
        assert codes(checked("transactions", (b'"' + key + b'"', value), partitions=4)) == {"other_key": 1}
        for lies in range(4):
            crc = zlib.crc32(key) % 4 == lies
            wanted = {"partition_crc32" if crc else "partition_other": 1} if partition_of(key, 4) != lies else {}
            assert codes(checked("transactions", (key, value), partition=lies, partitions=4)) == wanted
            seen |= wanted.keys()
    assert seen == {"partition_crc32", "partition_other"}


def test_deletions_and_their_places() -> None:
    """A tombstone and a row that was deleted; so many places are kept and no more."""
    schema = {
        "type": "record", "name": "Row", "fields": [
            *({"name": name, "type": "long" if name in ("rate_micro", "version") else "int" if name == "rate_date"
               else "string"} for name in RATE),
            {"name": "__deleted", "type": "string"},
        ],
    }  # fmt: skip
    reader = Reader("fx-rates", Registry(schema))
    row = framed(1, datum(schema, RATE | {"__deleted": "true"}))
    live = framed(1, datum(schema, RATE | {"__deleted": "false"}))
    check = checked("fx-rates", (b"k", live), (b"k", row), *[(b"k", None)] * 5, reader=reader)
    assert codes(check) == {"deleted_row": 1, "tombstone": 5}
    assert [one.spots for one in check.findings()] == [[(0, at) for at in range(2, 2 + PLACES_MAX)], [(0, 1)]]


def test_what_is_refused_says_why() -> None:
    """As its dead letter does: texts that cannot be read as such, and values that are refused by themselves."""
    sent = [good(1, asset_class="gold"), good(2), good(3, branch=" B1 ")]
    found = checked("transactions", *((b"c1", encode("transactions", record)) for record in sent)).findings()
    assert {one.code: (one.details["reason"], one.details["field"], one.spots) for one in found} == {
        "refused": ("unknown asset class", "asset_class", [(0, 0)]),
        "unreadable": ("spaces around the text", "branch", [(0, 2)]),
    }


def test_what_cannot_be_read_says_why() -> None:
    """Reason, field, wanted and found, as its dead letter does; one finding for all that is wrong alike."""
    schema = {"type": "record", "name": "Row", "fields": [
        {"name": name, "type": {"rate_micro": "double", "version": "long", "rate_date": "int"}.get(name, "string")}
        for name in RATE
    ]}  # fmt: skip
    reader = Reader("fx-rates", Registry(schema))
    bad = framed(1, datum(schema, RATE))
    check = checked("fx-rates", (b"k", bad), (b"k", bad), (b"k", b"{}"), (b"k", framed(9, b"")), reader=reader)
    found = {one.details["reason"]: one for one in check.findings() if one.code == "unreadable"}
    fits = found["schema does not fit the topic"]
    assert (fits.count, fits.details["field"]) == (2, "rate_micro")
    assert fits.details["said"].startswith("rate_micro: wanted ") and fits.details["said"].endswith("found double")
    assert found["wrong magic byte"].count == 1
    assert found["unknown schema id"].details["said"] == "the registry has no schema 9"


def test_other_topics() -> None:
    """Days of balances, profiles, facts; rates to another currency, and rates that a partition lacks."""
    balance = BALANCE | {"opened_on": DAY + 9, "business_day": DAY - 40, "currency": "XXX"}
    found = codes(checked("balances", (b"c1", encode("balances", balance))))
    assert found == {"date_apart": 1, "date_ahead": 1, "currency_unknown": 1}
    profile = CUSTOMER | {"birth_date": DAY + 9}
    assert codes(checked("customers", (b"c1", encode("customers", profile)))) == {"date_ahead": 1}
    assert codes(checked("facts", (b"c1", encode("facts", FACT | {"as_of": DAY + 9})))) == {"date_ahead": 1}
    check = checked("fx-rates", (b"k", encode("fx-rates", RATE | {"base": "USD"})), partitions=2)
    assert codes(check) == {"base_other": 1, "copy_missing": 1}
    assert "copy_missing" not in {one.code for one in check.findings(whole=False)}


def test_a_version_of_a_rate_has_a_key_of_its_own() -> None:
    """Under the currency alone compaction keeps one day; the same record twice, as in every partition, is right."""
    days = [encode("fx-rates", RATE | {"rate_date": DAY - at}) for at in range(3)]
    assert codes(checked("fx-rates", *((b"USD", value) for value in days))) == {"key_shared": 2}
    assert codes(checked("fx-rates", (b"USD", days[0]), (b"USD", days[0]))) == {}
    assert codes(checked("fx-rates", *((b"USD/%d" % at, value) for at, value in enumerate(days)))) == {}
    again = encode("fx-rates", RATE | {"version": 2})
    assert codes(checked("fx-rates", (b"USD/1", days[0]), (b"USD/1", again))) == {"key_shared": 1}


NUMBERS = st.one_of(st.integers(-(2**63) + 1, 2**63 - 1), st.integers(-3, 3), st.integers(DAY - 99, DAY + 99))
WILD = st.fixed_dictionaries({
    "journal_seq": NUMBERS, "amount_minor": NUMBERS, "booked_at": NUMBERS, "value_date": st.integers(-(2**31), 2**31 - 1),
    "currency": st.text(max_size=4), "source": st.text(max_size=2), "customer_id": st.text(max_size=2),
})  # fmt: skip


@given(
    st.lists(st.tuples(st.none() | st.binary(max_size=3), st.none() | st.binary(max_size=40) | WILD), max_size=8),
    st.sampled_from(["", "s"]),
)
@settings(max_examples=60)
def test_whatever_comes_is_looked_at(
    sent: list[tuple[bytes | None, bytes | dict[str, Any] | None]], source: str
) -> None:
    """Any bytes, any numbers: findings whose places are records that were sent, and words for each."""
    coded = [(key, encode("transactions", good(1, **one)) if isinstance(one, dict) else one) for key, one in sent]
    for one in checked("transactions", *coded, partitions=3, source=source).findings():
        assert WORDS["en"][one.code][0].format(count=one.count, **one.details)
        assert one.count <= len(sent) and {offset for _, offset in one.spots} <= set(range(len(sent)))


@pytest.mark.slow
@pytest.mark.parametrize("topic", [topic for topic in INPUTS if topic not in (CLOSES, "policies")])
def test_any_record_is_looked_at(topic: str) -> None:
    """Whatever the contract allows in any version, and whatever bytes, on each topic that a source sends to."""

    @settings(max_examples=40)
    @given(entries(topic, 6))
    def check(sent: list[tuple[bytes | None, bytes | None]]) -> None:
        for one in checked(topic, *sent, partitions=3).findings():
            assert WORDS["en"][one.code][0].format(count=one.count, **one.details)
            assert one.count <= 3 * len(sent) and {offset for _, offset in one.spots} <= set(range(len(sent)))

    check()


def test_every_finding_has_words_in_both_languages() -> None:
    """The same codes, and in each the same places to fill in."""
    from string import Formatter

    english, chinese = WORDS["en"], WORDS["zh-CN"]
    assert english.keys() == chinese.keys()
    for code, (found, _) in english.items():
        assert {name for _, name, *_ in Formatter().parse(found)} - {None} == {
            name for _, name, *_ in Formatter().parse(chinese[code][0])
        } - {None}


def test_partitions_share_the_limit() -> None:
    """All of small ones, the same of large ones, never more than the limit."""
    assert shares({("t", 0): 5, ("t", 1): 100, ("t", 2): 100}, 45) == {("t", 0): 5, ("t", 1): 20, ("t", 2): 20}
    assert shares({("t", 0): 5, ("t", 1): 6}, 100) == {("t", 0): 5, ("t", 1): 6}
    assert sum(shares({("t", at): 50 for at in range(7)}, 10).values()) == 10
