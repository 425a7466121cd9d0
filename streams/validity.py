"""What of an input record is right or wrong by itself, whatever came before it: one rule for files and topics.

Of text the codec has looked at already, see schemas.validation. What depends on the state (an account's other currency, a
posting too old) is the ledger's business.
"""

from __future__ import annotations

import datetime as dt

import numba as nb

from streams.accounts.store import NULL, Array
from streams.calendar import DAY_MAX, DAY_MIN, business_day, day_of
from streams.fields import (
    BAD_AMOUNT,
    BAD_DATE,
    BAD_INSTANT,
    BAD_NUMBER,
    BAD_VERSION,
    OK,
    P_AMOUNT,
    P_BOOKED,
    P_DAY,
    P_NUMBER,
    S_BALANCE,
    S_DAY,
    S_INSTANT,
    S_OPENED,
    S_VERSION,
)
from streams.kernels.refcounts import borrowed
from streams.money import AMOUNT_MAX

FIELD_BYTES_MAX = 512  # of a field; ids have streams.accounts.store.ID_BYTES_MAX
VALUE_AHEAD_DAYS = 400  # a value date may lie so far behind the booking
INSTANT_MAX = 1 << 45  # ms: far beyond every date taken
JOURNAL_MIN, JOURNAL_END = 1, 1 << 62
VERSION_END = 1 << 31  # of a balance; rates have more room
PROFILE_DAY_MIN = day_of(dt.date(1850, 1, 1))  # births and openings reach further back than business


@nb.njit(cache=True, nogil=True, forceinline=True)
def posting_fault(starts: Array, offsets: Array, d: Array) -> tuple[int, int, int]:
    """(OK or reason, field at fault, business day of the booking) of a posting by itself.

    `starts`, `offsets`: the bank's zone, as calendar.zone_table gives it; `d`: the record's columns.
    """
    if d[P_NUMBER] < JOURNAL_MIN or d[P_NUMBER] >= JOURNAL_END:
        return BAD_NUMBER, P_NUMBER, 0
    if d[P_AMOUNT] > AMOUNT_MAX or d[P_AMOUNT] < -AMOUNT_MAX:
        return BAD_AMOUNT, P_AMOUNT, 0
    if d[P_BOOKED] < -INSTANT_MAX or d[P_BOOKED] > INSTANT_MAX:
        return BAD_INSTANT, P_BOOKED, 0
    booked_day = business_day(d[P_BOOKED], starts, offsets)
    bad = _dates_fault(d[P_DAY], booked_day)
    return bad, P_DAY if bad == BAD_DATE else P_BOOKED, booked_day


@nb.njit(cache=True, nogil=True, forceinline=True)
def snapshot_fault(starts: Array, offsets: Array, d: Array) -> tuple[int, int, int]:
    """(OK or reason, field at fault, business day of the cut-off) of a balance snapshot by itself; as posting_fault."""
    if d[S_BALANCE] > AMOUNT_MAX or d[S_BALANCE] < -AMOUNT_MAX:
        return BAD_AMOUNT, S_BALANCE, 0
    if d[S_VERSION] < 0 or d[S_VERSION] >= VERSION_END:
        return BAD_VERSION, S_VERSION, 0
    if d[S_INSTANT] < -INSTANT_MAX or d[S_INSTANT] > INSTANT_MAX:
        return BAD_INSTANT, S_INSTANT, 0
    opened = d[S_OPENED]
    if opened != NULL and (opened < PROFILE_DAY_MIN or opened > d[S_DAY] or opened >= DAY_MAX):
        return BAD_DATE, S_OPENED, 0
    cut_day = business_day(d[S_INSTANT], starts, offsets)
    bad = _dates_fault(d[S_DAY], cut_day)
    return bad, S_DAY if bad == BAD_DATE else S_INSTANT, cut_day


@nb.njit(cache=True, nogil=True, forceinline=True)
def _dates_fault(day: int, booked_day: int) -> int:
    """OK, or which of value date and booking cannot be right."""
    if booked_day < DAY_MIN or booked_day >= DAY_MAX:
        return BAD_INSTANT
    if day < DAY_MIN or day >= DAY_MAX or day > booked_day + VALUE_AHEAD_DAYS:
        return BAD_DATE
    return OK


@nb.njit(cache=True, nogil=True)
def judge_postings(starts: Array, offsets: Array, data: Array, status: Array, field: Array) -> None:
    """Gives good rows of postings that are wrong by themselves their status and field."""
    starts, offsets, data = borrowed(starts), borrowed(offsets), borrowed(data)
    for i in range(len(status)):
        if status[i] == OK:
            bad, at, _ = posting_fault(starts, offsets, data[i])
            status[i], field[i] = bad, -1 if bad == OK else at


@nb.njit(cache=True, nogil=True)
def judge_snapshots(starts: Array, offsets: Array, data: Array, status: Array, field: Array) -> None:
    """As judge_postings, of balance snapshots."""
    starts, offsets, data = borrowed(starts), borrowed(offsets), borrowed(data)
    for i in range(len(status)):
        if status[i] == OK:
            bad, at, _ = snapshot_fault(starts, offsets, data[i])
            status[i], field[i] = bad, -1 if bad == OK else at
