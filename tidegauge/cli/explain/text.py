"""What `tidegauge explain` prints, in either language (words in explain_words.py)."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from fractions import Fraction
from typing import TYPE_CHECKING, Any, Final

from agents.standing.publish.decisions import WITH_VALUES
from connectors.formats.events import Record
from policies.diff import SIGNS, bound_text
from policies.lifecycle.leaving import NOTHING_AVERTS
from policies.model import metrics
from policies.model.figures import metric_kind
from policies.texts import DECISION_REASONS, REFUSALS, figure, plain_number
from streams.alerts.acts import ESCALATE, HAND_OVER, STEPS_OF_ACTS, WAKE
from streams.alerts.kinds import KIND_TABLE
from streams.calendar import shown_day
from streams.money import EXPONENTS, exponent, format_minor
from streams.vocabulary.terms import OUTFLOW, STATE_KINDS, UPGRADE_NEAR
from tidegauge.cli.explain.words import DECISION_KINDS, EXPLANATION_WORDS
from tidegauge.explanation.judgment import exact_value, is_unknown

if TYPE_CHECKING:
    from policies.model.terms import Limit
    from tidegauge.explanation import Explained, Verdict
    from tidegauge.explanation.judgment import Node, TierNode

SHOWN = ("aum", "month_avg_0", "quarter_avg", "year_avg", "trailing_avg_30")
LOOKED_AT = (
    "layer",
    *WITH_VALUES,
)  # kinds of decisions whose evidence has the values that were looked at, in minor units
BESIDE = ("measured", "closes", "averted_until", "averted_by")  # beside these values
DAYS = frozenset({"day", "first"})  # what of a problem is a day


@dataclass(frozen=True, slots=True)
class _Phrasing:
    """Says things in a language, amounts in a currency."""

    lang: str
    currency: str

    def say(self, code: str, **details: Any) -> str:
        """A sentence."""
        return EXPLANATION_WORDS[self.lang][code].format(**details)

    def of(self, zh: str, en: str) -> str:
        """The text of the language."""
        return zh if self.lang == "zh-CN" else en

    def money(self, minor: int | None) -> str:
        """An amount with its currency."""
        if minor is None:
            return self.say("no_rate")
        if self.currency not in EXPONENTS:  # a record may name any
            return f"{minor} {self.currency}"
        return f"{format_minor(minor, exponent(self.currency))} {self.currency}"

    def reason(self, code: str) -> str:
        """A reason or a refusal in words, with its code."""
        text = {**DECISION_REASONS, **REFUSALS}.get(code)
        return code if text is None else f"{code} ({self.of(text.zh, text.en)})"

    def kind(self, code: str) -> str:
        """A kind of decision."""
        en, zh = DECISION_KINDS.get(code, (code, code))
        return self.of(zh, en)


def lines(found: Explained, lang: str = "en") -> Iterator[str]:
    """Everything about a customer, line by line."""
    say = _Phrasing(lang, found.currency)
    yield say.say("customer", customer=found.customer_id)
    yield from _standing(found, say)
    if found.gaps:
        yield say.say("gaps", topics=", ".join(found.gaps))
    for topic, count in sorted(found.unreadable.items()):
        yield say.say("unreadable", topic=topic, n=count)
    changes = found.of("tier-changes")
    yield ""
    yield say.say("changes", n=len(changes)) if changes else say.say("no_changes")
    for verdict in changes:
        yield from _change(verdict, say)
    others: dict[str, tuple[str, Callable[[Record, _Phrasing], str]]] = {
        "decisions": ("decisions", _decision),
        "restatements": ("restatements", _restatement),
        "outlooks": ("outlooks", _outlook),
        "rm-alerts": ("alerts", _alert),
    }
    for topic, (word, line) in others.items():
        if verdicts := found.of(topic):
            yield ""
            yield say.say(word, n=len(verdicts))
            for verdict in verdicts:
                yield line(verdict.told.record, say)
                yield from _verdict(verdict, say)
    yield ""
    if found.unpublished:
        yield say.say("unpublished", ids=", ".join(found.unpublished))
    yield say.say("nothing" if not found.verdicts else "all_hold" if found.holds else "not_all_hold")


def _standing(found: Explained, say: _Phrasing) -> Iterator[str]:
    if found.standing is None:
        yield say.say("no_standing", why=found.standing_problem or say.say("no_event"))
        return
    layer = found.standing.get("layer")
    line = say.say("standing", day=shown_day(found.standing["as_of"]), tier=found.standing["tier"])
    yield line + (say.say("layer", layer=layer) if layer else "")
    for name in SHOWN:
        yield f"    {name:16} {say.money(found.standing[name])}"


def _change(verdict: Verdict, say: _Phrasing) -> Iterator[str]:
    change, judged = verdict.told.record, verdict.judged
    head = {
        "before": change["from_tier"],
        "after": change["to_tier"],
        "direction": say.say(_known(change["direction"])),
    }
    yield say.say("change", day=shown_day(change["effective_date"]), **head)
    reason = say.reason(change["reason"])
    if change["business_day"] is not None:
        yield say.say("by_close", day=shown_day(change["business_day"]), reason=reason)
    else:
        yield say.say("by_event", event=change["caused_by"], reason=reason)
    for metric in change["metrics"]:
        yield from _metric(metric, verdict, say)
    pack = {"pack": change["pack_id"], "version": change["pack_version"]}
    missing = say.say("no_text") if verdict.pack is None else ""
    if judged is not None and judged.tree:
        yield say.say("criteria", **pack)
        if judged.veto is not None:
            yield say.say("veto", met=_met(judged.veto.met, say))
            yield from _node(judged.veto, say, 8)
        for tier in judged.tree:
            yield from _tier(tier, say)
        yield say.say("standard", tier=judged.measured)
    else:
        yield say.say("pack", **pack) + missing
    if change["cut"]:
        yield say.say("cut", places=", ".join(say.say("place", **entry) for entry in change["cut"]))
    if change["reason"] == "pending":
        yield say.say("told_by", id=change["caused_by"])
    if change["corrects"]:
        yield say.say("corrects", id=change["corrects"])
    yield from _verdict(verdict, say, "    ")


_SCALES: Final = range(39)  # decimal places of a number; a record of another hand may say anything


def _known(direction: str) -> str:
    return direction if direction in ("up", "down") else "up"


def _metric(metric: Record, verdict: Verdict, say: _Phrasing) -> Iterator[str]:
    name = metric["name"] + (f"({metric['scope']})" if metric["scope"] else "")
    pack = verdict.pack
    kind = metrics.kind(metric["name"]) if pack is None else metric_kind(pack, metric["name"])
    value = say.money(metric["value_minor"]) if kind in ("rolling", "money") else str(metric["value_minor"])
    if metric.get("scale") in _SCALES:
        value = plain_number(Fraction(metric["value_minor"], 10 ** metric["scale"]))
    if is_unknown(metric) or metric.get("text") is not None:
        value = metric.get("text") or say.say("unknown_value")
    days = metric["period_to"] - metric["period_from"] + 1
    first, last = shown_day(metric["period_from"]), shown_day(metric["period_to"])
    code = "metric" if days > 1 else "metric_of_day"
    yield say.say(code, name=name, first=first, last=last, days=days, value=value)
    value_told = exact_value(metric)
    if value_told is not None and value_told.denominator != 1:
        yield say.say("exactly", value=value_told)


def _tier(tier: TierNode, say: _Phrasing) -> Iterator[str]:
    zh, en = tier.name
    yield say.say("tier", tier=f"{tier.tier} {say.of(zh, en)}", met=_met(tier.node.met, say))
    yield from _node(tier.node, say, 8)


def _node(node: Node, say: _Phrasing, indent: int) -> Iterator[str]:
    pad, met = " " * indent, _met(node.met, say)
    if node.limit is None:
        yield pad + say.say(node.kind, met=met, needed=node.needed)
        for part in node.parts:
            yield from _node(part, say, indent + 2)
        return
    limit = node.limit
    scope = f"({limit.scope})" if limit.scope else ""
    rate = "" if node.rate is None else say.say("at_rate", rate=plain_number(node.rate), currency=limit.currency)
    yield f"{pad}{limit.metric}{scope} {_number(node, limit, say)} {SIGNS[limit.operator]} {bound_text(limit)}{rate}: {met}"


def _number(node: Node, limit: Limit, say: _Phrasing) -> str:
    """An exact value as a decimal, `≈` before it where it is not one; always on its side of the limit."""
    if node.value is None:
        return say.say("unknown_value")
    if isinstance(node.value, str):
        return node.value
    bound = limit.value if node.rate is None or limit.value is None else Fraction(limit.value) * node.rate
    text, exact = figure(node.value, bound)
    return text if exact else f"≈{text}"


def _met(met: bool, say: _Phrasing) -> str:
    return say.say("met" if met else "not_met")


def _verdict(verdict: Verdict, say: _Phrasing, at: str = "    ") -> Iterator[str]:
    yield say.say(verdict.state, at=at)
    for problem in verdict.problems:
        details = {name: shown_day(value) if name in DAYS else value for name, value in problem.details.items()}
        yield f"{at}  {say.say(f'p.{problem.code}', **details)}"


def _decision(record: Record, say: _Phrasing) -> str:
    evidence = record["evidence"]
    values = [f"{name} = {value}" for name, value in sorted(evidence.items()) if name not in BESIDE]
    looked = say.say("looked", values=", ".join(values)) if record["kind"] in LOOKED_AT and values else ""
    if "averted_until" in evidence:
        until, by = evidence["averted_until"], evidence["averted_by"]
        looked += say.say("not_averted") if until == NOTHING_AVERTS else say.say("averted", until=until, by=by)
    about = [record["evidence"][name] for name in ("action", "case") if name in record["evidence"]]
    return _said(record, say) + looked + (say.say("of_case", action=about[0], case=about[1]) if len(about) > 1 else "")


def _said(record: Record, say: _Phrasing) -> str:
    return say.say(
        "decision", day=shown_day(record["day"]), kind=say.kind(record["kind"]), before=record["before"] or "-",
        after=record["after"] or "-", reason=say.reason(record["reason"]), effective=shown_day(record["effective_date"]),
        pack=record["pack_id"], version=record["pack_version"],
    )  # fmt: skip


def _outlook(record: Record, say: _Phrasing) -> str:
    day, close = shown_day(record["as_of"]), shown_day(record["next_close"])
    return say.say("outlook", day=day, tier=record["tier"], close=close, projected=record["projected_tier"] or "?")


def _foreseen(alert: Record, say: _Phrasing) -> str:
    """An alert that the outlook raised."""
    head = {name: alert[name] for name in ("rule", "status", "tier")} | {"event": alert["caused_by"]}
    day, lost, need = shown_day(alert["raised_day"]), alert["lost_close"], alert["to_hold_minor"]
    if alert["kind"] == UPGRADE_NEAR and alert["next_tier"] is not None:
        amount = say.say("no_amount") if need is None else say.money(need)
        close = shown_day(alert["next_close"])
        return say.say("alert_near", day=day, amount=amount, close=close, next=alert["next_tier"], **head)
    if lost is None:
        return say.say("alert_safe", day=day, **head)
    return say.say("alert_risk", day=day, lost=shown_day(lost), **head)


def _alert(alert: Record, say: _Phrasing) -> str:
    if alert["kind"] in STATE_KINDS:
        return _lasting(alert, say)
    if alert["kind"] != OUTFLOW:
        return _foreseen(alert, say)
    basis_points = alert["share_bp"] or 0
    share = f"{basis_points // 100}.{basis_points % 100:02d}"
    outflow, reference = (say.money(alert[name] or 0) for name in ("outflow_minor", "reference_aum_minor"))
    if alert.get("acted_by") is not None or alert["status"] == STEPS_OF_ACTS[WAKE]:
        return _act(alert, say)
    if alert.get("start_day") is not None:
        return say.say(
            "alert_case", day=shown_day(alert["raised_day"]), rule=alert["rule"], status=alert["status"], outflow=outflow,
            gross=say.money(alert["gross_minor"] or 0), start=shown_day(alert["start_day"]), share=share,
            reference=reference, event=alert["caused_by"],
            provisional=say.say("provisional") if alert["provisional"] else "",
        )  # fmt: skip
    return say.say(
        "alert" if alert["window_days"] else "alert_single", day=shown_day(alert["raised_day"]), rule=alert["rule"],
        status=alert["status"], outflow=outflow, days=alert["window_days"], share=share, reference=reference,
        event=alert["caused_by"],
    )  # fmt: skip


def _lasting(alert: Record, say: _Phrasing) -> str:
    """An alert of a state that closes look at."""
    due, amount = alert["due_day"], alert["amount_minor"]
    more = "" if due is None else say.say("due", day=shown_day(due))
    more += "" if amount is None else say.say("amount", amount=say.money(amount))
    row = KIND_TABLE[alert["kind"]]
    return say.say(
        "alert_state", day=shown_day(alert["raised_day"]), kind=say.of(row.zh, row.en), rule=alert["rule"],
        status=alert["status"], more=more, event=alert["caused_by"],
    )  # fmt: skip


def _act(alert: Record, say: _Phrasing) -> str:
    """What somebody did about a case."""
    given = {
        "outcome": alert["outcome"], "level": alert["level"] if alert["status"] == STEPS_OF_ACTS[ESCALATE] else None,
        "to": alert["rm_id"] if alert["status"] == STEPS_OF_ACTS[HAND_OVER] else None,
        "until": None if alert["snoozed_until"] is None else shown_day(alert["snoozed_until"]), "note": alert["note"],
    }  # fmt: skip
    more = "".join(say.say(f"act_{name}", value=value) for name, value in given.items() if value is not None)
    return say.say(
        "alert_act", day=shown_day(alert["raised_day"]), rule=alert["rule"], status=alert["status"],
        by=alert["acted_by"] or "-", more=more, event=alert["caused_by"],
    )  # fmt: skip


def _restatement(record: Record, say: _Phrasing) -> str:
    teller = _Phrasing(say.lang, record["currency"] or say.currency)
    before, now = (
        "-" if record[name] is None else teller.money(record[name]) for name in ("previous_minor", "current_minor")
    )
    what = say.say("account", account=record["account_id"]) if record["account_id"] else record["metric"] or ""
    kind = record["kind"] if say.lang == "en" else say.kind(record["kind"])
    day, found = shown_day(record["restated_day"]), shown_day(record["business_day"])
    if record["previous_minor"] is None and record["metric"] is None:
        amount = teller.money(record["amount_minor"])
        return say.say("reversal", day=day, kind=kind, what=what, amount=amount, found=found)
    text = say.say("restatement", day=day, kind=kind, what=what, before=before, after=now, found=found)
    if record["previous_tier"] != record["current_tier"]:
        text += say.say("would", before=record["previous_tier"], after=record["current_tier"])
    return text
