"""A pack as sentences. What has no sentence of its own is told by its place and its value, so nothing is left out."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, NamedTuple

from policies.compiled.pack import foreseen
from policies.description.provisions import SettingTeller
from policies.description.words import (
    ASSET_NAMES,
    CLOSE_NAMES,
    METRIC_NAMES,
    NATURE_NAMES,
    SENTENCES,
    SIGN_WORDS,
    BothWords,
)
from policies.diff import flattened
from policies.language.timing import EITHER_WAY
from policies.model.figures import AT_DAY_START, series
from policies.model.pack import LAYERS, RESTATEMENTS
from policies.model.terms import AllOf, AnyOf, AtLeast, Limit, Not

if TYPE_CHECKING:
    from policies.model.figures import Flow, PackMeasure, Series
    from policies.model.pack import ClassPolicy, Evaluation, Pack, Tier
    from policies.model.provisions import OwnFact
    from policies.model.terms import Criterion, Name


class Section(NamedTuple):
    """A part of a described pack."""

    title: str
    lines: list[str]


@dataclass(slots=True)
class _Teller:
    """Says things of a pack in a language; `told` are the places of `flattened` that have a sentence."""

    pack: Pack
    zh: bool
    told: set[str]

    def say(self, code: str, words: BothWords = SENTENCES, **given: Any) -> str:
        """A sentence, or a part of one."""
        return words[code][self.zh].format(**given)

    def name(self, name: Name | None, otherwise: str) -> str:
        """What people read."""
        return otherwise if name is None else name.zh if self.zh else name.en

    def listed(self, parts: Any) -> str:
        """Some things one after the other."""
        return self.say("list").join(map(str, parts))

    # -- criteria

    def criterion(self, criterion: Criterion) -> str:
        """A condition in words."""
        if isinstance(criterion, Limit):
            return self._limit(criterion)
        if isinstance(criterion, Not):
            return self.say("not", part=self.criterion(criterion.part))
        if isinstance(criterion, AllOf) and (each := self._each(criterion)):
            return each
        parts = self.say("and").join(f"({n}) {self.criterion(part)}" for n, part in enumerate(criterion.parts, 1))
        if isinstance(criterion, AtLeast):
            return self.say("at_least", n=criterion.needed, parts=parts)
        return self.say({AnyOf: "any", AllOf: "all"}[type(criterion)], parts=parts)

    def _each(self, criterion: AllOf) -> str | None:
        """The same limit on each of the latest months in one sentence; None for any other tree."""
        first = criterion.parts[-1]
        if len(criterion.parts) < 2 or not isinstance(first, Limit) or not first.metric.endswith("[0]"):
            return None
        named = first.metric.removesuffix("[0]")
        months = [replace(first, metric=f"{named}[{k}]") for k in reversed(range(len(criterion.parts)))]
        if months != [*criterion.parts] or (named != "month_avg" and series(first.metric) is None):
            return None
        if named == "month_avg":
            metric = self.say("month_avg.each", scope=f"“{first.scope}”", n=len(months))
        else:
            metric = self.say("series.each", name=self._called(named), n=len(months))
        return self.say("limit", metric=metric, sign=self._bound(first))

    def _bound(self, limit: Limit) -> str:
        bound = self.say("open") if limit.value is None else f"{limit.value:,f}"
        bound += "" if limit.currency is None else f" {limit.currency}"
        return self.say(limit.operator, SIGN_WORDS, bound=bound)

    def _limit(self, limit: Limit) -> str:
        metric = self.metric(limit.metric, limit.scope)
        if limit.texts:
            return self.say("one_of", metric=self._called(limit.metric), texts=self.listed(limit.texts))
        own = self.pack.facts.get(limit.metric)
        is_flag = (own is not None and own.kind == "flag") or (own is None and limit.metric in _FLAGS)
        if is_flag and limit.value == {"minimum": 1, "at_most": 0}.get(limit.operator):
            return self.say("is" if limit.value else "is_not", metric=metric)
        return self.say("limit", metric=metric, sign=self._bound(limit))

    def metric(self, metric: str, scope: str | None) -> str:
        """A metric in words."""
        plain = metric.removesuffix(AT_DAY_START)
        end = self.say("day_start") if plain != metric else ""
        if (by_month := series(plain)) is not None:
            return self._series(by_month)
        family, _, number = plain.removesuffix("]").partition("[")
        if plain == "months_mean_12":
            family, number = "months_mean", "12"
        if family not in METRIC_NAMES:
            return f"“{self._called(plain)}”"
        month = self.month(int(number)) if family == "month_avg" else ""
        return self.say(family, METRIC_NAMES, scope=f"“{scope}”", n=number, month=month) + end

    def month(self, back: int) -> str:
        """An ended month."""
        return self.say(f"month.{back}") if back < 2 else self.say("month.k", n=back)

    def _series(self, wanted: Series) -> str:
        name = self._called(wanted.of)
        if wanted.year:
            return self.say("series.year", name=name)
        if wanted.month is not None:
            return self.say("series.month", name=name, month=self.month(wanted.month))
        return self.say(f"series.{wanted.mode}", name=name, n=wanted.months)

    def _called(self, figure: str) -> str:
        named = (self.pack.facts.get(figure), self.pack.flows.get(figure), self.pack.measures.get(figure))
        name = next((one.name for one in named if one is not None), None)
        if name is None and figure in METRIC_NAMES:
            return self.say(figure, METRIC_NAMES, scope="", n="", month="")
        return figure if name is None else f"{self.name(name, figure)} ({figure})"

    # -- figures

    def figures(self) -> Iterator[str]:
        """Scopes, facts, flows and measures."""
        for scope, assets in self.pack.scopes.items():
            yield self.say(
                "scope", scope=scope, assets=self.listed(self.say(one, ASSET_NAMES) for one in sorted(assets))
            )
        for name, fact in self.pack.facts.items():
            yield self.fact(name, fact)
        for name, flow in self.pack.flows.items():
            yield self.flow(name, flow)
        for name, measure in self.pack.measures.items():
            yield self.measure(name, measure)
        self.told |= {"scopes", "facts", "flows", "measures"}

    def fact(self, name: str, fact: OwnFact) -> str:
        """A fact of the bank's own."""
        kind = self.say(fact.kind, values=self.listed(fact.values))
        line = self.say("fact", name=self._called(name), kind=kind)
        if fact.absent:
            line += " " * (not self.zh) + self.say("fact_absent", absent=fact.absent)
        if fact.valid_days is not None:
            line += " " * (not self.zh) + self.say("fact_valid", n=fact.valid_days)
        return line

    def flow(self, name: str, flow: Flow) -> str:
        """A monthly series."""
        natures = [self.say(one, NATURE_NAMES) for one in flow.natures]
        listed = {"natures": natures, "channels": flow.channels, "counterparties": flow.counterparties}
        which = "".join(self.say(f"flow.{word}", list=self.listed(some)) for word, some in listed.items() if some)
        return self.say("flow", name=self._called(name), which=which, value=self.say(f"flow.{flow.value}"),
                        direction=self.say(f"flow.{flow.direction}"))  # fmt: skip

    def measure(self, name: str, measure: PackMeasure) -> str:
        """A weighted sum."""
        terms = [self.say("term", weight=f"{t.weight:f}", metric=self.metric(t.metric, t.scope)) for t in measure.terms]
        return self.say("measure", name=self._called(name), terms=" + ".join(terms))

    # -- classes

    def tiers(self, at: str, policy: ClassPolicy) -> Iterator[str]:
        """The tiers, lowest first, and who has none of them whatever else holds."""
        names = {tier.id: self.name(tier.name, tier.id) for tier in policy.tiers}
        for place, tier in enumerate(policy.tiers):
            yield self._tier(place, tier, names)
            self.told.add(f"{at}.tiers")
        if policy.veto is not None:
            yield self.say("veto", when=self.criterion(policy.veto))
            if policy.vetoes_at_once:
                yield self.say("veto.once")
            self.told |= {f"{at}.veto", f"{at}.veto_at"}
        if policy.vip_from is not None:
            yield self.say("vip", tier=names[policy.vip_from])
            self.told.add(f"{at}.vip_from")

    def _tier(self, place: int, tier: Tier, names: dict[str, str]) -> str:
        title = f"{names[tier.id]} ({tier.id})"
        if tier.when is not None:
            lines = [self.say("tier", tier=title, when=self.criterion(tier.when))]
        else:
            lines = [self.say("lowest" if place == 0 else "unset", tier=title)]
        if tier.card is not None:
            lines.append(self.say("card_of", card=tier.card))
        if tier.permanent:
            lines.append(self.say("permanent"))
        if tier.same_rank_as is not None:
            lines.append(self.say("same_rank", tier=names[tier.id], other=names[tier.same_rank_as]))
        lines += [
            self.say("band", band=self.name(band.name, band.id) + f" ({band.id})", when=self.criterion(band.when))
            for band in tier.bands
        ]
        return ("" if self.zh else " ").join(lines)

    def rules(self, at: str, policy: ClassPolicy) -> Iterator[str]:
        """When tiers are decided and what they rest on."""
        when = policy.evaluation
        delays = when.effective_business_days
        decided = "decided_continuous" if when.close == "continuous" else "decided_delayed" if delays else "decided"
        yield self.say(decided, close=self.say(when.close, CLOSE_NAMES))
        if when.upgrades != when.close:
            yield self.say("upgrades", when=self.say(when.upgrades, CLOSE_NAMES))
        if when.downgrades != when.close:
            yield self.say("downgrades", when=self.say(when.downgrades, CLOSE_NAMES))
        if when.grace_months:
            yield self.say("grace", n=when.grace_months)
        if when.restatement != RESTATEMENTS[0]:
            yield self.say(f"restated.{when.restatement}")
        yield from self._leaving(when)
        self.told.add(f"{at}.evaluation")
        if policy.status.basis == "card":
            yield self.say("basis.card")
        if policy.status.requires:
            yield self.say("requires", list=self.listed(policy.status.requires))
        if policy.review is not None:
            yield self.say("review", n=policy.review.months)
        if policy.potential is not None and policy.potential.when is not None:
            yield self.say("potential", when=self.criterion(policy.potential.when))
        self.told |= {f"{at}.{name}" for name in ("status.basis", "status.requires", "review.months", "potential.when")}
        yield self.say("outlook" if foreseen(policy) else "no_outlook")

    def _leaving(self, when: Evaluation) -> Iterator[str]:
        """What holds a tier, and from which day changes hold."""
        for way in EITHER_WAY if when.effective_business_days else ():
            days = when.effective_business_days.get(way, 0)
            yield self.say(f"delay.{way}" if days else f"next.{way}", n=days)
        for code, n in (("keep", when.keep_months), ("exempt", when.exempt_months), ("notice", when.fall_notice_days)):
            if n:
                yield self.say(code, n=n)
        if when.steps:
            yield self.say("steps.1" if when.steps == 1 else "steps", n=when.steps)

    def rest(self, start: str) -> Iterator[str]:
        """What has no sentence of its own, by its place and value; `start`: of the places meant."""
        left: dict[str, str] = {}
        for path, value in flattened(self.pack).items():
            mine = path.startswith(f"{start}.") if start else not path.startswith(("classes.", *_HEAD))
            if mine and not any(path == one or path.startswith(f"{one}.") for one in self.told) and _says(path, value):
                left[path.removeprefix(f"{start}.")] = value
        policy = self.pack.classes.get(start.removeprefix("classes."))
        for service in () if policy is None else policy.services:
            if service.when is not None:
                left[f"services.{service.id}.when"] = self.criterion(service.when)
        names = {tier.id: self.name(tier.name, tier.id) for tier in policy.tiers} if policy is not None else {}
        yield from SettingTeller(self.zh, names).sentences(left)


_FLAGS = ("loan_overdue", "bad_record", "good_record", "fixed_income", "stable_wealth", "public_figure", "company_head",
          "growing", "payroll_link", "tax_link", "merchant_member")  # fmt: skip
_HEAD = ("name.", "version", "effective_from")


_TRUE_UNLESS_SAID = (".required", ".needs_standard")


def _says(path: str, value: str) -> bool:
    """Whether a setting says something: not a place in a list, nor what is so unless said otherwise."""
    if value == "False":
        return path.endswith(_TRUE_UNLESS_SAID)
    return not path.endswith((".place", ".veto_at")) and not (
        value == "0" and (".evaluation." in path or path.endswith(".free_months"))
    )


def described_pack(pack: Pack, zh: bool = False) -> list[Section]:
    """The pack, section by section: every clause of it is in some sentence."""
    tell = _Teller(pack, zh, {"id", "version", "effective_from", "name", "kind"})
    head = [
        tell.say("head", name=tell.name(pack.name, pack.id), id=pack.id, version=pack.version, day=pack.effective_from)
    ]
    head += [tell.say("layers")] if pack.kind == LAYERS else []
    found = [Section(tell.say("section.head"), head), Section(tell.say("section.figures"), [*tell.figures()])]
    for name, policy in pack.classes.items():
        at, kind = f"classes.{name}", tell.say(f"class.{name}")
        found.append(Section(tell.say("section.tiers", kind=kind), [*tell.tiers(at, policy)]))
        found.append(Section(tell.say("section.rules", kind=kind), [*tell.rules(at, policy)]))
        found.append(Section(tell.say("section.more", kind=kind), [*tell.rest(at)]))
    head += tell.rest("")
    return [section for section in found if section.lines]


def as_markdown(pack: Pack, sections: list[Section], zh: bool = False) -> str:
    """A described pack as Markdown."""
    out = [f"# {pack.name.zh if zh else pack.name.en}"]
    for section in sections:
        out += ["", f"## {section.title}", "", *(f"- {line}" for line in section.lines)]
    return "\n".join(out)
