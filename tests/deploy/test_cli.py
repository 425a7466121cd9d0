"""The command line around the stack, called as a user calls it."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from confluent_kafka import Producer

from deploy import record
from deploy.connections.clients import librdkafka
from deploy.embedded import processes
from deploy.settings import KEY_BYTES_MIN
from schemas.codec.records import encode
from tests.cli.invocation import call
from tests.conftest import Kafka

ROOT = Path(__file__).resolve().parents[2]


def tidegauge(*arguments: str, **variables: str) -> subprocess.CompletedProcess[str]:
    """Run a command to its end."""
    command = [sys.executable, "-m", "tidegauge.cli.main", *arguments]
    kept = {name: value for name, value in os.environ.items() if not name.startswith("TIDEGAUGE_")}
    return subprocess.run(command, cwd=ROOT, env=kept | variables, capture_output=True, text=True, check=False)


def put_aside(kafka: Kafka, topic: str) -> None:
    """Dead letters: two of records that lay wrong, one of another kind."""
    producer = Producer(librdkafka(kafka.bootstrap_servers))
    for offset, reason in enumerate(("no key", "truncated", "no key")):
        letter = {"topic": "transactions", "partition": 0, "offset": offset, "reason": reason, "field": None,
                  "detail": "", "original": b"", "original_key": None, "original_bytes": 0, "original_sha256": None,
                  "last_offset": None}  # fmt: skip
        producer.produce(topic, encode("dead-letters", letter), b"transactions-0")
    assert producer.flush(10) == 0


def home_of(folder: Path) -> Path:
    """Where the folder's PostgreSQL has its data: of root in another place, which stays behind the test."""
    return Path(record.read_record(folder).get("postgres_home", folder / "postgres"))


def not_good(out: str) -> list[dict[str, Any]]:
    """What doctor finds, but for the calendar: which years are known depends on the day of the test."""
    return [check for check in json.loads(out) if not check["good"] and check["name"] != "calendar"]


@pytest.mark.integration
def test_up_doctor_topics_down(kafka: Kafka, topic_prefix: str, tmp_path: Path) -> None:
    """`up` starts what is missing and creates the topics, `doctor` finds all good, `down` leaves no process.

    Topics with another number of partitions are not made beside them, and `doctor` tells of records that lay wrong.
    """
    around = {
        "TIDEGAUGE_BOOTSTRAP_SERVERS": kafka.bootstrap_servers,
        "TIDEGAUGE_TOPIC_PREFIX": topic_prefix,
        "TIDEGAUGE_GROUP": f"{topic_prefix}doctor",
        "TIDEGAUGE_DATA_DIR": str(tmp_path),
        "TIDEGAUGE_PARTITIONS": "1",
    }
    before = call("doctor", "--json", env=around)
    assert before.code == 1
    assert {check["name"] for check in not_good(before.out)} == {"redis", "topics"}
    try:
        port = processes.free_row(3)
        ports = ("--redis-port", str(port), "--postgres-port", str(port + 1), "--tickets-port", str(port + 2))
        done = tidegauge("up", "--json", *ports, **around)
        assert done.returncode == 0, done.stderr
        assert json.loads(done.stdout)["database_url"] == f"postgresql://…@127.0.0.1:{port + 1}/tidegauge"
        assert json.loads(done.stdout)["redis_url"] == f"redis://…@127.0.0.1:{port}/0"
        assert json.loads(done.stdout)["tickets_url"] == f"redis://…@127.0.0.1:{port + 2}/0"
        after = call("doctor", "--json", env=around)
        assert after.code == 0, after.out
        (kept,) = (check for check in json.loads(after.out) if check["name"] == "tickets")
        assert "every write is synced; 0 steps" in kept["found"]
        around["TIDEGAUGE_REFERENCE_KEY"] = "k" * KEY_BYTES_MIN
        refused = call("topics", "--create", env=around | {"TIDEGAUGE_PARTITIONS": "2"})
        assert (refused.code, "set TIDEGAUGE_PARTITIONS=1" in refused.err) == (1, True)
        put_aside(kafka, f"{topic_prefix}dead-letters")
        [told] = not_good(call("doctor", "--json", env=around).out)
        assert (told["name"], "transactions: 2 × no key" in told["found"]) == ("records", True)
        listed = json.loads(call("topics", "--json", env=around).out)
        assert {entry["partitions"] for entry in listed} == {1}
    finally:
        down = tidegauge("down", **around)
        shutil.rmtree(home_of(tmp_path), ignore_errors=True)
    assert down.stdout == "stopped: redis, tickets, postgres\n"
    assert tidegauge("down", **around).stdout.startswith("nothing runs in")


@pytest.mark.parametrize("day", ["9999-12-31", "2100-01-01", "1989-12-31", "0001-01-01"])
def test_absurd_days_are_refused(day: str) -> None:
    """Before anything is sent: the workers would put such a close or mark aside."""
    for words in (("close", day), ("complete", "core", day)):
        done = call(*words)
        assert done.code == 2
        assert f"{day} is no business day: days from 1990-01-01 to 2099-12-31 are taken" in done.err


def test_help_needs_no_part(tmp_path: Path) -> None:
    """`--help` lists the commands without importing what is behind them."""
    code = (
        "import sys\nfrom tidegauge.cli.main import app\n"
        "try: app(['--help'])\nfinally: print({'faust', 'confluent_kafka', 'numba'} & sys.modules.keys())"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=False)
    assert "doctor" in done.stdout
    assert done.stdout.strip().endswith("set()")
