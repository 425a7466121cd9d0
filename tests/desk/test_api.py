"""The desk's interface: who gets what, part by part, and what is answered to a request that is none."""

from __future__ import annotations

import json
import os
import re
import subprocess
from collections.abc import Callable, Iterator, Sequence
from itertools import product
from typing import Any, get_args

import httpx2
import pytest
from fastapi.testclient import TestClient
from psycopg import OperationalError

from services.access.callers import SESSION_COOKIE, RequestCallers
from services.access.decision import Action, DataKind, Resource, decide_access
from services.desk.api import forms
from services.desk.api.cursors import cursor_of, row_behind
from services.desk.api.problems import DESK_PROBLEMS, DeskProblemError
from services.desk.api.routes import ApiDoor, desk_api
from services.desk.queries import CustomerFile
from services.desk.rights import DeskRights
from services.readmodel.tables import READ_TABLES
from streams.alerts.acts import STEPS_OF_ACTS
from streams.vocabulary.terms import SEVERITIES
from tests.desk import description
from tests.desk.desk import PEOPLE, ROLES, NamedTokens, OpenSessions, TestDesk, cookie_of, open_desk
from tests.readmodel.bank import changes, reference, standing, step

INTEGRATORS = description.FILE.parent / "integrators.md"
ROUTES = {
    "/v1/customers": (DataKind.BALANCES, DataKind.ALERTS),
    "/v1/customers/{customer_ref}": (DataKind.BALANCES, DataKind.ALERTS, DataKind.DECISIONS),
    "/v1/cases": (DataKind.ALERTS,),
    "/v1/cases/{case_id}": (DataKind.ALERTS,),
    "/v1/standings": (DataKind.BALANCES,),
}
"""Each route, and the kinds that one has to be allowed to read for it."""


def rows_of(table: str) -> list[dict[str, Any]]:
    """The bank's rows, as the read model has them."""
    columns = READ_TABLES[table].columns
    return [dict(zip(columns, one.row, strict=True)) for one in changes() if one.table == table and one.row]


class MemoryRows:
    """The read model of one customer and one case, of a unit; `asked` are the units that were asked for."""

    def __init__(self) -> None:
        self.records: list[tuple[Any, ...]] = []
        self.asked: list[list[str]] = []
        self.away: Exception | None = None
        self.person = rows_of("customers")[0] | rows_of("standings")[0]
        case = rows_of("cases")[0] | {
            "unit": "hq/B01",
            "customer_ref": reference("C1"),
            "currency": "CNY",
            "open": True,
        }
        self.file_case = case | {
            "steps": rows_of("case_steps")[:1],
            "counterparties": json.loads(case["counterparties"]),
        }

    def record(self, *words: Any) -> None:
        if self.away:
            raise self.away
        self.records.append(words)

    def _one(self, units: Sequence[str], row: dict[str, Any]) -> tuple[list[dict[str, Any]], bool]:
        assert self.records, "nothing is read before it is on record"
        self.asked.append(list(units))
        return [row], True

    def freshness(self) -> dict[str, Any]:
        return {"behind": 3, "seconds": 1}

    def customers(self, units: Sequence[str], wanted: Any, rows_max: int) -> Any:
        return self._one(units, self.person | rows_of("outlooks")[0] | {"open_cases": 1})

    def standings(self, units: Sequence[str], wanted: Any, rows_max: int) -> Any:
        return self._one(units, self.person)

    def cases(self, units: Sequence[str], wanted: Any, rows_max: int) -> Any:
        return self._one(units, self.file_case)

    def whose(self, units: Sequence[str], customer_ref: str) -> Any:
        return self.person if customer_ref == reference("C1") and "hq/B01" in units else None

    def file(self, units: Sequence[str], customer_id: str) -> CustomerFile:
        return CustomerFile(self.person, rows_of("outlooks")[0], [], [], [self.file_case])

    def case(self, units: Sequence[str], case_id: str) -> Any:
        return self.file_case if case_id == "case-1" and "hq/B01" in units else None

    def later(self, units: Sequence[str], day: Any) -> bool:
        return True


@pytest.fixture
def rows() -> MemoryRows:
    return MemoryRows()


@pytest.fixture
def client(rows: MemoryRows) -> TestClient:
    nothing: Any = rows
    sessions: Any = OpenSessions()
    issuer: Any = NamedTokens()
    callers = RequestCallers((PEOPLE | ROLES).get, sessions=sessions, issuer=issuer, login_claim="login")
    return TestClient(desk_api(callers, DeskRights(nothing), nothing, nothing), raise_server_exceptions=False)


def session(login: str) -> dict[str, str]:
    """What a browser of somebody sends."""
    return {"Cookie": f"{SESSION_COOKIE}={cookie_of(login)}"}


def filled(path: str) -> str:
    """The path of the first customer or case."""
    return path.format(customer_ref=reference("C1"), case_id="case-1")


def test_every_route_is_asked_for_and_described() -> None:
    """A new one has a row here, and a row in the docs, and so has each problem; docs/desk.openapi.json is what is served."""
    assert description.described()["paths"].keys() == ROUTES.keys()
    assert description.FILE.read_text() == description.text(), "python -m tests.desk.description writes it"
    text = INTEGRATORS.read_text()
    for path in ROUTES:
        assert f"`GET {path}`" in text, path
    for code, kind in DESK_PROBLEMS.items():
        assert f"| `{code}` | {kind.status} | {kind.title} |" in text, code


def test_filters_have_every_word() -> None:
    """Severities, and what people do about a case."""
    assert get_args(forms.CaseSeverity) == SEVERITIES
    assert {*STEPS_OF_ACTS.values()} <= {*get_args(forms.CaseStatusName)}


def test_who_may_reads(client: TestClient, rows: MemoryRows) -> None:
    """Every role on every route: what the matrix says of his unit, and all of it on record; else nothing is there."""
    for (login, actor), (path, kinds) in product(ROLES.items(), ROUTES.items()):
        rows.records.clear()
        rows.asked.clear()
        allowed = all(decide_access(actor, Action.READ, Resource(kind, actor.unit)).allowed for kind in kinds)
        answer = client.get(filled(path), headers=session(login))
        assert answer.status_code == (200 if allowed else 404), (login, path)
        assert ("C1" in answer.text) == allowed
        assert {tuple(units) for units in rows.asked} <= {("hq/B01",)}
        said = [(one[2].kind, one[3].allowed) for one in rows.records]
        assert said == [(kind, True) for kind in kinds] if allowed else said[-1][1] is False


def test_nobody_and_another_branch(client: TestClient, rows: MemoryRows) -> None:
    """Tokens and sessions say who asks, before the question counts; forbidden, absent and nonsense are alike."""
    for headers in ({}, session("nobody"), {"Authorization": "Bearer x"}, {"Authorization": "ApiKey tgk_x"}):
        answer = client.get("/v1/customers?limit=x", headers=headers)
        assert answer.status_code == 401 and answer.headers["www-authenticate"] == "Bearer"
        assert answer.json()["type"] == "urn:tidegauge:problem:nobody-known"
    assert rows.records == []
    assert client.get("/v1/cases", headers={"Authorization": "Bearer wang"}).status_code == 200
    paths = [f"/v1/customers/{one}" for one in (reference("C1"), "b" * 26, "C1")]
    answers = [
        client.get(path, headers=session("li")) for path in (*paths, "/v1/cases/case-1", "/v1/cases/%00", "/v1/x")
    ]
    assert {(one.status_code, one.text) for one in answers} == {(404, answers[0].text)}
    assert answers[0].headers["content-type"] == "application/problem+json"


@pytest.mark.parametrize(
    ("path", "detail"),
    [
        ("/v1/customers?limit=101&aum_from_minor=1.5", "aum_from_minor, limit"),
        ("/v1/customers?6230001234560042=1&tier=%3Cx", "tier, a field that there is not"),
        ("/v1/cases?severity=x&status=x&kind=x&open=x", "kind, open, severity, status"),
        ("/v1/standings?as_of=2026-02-30", "as_of"),
        ("/v1/cases?kind=outflow&kind=break", None),
        (f"/v1/customers?aum_to_minor={1 << 63}", "aum_to_minor"),
    ],
)
def test_what_is_not_understood(client: TestClient, path: str, detail: str | None) -> None:
    """The fields are named, and nothing of what they hold."""
    answer = client.get(path, headers=session("wang"))
    assert (answer.status_code, answer.headers["content-type"]) == (422, "application/problem+json")
    assert answer.json().get("detail") == detail and "6230001234560042" not in answer.text


def test_other_methods_and_servers_that_are_away(client: TestClient, rows: MemoryRows) -> None:
    """It is read only; without a record nothing is shown."""
    answer = client.post("/v1/customers", headers=session("wang"))
    assert (answer.status_code, answer.json()["type"]) == (405, "urn:tidegauge:problem:not-asked-so")
    for problem in (OSError("no broker"), OperationalError("C1")):
        rows.away = problem
        answer = client.get("/v1/customers", headers=session("wang"))
        assert answer.status_code == 503 and answer.headers["retry-after"] == "1" and "C1" not in answer.text
    assert rows.asked == []


def test_an_answer_that_holds_is_not_sent_again(client: TestClient, rows: MemoryRows) -> None:
    """By its tag; asked for and on record all the same, and kept by nobody on the way."""
    for path in map(filled, ROUTES):
        first = client.get(path, headers=session("wang"))
        assert first.headers["cache-control"] == "no-store" and first.headers["tidegauge-behind"] == "3"
        rows.records.clear()
        for known in (first.headers["etag"], f'"x", W/{first.headers["etag"]}', "*"):
            again = client.get(path, headers=session("wang") | {"If-None-Match": known})
            assert (again.status_code, again.content, again.headers["etag"]) == (304, b"", first.headers["etag"])
        assert len(rows.records) >= 3
    rows.person["aum_minor"] += 1
    changed = client.get("/v1/standings", headers=session("wang") | {"If-None-Match": first.headers["etag"]})
    assert changed.status_code == 200 and changed.json()["standings"][0]["aum_minor"] == 60_000_001


def test_cursors_are_of_one_question(client: TestClient) -> None:
    """Whoever changes a filter begins again; a larger part is no other question; what is no cursor is refused."""
    wanted = forms.CaseQuery(kind="outflow")
    cursor = cursor_of("/v1/cases", wanted, "case-1:é")
    assert row_behind("/v1/cases", wanted.model_copy(update={"limit": 7, "cursor": cursor}), cursor) == "case-1:é"
    assert row_behind("/v1/cases", wanted, "") == ""
    for path, asked, given in (
        ("/v1/cases", forms.CaseQuery(), cursor), ("/v1/customers", wanted, cursor), ("/v1/cases", wanted, cursor[:-4]),
        ("/v1/cases", wanted, "x"), ("/v1/cases", wanted, "W10"), ("/v1/cases", wanted, "_" * 2048),
        ("/v1/cases", wanted, cursor_of("/v1/cases", wanted, "a\0")), ("/v1/cases", wanted, cursor_of("/v1/cases", wanted, "")),
    ):  # fmt: skip
        with pytest.raises(DeskProblemError, match="cursor-unfit"):
            row_behind(path, asked, given)
    answer = client.get("/v1/cases?cursor=x", headers=session("wang"))
    assert (answer.status_code, answer.json()["type"]) == (422, "urn:tidegauge:problem:cursor-unfit")
    listed = client.get("/v1/customers", headers=session("wang")).json()
    assert "C1" not in listed["next"] and "60000000" not in row_behind(
        "/v1/customers", forms.CustomerQuery(), listed["next"]
    )


def test_the_door_lets_pages_be() -> None:
    """What is below /v1/ alone is the interface's."""
    seen: list[str] = []

    def app(name: str) -> Any:
        async def answers(*_: Any) -> None:
            seen.append(name)

        return answers

    door = ApiDoor(app("pages"), app("api"))
    for scope in ({"type": "http", "path": "/v1/x"}, {"type": "http", "path": "/v1"}, {"type": "lifespan"}):
        running = door(scope, app(""), app(""))
        with pytest.raises(StopIteration):
            running.__await__().__next__()
    assert seen == ["api", "pages", "pages"]


def parts(client: httpx2.Client, path: str, name: str, key: str, **more: str) -> Iterator[str]:
    """What a list has, read to its end in parts of one."""
    cursor = ""
    while cursor is not None:
        answer = client.get(path, params={"limit": "1", "cursor": cursor} | more)
        assert answer.status_code == 200 and len(answer.json()[name]) <= 1, answer.text
        yield from (one[key] for one in answer.json()[name])
        cursor = answer.json()["next"]


@pytest.mark.integration
def test_rows_by_filters_for_ones_own_units(new_database: Callable[[], str]) -> None:
    """By row-level security too: a branch reads itself alone, each row once, by every filter; in the frame of the desk."""
    with open_desk(new_database()) as desk:
        desk.tell("rm-alerts", step("C1", "case-0", "resolved", kind="break", attention="ended"))
        desk.tell("standings", replace_day(standing("C2", 200_000_000, "diamond")))
        for login, customers in {
            "wang": {"C1", "C3"},
            "li": {"C2"},
            "zhao": {"C1", "C3"},
            "boss": {"C1", "C2", "C3"},
        }.items():
            with desk.client(login) as client:
                for path, name in (("/v1/customers", "customers"), ("/v1/standings", "standings")):
                    found = list(parts(client, path, name, "customer_id"))
                    assert (set(found), len(found)) == (customers, len(customers)), (login, path)
                assert set(parts(client, "/v1/cases", "cases", "customer_id")) == customers - {"C3"}
        with desk.client("wang") as client:
            assert list(parts(client, "/v1/customers", "customers", "customer_id", whose="mine")) == ["C1"]
        filters(desk)
        (shell,) = re.findall(r"```bash desk\n(.*?)```", INTEGRATORS.read_text(), re.DOTALL)
        where = {"DESK": desk.address, "TOKEN": "wang", "PATH": os.environ["PATH"]}
        done = subprocess.run(["sh", "-c", shell], env=where, capture_output=True, text=True, timeout=60, check=False)
        assert [case["case_id"] for case in json.loads(done.stdout)["cases"]] == ["case-1"], done
        with desk.client("nobody") as client:
            answer = client.get("/v1/customers")
            assert answer.status_code == 401 and "unsafe" not in answer.headers["content-security-policy"]


def replace_day(value: dict[str, Any]) -> dict[str, Any]:
    """A standing of the day after."""
    return value | {"as_of": value["as_of"] + 1, "source_seq": value["source_seq"] + 1}


def filters(desk: TestDesk) -> None:
    """What each of them leaves."""
    wanted = {
        "customers?tier=gold": ["C1"], "customers?outlook=lost": ["C2"], "customers?open_case=true": ["C1", "C2"],
        "customers?open_case=false": ["C3"], "customers?aum_from_minor=60000000&aum_to_minor=60000000": ["C1"],
        "customers?whose=mine": [], "customers?aum_from_minor=60000001": ["C2"],
        "cases?severity=low": ["C2"], "cases?kind=break": ["C1"], "cases?open=false": ["C1"], "cases?status=raised": ["C1", "C2"],
        "cases?open=true&severity=high": ["C1"], "standings?tier=diamond": ["C2"], "standings?as_of=2026-03-31": ["C1", "C3"],
        "standings?as_of=2026-04-01": ["C1", "C2", "C3"],
    }  # fmt: skip
    with desk.client("boss") as client:
        for query, customers in wanted.items():
            answer = client.get(f"/v1/{query}").json()
            (name,) = answer.keys() - {"next", "complete"}
            assert sorted(one["customer_id"] for one in answer[name]) == customers, query
            assert answer.get("complete", True) == (query != "standings?as_of=2026-03-31")
        one = client.get(f"/v1/customers/{reference('C1')}").json()
        assert one["standing"]["aum_minor"] == 60_000_000 and one["standing"]["as_of"] == "2026-03-31"
        assert one["tier_changes"][0]["evidence"]["metrics"][0]["value_minor"] == 12_345_678
        assert [case["case_id"] for case in one["cases"]] == ["case-1", "case-0"]
        case = client.get("/v1/cases/case-1").json()
        assert case["counterparties"] == [{"bank": "Harbour Commercial Bank", "amount_minor": 30_000_000}]
        assert [step["status"] for step in case["steps"]] == ["raised"] and case["told_step"] == "case-1/raised"
