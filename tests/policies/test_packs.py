"""Policy packs: the shipped one says what the bank rules say, and a broken one is refused by file, line and field."""

import datetime as dt
import json
from decimal import Decimal
from fractions import Fraction
from pathlib import Path
from typing import ClassVar

import jsonschema
import numpy as np
import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

import policies
from policies import UNREACHED, AllOf, AnyOf, CriteriaTooGeneralError, Limit, PackError, decide, load_pack, parse_pack
from policies.compiled.pack import compile_pack, foreseen
from policies.language import document
from policies.model.pack import TIERS, AlertRule
from streams.vocabulary.terms import DOWNGRADE_RISK, SEVERITIES, UPGRADE_NEAR
from tests.examples.plain_alerts import plain_pack

PACK = load_pack("rolling-quarter-aum")
PERSONAL = PACK.classes["personal"]
SCHEMA = json.loads((Path(policies.__file__).parent / "pack.schema.json").read_text(encoding="utf-8"))
VALID = jsonschema.Draft202012Validator(SCHEMA)
BODY = PACK.body


def quarter(amount: str) -> dict:
    """The values of a customer with this quarter average."""
    return {("quarter_avg", "aum"): Fraction(Decimal(amount))}


@pytest.mark.parametrize(
    ("amount", "tier"),
    [
        ("0", "ordinary"), ("99999.99", "ordinary"), ("99999.999999", "ordinary"), ("100000", "gold"),
        ("100000.01", "gold"),
        ("499999.99", "gold"), ("500000", "platinum"), ("999999.99", "platinum"), ("1000000", "diamond"),
        ("5999999.99", "diamond"), ("6000000", "private"), ("90000000", "private"), ("-5", "ordinary"),
    ],
)  # fmt: skip
def test_tiers_of_the_quarter_average(amount, tier):
    """R-231 to R-235 with C-01 and C-10: the exact value decides, a minimum is inclusive."""
    assert decide(PERSONAL, quarter(amount)) == tier
    compiled = compile_pack(PACK, 2)
    minor = Fraction(Decimal(amount)) * 100
    assert compiled.tier_ids[sum(int(t) <= minor for t in compiled.thresholds_minor)] == tier


def test_scope_holds_all_assets_and_no_credit():
    """R-229, C-31: deposits, own wealth products and agency assets count; loans are no assets."""
    assert "credit" not in PACK.scopes["aum"]
    assert {"deposit_time", "wealth", "fund", "insurance", "am_plan", "in_transit"} <= PACK.scopes["aum"]


def test_vip_and_cards():
    """R-227, R-228, C-18: VIP from platinum; private customers carry the diamond card."""
    assert [t.id for t in PERSONAL.tiers if PERSONAL.is_vip(t.id)] == ["platinum", "diamond", "private"]
    assert [t.card for t in PERSONAL.tiers] == ["ordinary", "gold", "platinum", "diamond", "diamond"]


@pytest.mark.parametrize(
    ("tier", "card", "queue_class", "vip_area"),
    [
        ("private", None, "diamond", True), ("diamond", "diamond", "diamond", True),
        ("platinum", None, "platinum", True),
        ("gold", "diamond", "diamond", False), ("platinum", "gold", "gold", True),
        ("ordinary", None, "ordinary", False),
        ("gold", "card-of-another-bank", "gold", False),
    ],
)  # fmt: skip
def test_queue_class_by_card_and_area_by_tier(tier, card, queue_class, vip_area):
    """R-247, R-248, C-23, C-37: the class goes by the card held, the VIP area by the tier."""
    assert PERSONAL.queue_class(tier, card).id == queue_class
    assert PERSONAL.led_to_vip_area(tier) is vip_area


@pytest.mark.parametrize(("basis", "expected"), [("tier", "gold"), ("higher", "diamond"), ("card", "diamond")])
def test_queue_basis_is_a_setting(basis, expected):
    """C-37: the class may go by card, by tier, or by the higher of the two."""
    pack = parse_pack(BODY.replace("basis: card ", f"basis: {basis} "))
    assert pack.classes["personal"].queue_class("gold", "diamond").id == expected


def test_compiled_for_the_kernels():
    """Amounts come out in minor units of the base currency, tiers lowest first, unwatched tiers at UNREACHED."""
    compiled = compile_pack(PACK, 2)
    assert compiled.thresholds_minor.tolist() == [10_000_000, 50_000_000, 100_000_000, 600_000_000]
    assert compiled.thresholds_minor.dtype == np.int64
    assert compile_pack(PACK, 0).thresholds_minor.tolist() == [100_000, 500_000, 1_000_000, 6_000_000]
    assert compiled.metric == "quarter_avg"
    assert compiled.scope == PACK.scopes["aum"]
    assert compiled.queue_class_of_tier.tolist() == [3, 2, 1, 0, 0]
    assert compiled.vip_area_of_tier.tolist() == [False, False, True, True, True]
    assert compiled.vip_from == 2
    assert len(compiled.alerts.ids) == 0
    assert compiled.cases is not None
    found = compiled.cases.rules
    assert (found.ids, found.window_days.tolist()) == (("outflow-single", "outflow-7d", "outflow-90d"), [0, 7, 90])
    assert compiled.cases.gross.tolist() == [0, 0, 0]
    assert found.share_bp[2].tolist() == [UNREACHED, 1800, 1800, 1800, 1800]
    assert found.floor_minor[2].tolist() == [0, 2_000_000, 8_000_000, 16_000_000, 50_000_000]


def test_compiled_alerts_without_cases():
    """Outflow rules of a pack without cases are alerts, each by itself."""
    compiled = compile_pack(plain_pack(), 2)
    assert compiled.cases is None
    alerts = compiled.alerts
    assert alerts.window_days.tolist() == [0, 1, 7, 30, 30]
    single, drip = alerts.ids.index("outflow-single"), alerts.ids.index("drip")
    assert alerts.absolute_minor[single].tolist() == [UNREACHED, 10_000_000, 20_000_000, 50_000_000, 100_000_000]
    assert set(alerts.share_bp[single].tolist()) == {UNREACHED}
    assert alerts.share_bp[1].tolist() == [UNREACHED, 5000, 3000, 3000, 3000]
    assert alerts.floor_minor[1].tolist() == [0, 5_000_000, 5_000_000, 5_000_000, 5_000_000]
    assert (alerts.drip_count[drip], alerts.each_at_most_minor[drip]) == (8, 5_000_000)
    assert (alerts.drip_count[single], alerts.each_at_most_minor[single]) == (0, UNREACHED)
    assert SEVERITIES[alerts.severity[single]] == "high"


def test_amount_finer_than_the_currency():
    """An amount that is not whole in minor units of the base currency is refused when compiled, never rounded."""
    pack = parse_pack(BODY.replace('"100000.00"}\n', '"100000.005"}\n', 1))
    with pytest.raises(PackError, match="not whole in minor units"):
        compile_pack(pack, 2)


def test_body_is_what_was_read():
    """A pack can be published as it was written and read again to the same values."""
    assert parse_pack(PACK.body) == PACK
    assert (PACK.id, PACK.version, PACK.effective_from) == ("rolling-quarter-aum", 2, dt.date(2018, 1, 1))


TREE = """any: [{all: [{metric: aum, scope: aum, minimum: "5"}, {metric: "txn_count[3]", minimum: "5"}]},
              {metric: bad_record, below: "1"}]"""


def test_trees_of_any_and_all():
    """Criteria nest; names of the bank rules mean the metric; such tiers are decided by the tree, not by an array."""
    start, end = BODY.index('when: {metric: quarter_avg, scope: aum, minimum: "6000000'), BODY.index("    queue:")
    rest = BODY[end : BODY.index("      - id: upgrade-near")]  # of trees there is no outlook
    pack = parse_pack(BODY[:start] + "when: {" + TREE.replace("metric: aum,", "metric: assets,") + "}\n\n" + rest)
    when = pack.classes["personal"].tiers[-1].when
    assert when == AnyOf(
        (
            AllOf((Limit("aum", "aum", "minimum", Decimal(5)), Limit("txn_count[3]", None, "minimum", Decimal(5)))),
            Limit("bad_record", None, "below", Decimal(1)),
        )
    )
    values = {("aum", "aum"): 5, ("txn_count[3]", None): 4, ("bad_record", None): 1, **quarter("7")}
    assert decide(pack.classes["personal"], values) == "ordinary"
    assert decide(pack.classes["personal"], {**values, ("txn_count[3]", None): 5}) == "private"
    assert decide(pack.classes["personal"], {**values, ("bad_record", None): 0}) == "private"
    with pytest.raises(KeyError):
        decide(pack.classes["personal"], quarter("7"))
    with pytest.raises(CriteriaTooGeneralError):
        compile_pack(pack, 2)


# (what is replaced, by what, the line's text, field, words of the message); ~ is classes.personal.
BROKEN = [
    ("version: 2", "version: one", "version: one", "version", "whole number"),
    ("version: 2\n", "", "pack:", "", "field version is missing"),
    ("effective_from: 2018-01-01", "effective_from: 2018-02-30", "2018-02-30", "effective_from", "expected a date"),
    ("aum: [deposit_demand,", "aum: [deposits,", "[deposits,", "scopes.aum[0]", "not one of"),
    ("[deposit_demand,", "[deposits,", "sources:", "sources", "neither an asset class nor a fact"),
    ("  personal:", "  retail:", "evaluation:", "classes.retail", "not one of personal, corporate"),
    ("close: month ", "close: moth ", "close: moth", "~evaluation.close", "'moth' is not one of"),
    ("vip_from: platinum", "vip_from: iron", "vip_from: iron", "~vip_from", "'iron' is not one of"),
    ('minimum: "500000.00"', 'minimum: "5e5"', '"5e5"', "~tiers[2].when.minimum", "plain decimal"),
    ('minimum: "500000.00"', 'minimum: "-1"', '"-1"', "~tiers[2].when.minimum", "plain decimal"),
    ('minimum: "500000.00"', 'minimum: "99.00"', "id: platinum", "~tiers[2]", "is not above"),
    ('minimum: "500000.00"', "minimun: 1", "minimun", "~tiers[2].when.minimun", "unknown field"),
    ('scope: aum, minimum: "5', 'minimum: "5', "500000.00", "~tiers[2].when", "field scope is missing"),
    ('metric: quarter_avg, scope: aum, minimum: "5', 'metric: quater, scope: aum, minimum: "5', "quater",
     "~tiers[2].when.metric", "unknown metric"),
    ("id: platinum  ", "id: gold  ", "R-233", "~tiers[2]", "tier gold is given twice"),
    ("cards: [gold]", "cards: [golf]", "cards: [golf]", "~queue.classes[2].cards[0]", "'golf' is not one"),
    ("head_start_minutes: 10}", "head_start_minutes: 25}", "basis: card", "~queue", "longer head"),
    ("window_days: 7", "window_days: 91", "window_days: 91", "~alerts[1].window_days", "must be from 0 to 90"),
    ("id: outflow-90d", "id: outflow-7d", "- id: outflow-7d", "~alerts[2]", "given twice"),
    ("{gold: 2500,", "{gold: 25000,", "25000,", "~alerts[1].share.basis_points.gold", "must be from 1 to"),
    ("pack: rolling-quarter-aum", "pack: &x rolling\nbasis: *x", "basis: *x", "", "aliases are not allowed"),
    ("classes:\n  personal", "classes: [\n  personal", "evaluation:", "", ""),
    ("order: head_start ", "order: head_start\n      order: strict ", "order: strict", "~queue.order", "twice"),
]  # fmt: skip


@pytest.mark.parametrize(("old", "new", "line_text", "field", "words"), BROKEN, ids=[f"{b[1]:.28}" for b in BROKEN])
def test_problems_name_file_line_and_field(old, new, line_text, field, words):
    """Whatever is wrong, the message names the file, the line and the field, and the pack is refused."""
    assert old in BODY
    text = BODY.replace(old, new, 1)
    with pytest.raises(PackError) as caught:
        parse_pack(text, "my.yaml")
    lines = text.splitlines()
    found = [
        (p.file, p.field) for p in caught.value.problems if words in p.message and line_text in _around(lines, p.line)
    ]
    assert ("my.yaml", field.replace("~", "classes.personal.")) in found, str(caught.value)


def _around(lines: list[str], line: int) -> str:
    return "\n".join(lines[max(line - 2, 0) : line + 1])


def test_all_problems_at_once(tmp_path):
    """Every problem is told, in the order of the lines, so that a pack is mended in one go."""
    path = tmp_path / "mine.yaml"
    path.write_text(
        BODY.replace("version: 2", "version: 0").replace("window_days: 7", "window_days: x"), encoding="utf-8"
    )
    found = policies.check(path)
    assert [p.field for p in found] == ["version", "classes.personal.alerts[1].window_days"]
    assert str(found[0]).startswith(f"{path}:6: version: ")


def test_no_such_pack_and_not_text(tmp_path):
    """An unknown id names the packs there are; a file that is no UTF-8 names the line."""
    with pytest.raises(PackError, match=r"packs here: .*rolling-quarter-aum"):
        load_pack("no-such")
    bad = tmp_path / "bad.yaml"
    bad.write_bytes(b"pack: a\nname: \xff\n")
    with pytest.raises(PackError, match=r"bad\.yaml:2: is not UTF-8"):
        load_pack(bad)


@pytest.mark.slow
@pytest.mark.parametrize("pack_id", policies.available_packs())
def test_shipped_packs_fit_the_published_schema(pack_id):
    """The JSON Schema accepts every pack that comes with Tidegauge, and so does the loader."""
    assert load_pack(pack_id).id == pack_id
    VALID.validate(yaml.load(load_pack(pack_id).body, Loader=_AsWritten))


@pytest.mark.parametrize("pack_id", policies.available_packs())
def test_shipped_packs_watch_what_they_can(pack_id):
    """Who is near a tier, or may lose his, wherever that can be foreseen, in no layers; outflow rules have cases."""
    pack = load_pack(pack_id)
    for policy in pack.classes.values():
        watched = {UPGRADE_NEAR, DOWNGRADE_RISK} if pack.kind == TIERS and foreseen(policy) else set()
        assert {rule.outlook for rule in policy.outlook_rules} == watched
        assert policy.cases is not None or not any(isinstance(rule, AlertRule) for rule in policy.alerts)


class _AsWritten(yaml.SafeLoader):
    """Dates stay text, as the loader reads them."""

    yaml_implicit_resolvers: ClassVar = {
        first: [(tag, regexp) for tag, regexp in pairs if tag != "tag:yaml.org,2002:timestamp"]
        for first, pairs in yaml.SafeLoader.yaml_implicit_resolvers.items()
    }


def test_published_schema_is_that_of_the_grammar():
    """pack.schema.json is what the loader's own grammar says; `python -m policies` writes it."""
    assert document.schema() == SCHEMA


def _places(value, path=()):
    """Every place in a document."""
    yield path
    children = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, child in children:
        yield from _places(child, (*path, key))


DOCUMENT = yaml.load(BODY, Loader=_AsWritten)
PLACES = [place for place in _places(DOCUMENT) if place]


@pytest.mark.slow
@settings(deadline=None, max_examples=100)
@given(st.sampled_from(PLACES), st.sampled_from(["drop", "rename", [], {}, "?", "-1", ["x"], {"x": "y"}]))
def test_what_the_schema_refuses_the_loader_refuses(place, change):
    """The loader is never more lenient than the published schema."""
    document = json.loads(json.dumps(DOCUMENT))
    parent = document
    for key in place[:-1]:
        parent = parent[key]
    if change == "drop":
        del parent[place[-1]]
    elif change == "rename" and isinstance(parent, dict):
        parent["renamed"] = parent.pop(place[-1])
    else:
        parent[place[-1]] = change
    if not VALID.is_valid(document):
        with pytest.raises(PackError):
            parse_pack(yaml.safe_dump(document, allow_unicode=True, sort_keys=False))


@settings(deadline=None, max_examples=200)
@given(
    st.text(max_size=200) | st.sampled_from(["a: [", "- 1", "[[[[" * 20, "? {a: b}: c", "!!python/object:os.system x"])
)
def test_nothing_but_a_pack_error(text):
    """Whatever text comes, reading it ends in PackError."""
    with pytest.raises(PackError):
        parse_pack(text)


@pytest.mark.parametrize(
    ("pack_id", "words"),
    [
        ("layered-care", "a layer scheme"), ("three-card", "a template"), ("prior-month-aum", "more than a standard"),
        ("hq-level", "more than a standard"), ("deposit-or-loan", "not minimums"), ("three-month-card", "more than"),
    ],
)  # fmt: skip
def test_packs_that_have_no_threshold_array(pack_id, words):
    """A pack that rests on more than rising minimums of one metric is refused by name, never followed by half."""
    with pytest.raises(CriteriaTooGeneralError, match=words):
        compile_pack(load_pack(pack_id), 2)
