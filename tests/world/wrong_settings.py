"""A wrong value of every setting, the commands that read, and of which of them a wrong value must be refused."""

from __future__ import annotations

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
    "webhook_ca": "{other}/no.pem", "notice_locale": "en", "queue_default_class": "another", "lookup_port": "1",
    "commands_port": "1", "pages_port": "1", "stamped_from": "2020-01-01",
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


class Reading(NamedTuple):
    """A command that reads. `{day}`: the last closed day, `{next}`: the day after; `{customer}`: one with alerts.

    refuses: the settings of which a wrong value must be refused; the answer is the same with a wrong value of any other one.
    """

    words: str
    refuses: frozenset[str]


PLACE: Final = frozenset({"bootstrap_servers", "topic_prefix", "kafka_security_protocol"})
ALL: Final = PLACE | {"group", "base_currency", "zone", "pack", "reference_key", "alert_key", "data_dir"}
VIEW: Final = frozenset({"redis_url", "redis_ca", "topic_prefix", "reference_key"})

READING: Final[dict[str, Reading]] = {
    "standings": Reading("standings --as-of {day}", ALL),
    "outlook": Reading("outlook {customer} --json", ALL),
    "explain": Reading("explain {customer} --json", ALL),
    "whatif": Reading("policy whatif --pack abc-bands --from 2026-01-01 --json", ALL),
    "close": Reading("close {next} --dry-run --json", PLACE | {"group"}),
    "complete": Reading("complete bank {day} --dry-run --json", PLACE | {"group", "base_currency", "pack"}),
    "check-source": Reading("check-source --topic transactions --json", PLACE | {"zone", "base_currency"}),
    "dead-letters": Reading("dead-letters count --json", PLACE),
    "alerts": Reading("alerts --customer {customer} --json", VIEW),
    "waiting": Reading("notices waiting --json", PLACE | {"redis_url"}),
    "lookup": Reading("queue lookup {customer} --json", VIEW | {"zone", "data_dir"}),
}
LOOKUP: Final = "lookup"  # whose refusal is the default class, `degraded`

# A command for each setting, where it is tried as a process of its own in `make test`.
AS_PROCESS: Final[dict[str, str]] = {
    "bootstrap_servers": "standings", "redis_url": "alerts", "schema_registry_url": "dead-letters", "data_dir": "outlook",
    "topic_prefix": "waiting", "partitions": "standings", "group": "close", "base_currency": "whatif", "zone": "lookup",
    "pack": "complete", "reference_key": "alerts", "alert_key": "explain", "actor": "outlook", "lang": "standings",
    "flush_interval_s": "standings", "reference_key_previous": "explain", "reference_key_retire": "outlook",
    "queue_default_class": "alerts", "kafka_security_protocol": "standings", "kafka_user": "standings",
    "redis_ca": "alerts",
}  # fmt: skip


def refusal(done: Called, seconds: float, command: str, limit_s: float = REFUSED_S) -> str:
    """What is wrong with a refusal; empty where it is a good one: a few lines, in time, and nothing else said.

    limit_s: more than REFUSED_S where the machine has other work besides.
    """
    if command == LOOKUP and done.code == 0:
        return "" if '"degraded": true' in done.out else f"not degraded: {done.out}"
    lines = done.err.splitlines()
    if done.code not in (1, 2) or done.out or not 0 < len(lines) <= LINES_MAX or "Traceback" in done.err:
        return f"no refusal: {done.code} {done.out[:200]} {done.err[:400]}"
    return "" if seconds < limit_s else f"after {seconds:.1f} s of {limit_s:.1f}"


def fault(
    name: str, command: str, done: Called, right: Called, seconds: float, limit_s: float = REFUSED_S
) -> str:  # fmt: skip
    """What is wrong with an answer under a wrong setting; empty where nothing is. limit_s: as of `refusal`."""
    same = (done.code, done.out) == (right.code, right.out)
    must = name in READING[command].refuses
    wrong = "" if same and not must else refusal(done, seconds, command, limit_s)
    return f"TIDEGAUGE_{name.upper()}, {command}: {wrong}" if wrong else ""


def of_kind(kind: SettingKind) -> list[str]:
    """The settings of a kind."""
    return [name for name in Settings.model_fields if kind_of(name) is kind]
