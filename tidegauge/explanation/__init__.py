"""Makes every published decision about a customer again from the log, and says which hold (docs/tiers.md#evidence).

Twice: the customer's part of the log goes through the worker's own job, and every tier decision is judged from the values
it names by fractions of Python, the pack's criteria and the pure lifecycle. Where the log is no longer whole, the second
has to do.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from agents.engine import recovery
from agents.engine.job import RecoveryError
from agents.offline.standings import AsOfError, branches, columns_of, standings_at
from connectors.formats.events import Record
from schemas.topics import ACCOUNT_OWNER
from streams.closing import NOTHING_LEFT_OUT, Run
from streams.money import exponent
from streams.vocabulary.terms import OUTFLOW
from tidegauge.bootstrap import STANDING, standing_conf, standing_jobs
from tidegauge.explanation.judgment import Discrepancy, Judged, between_closes, discrepancies, discrepancy, judge
from tidegauge.explanation.log import Log, Told, read_log
from tidegauge.explanation.orders import ORDERS
from tidegauge.explanation.rerun import Replayed, first_conf, sent_packs, shipped
from tidegauge.world.withdrawn import is_withdrawn

if TYPE_CHECKING:
    from agents.standing.job import StandingJob
    from agents.standing.model import StandingConf
    from deploy.settings import Settings
    from policies.model.pack import Pack

HOLDS, DIFFERS, BY_EVIDENCE, UNKNOWN = "holds", "does_not_hold", "holds_by_its_evidence", "cannot_be_said"
WITHDRAWN: Final = "withdrawn"


@dataclass(slots=True)
class Verdict:
    """A published record, what was found of it, and why it does not hold.

    state: HOLDS, the log gives the very same; DIFFERS; BY_EVIDENCE, the log is no longer whole and nothing in the record
    speaks against it; UNKNOWN, neither can be said; WITHDRAWN, a close gave it that a takeover has left out.
    """

    told: Told
    state: str
    problems: list[Discrepancy] = field(default_factory=list)
    judged: Judged | None = None
    pack: Pack | None = None


@dataclass(slots=True)
class Explained:
    """All about a customer. `standing` has the columns of `tidegauge standings`, and `as_of`."""

    customer_id: str
    currency: str
    standing: Record | None = None
    standing_problem: str | None = None
    verdicts: list[Verdict] = field(default_factory=list)
    gaps: list[str] = field(default_factory=list)  # topics of which the log no longer holds the beginning
    loose: bool = False  # a pack decides between closes: what met what in a transaction is not in the log
    unpublished: list[str] = field(default_factory=list)  # what the log gives in any order and no topic has, so far
    branch: str | None = None  # that owns the customer
    unreadable: dict[str, int] = field(default_factory=dict)  # topic -> records that were left out

    def of(self, topic: str) -> list[Verdict]:
        """Those of a topic, oldest first."""
        return [verdict for verdict in self.verdicts if verdict.told.topic == topic]

    @property
    def holds(self) -> bool:
        """Whether nothing speaks against any record."""
        return not any(verdict.state == DIFFERS for verdict in self.verdicts)

    @property
    def known(self) -> bool:
        """Whether there is anything about the customer."""
        return bool(self.standing or self.verdicts)


async def explain(settings: Settings, wanted: str, left_out: frozenset[Run] = NOTHING_LEFT_OUT) -> Explained:
    """Everything about a customer, or about one decision by its id; `left_out`: closes that don't count.

    RecoveryError, KafkaError where it cannot be read.
    """
    for customer_id in customers_of(wanted):
        found = explained(standing_conf(settings, left_out=left_out), await read_log(settings, customer_id))
        if customer_id != wanted:
            found.verdicts = [verdict for verdict in found.verdicts if verdict.told.name == wanted]
        elif found.gaps:
            await _live(settings, found)
        if found.known and (customer_id == wanted or found.verdicts):
            return found
    return Explained(wanted, settings.base_currency)


def customers_of(wanted: str) -> list[str]:
    """Whom a customer number or the id of a decision may mean, likeliest first."""
    parts = wanted.split("/")
    return ["/".join(parts[:count]) for count in range(1, len(parts) + 1)]


def explained(conf: StandingConf, log: Log) -> Explained:
    """What the log says of everything that was published about a customer."""
    found = Explained(log.customer_id, conf.base_currency)
    closes, packs = log.closes(conf.registry, conf.left_out), [*conf.packs(), *sent_packs(log, conf.registry)]
    found.unreadable = dict(log.unreadable)
    found.gaps, found.loose = log.gaps(closes), any(map(between_closes, packs))
    conf = first_conf(conf, log, packs)
    runs = [Replayed(conf, log)]
    for told in log.told:
        record, pack = told.record, _pack(told, [*conf.packs(), *packs])
        verdict = Verdict(told, HOLDS, pack=pack)
        if told.topic == "tier-changes":
            verdict.judged = _judged(record, pack, conf, closes)
        verdict.state, verdict.problems = _state(told, verdict.judged, found, runs, conf, log)
        found.verdicts.append(verdict)
    names = {told.name for told in log.told}
    found.branch = branches(runs[0].job).get(log.customer_id)
    found.unpublished = _unpublished(names, runs, conf, log)
    _standing(found, runs[0].job)
    return found


def _unpublished(names: set[str], runs: list[Replayed], conf: StandingConf, log: Log) -> list[str]:
    """What every order of topics gives, and no topic has: a step of a case names what its transaction met last."""
    found = [name for name in runs[0].records if name not in names]
    for attempt in range(1, len(ORDERS)):
        if not found:
            break
        if attempt == len(runs):
            runs.append(Replayed(conf, log, attempt))
        found = [name for name in found if name in runs[attempt].records]
    return found


def _state(
    told: Told, judged: Judged | None, found: Explained, runs: list[Replayed], conf: StandingConf, log: Log
) -> tuple[str, list[Discrepancy]]:
    """Whether a record holds, and why not. Replays in another order of topics where the first gives another thing."""
    own = judged.problems if judged is not None else []
    problems: list[Discrepancy] = []
    for attempt in range(len(ORDERS)):
        if attempt == len(runs):
            runs.append(Replayed(conf, log, attempt))
        record = runs[attempt].records.get(told.name)
        problems = [discrepancy("absent")] if record is None else discrepancies(told.written, record)
        if not problems:
            return (DIFFERS, own) if own else (HOLDS, [])
        if record is None and is_withdrawn(told.record, conf.left_out):
            return WITHDRAWN, []
    if found.gaps or found.loose:
        return (DIFFERS, own) if own else (BY_EVIDENCE if judged is not None and judged.measured else UNKNOWN, [])
    if told.record.get("kind") == ACCOUNT_OWNER:  # the other owner's events are not in this customer's log
        return UNKNOWN, []
    # What an outflow meets between two closes is not in the log.
    if told.topic == "rm-alerts" and told.record.get("kind", OUTFLOW) == OUTFLOW:
        return UNKNOWN, problems
    return DIFFERS, [*own, *problems]


def _judged(record: Record, pack: Pack | None, conf: StandingConf, closes: dict[int, dict[str, int]]) -> Judged:
    """A tier change judged; one that says what can't be, such as a day that no calendar has, does not hold."""
    try:
        return judge(record, pack, exponent(conf.base_currency), closes)
    except (ValueError, ArithmeticError, LookupError) as impossible:
        return Judged(problems=[discrepancy("impossible", what=str(impossible))])


def _pack(told: Told, packs: Sequence[Pack]) -> Pack | None:
    """The pack that a record names: of the settings, of the topic `policies`, or one that ships."""
    if "pack_id" not in told.record:
        return None
    wanted = told.record["pack_id"], told.record["pack_version"]
    return next((pack for pack in packs if (pack.id, pack.version) == wanted), None) or shipped(*wanted)


def _standing(found: Explained, job: StandingJob) -> None:
    """The standing as of the last close, or why there is none."""
    day = job.ledger.closed
    try:
        row = next((row for row in standings_at(job, day) if row[0] == found.customer_id), None)
    except AsOfError as why:
        found.standing_problem = str(why)
        return
    if row is not None:
        found.standing = {"as_of": day, **dict(zip(columns_of([row]), row, strict=True))}


async def _live(settings: Settings, found: Explained) -> None:
    """The standing out of the live state, where the log no longer gives it."""
    from schemas.partitioner import partition_of

    partition = partition_of(found.customer_id.encode(), settings.partitions)
    found.standing = None
    try:
        job = await recovery.read_state(settings, standing_jobs(settings), partition, name=STANDING)
    except RecoveryError as why:
        found.standing_problem = str(why)
        return
    _standing(found, job)
