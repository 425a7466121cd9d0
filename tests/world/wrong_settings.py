"""A wrong value of every setting, the commands that read, and of which of them a wrong value must be refused."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from typing import Final, NamedTuple

from deploy.settings import SettingKind, Settings, kind_of
from tests.cli.invocation import Called

LINES_MAX: Final = 3
REFUSED_S: Final = 10.0
OTHER_KEY: Final = "another key for tests, also 32 bytes long"
NOWHERE: Final = "127.0.0.1:1"  # nothing answers there

# As the environment has them. `{other}`: a folder of nobody's.
VALUES: Final[dict[str, str]] = {
    "bootstrap_servers": NOWHERE, "redis_url": f"redis://{NOWHERE}/0", "schema_registry_url": f"http://{NOWHERE}",
    "schema_registry_user": "nobody", "schema_registry_password": "wrong", "schema_registry_token_url": f"http://{NOWHERE}",
    "schema_registry_client_id": "nobody", "schema_registry_client_secret": "wrong", "schema_registry_scope": "wrong",
    "schema_registry_ca": "{other}/no.pem", "data_dir": "{other}", "kafka_port": "1", "redis_port": "1", "brokers": "3",
    "kafka_heap_mb": "256", "kafka_home": "{other}", "maven_mirror": f"http://{NOWHERE}", "topic_prefix": "nowhere.",
    "partitions": "7", "group": "second", "metrics_port": "1", "metrics_host": "192.0.2.1", "flush_interval_s": "7",
    "base_currency": "CZK", "zone": "America/New_York", "pack": "abc-bands", "reference_key": OTHER_KEY,
    "reference_key_previous": OTHER_KEY, "reference_key_retire": "true", "alert_key": OTHER_KEY, "actor": "auditor:hq",
    "lang": "zh-CN", "webhook_url": f"http://{NOWHERE}/", "webhook_secret": "whsec_" + "AAAA" * 8,
    "mail_url": f"smtp://{NOWHERE}", "mail_user": "nobody", "mail_password": "wrong", "mail_ca": "{other}/no.pem",
    "mail_from": "nobody@nowhere.example", "mail_domain": "nowhere.example",
    "webhook_ca": "{other}/no.pem", "notice_locale": "en",
    "notice_texts": "{other}/no.yaml", "notice_hold_minutes": "1", "notice_hold_below": "critical",
    "notice_quiet": "00:00-23:59", "notice_cap": "1",
    "queue_default_class": "another", "lookup_port": "1",
    "commands_port": "1", "pages_port": "1", "desk_port": "1", "stamped_from": "2020-01-01",
    "lookup_metrics_port": "1", "tickets_url": f"redis://{NOWHERE}/0", "tickets_user": "nobody",
    "tickets_password": "wrong", "tickets_port": "1", "queue_stays": "true", "queue_key_rate": "1",
    "lookup_connections": "4", "lookup_rate": "1", "contracts": "2",
    "kafka_security_protocol": "SSL", "kafka_ca": "{other}/no.pem", "kafka_certificate": "{other}/no.pem",
    "kafka_key": "{other}/no.pem", "kafka_key_password": "wrong", "kafka_check_host": "false",
    "kafka_sasl_mechanism": "OAUTHBEARER", "kafka_user": "nobody", "kafka_password": "wrong",
    "kafka_token_url": f"http://{NOWHERE}", "kafka_client_id": "nobody", "kafka_client_secret": "wrong",
    "kafka_scope": "wrong", "redis_user": "nobody", "redis_password": "wrong", "redis_ca": "{other}/no.pem",
    "redis_certificate": "{other}/no.pem", "redis_key": "{other}/no.pem", "redis_check_host": "false",
    "postgres_port": "1", "database_url": f"postgresql://{NOWHERE}/nowhere", "database_user": "nobody",
    "database_password": "wrong", "database_ca": "{other}/no.pem", "database_certificate": "{other}/no.pem",
    "database_key": "{other}/no.pem", "database_check_host": "false", "token": "wrong", "token_issuer": "https://nowhere.example",
    "token_audience": "another", "token_keys": "{other}/no.json", "token_login_claim": "another",
    "token_ca": "{other}/no.pem",
    "login_url": "https://nowhere.example", "login_client": "another", "login_client_secret": "wrong",
    "session_idle_minutes": "1", "session_hours": "1", "development": "true", "lookup_open": "true",
}  # fmt: skip


def of_kind(kind: SettingKind) -> list[str]:
    """The settings of a kind."""
    return [name for name in Settings.model_fields if kind_of(name) is kind]


class Reading(NamedTuple):
    """A command that reads. `{day}`: the last closed day, `{next}`: the next; `{customer}`: has alerts, `{rm}`: his manager.

    `{letter}`: the place of a dead letter; `{today}`, `{ticket}`: a day and a ticket of branch B1.

    refuses: the settings of which a wrong value must be refused; the answer is the same with a wrong value of any other one.
    """

    words: str
    refuses: frozenset[str]


PLACE: Final = frozenset({"bootstrap_servers", "topic_prefix", "kafka_security_protocol"})
ALL: Final = PLACE | {"group", "base_currency", "zone", "pack", "reference_key", "alert_key", "data_dir"}
VIEW: Final = frozenset({"redis_url", "redis_ca", "topic_prefix", "reference_key"})
SERVERS: Final = frozenset({"redis_url", "tickets_url", "database_url", "schema_registry_url"})

READING: Final[dict[str, Reading]] = {
    "standings": Reading("standings --as-of {day}", ALL),
    "outlook": Reading("outlook {customer} --json", ALL),
    "explain": Reading("explain {customer} --json", ALL),
    "whatif": Reading("policy whatif --pack abc-bands --from 2026-01-01 --json", ALL),
    "alerts whatif": Reading("alerts whatif --pack rolling-quarter-aum --from 2026-01-01 --json", ALL),
    "alerts report": Reading("alerts report --month 2026-01 --json", PLACE | {"base_currency"}),
    "close": Reading("close {next} --dry-run --json", PLACE | {"group"}),
    "complete": Reading("complete bank {day} --dry-run --json", PLACE | {"group", "base_currency", "pack"}),
    "check-source": Reading("check-source --topic transactions --json", PLACE | {"zone", "base_currency"}),
    "dead-letters": Reading("dead-letters count --json", PLACE),
    "letters": Reading("dead-letters list --json", PLACE),
    "letter": Reading("dead-letters show {letter} --json", PLACE),
    "alerts": Reading("alerts --customer {customer} --json", VIEW),
    "manager": Reading("alerts --rm {rm} --json", VIEW),
    "waiting": Reading("notices waiting --json", PLACE | {"redis_url"}),
    "notices": Reading("notices list --json", PLACE | {"redis_url"}),
    "lookup": Reading("queue lookup {customer} --json", VIEW | {"zone", "data_dir"}),
    "day": Reading("queue day B1 {today} --json", PLACE | {"pack"}),
    "ticket": Reading("queue explain {ticket} --json", PLACE | {"pack"}),
    "compare": Reading("queue compare --json", PLACE | {"tickets_url"}),
    "keys": Reading("keys list --as administrator:hq --json", frozenset({"database_url", "database_ca"})),
    "topics": Reading("topics --json", PLACE),
    "schemas": Reading("schemas check --json", frozenset({"schema_registry_url"})),
    "world": Reading("world show --json", ALL),
    "doctor": Reading("doctor --json", ALL | SERVERS),
}

# Those whose answer tells what is wrong, where it is no refusal: the look-up gives the default class.
TELLS: Final[dict[str, Callable[[Called], bool]]] = {
    "lookup": lambda done: done.code == 0 and json.loads(done.out)["degraded"] is True,
    "topics": lambda done: done.code == 0 and {row["partitions"] for row in json.loads(done.out)} == {0},
    "world": lambda done: done.code == 1 and json.loads(done.out)["differences"] != [],
    "doctor": lambda done: done.code == 1 and "wrong" in {line["grade"] for line in json.loads(done.out)},
}
NO_REGISTRY: Final = "schemas"  # it refuses where none is set, as here

# Commands with --json and without --dry-run that are not tried, and why.
_ACTS: Final = "it starts, stops or changes something"
_ALONE: Final = "it asks no server: what it says is of files, packs and settings"
LEFT_OUT: Final[dict[str, str]] = {
    **dict.fromkeys(
        ("up", "drain", "schemas register", "keys issue", "keys revoke", "login", "logout", "commands send", "notices give-up",
         "alerts acknowledge", "alerts snooze", "alerts hand-over", "alerts resolve", "alerts comment", "alerts escalate",
         "alerts wake"), _ACTS,
    ),
    **dict.fromkeys(
        ("config show", "security acls", "whoami", "replay", "alerts evaluate", "alerts calibrate", "queue check-reference",
         "queue bound", "queue simulate", "queue estimates", "policy list", "policy show", "policy check", "policy decide",
         "policy cases", "policy diff", "policy describe", "notices preview"), _ALONE,
    ),
    "notices show": "it reads as `notices list` does, of one notice: tests/cli/test_notices.py",
    "alerts owners": "it needs lists of staff, which the bank here has not: tests/cli/test_owners.py",
}  # fmt: skip

# What runs on, how it says that it does, and the settings of which a wrong value must be refused.
PROCESSES: Final[dict[str, Sequence[str]]] = {
    "worker --metrics-port 0": [*of_kind(SettingKind.IDENTITY), "bootstrap_servers", "data_dir"],
    "views": ["bootstrap_servers", "topic_prefix", "redis_url"],
    "notices": [
        "bootstrap_servers",
        "topic_prefix",
        "redis_url",
        "group",
        "alert_key",
        "reference_key",
        "webhook_ca",
        "mail_ca",
        "notice_texts",
    ],
    "queue serve --port 0 --metrics-port 0": ["database_url"],  # of all else that is wrong it says `degraded`
    "queue pages --port 0": ["database_url"],
    "readmodel follow": ["bootstrap_servers", "topic_prefix", "database_url"],
    "desk serve --port 0": ["bootstrap_servers", "topic_prefix", "redis_url", "database_url"],
    "commands serve --port 0": ["bootstrap_servers", "topic_prefix", "redis_url"],
    "commands clock": ["bootstrap_servers", "topic_prefix", "redis_url", "group"],
}
SOME: Final = 1  # of each process's, in `make test`

# A command for some settings, which are tried as processes of their own in `make test`: one that reads it.
AS_PROCESS: Final[dict[str, str]] = {
    "bootstrap_servers": "standings", "redis_url": "alerts", "schema_registry_url": "dead-letters", "data_dir": "outlook",
    "topic_prefix": "waiting", "group": "close", "base_currency": "whatif", "zone": "lookup",
    "pack": "complete", "reference_key": "alerts", "alert_key": "explain", "actor": "outlook", "lang": "explain",
    "reference_key_previous": "explain", "queue_default_class": "lookup", "kafka_security_protocol": "standings",
    "kafka_user": "standings", "redis_ca": "alerts", "tickets_url": "compare", "database_url": "keys", "token": "explain",
    "development": "letters",
}  # fmt: skip

# Settings that no reading command reads here, and why.
_REGISTRY: Final = "of a registry, and none is set: tests/schemas"
_STACK: Final = "`tidegauge up` reads it: tests/deploy"
_ISSUER: Final = "of an issuer of tokens, and none is set: tests/services, tests/login"
_SERVED: Final = "a service that runs on reads it: where it listens, how much it takes"
_WORKER: Final = "workers read it, and count as they would without it"
_NOTICES: Final = "`tidegauge notices` reads it: tests/services"
ELSEWHERE: Final[dict[str, str]] = {
    **dict.fromkeys(
        (name for name in VALUES if name.startswith("schema_registry_") and name != "schema_registry_url"), _REGISTRY
    ),
    **dict.fromkeys(
        ("kafka_port", "redis_port", "tickets_port", "postgres_port", "brokers", "kafka_heap_mb", "kafka_home", "maven_mirror"),
        _STACK,
    ),
    **dict.fromkeys(("token_audience", "token_keys", "token_login_claim", "token_ca"), _ISSUER),
    **dict.fromkeys(("login_url", "login_client", "login_client_secret", "session_idle_minutes", "session_hours"), _ISSUER),
    **dict.fromkeys(
        ("lookup_port", "lookup_metrics_port", "commands_port", "pages_port", "desk_port", "queue_key_rate", "lookup_connections",
         "lookup_rate", "lookup_open"), _SERVED,
    ),
    **dict.fromkeys(("metrics_port", "metrics_host", "flush_interval_s", "stamped_from"), _WORKER),
    **dict.fromkeys(("webhook_url", "webhook_secret", "webhook_ca", "notice_locale", "notice_texts", "notice_hold_minutes",
         "notice_hold_below", "notice_quiet", "notice_cap"), _NOTICES),
    **dict.fromkeys(("mail_url", "mail_user", "mail_password", "mail_ca", "mail_from", "mail_domain"), _NOTICES),
}  # fmt: skip


def refusal(done: Called, seconds: float, command: str, limit_s: float = REFUSED_S) -> str:
    """What is wrong with a refusal; empty where it is a good one: a few lines, in time, and nothing else said.

    limit_s: more than REFUSED_S where the machine has other work besides.
    """
    if command in TELLS and done.out:
        wrong = "" if TELLS[command](done) else f"it tells of nothing wrong: {done.code} {done.out[:400]}"
        return wrong or late(seconds, limit_s)
    lines = done.err.splitlines()
    if done.code not in (1, 2) or done.out or not 0 < len(lines) <= LINES_MAX or "Traceback" in done.err:
        return f"no refusal: {done.code} {done.out[:200]} {done.err[:400]}"
    return late(seconds, limit_s)


def late(seconds: float, limit_s: float) -> str:
    """What is wrong with the time it took."""
    return "" if seconds < limit_s else f"after {seconds:.1f} s of {limit_s:.1f}"


def answer(command: str, done: Called) -> object:
    """What has to be the same. Of doctor's lines how they are graded: some say how much room there is."""
    if command != "doctor" or not done.out:
        return done.code, done.out
    return done.code, [(line["name"], line["grade"]) for line in json.loads(done.out)]


def fault(
    name: str, command: str, done: Called, right: Called, seconds: float, limit_s: float = REFUSED_S
) -> str:  # fmt: skip
    """What is wrong with an answer under a wrong setting; empty where nothing is. limit_s: as of `refusal`."""
    same = answer(command, done) == answer(command, right)
    must = name in READING[command].refuses
    wrong = "" if same and not must else refusal(done, seconds, command, limit_s)
    return f"TIDEGAUGE_{name.upper()}, {command}: {wrong}" if wrong else ""
