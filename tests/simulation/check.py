"""What must hold after a run: against the undisturbed engine byte for byte, and against the definitions to the fen.

Three references. The job fed without any fault with the blocks that the committed transactions had in them: the same
outputs, whatever died in between. The job fed the whole log in one go: the same closes, whatever the interleaving. The
slow twin, which knows neither engine nor ledger: the same standings, tiers and restatements.
"""

from __future__ import annotations

import json
from collections import Counter, defaultdict
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from aiokafka import TopicPartition

from agents.engine.changelog import COMMIT
from agents.engine.job import TP, Block
from agents.engine.record_batches import flat
from agents.standing.job import StandingJob
from schemas.codec.records import decode_one
from schemas.partitioner import partition_of
from schemas.topics import CLOSES, INPUTS, OWNERS
from tests.simulation import twin
from tests.simulation.bank import Event
from tests.simulation.log import encode
from tests.simulation.prefixes import Prefixes
from tests.standing.partition import CLOSE_OUTPUTS
from tests.standing.test_flow_recovery import held as flows_held
from tests.standing.test_recovery import profiles
from tests.standing.test_shared_accounts import held
from tests.streams.fast import differences, state

if TYPE_CHECKING:
    from tests.simulation.run import Simulation

OUTPUTS = (
    "standings", "outlooks", "tier-changes", "decisions", "restatements", "rm-alerts", "queue-priority", "dead-letters",
    "command-results",
)  # fmt: skip
IDS = {
    "standings": ("customer_id", "as_of"), "outlooks": ("customer_id", "as_of"), "tier-changes": ("event_id",),
    "decisions": ("event_id",), "command-results": ("event_id",),
    "restatements": ("event_id",), "rm-alerts": ("event_id",), "queue-priority": ("customer_ref", "version"),
    "dead-letters": ("topic", "partition", "offset"),
}  # fmt: skip
BY_ORDER = ("tier", "tier_effective", "flags", "previous_tier", "current_tier")  # where tiers move between closes
FLOW_TERMS = ("series", "since", "early")  # beside customers, of what is held of flows
Pair = tuple[bytes | None, bytes | None]


def everything(sim: Simulation) -> int:
    """Every check on every partition; failures go to the run. Gives the number of checks made."""
    count = claims(sim)
    for partition in range(sim.partitions):
        checks = Checks(sim, partition)
        checks.ids()
        checks.positions()
        checks.lineage()
        checks.one_go()
        checks.twin()
        checks.cases()
        checks.carried()
        checks.changelog()
        count += checks.made
    return count


def claims(sim: Simulation) -> int:
    """Every account that has a row was claimed for its customer, once, in the account's own partition. One check."""
    found = list[tuple[str, str]]()
    for partition in range(sim.partitions):
        for record in sim.cluster.logs[TopicPartition(sim.settings.topic(OWNERS), partition)].records():
            claim = decode_one(record.value or b"", name=OWNERS)
            found.append((claim["customer_id"], claim["account_id"]))
            if partition_of(claim["account_id"].encode(), sim.partitions) != partition:
                sim.fail(f"claim of {claim['account_id']} in partition {partition}")
    wanted = sorted(pair for job in sim.restored for pair in held(job.ledger))
    told = sorted(found if sim.claims_once else set(found))
    if told != wanted:
        sim.fail(f"claims of accounts: {parting(told, wanted)}")
    return 1


class Checks:
    """The checks of one partition."""

    def __init__(self, sim: Simulation, partition: int) -> None:
        self.sim, self.partition, self.made = sim, partition, 0
        self.said = {topic: [(r.key, r.value) for r in sim.cluster.logs[self.tp(topic)].records()] for topic in OUTPUTS}
        self.decoded = {topic: [decode_one(value or b"") for _, value in pairs] for topic, pairs in self.said.items()}
        self.commits = [c for c in sim.cluster.history if c.transactional_id.endswith(f"-{partition}")]
        self.inputs = {topic: list(sim.cluster.logs[self.tp(topic)].records()) for topic in INPUTS}

    def tp(self, topic: str) -> TopicPartition:
        """Kafka's partition of a topic."""
        return TopicPartition(self.sim.settings.topic(topic), self.partition)

    def same(self, what: str, found: Any, wanted: Any) -> None:
        """One check."""
        self.made += 1
        if found != wanted:
            self.sim.fail(f"partition {self.partition}: {what}: {parting(found, wanted)}")

    # -- the log by itself

    def ids(self) -> None:
        """Nothing doubled, by id; versions of a queue class rise."""
        for topic, names in IDS.items():
            ids = Counter(tuple(record[name] for name in names) for record in self.decoded[topic])
            self.same(f"doubled in {topic}", [i for i, n in ids.items() if n > 1], [])
        last: dict[str, int] = {}
        for record in self.decoded["queue-priority"]:
            self.same("version rises", record["version"] > last.get(record["customer_ref"], -1), True)
            last[record["customer_ref"]] = record["version"]

    def positions(self) -> None:
        """Positions never go back and reach the ends; every transaction left its own in the changelog; the group's agree."""
        changelog = self.sim.cluster.logs[TopicPartition(self.sim.conf.changelog, self.partition)]
        told = [json.loads(r.value or b"") for r in changelog.records() if r.key == COMMIT]
        self.same("@commit records", len(told), len(self.commits))
        before, group = dict.fromkeys(INPUTS, 0), dict.fromkeys(INPUTS, 0)
        for positions, commit in zip(told, self.commits, strict=False):
            self.same("positions that went back", [t for t in INPUTS if positions[t] < before[t]], [])
            before = positions
            group |= {topic: commit.offsets[self.tp(topic)] for topic in INPUTS if self.tp(topic) in commit.offsets}
            self.same("group ahead of the state", [t for t in INPUTS if group[t] > positions[t]], [])
        ends = {topic: self.sim.cluster.logs[self.tp(topic)].end for topic in INPUTS}
        self.same("last positions", before, ends)
        group = {t: self.sim.cluster.offsets.get((self.sim.settings.group, self.tp(t)), 0) for t in INPUTS}
        self.same("last offsets of the group", group, ends)

    # -- the engine without faults

    def block(self, topic: str, start: int, end: int) -> Block:
        """Committed records of [start, end), one batch each: offsets have gaps."""
        found = [r for r in self.inputs[topic] if start <= r.offset < end]
        batches = [r.offset.to_bytes(8, "big") + encode([(r.key, r.value)])[8:] for r in found]
        return Block(TP(topic, self.partition), start, end, batches, sum(map(len, batches)))

    def fresh(self) -> StandingJob:
        """A job at the start of everything."""
        job = StandingJob(self.sim.standing)
        job.begin(self.partition, dict.fromkeys(INPUTS, 0))
        return job

    def lineage(self) -> None:
        """Every output of a job that did what the committed transactions have in them and nothing else.

        Within a transaction the customers' order is that of memory, and has no meaning.
        """
        job, at, used, last = self.fresh(), dict.fromkeys(OUTPUTS, 0), Counter[int](), None
        prefixes = Prefixes(self.sim, self.partition)
        for number, commit in enumerate(self.commits):
            recorded, calls = commit.note
            if recorded is not last:
                rewind(job)
                last = recorded
            outputs = self.worked(job, recorded.calls[used[recorded.number] : calls])
            used[recorded.number] = calls
            for topic, wanted in outputs.items():
                found = self.said[topic][at[topic] : at[topic] + len(wanted)]
                self.same(f"{topic} against the undisturbed job", sorted(found), sorted(wanted))  # type: ignore[type-var]
                at[topic] += len(wanted)
            if number in prefixes.chosen:
                self.state_of(prefixes.restored(number), job, f"recovered behind transaction {number}")
        self.same("number of outputs", {topic: len(said) for topic, said in self.said.items()}, at)
        self.state_of(self.sim.restored[self.partition], job, "undisturbed")

    def worked(self, job: StandingJob, calls: list[tuple[str, int, int] | None]) -> dict[str, list[Pair]]:
        """What a job says to the calls another one got."""
        outputs: dict[str, list[Pair]] = defaultdict(list)
        for call in calls:
            if call is not None:
                job.feed(self.block(*call))
                continue
            for topic, items in job.work(live=True).outputs:
                outputs[topic] += flat(items)
        return outputs

    def one_go(self) -> None:
        """The closes of a job that gets the log in one go: the interleaving of the topics leaves no trace."""
        job, outputs = self.fresh(), {topic: list[Pair]() for topic in OUTPUTS}
        for topic in INPUTS:
            job.feed(self.block(topic, 0, self.sim.cluster.logs[self.tp(topic)].end))
        for topic, items in job.work(live=True).outputs:
            outputs[topic] += flat(items)
        for topic in CLOSE_OUTPUTS:
            found, wanted = (self.lasting(topic, pairs) for pairs in (self.said[topic], outputs[topic]))
            self.same(f"{topic} of the log in one go", found, wanted)
        self.state_of(self.sim.restored[self.partition], job, "one go", all_of_it=False)

    def lasting(self, topic: str, pairs: list[Pair]) -> list[Any]:
        """What no interleaving changes of the closes' records, sorted: all of it, unless tiers move between closes."""
        if not self.sim.bank.continuous:
            return sorted(pairs)  # type: ignore[type-var]
        if topic == "tier-changes":
            return []
        records = (decode_one(value or b"") for _, value in pairs)
        return sorted(str({k: v for k, v in record.items() if k not in BY_ORDER}) for record in records)

    def state_of(self, restored: StandingJob, job: StandingJob, what: str, *, all_of_it: bool = True) -> None:
        """The state restored from the changelog is that of a job; or but for what happens between closes."""
        self.same(f"state, {what}", differences(state(restored.ledger), state(job.ledger)), [])
        self.same(
            f"progress, {what}",
            (restored.progress, restored.decider.first_months),
            (job.progress, job.decider.first_months),
        )
        found, wanted = profiles(restored), profiles(job)
        if (
            not all_of_it
        ):  # alerts and what was published of queue classes may depend on the interleaving, and moving tiers
            left_out = dict.fromkeys(("published", *(("tier", "tier_day", "pending") * self.sim.bank.continuous)))
            found, wanted = ({c: (row | left_out, kept[:3]) for c, (row, kept) in p.items()} for p in (found, wanted))
        self.same(f"profiles, {what}", found, wanted)
        self.same(f"facts, {what}", facts_of(restored), facts_of(job))
        self.same(f"packs, {what}", packs_of(restored), packs_of(job))
        flows = flows_of if all_of_it else flows_known
        self.same(f"flows, {what}", flows(restored), flows(job))
        if all_of_it:
            cases, kept = ([one.decider.cases.open_cases() for one in (restored, job)],
                           [one.decider.case_desk.state() for one in (restored, job)])  # fmt: skip
            self.same(f"cases, {what}", *cases)
            self.same(f"what people made of cases, {what}", *kept)

    def changelog(self) -> None:
        """Holes of the journals as restored: numbers that never came, no others."""
        restored = self.sim.restored[self.partition]
        self.same("numbers missing in journals", int(restored.ledger.missing_numbers()), twin.missing(self.events()))

    # -- the definitions

    def events(self) -> list[Event]:
        """What the bank said in this partition."""
        return [
            e
            for tp, found in self.sim.feeder.told.events.items()
            if tp.partition == self.partition
            for e in found.values()
        ]

    def said_of(self, partition_topics: Iterable[str]) -> dict[str, dict[int, Event]]:
        """By topic and offset what the bank said."""
        return {topic: self.sim.feeder.told.events.get(self.tp(topic), {}) for topic in partition_topics}

    def twin(self) -> None:
        """Standings, tiers and restatements to the fen; tiers and restatements as far as the twin's scheme is in force."""
        told, bank = self.sim.feeder.told, self.sim.bank
        until = 0 if bank.continuous else bank.switch
        by_topic = self.said_of(topic for topic in INPUTS if topic != CLOSES)
        terms = twin.Terms(restatements=not bank.rates_change, until=until)
        twin.Twin(by_topic, told.cuts[self.partition], self.decoded, self.same, terms).compare()

    def cases(self) -> None:
        """Without acts the cases that are open follow from the events and closes alone: they are those of the slow twin."""
        if self.sim.bank.acts:
            return
        cuts, restored = self.sim.feeder.told.cuts[self.partition], self.sim.restored[self.partition]
        topics = self.said_of((*twin.LEDGER_TOPICS, "customers"))
        names = twin.CASE_FIGURES
        found = {c: tuple(case[name] for name in names) for c, case in restored.decider.cases.open_cases().items()}
        other = twin.corporate(topics["customers"].values())
        wanted = twin.open_cases(topics, cuts)
        self.same("open cases", *(sorted(x for x in cases.items() if x[0] not in other) for cases in (found, wanted)))
        self.met("open cases of the twin", len(wanted.keys() - other))

    def carried(self) -> None:
        """Counts what the run has had to do with, so that a test can say that seeds have met it all."""
        job, bank = self.sim.restored[self.partition], self.sim.bank
        versions = {version for _, version in packs_of(job)[1].values()}
        self.met("facts kept", len(facts_of(job)))
        self.met("flows kept", len(flows_of(job)) - len(FLOW_TERMS))
        self.met("later pack decides", len(versions - {self.sim.standing.pack.version}))
        moved = [change for change in self.decoded["tier-changes"] if change["reason"] == "continuous"]
        self.met("tiers moved between closes", len(moved) * bank.continuous)
        self.met("products told of", sum(record["kind"] == "product_maturing" for record in self.decoded["rm-alerts"]))

    def met(self, what: str, times: int) -> None:
        """Beside the counts of faults."""
        counts = self.sim.network.counts
        counts[what] = counts.get(what, 0) + times


def facts_of(job: StandingJob) -> dict[tuple[str, str], tuple[int, int, str]]:
    """(value, day, event) by fact and customer."""
    facts = job.decider.facts
    return {
        (name, job.ledger.customer_id(slot)): (int(facts.values[name][slot]), int(facts.days[name][slot]), event_id)
        for name, events in facts.event_ids.items()
        for slot, event_id in events.items()
    }


def flows_of(job: StandingJob) -> dict[str, Any]:
    """All that is held, but for the offset at which a flow begins: behind a record, or in front of the next, is the same."""
    return {name: what for name, what in flows_held(job).items() if name != "begun"}


def flows_known(job: StandingJob) -> dict[str, Any]:
    """Of flows the months that are known: of those before, what counts follows from when the pack came."""
    held, series = flows_of(job), job.decider.flows
    since = dict(enumerate(series._since))
    return {
        name: {head: value for head, value in what[0].items() if head[2] >= since[head[0]] >= 0}
        for name, what in held.items() if name not in FLOW_TERMS
    }  # fmt: skip


def packs_of(job: StandingJob) -> tuple[list[tuple[str, int]], dict[str, tuple[str, int]]]:
    """(id, version) of every pack in the book, and of those that decide."""
    packs = job.decider.packs
    running = {name: (pack.id, pack.version) for name, pack in packs.running.items()}
    return [(pack.id, pack.version) for pack in packs.book.packs], running


def rewind(job: StandingJob) -> None:
    """What was fed and not consumed is forgotten: the successor of a unit gets it anew."""
    positions = job.positions()
    job.closes.clear()
    for topic, lane in job.lanes.items():
        lane.chunks.clear()
        lane.fed = positions[topic]


def parting(found: Any, wanted: Any) -> str:
    """Where two values part, shortly."""
    if not isinstance(found, list) or not isinstance(wanted, list) or not wanted:
        return f"{str(found)[:600]} instead of {str(wanted)[:600]}"
    at = next((i for i, (f, w) in enumerate(zip(found, wanted, strict=False)) if f != w), min(len(found), len(wanted)))
    return f"{len(found)} instead of {len(wanted)}, at {at} {said(found[at : at + 1])} instead of {said(wanted[at : at + 1])}"


def said(pairs: Iterable[Any]) -> str:
    """Records in clear, where they are records."""
    out = []
    for pair in pairs:
        try:
            out.append(str(decode_one(pair[1])))
        except Exception:  # it is something else
            out.append(str(pair))
    return "; ".join(out)[:1500]
