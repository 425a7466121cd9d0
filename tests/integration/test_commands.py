"""Commands through the whole system: the service, the brokers, a worker; each killed in the middle of things."""

from __future__ import annotations

import json
import os
import random
import re
import subprocess
import threading
import time
import urllib.error
import urllib.request
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final, NamedTuple

import pytest
from joserfc import jwt
from joserfc.jwk import KeySet, RSAKey
from pydantic import SecretStr

from connectors.formats.events import Event
from connectors.loading.publisher import EventPublisher
from schemas.codec.records import encode
from tests.integration.live import REPO, Live, doubled, free_port
from tests.standing.partition import customer

pytestmark = pytest.mark.integration
PAGE: Final = (REPO / "docs" / "integrators.md").read_text()
ON_THE_PAGE: Final = "6230001234560042"
ISSUER: Final = "https://login.bank"
WAIT_S: Final = 240.0


class Commands(NamedTuple):
    """A live system, and where its service of commands listens."""

    live: Live
    port: int
    key: RSAKey

    def token(self, role: str = "service", unit: str = "hq") -> str:
        """A machine's."""
        now = int(time.time())
        claims = {"iss": ISSUER, "aud": "tidegauge", "sub": f"the {role}", "iat": now, "exp": now + 3600,
                  "tidegauge_role": role, "tidegauge_unit": unit}  # fmt: skip
        return jwt.encode({"alg": "RS256", "kid": self.key.kid}, claims, self.key)

    def ask(self, path: str, body: Any = None, key: str = "", role: str = "service") -> tuple[int, dict[str, Any]]:
        """Status and document; status 0 where nobody answers."""
        headers = {"Authorization": f"Bearer {self.token(role)}", "Content-Type": "application/json"}
        headers |= {"Idempotency-Key": key} if key else {}
        data = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(f"http://127.0.0.1:{self.port}/v1/commands/{path}", data, headers)
        try:
            with urllib.request.urlopen(request, timeout=10) as answer:
                return int(answer.status), json.loads(answer.read())
        except urllib.error.HTTPError as refused:
            return refused.code, json.loads(refused.read())
        except OSError:
            return 0, {}

    def serve(self) -> Any:
        """Starts the service, and waits until it listens."""
        process = self.live.begin("commands", "serve", "--port", str(self.port))
        self.live.wait(lambda: self.ask("command-" + "0" * 32)[0] == 404, "the service of commands")
        return process


@pytest.fixture(scope="module")
def commands(make_live: Callable[..., Live], redis_server: str, tmp_path_factory: pytest.TempPathFactory) -> Commands:
    """One worker, one service, customers C0 to C9."""
    key = RSAKey.generate_key(2048, {"kid": "now"})
    keys = tmp_path_factory.mktemp("keys") / "keys.json"
    keys.write_text(json.dumps(KeySet([key]).as_dict(private=False)))
    live = make_live(redis_url=redis_server, token_issuer=ISSUER, token_keys=keys)
    publisher = EventPublisher(live.settings, lambda topic, record: encode(topic, record))
    for name in (*(f"C{number}" for number in range(10)), ON_THE_PAGE):
        profile = {field: value for field, value in customer(name).items() if field != "topic"}
        publisher.send(Event(0, "customers", profile))
    publisher.flush()
    publisher.close()
    live.start()
    found = Commands(live, free_port(), key)
    found.serve()
    live.wait(lambda: live.committed("customers") > 0, "a worker that takes what comes")
    return found


def results(live: Live) -> dict[str, str]:
    """By command, its outcome; none has two."""
    told = live.outputs("command-results")
    assert not doubled(told)
    return {one["command_id"]: one["outcome"] for one in told}


def test_a_command_goes_through(commands: Commands) -> None:
    """Applied, refused by the worker with its reason, not known, and the same one again."""
    note = {"customer_id": "C1", "text": "called"}
    status, said = commands.ask("note", note, "n1", "service")
    assert status == 404, said  # the service has no notes
    status, said = commands.ask("record", {"customer_id": "C1", "record": "filing"}, "r1")
    assert (status, said["state"]) == (200, "applied"), (said, commands.live.said())
    assert commands.ask("record", {"customer_id": "C1", "record": "filing"}, "r1") == (status, said)
    assert commands.ask("record", {"customer_id": "C1", "record": "consent"}, "r1")[0] == 422
    status, refused = commands.ask("collect_card", {"customer_id": "C1"}, "r2")
    assert (status, refused["reason"]) == (409, "no_such_card")
    assert commands.ask("record", {"customer_id": "C77", "record": "filing"}, "r3")[0] == 404
    assert commands.ask("issue_card", {"customer_id": "C1", "card": "gold"}, "r4", "kiosk")[0] == 404
    assert results(commands.live)[said["command_id"]] == "applied"
    kept = commands.live.outputs("audit-log")
    assert Counter(one["outcome"] for one in kept) == {"allowed": 4, "denied": 3}
    assert {one["details"]["request_id"] for one in kept if one["outcome"] == "allowed"} >= {
        one["request_id"] for one in commands.live.outputs("command-results")
    }


def test_a_file_of_commands(commands: Commands, tmp_path: Path) -> None:
    """Each line as if it came alone, and a report; again it is harmless."""
    lines = [{"command": "record", "customer_id": f"C{n}", "record": "agreement"} for n in range(10)]
    file = tmp_path / "some.ndjson"
    bad = [{"command": "record", "customer_id": "C99", "record": "filing"}, 7]
    file.write_text("".join(json.dumps(line) + "\n" for line in [*lines, *bad]))
    before = results(commands.live)
    settings = commands.live.settings
    commands.live.settings = settings.model_copy(update={"token": SecretStr(commands.token())})
    try:
        for _ in range(2):
            said = json.loads(commands.live.command("commands", "send", str(file), "--json", code=1))
            assert said["counts"] == {"applied": 10, "not_known": 1, "unfit": 1}
            assert [one["line"] for one in said["others"]] == [11, 12]
    finally:
        commands.live.settings = settings
    assert len(results(commands.live)) == len(before) + 10


def test_the_programs_of_the_page(commands: Commands) -> None:
    """docs/integrators.md: what curl sends is applied, and so is what the function of Python sends."""
    shell, code = (re.findall(rf"```{kind} command\n(.*?)```", PAGE, re.DOTALL)[0] for kind in ("bash", "python"))
    where = {"COMMANDS": f"http://127.0.0.1:{commands.port}", "TOKEN": commands.token(), "PATH": os.environ["PATH"]}
    done = subprocess.run(["sh", "-c", shell], env=where, capture_output=True, text=True, timeout=240, check=False)
    assert done.returncode == 0 and json.loads(done.stdout)["state"] == "applied", done
    known: dict[str, Any] = {}
    exec(code, known)
    status, said = known["command"](where["COMMANDS"], where["TOKEN"], "return_card", customer_id=ON_THE_PAGE)
    assert (status, said["reason"]) == (409, "no_such_card")


@pytest.mark.slow
def test_restarted_at_any_point(commands: Commands) -> None:
    """Applied once or not at all, and its caller learns which: over kills of the worker and of the service."""
    live, rng, learned = commands.live, random.Random(7), dict[str, str]()
    until = time.monotonic() + WAIT_S

    def call(number: int) -> None:
        """As a client does: the same key until somebody answers, then the address of what is pending."""
        body = {"customer_id": f"C{number % 10}", "record": "filing"}
        while time.monotonic() < until:
            status, said = commands.ask("record", body, f"kill-{number}")
            while status == 202 and said["state"] == "pending" and time.monotonic() < until:
                time.sleep(0.1)
                status, said = commands.ask(said["command_id"])
            if status in (200, 409):
                learned[said["command_id"]] = said.get("state", "refused")
                return
            time.sleep(0.1)

    before = set(results(live))
    callers = [
        threading.Thread(target=lambda first=first: [call(n) for n in range(first, 60, 4)]) for first in range(4)
    ]
    for caller in callers:
        caller.start()
    for _ in range(2):
        time.sleep(rng.uniform(0.2, 1.0))
        service = live.others[-1]
        service.kill()
        service.wait(240)
        if rng.random() < 0.7:
            live.kill(rng)
        commands.serve()
    for caller in callers:
        caller.join()
    assert len(learned) == 60, live.said()
    told = {name: outcome for name, outcome in results(live).items() if name not in before}
    assert told == learned
    sent = Counter(one["event_id"] for one in live.outputs("crm-actions") if one["event_id"] in learned)
    assert set(sent) == set(learned)
