"""Packs drawn from the grammar objects that read and publish the language, so that whatever the grammar gets is drawn too.

What only the writer of a pack can know is drawn with care (names that refer to each other, tiers that rise, a queue for every
tier); all else is any value of its kind. `policy check` may still refuse a pack: then it has to say where and why.
"""

from __future__ import annotations

import json
from typing import Any

from hypothesis import strategies as st

from policies.language import criteria, document, escalation, figures, grammar, sections, timing
from policies.language.consistency import GRACEFUL, OF_LEAVING
from policies.language.grammar import Kind
from policies.model import metrics
from policies.model.pack import CHANGE_CLOSES
from streams.vocabulary.metrics import MEANS
from streams.vocabulary.terms import ASSET_CLASSES, CARD_EXPIRY, PRODUCT_MATURING, REVIEW_DUE, UPGRADE_NEAR

AMOUNTS = ("0", "0.01", "100.00", "250.00", "1000.00", "50000.00")
NAMES = ("low", "mid", "high", "top", "peak")
ROLES = ("rm", "manager", "head", "teller")
SELDOM = ("supplement", "branches", "kind")  # of the head: drawn by the caller
BESIDE = ("status", "review", "veto", "pinning", "notables", "overrides", "responsibility")
ROLLING = (*metrics.ROLLING, *(f"months_mean[{n}]" for n in range(MEANS[0], MEANS[1] + 1)))
STARTED = (
    "aum",
    "month_avg[0]",
    "quarter_avg",
    "trailing_avg[30]",
    "month_to_date_avg",
    "week_avg[1]",
    "months_mean[3]",
)
FIGURES, PLANS = ("facts", "flows", "measures"), ("basic", "premium")
COUNTS = tuple(f"txn_count[{n}]" for n in (1, 3, 12))


class Writer:
    """Draws one pack; `known` has the names that later parts may refer to, as the reader keeps them."""

    def __init__(self, draw: st.DrawFn, kind: str) -> None:
        self.draw, self.kind, self.known = draw, kind, dict[str, tuple[str, ...]]()
        self.monthly = list[str]()  # facts of the bank's own that may be asked for by month
        self.plain = False  # nothing stands beside the standard of the class at hand: its tree alone gives the tier
        self.rising = False  # the tiers at hand are minimums of one metric, and nothing stands beside them

    def one(self, *words: Any) -> Any:
        """One of these."""
        return self.draw(st.sampled_from(words))

    def often(self, of: int = 2) -> bool:
        """Yes, one time in so many."""
        return self.draw(st.integers(1, of)) == 1

    def pack(self) -> str:
        """A whole pack as JSON, which is YAML."""
        head: dict[str, Any] = {
            "pack": "drawn", "version": 1, "effective_from": "2018-01-01", "name": {"zh": "抽", "en": "Drawn"},
            "kind": self.kind,
        }  # fmt: skip
        head["scopes"] = {"all": [*ASSET_CLASSES[:-1]], "few": list(self.some(ASSET_CLASSES[:4]))}
        self.known["scopes"] = ("all", "few")
        head |= self.figures()
        for name, kind in document.HEAD_OPTIONAL.items():
            if name not in head and name not in (*SELDOM, *FIGURES) and self.often(6):
                head[name] = self.of(kind)
        if "sources" in head:
            for source in head["sources"].values():
                source["supplies"] = [self.one(*ASSET_CLASSES, *metrics.facts())]
        classes = (
            ("personal",)
            if self.kind == "layers"
            else self.one(("personal",), ("personal",), ("personal", "corporate"))
        )
        head["classes"] = {name: self.customers() for name in classes}
        return json.dumps(head, ensure_ascii=False, indent=1)

    def figures(self) -> dict[str, Any]:
        """Facts of the bank's own, flows, and measures of what there is."""
        found: dict[str, Any] = {}
        if self.often():
            lapses = {"valid_days": self.one(5, 60)} if self.often(3) else {}
            found["facts"] = {
                "loyalty": {"kind": self.one("money", "count", "flag"), "absent": self.one(0, 1), **lapses}
            }
            if self.often():
                found["facts"]["plan"] = {"kind": "text", "values": [*PLANS]} | (
                    {"absent": "basic"} if self.often() else {}
                )
        self.known["facts"] = tuple(found.get("facts", ()))
        self.monthly = [name for name in self.known["facts"] if found["facts"][name]["kind"] in ("money", "count")]
        self.known["counts"] = tuple(name for name in self.known["facts"] if found["facts"][name]["kind"] == "count")
        if self.often():
            kinds = {**figures.OWN_FLOW.required, **figures.OWN_FLOW.optional}
            flow = {"direction": self.one("in", "out")}
            flow |= {name: self.of(kinds[name]) for name in ("value", "natures") if self.often()}
            found["flows"] = {"moves": flow | ({"channels": ["mobile", "counter"]} if self.often(3) else {})}
        self.known["flows"], self.known["measures"] = tuple(found.get("flows", ())), ()
        for name in ("points", "score")[: self.draw(st.integers(0, 2))]:
            terms = [
                self.metric() | {"weight": self.one("1", "0.5", "-0.25", "0.001")} for _ in range(self.one(1, 2, 3))
            ]
            found.setdefault("measures", {})[name] = {"sum": terms}
            self.known["measures"] = (*self.known["measures"], name)
        return found

    def metric(self) -> dict[str, Any]:
        """What is one number, as parts of measures name it."""
        kind = self.one("rolling", "fact", "by month", "flow", "measure")
        if kind == "by month" and self.monthly:
            year = {"accumulate": "year"}
            return {"metric": self.one(*self.monthly), **(year if self.often() else self.months(12))}
        if kind == "flow" and self.known["flows"]:
            return {"metric": self.one(*self.known["flows"]), **self.months(6)}
        if kind == "measure" and self.known["measures"]:
            return {"metric": self.one(*self.known["measures"])}
        if kind == "fact":
            return {"metric": self.one(*metrics.facts(), *self.monthly)}
        start = {"balance_at": "day_start"} if self.often(3) else {}
        return {"metric": self.one(*(STARTED if start else ROLLING)), "scope": self.one("all", "few"), **start}

    def months(self, most: int, *modes: str) -> dict[str, Any]:
        """The last months together."""
        return {"months": self.draw(st.integers(1, most)), "mode": self.one("mean", "sum", *modes)}

    def customers(self) -> dict[str, Any]:
        """The rules for one class of customers."""
        self.plain = self.often()
        body: dict[str, Any] = {"evaluation": self.evaluation(), "tiers": self.tiers()}
        ids = tuple(tier["id"] for tier in body["tiers"])
        self.known["tiers"], self.known["cards"] = ids, tuple(t["card"] for t in body["tiers"] if "card" in t)
        if self.kind == "tiers":
            body["queue"] = self.queue()
        self.rising = self.rising and self.plain
        beside = BESIDE if self.plain else ("responsibility",)
        for name, kind in document.CLASS_OPTIONAL.items():
            if name not in ("queue", *beside) and self.often(3 if self.kind == "tiers" else 12):
                body[name] = self.of(kind)
        if self.often(6):
            body["responsibility"] = [{"tiers": list(ids), "accountable": "head", "may_act": list(ROLES)}]
        if not self.often(8):
            watchful(timely(body))
            body["alerts"] = [rule for rule in body.get("alerts", ()) if self.comes_about(rule, body)]
        if not body.get("alerts"):
            body.pop("alerts", None)
        return body

    def comes_about(self, rule: dict[str, Any], body: dict[str, Any]) -> bool:
        """Whether there is anything that a rule of the closes could be about: a card that ends, a review, a fact."""
        kind, cards, review = rule.get("kind"), body.get("cards", {}), body.get("review", {})
        if kind is None:
            return True
        if kind == CARD_EXPIRY and not ("valid_months" in cards and cards.get("reminder_days", True)):
            return False
        if kind == REVIEW_DUE and not (review and review.get("reminder_days", True)):
            return False
        if kind == PRODUCT_MATURING and rule["fact"] not in self.known["counts"]:
            return False
        return self.kind == "tiers"

    def evaluation(self) -> dict[str, Any]:
        """Any timing; a plain one is at days or months, without grace."""
        layers = self.kind == "layers" and not self.often(8)
        closes = ("day", "month") if layers else ("continuous", "day", "month")
        if self.plain:
            return {"close": self.one(*closes)}
        given: dict[str, Any] = self.of(timing.EVALUATION)
        if layers and given["close"] == "continuous":
            given["close"] = "day"
        if layers:
            for name in ("restatement", *OF_LEAVING):
                given.pop(name, None)
        return given

    def tiers(self) -> list[dict[str, Any]]:
        """Two to four tiers: half of the time rising minimums of one metric, else any trees."""
        count, self.rising = self.draw(st.integers(2, 4)), self.often()
        tiers, leaf = list[dict[str, Any]](), {"metric": self.one(*ROLLING), "scope": self.one("all", "few")}
        for place, name in enumerate(NAMES[:count]):
            tier: dict[str, Any] = {"id": name, "name": {"zh": name, "en": name}}
            if self.often():
                tier["card"] = name
            if place and not self.plain and self.kind == "tiers" and self.often(6):
                tier["permanent"] = True
            if place and self.rising:
                tier["when"] = {**leaf, "minimum": AMOUNTS[place + 1]}
            elif place:
                tier["when"] = self.criterion(2)
                if self.often(8):
                    tier["same_rank_as"] = NAMES[place - 1]
                if self.often(8):
                    tier["bands"] = [{"id": "band", "name": {"zh": "段", "en": "Band"}, "when": self.criterion(1)}]
            tiers.append(tier)
        return tiers

    def criterion(self, depth: int = 1) -> dict[str, Any]:
        """A tree, or a limit."""
        if depth and self.often():
            parts = [self.criterion(depth - 1) for _ in range(self.draw(st.integers(1, 3)))]
            word = self.one("any", "all", "not", "at_least")
            if word == "not":
                return {"not": parts[0]}
            if word == "at_least":
                return {"at_least": self.draw(st.integers(1, len(parts))), "of": parts}
            return {word: parts} if self.often() else {"combine": word, "of": parts}
        kind = self.one("rolling", "rolling", "months", "count", "fact", "figure", "figure")
        sign = self.one(*criteria.OPERATORS)
        if kind == "figure":
            return self.of_figure(sign)
        if kind == "rolling":
            aliases = [name for name, of in metrics.ALIASES.items() if of in ROLLING]
            return {"metric": self.one(*ROLLING, *aliases), "scope": self.one("all", "few"), sign: self.one(*AMOUNTS)}
        if kind == "months":
            more = {"months": self.draw(st.integers(*MEANS)), "mode": self.one("each", "mean")}
            return {"metric": metrics.MONTH_AVGS, "scope": "all", **more, sign: self.one(*AMOUNTS)}
        if kind == "count":
            return {"metric": self.one(*COUNTS, "tx_3m"), sign: str(self.draw(st.integers(0, 5)))}
        name = self.one(*metrics.facts(), *self.known["facts"])
        if name == "plan":
            return {"metric": name} | self.one({"is": "basic"}, {"one_of": ["basic", "premium"]})
        if metrics.kind(name) == "flag":
            return {"metric": name, "is": self.one(True, False)}
        return {"metric": name, sign: str(self.draw(st.integers(0, 300)))}

    def of_figure(self, sign: str) -> dict[str, Any]:
        """A limit on a measure, a flow, a fact by month, the day's start, or in a currency of its own."""
        named = self.metric()
        rolling = "scope" in named
        if named["metric"] in (*self.monthly, *self.known["flows"]) and "mode" in named and self.often():
            named["mode"] = "each"
        if metrics.kind(named["metric"]) == "flag":
            return {"metric": named["metric"], "is": self.one(True, False)}
        money = {"currency": self.one("USD", "CNY", "EUR")} if rolling and self.often(3) else {}
        whole = rolling or named["metric"] in self.known["measures"]
        return named | money | {sign: self.one(*AMOUNTS) if whole else str(self.draw(st.integers(0, 300)))}

    def queue(self) -> dict[str, Any]:
        """Every tier in one class, the higher ones called first."""
        ids = self.known["tiers"]
        at = self.draw(st.integers(1, len(ids) - 1))
        name = {"zh": "类", "en": "Class"}
        classes = [
            {"id": "first", "name": name, "tiers": list(ids[at:]), "head_start_minutes": self.one(5, 20)},
            {"id": "others", "name": name, "tiers": list(ids[:at]), "head_start_minutes": 0},
        ]
        if self.known["cards"] and self.often():
            classes[0]["cards"] = [self.known["cards"][-1]]
        kinds = {**sections.QUEUE.required, **sections.QUEUE.optional}
        more = {name: self.of(kinds[name]) for name in ("order", "vip_area_from", "overtakers_max") if self.often()}
        return {"basis": self.of(kinds["basis"]), "classes": classes, **more}

    def alert(self) -> dict[str, Any]:
        """A rule of any kind; on the outlook where there is one."""
        foreseen, lasting = sections.FORESEEN.values() if self.rising else (), sections.LASTING.values()
        rule: dict[str, Any] = self.of(self.one(sections.ALERT, *foreseen, *lasting))
        if rule.get("kind") == PRODUCT_MATURING and self.known["counts"]:
            rule["fact"] = self.one(*self.known["counts"])
        return rule

    def some(self, words: tuple[str, ...]) -> list[str]:
        """One to three different ones."""
        return self.draw(st.lists(st.sampled_from(words), min_size=1, max_size=3, unique=True))

    def of(self, kind: Kind) -> Any:  # a case for each kind of the grammar
        """Any value of a kind."""
        match kind:
            case grammar.Text():
                return "some text"
            case grammar.Identifier(of=""):
                return self.one(*ROLES)
            case grammar.Identifier():
                return self.one(*(self.known.get(kind.of) or NAMES))
            case grammar.Amount():
                return self.one(*AMOUNTS)
            case grammar.Whole():
                return (
                    self.one(*kind.only)
                    if kind.only
                    else self.draw(st.integers(kind.low, min(kind.high, kind.low + 40)))
                )
            case grammar.Flag():
                return self.one(True, False)
            case grammar.Choice():
                return self.one(*kind.words)
            case grammar.Day():
                return self.one("2018-01-01", "2024-02-15", "2030-01-01")
            case grammar.Many():
                return self.many(kind)
            case grammar.Table():
                return {name: self.of(kind.kind) for name in self.some(self.known.get(kind.of) or ROLES)}
            case grammar.ByTier():
                tiers = self.some(self.known["tiers"])
                return self.of(kind.kind) if self.often() else {tier: self.of(kind.kind) for tier in tiers}
            case grammar.RecordKind():
                given = {name: self.of(part) for name, part in kind.required.items()}
                given |= {name: self.of(part) for name, part in kind.optional.items() if self.often()}
                return given if self.often(8) else mended(kind.title, given)
            case criteria.CriterionKind():
                return self.criterion()
            case timing.EachWay():
                return (
                    self.of(kind.kind)
                    if self.often()
                    else {way: self.of(kind.kind) for way in self.some(timing.EITHER_WAY)}
                )
            case timing.VetoKind():
                found = self.criterion()
                return (
                    found
                    if self.often()
                    else {"when": found} | ({"at": self.of(timing.VETO_AT)} if self.often() else {})
                )
            case criteria.TermKind():
                return self.metric() | {"weight": "1"}
            case escalation.ClockTime():
                return self.one("08:30", "09:00", "17:00", "24:00")
            case figures.AbsentKind():
                return self.one(0, 1)
            case sections.AlertKind():
                return self.alert()
        raise TypeError(f"nothing is drawn for {kind!r}: a kind that the grammar has got since")

    def many(self, kind: grammar.Many) -> list[Any]:
        """One to three members that differ in their key."""
        found = [self.of(kind.kind) for _ in range(self.draw(st.integers(1, min(3, kind.most))))]
        if kind.key:
            return list({member[kind.key]: member for member in found}.values())
        return [member for place, member in enumerate(found) if member not in found[:place]]


def mended(title: str, given: dict[str, Any]) -> dict[str, Any]:
    """What a careful writer would not have written, so that most packs are good ones."""
    if title == "exceptions":
        given |= {"request_by": "rm", "approve_by": "head"}
    if title == "issue":
        given["by"] = "manager"
    if title == "alert":
        given.setdefault("absolute", "100.00")
        if given["window_days"] == 0:
            given.pop("drip", None)
    if title == UPGRADE_NEAR:
        given.setdefault("at_most", "100.00")
    return given


def timely(body: dict[str, Any]) -> dict[str, Any]:
    """A class whose changes come about when it says so."""
    when, by_card = body["evaluation"], body.get("status", {}).get("basis") == "card"
    close, order = when["close"], CHANGE_CLOSES.index
    for name in ("upgrades", "downgrades"):
        asked = when.get(name, close)
        unmet = {"application": False, "review": "review" not in body}.get(asked)
        if unmet if unmet is not None else asked in CHANGE_CLOSES and order(asked) < order(close):
            del when[name]
    if when.get("downgrades", close) not in GRACEFUL:
        when.pop("grace_months", None)
    if by_card or when.get("downgrades", close) in ("continuous", "application"):
        for name in OF_LEAVING:
            when.pop(name, None)
    if close == "continuous":
        when.pop("effective_business_days", None)
    if by_card:
        for tier in body["tiers"]:
            tier.pop("permanent", None)
        if "when" in body.get("veto", {}):
            body["veto"].pop("at", None)
    if "review" in body:
        body["review"]["months"] = 12
    return body


def watchful(body: dict[str, Any]) -> dict[str, Any]:
    """A class whose outflow rules go together, with cases or without."""
    rules = [rule for rule in body.get("alerts", ()) if "window_days" in rule]
    if not rules:
        body.pop("cases", None)
    for rule in rules:
        if "cases" not in body:
            rule.pop("measure", None)
            rule.pop("to_one_bank", None)
            rule["window_days"] = min((0, 1, 7, 30), key=lambda days, of=rule: abs(days - of["window_days"]))
        if rule.get("to_one_bank"):
            rule.pop("measure", None)
        if rule.get("to_one_bank") or "drip" in rule:
            rule["window_days"] = min(max(rule["window_days"], 1), 30)
    if body["evaluation"]["close"] == "year" and "review" in body:
        body["review"]["months"] = 12
    return body


@st.composite
def packs(draw: st.DrawFn, kind: str = "tiers") -> str:
    """The text of a pack."""
    return Writer(draw, kind).pack()


@st.composite
def branch_packs(draw: st.DrawFn) -> tuple[str, str]:
    """A pack that lets branches set some tiers, and the supplement of branch B1, which sets one of them."""
    writer = Writer(draw, "tiers")
    base: dict[str, Any] = json.loads(writer.pack())
    tiers = base["classes"]["personal"]["tiers"][1:]
    set_here = writer.one(*tiers)
    leave: dict[str, Any] = {"file_with": "head"} | ({"approval_by": "manager"} if writer.often() else {})
    base["branches"] = leave | {
        "may_set": sorted({f"classes.personal.tiers.{set_here['id']}", *writer.some(("owner", "cards"))})
    }
    added = json.loads(json.dumps(base)) | {"pack": "drawn-b1", "effective_from": "2024-02-11"}
    added["supplement"] = {"base": "drawn", "branch": "B1", "filed_on": "2024-01-01"}
    added["supplement"] |= {"approved_by": "somebody"} if "approval_by" in leave or writer.often() else {}
    place = next(i for i, tier in enumerate(added["classes"]["personal"]["tiers"]) if tier["id"] == set_here["id"])
    own = added["classes"]["personal"]["tiers"][place]
    rising = isinstance(own["when"].get("minimum"), str)
    own["when"] = (
        own["when"] | {"minimum": AMOUNTS[place + 1].replace("0.00", "1.00")} if rising else writer.criterion(2)
    )
    return json.dumps(base), json.dumps(added)
