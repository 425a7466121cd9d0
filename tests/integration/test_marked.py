"""A bank whose personal data bear marks, through the whole system; then none of them is where it has no business.

Looked through: logs, metrics, answers to wrong requests, addresses, Redis keys, notices, process lists. In topics, values of
Redis and PostgreSQL, and in answers to who may ask, the marks are what they are kept for.
"""

from __future__ import annotations

import datetime as dt
import json
import re
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Final, NamedTuple

import httpx2
import pytest
from confluent_kafka import Producer
from joserfc import jwt
from joserfc.jwk import KeySet, RSAKey
from redis import Redis

from deploy.connections.clients import librdkafka
from deploy.connections.database import connected
from schemas.codec.records import encode
from services.access.decision import Role
from services.access.keys import issue_key
from services.commands.description import description
from services.database.migrations import migrate
from services.notices.notifier import Notice
from services.pages.visitors import SCREEN_COOKIE
from services.staff.directory import take
from services.staff.lists import read_list
from services.views.keys import Keys
from streams.reference import customer_ref
from tests.integration.live import REPO, Live, free_port
from tests.integration.test_takeover import closed, told
from tests.queue import description as tickets
from tests.standing.partition import customer
from tests.twins.events import posting
from tidegauge.demo.processes import environment

pytestmark = [pytest.mark.integration, pytest.mark.slow]

ISSUER: Final = "https://login.bank"
WHO: Final = "ZQX1customer0001"
ACCOUNT, PARTY, TEXT, LOGIN, STAFF = "ZQX2account", "ZQX3party", "ZQX4 wrote this", "zqx5login", "ZQX6staff"
IN_MINOR, OUT_MINOR = 9_135_724_680, -7_924_681_350
BORN: Final = -4640  # 1957-04-19
MARKS: Final = re.compile(
    r"zqx\d|9135724680|91,?357,?246[.,]80|7924681350|79,?246,?813[.,]50|1957-04-19|1957年4月19日", re.IGNORECASE
)
IMPERSONAL: Final = {
    "day",
    "limit",
    "skip",
    "cash_request",
    "command_id",
    "ticket",
    "counter",
    "branch",
    "customer_ref",
}
"""What an address may hold: a reference is opaque."""


def marks(text: str) -> list[str]:
    """Each place with a mark, and what stands around it."""
    return [text[max(0, found.start() - 60) : found.end() + 60] for found in MARKS.finditer(text)]


class Marked(NamedTuple):
    """The live bank, and where its services listen."""

    live: Live
    commands: str
    queue: str
    pages: str
    metrics: list[int]
    token: Callable[..., str]
    kiosk: str
    staff: list[subprocess.Popen[bytes]]

    @property
    def processes(self) -> list[subprocess.Popen[bytes]]:
        """Those that run on."""
        return [*self.live.workers, *(one for one in (*self.live.others, *self.staff) if one.poll() is None)]


@pytest.fixture(scope="module")
def marked(
    make_live: Callable[..., Live], redis_server: str, tickets_server: str, new_database: Callable[[], str],
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[Marked]:  # fmt: skip
    """Every process of a bank; a marked customer with an alert of high severity, and a letter of what was his."""
    folder, key = tmp_path_factory.mktemp("marked"), RSAKey.generate_key(2048, {"kid": "now"})
    (folder / "keys.json").write_text(json.dumps(KeySet([key]).as_dict(private=False)))
    database = new_database()
    kiosk = _lists(database, folder)
    ports = [free_port() for _ in range(6)]
    live = make_live(
        redis_url=redis_server, tickets_url=tickets_server, database_url=database, token_issuer=ISSUER,
        token_keys=folder / "keys.json", partitions=2, lookup_metrics_port=ports[2],
    )  # fmt: skip
    live.metrics_port = ports[0]
    live.start()
    live.begin("views", "--metrics-port", str(ports[1]))
    live.begin("notices")
    live.begin("commands", "serve", "--port", str(ports[3]))
    served = [_begun(live, "serve", ports[4]), _begun(live, "pages", ports[5])]
    _events(live)

    def token(**claims: str) -> str:
        now = int(time.time())
        plain = {"iss": ISSUER, "aud": "tidegauge", "sub": "s", "iat": now, "exp": now + 3600}
        return jwt.encode({"alg": "RS256", "kid": "now"}, plain | claims, key)

    queue, pages = (f"http://127.0.0.1:{port}" for port in ports[4:])
    yield Marked(
        live, f"http://127.0.0.1:{ports[3]}/v1/commands", queue, pages, ports[:3], token, kiosk, served
    )  # fmt: skip
    for one in served:
        one.kill()
        one.wait(240)


def _keys(live: Live, url: str) -> list[str]:
    """Names of all that a server holds of this installation."""
    with Redis.from_url(url) as client:
        names = client.scan_iter(f"{Keys.of(live.settings.topic_prefix).prefix}*", 1000)
        return [name.decode(errors="replace") for name in names]


def _begun(live: Live, what: str, port: int) -> subprocess.Popen[bytes]:
    """A service of the queue, which asks everybody for a key."""
    with (live.logs / f"queue-{what}.log").open("wb") as log:
        return subprocess.Popen(
            [sys.executable, "-m", "tidegauge.cli.main", "queue", what, "--port", str(port)], cwd=REPO,
            env=environment(live.settings), stdout=log, stderr=subprocess.STDOUT,
        )  # fmt: skip


def _lists(database: str, folder: Path) -> str:
    """The bank's staff: a manager whose names bear marks; and a key of a kiosk."""
    lists = (
        "unit,name,change\nhq,x,set\nhq/B1,x,set\n",
        f"staff_id,login,name,role,unit,change\n{STAFF},{LOGIN},ZQX7 Name,rm,hq/B1,set\n",
    )
    with connected(database) as connection:
        migrate(connection)
        for text in lists:
            (folder / "list.csv").write_text(text)
            take(connection, read_list(folder / "list.csv"), "tester")
        return issue_key(connection, Role.KIOSK, ("hq", "B1"), "tester", dt.datetime.now(dt.UTC), 30)[1]


def _events(live: Live) -> None:
    """A large inflow, a close, a larger outflow: his manager is told. Some records of his that nobody can read."""
    about = {"customer": WHO, "account": ACCOUNT, "counterparty_ref": PARTY}
    profile = customer(WHO, rm_id=STAFF, birth_date=BORN, card_held="diamond")
    told(live, [profile, posting(1, IN_MINOR, "2026-01-01", **about)])
    producer = Producer({**librdkafka(live.settings.kafka)})
    whole = encode(
        "transactions", {k: v for k, v in posting(9, IN_MINOR, "2026-01-02", **about).items() if k != "topic"}
    )
    for topic, value in (("transactions", whole[:-3]), ("facts", f"{WHO} {TEXT}".encode()), ("customers", b"\xff")):
        for partition in range(live.settings.partitions):
            producer.produce(live.settings.topic(topic), value, WHO.encode(), partition)
    producer.flush(20)
    settings = live.settings
    live.settings = settings.model_copy(update={"token_issuer": ""})  # the operator of these servers closes
    closed(live, "2026-03-31")
    live.settings = settings
    told(live, [posting(2, OUT_MINOR, "2026-04-02", **about)])
    live.wait(lambda: any(one["status"] == "raised" for one in live.outputs("rm-alerts")), "an alert")
    live.wait(lambda: bool(live.outputs("notices")), "its notice")


def _asked(marked: Marked) -> list[tuple[str, Any]]:
    """Requests of all kinds, good and bad, each with marks where a client can put them: (what it was, the answer)."""
    person = {"Authorization": f"Bearer {marked.token(preferred_username=LOGIN)}"}
    kiosk = {"Authorization": f"ApiKey {marked.kiosk}"}
    stranger = {"Authorization": f"Bearer {marked.token(preferred_username='zqx8stranger')}"}
    found: list[tuple[str, Any]] = []
    note = {"customer_id": WHO, "text": TEXT}
    with httpx2.Client(timeout=20, trust_env=False) as client:

        def ask(who: dict[str, str], method: str, url: str, **more: Any) -> Any:
            headers = who | {"Idempotency-Key": f"ZQX9-{len(found)}"} | more.pop("headers", {})
            answer = client.request(method, url, headers=headers, **more)
            found.append((f"{method} {url} {sorted(more)}", answer))
            return answer

        def served(url: str) -> bool:
            try:
                return bool(client.get(url).status_code)
            except httpx2.TransportError:
                return False

        for url in (marked.commands, marked.queue, marked.pages):
            marked.live.wait(lambda url=url: served(url), url)  # type: ignore[misc]
        marked.live.wait(
            lambda: ask(person, "POST", f"{marked.commands}/note", json=note).status_code == 200, "a note", 60
        )
        found.clear()
        notes = f"{marked.commands}/note"
        for body in (
            note | {"text": ""},
            note | {"approved_by": STAFF},
            note | {"customer_id": f"{WHO}x"},
            [TEXT],
            TEXT,
        ):
            ask(person, "POST", notes, json=body)
        ask(person, "POST", notes, content=f'{{"customer_id": "{WHO}", '.encode())
        ask(person, "POST", notes, json=note, headers={"Idempotency-Key": "ZQX9 with a blank"})
        ask(stranger, "POST", notes, json=note)
        ask(kiosk, "POST", notes, json=note)
        ask({"Authorization": f"Bearer {TEXT}"}, "POST", notes, json=note)
        ask(person, "POST", f"{marked.commands}/{WHO}", json=note)
        ask(person, "GET", f"{marked.commands}/{WHO}?{PARTY}={ACCOUNT}")
        ask(person, "PUT", f"{notes}?customer_id={WHO}", json=note)
        for path in (f"/v1/priority/{WHO}", f"/v1/priority/{WHO}%0A", f"/{WHO}", f"/v1/tickets/{WHO}"):
            ask(kiosk, "GET", f"{marked.queue}{path}")
        for body in ({"customer_ref": WHO}, {"service": WHO, "x": TEXT}, [WHO], {"service": TEXT * 100}):
            ask(kiosk, "POST", f"{marked.queue}/v1/tickets", json=body)
        ask(kiosk, "POST", f"{marked.queue}/v1/tickets?branch={WHO}", json={"service": "cash"})
        ask(stranger, "POST", f"{marked.queue}/v1/tickets", json={"customer_ref": WHO})
        screen, page = {"Cookie": f"{SCREEN_COOKIE}={marked.kiosk}"}, marked.pages
        assert ask(screen, "GET", f"{page}/hall").status_code == 200
        for path in (f"/hall?branch={WHO}", f"/{WHO}", f"/counter/{WHO}", f"/hall?lang={WHO}"):
            ask(screen, "GET", f"{page}{path}")
        ask({}, "POST", f"{page}/screen", data={"key": WHO}, headers={"Origin": page})
        ask(screen, "POST", f"{page}/counter/{WHO}/next", data={"request_id": WHO}, headers={"Origin": page})
        ref = customer_ref(marked.live.settings.secret(), WHO)
        assert ask(kiosk, "GET", f"{marked.queue}/v1/priority/{ref}").json()["queue_class"]
        assert ask(kiosk, "POST", f"{marked.queue}/v1/tickets", json={"customer_ref": ref}).status_code == 201
    return found


def test_none_of_it_is_elsewhere(marked: Marked) -> None:
    """See the module. That the scan finds marks is seen on the topics, where they belong."""
    live = marked.live
    answers = _asked(marked)
    assert {answer.status_code for _, answer in answers} >= {200, 201, 401, 404, 422}
    for what, answer in answers:
        assert not marks(answer.text + str(answer.headers)), what
    refused = subprocess.run(
        [sys.executable, "-m", "tidegauge.cli.main", "keys", "list"], cwd=REPO, capture_output=True, text=True, check=False,
        env=environment(live.settings) | {"TIDEGAUGE_TOKEN": marked.token(preferred_username=LOGIN)}, timeout=240,
    )  # fmt: skip
    assert refused.returncode == 2 and not marks(refused.stdout + refused.stderr), refused
    for port in marked.metrics:
        with httpx2.Client(timeout=20, trust_env=False) as client:
            said = client.get(f"http://127.0.0.1:{port}/metrics")
        assert said.status_code == 200 and "tidegauge" in said.text and not marks(said.text), port
    for url, least in ((live.settings.redis, 15), (live.settings.tickets, 5)):
        live.wait(lambda url=url, least=least: len(_keys(live, url)) >= least, f"the keys of {url}")  # type: ignore[misc]
        assert not [key for key in _keys(live, url) if marks(key)]
    notices = live.outputs("notices")
    assert notices and not [mark for one in notices for mark in marks(json.dumps(_text_of(one), default=str))]
    assert not marks(" ".join(Path(f"/proc/{one.pid}/cmdline").read_text() for one in marked.processes))
    assert len(marked.processes) == 6, live.said()
    letters = live.outputs("dead-letters")
    assert len(letters) >= 3, "something of his could not be read"
    # The console is a channel: it names the manager whom it tells.
    logs = {path.name: path.read_text(errors="replace").replace(f"→ {STAFF}", "") for path in live.logs.rglob("*.log")}
    assert len(logs) >= len(marked.processes)
    assert not {name: marks(text) for name, text in logs.items() if marks(text)}
    kept = json.dumps(live.outputs("audit-log"), default=str)
    assert WHO in kept and STAFF in kept, "where they belong they are"


def _text_of(notice: dict[str, Any]) -> dict[str, Any]:
    """What of the record goes out as the notice, but for whom it goes to: his manager's number is its address."""
    return {name: notice[name] for name in Notice.__dataclass_fields__ if name in notice and name != "recipient"}


def test_addresses_name_nobody() -> None:
    """No path or query of an interface takes a customer, an account or a person: bodies alone do."""
    for document in (description(), json.loads(tickets.text())):
        places = [
            place for path in document["paths"].values() for one in path.values() for place in one.get("parameters", ())
        ]
        assert {place["name"] for place in places if place["in"] in ("path", "query")} <= IMPERSONAL
