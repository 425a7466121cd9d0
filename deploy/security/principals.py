"""The principals: each kind of process is one, and may do what its row says. Every ACL derives from here.

tests/deploy/test_principals.py compares the rows with the lists by which the processes themselves read and write.
"""

from dataclasses import dataclass
from typing import Final, Literal, NamedTuple

from deploy.topics import TOPIC_NAMES, WORLD, WRITTEN_BY_WORKERS

_KEYED: Final = ("transactions", "balances", "customers", "facts", "crm-actions")
_CLOSES, _POLICIES, _LETTERS = "business-days", "policies", "dead-letters"
_RECORD: Final = "audit-log"  # for who decides who may do what
_SENT: Final = (*_KEYED, "fx-rates", _POLICIES, _CLOSES)  # what goes into the workers
_STATES: Final = ("standings", "outlooks", "queue-priority")
_EVENTS: Final = ("tier-changes", "decisions", "restatements", "rm-alerts")
_STATE: Final = "{prefix}{group}-standing"  # changelog and transactional ids of the workers begin with it
_OWN_IDS: Final = "{prefix}tidegauge-"  # and those of everybody else

ResourceKind = Literal["topic", "group", "transactionalId", "cluster"]


class Acl(NamedTuple):
    """Rights on one thing, as Kafka and Strimzi name them; `prefixed`: on all whose names begin so."""

    kind: ResourceKind
    name: str
    prefixed: bool
    operations: tuple[str, ...]  # Read, Write, Create, Describe, DescribeConfigs


class RedisRule(NamedTuple):
    """Rights on keys: patterns behind the installation's prefix, whether they are written, and what is read beside them.

    sessions: those of people's logins are written in any case.
    """

    patterns: tuple[str, ...]
    writes: bool
    sessions: bool = False
    reads: tuple[str, ...] = ()


class TableRule(NamedTuple):
    """Rights on tables of PostgreSQL, with their schema; what is written may be read.

    units: reads what it shows to people, unit by unit, as READER_ROLE. makes: tables of its own, in schemas of its own.
    """

    reads: tuple[str, ...]
    writes: tuple[str, ...]
    units: bool = False
    makes: bool = False


READER_ROLE: Final = "tidegauge_reader"
"""A role of PostgreSQL that owns nothing and logs in nowhere: who reads for somebody takes it on for a transaction."""


_STAFF: Final = ("access.units", "access.staff", "access.absences", "access.grants", "access.imports")
_WHO: Final = ("access.staff", "access.grants")  # who asks, by a token or a session
_LINES: Final = ("access.units", "access.absences")  # beside them: who is accountable for whom
_MIGRATIONS: Final = "public.migrations"


SESSION_KEYS: Final = ("session:*", "logout:*")
_LISTS: Final = "-scan -randomkey -dbsize"  # commands of @read that tell which keys there are; KEYS is among @dangerous
_CLASSES: Final = ("priority:*", "fresh:*", "lacking:*", "view:world")


@dataclass(frozen=True, slots=True)
class Principal:
    """A kind of process. Topics are the catalogue's names; groups and ids are patterns of {prefix} and {group}."""

    name: str
    does: str
    reads: tuple[str, ...] = ()
    writes: tuple[str, ...] = ()
    reads_state: bool = False  # the workers' changelog
    keeps_state: bool = False  # writes it, and makes it
    manages: bool = False  # makes topics, and sees their configuration
    groups: tuple[str, ...] = ()  # joined, or committed for
    looks_at: tuple[str, ...] = ()  # groups whose offsets it asks for
    ids: tuple[str, ...] = ()  # what its transactional ids begin with
    redis: RedisRule | None = None
    tickets: RedisRule | None = None  # on the server for tickets
    tables: TableRule | None = None
    kafka: bool = True


PRINCIPALS: Final[tuple[Principal, ...]] = (
    Principal(
        "worker", "keeps standings: `tidegauge worker`",
        reads=(*_SENT, *_STATES, "account-owners", WORLD), writes=(*WRITTEN_BY_WORKERS, WORLD), keeps_state=True,
        reads_state=True, groups=("{group}", "{group}-owners"), ids=(f"{_STATE}-",),
    ),
    Principal(
        "views", "keeps the view in Redis: `tidegauge views`, `rebuild`",
        reads=("queue-priority", "standings", "rm-alerts", WORLD), writes=(_LETTERS, _RECORD),
        redis=RedisRule(("*",), writes=True),
        tables=TableRule(_WHO, ()),
    ),
    Principal(
        "readmodel", "keeps what the desk shows, in PostgreSQL: `tidegauge readmodel`",
        reads=("customers", "standings", "outlooks", "tier-changes", "restatements", "rm-alerts", "command-results", WORLD),
        writes=(_LETTERS, _RECORD), tables=TableRule(_WHO, (), makes=True),
    ),
    Principal(
        "notices", "turns alerts and arrivals into notices: `tidegauge notices`",
        reads=("rm-alerts", "notices", "customers", "queue-tickets", _CLOSES, _POLICIES, WORLD),
        writes=("notices", _LETTERS, _RECORD), groups=("{group}-alerts",),
        redis=RedisRule(("notice:*", "notices:*"), writes=True), tables=TableRule((*_WHO, *_LINES), ()),
    ),
    Principal(
        "loader", "sends what the bank has, and closes days: `tidegauge import`, `close`, `complete`, `holidays`, `check-source`",
        reads=(*_SENT, _LETTERS, WORLD), writes=(*_KEYED, "fx-rates", _POLICIES, _CLOSES, _LETTERS, _RECORD),
        reads_state=True,
        # By name: with the group `tidegauge` the workers' ids begin as these do, and who may use one can fence its worker.
        looks_at=("{group}",), ids=tuple(f"{_OWN_IDS}{name}" for name in ("closer", "facts")),
        tables=TableRule(_WHO, ()),
    ),
    Principal(
        "policy", "tries packs on the log and puts them into force: `tidegauge policy`",
        reads=(*_SENT, *_STATES, *_EVENTS, WORLD), writes=(_POLICIES, _RECORD), reads_state=True, looks_at=("{group}",),
        ids=(f"{_OWN_IDS}policies",), tables=TableRule(_WHO, ()),
    ),
    Principal(
        "desk", "looks at customers: `tidegauge standings`, `explain`, `outlook`, `alerts`",
        reads=(*_SENT, *_STATES, *_EVENTS, _LETTERS, WORLD), writes=(_RECORD,), reads_state=True, looks_at=("{group}",),
        redis=RedisRule(("*",), writes=False, sessions=True),
        tables=TableRule((*_WHO, *_LINES, "access.api_keys"), ("access.sessions",)),
    ),
    Principal(
        "commands", "takes commands, keeps the record, and serves the desk: `tidegauge commands`, `desk`, acts on cases",
        reads=("customers", "command-results", "rm-alerts", _POLICIES, WORLD), writes=("crm-actions", _RECORD),
        reads_state=True, looks_at=("{group}",),  # the bank's calendar, for the clock
        redis=RedisRule(("command:*",), writes=True, sessions=True, reads=("alert:*", "view:*")),
        tables=TableRule((*_WHO, "access.api_keys"), ("access.sessions",), units=True),
    ),
    Principal(
        "lookup", "tells kiosks queue classes, keeps tickets, and serves their pages: `tidegauge queue`",
        reads=("queue-priority", "queue-tickets", WORLD), writes=("queue-tickets", _RECORD),
        redis=RedisRule(_CLASSES, writes=False, sessions=True),
        tickets=RedisRule(("queue:*", "queues:*"), writes=True),
        tables=TableRule((*_WHO, "access.api_keys"), ("access.sessions",)),
    ),
    Principal(
        "reader", "a ticket system of the bank's own that reads queue classes in Redis: no command of Tidegauge",
        redis=RedisRule(_CLASSES, writes=False), kafka=False,
    ),
    Principal(
        "operator",
        "looks after all of it: `tidegauge topics`, `world`, `dead-letters`, `doctor`, `drain`, `simulate`, `demo`, `staff`",
        reads=TOPIC_NAMES, writes=(*_SENT, _LETTERS, WORLD, _RECORD), reads_state=True, manages=True,
        groups=("{group}", "{group}-alerts", "{group}-owners"), ids=(_OWN_IDS, f"{_STATE}-"),
        redis=RedisRule(("*",), writes=True), tickets=RedisRule(("*",), writes=True),
        tables=TableRule((), (*_STAFF, "access.api_keys", "access.sessions")),
    ),
)  # fmt: skip
BY_NAME: Final = {principal.name: principal for principal in PRINCIPALS}


def acls(principal: Principal, prefix: str, group: str) -> list[Acl]:
    """The least rights of a principal on Kafka, in a fixed order; none for one that has no business there."""
    if not principal.kafka:
        return []

    def filled(pattern: str) -> str:
        return pattern.format(prefix=prefix, group=group)

    found = []
    for topic in TOPIC_NAMES:
        given = ["Describe"]  # every process compares the topics with the log's identity
        given += ["Read"] * (topic in principal.reads) + ["Write"] * (topic in principal.writes)
        given += ["Create", "DescribeConfigs"] * principal.manages
        found.append(Acl("topic", prefix + topic, False, tuple(given)))
    state = ["Describe"] + ["Read"] * principal.reads_state + ["Write", "Create"] * principal.keeps_state
    if principal.reads_state or principal.looks_at:
        state += ["DescribeConfigs"] * principal.manages
        found.append(Acl("topic", filled(_STATE) + "-changelog", False, tuple(state)))
    found += [Acl("group", filled(name), False, ("Read", "Describe")) for name in principal.groups]
    found += [Acl("group", filled(name), False, ("Describe",)) for name in principal.looks_at]
    found += [Acl("transactionalId", filled(name), True, ("Write", "Describe")) for name in principal.ids]
    if principal.manages:
        found.append(Acl("cluster", "kafka-cluster", False, ("Describe", "DescribeConfigs")))
    return found


def redis_acl(principal: Principal, prefix: str, *, tickets: bool = False) -> str:
    """The rights of a principal on Redis, as ACL SETUSER takes them; empty for one that has no business there.

    prefix: what the installation's keys begin with. tickets: on the server for tickets.
    """
    rule = principal.tickets if tickets else principal.redis
    if rule is None:
        return ""
    # `~` for readers too: the server takes a script for one that writes its keys. What it may do there the commands say.
    keys = " ".join([f"~{prefix}{pattern}" for pattern in rule.patterns] + [f"%R~{prefix}{p}" for p in rule.reads])
    commands = "+@read +@scripting +@connection +time" + " +@write +@transaction" * rule.writes
    unlisted = "" if "*" in rule.patterns else f" {_LISTS}"  # who may read named keys is not told the others' names
    kept = " ".join(f"~{prefix}{pattern}" for pattern in SESSION_KEYS)
    own = f" ({kept} +@read +@write +@scripting +time -@dangerous {_LISTS})" if rule.sessions else ""
    return f"{keys} {commands} -@dangerous{unlisted} +info{own}"


def table_rights(principal: Principal) -> list[str]:
    """The rights of a principal on PostgreSQL, as statements; none for one that has no business there."""
    rule = principal.tables
    if rule is None:
        return []
    schemas = sorted({name.partition(".")[0] for name in (*rule.reads, *rule.writes)})
    found = [f'GRANT USAGE ON SCHEMA {", ".join(schemas)} TO "{principal.name}"']
    found.append(f'GRANT SELECT ON {", ".join((_MIGRATIONS, *rule.reads))} TO "{principal.name}"')
    if rule.writes:
        found.append(f'GRANT SELECT, INSERT, UPDATE ON {", ".join(rule.writes)} TO "{principal.name}"')
    if rule.makes:
        grant = f"format('GRANT CREATE ON DATABASE %I TO {principal.name}', current_database())"
        found.append(f"DO $$ BEGIN EXECUTE {grant}; END $$")
    return found
