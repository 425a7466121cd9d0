"""`tidegauge policy`: the packs that ship, and a check of a bank's own."""

import json
from pathlib import Path

import typer

from tidegauge.cli.out import BAD_INPUT, FAILED_CHECK, CommandError, console, error

app = typer.Typer(help="List, show and check policy packs.", no_args_is_help=True)


@app.command("list")
def list_(as_json: bool = typer.Option(False, "--json", help="For machines.")) -> None:
    """List the packs that ship, with version, effective date and tiers."""
    from policies import available_packs, load_pack

    packs = [load_pack(name) for name in available_packs()]
    rows = [
        {
            "pack": pack.id,
            "version": pack.version,
            "effective_from": pack.effective_from.isoformat(),
            "name": {"zh": pack.name.zh, "en": pack.name.en},
            "tiers": {kind: [tier.id for tier in policy.tiers] for kind, policy in pack.classes.items()},
        }
        for pack in packs
    ]
    if as_json:
        typer.echo(json.dumps(rows, ensure_ascii=False, indent=1))
        return
    for row in rows:
        console.print(f"{row['pack']} version {row['version']}, from {row['effective_from']}: {row['name']['en']}")


@app.command("show")
def show(pack: str = typer.Argument(..., help="A pack that ships, or a YAML file.")) -> None:
    """Print a pack as it is written."""
    from policies import PackError, load_pack

    try:
        typer.echo(load_pack(pack).body)
    except PackError as problem:
        raise CommandError(str(problem), code=BAD_INPUT) from problem


@app.command("check")
def check_(files: list[Path] = typer.Argument(..., help="YAML files.")) -> None:
    """Check packs; every problem is named by file, line and field, and the exit code is 1."""
    from policies import check

    bad = 0
    for file in files:
        if not file.is_file():
            raise CommandError(f"{file} is not there", code=BAD_INPUT)
        problems = check(file)
        bad += len(problems)
        for problem in problems:
            error(str(problem))
        if not problems:
            console.print(f"{file}: good")
    if bad:
        raise typer.Exit(FAILED_CHECK)
