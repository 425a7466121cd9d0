"""`tidegauge config show`: every setting with where it came from, and no secret."""

import json
from pathlib import Path

from deploy.settings import Settings
from tests.cli.invocation import call

WORDS = ("a password of Kafka's own", "a password of Redis'", "a reference key that is 32 bytes long")


def test_every_setting_and_no_secret(tmp_path: Path) -> None:
    """In words and for machines; also of a file, a command, and of a URL with a password in it."""
    file = tmp_path / "word"
    file.write_text(WORDS[0])
    env = {
        "TIDEGAUGE_KAFKA_PASSWORD_FILE": str(file), "TIDEGAUGE_REFERENCE_KEY_COMMAND": f"printf '{WORDS[2]}'",
        "TIDEGAUGE_REDIS_URL": "redis://:a%20password%20of%20Redis'@h:1/0?password=word", "TIDEGAUGE_ZONE": "Asia/Tokyo",
    }  # fmt: skip
    for words in ((), ("--json",)):
        done = call("config", "show", *words, env=env)
        assert done.code == 0
        assert not [word for word in (*WORDS, "a%20password", "password=word") if word in done.out + done.err]
    rows = {row["name"]: row for row in json.loads(done.out)}
    assert set(rows) == {f"TIDEGAUGE_{name.upper()}" for name in Settings.model_fields}
    assert rows["TIDEGAUGE_KAFKA_PASSWORD"]["from"] == "TIDEGAUGE_KAFKA_PASSWORD_FILE"
    assert rows["TIDEGAUGE_REFERENCE_KEY"]["from"] == "TIDEGAUGE_REFERENCE_KEY_COMMAND"
    assert (rows["TIDEGAUGE_ZONE"]["value"], rows["TIDEGAUGE_ZONE"]["from"]) == ("Asia/Tokyo", "TIDEGAUGE_ZONE")
    assert rows["TIDEGAUGE_REDIS_URL"]["value"] == "redis://…@h:1/0?…"
    assert rows["TIDEGAUGE_GROUP"]["from"] == "default"
    assert rows["TIDEGAUGE_GROUP"]["kind"] == "identity"
