"""The words of `tidegauge explain`."""

from __future__ import annotations

from collections.abc import Iterator
from fractions import Fraction
from typing import TYPE_CHECKING, Any, Final

from streams.calendar import date_of
from streams.money import exponent, format_minor

if TYPE_CHECKING:
    from tidegauge.explaining import Decision, Explained

Record = dict[str, Any]
SHOWN: Final = ("aum", "month_avg_0", "quarter_avg", "year_avg", "trailing_avg_30")


def lines(found: Explained) -> Iterator[str]:
    """Everything about a customer, line by line."""
    yield f"Customer {found.customer_id}"
    yield from _standing(found)
    yield ""
    yield f"{_count(len(found.decisions), 'decision')} about the official tier"
    for decision in found.decisions:
        yield from _decision(decision, found.currency)
    if found.alerts:
        yield ""
        yield f"{_count(len(found.alerts), 'alert record')}"
        for alert in found.alerts:
            yield _alert(alert, found.currency)
    if found.restatements:
        yield ""
        yield f"{_count(len(found.restatements), 'restatement')}"
        for restatement in found.restatements:
            yield _restatement(restatement)
    yield ""
    if found.decisions:
        yield "Every decision holds." if found.holds else "NOT EVERY DECISION HOLDS."
    else:
        yield "The tier has never changed, so there is no decision to make again."


def _count(n: int, what: str) -> str:
    return f"{n} {what}{'' if n == 1 else 's'}"


def money(minor: int | None, currency: str) -> str:
    """An amount with its currency."""
    return "unknown (no exchange rate)" if minor is None else f"{format_minor(minor, exponent(currency))} {currency}"


def _standing(found: Explained) -> Iterator[str]:
    if found.standing is None:
        yield f"  no standing: {found.standing_problem}"
        return
    yield f"  as of {date_of(found.standing['as_of'])} (the last close): tier {found.standing['tier']}"
    for name in SHOWN:
        yield f"    {name:16} {money(found.standing[name], found.currency)}"
    value = found.standing["quarter_avg"]
    for threshold in found.thresholds:
        if value is not None and threshold["metric"] == "quarter_avg":
            gap = threshold["minimum_minor"] - value
            word = "reached" if gap <= 0 else f"{money(gap, found.currency)} short"
            yield f"    {threshold['tier']:10} from {money(threshold['minimum_minor'], found.currency)}: {word}"


def _decision(decision: Decision, currency: str) -> Iterator[str]:
    change = decision.change
    yield f"  {date_of(change['effective_date'])}: {change['from_tier']} -> {change['to_tier']} ({change['direction']})"
    if change["business_day"] is not None:
        yield f"    decided at the close of {date_of(change['business_day'])}, reason: {change['reason']}"
    else:
        yield f"    decided by event {change['caused_by']}, reason: {change['reason']}"
    for metric in change["metrics"]:
        days = metric["period_to"] - metric["period_from"] + 1
        yield (
            f"    {metric['name']} over scope {metric['scope']}, {date_of(metric['period_from'])} to "
            f"{date_of(metric['period_to'])} ({days} days): {money(metric['value_minor'], currency)}"
        )
        yield f"      exactly {_exact(metric)} minor units"
    for threshold in change["thresholds"]:
        reached = _reached(change, threshold)
        mark = "reached" if reached else "not reached"
        yield f"      {threshold['tier']:10} from {money(threshold['minimum_minor'], currency)}: {mark}"
    yield f"    by policy pack {change['pack_id']}, version {change['pack_version']}"
    if change["cut"]:
        cut = ", ".join(f"{entry['topic']}-{entry['partition']} below {entry['offset']}" for entry in change["cut"])
        yield f"    from the events {cut}"
    if change["corrects"]:
        yield f"    corrects {change['corrects']}"
    yield (
        "    decided again from this evidence: it holds"
        if not decision.problems
        else "    decided again: IT DOES NOT HOLD"
    )
    for problem in decision.problems:
        yield f"      {problem}"


def _exact(metric: Record) -> str:
    value = Fraction(int(metric["exact_numerator"]), int(metric["exact_denominator"]))
    return str(value.numerator) if value.denominator == 1 else f"{value.numerator}/{value.denominator}"


def _reached(change: Record, threshold: Record) -> bool:
    for metric in change["metrics"]:
        if metric["name"] == threshold["metric"]:
            value = Fraction(int(metric["exact_numerator"]), int(metric["exact_denominator"]))
            return bool(value >= threshold["minimum_minor"])
    return False


def _alert(alert: Record, currency: str) -> str:
    days = alert["window_days"]
    window = f"within {_count(days, 'day')}" if days else "in a single posting"
    share = f"{alert['share_bp'] // 100}.{alert['share_bp'] % 100:02d}"
    outflow, reference = (money(alert[name], currency) for name in ("outflow_minor", "reference_aum_minor"))
    return (
        f"  {date_of(alert['raised_day'])}: {alert['rule']} {alert['status']}, {outflow} {window}, "
        f"{share} % of {reference}; posting {alert['caused_by']}; "
        f"pack {alert['pack_id']} version {alert['pack_version']}"
    )


def _restatement(record: Record) -> str:
    day, found_on = date_of(record["restated_day"]), date_of(record["business_day"])
    before, now = (
        "-" if record[name] is None else money(record[name], record["currency"] or "CNY")
        for name in ("previous_minor", "current_minor")
    )
    what = f"account {record['account_id']}" if record["account_id"] else record["metric"] or ""
    text = f"  {day}: {record['kind']}, {what}: {before} -> {now}; found at the close of {found_on}"
    if record["previous_tier"] != record["current_tier"]:
        text += f"; {record['previous_tier']} would have been {record['current_tier']}"
    return text
