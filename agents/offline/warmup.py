"""Runs every kernel of the standing job once on a few events, before a worker joins its group.

Kernels are compiled when they are first called, which takes up to a minute on a new machine. A worker that did so while
it holds partitions would miss its heartbeats and lose them.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any, Final

import numpy as np

from agents.engine.job import Block
from agents.engine.record_batches import Packed, batches, flat
from agents.offline.memory_log import MemoryLog, _batch
from agents.offline.replay import work
from agents.owners.compare import OwnersSeen
from agents.standing.job import StandingJob
from agents.standing.model import StandingConf
from policies import load_pack
from schemas.codec.records import encode
from schemas.registry import file_registry
from schemas.topics import INPUTS
from streams.calendar import DAY_MS

DAY: Final = 20_453  # the last of a month, so that the second close evaluates tiers
FOREIGN: Final = "USD"
WITH_CASES: Final = "rolling-quarter-aum"
OUTFLOW_DAYS: Final = 9  # makes its number in the journal another one


def warm_up(conf: StandingConf) -> None:
    """Events of every kind, closes over the end of a month, and the state written and read back.

    Kernels that the pack does not use are among them: one that uses them may take over while the worker runs.
    """
    _run(conf)
    if not any(scheme.cases for scheme in conf.pack.classes.values()):
        _run(replace(conf, pack=load_pack(WITH_CASES), others=(), layers=None))


def _run(conf: StandingConf) -> None:
    log = MemoryLog(lambda topic, record: encode(topic, record, conf.registry))
    conf = replace(conf.alone(), claims=True)
    job = StandingJob(conf)
    job.begin(0, dict.fromkeys(INPUTS, 0))
    job.decider.continuous.watch(wanted=True)  # its kernel too: a pack that asks for it may come later
    foreign = FOREIGN if conf.base_currency != FOREIGN else "EUR"
    log.record("fx-rates", _rate(foreign, conf.base_currency))
    for sequence, (currency, amount, day) in enumerate(
        (
            (conf.base_currency, 900_000_000, DAY - 40),
            (foreign, 5_000, DAY - 1),
            (conf.base_currency, -700_000_000, DAY),
        ),
        1,
    ):
        log.record("transactions", _posting(sequence, currency, amount, day))
    log.record("balances", _snapshot(conf.base_currency, DAY - 1))
    for day in (DAY - 1, DAY, DAY + 1):
        log.close(day)
        work(job, log.blocks(), None)
        log.record("transactions", _posting(day, conf.base_currency, -1, DAY - 35))  # into a closed month
        log.record("balances", _snapshot(conf.base_currency, day + 1))
        if day == DAY:  # tiers are known: money that leaves now is told of
            log.record("transactions", _posting(DAY + OUTFLOW_DAYS, conf.base_currency, -150_000_000, DAY + 1))
    job.decider.states.net_in(np.zeros(0, np.int64), DAY)  # of a kind of alert that a pack may have later
    rows, _ = job.take_dirty(None)
    for item in rows:
        if isinstance(item, Packed):
            list(batches(item, 1 << 16, None))
    for at, items in job.take_elsewhere():
        claims = [*flat(items)]
        OwnersSeen(conf.registry or file_registry()).take(Block(at, 0, len(claims), [_batch(0, claims)], 0))
    positions, meta = job.positions(), job.fence()
    again = StandingJob(conf)
    again.load((key, value) for key, value in flat(rows) if key is not None)
    again.load_fence(meta)
    again.begin(0, positions)


def _posting(sequence: int, currency: str, amount: int, day: int) -> dict[str, Any]:
    return {
        "event_id": f"w{sequence}", "source": "warm", "journal_seq": sequence, "customer_id": "w",
        "account_id": f"w{currency}", "asset_class": "savings", "currency": currency, "amount_minor": amount,
        "value_date": day, "booked_at": day * DAY_MS, "nature": "external", "customer_initiated": True, "branch": "w",
        "channel": None,
        "counterparty_bank": "w", "counterparty_ref": None, "reverses": None,
    }  # fmt: skip


def _snapshot(currency: str, day: int) -> dict[str, Any]:
    return {
        "event_id": f"s{day}", "source": "warm", "customer_id": "w",
        "account_id": f"w{currency}", "asset_class": "savings",
        "currency": currency, "balance_minor": day, "cutoff_at": day * DAY_MS, "business_day": day, "version": 1,
        "opened_on": None, "branch": "w",
    }  # fmt: skip


def _rate(currency: str, base: str) -> dict[str, Any]:
    return {
        "event_id": "r", "currency": currency, "base": base, "rate_micro": 7_000_000, "rate_date": DAY - 60,
        "version": 1,
        "source": "warm",
    }  # fmt: skip
