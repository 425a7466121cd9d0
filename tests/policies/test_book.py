"""Which pack decides on a day, what is refused while the running one goes on, and when a source is too old."""

import datetime as dt

from hypothesis import given
from hypothesis import strategies as st

from agents.standing.decide.state_rows import Remembered, decode_state, encode_state
from policies import load_pack
from policies.book import Book
from policies.lifecycle.state import Act, Card, Grant, Request, State, day_number

BODY = load_pack("abc-bands").body.replace("version: 2", "version: 1")


def version(number: int, day: str, text: str = BODY) -> str:
    """The pack as another version."""
    return text.replace("version: 1", f"version: {number}").replace("2018-01-01", day)


def day(text: str) -> int:
    """A day number."""
    return day_number(dt.date.fromisoformat(text))


def test_a_version_decides_from_its_date():
    """R-001, R-226, R-254: each day has the version in force on it; a later one changes nothing before its date."""
    book = Book()
    assert book.put(BODY, day("2026-01-31")) == []
    assert book.in_force("personal", day("2017-12-31")) is None
    assert book.put(version(2, "2026-07-01"), day("2026-01-31")) == []
    assert [book.in_force("personal", day(d)).version for d in ("2026-06-30", "2026-07-01")] == [1, 2]
    assert book.in_force("corporate", day("2026-07-01")) is None
    assert book.version("abc-bands", 1).version == 1


def test_another_scheme_and_a_layer_scheme_beside_it():
    """R-003, R-001: another scheme takes over from its date; a layer scheme stands beside the tier scheme."""
    book = Book()
    book.put(BODY, 0)
    book.put(load_pack("layered-care").body, 0)
    book.put(version(1, "2026-07-01", load_pack("abcd-layers").body), 0)
    assert book.in_force("personal", day("2026-07-01")).id == "abcd-layers"
    assert book.in_force("personal", day("2026-07-01"), "layers").id == "layered-care"


def test_what_is_refused_leaves_the_running_pack():
    """R-131: broken packs, templates, old versions and days that are closed are refused by name; the running one stays."""
    book = Book()
    book.put(BODY, 0)
    for text, words in (
        (BODY.replace("close: month", "close: moon"), "evaluation.close"),
        (load_pack("three-card").body, "still open"),
        (version(1, "2026-07-01"), "version 1 is not above 1"),
        (version(2, "2026-01-01"), "closed already"),
        (version(1, "2026-07-01", load_pack("hq-level").body).replace(
            "\nscopes:", "\nsupplement: {base: hq-level, branch: B1}\n\nscopes:", 1), "needs its base"),
    ):  # fmt: skip
        assert any(words in why for why in book.put(text, day("2026-01-31")))
        assert [pack.id for pack in book.packs] == ["abc-bands"]


DAYS = st.none() | st.integers(0, 10**5)
STATES = st.builds(
    State, st.sampled_from("abc"), st.sampled_from("abc"), st.frozensets(st.sampled_from(["filing", "consent"])),
    st.none() | st.builds(Card, st.just("gold"), st.integers(0, 9), DAYS, st.sampled_from(["issued", "held", "lost"])),
    st.none() | st.builds(Request, st.just("gold"), st.just("rm"), st.just("customer"), st.none() | st.just("boss")),
    st.none() | st.builds(Grant, st.none() | st.just("a"), st.just("override"), st.just("rm"), st.none() | st.just("b"), DAYS),
    st.integers(0, 36), DAYS, st.none() | st.integers(1, 9), DAYS,
    st.none() | st.sampled_from(["standard", "below-standard"]), st.booleans(),
)  # fmt: skip


@given(STATES)
def test_a_state_survives_its_row(state):
    """What is remembered of a customer comes back from the changelog as it was."""
    assert decode_state(encode_state(state, Remembered())) == (state, Remembered())


def test_an_act_from_a_record():
    """A record of crm-actions is an act as it stands."""
    record = {"event_id": "e", "customer_id": "C", "action": "override_tier", "requested_by": "RM-3",
              "approved_by": "BM-1", "at": 0, "expires_on": 20_800, "details": {"tier": "diamond"},
              "stamped_by": None}  # fmt: skip
    assert Act.of(record, 7) == Act("override_tier", 7, "RM-3", "BM-1", 20_800, {"tier": "diamond"}, "e")
