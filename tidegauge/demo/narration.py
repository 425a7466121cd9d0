"""Tells the seven stories in words as their records come out, and says at the end which of them went otherwise."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Final

from connectors.formats.events import Record
from connectors.simulate import STORY_KINDS, Story
from streams.calendar import date_of
from streams.vocabulary.terms import OUTFLOW
from tidegauge.demo.texts import Words, day_text, money_text

if TYPE_CHECKING:
    from tidegauge.demo.watch import Seen, TopicWatch

QUIET_DAYS: Final = 2  # a purchase has raised nothing when so many more days are closed
RESOLVED: Final = "broken_balance.resolved"


class Narrator:
    """Listens to output records. Every story is told once."""

    def __init__(self, stories: dict[str, Story], words: Words) -> None:
        self.stories, self.words = stories, words
        self.told: list[str] = []
        self._by_customer = {story.customer_id: story for story in stories.values()}

    def hear(self, seen: Seen, watch: TopicWatch) -> list[str]:
        """The texts that are due now that this record has come."""
        story = self._by_customer.get(seen.record.get("customer_id", ""))
        texts = []
        if story is not None and self._fits(story, seen):
            texts += self._tell(story.kind, _PLACES[story.kind](story, seen.record, self.words))
        if story is not None and _resolves(story, seen):
            places = {"day": day_text(seen.record["business_day"]), "amount": money_text(seen.record["previous_minor"])}
            texts += self._tell(RESOLVED, {"customer": story.customer_id} | places)
        return texts + self._quiet(watch)

    def _tell(self, kind: str, places: dict[str, str]) -> list[str]:
        if kind in self.told:
            return []
        self.told.append(kind)
        main = kind.split(".", maxsplit=1)[0]
        head = self.words("story", number=STORY_KINDS.index(main) + 1, title=self.words(main))
        return [
            f"[bold]{head}[/bold]{self.words('stop')}{self.words(kind if '.' in kind else f'{kind}.told', **places)}"
        ]

    def _fits(self, story: Story, seen: Seen) -> bool:
        expects = dict(story.expects)
        topic = expects.pop("topic")
        expects.pop("resolved_day", None)
        return (
            "count" not in expects and seen.topic == topic and all(seen.record.get(k) == v for k, v in expects.items())
        )

    def _quiet(self, watch: TopicWatch) -> list[str]:
        """The story in which nothing happens, when its day is well over."""
        story = self.stories["purchase"]
        standing = watch.standings.get(story.customer_id)
        if "purchase" in self.told or standing is None or watch.closed_everywhere < story.day + QUIET_DAYS:
            return []
        if _alerts_of(watch, story.customer_id):
            return []
        places = {
            "customer": story.customer_id, "amount": money_text(story.amount_minor), "day": day_text(story.day),
            "aum": money_text(standing["aum_minor"]),
        }  # fmt: skip
        return self._tell("purchase", places)


def _resolves(story: Story, seen: Seen) -> bool:
    return (
        story.kind == "broken_balance"
        and seen.topic == "restatements"
        and seen.record["kind"] == "break_resolved"
        and seen.record["business_day"] == story.expects["resolved_day"]
    )


def _upgrade(story: Story, record: Record, words: Words) -> dict[str, str]:
    minimum = next(t["minimum_minor"] for t in record["thresholds"] if t["tier"] == record["to_tier"])
    return {
        "customer": story.customer_id, "amount": money_text(story.amount_minor), "day": day_text(story.day),
        "close": day_text(record["business_day"]), "value": money_text(record["metrics"][0]["value_minor"]),
        "minimum": money_text(minimum), "before": words.tier(record["from_tier"]),
        "after": words.tier(record["to_tier"]),
        "effective": day_text(record["effective_date"]),
    }  # fmt: skip


def _alert(story: Story, record: Record, words: Words) -> dict[str, str]:
    share = f"{record['share_bp'] // 100}.{record['share_bp'] % 100:02d}"
    return {
        "customer": story.customer_id, "tier": words.tier(record["tier"]),
        "outflow": money_text(record["outflow_minor"]),
        "reference": money_text(record["reference_aum_minor"]), "share": share, "day": day_text(record["raised_day"]),
        "bank": ", ".join(c["bank"] for c in record["counterparties"]), "rm": record["rm_id"] or "-",
        "rule": record["rule"], "window": str(record["window_days"]), "each": money_text(abs(story.amount_minor)),
    }  # fmt: skip


def _late(story: Story, record: Record, words: Words) -> dict[str, str]:
    value_date = date_of(record["restated_day"]).replace(day=1)  # as planted: the first of the month that is restated
    return {
        "customer": story.customer_id, "amount": money_text(story.amount_minor), "day": day_text(story.day),
        "value_date": day_text(value_date), "restated": day_text(record["restated_day"]),
        "current": money_text(record["current_minor"]), "previous": money_text(record["previous_minor"]),
        "before": words.tier(record["previous_tier"]), "after": words.tier(record["current_tier"]),
    }  # fmt: skip


def _broken(story: Story, record: Record, _words: Words) -> dict[str, str]:
    day = day_text(record["restated_day"])
    return {"customer": story.customer_id, "day": day, "amount": money_text(record["amount_minor"])}


_PLACES: Final = {
    "upgrade": _upgrade, "outflow": _alert, "drip": _alert, "late_posting": _late, "broken_balance": _broken,
    "taken_back": _alert,
}  # fmt: skip


def _alerts_of(watch: TopicWatch, customer: str) -> list[Record]:
    """All steps of a customer's cases of outflow."""
    return [
        record for record in watch.records["rm-alerts"]
        if (record["customer_id"], record["kind"]) == (customer, OUTFLOW)
    ]  # fmt: skip


def untold(teller: Narrator) -> list[str]:
    """Stories that did not come about as planted, by kind."""
    return [kind for kind in (*STORY_KINDS, RESOLVED) if kind not in teller.told]


def story_problems(teller: Narrator, watch: TopicWatch, held: dict[str, int]) -> Iterable[str]:
    """What is wrong with the stories. `held` has AUM as of the last day by customer, in minor units."""
    for kind in untold(teller):
        yield f"{kind}: {teller.stories[kind.split('.', maxsplit=1)[0]].tells}: did not happen"
    purchase = teller.stories["purchase"]
    for alert in _alerts_of(watch, purchase.customer_id):
        yield f"purchase: alert {alert['event_id']} should not be there"
    opening = 300_000_000  # what the customer of the purchase has, minor units
    if held.get(purchase.customer_id) != opening:
        yield f"purchase: AUM is {held.get(purchase.customer_id)}, not {opening}"
