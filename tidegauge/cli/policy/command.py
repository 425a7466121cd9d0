"""`tidegauge policy`: list, show and check packs, decide customers and tables of cases with them, and compare two."""

import csv
import datetime as dt
import json
from collections.abc import Callable
from io import TextIOWrapper
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

from schemas import bounds
from schemas.bounded import open_bounded, read_bounded
from streams.calendar import shown_day
from tidegauge.cli.choices import ClassOfCustomers, Lang, iso_date
from tidegauge.cli.language import LANG, language, speaker
from tidegauge.cli.output import BAD_INPUT, FAILED_CHECK, JSON, CommandError, console, emit, error
from tidegauge.cli.policy.activate import activate, retract
from tidegauge.cli.policy.describe import describe, new
from tidegauge.cli.policy.whatif import whatif
from tidegauge.cli.policy.words import POLICY_WORDS

if TYPE_CHECKING:
    from policies import Pack
    from policies.cases.decision import CaseOutcome, CaseResult, Reason

app = typer.Typer(
    help="A bank's rules as packs: list, show and check them, decide with them, compare two, try one on the history, put one "
    "into force.",
    no_args_is_help=True,
)
app.command("activate")(activate)
app.command("retract")(retract)
app.command("describe")(describe)
app.command("new")(new)
app.command("whatif")(whatif)
_PACK = typer.Argument(..., help="A pack that ships, or a YAML file.")
Say = Callable[..., str]


def saying(lang: Lang | None) -> Say:
    """The words of a call."""
    return speaker(POLICY_WORDS, language(lang))


def _read(pack: str) -> "Pack":
    """The pack; PackError where it is none."""
    from policies import load_pack

    return load_pack(pack)


@app.command("list")
def list_(lang: Lang | None = LANG, as_json: bool = JSON) -> None:
    """List the packs that ship, with version, effective date, kind and tiers."""
    from policies import available_packs

    say = saying(lang)
    packs = [_read(name) for name in available_packs()]
    if as_json:
        emit([_head(pack) for pack in packs])
        return
    for pack in packs:
        marks = say("template") * bool(pack.open_numbers()) + say("layers") * (pack.kind == "layers")
        line = say(
            "listed", pack=pack.id, version=pack.version, since=pack.effective_from, marks=marks,
            name=f"{pack.name.en} {pack.name.zh}",
        )  # fmt: skip
        console.print(line, soft_wrap=True)


def _head(pack: "Pack") -> dict[str, Any]:
    """What a pack is, for machines."""
    return {
        "pack": pack.id,
        "version": pack.version,
        "effective_from": pack.effective_from.isoformat(),
        "kind": pack.kind,
        "template": bool(pack.open_numbers()),
        "name": {"zh": pack.name.zh, "en": pack.name.en},
        "tiers": {kind: [tier.id for tier in policy.tiers] for kind, policy in pack.classes.items()},
    }


@app.command("show")
def show(pack: str = _PACK, as_json: bool = JSON) -> None:
    """Print a pack as it is written."""
    found = _read(pack)
    if as_json:
        emit({**_head(found), "body": found.body})
    else:
        typer.echo(found.body)


@app.command("check")
def check_(
    files: list[Path] = typer.Argument(..., help="YAML files."),
    strict: bool = typer.Option(False, "--strict", help="Settings that change nothing are problems too."),
    lang: Lang | None = LANG,
    as_json: bool = JSON,
) -> None:
    """Check packs; every problem is named by file, line and field, and the exit code is 1. A template passes.

    Settings that change nothing are named as idle; the pack is good all the same, except with --strict.
    """
    from policies import PackError, idle_settings, load_pack

    say, found = saying(lang), []
    for file in files:
        if not file.is_file():
            raise CommandError(
                f"{file} is not there", "name YAML files; `policy list` has the packs that ship", BAD_INPUT
            )
        try:
            pack = load_pack(file)
        except PackError as problem:
            problems, template, idle = [str(one) for one in problem.problems], False, []
        else:
            problems, template = _locked(file, pack, say), bool(pack.open_numbers())
            idle = [str(one) for one in idle_settings(pack.body, str(file))]
        good = not problems and not (strict and idle)
        found.append({"file": str(file), "good": good, "template": template, "problems": problems, "idle": idle})
        for one in [*problems, *(idle if strict else ())]:
            error(one)
        for one in () if strict or as_json else idle:
            console.print(one, soft_wrap=True, markup=False)
        if good and not as_json:
            code = "good_template" if template else "good"
            console.print(say(code, file=file, n=len(pack.open_numbers())), soft_wrap=True, markup=False)
            if any(policy.one_by_one for policy in pack.classes.values()):
                console.print(say("no_outlook", file=file), soft_wrap=True, markup=False)
    if as_json:
        emit(found)
    if not all(one["good"] for one in found):
        raise typer.Exit(FAILED_CHECK)


def _locked(file: Path, pack: "Pack", say: Say) -> list[str]:
    """What a pack that can be read changes of what its base has locked."""
    from policies import available_packs
    from policies.diff import locked_changes

    if pack.supplement is None or pack.supplement.base not in available_packs():
        return []
    base = pack.supplement.base
    return [say("locked", file=file, path=change.path, base=base) for change in locked_changes(_read(base), pack)]


@app.command("decide")
def decide_(
    pack: str = typer.Option(..., help="A pack that ships, or a YAML file."),
    customer_class: ClassOfCustomers = typer.Option(ClassOfCustomers.PERSONAL, "--class", help="Of the customer."),
    facts: str = typer.Option(..., help='A JSON object, such as {"quarter_avg": 500000}; @FILE reads a file.'),
    day: dt.date | None = typer.Option(
        None, "--date", parser=iso_date, help="The close that decides; the end of the pack's first month."
    ),
    lang: Lang | None = LANG,
    as_json: bool = JSON,
) -> None:
    """Decide one customer from facts: tier, flags and reasons."""
    from policies.cases.decision import as_json as to_json
    from policies.cases.decision import decide_facts
    from policies.cases.facts import parse_facts

    text = read_bounded(Path(facts[1:]), bounds.SMALL_FILE_BYTES_MAX).decode() if facts.startswith("@") else facts
    outcome = decide_facts(_read(pack), customer_class.value, parse_facts(text), day)
    if as_json:
        emit(json.loads(to_json(outcome)))
        return
    _print_outcome(outcome, _read(pack), saying(lang))


def _print_outcome(outcome: "CaseOutcome", pack: "Pack", say: Say) -> None:
    from policies.diff import SIGNS, bound_text
    from policies.lifecycle.leaving import TO_COME
    from policies.texts import DECISION_REASONS, FLAG_NAMES, REFUSALS

    policy = pack.classes[outcome.customer_class]
    names = {tier.id: tier.name for tier in policy.tiers}
    name = names[outcome.tier]
    band = say("band", band=outcome.band) if outcome.band else ""
    console.print(say("tier", id=outcome.tier, zh=name.zh, en=name.en) + band, soft_wrap=True)
    if outcome.measured != outcome.tier:
        console.print(say("standard", id=outcome.measured, zh=names[outcome.measured].zh), soft_wrap=True)
    for flag in outcome.flags:
        console.print(say("flag", id=flag, zh=FLAG_NAMES[flag].zh, en=FLAG_NAMES[flag].en), soft_wrap=True)
    for reason in outcome.reasons:
        limit = reason.limit
        line = say(
            "limit", tier=reason.tier, metric=limit.metric, scope=f"({limit.scope})" if limit.scope else "",
            value=_value(reason, say), sign=SIGNS[limit.operator],
            bound=say("open") if limit.is_open else bound_text(limit),
            met=say("met" if reason.met else "not_met"),
        )  # fmt: skip
        console.print(line, soft_wrap=True, markup=False)
    if outcome.missing:
        console.print(say("missing", records=", ".join(outcome.missing)), soft_wrap=True)
    for one in outcome.decisions:
        text = {**DECISION_REASONS, **REFUSALS}.get(one.reason)
        move = f" {one.evidence['service']}" if "service" in one.evidence else ""
        move += f" {one.before or '-'} → {one.after or '-'}" if one.before != one.after else ""
        move += say("from_day", day=shown_day(one.effective)) if one.kind in TO_COME else ""
        if text is None:
            line = say("said_plain", kind=one.kind, move=move, reason=one.reason)
        else:
            line = say("said", kind=one.kind, move=move, zh=text.zh, en=text.en)
        console.print(line, soft_wrap=True, markup=False)


def _value(reason: "Reason", say: Say) -> str:
    """The value that was compared: a decimal where it is one, else rounded with `about`, on its side of the limit."""
    from policies.texts import figure

    if reason.value is None:
        return say("unknown") if reason.unknown else "?"
    if isinstance(reason.value, str):
        return reason.value
    text, exact = figure(reason.value, reason.bound)
    return text if exact else say("about", value=text)


@app.command("cases")
def cases(
    file: Path = typer.Argument(
        ...,
        help="A CSV table: case_id, scheme_id, customer_class, facts, expected_tier, why; or a folder with such tables.",
    ),
    pack: str = typer.Option("", help="Only the cases of this pack."),
    lang: Lang | None = LANG,
    as_json: bool = JSON,
) -> None:
    """Decide every row of a table of cases; every mismatch is printed, and the exit code is then 1."""
    from policies.cases.decision import run_cases
    from policies.cases.facts import FactError

    results: list[CaseResult] = []
    for table in sorted(file.rglob("cases*.csv")) if file.is_dir() else [file]:
        try:
            opened = open_bounded(table, bounds.TABLE_BYTES_MAX, "split it into several tables")
            with TextIOWrapper(opened, encoding="utf-8", newline="") as lines:
                results += run_cases(lines, pack or None, table.parent)
        except (FactError, csv.Error) as problem:
            raise CommandError(f"{table}: {problem}", "see docs/policies.md", BAD_INPUT) from problem
    say = saying(lang)
    for result in results:
        if not result.good:
            found = result.problem or say("got", tier=result.tier)
            error(say("case", id=result.case_id, expected=result.expected, found=found, why=result.why))
    good = sum(result.good for result in results)
    if as_json:
        emit({"good": good, "all": len(results), "cases": [_case(result) for result in results]})
    else:
        console.print(say("cases", good=good, all=len(results)))
    if not results:
        raise CommandError(f"{file} holds no cases" + f" of {pack}" * bool(pack), "is it the right file?", FAILED_CHECK)
    if good < len(results):
        raise typer.Exit(FAILED_CHECK)


def _case(result: "CaseResult") -> dict[str, str | bool | None]:
    return {
        "case_id": result.case_id, "good": result.good, "expected_tier": result.expected, "tier": result.tier,
        "problem": result.problem, "why": result.why,
    }  # fmt: skip


@app.command("diff")
def diff(
    old: str = typer.Argument(..., help="A pack that ships, or a YAML file."),
    new: str = typer.Argument(..., help="Another, or another version."),
    lang: Lang | None = LANG,
    as_json: bool = JSON,
) -> None:
    """Show what differs between two packs, field by field; and what stands in the way of putting the new one into force."""
    from policies.diff import differences, obstacles

    before, after, say = _read(old), _read(new), saying(lang)
    changes = differences(before, after)
    in_the_way = obstacles(after, before)
    if as_json:
        rows = [{"path": c.path, "old": c.old, "new": c.new} for c in changes]
        emit({"changes": rows, "obstacles": in_the_way})
        return
    for change in changes:
        said = (
            f"{change.path}: {'-' if change.old is None else change.old} → {'-' if change.new is None else change.new}"
        )
        console.print(said, soft_wrap=True, markup=False)
    for reason in in_the_way:
        console.print(say("obstacle", why=reason), soft_wrap=True, markup=False)
    if not changes:
        console.print(say("same"))
