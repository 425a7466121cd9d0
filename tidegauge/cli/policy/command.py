"""`tidegauge policy`: list, show and check packs, decide customers and tables of cases with them, and compare two."""

import datetime as dt
import json
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import typer

from tidegauge.cli.language import LANG, language, speaker
from tidegauge.cli.output import BAD_INPUT, FAILED_CHECK, CommandError, console, error
from tidegauge.cli.policy.activate import activate
from tidegauge.cli.policy.whatif import whatif
from tidegauge.cli.policy.words import POLICY_WORDS

if TYPE_CHECKING:
    from policies import Pack
    from policies.cases.decision import CaseOutcome

app = typer.Typer(
    help="A bank's rules as packs: list, show and check them, decide with them, compare two, try one on the history, put one "
    "into force.",
    no_args_is_help=True,
)
app.command("activate")(activate)
app.command("whatif")(whatif)
JSON = typer.Option(False, "--json", help="For machines.")
_PACK = typer.Argument(..., help="A pack that ships, or a YAML file.")
Say = Callable[..., str]


def saying(lang: str) -> Say:
    """The words of a call."""
    return speaker(POLICY_WORDS, language(lang))


def _read(pack: str) -> "Pack":
    """The pack, or an error in one line a problem."""
    from policies import PackError, load_pack

    try:
        return load_pack(pack)
    except PackError as problem:
        raise CommandError(str(problem), code=BAD_INPUT) from problem


@app.command("list")
def list_(lang: str = LANG, as_json: bool = JSON) -> None:
    """List the packs that ship, with version, effective date, kind and tiers."""
    from policies import available_packs

    say = saying(lang)
    packs = [_read(name) for name in available_packs()]
    rows = [
        {
            "pack": pack.id,
            "version": pack.version,
            "effective_from": pack.effective_from.isoformat(),
            "kind": pack.kind,
            "template": bool(pack.open_numbers()),
            "name": {"zh": pack.name.zh, "en": pack.name.en},
            "tiers": {kind: [tier.id for tier in policy.tiers] for kind, policy in pack.classes.items()},
        }
        for pack in packs
    ]
    if as_json:
        typer.echo(json.dumps(rows, ensure_ascii=False, indent=1))
        return
    for pack in packs:
        marks = say("template") * bool(pack.open_numbers()) + say("layers") * (pack.kind == "layers")
        line = say(
            "listed", pack=pack.id, version=pack.version, since=pack.effective_from, marks=marks,
            name=f"{pack.name.en} {pack.name.zh}",
        )  # fmt: skip
        console.print(line, soft_wrap=True)


@app.command("show")
def show(pack: str = _PACK) -> None:
    """Print a pack as it is written."""
    typer.echo(_read(pack).body)


@app.command("check")
def check_(files: list[Path] = typer.Argument(..., help="YAML files."), lang: str = LANG) -> None:
    """Check packs; every problem is named by file, line and field, and the exit code is 1. A template passes."""
    from policies import PackError, load_pack

    bad, say = 0, saying(lang)
    for file in files:
        if not file.is_file():
            raise CommandError(f"{file} is not there", code=BAD_INPUT)
        try:
            pack = load_pack(file)
        except PackError as problem:
            bad += len(problem.problems)
            for one in problem.problems:
                error(str(one))
            continue
        bad += _say_good(file, pack, say)
    if bad:
        raise typer.Exit(FAILED_CHECK)


def _say_good(file: Path, pack: "Pack", say: Say) -> int:
    """One line on a pack that can be read; the number of fields that its base has locked."""
    from policies import available_packs
    from policies.diff import locked_changes

    if pack.supplement is not None and pack.supplement.base in available_packs():
        locked = locked_changes(_read(pack.supplement.base), pack)
        for change in locked:
            error(say("locked", file=file, path=change.path, base=pack.supplement.base))
        if locked:
            return len(locked)
    open_numbers = pack.open_numbers()
    code = "good_template" if open_numbers else "good"
    console.print(say(code, file=file, n=len(open_numbers)), soft_wrap=True)
    return 0


@app.command("decide")
def decide_(
    pack: str = typer.Option(..., help="A pack that ships, or a YAML file."),
    customer_class: str = typer.Option("personal", "--class", help="personal or corporate."),
    facts: str = typer.Option(..., help='A JSON object, such as {"quarter_avg": 500000}; @FILE reads a file.'),
    day: str = typer.Option("", "--date", help="The close that decides; the end of the pack's first month."),
    lang: str = LANG,
    as_json: bool = JSON,
) -> None:
    """Decide one customer from facts: tier, flags and reasons."""
    from policies.cases.decision import as_json as to_json
    from policies.cases.decision import decide_facts
    from policies.cases.facts import FactError, parse_facts

    try:
        text = Path(facts[1:]).read_text(encoding="utf-8") if facts.startswith("@") else facts
        when = dt.date.fromisoformat(day) if day else None
        outcome = decide_facts(_read(pack), customer_class, parse_facts(text), when)
    except (FactError, OSError, ValueError) as problem:
        raise CommandError(str(problem), code=BAD_INPUT) from problem
    if as_json:
        typer.echo(to_json(outcome))
        return
    _print_outcome(outcome, _read(pack), saying(lang))


def _print_outcome(outcome: "CaseOutcome", pack: "Pack", say: Say) -> None:
    from policies.diff import SIGNS
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
            value="?" if reason.value is None else _number(reason.value, say), sign=SIGNS[limit.operator],
            bound=say("open") if limit.value is None else f"{limit.value:f}",
            met=say("met" if reason.met else "not_met"),
        )  # fmt: skip
        console.print(line, soft_wrap=True, markup=False)
    for one in outcome.decisions:
        text = {**DECISION_REASONS, **REFUSALS}.get(one.reason)
        move = f" {one.before or '-'} → {one.after or '-'}" if one.before != one.after else ""
        if text is None:
            line = say("said_plain", kind=one.kind, move=move, reason=one.reason)
        else:
            line = say("said", kind=one.kind, move=move, zh=text.zh, en=text.en)
        console.print(line, soft_wrap=True, markup=False)


def _number(value: object, say: Say) -> str:
    """An exact value for people: a decimal where it is one to the cent, else rounded with `about`."""
    from decimal import ROUND_HALF_EVEN, Decimal
    from fractions import Fraction

    exact = Fraction(str(value))
    near = (Decimal(exact.numerator) / Decimal(exact.denominator)).quantize(Decimal("0.01"), ROUND_HALF_EVEN)
    text = f"{near:f}".removesuffix(".00")
    return text if Fraction(near) == exact else say("about", value=text)


@app.command("cases")
def cases(
    file: Path = typer.Argument(
        ..., help="A CSV table: case_id, scheme_id, customer_class, facts, expected_tier, why."
    ),
    pack: str = typer.Option("", help="Only the cases of this pack."),
    lang: str = LANG,
) -> None:
    """Decide every row of a table of cases; every mismatch is printed, and the exit code is then 1."""
    from policies.cases.decision import run_cases
    from policies.cases.facts import FactError

    if not file.is_file():
        raise CommandError(f"{file} is not there", code=BAD_INPUT)
    try:
        with file.open(encoding="utf-8", newline="") as lines:
            results = list(run_cases(lines, pack or None))
    except FactError as problem:
        raise CommandError(f"{file}: {problem}", code=BAD_INPUT) from problem
    say = saying(lang)
    for result in results:
        if not result.good:
            found = result.problem or say("got", tier=result.tier)
            error(say("case", id=result.case_id, expected=result.expected, found=found, why=result.why))
    good = sum(result.good for result in results)
    console.print(say("cases", good=good, all=len(results)))
    if good < len(results) or not results:
        raise typer.Exit(FAILED_CHECK)


@app.command("diff")
def diff(
    old: str = typer.Argument(..., help="A pack that ships, or a YAML file."),
    new: str = typer.Argument(..., help="Another, or another version."),
    lang: str = LANG,
    as_json: bool = JSON,
) -> None:
    """Show what differs between two packs, field by field; and what stands in the way of putting the new one into force."""
    from policies.diff import differences, obstacles

    before, after, say = _read(old), _read(new), saying(lang)
    changes = differences(before, after)
    in_the_way = obstacles(after, before)
    if as_json:
        rows = [{"path": c.path, "old": c.old, "new": c.new} for c in changes]
        typer.echo(json.dumps({"changes": rows, "obstacles": in_the_way}, ensure_ascii=False, indent=1))
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
