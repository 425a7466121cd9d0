"""labels.csv: what each customer of a labelled world does, and whether an outflow case about him is right.

The columns are LABEL_COLUMNS; docs/alerts.md has their meaning. Money in minor units of the base currency, days as ISO dates.
"""

import csv
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any, Final, NamedTuple

from connectors.formats.events import InputError
from connectors.formats.fields import FieldError, business_date, count, one_of, text
from schemas import bounds
from schemas.bounded import open_bounded
from streams.calendar import shown_day

LEAVER, COUNTS_QUIET, EITHER = COUNTS_AS = ("leaver", "quiet", "either")
KIND_CHARS_MAX: Final = 64
CUSTOMER_BYTES_MAX: Final = 128  # as of every id
_SMALLER: Final = "score fewer customers at once"


class Label(NamedTuple):
    """A customer's way to behave. An episode of leaving has all of its days and its amount; another way may have none.

    day_80: the day on which 80 % of the amount was out.
    """

    customer_id: str
    kind: str
    first_day: int | None
    last_day: int | None
    amount_minor: int | None
    day_80: int | None
    counts_as: str


LABEL_COLUMNS: Final = Label._fields
_PARSERS: Final[dict[str, Callable[[str, Any], Any]]] = {
    "customer_id": text,
    "kind": text,
    "first_day": business_date,
    "last_day": business_date,
    "amount_minor": count,
    "day_80": business_date,
    "counts_as": lambda field, value: one_of(field, value, COUNTS_AS),
}
_DAYS: Final = ("first_day", "last_day", "day_80")
_ALWAYS: Final = ("customer_id", "kind", "counts_as")


def read_labels(path: Path) -> list[Label]:
    """The labels of a file, in its order; a customer who leaves several times has several.

    InputError with line and field for the first that cannot be taken, TooLargeError for a file beyond its bound, OSError.
    """
    with open_bounded(path, bounds.LABELS_BYTES_MAX, _SMALLER) as stream:
        whole = stream.read()
    try:
        lines = csv.reader(whole.decode("utf-8-sig").splitlines(), strict=True)
        header = next(lines, [])
        _check_header(path, header)
        found = [_label(path, lines.line_num, header, cells) for cells in lines if cells]
    except UnicodeDecodeError as problem:
        raise InputError(str(path), 0, None, f"no UTF-8 at byte {problem.start + 1}: save it as UTF-8") from None
    except csv.Error as problem:
        raise InputError(str(path), lines.line_num, None, f"broken quotes: {problem}") from None
    if not found:
        raise InputError(str(path), 0, None, "holds no label: is it the right file?")
    _check_customers(path, found)
    return found


def write_labels(path: Path, labels: Iterable[Label]) -> None:
    """A file that `read_labels` reads."""
    with path.open("w", encoding="utf-8", newline="") as stream:
        table = csv.writer(stream, lineterminator="\n")
        table.writerow(LABEL_COLUMNS)
        for label in labels:
            table.writerow(
                shown_day(value) if name in _DAYS and isinstance(value, int) else value
                for name, value in label._asdict().items()
            )


def _check_header(path: Path, header: list[str]) -> None:
    for name in LABEL_COLUMNS:
        if header.count(name) != 1:
            reason = "is missing in the header" if name not in header else "stands twice in the header"
            raise InputError(str(path), 1, name, f"{reason}: it takes {', '.join(LABEL_COLUMNS)}")
    if strangers := [name for name in header if name not in LABEL_COLUMNS]:
        raise InputError(str(path), 1, strangers[0], f"is no column of labels: they are {', '.join(LABEL_COLUMNS)}")


def _label(path: Path, line: int, header: list[str], cells: list[str]) -> Label:
    if len(cells) != len(header):
        raise InputError(str(path), line, None, f"{len(cells)} cells, the header has {len(header)}")
    row = dict(zip(header, cells, strict=True))
    try:
        values: list[Any] = [_PARSERS[name](name, row[name]) if row[name] else None for name in LABEL_COLUMNS]
        label = Label(*values)
        _check(label)
    except FieldError as problem:
        raise InputError(str(path), line, problem.field, problem.reason) from None
    return label


def _check(label: Label) -> None:
    for name in LABEL_COLUMNS if label.counts_as == LEAVER else _ALWAYS:
        if getattr(label, name) in (None, 0):
            raise FieldError(name, "is missing" + ("" if name in _ALWAYS else ": a leaver has all columns"))
    if len(label.customer_id.encode()) > CUSTOMER_BYTES_MAX:
        raise FieldError("customer_id", f"more than {CUSTOMER_BYTES_MAX} bytes")
    if len(label.kind) > KIND_CHARS_MAX:
        raise FieldError("kind", f"{len(label.kind)} characters, at most {KIND_CHARS_MAX} are taken")
    first, last, day_80 = label.first_day, label.last_day, label.day_80
    if first is not None and last is not None and last < first:
        raise FieldError("last_day", f"{shown_day(last)} is before first_day {shown_day(first)}")
    if label.counts_as == LEAVER and not (first or 0) <= (day_80 or 0) <= (last or 0):
        raise FieldError("day_80", f"{shown_day(day_80)} is not from first_day to last_day")


def _check_customers(path: Path, labels: list[Label]) -> None:
    """A customer is of one sort, and his episodes are apart from each other."""
    seen: dict[str, Label] = {}
    for label in sorted(labels, key=lambda one: (one.customer_id, one.first_day or 0)):
        before = seen.get(label.customer_id)
        if before is not None and before.counts_as != label.counts_as:
            reason = f"customer {label.customer_id} is {before.counts_as} in one line and {label.counts_as} in another"
            raise InputError(str(path), 0, "counts_as", reason)
        if before is not None and label.counts_as == LEAVER and (label.first_day or 0) <= (before.last_day or 0):
            raise InputError(str(path), 0, "first_day", f"two episodes of customer {label.customer_id} overlap")
        seen[label.customer_id] = label
