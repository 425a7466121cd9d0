"""Folders and ports belong to one stack: odd paths, copies, ports of others, another user's folder, one that can't be written."""

from __future__ import annotations

import os
import shutil
import socket
import stat
from pathlib import Path

from deploy.embedded import processes
from tests.chaos.given import Given
from tests.chaos.site.bank import Bank, as_anybody
from tests.chaos.site.slips import is_refusal
from tests.chaos.system import Result
from tests.cli.invocation import Called
from tidegauge.demo.processes import environment

UP_S = 120.0
NOBODY = 65534  # a user id


def folders(given: Given) -> Result:
    """`up` and `down` in odd folders, in a copy of a running one, on ports of others; folders of another user or read-only."""
    with given.bank("folders") as bank:
        own = bank.folder / "客户 数据 it's=1"
        first = processes.free_row(5)  # brokers, their controller, Redis, PostgreSQL, tickets
        ports = [str(first + step) for step in (0, 2, 3, 4)]
        bank.fault("a path with blanks and Chinese characters")
        up = ("up", "--data", str(own), *at(ports), "--json")
        done = stack(bank, *up)
        try:
            bank.expect("up", done.code == 0 and answers(*ports), done)
            beside = sorted(path.name for path in bank.folder.iterdir())
            bank.expect("nothing lies beside the folder", len(beside) == len({*beside, own.name}), beside)
            bank.expect("Kafka's log lies in it", list(own.rglob("meta.properties")), own)
            _copy(bank, own, ports)
        finally:
            done = stack(bank, "down", "--data", str(own), "--json")
        bank.expect("down", done.code == 0 and "kafka" in done.out and not answers(ports[0]), done)
        _refused(bank)
        _rights(bank)
        return bank.result()


def _copy(bank: Bank, own: Path, ports: list[str]) -> None:
    """A copy of a running folder neither stops the original's servers nor uses them."""
    copy = bank.folder / "copy"
    shutil.copytree(own, copy, ignore=shutil.ignore_patterns("*.sock"))
    bank.fault("down of a copied folder")
    done = stack(bank, "down", "--data", str(copy), "--json")
    bank.expect("it stops nothing", done.code == 0 and '"stopped": []' in done.out and answers(*ports), done)
    bank.fault("up of the copy on the original's ports")
    done = stack(bank, "up", "--data", str(copy), *at(ports))
    bank.expect("it is refused", is_refusal(done, ports[0]) and answers(*ports), done)


def _refused(bank: Bank) -> None:
    """What the servers can't take is refused in a line."""
    bank.fault("paths that the servers can't take")
    for name in ("a,b", "\udcff"):
        done = stack(bank, "up", "--data", str(bank.folder / name))
        bank.expect(f"up in {name!r}", is_refusal(done, ""), done)


def _rights(bank: Bank) -> None:
    """Another user's keys, and a folder that nothing can be written to."""
    bank.key_in_folder()
    env, own = environment(bank.settings), bank.settings.data_dir
    for path in (own, *own.iterdir()):
        path.chmod(stat.S_IRWXU if path.is_dir() else stat.S_IRUSR | stat.S_IWUSR)
    if os.geteuid() == 0:
        bank.fault("keys of another user")
        for path in (own, *own.iterdir()):
            os.chown(path, NOBODY, NOBODY)
        done = as_anybody(env, "queue", "lookup", "C000001")
        bank.expect("another user's keys", is_refusal(done, "Permission denied"), done)
    else:
        bank.notes.append("keys of another user were not tried: root alone can give files away")
    bank.fault("a read-only folder")
    locked = bank.folder / "locked"
    locked.mkdir(mode=stat.S_IRUSR | stat.S_IXUSR)
    done = as_anybody(env, "up", "--data", str(locked / "data"))
    bank.expect("a read-only folder", is_refusal(done, "Permission denied"), done)


def at(ports: list[str]) -> tuple[str, ...]:
    """The ports of Kafka, Redis, PostgreSQL and tickets as options."""
    kafka, redis, postgres, tickets = ports
    return "--kafka-port", kafka, "--redis-port", redis, "--postgres-port", postgres, "--tickets-port", tickets


def stack(bank: Bank, *words: str) -> Called:
    """`up` or `down` as a process of its own, with the embedded servers."""
    return bank.child(
        words, UP_S, bootstrap_servers="", redis_url="", tickets_url="", database_url="", kafka_heap_mb="384"
    )[0]


def answers(*ports: str) -> bool:
    """Whether something listens on all of these ports."""
    for port in ports:
        with socket.socket() as asking:
            if asking.connect_ex(("127.0.0.1", int(port))):
                return False
    return True
