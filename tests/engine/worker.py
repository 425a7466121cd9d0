"""A worker of the counter job as a process: python -m tests.engine.worker '{"kafka": ..., "group": ...}'."""

import json
import sys
import time
from dataclasses import dataclass, fields
from typing import Any

from agents.engine import app as app_module
from agents.engine import fetches, table, unit
from agents.engine.app import build_app, run_worker
from agents.engine.job import TP, Outcome
from agents.engine.watch import movement
from tests.engine.counter_job import CounterJob
from tidegauge.cli.failures import last_line


@dataclass(frozen=True)
class EngineTestSettings:
    """What the engine reads of the settings, without the rest; group doubles as the topics' prefix."""

    kafka: str
    group: str
    partitions: int = 4
    flush_interval_s: float = 1.0
    topic_prefix: str = ""

    def topic(self, name: str) -> str:
        """Every run has topics of its own."""
        return f"{self.group}-{name}"


class Exploding(CounterJob):
    """A job with a bug."""

    def work(self, live: bool) -> Outcome:
        """Fails on the first event."""
        if live and self.waiting["left"]:
            raise ZeroDivisionError("a bug")
        return super().work(live)


def break_engine(how: str) -> None:
    """Take one guarantee away, to see whether the chaos runs notice."""
    if how == "fresh id":  # nobody is fenced
        plain = unit.AIOKafkaProducer
        unit.AIOKafkaProducer = lambda **conf: plain(
            **{**conf, "transactional_id": f"{conf['transactional_id']}-{time.time_ns()}"}
        )
    elif how == "late rows":  # order-sensitive rows lag behind the offsets
        step = unit.PartitionUnit.changelog_rows
        kept: dict[int, list[tuple[bytes, bytes | None]]] = {}

        def work(self: CounterJob, live: bool) -> Outcome:
            outcome = plain_work(self, live)
            kept.setdefault(id(self), []).extend(outcome.rows)
            outcome.rows = []
            return outcome

        def rows(self: unit.PartitionUnit, positions: dict[str, int], flush: bool) -> Any:
            fence, rows = step(self, positions, flush)
            return fence, [*rows, *(kept.pop(id(self.job), []) if flush else [])]

        plain_work, CounterJob.work, unit.PartitionUnit.changelog_rows = CounterJob.work, work, rows
    elif how.startswith("corrupt"):  # "corrupt N": the first N fetches of `left` arrive damaged
        plain_take, left = fetches.take_block, [int(how.split()[1])]

        def take(tp: TP, raw: bytes, *rest: Any, **options: Any) -> Any:
            if tp.topic == "left" and left[0]:
                left[0] -= 1
                raw = raw[:70] + bytes([raw[70] ^ 1]) + raw[71:]
            return plain_take(tp, raw, *rest, **options)

        fetches.take_block = take
    else:
        raise ValueError(how)


def main(options: dict[str, Any]) -> None:
    """Run until a signal comes."""
    known = {f.name for f in fields(EngineTestSettings)}
    settings = EngineTestSettings(**{k: v for k, v in options.items() if k in known})
    if "broken" in options:
        break_engine(options["broken"])
    kind = Exploding if options.get("explode") else CounterJob
    idempotent = options.get("rows_max") is not None
    movement.STUCK_S = options.get("stuck_s", movement.STUCK_S)
    app_module.ROUND_S = options.get("round_s", app_module.ROUND_S)
    if "transaction_s" in options:
        unit.TRANSACTION_S_MAX = table.TRANSACTION_S_MAX = options["transaction_s"]
    app = build_app(settings, lambda: kind(idempotent), rows_max=options.get("rows_max"), outputs=("tiers", "dead"))
    try:
        said = run_worker(
            app, metrics_port=options.get("metrics_port", 0), loglevel="INFO" if options.get("verbose") else "WARNING"
        )
    except Exception as problem:  # as the command does
        print(f"error: {last_line(problem)}", file=sys.stderr)
        sys.exit(1)
    print(said, file=sys.stderr)


if __name__ == "__main__":
    main(json.loads(sys.argv[1]))
