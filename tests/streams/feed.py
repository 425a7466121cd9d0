"""Events as dicts into a ledger, in blocks: the shape the codec gives, made by hand."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from streams.accounts.findings import Candidate
from streams.accounts.ledger import Ledger
from streams.accounts.store import NULL, REF_BITS
from streams.fields import POSTING_FIELDS, SNAPSHOT_FIELDS
from streams.vocabulary.terms import NATURES


def columns(events: Sequence[Mapping[str, Any]], fields: Sequence[str]) -> tuple[np.ndarray, np.ndarray]:
    """(raw, data) of events with the contract's field names."""
    raw, data = bytearray(), np.full((len(events), len(fields)), NULL, np.int64)
    for i, event in enumerate(events):
        for k, name in enumerate(fields):
            value = event.get(name)
            if name == "nature":
                value = NATURES.index(value or "unknown")
            if isinstance(value, str):
                data[i, k] = len(raw) << REF_BITS | len(value.encode())
                raw += value.encode()
            elif value is not None:
                data[i, k] = int(value)
    return np.frombuffer(bytes(raw) or b"\0", np.uint8), data


def feed(ledger: Ledger, events: Sequence[Mapping[str, Any]]) -> tuple[list[int], list[Candidate]]:
    """Feeds consecutive events of a topic as one block; the status of each event and the candidates found."""
    out, found, first = [], [], 0
    while first < len(events):
        last = first
        while last < len(events) and events[last]["topic"] == events[first]["topic"]:
            last += 1
        statuses, more = _feed_block(ledger, events[first:last])
        found += [c._replace(row=c.row + first) for c in more]
        out += statuses
        first = last
    return out, found


def _feed_block(ledger: Ledger, events: Sequence[Mapping[str, Any]]) -> tuple[list[int], list[Candidate]]:
    topic = events[0]["topic"]
    if topic == "fx-rates":
        code = ledger.currencies.code
        return [
            ledger.rates.put(code(e["currency"]), e["rate_date"], e["rate_micro"], e["version"], e["event_id"])
            for e in events
        ], []
    raw, data = columns(events, POSTING_FIELDS if topic == "transactions" else SNAPSHOT_FIELDS)
    status, field = np.zeros(len(events), np.uint8), np.full(len(events), -1, np.int16)
    if topic == "transactions":
        found = ledger.postings(raw, data, status, field, 0, len(events))
        return status.tolist(), found
    ledger.snapshots(raw, data, status, field, 0, len(events))
    return status.tolist(), []
