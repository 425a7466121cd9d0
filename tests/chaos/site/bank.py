"""A small bank on a live system, with everything an operator has to look at it: probes, metrics, doctor, the last line."""

from __future__ import annotations

import csv
import ctypes
import io
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from datetime import date
from itertools import takewhile
from pathlib import Path
from typing import Any, NamedTuple

from connectors.formats import files_out
from connectors.formats.events import Event
from connectors.simulate import simulate
from deploy.embedded import processes
from deploy.private import write_private
from deploy.settings import ALERT_KEY_FILE, REFERENCE_KEY_FILE, Settings
from streams.calendar import date_of, day_of
from tests.chaos.history import DIFFERENT, Findings
from tests.chaos.system import Result, answered, with_path
from tests.cli.invocation import Called, call
from tests.integration.live import PROGRAM, REPO, Live
from tidegauge.demo.processes import environment

START = day_of(date(2026, 1, 1))
KEY = "a reference key for tests, 32 bytes long"
SAID_S = 90.0  # until something is noticed
START_S = 1.0  # that a process takes to say how it is used, on a machine that has nothing else to do
GOOD = 200
_PR_CAPBSET_DROP, _CAP_DAC_OVERRIDE, _CAP_DAC_READ_SEARCH = 24, 1, 2  # of Linux


class Probe(NamedTuple):
    """An answer of /readyz."""

    code: int  # 0: none
    text: str


class Bank(Live):
    """A context: topics of its own, at most one worker, files of a simulated bank. What differs is noted as a finding."""

    def __init__(self, kafka: str, name: str, seed: int, say: Callable[[str], None] = print, **more: Any) -> None:
        unique = f"{name}{seed}x{int(time.time() * 1000) % 10**8}"
        self.folder = Path(tempfile.mkdtemp(prefix=f"tidegauge-{name}-"))
        self.folder.chmod(0o755)  # some of its files are read by other users
        own = {
            "bootstrap_servers": kafka, "topic_prefix": f"{unique}.", "group": unique, "reference_key": KEY,
            "data_dir": self.folder / "data", "metrics_port": 0, "partitions": 2,
        }  # fmt: skip
        super().__init__(Settings(**own | more))
        self.name, self.seed, self._say, self.began = name, seed, say, time.monotonic()
        self.findings, self.notes, self.faults = Findings(), list[str](), list[str]()
        self.extra: dict[str, str] = {}  # environment of the next processes
        self.written: dict[int, Path] = {}  # logs by process
        self.port = self.equal = 0  # equal: customers, at the last comparison
        self.files: list[Path] = []
        self.last = START - 1  # the last day that was loaded and closed

    def __exit__(self, *error: object) -> None:
        super().__exit__(*error)
        if not error or error[0] is None:
            shutil.rmtree(self.folder, ignore_errors=True)

    # -- telling

    def say(self, text: str) -> None:
        """A line of the story."""
        self._say(f"{time.monotonic() - self.began:6.1f}s  {text}")

    def fault(self, what: str) -> None:
        """What is done to the bank."""
        self.faults.append(what)
        self.say(what)

    def expect(self, what: str, good: object, said: object) -> None:
        """Note what was said, and that it was wrong if it was."""
        self.say(f"{what}: {str(said)[:400]}")
        if not good:
            self.findings.note(DIFFERENT, f"{what}: {said}"[:600])

    def result(self) -> Result:
        """The line of the table."""
        faults = ", ".join(self.faults)
        seconds = time.monotonic() - self.began
        return Result(
            self.name, self.seed, faults, self.committed(), customers=self.equal, seconds=seconds, findings=self.findings,
            notes=self.notes,
        )  # fmt: skip

    # -- processes

    def start(self, program: str = PROGRAM) -> None:
        """Start a worker that serves metrics."""
        self.port = processes.free_row(1)
        self.workers.append(self._run("worker", "--metrics-port", str(self.port), program=program))

    def _run(self, *command: str, program: str = PROGRAM) -> subprocess.Popen[bytes]:
        self._started += 1
        env = with_path({**environment(self.settings), "NO_COLOR": "1"}, self.extra)
        with self._log().open("wb") as log:
            process = subprocess.Popen(
                [sys.executable, "-m", program, *command], cwd=REPO, env=env, stdout=log,
                stderr=subprocess.STDOUT,
            )  # fmt: skip
        self.written[process.pid] = self._log()
        return process

    def ended(self, limit_s: float = SAID_S) -> tuple[int, list[str]]:
        """Exit code and lines of the last worker, which ends by itself."""
        worker = self.workers.pop()
        code = worker.wait(limit_s)
        return code, [line for line in self.written[worker.pid].read_text().splitlines() if line.strip()]

    def lines(self) -> list[str]:
        """What the process that was started last has said."""
        return [line for line in self._log().read_text().splitlines() if line.strip()]

    def tell(self, *words: str, **wrong: str) -> Called:
        """Run a command in this process, some of its settings other than the bank's."""
        more = {f"TIDEGAUGE_{name.upper()}": value for name, value in wrong.items()}
        return call(*words, env={**environment(self.settings), **self.extra, **more})

    def child(self, words: Sequence[str], limit_s: float = 60.0, **wrong: str) -> tuple[Called, float]:
        """Run a command as a process of its own, with other settings; what came of it, and after how many seconds."""
        more = {f"TIDEGAUGE_{name.upper()}": value for name, value in wrong.items()}
        env, began = with_path({**environment(self.settings), **more, "NO_COLOR": "1"}, self.extra), time.monotonic()
        process = subprocess.Popen(
            [sys.executable, "-m", "tidegauge.cli.main", *words], cwd=REPO, env=env, text=True, stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )  # fmt: skip
        try:
            out, err = process.communicate(timeout=limit_s)
        except subprocess.TimeoutExpired:
            process.kill()
            out, err = process.communicate()
        return Called(process.returncode, out, err), time.monotonic() - began

    def patience(self, limit_s: float) -> float:
        """A limit for processes, longer where the machine is busy with others: a process that does nothing tells by how much."""
        _, seconds = self.child(["standings", "--help"])
        return limit_s * max(1.0, seconds / START_S)

    def key_in_folder(self) -> None:
        """Keep the keys in the data folder from now on, and not in the environment."""
        for name in (REFERENCE_KEY_FILE, ALERT_KEY_FILE):
            write_private(self.settings.data_dir / name, KEY)
        self.settings = self.settings.model_copy(update={"reference_key": None})

    # -- what an operator looks at

    def readyz(self) -> Probe:
        """The worker's own word."""
        code, text = answered(self.port, "/readyz")
        return Probe(code, text.strip())

    def livez(self) -> Probe:
        """Whether the worker's event loop turns."""
        code, text = answered(self.port, "/livez")
        return Probe(code, text.strip())

    def metric(self, name: str, **labels: str) -> float:
        """Sum of a metric's samples with these labels; 0.0 where there is none."""
        total = 0.0
        for line in answered(self.port, "/metrics")[1].splitlines():
            head, _, value = line.rpartition(" ")
            if head.partition("{")[0] == name and all(f'{key}="{one}"' in head for key, one in labels.items()):
                total += float(value)
        return total

    def doctor(self) -> dict[str, dict[str, Any]]:
        """Every finding by its name; the first that isn't good where a check has several."""
        said = self.tell("doctor", "--json")
        found: dict[str, dict[str, Any]] = {}
        for one in json.loads(said.out):
            if one["name"] not in found or found[one["name"]]["good"]:
                found[one["name"]] = one
        return found

    def until(self, reached: Callable[[], object], limit_s: float = SAID_S) -> float:
        """Seconds until a condition holds, or the limit."""
        began = time.monotonic()
        while not reached() and time.monotonic() - began < limit_s:
            time.sleep(0.2)
        return time.monotonic() - began

    def wait_ready(self) -> None:
        """Wait until the worker holds its partitions."""
        self.wait(
            lambda: self.readyz().code == GOOD and self.held() == self.settings.partitions, "a worker that is ready"
        )

    def held(self) -> int:
        """How many partitions the worker says it holds; at its first assignment it may be none."""
        text = answered(self.port, "/worker")[1]
        return len(json.loads(text)["partitions"]) if text else 0

    # -- the bank

    def load(self, days: int, *, customers: int = 20) -> None:
        """Import so many days more with their closes, and wait until the worker has them."""
        first, last = self.last + 1, self.last + days
        self.send(first, last, customers)
        self.wait_closed()

    def send(self, first: int, last: int, customers: int = 20) -> None:
        """Import days without waiting for anybody."""
        months = (last - START) // 30 + 2
        stream = simulate(self.seed + 6, customers=customers, months=months, start=START)
        events = [one for one in takewhile(lambda one: one.day <= last, stream) if isinstance(one, Event)]
        self.bring([one for one in events if one.day >= first], last)

    def bring(self, events: Sequence[Event], last: int) -> None:
        """Import events, and close up to a day."""
        folder = self.folder / f"days-{len(self.files)}"
        folder.mkdir()
        files_out.write_files(events, folder, "ndjson")
        self.files.append(folder)
        said = self.tell("import", "--format", "ndjson", str(folder), "--until", str(date_of(last)))
        assert said.code == 0, said
        self.last = last

    def standings(self) -> dict[str, dict[str, str]]:
        """Every customer's row as the live system has it."""
        said = self.tell("standings", "--as-of", str(date_of(self.last)))
        assert said.code == 0, (said, self.said())
        return {row["customer_id"]: row for row in csv.DictReader(io.StringIO(said.out))}

    def wanted(self) -> dict[str, dict[str, str]]:
        """The same by a replay of the files, which knows no broker."""
        folder = self.folder / "all"
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir()
        for one in self.files:
            for path in one.iterdir():
                with (folder / path.name).open("ab") as out:
                    out.write(path.read_bytes())
        said = self.tell("replay", str(folder), "--format", "ndjson", "--as-of", str(date_of(self.last)))
        assert said.code == 0, said
        return {row["customer_id"]: row for row in csv.DictReader(io.StringIO(said.out))}

    def judge(self) -> None:
        """Every customer's row equals the replay's."""
        got, want = self.standings(), self.wanted()
        wrong = sorted(name for name in got.keys() | want.keys() if got.get(name) != want.get(name))
        self.equal = len(want) - len(wrong)
        self.expect("customers equal to a replay", not wrong, f"{len(want) - len(wrong)} of {len(want)} {wrong[:3]}")


def as_anybody(env: Mapping[str, str], *words: str) -> Called:
    """Run a command as one to whom the rights of files apply: root reads and writes everything else."""
    done = subprocess.run(
        [sys.executable, "-m", "tidegauge.cli.main", *words], env={**env, "NO_COLOR": "1"}, text=True,
        capture_output=True, timeout=120, check=False, cwd=REPO,
        preexec_fn=_give_up_rights if os.geteuid() == 0 else None,
    )  # fmt: skip
    return Called(done.returncode, done.stdout, done.stderr)


def _give_up_rights() -> None:
    for capability in (_CAP_DAC_OVERRIDE, _CAP_DAC_READ_SEARCH):
        if ctypes.CDLL(None, use_errno=True).prctl(_PR_CAPBSET_DROP, capability, 0, 0, 0):
            raise OSError(ctypes.get_errno(), "prctl")
