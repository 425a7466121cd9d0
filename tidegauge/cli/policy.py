"""`tidegauge policy`: list, show and check packs, decide customers and tables of cases with them, and compare two."""

import datetime as dt
import json
from pathlib import Path
from typing import TYPE_CHECKING

import typer

from tidegauge.cli.activate import activate
from tidegauge.cli.out import BAD_INPUT, FAILED_CHECK, CommandError, console, error
from tidegauge.cli.whatif import whatif

if TYPE_CHECKING:
    from policies import Pack
    from policies.deciding import Outcome

app = typer.Typer(help="List, show and check policy packs, and decide with them.", no_args_is_help=True)
app.command("activate")(activate)
app.command("whatif")(whatif)
JSON = typer.Option(False, "--json", help="For machines.")
PACK = typer.Argument(..., help="A pack that ships, or a YAML file.")


def read(pack: str) -> "Pack":
    """The pack, or an error in one line a problem."""
    from policies import PackError, load_pack

    try:
        return load_pack(pack)
    except PackError as problem:
        raise CommandError(str(problem), code=BAD_INPUT) from problem


@app.command("list")
def list_(as_json: bool = JSON) -> None:
    """List the packs that ship, with version, effective date, kind and tiers."""
    from policies import available_packs

    packs = [read(name) for name in available_packs()]
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
        marks = ", template" * bool(pack.open_numbers()) + ", layers" * (pack.kind == "layers")
        name = f"{pack.name.en} {pack.name.zh}"
        console.print(f"{pack.id} version {pack.version}, from {pack.effective_from}{marks}: {name}", soft_wrap=True)


@app.command("show")
def show(pack: str = PACK) -> None:
    """Print a pack as it is written."""
    typer.echo(read(pack).body)


@app.command("check")
def check_(files: list[Path] = typer.Argument(..., help="YAML files.")) -> None:
    """Check packs; every problem is named by file, line and field, and the exit code is 1. A template passes."""
    from policies import PackError, load_pack

    bad = 0
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
        bad += _say_good(file, pack)
    if bad:
        raise typer.Exit(FAILED_CHECK)


def _say_good(file: Path, pack: "Pack") -> int:
    """One line on a pack that can be read; the number of fields that its base has locked."""
    from policies import available_packs
    from policies.diff import locked_changes

    if pack.supplement is not None and pack.supplement.base in available_packs():
        locked = locked_changes(read(pack.supplement.base), pack)
        for change in locked:
            error(f"{file}: {change.path}: locked by {pack.supplement.base}")
        if locked:
            return len(locked)
    open_numbers = pack.open_numbers()
    if open_numbers:
        console.print(f"{file}: good, a template with {len(open_numbers)} open numbers", soft_wrap=True)
    else:
        console.print(f"{file}: good", soft_wrap=True)
    return 0


@app.command("decide")
def decide_(
    pack: str = typer.Option(..., help="A pack that ships, or a YAML file."),
    customer_class: str = typer.Option("personal", "--class", help="personal or corporate."),
    facts: str = typer.Option(..., help='A JSON object, such as {"quarter_avg": 500000}; @FILE reads a file.'),
    day: str = typer.Option("", "--date", help="The close that decides; the end of the pack's first month."),
    as_json: bool = JSON,
) -> None:
    """Decide one customer from facts: tier, flags and reasons."""
    from policies.deciding import as_json as to_json
    from policies.deciding import decide_facts
    from policies.facts import FactError, parse

    try:
        text = Path(facts[1:]).read_text(encoding="utf-8") if facts.startswith("@") else facts
        when = dt.date.fromisoformat(day) if day else None
        outcome = decide_facts(read(pack), customer_class, parse(text), when)
    except (FactError, OSError, ValueError) as problem:
        raise CommandError(str(problem), code=BAD_INPUT) from problem
    if as_json:
        typer.echo(to_json(outcome))
        return
    _print_outcome(outcome, read(pack))


def _print_outcome(outcome: "Outcome", pack: "Pack") -> None:
    from policies.diff import SIGNS
    from policies.texts import FLAGS, REASONS, REFUSALS

    policy = pack.classes[outcome.customer_class]
    names = {tier.id: tier.name for tier in policy.tiers}
    name = names[outcome.tier]
    band = f", band {outcome.band}" if outcome.band else ""
    console.print(f"tier {outcome.tier} {name.zh} ({name.en}){band}", soft_wrap=True)
    if outcome.measured != outcome.tier:
        console.print(f"standard {outcome.measured} {names[outcome.measured].zh}", soft_wrap=True)
    for flag in outcome.flags:
        console.print(f"flag {flag} {FLAGS[flag].zh} ({FLAGS[flag].en})", soft_wrap=True)
    for reason in outcome.reasons:
        limit, met = reason.limit, "met" if reason.met else "not met"
        scope = f"({limit.scope})" if limit.scope else ""
        value = "?" if reason.value is None else _number(reason.value)
        bound = "open" if limit.value is None else f"{limit.value:f}"
        line = f"{reason.tier}: {limit.metric}{scope} {value} {SIGNS[limit.operator]} {bound}: {met}"
        console.print(line, soft_wrap=True, markup=False)
    for one in outcome.decisions:
        text = {**REASONS, **REFUSALS}.get(one.reason)
        said = f"{text.zh} ({text.en})" if text else one.reason
        move = f" {one.before or '-'} → {one.after or '-'}" if one.before != one.after else ""
        console.print(f"{one.kind}{move}: {said}", soft_wrap=True, markup=False)


def _number(value: object) -> str:
    """An exact value for people: a decimal where it is one to the cent, else rounded with `about`."""
    from decimal import ROUND_HALF_EVEN, Decimal
    from fractions import Fraction

    exact = Fraction(str(value))
    near = (Decimal(exact.numerator) / Decimal(exact.denominator)).quantize(Decimal("0.01"), ROUND_HALF_EVEN)
    text = f"{near:f}".removesuffix(".00")
    return text if Fraction(near) == exact else f"about {text}"


@app.command("cases")
def cases(
    file: Path = typer.Argument(
        ..., help="A CSV table: case_id, scheme_id, customer_class, facts, expected_tier, why."
    ),
    pack: str = typer.Option("", help="Only the cases of this pack."),
) -> None:
    """Decide every row of a table of cases; every mismatch is printed, and the exit code is then 1."""
    from policies.deciding import run_cases
    from policies.facts import FactError

    if not file.is_file():
        raise CommandError(f"{file} is not there", code=BAD_INPUT)
    try:
        with file.open(encoding="utf-8", newline="") as lines:
            results = list(run_cases(lines, pack or None))
    except FactError as problem:
        raise CommandError(f"{file}: {problem}", code=BAD_INPUT) from problem
    for result in results:
        if not result.good:
            error(
                f"{result.case_id}: expected {result.expected}, {result.problem or f'got {result.tier}'}; {result.why}"
            )
    good = sum(result.good for result in results)
    console.print(f"{good} of {len(results)} cases as expected")
    if good < len(results) or not results:
        raise typer.Exit(FAILED_CHECK)


@app.command("diff")
def diff(
    old: str = typer.Argument(..., help="A pack that ships, or a YAML file."),
    new: str = typer.Argument(..., help="Another, or another version."),
    as_json: bool = JSON,
) -> None:
    """Show what differs between two packs, field by field; and what stands in the way of putting the new one into force."""
    from policies.diff import differences, obstacles

    before, after = read(old), read(new)
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
        console.print(f"not to be put into force: {reason}", soft_wrap=True, markup=False)
    if not changes:
        console.print("no difference")
