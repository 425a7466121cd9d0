"""Wrong uses of the command line, one a row: exit code 1 or 2, at most three lines on stderr, and what to do about it."""

from pathlib import Path
from typing import NamedTuple

import pytest

from deploy.settings import KEY_BYTES_MIN
from tests.cli import wrong_files
from tests.cli.invocation import NOWHERE, Called, call, commands
from tidegauge.cli.operation import drain
from tidegauge.world import changes, check

ROOT = Path(__file__).resolve().parents[2]
LINES_MAX = 3


class Wrong(NamedTuple):
    """A wrong use. `words`: `{at}` is the folder of wrong_files; `says`: what stderr has to name, thing and remedy."""

    words: str
    code: int
    says: tuple[str, ...]
    env: dict[str, str] = {}  # noqa: RUF012 (never changed)


KAFKA = ("127.0.0.1:1", "tidegauge up", "TIDEGAUGE_BOOTSTRAP_SERVERS")
DATABASE = ("127.0.0.1", "tidegauge up", "TIDEGAUGE_DATABASE_URL")
REDIS = ("127.0.0.1:1", "tidegauge up", "TIDEGAUGE_REDIS_URL")
JAN = "--as-of 2026-01-31"
WRONG = [
    # Servers that do not answer, for every command that needs one.
    *(Wrong(words, 1, KAFKA, NOWHERE) for words in (
        f"standings {JAN}", "outlook C1", "explain C1", "close 2026-01-31", "complete core 2026-01-31",
        "complete core 2026-01-31 --retract",
        "import {at}/good --format ndjson", "simulate --into-kafka --customers 1", "worker", "views", "rebuild", "notices",
        "readmodel follow", "readmodel rebuild", "desk try --port 0",
        "policy activate abc-bands", "policy whatif --pack abc-bands --from 2026-01-31", "topics --wait 0.2",
        "topics --create --wait 0.2", "dead-letters list", "dead-letters count", "dead-letters show transactions/0/1",
        "dead-letters redrive --topic transactions", "world show", "world adopt --reason x", "world rebuild --reason x",
        "world takeover second --reason x",
        "drain", "check-source --topic facts", "holidays {at}/holidays-good.csv", "policy retract abc-bands 1",
        "notices waiting", "notices list", "notices show n1", "notices give-up n1 --reason x",
        "notices resend n1 --reason x",
        "alerts whatif --pack abc-bands --from 2026-01-31",
        "alerts owners", "alerts report --month 2026-01",
        "queue compare B1", "queue restore B1", "queue explain B1-1", "queue day B1 2026-01-31",
    )),
    *(Wrong(words, 1, REDIS, NOWHERE) for words in (
        "alerts --customer C1", "queue lookup --ref x", "alerts acknowledge c1 --as rm:east", "alerts wake c1 --as service:hq",
        "alerts snooze c1 --until 2026-01-31 --as rm:east", "alerts hand-over c1 --to rm-2 --as rm:east",
        "alerts comment c1 x --as rm:east",
        "alerts resolve c1 --outcome kept --reason x --as rm:east", "alerts escalate c1 --level 1 --as service:hq",
        "desk serve --port 0", "commands serve --port 0", "commands clock", "commands send {at}/staff.csv --as rm:east",
    )),
    *(Wrong(words, 1, DATABASE, NOWHERE) for words in (
        "database migrate", "database migrate --dry-run", "staff import {at}/staff.csv", "staff import {at}/staff.csv --dry-run",
        "keys issue kiosk hq/east/0102", "keys list", "keys revoke 0011223344556677",
    )),
    # Settings.
    *(Wrong("database migrate", 2, ("TIDEGAUGE_DATABASE_URL: ", "postgresql://"), {"TIDEGAUGE_DATABASE_URL": url})
      for url in ("db.bank:5432", "mysql://h/d", "postgresql://h", "postgresql://h:99999/d")),
    Wrong("database migrate", 2, ("TIDEGAUGE_DATABASE_CA", "no.pem"),
          {"TIDEGAUGE_DATABASE_URL": "postgresql://h/d", "TIDEGAUGE_DATABASE_CA": "{at}/no.pem"}),
    Wrong("config show", 2, ("are both set", "set one of them"),
          {"TIDEGAUGE_KAFKA_PASSWORD": "x", "TIDEGAUGE_KAFKA_PASSWORD_FILE": "x"}),
    Wrong("topics", 2, ("needs TIDEGAUGE_KAFKA_USER", "docs/security.md"), {"TIDEGAUGE_KAFKA_SECURITY_PROTOCOL": "SASL_SSL"}),
    Wrong("alerts --rm r", 2, ("TIDEGAUGE_REDIS_CA", "rediss://"), {"TIDEGAUGE_REDIS_CA": "{at}/no.pem"}),
    Wrong("security acls root", 2, ("no principal 'root'", "worker")),
    Wrong("security acls --form x", 2, ("--form", "acls --help")),
    Wrong("topics", 2, ("TIDEGAUGE_PARTITION ", "mean TIDEGAUGE_PARTITIONS?"), {"TIDEGAUGE_PARTITION": "9"}),
    Wrong("policy list", 2, ("TIDEGAUGE_LANGUAGE ", "mean TIDEGAUGE_LANG?"), {"TIDEGAUGE_LANGUAGE": "en"}),
    Wrong("close 2026-01-31", 2, ("TIDEGAUGE_XYZZY ", "docs/settings.md"), {"TIDEGAUGE_XYZZY": "1"}),
    Wrong("topics", 2, ("TIDEGAUGE_PARTITIONS: ", "docs/settings.md"), {"TIDEGAUGE_PARTITIONS": "many"}),
    Wrong("topics", 2, ("and 2 more", "docs/settings.md"),
          {"TIDEGAUGE_PARTITIONS": "0", "TIDEGAUGE_ZONE": "Nowhere/City", "TIDEGAUGE_BROKERS": "9"}),
    Wrong("alerts --rm r", 2, ("TIDEGAUGE_REDIS_URL: ", "redis://"), {"TIDEGAUGE_REDIS_URL": "localhost:6379"}),
    Wrong("alerts --rm r", 2, ("TIDEGAUGE_REDIS_URL: ", "redis://"), {"TIDEGAUGE_REDIS_URL": "redis://h:port"}),
    Wrong("rebuild", 2, ("TIDEGAUGE_REDIS_URL: ", "redis://"), {"TIDEGAUGE_REDIS_URL": "redis://h:99999/0"}),
    Wrong("topics", 2, ("TIDEGAUGE_BOOTSTRAP_SERVERS: ", "host:port"), {"TIDEGAUGE_BOOTSTRAP_SERVERS": "kafka"}),
    Wrong("topics", 2, ("TIDEGAUGE_BOOTSTRAP_SERVERS: ", "host:port"), {"TIDEGAUGE_BOOTSTRAP_SERVERS": "a:1,b:x"}),
    Wrong(f"standings {JAN}", 2, ("is no actor", "ROLE:UNIT"), {"TIDEGAUGE_ACTOR": "boss"}),
    *(Wrong("queue lookup C1", 2, ("reference.key", "backup"), {"TIDEGAUGE_DATA_DIR": f"{{at}}/{kind}-key"})
      for kind in ("binary", "empty")),
    Wrong("schemas check", 2, ("no registry is set", "TIDEGAUGE_SCHEMA_REGISTRY_URL")),
    Wrong("schemas check", 1, ("no answer from the registry", "TIDEGAUGE_SCHEMA_REGISTRY_URL"),
          {"TIDEGAUGE_SCHEMA_REGISTRY_URL": "http://127.0.0.1:1"}),
    Wrong("schemas register", 2, ("no registry is set", "TIDEGAUGE_SCHEMA_REGISTRY_URL")),
    Wrong("schemas register", 1, ("no answer from the registry", "TIDEGAUGE_SCHEMA_REGISTRY_URL"),
          {"TIDEGAUGE_SCHEMA_REGISTRY_URL": "http://127.0.0.1:1"}),
    Wrong("doctor", 2, ("TIDEGAUGE_PARTITIONS: ", "docs/settings.md"), {"TIDEGAUGE_PARTITIONS": "many"}),
    Wrong("dead-letters redrive", 2, ("redrive which", "--topic")),
    *(Wrong(f"dead-letters {words} --topic weather", 2, ("weather", "queue-priority", f"{words} --help"))
      for words in ("list", "count", "redrive")),
    Wrong("dead-letters show", 2, ("place", "show --help")),
    Wrong("dead-letters show transactions/0/1 --whole --as rm:hq/east", 2, ("may not see", "--as")),
    Wrong("worker", 2, ("no-such", "policy list"), {"TIDEGAUGE_PACK": "no-such"}),
    Wrong(f"replay {{at}}/good --format ndjson {JAN}", 2, ("broken.yaml", "docs/policies.md"),
          {"TIDEGAUGE_PACK": "{at}/broken.yaml"}),
    # Words that no command takes.
    Wrong("colse", 2, ("colse", "--help")),
    Wrong("policy chek x", 2, ("chek", "tidegauge policy --help")),
    Wrong("close", 2, ("day", "close --help")),
    Wrong("close 2026-01-31 --jsn", 2, ("--json", "close --help")),
    Wrong("close 31.01.2026", 2, ("2026-01-31", "close --help")),
    Wrong("close 9999-12-31", 2, ("no business day", "2099-12-31")),
    Wrong("close 2026-02-30", 2, ("2026-02-30", "close --help")),
    Wrong("close 20260131", 2, ("2026-01-31", "close --help")),
    Wrong("complete core yesterday", 2, ("yesterday", "complete --help")),
    Wrong("complete core", 2, ("day", "complete --help")),
    Wrong("standings --as-of tomorrow", 2, ("tomorrow", "standings --help")),
    Wrong("standings", 2, ("--as-of", "standings --help")),
    Wrong("worker --loglevel FOO", 2, ("FOO", "warning")),
    Wrong("worker --metrics-port 99999", 2, ("--metrics-port", "65535")),
    Wrong("queue serve --port 99999", 2, ("--port", "65535")),
    Wrong("queue pages --port 99999", 2, ("--port", "65535")),
    Wrong("queue pages --port 0", 2, ("server for tickets", "TIDEGAUGE_TICKETS_URL"), NOWHERE),
    Wrong("commands serve --port 99999", 2, ("--port", "65535")),
    Wrong("commands clock now", 2, ("unexpected", "now")),
    Wrong("alerts owners --limit 0", 2, ("--limit", "greater")),
    Wrong("alerts owners --as teller:hq", 2, ("teller", "alerts")),
    Wrong("alerts report", 2, ("--month", "report --help")),
    Wrong("alerts report --month 2026-13", 2, ("2026-13", "no month")),
    Wrong("alerts report --month 2026-01 --out {at}/x.xlsx", 2, ("x.xlsx", ".csv")),
    Wrong("alerts report --month 2026-01 --unit west --as branch_manager:east", 2, ("unit west", "--as")),
    Wrong("desk serve --port 99999", 2, ("--port", "65535")),
    Wrong("desk serve --host 192.0.2.1 --port 0", 2, ("without an issuer", "TIDEGAUGE_TOKEN_ISSUER")),
    Wrong("desk try --port 99999", 2, ("--port", "65535")),
    Wrong("readmodel follow now", 2, ("(now)", "follow --help")),
    Wrong("readmodel rebuild now", 2, ("(now)", "rebuild --help")),
    Wrong("commands send /nowhere/some.ndjson --as rm:east", 2, ("/nowhere/some.ndjson", "No such file")),
    Wrong("queue serve --port 0 --metrics-port 0", 1, ("PostgreSQL", "tidegauge up"), NOWHERE),
    Wrong("queue serve --host 192.0.2.1 --port 0", 2, ("192.0.2.1", "--port")),
    Wrong("queue lookup", 2, ("whose", "--ref")),
    Wrong("queue lookup C1 --ref x", 2, ("whose", "not both")),
    Wrong("queue check-reference a b", 2, ("(b)", "check-reference --help")),
    Wrong("notices", 2, ("TIDEGAUGE_NOTICE_TEXTS: ", "none.yaml: No such", "docs/alerts.md"),
          {"TIDEGAUGE_NOTICE_TEXTS": "{at}/none.yaml"}),
    Wrong("notices preview", 2, ("TIDEGAUGE_NOTICE_TEXTS: ", "list.yaml:1: ", "mapping"),
          {"TIDEGAUGE_NOTICE_TEXTS": "{at}/list.yaml"}),
    Wrong("notices preview --texts {at}/broken.yaml", 2, ("--texts: ", "broken.yaml:", "unknown language")),
    Wrong("notices resend n1", 2, ("resend why?", "--reason")),
    Wrong("notices resend --reason x", 2, ("IDS", "resend --help")),
    Wrong("notices preview --kind inflow", 2, ("'inflow'", "large_inflow")),
    Wrong("notices", 2, ("TIDEGAUGE_WEBHOOK_CA", "docs/settings.md"), {"TIDEGAUGE_WEBHOOK_CA": "{at}/none"}),
    Wrong("notices waiting --jsn", 2, ("--json", "waiting --help")),
    Wrong("notices wating", 2, ("wating", "tidegauge notices --help")),
    Wrong("notices list --state sended", 2, ("sended", "--state")),
    Wrong("notices show", 2, ("notice_id", "notices show --help")),
    Wrong("notices give-up", 2, ("which", "--all")),
    Wrong("notices give-up n1 --all --reason x", 2, ("which", "--all")),
    Wrong("notices give-up n1", 2, ("why", "--reason")),
    Wrong("world show --reason x", 2, ("--reason", "show --help")),
    Wrong("world adopt", 2, ("--reason", "adopt --help")),
    Wrong("world adopt --reason x --as boss", 2, ("is no actor", "ROLE:UNIT")),
    Wrong("world takeover", 2, ("group", "takeover --help")),
    Wrong(f"world rebuild --reason {'x' * 201}", 2, ("why", "200 characters")),
    Wrong("drain --wait 0", 2, ("--wait", "drain --help")),
    Wrong("drain --metrics-port 99999", 2, ("--metrics-port", "65535")),
    Wrong("doctor --jsn", 2, ("--json", "doctor --help")),
    Wrong("check-source", 2, ("--topic", "check-source --help")),
    Wrong("check-source --topic weather", 2, ("weather", "fx-rates")),
    Wrong("check-source --topic customers --source core", 2, ("profiles", "--source")),
    Wrong("check-source --topic facts --limit 0", 2, ("--limit", "check-source --help")),
    Wrong("check-source --topic facts --as teller:east", 2, ("may not", "--as")),
    Wrong("alerts", 2, ("whom", "--customer")),
    Wrong("alerts --customer C1 --rm r", 2, ("whom", "exactly one")),
    Wrong("alerts --customer C1 --limit 0", 2, ("--limit", "alerts --help")),
    Wrong("alerts evalute", 2, ("evalute", "tidegauge alerts --help")),
    Wrong("alerts evaluate", 2, ("--world", "evaluate --help")),
    Wrong("alerts evaluate --world {at}/none", 2, ("none is no folder", "labels.csv")),
    Wrong("alerts evaluate --world {at}/good", 2, ("labels.csv", "name right")),
    Wrong("alerts evaluate --world {at}/labels-alone", 2, ("labels-alone", "right folder")),
    Wrong("alerts evaluate --world {at}/labels-wrong", 2, ("labels.csv:2: counts_as", "docs/formats")),
    Wrong("alerts evaluate --world {at}/labels-alone --cases /nonexistent/x.csv", 2, ("/nonexistent/x.csv", "folder")),
    Wrong("alerts evaluate --world {at}/labels-alone --pack no-such", 2, ("no-such", "policy list")),
    Wrong("alerts acknowledge", 2, ("case", "acknowledge --help")),
    Wrong("alerts acknowledge c1", 2, ("may not acknowledge", "--as")),
    Wrong("alerts snooze c1", 2, ("--until", "snooze --help")),
    Wrong("alerts hand-over c1", 2, ("--to", "hand-over --help")),
    Wrong("alerts resolve c1 --outcome fine --reason x", 2, ("--outcome", "resolve --help")),
    Wrong("alerts comment c1", 2, ("text", "comment --help")),
    Wrong(f"alerts comment c1 {'x' * 1001} --as rm:east", 2, ("1000 characters", "shorter")),
    Wrong("alerts escalate c1 --level 10", 2, ("--level", "escalate --help")),
    Wrong("alerts wake", 2, ("case", "wake --help")),
    Wrong("alerts whatif", 2, ("--pack", "whatif --help")),
    Wrong("alerts whatif --pack abc-bands --from 2026-01-31 --as teller:east", 2, ("may not", "--as")),
    Wrong("alerts whatif --pack abc-bands --from 2026-01-31 --files {at}/nothing", 2, ("no ndjson", "docs/formats")),
    Wrong("alerts whatif --pack abc-bands --from 2026-01-31 --out /nonexistent/x.csv", 2, ("/nonexistent/x.csv", "folder")),
    Wrong("alerts calibrate --files {at}/good", 2, ("--lines", "calibrate --help")),
    Wrong("alerts calibrate --files {at}/good --lines 5", 2, ("made to leave", "130 days")),
    Wrong("alerts calibrate --files {at}/nothing --lines 5", 2, ("no ndjson", "docs/formats")),
    Wrong("simulate --labelled --into-kafka", 2, ("files only", "--out")),
    Wrong("simulate --labelled --months 5 --out {at}/x", 2, ("at least 6 months", "--months")),
    Wrong("alerts --branch 0103 --as rm:east/0102", 2, ("0103", "--as")),
    Wrong(f"standings {JAN} --as teller:east", 2, ("may not", "--as")),
    Wrong("explain C1 --lang fr", 2, ("'fr'", "zh-CN")),
    Wrong("demo --lang fr", 2, ("'fr'", "zh-CN")),
    Wrong("outlook", 2, ("customer", "outlook --help")),
    Wrong("views --metrics-port 99999", 2, ("--metrics-port", "65535")),
    Wrong("up --brokers many", 2, ("--brokers", "up --help")),
    Wrong("up --kafka-port 0", 2, ("--kafka-port", "up --help")),
    Wrong("up --data {at}/file/below", 1, ("data folder", "--data")),
    Wrong("down --data", 2, ("--data", "--help")),
    Wrong("down everything", 2, ("everything", "down --help")),
    Wrong("topics --wait 0", 2, ("--wait", "topics --help")),
    # Files in.
    Wrong("import {at}/none --format csv", 2, ("none", "is not there")),
    Wrong("import {at}/good --format foo", 2, ("foo", "parquet")),
    Wrong("import {at}/good", 2, ("--format", "import --help")),
    Wrong("import {at}/nothing --format csv", 2, ("no csv file", ".csv")),
    Wrong("import {at}/header --format csv", 2, ("holds no good row", "right file")),
    Wrong("import {at}/empty --format csv", 2, ("holds no good row", "right file")),
    Wrong("import {at}/spaces --format csv", 2, ("holds no good row", "right file")),
    Wrong("import {at}/cr --format csv", 2, ("CR", "LF")),
    Wrong("import {at}/twice --format csv", 2, ("event_id", "twice")),
    Wrong("import {at}/foreign --format csv", 2, ("weather", "docs/formats.md")),
    Wrong("import {at}/unnamed --format csv", 2, ("list.csv", "name has to begin with")),
    Wrong("import {at}/data.parquet --format parquet", 2, ("no Parquet file", "docs/formats.md")),
    Wrong("import {at}/good --format berka", 2, ("good", "docs/formats.md")),
    Wrong("import {at}/silent --format ndjson", 2, ("2026-09-01", "--silence-days 224")),
    Wrong("import {at}/good --format ndjson --until 2026-01-10", 2, ("2026-01-20", "--until")),
    Wrong("import {at}/good --format ndjson --until 2099-12-31", 2, ("2099-12-31", "--silence-days")),
    Wrong("import {at}/good --format ndjson --until 2026-02-01 --no-close-days", 2, ("--no-close-days", "leave one")),
    Wrong("import {at}/good --format ndjson --duplicate 101", 2, ("--duplicate", "import --help")),
    Wrong("holidays {at}/none.csv", 2, ("none.csv", "name right")),
    Wrong("holidays {at}/good", 2, ("good", "path right")),
    Wrong("holidays {at}/holidays-gbk.csv", 2, ("holidays-gbk.csv", "UTF-8")),
    Wrong("holidays {at}/holidays-empty.csv", 2, ("holidays-empty.csv", "date,bank")),
    Wrong("holidays {at}/holidays-header.csv", 2, ("holidays-header.csv", "no days")),
    Wrong("holidays {at}/holidays-date.csv", 2, (":2: date", "2026-10-01")),
    Wrong("holidays {at}/holidays-word.csv", 2, (":2: bank", "open nor closed")),
    Wrong("holidays {at}/holidays-columns.csv", 2, ("holidays-columns.csv", "date,bank")),
    Wrong("staff import {at}/staff.csv --as teller:east", 2, ("may not write staff", "--as")),
    Wrong("staff import {at}/staff.csv --as administrator:hq/east", 2, ("may not write staff", "--as")),
    Wrong("login", 2, ("as whom?", "--as ROLE:UNIT")),
    Wrong("login --as boss:hq", 2, ("no actor", "ROLE:UNIT")),
    Wrong(
        "login --as rm:hq", 2, ("nobody to log in at", "TIDEGAUGE_TOKEN_ISSUER"),
        {"TIDEGAUGE_DATABASE_URL": "postgresql://db.bank/t"},
    ),
    Wrong("login --as rm:hq", 2, ("--as counts only", "without it"), {"TIDEGAUGE_TOKEN_ISSUER": "https://login.bank"}),
    Wrong("login", 1, ("gives no answer", "TIDEGAUGE_TOKEN_ISSUER"), {"TIDEGAUGE_TOKEN_ISSUER": "http://127.0.0.1:1"}),
    Wrong("logout now", 2, ("now", "logout --help")),
    Wrong("whoami", 2, ("not this machine's own", "tidegauge login"), {"TIDEGAUGE_REDIS_URL": "redis://redis.bank"}),
    Wrong("queue serve --port 0", 2, ("TIDEGAUGE_LOOKUP_OPEN", "keys issue"),
          {"TIDEGAUGE_LOOKUP_OPEN": "true", "TIDEGAUGE_REDIS_URL": "redis://redis.bank"}),
    Wrong("keys list", 2, ("There is no token", "TIDEGAUGE_TOKEN_FILE"), {"TIDEGAUGE_TOKEN_ISSUER": "https://login.bank"}),
    Wrong("alerts acknowledge c1 --staff rm-2", 2, ("--staff counts only", "token says"),
          {"TIDEGAUGE_TOKEN_ISSUER": "https://login.bank"}),
    Wrong("keys list --as operator:hq", 2, ("--as counts only", "token says"), {"TIDEGAUGE_TOKEN_ISSUER": "https://login.bank"}),
    Wrong("keys list", 2, ("does not count", "get a new one"),
          {"TIDEGAUGE_TOKEN_ISSUER": "https://login.bank", "TIDEGAUGE_TOKEN": "x", "TIDEGAUGE_TOKEN_KEYS": "{at}/list.yaml"}),
    Wrong("keys issue boss hq", 2, ("boss", "issue --help")),
    Wrong("keys issue kiosk hq --days 0", 2, ("--days", "issue --help")),
    Wrong("keys issue kiosk hq//x", 2, ("no unit", "hq/east/0102")),
    Wrong("keys list --as teller:hq", 2, ("may not read keys", "--as")),
    Wrong("keys revoke", 2, ("revoke --help",)),
    Wrong("staff import {at}/none.csv", 2, ("none.csv", "name right")),
    Wrong("staff import {at}/staff-role.csv", 2, ("staff-role.csv:2: role:", "branch_manager", "docs/formats.md")),
    Wrong("staff import {at}/staff-full.csv", 2, ("staff-full.csv", "manifest", "docs/formats.md")),
    Wrong("staff import {at}/holidays-gbk.csv", 2, ("holidays-gbk.csv", "UTF-8")),
    Wrong("staff import {at}/staff.csv --reason x", 2, ("--reason goes with --force", "--force")),
    # Replay.
    Wrong(f"replay {{at}}/good --format ndjson {JAN} --out /nonexistent/x", 2, ("/nonexistent/x", "folder")),
    Wrong(f"replay {{at}}/good --format ndjson {JAN} --out {{at}}/good", 2, ("is a folder", "give a file")),
    Wrong(f"replay {{at}}/bad --format ndjson {JAN}", 2, ("value_date", "no good row")),
    Wrong(f"replay {{at}}/empty --format csv {JAN}", 2, ("no good row", "right file")),
    Wrong(f"replay {{at}}/silent --format ndjson {JAN}", 2, ("2026-09-01", "--silence-days 224")),
    Wrong(f"replay {{at}}/mixed --format ndjson {JAN}", 2, ("value_date", "1 line was refused", "good ones")),
    Wrong(f"replay {{at}}/conflict --format ndjson {JAN}", 2, ("event_id other", "1 line was refused")),
    Wrong("replay {at}/good --format ndjson --as-of 2025-01-31", 2, ("2025-01-31", "--as-of")),
    Wrong(f"replay {{at}}/good --format ndjson {JAN} --known-by 2025-12-31", 2, ("2025-12-31", "--known-by")),
    Wrong(f"replay {{at}}/good --format ndjson {JAN} --pack no-such", 2, ("no-such", "docs/policies.md")),
    Wrong("simulate", 2, ("where", "--out")),
    Wrong("simulate --out /proc/none --customers 1 --months 1", 2, ("/proc/none", "folder")),
    Wrong("simulate --out {at}/file --customers 1 --months 1", 2, ("file", "path right")),
    Wrong("simulate --out {at}/new --start 2026-01-02", 2, ("2026-01-02", "--start")),
    Wrong("simulate --out {at}/new --format xml", 2, ("xml", "parquet")),
    Wrong("simulate --out {at}/new --customers 900000", 2, ("800000", "--customers")),
    # Branches' days.
    Wrong("queue simulate --counters {at}/counters.csv", 2, ("which tickets", "--profile")),
    Wrong("queue simulate --tickets {at}/tickets.csv --profile branch-day", 2, ("which tickets", "not both")),
    Wrong("queue simulate --tickets {at}/tickets.csv", 2, ("which counters", "--counters")),
    Wrong("queue simulate --tickets {at}/none.csv --counters {at}/counters.csv", 2, ("none.csv", "name right")),
    *(Wrong(f"queue simulate --tickets {{at}}/tickets-{kind}.csv --counters {{at}}/counters.csv", 2, says) for kind, says in (
        ("columns", ("tickets-columns.csv:1:", "ticket,arrives_at,class,service_seconds,changes")),
        ("class", ("tickets-class.csv:2: class:", "diamond, platinum")),
        ("second", ("tickets-second.csv:3: arrives_at:", "'-1'", "from 0")),
        ("service", ("tickets-service.csv:2: service_seconds:", "from 1")),
        ("change", ("tickets-change.csv:2: changes:", "at:class")),
        ("twice", ("tickets-twice.csv:3: ticket:", "twice")),
        ("name", ("tickets-name.csv:2: ticket:", "without")),
        ("short", ("tickets-short.csv:2:", "3 values")),
        ("quote", ("tickets-quote.csv:", "no CSV")),
        ("empty", ("tickets-empty.csv", "no tickets")),
        ("gbk", ("tickets-gbk.csv", "UTF-8")),
    )),
    Wrong("queue simulate --tickets {at}/tickets.csv --counters {at}/counters-closes.csv", 2,
          ("counters-closes.csv:2: closes_at:", "before")),
    Wrong("queue simulate --tickets {at}/tickets.csv --counters {at}/counters-class.csv", 2,
          ("counters-class.csv:2: classes:", "silver")),
    Wrong("queue simulate --tickets {at}/tickets.csv --counters {at}/counters.csv --out /nonexistent/x", 2, ("/nonexistent/x",)),
    Wrong("queue simulate --profile weather", 2, ("which counters", "--counters")),
    Wrong("queue simulate --profile {at}/arrivals-hour.csv --counters {at}/counters.csv", 2,
          ("arrivals-hour.csv:2: hour:", "23")),
    Wrong("queue simulate --profile branch-day --order fair", 2, ("fair", "head_start")),
    Wrong("queue simulate --profile branch-day --pack no-such", 2, ("no-such", "docs/policies.md")),
    Wrong("queue simulate --profile branch-day --pack layered-care", 2, ("layered-care", "no queue classes")),
    Wrong("queue explain", 2, ("ticket", "explain --help")),
    Wrong("queue day B1 someday", 2, ("someday", "2026-03-02")),
    Wrong("queue compare B1 B2", 2, ("(B2)", "compare --help")),
    Wrong("queue restore", 2, ("branch", "restore --help")),
    Wrong("queue explain T0 --tickets {at}/tickets.csv --counters {at}/counters.csv", 2, ("T0", "name right")),
    Wrong("queue day --profile branch-day --csv {at}/good", 2, ("is a folder", "give a file")),
    Wrong("queue estimates --profile {at}/arrivals-many.csv --counters {at}/counters.csv", 2,
          ("arrivals-many.csv:2: arrivals:", "two decimals")),
    Wrong("queue bound no-such", 2, ("no-such", "docs/policies.md")),
    # Packs.
    Wrong("policy show no-such", 2, ("no-such", "docs/policies.md")),
    Wrong("policy show {at}/binary.yaml", 2, ("binary.yaml", "docs/policies.md")),
    Wrong("policy describe no-such", 2, ("no-such", "docs/policies.md")),
    Wrong("policy new {at}/binary.yaml --kind points", 2, ("binary.yaml", "name another file")),
    Wrong("policy new {at}/Not-a-Name.yaml --kind points", 2, ("Not-a-Name", "docs/policies.md")),
    Wrong("policy check {at}/none.yaml", 2, ("none.yaml", "policy list")),
    Wrong("policy check {at}/broken.yaml", 1, ("broken.yaml:", "close")),
    Wrong("policy check {at}/binary.yaml", 1, ("binary.yaml", "UTF-8")),
    Wrong("policy check {at}/empty.yaml", 1, ("empty.yaml", "is empty")),
    Wrong("policy check {at}/list.yaml", 1, ("list.yaml", "mapping")),
    Wrong("policy decide --pack abc-bands --facts [[[", 2, ("JSON", "docs/policies.md")),
    Wrong("policy decide --pack abc-bands --facts " + "[" * 100_000, 2, ("nested", "flat")),
    Wrong("policy decide --pack abc-bands --facts @{at}/none", 2, ("none", "name right")),
    Wrong("policy decide --pack abc-bands --facts @{at}/binary.json", 2, ("UTF-8", "save it")),
    Wrong("policy decide --pack abc-bands --facts {} --class noble", 2, ("noble", "corporate")),
    Wrong("policy decide --pack abc-bands --facts {} --date someday", 2, ("someday", "decide --help")),
    Wrong("policy cases {at}/cases-columns.csv", 2, ("columns are missing", "docs/policies.md")),
    Wrong("policy cases {at}/cases-empty.csv", 1, ("no cases", "right file")),
    Wrong("policy cases {at}/cases-gbk.csv", 2, ("UTF-8", "save it")),
    Wrong("policy cases {at}/none.csv", 2, ("none.csv", "name right")),
    Wrong("policy diff abc-bands", 2, ("new", "diff --help")),
    Wrong("policy list --lang fr", 2, ("'fr'", "zh-CN")),
    Wrong("policy activate {at}/broken.yaml", 1, ("broken.yaml:", "close")),
    Wrong("policy retract abc-bands first", 2, ("version", "retract --help")),
    Wrong("policy retract abc-bands 0", 2, ("version", "retract --help")),
    Wrong("policy whatif --pack abc-bands --from 2026-02-01 --files {at}/good --format ndjson --picture /nonexistent/x.svg",
          2, ("/nonexistent/x.svg", "folder")),
    Wrong("policy whatif --pack abc-bands --from 2027-02-01 --files {at}/good --format ndjson", 2, ("2027-02-01", "--from")),
    Wrong("policy whatif --pack abc-bands --from 2026-02-01 --files {at}/nothing --format csv", 2, ("no csv", "docs/formats")),
]  # fmt: skip
NO_SERVER = {
    "up": "starts them",
    "down": "stops what there is",
    "config show": "asks nobody",
    "security acls": "asks nobody",
    "demo": "brings its own",
    "doctor": "that none answers is a finding",
    **dict.fromkeys(("login", "logout", "whoami"), "ask none of ours"),
    "queue check-reference": "computes",
    "queue bound": "reads a pack",
    **dict.fromkeys(("queue simulate", "queue estimates"), "read files"),
    "replay": "reads files",
    "notices preview": "fills texts with a sample",
    **{f"alerts {name}": "reads files" for name in ("evaluate", "calibrate")},
    **dict.fromkeys(("schemas check", "schemas register"), "ask the registry"),
    **{
        f"policy {name}": "read files"
        for name in ("list", "show", "check", "decide", "cases", "diff", "describe", "new")
    },
}
ALL = dict(commands())


def called(words: str) -> str:
    """The command of a wrong use; empty where it is none."""
    first, *rest = words.split()
    return next((name for name in (f"{first} {' '.join(rest[:1])}", first) if name in ALL), "")


@pytest.mark.parametrize("name", ALL)
def test_every_command_is_in_the_table(name: str) -> None:
    """With a wrong use of its own; and without a server, if it needs one."""
    rows = [wrong for wrong in WRONG if called(wrong.words) == name]
    assert any(wrong.env != NOWHERE for wrong in rows)
    assert any(wrong.env == NOWHERE for wrong in rows) != (name in NO_SERVER)


@pytest.fixture(scope="module")
def at(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of files that cannot be used."""
    folder = tmp_path_factory.mktemp("wrong")
    wrong_files.make(folder)
    return folder


def said_what_to_do(found: Called, code: int, says: tuple[str, ...]) -> None:
    """A wrong use ended as it should."""
    assert found.code == code, found.err
    assert "Traceback" not in found.err
    assert "error: unexpected" not in found.err
    assert len(found.err.splitlines()) <= LINES_MAX, found.err
    for word in says:
        assert word in found.err


@pytest.mark.slow
@pytest.mark.parametrize("wrong", WRONG, ids=lambda wrong: f"{wrong.words[:60]} {' '.join(wrong.env)}".strip())
def test_wrong_use(wrong: Wrong, at: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each ends in a few lines that name the thing and the remedy."""
    for module, name in ((check, "BROKERS_WAIT_S"), (changes, "BROKERS_WAIT_S"), (drain, "_BROKERS_S")):
        monkeypatch.setattr(module, name, 0.2)
    words = [word.replace("{at}", str(at)) for word in wrong.words.split()]
    env = {name: value.replace("{at}", str(at)) for name, value in wrong.env.items()}
    data = {"TIDEGAUGE_DATA_DIR": str(at / "data")}
    if "TIDEGAUGE_DATA_DIR" not in env:
        data["TIDEGAUGE_REFERENCE_KEY"] = "k" * KEY_BYTES_MIN
    said_what_to_do(call(*words, env=NOWHERE | data | env), wrong.code, wrong.says)
