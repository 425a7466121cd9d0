"""The scenarios about what is around the worker: the network, three brokers, Redis, the disk, the clock, the contracts."""

from __future__ import annotations

import struct
import subprocess
import tempfile
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import redis

from deploy.embedded import processes
from deploy.embedded.stack import Stack
from deploy.settings import Settings
from schemas.codec.records import decode_one, encode
from schemas.registry import registry_for
from services.assembly import redis_client
from services.views.keys import Keys
from tests.chaos.brokers import ChaosStack
from tests.chaos.check import read
from tests.chaos.given import Given
from tests.chaos.history import DIFFERENT, LOST
from tests.chaos.kiosk import Kiosk
from tests.chaos.proxy import Proxy
from tests.chaos.system import Result, System
from tests.chaos.versions import Rewriter, VersionedRegistry

DAY_S = 86_400
PATIENCE_S = 240.0  # for what comes by itself, on a machine that has other things to do
BROKER_STOP_S_MAX = 30.0  # that a partition may stand still because of a broker, or of the way to it
CLOCK = Path(__file__).with_name("clock")


def cluster(given: Given) -> Result:
    """Three brokers, three copies, two in sync: one killed and brought back, each in turn."""
    with tempfile.TemporaryDirectory(prefix="tidegauge-cluster-") as folder, ChaosStack(Path(folder), 3, 384) as stack:
        given = replace(given, stack=stack)
        with given.system("cluster", given.load(events=60_000, rate=1200, days=20)) as run:
            run.launch(2)
            alone = [name for name, copies in run.copies().items() if copies < 3]
            for node in run.rng.sample(range(3), 3):
                run.pause(1.0, 3.0)
                stack.kill_broker(node)
                run.fault("kill -9 of a broker")
                run.pause(4.0, 9.0)
                stack.start_broker(node)
                run.say("it is back")
                run.pause(2.0, 4.0)
            run.feed.pace = 4.0
            result = run.finish(0.0 if given.short else BROKER_STOP_S_MAX)
            for name in alone:
                result.findings.note(LOST, f"{name} has not three copies: it would be lost with a broker")
            return result


def proxy(given: Given) -> Result:
    """Latency, resets and partitions, one way or both, between workers and the broker."""
    stack = given.stack
    with Proxy(stack.front, stack.behind, given.seed) as network, given.system(
        "proxy", given.load(events=90_000, rate=1500, days=30)
    ) as run:  # fmt: skip
        run.worker_kafka = stack.proxied_servers
        run.launch(2)
        for number in range(3 if given.short else 9):
            run.pause(1.0, 3.0)
            kind = ("latency", "reset", "partition")[number % 3]
            if kind == "latency":
                network.delay_s = (0.02, 0.2)
                run.fault("slow spell")
                run.pause(3.0, 5.0)
                network.delay_s = (0.0, 0.0)
            elif kind == "reset":
                run.fault("reset")
                run.say(f"{network.cut()} connections were cut")
            else:
                ways = run.rng.choice((("in",), ("out",), ("in", "out")))
                run.fault(f"partition {' and '.join(ways)}")
                network.silent |= dict.fromkeys(ways, True)
                time.sleep(run.rng.uniform(2.0, 9.0))
                network.silent = {"in": False, "out": False}
                network.cut()
        run.feed.pace = 4.0
        return run.finish(0.0 if given.short else BROKER_STOP_S_MAX)


def disk_full(given: Given) -> Result:
    """The broker's files can't grow any more: it gives up; then there is room again, and it is started again."""
    with given.system("disk-full", given.load(events=60_000, rate=1500, days=20)) as run:
        run.launch(2)
        for _ in range(2):
            run.pause(1.0, 4.0)
            given.stack.fill()
            run.fault("full disk")
            if not given.stack.wait_gone(wait_s=10.0):
                given.stack.kill_broker()
                run.say("the broker did not give up; killed")
            given.stack.start_broker()
            run.say("there is room, and the broker is back")
            run.pause(3.0, 6.0)
        run.feed.pace = 4.0
        return run.finish(0.0 if given.short else BROKER_STOP_S_MAX)


def clock(given: Given) -> Result:
    """The workers' wall clocks jump by a day, forth and back: nothing that is computed may depend on them."""
    with tempfile.NamedTemporaryFile(prefix="tidegauge-clock-") as file, given.system(
        "clock", given.load(events=60_000, rate=1500, days=20)
    ) as run:  # fmt: skip
        file.write(struct.pack("<q", 0))
        file.flush()
        run.extra = {"PYTHONPATH": str(CLOCK), "CHAOS_CLOCK_FILE": file.name}
        run.launch(2)
        for number in range(3 if given.short else 10):
            run.pause(1.0, 3.0)
            offset = run.rng.choice((-DAY_S, DAY_S, 0, 40 * DAY_S))
            file.seek(0)
            file.write(struct.pack("<q", offset))  # in place: the workers have it mapped
            file.flush()
            run.fault("clock jump")
            if number % 4 == 3:
                run.kill(run.rng)
                run.fault("kill -9")
        run.feed.pace = 4.0
        return run.finish()


def schemas(given: Given) -> Result:
    """Writers of three versions of a contract, rolled forward, mixed and back; workers restarted in between."""
    with VersionedRegistry() as server, given.system(
        "schemas", given.load(events=40_000, rate=1500, days=20, poison=0.0), schema_registry_url=server.url
    ) as run:  # fmt: skip
        registry = registry_for(run.settings)
        rewrite = Rewriter(server.later, given.seed, registry)
        run.feed.value_of = lambda item: rewrite(item.topic, item.value)
        run.feed.encode = lambda contract, record: encode(contract, record, registry)
        run.launch(2)
        for number, chance in enumerate(
            ((0.7, 0.3, 0), (0, 1, 0), (0.2, 0.3, 0.5), (0, 0, 1), (0.5, 0.5, 0), (1, 0, 0))
        ):
            run.pause(1.5, 3.0)
            rewrite.chance = chance
            run.fault("change of versions")
            if number in (1, 4):
                run.kill(run.rng)
                run.fault("kill -9")
                run.settle()
        run.feed.pace = 4.0
        result = run.finish()
        result.notes.append("postings written in versions 1, 2, 3: " + ", ".join(f"{n:,}" for n in rewrite.written))
        if not all(rewrite.written):
            result.findings.note(LOST, "a version was never written")
        return result


# -- Redis


def redis_view(given: Given) -> Result:
    """Redis killed, wiped, without its replicas, read-only, while views run and a kiosk asks: it ends equal to Kafka."""
    with tempfile.TemporaryDirectory(prefix="tidegauge-redis-") as folder, Stack(
        Path(folder), Settings(bootstrap_servers="", redis_url=""), with_kafka=False, any_ports=True, tether=True
    ) as store, given.system(
        "redis", given.load(events=30_000, rate=700, days=20), redis_url=store.redis_url
    ) as run:  # fmt: skip
        run.launch(1)
        views = run.begin("views")
        with redis_client(run.settings) as client:  # one that finds no store when it begins ends, and says so
            run.wait(lambda: client.dbsize() > 0, "the view")
        customers = [f"C{number:08d}" for number in range(run.load.customers)]
        kiosk = Kiosk(run.settings, customers, given.seed)
        run.pause(3.0, 3.0)
        kiosk.start()
        kinds = ["killed", "wiped", "without replicas", "read-only"]
        for kind in [*kinds, *([] if given.short else run.rng.sample(kinds, 4))]:
            run.pause(1.0, 3.0)
            run.fault(f"Redis {kind}")
            _trouble(store, kind, run, kiosk)
        run.feed.pace = 4.0
        result = run.finish()
        _compare_view(run, views, result)
        for text in kiosk.end():
            result.findings.note(DIFFERENT, text)
        if not kiosk.degraded:
            result.findings.note(LOST, "no answer of the kiosk was ever degraded")
        result.notes.append(
            f"the kiosk had {len(kiosk.answers):,} answers, {kiosk.degraded:,} of them degraded, no error, "
            f"the slowest in {1000 * kiosk.slowest_s:.0f} ms"
        )
        return result


def _trouble(store: Stack, kind: str, run: System, kiosk: Kiosk) -> None:
    """One fault of Redis, and its end."""
    if kind == "killed":
        began = time.monotonic()
        processes.kill(next(entry for entry in store.running() if entry.name == "redis"))
        time.sleep(run.rng.uniform(1.5, 3.0))
        kiosk.down.append((began, time.monotonic()))
        store.start()
        return
    with redis.Redis.from_url(store.redis_url) as client:
        if kind == "wiped":
            client.flushall()
        elif kind == "without replicas":
            client.config_set("min-replicas-to-write", 1)
            time.sleep(run.rng.uniform(1.5, 3.0))
            client.config_set("min-replicas-to-write", 0)
        else:  # a replica of a server that is not there: reads go on, writes are refused
            client.replicaof("127.0.0.1", 1)
            time.sleep(run.rng.uniform(1.5, 3.0))
            client.replicaof("NO", "ONE")


def _compare_view(run: System, views: subprocess.Popen[bytes], result: Result) -> None:
    """The view that went through all this, and one that is built anew, both hold the last record of each key."""
    want = _wanted_view(run)
    with redis_client(run.settings) as client:
        until = time.monotonic() + PATIENCE_S
        while (wrong := _differences(client, want)) and time.monotonic() < until:
            time.sleep(0.5)
        if views.poll() is not None:
            wrong.append(f"the view writer ended with {views.poll()}")
        views.terminate()
        views.wait(PATIENCE_S)
        for text in wrong:
            result.findings.note(DIFFERENT, f"view: {text}")
        client.flushall()
        run.command("rebuild")
        for text in _differences(client, want):
            result.findings.note(DIFFERENT, f"rebuilt view: {text}")
    run.say(f"the view was compared: {len(want)} rows")


def _wanted_view(run: System) -> dict[str, dict[bytes, bytes]]:
    """Key of a row -> the fields that matter, from the last committed records."""
    keys, want = Keys.of(run.settings.topic_prefix), dict[str, dict[bytes, bytes]]()
    for topic in ("standings", "rm-alerts", "queue-priority"):
        for partition in range(run.load.partitions):
            for _, key, value in read(run.settings.kafka, run.settings.topic(topic), partition):
                value = value or b""
                if topic == "standings":
                    want[keys.standing((key or b"").decode())] = {b"record": value}
                    continue
                record: dict[str, Any] = decode_one(value, registry_for(run.settings), name=topic)
                if topic == "rm-alerts":
                    want[keys.alert(record["alert_id"])] = {b"record": value}
                else:
                    fields = {b"queue_class": record["queue_class"].encode(), b"vip_area": b"%d" % record["vip_area"]}
                    want[keys.priority(record["customer_ref"])] = fields
    return want


def _differences(client: redis.Redis, want: dict[str, dict[bytes, bytes]]) -> list[str]:
    wrong = []
    for key, fields in want.items():
        try:
            got = client.hgetall(key)
        except redis.RedisError as problem:
            return [repr(problem)]
        if any(got.get(name) != value for name, value in fields.items()):
            wrong.append(f"{key}: {'missing' if not got else 'another one'}")
    return wrong
