"""Full-list balance files: beside `balances-X.csv` a `balances-X.manifest.json` says that the list is complete.

An account of the list before that is absent from this one gets a zero snapshot (docs/aum.md#snapshots). That needs the
whole list, so a file with too few lines, or with a line that could not be read, draws no such conclusion.
"""

from pathlib import Path
from typing import Any, NamedTuple

from connectors.formats import fields
from connectors.formats.events import Event, InputError, Record, Report
from connectors.formats.fields import FieldError
from connectors.formats.json_text import read_json
from schemas import bounds
from schemas.bounded import read_bounded


class Manifest(NamedTuple):
    """What a full list states of itself."""

    source: str
    business_day: int
    cutoff_at: int
    rows: int
    previous: str | None  # the list before, if it isn't imported with this one


def manifest_path(file: Path) -> Path:
    """Where the manifest of a data file stands, if it has one."""
    return file.with_name(f"{file.name.removesuffix(file.suffix)}.manifest.json")


def manifest_of(file: Path, zone: str) -> Manifest | None:
    """The manifest beside a data file; None if there is none. InputError if it cannot be read."""
    path = manifest_path(file)
    if not path.exists():
        return None
    try:
        found = read_json(_read(path))
        if not isinstance(found, dict) or found.get("full_list") is not True:
            raise FieldError("full_list", "is not true")
        if unknown := sorted(set(found) - {"full_list", *Manifest._fields}):
            raise FieldError(unknown[0], "is no field of a manifest")
        return _manifest(found, zone)
    except FieldError as problem:
        raise InputError(str(path), 0, problem.field, problem.reason) from problem
    except ValueError as problem:
        raise InputError(str(path), 0, None, f"no JSON: {problem}") from problem


def _read(path: Path) -> str:
    """The text of a file that is small, or it is no manifest."""
    return read_bounded(path, bounds.SMALL_FILE_BYTES_MAX).decode("utf-8-sig")


def _manifest(found: dict[str, Any], zone: str) -> Manifest:
    previous = found.get("previous")
    return Manifest(
        source=fields.text("source", found.get("source")),
        business_day=fields.business_date("business_day", found.get("business_day")),
        cutoff_at=fields.instant("cutoff_at", found.get("cutoff_at"), zone),
        rows=fields.count("rows", found.get("rows")),
        previous=None if previous is None else fields.text("previous", previous),
    )


def zero_snapshots(
    file: Path,
    manifest: Manifest,
    events: list[Event],
    bad: int,
    known: dict[str, Record],
    report: Report,
) -> list[Event]:
    """Zero snapshots of the accounts in `known` that a full list no longer has; `known` becomes the list's accounts.

    `known` maps the source's accounts to their last record; `bad` counts the file's lines that were refused.
    """
    listed = {event.record["account_id"]: event.record for event in events}
    trouble = _trouble(manifest, events, bad)
    if trouble is not None:
        report(InputError(str(file), 0, trouble.field, f"{trouble.reason}; absent accounts are left as they are"))
        known.update(listed)
        return []
    gone = [record for account, record in known.items() if account not in listed]
    known.clear()
    known.update(listed)
    return [Event(manifest.business_day, "balances", _zero(record, manifest)) for record in gone]


def _trouble(manifest: Manifest, events: list[Event], bad: int) -> FieldError | None:
    if bad or len(events) != manifest.rows:
        return FieldError("rows", f"the manifest says {manifest.rows} lines, {len(events)} are good and {bad} bad")
    for event in events:
        for name in ("source", "business_day", "cutoff_at"):
            if event.topic != "balances" or event.record[name] != getattr(manifest, name):
                return FieldError(name, "a line differs from the manifest")
    return None


def _zero(record: Record, manifest: Manifest) -> Record:
    return record | {
        "event_id": f"absent:{manifest.source}:{record['account_id']}:{manifest.business_day}",
        "balance_minor": 0,
        "cutoff_at": manifest.cutoff_at,
        "business_day": manifest.business_day,
        "version": 1,
    }
