"""One customer, one case, as who asks may see it: decided and on record first, and alike where there is none."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

from services.access.decision import DataKind
from services.desk.rights import FILE_KINDS, NotSeenError
from services.readmodel.reader import units_of

if TYPE_CHECKING:
    from services.access.decision import Actor
    from services.desk.queries import CustomerFile, DeskQueries, DeskRow
    from services.desk.rights import DeskRights

REFERENCE_FORM: Final = re.compile(r"[a-z2-7]{26}")
CASE_FORM: Final = re.compile(r"[A-Za-z0-9_.:-]{1,128}")
CASE_KINDS: Final = (DataKind.ALERTS,)


def customer_seen(rights: DeskRights, queries: DeskQueries, actor: Actor, reference: str) -> CustomerFile:
    """Everything about a customer. NotSeenError; psycopg.Error, and OSError where the look can't be recorded."""
    units = units_of(actor, DataKind.BALANCES)
    known: DeskRow | None = None
    if units and REFERENCE_FORM.fullmatch(reference):
        known = queries.whose(units, reference)
    about = known["customer_id"] if known else f"reference {reference}"
    rights.file(actor, known["unit"] if known else None, about, FILE_KINDS)
    file = queries.file(units, known["customer_id"]) if known else None
    if file is None:
        raise NotSeenError
    return file


def case_seen(rights: DeskRights, queries: DeskQueries, actor: Actor, case_id: str) -> DeskRow:
    """A case with its steps; failures as of `customer_seen`."""
    units = units_of(actor, DataKind.ALERTS)
    case = queries.case(units, case_id) if CASE_FORM.fullmatch(case_id) else None
    rights.file(actor, case["unit"] if case else None, f"case {case_id}", CASE_KINDS)
    if case is None:
        raise NotSeenError
    return case
