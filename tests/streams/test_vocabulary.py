"""The vocabulary against what stands beside it: the slow twin, the contracts, the files, the catalogue."""

import re
from pathlib import Path

import pytest

from agents.offline import standings as files
from agents.standing.publish.standings import STANDING_FIELDS, STANDING_LISTS
from deploy.topics import CATALOGUE
from deploy.topics import TOPIC_NAMES as CATALOGUE_NAMES
from policies.language.document import schema
from policies.model import metrics
from schemas import registry, topics
from schemas.registry import contract
from services.views.decoder import NEEDED
from services.views.projections import PROJECTIONS
from streams.alerts.outflow import EXTERNAL_CODE
from streams.averages.metrics import periods
from streams.calendar import month_of
from streams.vocabulary import terms
from streams.vocabulary.metrics import COLUMNS, FAMILIES, INDEX, METRICS, NAMES, months_of_mean, parts, period
from tests.standing.partition import CLOSE_OUTPUTS
from tests.twins.events import day
from tests.twins.ledger import SlowLedger
from tidegauge.demo import oracle, watch
from tidegauge.explanation import log

DOCS = Path(__file__).resolve().parents[2] / "docs"
DAYS = [day("2024-02-28") + n for n in range(40)]


@pytest.mark.parametrize("as_of", DAYS)
def test_periods_are_those_of_the_twin(as_of):
    """Every metric, over the ends of months of all kinds."""
    twin = SlowLedger.windows(as_of)
    assert dict(zip(NAMES, map(tuple, periods(as_of).tolist()), strict=True)) == twin
    assert {name: period(name, as_of) for name in NAMES} == twin
    assert period("months_mean_12", as_of) == period("months_mean[12]", as_of) == twin["year_avg"]


def test_months_are_whole_ones():
    """A monthly metric begins on a month's first day and ends on a month's last."""
    for metric in METRICS:
        first, last = metric.period(day("2024-03-15"))
        whole = month_of(first - 1) != month_of(first) and month_of(last + 1) != month_of(last)
        assert whole or not metric.family.monthly


def test_standings_have_a_field_for_every_metric():
    """The contract's fields in minor units are those of the metrics, in their order; lists are as long as their family."""
    fields = {f["name"]: f["type"] for f in contract("standings")["fields"] if f["name"].endswith("_minor")}
    assert set(fields) == set(STANDING_FIELDS)
    assert {name for name, kind in fields.items() if isinstance(kind, dict)} == set(STANDING_LISTS)
    for name, at in STANDING_FIELDS.items():
        width = STANDING_LISTS.get(name, 1)
        assert {METRICS[k].family for k in range(at, at + width)} == {METRICS[at].family}
        assert name == (f"{METRICS[at].family.name}s_minor" if name in STANDING_LISTS else f"{COLUMNS[at]}_minor")
    assert sum(STANDING_LISTS.get(name, 1) for name in STANDING_FIELDS) == len(METRICS)


def test_packs_may_name_every_metric():
    """Grammar, published schema and vocabulary have the same names; a mean is made of months."""
    kinds = schema()["$defs"]["criterion"]["oneOf"]
    enum = next(kind for kind in kinds if "metric" in kind["properties"])["properties"]["metric"]["anyOf"][0]["enum"]
    assert {*NAMES, "months_mean_12"} <= set(enum)
    assert all(metrics.kind(name) == "rolling" for name in metrics.ROLLING)
    for name in (*metrics.ROLLING, "months_mean[2]"):
        assert all(part in INDEX for part in parts(name))
        assert (len(parts(name)) > 1) == (months_of_mean(name) is not None)
    with pytest.raises(ValueError, match="txn_count"):
        period("txn_count[3]", DAYS[0])


def test_files_and_oracle_have_the_same_columns():
    """The second opinion of the demo writes its columns down for itself."""
    assert files.STANDING_COLUMNS[:-1] == oracle.ORACLE_COLUMNS
    assert set(files.STANDING_COLUMNS[1:-1]) == {m.column for m in METRICS if m.family.in_files}


def _symbols(topic, field):
    [found] = [f["type"]["symbols"] for f in contract(topic)["fields"] if f["name"] == field]
    return tuple(found)


def test_codes_are_places_in_the_contracts():
    """Kernels know natures and classes of customers by the contracts' order."""
    assert _symbols("transactions", "nature") == terms.NATURES
    assert _symbols("customers", "customer_class") == terms.CUSTOMER_CLASSES
    assert terms.NATURES[EXTERNAL_CODE] == terms.EXTERNAL


def test_contracts_name_what_is_in_lists():
    """Where a contract's doc says what a text may be, it says all of it."""
    lists = {
        ("rm-alerts", "kind"): terms.ALERT_KINDS, ("transactions", "asset_class"): terms.ASSET_CLASSES,
        ("balances", "asset_class"): terms.ASSET_CLASSES, ("standings", "customer_class"): terms.CUSTOMER_CLASSES,
    }  # fmt: skip
    for (topic, name), words in lists.items():
        [field] = [f for f in contract(topic)["fields"] if f["name"] == name]
        assert [word for word in re.findall(r"[a-z_]+", field["doc"]) if word in words] == list(words), (topic, name)


def test_alerts_are_written_the_same_everywhere():
    """Grammar, services and the kinds themselves."""
    defs = schema()["$defs"]
    assert set(terms.OUTLOOK_KINDS) <= set(defs)
    assert defs["alert"]["properties"]["severity"]["enum"] == list(terms.SEVERITIES)
    assert [defs[kind]["properties"]["outlook"]["enum"] for kind in terms.OUTLOOK_KINDS] == [
        [kind] for kind in terms.OUTLOOK_KINDS
    ]


@pytest.mark.parametrize(
    ("name", "found"),
    [
        ("savings", "savings"), ("fx_savings_in_cny", "savings"), ("agency_treasury_bonds", "bond"), ("bonds", "bond"),
        ("own_wealth_products", "wealth"), ("agency_insurance", "insurance"), ("agency_funds", "fund"),
        ("fx_deposits_in_cny", "deposit_time"), ("fx_deposits", "deposit_time"), ("deposits", "deposit_demand"),
        ("trust_plans", "trust"), ("loan_balance", "credit"), ("", None), ("fx_", None), ("gold_bars", None),
        ("agency_", None), ("_in_cny", None), ("fx_gold_in_cny", None),
    ],
)  # fmt: skip
def test_an_asset_is_known_by_its_names(name, found):
    """As bank papers have them (R-187, R-229): who issued it and in which currency it is held change no class."""
    assert terms.asset_class(name) == found


def test_no_name_is_of_two_classes():
    """Each class and each other name once."""
    names = [name for known, others in terms.ASSETS.items() for name in (known, *others)]
    assert len(set(names)) == len(names)


def test_topics_are_those_of_the_catalogue():
    """Each topic has a contract and settings; the inputs that a close marks are all but the closes."""
    assert set(topics.TOPICS) == set(CATALOGUE_NAMES)
    assert len(topics.TOPICS) == len(set(topics.TOPICS))
    contracts = {path.stem for path in Path(registry.__file__).parent.glob("*.avsc")}
    assert contracts == {*topics.TOPICS, topics.MARK}
    assert {*topics.MARKED, topics.CLOSES} == set(topics.INPUTS)
    keys = {topic.name: topic.key for topic in CATALOGUE}
    assert {name for name, key in keys.items() if key == "broadcast"} == {*topics.BROADCAST, topics.CLOSES}
    assert all(keys[name] == "customer_id" for name in topics.KEYED)
    compacted = {topic.name for topic in CATALOGUE if topic.compact and "standing agent" in topic.written_by}
    assert compacted == {*topics.STATES, topics.OWNERS}


def test_selections_are_of_known_topics():
    """What explains, shows or projects names topics that exist."""
    for chosen in (log.OUTPUTS, watch.TOPICS, PROJECTIONS, NEEDED, CLOSE_OUTPUTS):
        assert set(chosen) <= {*topics.STATES, *topics.EVENTS, *topics.OTHERS}


def test_pages_list_every_metric():
    """docs/aum.md defines each family, docs/policies.md lists what packs may name."""
    spellings = {}
    for family in FAMILIES:
        known = [f"`{m.name}`" for m in METRICS if m.family is family]
        short = [f"`[{number}]`" for number in family.numbers]
        several = (
            f"`{family.name}[k]`, k = 0 to {family.numbers[-1]}"
            if family.is_list
            else ", ".join([known[0], *short[1:]])
        )
        spellings[several] = f"{known[0]} to {known[-1]}" if family.is_list else several
    defined = re.findall(r"^\| (`[^|]*) \|", (DOCS / "aum.md").read_text(), re.MULTILINE)
    assert [name for name in defined if not name.startswith("`months_mean")] == list(spellings)
    [listed] = re.findall(r"^Over a scope: (.*?)\. Days", (DOCS / "policies.md").read_text(), re.MULTILINE | re.DOTALL)
    for spelling in spellings.values():
        assert f"{spelling}," in f"{' '.join(listed.split())},", spelling


def test_the_columns_of_files_are_documented() -> None:
    """docs/cli.md lists the columns of `standings`, a family in short: `month_avg_0 … month_avg_12`."""
    page = (DOCS / "cli.md").read_text()
    (listed,) = re.findall(r"those of `replay`: `([^`]+)`", page)
    ends = [(f.name, f.numbers) for f in FAMILIES if f.in_files]
    short = [
        name if not numbers else f"{name}_{numbers[0]} … {name}_{numbers[-1]}" if numbers == tuple(range(len(numbers)))
        else ", ".join(f"{name}_{number}" for number in numbers)
        for name, numbers in ends
    ]  # fmt: skip
    assert listed == ", ".join(["customer_id", *short, "tier"])
