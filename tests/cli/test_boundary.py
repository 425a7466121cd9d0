"""The boundary of the command line: known failures, choices, completion, one form of JSON, whole columns, any locale."""

import importlib
import io
import json
import os
import re
import resource
import subprocess
import sys
from pathlib import Path

import pytest
from rich.console import Console

from connectors.formats import files_out
from connectors.formats.sources import FORMATS
from deploy.settings import Settings
from schemas.topics import CLOSES, INPUTS
from services.views.projections import PROJECTIONS
from services.views.queries import AlertRow
from streams.alerts.acts import CASE_OUTCOMES
from tests.cli import wrong_files
from tests.cli.invocation import call
from tidegauge.cli import choices, failures, output
from tidegauge.cli.alerts import command, view
from tidegauge.letters import FILES

ROOT = Path(__file__).resolve().parents[2]
DEAD = {"TIDEGAUGE_BOOTSTRAP_SERVERS": "127.0.0.1:1", "TIDEGAUGE_REDIS_URL": "redis://127.0.0.1:1/0"}


def shell(line: str, **env: str) -> subprocess.CompletedProcess[str]:
    """A line of a shell in which `tidegauge` is the command."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("TIDEGAUGE_")}
    start = f'tidegauge() {{ "{sys.executable}" -m tidegauge.cli.main "$@"; }}\n'
    command = ["bash", "-c", start + line]
    return subprocess.run(command, cwd=ROOT, env=kept | env, capture_output=True, text=True, check=False)


@pytest.mark.parametrize("name", failures._KINDS)
def test_failures_are_known_by_their_names(name: str) -> None:
    """A class that was renamed would become an unexpected failure."""
    module, _, kind = name.replace("cimpl.", "confluent_kafka.cimpl.").rpartition(".")
    assert issubclass(getattr(importlib.import_module(module), kind), BaseException)


def test_choices_are_those_of_the_rooms() -> None:
    """The enums say without an import what readers, writers and settings take."""
    assert {form.value for form in choices.SourceFormat} == set(FORMATS)
    assert {form.value for form in choices.FileFormat} == set(files_out.FORMATS)
    assert tuple(outcome.value for outcome in choices.OutcomeOfCase) == CASE_OUTCOMES
    assert {topic.value for topic in choices.SourceTopic} == {*INPUTS} - {"policies", "crm-actions", CLOSES}
    assert {topic.value for topic in choices.LetterTopic} == {*INPUTS, *PROJECTIONS, FILES}
    languages = Settings.model_fields["lang"].annotation
    assert {lang.value for lang in choices.Lang} == set(languages.__args__)


@pytest.mark.parametrize(
    ("words", "offered"),
    [
        ("rep", {"replay"}),
        ("import --format ", {"berka", "csv"}),
        ("policy che", {"check"}),
        ("close --j", {"--json"}),
        ("dead-letters count --topic f", {"facts", "file", "fx-rates"}),
    ],
)
def test_lines_are_completed(words: str, offered: set[str]) -> None:
    """The tab key knows commands, those of groups, options and choices; a mistyped setting does not disturb it."""
    line = f"tidegauge {words}"
    ask = {"_TIDEGAUGE_COMPLETE": "complete_bash", "COMP_WORDS": line, "COMP_CWORD": str(line.count(" "))}
    found = call(env=ask | {"TIDEGAUGE_PARTITION": "9"})
    assert offered <= set(found.out.split())


def test_a_fault_is_said_in_a_line_or_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    """What nobody foresaw is a line too, and TIDEGAUGE_DEBUG gives the traceback."""

    def broken() -> list[str]:
        raise ZeroDivisionError("nobody\nforesaw this")

    monkeypatch.setattr("policies.available_packs", broken)
    said = call("policy", "list")
    assert (said.code, said.out) == (1, "")
    assert said.err.startswith("error: unexpected ZeroDivisionError: nobody foresaw this\n")
    assert "TIDEGAUGE_DEBUG=1" in said.err
    with pytest.raises(ZeroDivisionError):
        call("policy", "list", env={"TIDEGAUGE_DEBUG": "1"})


def test_columns_are_whole_in_a_pipe() -> None:
    """Eighty characters are a terminal's width, not that of whoever reads the output."""
    amounts = {"window_days": 7, "outflow_minor": 1, "reference_aum_minor": 2, "share_bp": 5000}
    row = AlertRow("a" * 12, "customer-" * 9, "rule-" * 9, "high", "open", **amounts, tier="gold", branch="branch-" * 9,
                   rm_id="rm-" * 20, raised_day="2026-01-31")  # fmt: skip
    pipe, terminal = output.Results(file=io.StringIO()), Console(file=io.StringIO(), width=80)
    for console in (pipe, terminal):
        console.print(command._table([row]))
    shown = [console.file.getvalue() for console in (pipe, terminal)]
    assert [row.customer_id in text and row.rm_id in text for text in shown] == [True, False]


class NoView:
    """A Redis server in which no view was ever begun."""

    def exists(self, _key: str) -> int:
        """Nothing."""
        return 0


def test_no_view_is_not_no_alerts(monkeypatch: pytest.MonkeyPatch) -> None:
    """An empty table would say that nothing has happened."""
    monkeypatch.setattr(view, "need_redis", lambda _settings: None)
    monkeypatch.setattr(view, "redis_client", lambda _settings: NoView())
    found = call("alerts", "--rm", "r1", env=DEAD)
    assert (found.code, found.out) == (1, "")
    assert "holds no view" in found.err
    assert "tidegauge rebuild" in found.err


@pytest.mark.slow
@pytest.mark.parametrize("encoding", ["latin-1", "ascii", "gbk", "utf-8"])
def test_any_locale(encoding: str) -> None:
    """Chinese is printed where the locale lacks it, and JSON stays the same JSON."""
    said = call("policy", "list", "--lang", "zh-CN", encoding=encoding)
    assert said.code == 0
    assert "abc-bands" in said.out
    found = json.loads(call("policy", "list", "--json", encoding=encoding).out)
    assert found[0]["name"]["zh"] == "ABC 余额分档"


def rows(folder: Path, *words: str) -> list[dict[str, object]]:
    """What `replay --json` prints of NDJSON files."""
    found = call("replay", str(folder), "--format", "ndjson", "--json", *words)
    assert (found.code, found.err) == (0, "")
    return json.loads(found.out)


@pytest.mark.slow
def test_replay_behind_the_last_event(tmp_path: Path) -> None:
    """Customers who book nothing for months are the normal case: their days are closed up to the one asked for."""
    folder = wrong_files.bank(
        tmp_path / "bank", wrong_files.posting(1, "2026-01-05"), wrong_files.posting(2, "2026-01-20")
    )
    (row,) = rows(folder, "--as-of", "2026-12-31")
    assert (row["aum"], row["quarter_avg"], row["trailing_avg_90"]) == (20_000, 20_000, 20_000)
    assert row["month_avg_11"] == round((15 * 10_000 + 12 * 20_000) / 31)
    out = tmp_path / "rows.csv"
    done = call("replay", str(folder), "--format", "ndjson", "--as-of", "2026-12-31", "--out", str(out))
    assert (done.code, done.out) == (0, "")
    assert out.read_text().splitlines()[1].startswith("C1,20000,20000,")


def test_a_silence_can_be_said_to_be_right(tmp_path: Path) -> None:
    """Refused, it names the option with which the same call is taken."""
    folder = wrong_files.bank(
        tmp_path / "bank", wrong_files.posting(1, "2026-01-05"), wrong_files.posting(2, "2026-09-01")
    )
    words = ("replay", str(folder), "--format", "ndjson", "--as-of", "2026-09-30")
    found = re.search(r"--silence-days \d+", call(*words).err)
    assert found
    assert call(*words, *found[0].split()).code == 0


def test_conflicts_are_named_and_left_out(tmp_path: Path) -> None:
    """A posting that contradicts another one of its number is refused by the job: the first one counts."""
    first, other = (
        wrong_files.posting(1, "2026-01-05"),
        wrong_files.posting(1, "2026-01-05", amount="9.00", event_id="x"),
    )
    folder = wrong_files.bank(tmp_path / "bank", first, other)
    found = call("replay", str(folder), "--format", "ndjson", "--as-of", "2026-01-31", "--json")
    assert (found.code, json.loads(found.out)[0]["aum"]) == (2, 10_000)
    assert found.err.startswith("error: transactions: ")
    assert "event_id x" in found.err


@pytest.mark.slow
def test_as_real_processes(tmp_path: Path) -> None:
    """What only a process of its own can show: bytes that are no text, few open files, a closed or full output, a dead server."""
    env = DEAD | {"TIDEGAUGE_DATA_DIR": str(tmp_path)}
    wrong = {
        r"tidegauge complete $'\xff' 2026-01-31": (2, "no UTF-8"),
        "tidegauge policy list >/dev/full": (1, "make room"),
        "tidegauge policy list --no-such": (2, "--help"),
    }
    if resource.getrlimit(resource.RLIMIT_NOFILE)[1] > 64:
        env_up = {"TIDEGAUGE_DATA_DIR": str(tmp_path), "TIDEGAUGE_REDIS_URL": DEAD["TIDEGAUGE_REDIS_URL"]}
        few = shell("ulimit -n 64; tidegauge up", **env_up)
        assert (few.returncode, few.stdout) == (1, "")
        assert "ulimit -n 4096" in few.stderr
    for line, (code, word) in wrong.items():
        found = shell(line, **env)
        assert found.returncode == code, (line, found.stderr)
        assert word in found.stderr
        assert len(found.stderr.splitlines()) <= 3
    assert shell("tidegauge policy list >&-", **env).stderr == ""
    assert shell("set -o pipefail; tidegauge policy list | head -n 0", **env).stderr == ""
    found = shell("PYTHONIOENCODING=latin-1 tidegauge complete 柜面 2026-01-31 --lang zh-CN", **env)
    assert (found.returncode, len(found.stderr.splitlines())) == (1, 2)


LEFT_BEHIND = """
import threading
from tidegauge.cli.shutdown import one_last_line
over = threading.Event()
left = threading.Thread(target=lambda: over.wait() and 1 / 0)
left.start()
with one_last_line():
    pass
print("the last line")
over.set()
left.join()
"""


def test_a_thread_that_is_left_behind_says_nothing() -> None:
    """What it meets while the process ends is nobody's business: the last line has been said."""
    done = subprocess.run([sys.executable, "-c", LEFT_BEHIND], cwd=ROOT, capture_output=True, text=True, check=True)
    assert (done.stdout, done.stderr) == ("the last line\n", "")


IN_A_FINALISER = """
import os, signal
from tidegauge.cli.shutdown import ends_early
class Finalised:
    def __del__(self):
        os.kill(os.getpid(), signal.SIGTERM)
        len("the signal comes here at the latest")
ends_early("stopped before anything")
Finalised()
print("went on")
"""


def test_a_signal_ends_whatever_it_interrupts() -> None:
    """Python passes over exceptions in finalisers: a worker had raised one in the compiler's, and went on."""
    done = subprocess.run([sys.executable, "-c", IN_A_FINALISER], cwd=ROOT, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "stopped before anything\n")
