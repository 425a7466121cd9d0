"""Secrets and folders: nobody else reads them, a key is never weak and never made up where others need the same."""

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import psutil
import pytest
import redis
import yaml
from pydantic import ValidationError

from deploy import record
from deploy.embedded.stack import Stack
from deploy.errors import StackError
from deploy.private import made_once, private_folder, write_private
from deploy.settings import KEY_BYTES_MIN, Settings

ROOT = Path(__file__).resolve().parents[2]
KEY = "k" * KEY_BYTES_MIN


def mode(path: Path) -> int:
    return path.stat().st_mode & 0o777


def test_keys_are_made_once_and_on_purpose(tmp_path: Path) -> None:
    """Asking makes no key: another one than the log's would give other references. Made, it is the same for every process."""
    folder = tmp_path / "data"
    first, second = Settings(data_dir=folder), Settings(data_dir=folder)
    for key in (first.secret, first.alert_secret):
        with pytest.raises(StackError, match="no reference key"):
            key()
    assert not folder.exists()
    first.make_keys()
    made = first.secret()
    second.make_keys()
    assert made == second.secret() == second.alert_secret() and len(made) >= KEY_BYTES_MIN
    assert (mode(folder), mode(folder / "reference.key")) == (0o700, 0o600)
    assert sorted(path.name for path in folder.iterdir()) == ["alert.key", "reference.key"]
    assert Settings(data_dir=folder, reference_key=KEY).secret() == KEY.encode()


def test_first_of_several_makers_counts(tmp_path: Path) -> None:
    """Two processes that start at once have one key."""
    path = tmp_path / "reference.key"

    def other() -> str:
        made_once(path, lambda: "the other's")
        return "ours"

    made_once(path, other)
    assert (path.read_text(), len(list(tmp_path.iterdir()))) == ("the other's", 1)


def test_key_is_not_made_up_for_others(tmp_path: Path) -> None:
    """With Kafka elsewhere a missing key is an error, and nothing is written; a file that was put there counts."""
    settings = Settings(data_dir=tmp_path / "data", bootstrap_servers="kafka.example:9092")
    settings.make_keys()
    for key in (settings.secret, settings.alert_secret):
        with pytest.raises(StackError, match="no reference key"):
            key()
    assert not settings.data_dir.exists()
    settings.data_dir.mkdir()
    (settings.data_dir / "reference.key").write_text(KEY + "\n")
    assert settings.secret() == settings.alert_secret() == KEY.encode()


@pytest.mark.parametrize("content", [b"", b"\n", b"short", b"\xff\xfe" * 40, b"k" * (KEY_BYTES_MIN - 1)])
def test_broken_key_file_is_told(content: bytes, tmp_path: Path) -> None:
    """Empty, binary or short: the file is named, and stays."""
    path = tmp_path / "reference.key"
    path.write_bytes(content)
    with pytest.raises(StackError, match=r"reference\.key"):
        Settings(data_dir=tmp_path).secret()
    assert path.read_bytes() == content


@pytest.mark.slow
def test_command_tells_of_a_broken_key_file(tmp_path: Path) -> None:
    """In clear lines that name the file; it stays."""
    path, content = tmp_path / "reference.key", b"\xff\xfe" * 40
    path.write_bytes(content)
    environment = {k: v for k, v in os.environ.items() if not k.startswith("TIDEGAUGE_")} | {
        "TIDEGAUGE_DATA_DIR": str(tmp_path)
    }
    command = [sys.executable, "-m", "tidegauge.cli.main", "queue", "lookup", "C1"]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (2, "")
    assert len(done.stderr.splitlines()) <= 3 and "reference.key" in done.stderr.replace("\n", "")
    assert path.read_bytes() == content


@pytest.mark.parametrize("key", ["", "short", "k" * (KEY_BYTES_MIN - 1), KEY + "\n", " " + KEY, "\udcff" * 40])
@pytest.mark.parametrize("name", ["reference_key", "alert_key"])
def test_weak_key_is_refused(name: str, key: str) -> None:
    """A short key could be guessed, one with a line end would differ from the same key in a file; it is not repeated."""
    with pytest.raises(ValidationError, match=name) as told:
        Settings(**{name: key})  # type: ignore[arg-type]
    assert "input_value" not in str(told.value)


def test_length_is_of_bytes() -> None:
    """A key is text; its UTF-8 bytes count."""
    assert len(Settings(reference_key="钥" * 11).secret()) == 33


def test_alert_ids_outlive_the_reference_key(tmp_path: Path) -> None:
    """The key of alert ids begins as the reference key, so that what is open keeps its id, and stays when that changes."""
    old = Settings(data_dir=tmp_path)
    old.make_keys()
    assert old.alert_secret() == old.secret()
    (tmp_path / "reference.key").write_text(KEY)
    assert (old.secret(), mode(tmp_path / "alert.key")) == (KEY.encode(), 0o600)
    assert old.alert_secret() not in (KEY.encode(), b"")
    elsewhere = {"data_dir": tmp_path / "other", "bootstrap_servers": "kafka.example:9092", "reference_key": KEY}
    assert Settings(**elsewhere).alert_secret() == KEY.encode()  # type: ignore[arg-type]
    kept = Settings(**elsewhere, alert_key="a" * 32)  # type: ignore[arg-type]
    assert (kept.secret(), kept.alert_secret()) == (KEY.encode(), b"a" * 32)
    assert not (tmp_path / "other").exists()


def test_folders_are_closed(tmp_path: Path) -> None:
    """What is made is its owner's alone under any umask; what an earlier version left open is closed, others' is left."""
    before = os.umask(0)
    try:
        private_folder(tmp_path / "new")
        write_private(tmp_path / "new" / "file", "x")
        (tmp_path / "old").mkdir(0o755)
        private_folder(tmp_path / "old")
        (tmp_path / "shared").mkdir(0o755)
        private_folder(tmp_path / "shared", ours=False)
    finally:
        os.umask(before)
    found = [mode(tmp_path / name) for name in ("new", "new/file", "old", "shared")]
    assert found == [0o700, 0o600, 0o700, 0o755]


@pytest.mark.integration
def test_redis_wants_its_password(tmp_path: Path) -> None:
    """The embedded Redis serves nobody without the password, which stands in no command line, log or open file."""
    folder, said = tmp_path / "data", list[str]()
    folder.mkdir(0o755)
    record.write_record(folder, {"brokers": 1})  # as an earlier version has left it
    with Stack(folder, Settings(), with_kafka=False, any_ports=True, tether=True, say=said.append) as stack:
        password = (folder / "redis.password").read_text()
        assert redis.Redis.from_url(stack.redis_url).ping()
        with pytest.raises(redis.AuthenticationError):
            redis.Redis.from_url(stack.redis_url.replace(f":{password}@", "")).ping()
        (running,) = stack.running()
        assert password not in " ".join(psutil.Process(running.pid).cmdline() + said) + stack.settings.redis_shown
        assert password not in (folder / "logs" / "redis.log").read_text()
        assert Settings(data_dir=folder).redis == stack.redis_url
        assert mode(folder) == 0o700
        assert [path for path in folder.rglob("*") if mode(path) & 0o077] == []
        assert len(password) == 64


def test_compose_has_no_key_of_its_own() -> None:
    """Without a key compose starts nothing: one in a public file is no secret."""
    compose: dict[str, Any] = yaml.safe_load((ROOT / "docker-compose.yml").read_text())
    assert compose["x-tidegauge"]["environment"]["TIDEGAUGE_REFERENCE_KEY"].startswith("${TIDEGAUGE_REFERENCE_KEY:?")
