"""The standing job: one partition's events in; standings, tiers, outlooks, alerts, restatements, queue priorities out.

The engine (agents.engine.unit) drives it, the ledger (streams) computes, `decide` decides and `publish` encodes. No I/O.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable
from typing import Any

from agents.engine.job import TP, Block, Outcome, Pair, RecoveryError, Rows, Upgrade
from agents.engine.record_batches import Packed, texts
from agents.standing.decide import acts
from agents.standing.decide.close import Decider
from agents.standing.decide.packs import PACK_REFUSED
from agents.standing.intake.booked import BookedDays
from agents.standing.intake.lanes import Lane
from agents.standing.intake.placement import Placement
from agents.standing.intake.rate_keys import RATE_FIELDS, rate_named
from agents.standing.model import CLOSES_LEFT_OUT, DayClose, ForCloser, RowKey, StandingConf, Tally, left_out_by
from agents.standing.publish.bad_rows import BadRows
from agents.standing.publish.claims import Claims
from agents.standing.publish.handover import Handover
from agents.standing.publish.rotation import Rotation
from agents.standing.publish.versions import versioned
from policies.model.pack import Pack
from schemas.codec.blocks import Columns, Reader
from schemas.codec.status import Status
from schemas.topics import CLOSES, INPUTS
from schemas.validation.columns import InputCheck
from streams.accounts.findings import Candidate
from streams.accounts.ledger import Ledger
from streams.accounts.postings import BEYOND_HORIZON, COUNTED, DUPLICATES
from streams.accounts.store import Array
from streams.alerts import lifecycle
from streams.calendar import DAY_MAX, DAY_MIN, NO_DAY, business_day
from streams.closing import Run, is_set_aside
from streams.fields import (
    BAD_BASE,
    BAD_CURRENCY,
    BAD_DATE,
    DELETION,
    P_BOOKED,
    P_BRANCH,
    P_CUSTOMER,
    POSTING_FIELDS,
    S_CUSTOMER,
    SNAPSHOT_FIELDS,
)
from streams.money import EXPONENTS
from streams.reference import customer_ref, key_fingerprint
from streams.vocabulary.terms import CUSTOMER_CLASSES, SEVERITIES

_KEY, _ALERTS = "reference_key", "alert_key"  # of a fence: their fingerprints, the second where it is another one
JUDGING = ("transactions", "balances")  # their kernels judge each record as they come to it
CALENDAR_DAYS = 400  # of the calendar, that a fence tells ahead
OUTPUTS_MAX = 1 << 18  # records after which no further day is closed in the same transaction


class StandingJob:
    """See agents.engine.job.Job."""

    inputs = INPUTS
    state_format = 3
    unmarked_format = 2
    idempotent = True

    def __init__(self, conf: StandingConf) -> None:
        self.conf = conf
        # Fences of format 2 did not say which key of references the state goes with: it is the one of the upgrade.
        self.upgrades = {2: Upgrade({}, self._with_key)}
        self.ledger = Ledger(conf.base_currency, conf.zone)
        readers = {topic: Reader(topic, conf.registry) for topic in INPUTS}
        checks = {topic: InputCheck(topic, conf.zone) for topic in INPUTS if topic not in JUDGING}
        self.lanes = {
            topic: Lane(topic, one, Placement(one, 0, conf.partitions), checks.get(topic))
            for topic, one in readers.items()
        }
        _check_contracts(self.lanes)
        self.partition = 0
        self.booked = BookedDays(conf.zone, self.ledger)
        self.closes: list[DayClose] = []
        self.left_out = conf.left_out
        self.live = True
        self.progress = NO_DAY  # the last closed day that is committed
        self.names_written = 0
        self.missing = 0  # journal numbers in holes at the last close
        self.counts = Tally()
        self.decider = Decider(conf, self.ledger, self.counts)
        self.profiles, self.publisher = self.decider.profiles, self.decider.publisher
        self.bad_rows = BadRows(self.publisher, self.counts, lambda: self.decider.packs.book.packs)
        self.acts = acts.ActDesk(
            self.ledger, self.decider.lifecycle, self.decider.cases, self.publisher, conf.stamped_from
        )
        self.rotation = Rotation(conf.keys, self.ledger, self.publisher.show, self.publisher.retire, self.counts)
        self.handover = Handover(self.ledger, self._publish_anew, self.counts, shadow=conf.shadow)
        self.claims = Claims(self.publisher.registry, self.ledger, conf.partitions, kept=conf.claims)
        self._kept: str | None = None  # the reference key's fingerprint of the fence
        self.handlers: dict[str, Callable[[Columns, int, int], None]] = {
            "transactions": self._transactions,
            "balances": self._balances,
            "customers": self._customers,
            "fx-rates": self._rates,
            "facts": self._facts,
            "crm-actions": self._acts,
            "policies": self._policies,
        }

    # -- what the engine calls

    def begin(self, partition: int, positions: dict[str, int]) -> None:
        """Sets the next offset of every input. RecoveryError for a partition beyond those of the settings."""
        if partition >= self.conf.partitions:
            raise RecoveryError(
                f"there is a partition {partition}, but the setting says {self.conf.partitions} partitions: "
                "set TIDEGAUGE_PARTITIONS to the number that the topics have"
            )
        self.rotation.begin(self._kept)
        self.handover.begin()
        self.claims.begin(anew=self.handover.pending)  # what a shadow has claimed went to a topic of its own
        self.partition = partition
        self.publisher.begin(partition)
        self.decider.begin(self.progress, positions["transactions"])
        for topic, lane in self.lanes.items():
            lane.fed = positions[topic]
            lane.placement = Placement(lane.reader, partition, self.conf.partitions)
        self.ledger.catch_up()

    def feed(self, block: Block, stop: int | None = None) -> None:
        """Decodes a block into its lane."""
        fed = self.lanes[block.tp.topic].feed(block, stop)
        if fed is not None and block.tp.topic == "transactions":
            self.booked.see(fed, block.batches)

    def held_bytes(self, topic: str) -> int:
        """Bytes fed and not yet consumed."""
        return self.lanes[topic].held

    def has_own_work(self) -> bool:
        """A rotation of references, a handover, and claims of what was there go on by themselves."""
        return self.rotation.pending or self.handover.has_work or self.claims.waiting > 0

    def days(self) -> dict[str, int]:
        """The last closed and the newest booked day, where there is one."""
        found = {"closed_day": self.ledger.closed, "booked_day": self.booked.newest}
        return {name: day for name, day in found.items() if day != NO_DAY}

    def source_days(self) -> dict[str, int]:
        """The newest booked day of each source of postings."""
        return self.booked.of_sources()

    def positions(self) -> dict[str, int]:
        """Consumed offsets; a close that waits is not consumed."""
        return {
            topic: self.closes[0].offset if topic == CLOSES and self.closes else lane.position
            for topic, lane in self.lanes.items()
        }

    def work(self, live: bool) -> Outcome:
        """Consumes every lane up to the next mark, closes a day when all have reached it, and so on."""
        self.live, events, more = live, 0, False
        self.counts.take()
        self.decider.flows.follow(live=live)
        while True:
            self._read_closes()
            cut = self.closes[0].cut if self.closes else {}
            for topic, lane in self.lanes.items():
                if topic != CLOSES:
                    for columns, first, last in lane.segments(self.ledger.closed, cut.get(topic)):
                        events += self._consume(topic, columns, first, last)
            if not self.closes or not self._at_cut(self.closes[0]):
                break
            close = self.closes.pop(0)
            if close.aside:
                self._set_aside(close)
                continue
            self._close(close)
            if live and (more := self.publisher.count >= OUTPUTS_MAX):
                break
        return self._outcome(events, more)

    def _outcome(self, events: int, more: bool) -> Outcome:
        if self.live:
            self.decider.cases.look()
            self.decider.continuous.look()
        version = versioned(self.conf.epoch, sum(self.positions().values()))
        self.publisher.queue_changes(self.profiles.take_requeued(), version, both=self.rotation.both)
        if self.live:
            more |= self.rotation.step(version)
            more |= self.handover.step(version)
        outputs = self.publisher.take()
        rows = [*self.decider.take_rows()]
        if self.live:
            rows += [*self.rotation.take_rows(), *self.handover.take_rows()]
        if self.live and self.progress != self.ledger.closed:
            saved = {"closed": self.ledger.closed, "first_month": self.decider.first_months}
            rows.append((RowKey.PROGRESS, json.dumps(saved | self.decider.cases.progress()).encode()))
            self.progress = self.ledger.closed
        for name, at in (("duplicates", DUPLICATES), ("beyond_horizon", BEYOND_HORIZON)):
            self.counts.add(name, int(self.ledger.counters[at]))
        self.ledger.counters[:COUNTED] = 0
        if not self.live:
            return Outcome(events=events)
        return Outcome(outputs=outputs, rows=rows, events=events, more=more, counts=self.counts.take())

    def _publish_anew(self, slots: Array, version: int) -> None:
        self.decider.publish_anew(slots, version, both=self.rotation.both)

    # -- events

    def _consume(self, topic: str, columns: Columns, first: int, last: int) -> int:
        """Rows [first, last) of a lane into the state; bad ones into dead letters."""
        if handler := self.handlers.get(topic):
            handler(columns, first, last)
        self._tell_bad(topic, columns, first, last)
        return last - first

    def _tell_bad(self, topic: str, columns: Columns, first: int, last: int) -> None:
        if self.live:
            self.bad_rows.tell(self.lanes[topic], columns, first, last)

    def _transactions(self, columns: Columns, first: int, last: int) -> None:
        met = self.ledger.postings(columns.raw, columns.data, columns.status, columns.field, first, last, self.live)
        self.decider.flows.take(columns, first, last)
        if self.live:  # a replay finds their rows
            self.decider.transaction_counts.take(columns, first, last)
            self.decider.continuous.rows(columns, first, last, P_CUSTOMER)
        if self.ledger.cases is not None:
            self.decider.cases.take(columns, first, last, met)
            return
        for candidate in met:
            self._alert(columns, candidate)

    def _balances(self, columns: Columns, first: int, last: int) -> None:
        self.ledger.snapshots(columns.raw, columns.data, columns.status, columns.field, first, last)
        if self.live:
            self.decider.continuous.rows(columns, first, last, S_CUSTOMER)

    def _customers(self, columns: Columns, first: int, last: int) -> None:
        for i in range(first, last if self.live else first):  # a replay finds the rows, or newer ones
            if columns.status[i] == Status.OK:
                slot, moved = self.profiles.put(columns, i)
                self.decider.facts.put_dates(columns, i, slot)
                self.decider.profile(slot, moved)
            elif columns.status[i] == Status.TOMBSTONE:
                self._withdraw_profile(columns, i)

    def _withdraw_profile(self, columns: Columns, i: int) -> None:
        """A deletion, at its place in the log: as if no profile had been sent."""
        key = columns.key_bytes(i)
        columns.status[i] = self.lanes["customers"].placement.of_key(key) or Status.TOMBSTONE
        if columns.status[i] != Status.TOMBSTONE or key is None:
            return
        cause = f"customers/{self.partition}/{int(columns.offset[i])}"
        if (found := self.profiles.withdraw(key, cause)) is not None:
            slot, moved = found
            self.decider.facts.withdraw_dates(slot, cause)
            self.decider.profile(slot, moved)

    def _facts(self, columns: Columns, first: int, last: int) -> None:
        for i in range(first, last if self.live else first):  # a replay finds their rows
            if columns.status[i] == Status.OK:
                columns.status[i], columns.field[i] = self.decider.facts.put(columns, i)
        self.counts.add("marks_set_aside", self.decider.facts.marks.taken_aside())

    def _acts(self, columns: Columns, first: int, last: int) -> None:
        lane = self.lanes["crm-actions"]
        for i in range(first, last if self.live else first):
            if columns.status[i] == Status.OK and (record := lane.record(columns, i)) is not None:
                status, field = self.acts.take(record)
                columns.status[i], columns.field[i] = status, lane.reader.index.get(field, -1)
                self.counts.add("acts", status == Status.OK)

    def _policies(self, columns: Columns, first: int, last: int) -> None:
        lane = self.lanes["policies"]
        for i in range(first, last if self.live else first):
            if columns.status[i] != Status.OK or (record := lane.record(columns, i)) is None:
                continue
            taken = self.decider.packs.take(record, self.ledger.closed)
            if isinstance(taken, Pack):
                self.decider.know(taken)
                continue
            original = columns.original(i)
            self.publisher.dead_letter(
                "policies", int(columns.offset[i]), PACK_REFUSED, original, "body", "; ".join(taken)
            )
            self.counts.add("dead_letters")

    def _rates(self, columns: Columns, first: int, last: int) -> None:
        index = self.lanes["fx-rates"].reader.index
        for i in range(first, last):
            if columns.status[i] == Status.TOMBSTONE:
                self._withdraw_rate(columns, i)
            if columns.status[i] != Status.OK:
                continue
            row = columns.data[i]
            text = {name: columns.text_at(int(row[index[name]])) or "" for name in ("event_id", "currency", "base")}
            status = BAD_BASE if text["base"] != self.conf.base_currency else BAD_CURRENCY
            if status != BAD_BASE and text["currency"] in EXPONENTS:
                code = self.ledger.currencies.code(text["currency"])
                day, micro, version = (int(row[index[name]]) for name in ("rate_date", "rate_micro", "version"))
                status = self.ledger.rates.put(code, day, micro, version, text["event_id"])
            if status:
                columns.status[i], columns.field[i] = status, index[RATE_FIELDS[status]]

    def _withdraw_rate(self, columns: Columns, i: int) -> None:
        """A deletion: the version that its key names counts no more. What is closed stays."""
        if (named := rate_named(columns.key_bytes(i) or b"")) is None:
            columns.status[i] = DELETION
        elif named.base == self.conf.base_currency and named.currency in EXPONENTS:
            self.ledger.rates.withdraw(self.ledger.currencies.code(named.currency), named.day, named.version)

    def _alert(self, columns: Columns, candidate: Candidate) -> None:
        """Raises or deepens the alert of a rule that a debit has met."""
        slot, rule = candidate.customer, self.decider.pack.alerts.ids[candidate.rule]
        row, zone = columns.data[candidate.row], self.ledger.zone
        customer_id, event_id = self.ledger.customer_id(slot), columns.text_at(int(row[0])) or ""
        cause = lifecycle.Cause(
            "", rule, event_id, customer_id,
            int(business_day(int(row[P_BOOKED]), zone.starts, zone.offsets)), candidate.outflow,
            int(self.decider.pack.alerts.cool_down_days[candidate.rule]),
        )  # fmt: skip
        if event := lifecycle.react(self.profiles.alert(slot, rule), cause):
            if (
                event.status == lifecycle.RAISED
            ):  # only now, since most candidates come to nothing and an HMAC takes time
                alert_id = customer_ref(self.publisher.alert_key, f"{customer_id}/{rule}/{event_id}")
                event = event._replace(alert=event.alert._replace(alert_id=alert_id))
            self.profiles.set_alert(slot, rule, event.alert)
            severity = SEVERITIES[int(self.decider.pack.alerts.severity[candidate.rule])]
            window = int(self.decider.pack.alerts.window_days[candidate.rule])
            self.publisher.alert(event, cause, candidate, severity, window, columns.text_at(int(row[P_BRANCH])) or "")
            self.counts.add("alerts")

    # -- closes

    def _read_closes(self) -> None:
        """Takes close(D) records that are next: D behind the last closed day and behind what waits already."""
        lane = self.lanes[CLOSES]
        for columns, first, last in lane.segments(1 << 40, None):
            for i in range(first, last):
                if columns.status[i] != Status.OK:
                    continue
                day = int(columns.data[i, 0])
                if not DAY_MIN <= day < DAY_MAX:  # taken, it would leave every other day behind
                    columns.status[i], columns.field[i] = BAD_DATE, 0
                elif day > (applied := self._last_applied()):
                    if (record := lane.record(columns, i)) is None or record["retracts"] is not None:
                        continue
                    cut = {c["topic"]: c["offset"] for c in record["cut"] if c["partition"] == self.partition}
                    forced, run = record["force_reason"] is not None, (record["asked"], record["last_closed"])
                    aside = Run.of(day, *run) in self.left_out or is_set_aside(*run, applied, forced=forced)
                    self.closes.append(DayClose(day, cut, int(columns.offset[i]), aside))
            self._tell_bad(CLOSES, columns, first, last)

    def _last_applied(self) -> int:
        """The last day that is closed, or will be by the closes that wait."""
        return next((close.day for close in reversed(self.closes) if not close.aside), self.ledger.closed)

    def _at_cut(self, close: DayClose) -> bool:
        """Whether every topic has come to the marks.

        Closes of a run have the same marks: a replay that ends between two of them reads none, and each close that it
        reads was applied.
        """
        mark = self.live or close.aside
        return all(self.lanes[t].at_cut(c, mark=mark) for t, c in close.cut.items() if t in self.lanes)

    def _set_aside(self, close: DayClose) -> None:
        """A close that does not count: everything goes on past its marks."""
        for topic, cut in close.cut.items():
            if topic in self.lanes:
                self.lanes[topic].pass_mark(cut)
        self.counts.add("closes_set_aside")

    def _close(self, close: DayClose) -> None:
        self.decider.close(close, live=self.live)
        self._count_missing()

    def _count_missing(self) -> None:
        """Holes in the journals of the sources, opened or filled since the last close."""
        missing = self.ledger.missing_numbers()
        self.counts.add("missing_journal", max(0, missing - self.missing))
        self.counts.add("filled_journal", max(0, self.missing - missing))
        self.missing = missing

    # -- changelog

    def dirty_count(self) -> int:
        """Accounts changed since they were last taken, those to be claimed again, and a handover of which no fence tells yet."""
        return self.ledger.dirty_count() + self.claims.waiting + self.handover.untold

    def take_dirty(self, rows_max: int | None) -> tuple[list[Pair | Packed], bool]:
        """Account rows, after the names whose codes they use, and rows of their owners' flows."""
        out: list[Pair | Packed] = []
        if (known := self.ledger.names_known()) != self.names_written:
            out.append((RowKey.NAMES, json.dumps(self.ledger.dictionaries()).encode()))
            self.names_written = known
        slots, complete = self.ledger.dirty_slots(self.decider.flows.accounts_max(rows_max))
        if len(slots):
            keys = texts(self.ledger.account_ids(), self.ledger.account_refs(slots), RowKey.ACCOUNT)
            out.append(Packed(*keys, *self.ledger.encode(slots)))
            out += self.decider.flows.take_with(slots)
        return out, self.claims.take(slots, rows_max) and complete

    def take_elsewhere(self) -> list[tuple[TP, list[Packed]]]:
        """Claims of accounts whose rows were taken for the first time."""
        return self.claims.taken()

    def fence(self) -> bytes:
        """The ledger's clock and rates, what its amounts mean, and what the closer asks."""
        told = self._for_closer().entry() | self.handover.entry() | self.claims.entry()
        if self.left_out:
            told[CLOSES_LEFT_OUT] = sorted(self.left_out, key=str)
        return json.dumps(self._meaning() | self.ledger.fence() | told).encode()

    def _for_closer(self) -> ForCloser:
        newest, facts = self.booked.newest, self.decider.facts
        since = newest if self.ledger.closed == NO_DAY else min(newest, self.ledger.closed)
        calendar = {day: is_open for day, is_open in sorted(facts.calendar.items()) if 0 < day - since <= CALENDAR_DAYS}
        names = {*self.ledger.sources.all(), *facts.marks.complete, *facts.sources}
        behind = {source: day for source, day in sorted(self.booked.of_sources().items()) if day != newest}
        return ForCloser(newest, calendar, tuple(sorted(names)), dict(sorted(facts.marks.aside.items())), behind)

    def _with_key(self, meta: bytes) -> bytes:
        return json.dumps({_KEY: key_fingerprint(self.conf.reference_key)} | json.loads(meta)).encode()

    def _meaning(self) -> dict[str, str | None]:
        """The settings without which the state means something else."""
        conf = self.conf
        packs, layers = ",".join(p.id for p in (conf.pack, *conf.others)), conf.layers.id if conf.layers else None
        key, alerts = key_fingerprint(conf.reference_key), key_fingerprint(conf.keys.alerts)
        own = {} if alerts == key else {_ALERTS: alerts}
        return {
            _KEY: key,
            **own,
            "base_currency": conf.base_currency,
            "zone": conf.zone,
            "pack": packs,
            "layers": layers,
        }

    def load(self, rows: Iterable[tuple[bytes, bytes | None]]) -> None:
        """Rows by their first byte; a later one counts."""
        given = rows if isinstance(rows, Rows) else Rows.of(rows)
        self.decider.packs.load(given.take(given.raw[given.key] == RowKey.PACK[0]))  # deleted ones too
        given = given.take(given.value >= 0)
        kinds = given.raw[given.key]
        for _, value in given.take(kinds == RowKey.NAMES[0]):
            self.ledger.restore_names(json.loads(value or b""))
            self.decider.use_names()
        for _, value in given.take(kinds == RowKey.REFERENCES[0]):
            self.rotation.load(value or b"")
        for _, value in given.take(kinds == RowKey.HANDOVER[0]):
            self.handover.load(value or b"")
        for _, value in given.take(kinds == RowKey.PROGRESS[0]):
            saved = json.loads(value or b"")
            self.progress = saved["closed"]
            self.decider.cases.restore(saved)
            first = saved["first_month"]  # older rows have one for all classes
            self.decider.first_months |= first if isinstance(first, dict) else dict.fromkeys(CUSTOMER_CLASSES, first)
        self.decider.load(given)
        accounts = given.take(kinds == RowKey.ACCOUNT[0])
        self.ledger.load_rows(accounts.raw, accounts.key + 1, accounts.key_end, accounts.value)

    def load_fence(self, meta: bytes) -> None:
        """Clock and rates at the fence; the replay moves them on. RecoveryError if the state means another thing."""
        saved: dict[str, Any] = json.loads(meta)
        self._kept = saved.get(_KEY)
        self.claims.load(saved)
        alerts = {_ALERTS: key_fingerprint(self.conf.keys.alerts)}
        known = {_KEY: saved.get(_KEY)} | alerts | saved  # older ones lack the second
        rotating = self.rotation.comes_from(self._kept)
        mine_now = self._meaning() | alerts
        for name, mine in mine_now.items():
            if known.get(name) != mine and not (name == _KEY and rotating):
                what = f"{name} (fingerprint)" if name in (_KEY, _ALERTS) else name
                raise RecoveryError(
                    f"the state was kept with {what} {known.get(name)}, the setting is {mine}: "
                    "set it back; a log of its own (TIDEGAUGE_TOPIC_PREFIX) takes other settings"
                )
        self.left_out = self.publisher.left_out = left_out_by(meta)
        if self.conf.left_out - self.left_out:
            raise RecoveryError(
                "the state has counted closes that are to be left out: give the shadow a group of its own "
                "(`tidegauge worker --shadow`), that builds its state from the log"
            )
        self.ledger.restore(saved["closed"], saved["rates"])
        told = ForCloser.of_fence(meta)
        self.booked.restore(told)
        self.decider.facts.sources.update(told.sources)
        self.missing = self.ledger.missing_numbers()


def _check_contracts(lanes: dict[str, Lane]) -> None:
    """The kernels take fields by number: their order is the contracts' order, checked at every start."""
    for topic, fields in (("transactions", POSTING_FIELDS), ("balances", SNAPSHOT_FIELDS)):
        if list(lanes[topic].reader.fields) != list(fields):
            raise RuntimeError(f"the contract of {topic} is not the one the kernels were written for")
