"""Who sees what on the desk, and what becomes of an act: forbidden and absent alike, every look on record, once."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from datetime import date
from importlib.resources import files
from itertools import product
from pathlib import Path
from typing import Any

import httpx2
import pytest

from services.access.decision import Action, DataKind, Resource, decide_access
from services.commands.definitions import body_of
from services.desk.acts import ACTS
from services.desk.pages.chart import chart_of
from services.desk.pages.row_words import money_words, plain_cell
from services.desk.pages.setup import OWN_PAGES
from services.desk.queries import BookFilter, DeskQueries
from services.pages.site import PageSite
from services.staff.lists import read_list
from streams.alerts.acts import CASE_OUTCOMES, STEPS_OF_ACTS
from streams.alerts.kinds import KIND_TABLE
from streams.vocabulary.terms import SEVERITIES
from tests.desk.desk import ROLES, TestDesk, open_desk
from tests.readmodel.bank import outlook, profile, reference, standing, step
from tidegauge.cli.desk.trial import trial_staff

SAYS = re.compile(r"(?:say|head)\('([a-z_.-]+)'( ~)?")
CSRF = re.compile(r'name="csrf" value="([^"]+)"')


@pytest.fixture(scope="module")
def desk(new_database: Callable[[], str]) -> Iterator[TestDesk]:
    with open_desk(new_database()) as found:
        yield found


def test_every_word_of_a_page_is_known() -> None:
    """In both languages; of words that are put together each one that can come."""
    known = PageSite([OWN_PAGES], "zh-CN").wording.words
    for template in (files(OWN_PAGES) / "templates").iterdir():
        for word, more in SAYS.findall(template.read_text()):
            assert any(key.startswith(word) for key in known) if more else word in known, (template.name, word)
    wanted = {f"severity.{one}" for one in SEVERITIES} | {f"next.{one}" for one in KIND_TABLE}
    wanted |= {f"outcome.{one}" for one in CASE_OUTCOMES} | {f"step.{one}" for one in STEPS_OF_ACTS.values()}
    wanted |= {f"act.{one}" for one in ACTS}
    assert wanted <= known.keys()


def test_forms_have_the_acts_fields() -> None:
    """Of the commands that they become."""
    for act, fields in ACTS.items():
        assert {*fields, "step", "case"} <= body_of(act).model_fields.keys()


@pytest.mark.parametrize(
    ("minor", "currency", "text"),
    [
        (123_456_789, "CNY", "1,234,567.89 CNY"),
        (-5, "CNY", "-0.05 CNY"),
        (1_234, "JPY", "1,234 JPY"),
        (None, "CNY", "–"),
    ],
)
def test_money(minor: int | None, currency: str, text: str) -> None:
    """Whole minor units, by the currency's decimals."""
    assert money_words(minor, currency) == text


@pytest.mark.parametrize(
    ("cell", "written"), [("=1+1", "'=1+1"), ("@a", "'@a"), ("-5", "'-5"), ("C1", "C1"), (None, "")]
)
def test_no_cell_is_a_formula(cell: Any, written: str) -> None:
    """What begins as one is written as text."""
    assert plain_cell(cell) == written


def test_a_chart_has_its_months_and_floors() -> None:
    """Oldest month first; floors in reach alone; in whole places."""
    chart = chart_of(date(2026, 3, 31), [400, None, 200], [("gold", 100), ("platinum", 600), ("diamond", 601)])
    assert chart is not None
    assert [(bar.month, bar.minor) for bar in chart.bars] == [("2026-01", 200), ("2026-02", None), ("2026-03", 400)]
    assert [floor.tier for floor in chart.floors] == ["gold", "platinum"]
    assert chart.bars[1].height == 0 and chart.bars[0].height * 2 <= chart.bars[2].height + 1
    assert chart_of(date(2026, 3, 30), [1], []).bars[0].month == "2026-02"  # type: ignore[union-attr]
    assert chart_of(date(2026, 3, 31), [None], []) is None


@pytest.mark.integration
def test_a_branch_sees_only_itself(desk: TestDesk) -> None:
    """On every page; the head office sees all; a manager's book begins with his own customers."""
    seen = {"wang": ["C1"], "li": ["C2"], "zhao": ["C1", "C3"], "boss": ["C2", "C1", "C3"]}
    for login, customers in seen.items():
        with desk.client(login) as client:
            assert re.findall(r">(C\d)</a></td>", client.get("/book").text) == customers
            for customer in ("C1", "C2", "C3"):
                status = client.get(f"/customer/{reference(customer)}").status_code
                own = (
                    desk.branch(customer) in ("B01", "B01/S1")
                    if login in ("wang", "zhao")
                    else customer == "C2" or login == "boss"
                )
                assert status == (200 if own else 404), (login, customer)
            cases = set(re.findall(r"customer/\w+\">(C\d)<", client.get("/?whose=all").text))
            assert cases == {one for one in customers if one != "C3"}


@pytest.mark.integration
def test_forbidden_and_absent_are_alike(desk: TestDesk) -> None:
    """A customer of another branch, one who is not there, and what is no reference; and so are cases and searches."""
    with desk.client("wang") as client:
        answers = [client.get(f"/customer/{one}") for one in (reference("C2"), "b" * 26, "x")]
        answers += [client.get(f"/case/{one}") for one in ("case-2", "case-9", "%3Cscript%3E")]
        assert {answer.status_code for answer in answers} == {404}
        assert len({answer.text for answer in answers}) == 1
        token = CSRF.findall(client.get("/book").text)[0]
        found = [client.post("/book/search", data={"csrf": token, "number": one}) for one in ("C2 ", "C2x", "nobody")]
        assert {answer.status_code for answer in found} == {200}
        assert all("Your unit has no customer" in answer.text for answer in found)
    with desk.client("till") as client:
        assert [client.get(path).status_code for path in ("/", "/book", f"/customer/{reference('C1')}")] == [404] * 3
    denied = [one for one in desk.records if one["actor"] == "T-1"]
    assert denied and {one["outcome"] for one in denied} == {"denied"}


@pytest.mark.integration
def test_every_look_is_on_record(desk: TestDesk) -> None:
    """Before anything is shown: without the record nothing is."""
    desk.records.clear()
    with desk.client("wang") as client:
        client.get("/book")
        client.get(f"/customer/{reference('C1')}")
        said = [(one["action"], one["resource"], one["outcome"]) for one in desk.records]
        assert said == [
            ("read", "balances of book of hq/B01", "allowed"), ("read", "alerts of book of hq/B01", "allowed"),
            ("read", "balances of C1", "allowed"), ("read", "alerts of C1", "allowed"), ("read", "decisions of C1", "allowed"),
        ]  # fmt: skip
        desk.unrecorded = True
        try:
            for path in ("/", "/book", f"/customer/{reference('C1')}"):
                answer = client.get(path)
                assert answer.status_code == 503 and "C1" not in answer.text
        finally:
            desk.unrecorded = False


@pytest.mark.integration
def test_who_is_nobody_is_sent_to_log_in(desk: TestDesk) -> None:
    """Pages and parts of pages; every answer has the policy."""
    with desk.client("nobody") as client:
        for path in ("/", "/book", f"/customer/{reference('C1')}", "/case/case-1"):
            answer = client.get(path)
            assert (answer.status_code, answer.headers["location"]) == (303, f"/login?next={path}")
            assert "unsafe" not in answer.headers["content-security-policy"]


@pytest.mark.integration
def test_a_book_is_gone_through(desk: TestDesk, monkeypatch: pytest.MonkeyPatch) -> None:
    """Page by page, each customer once, largest first, those without a figure last; by each filter."""
    monkeypatch.setattr("services.desk.queries.PAGE_ROWS", 1)
    with desk.client("boss") as client:
        text, seen = client.get("/book").text, list[str]()
        filters = {
            "tier=gold": ["C1"], "outlook=up": ["C1"], "outlook=down": ["C2"], "outlook=lost": ["C2"], "case=on": ["C2", "C1"],
            "from=700000": ["C2"], "from=1&to=700,000": ["C1"], "from=x": ["C2", "C1", "C3"], "tier=%3Cx": ["C2", "C1", "C3"],
            "whose=mine": [],
        }  # fmt: skip
        for query, customers in filters.items():
            assert re.findall(r">(C\d)</a></td>", client.get(f"/book?{query}").text) == customers, query
        assert client.get("/book?tier=a&tier=b").status_code == 400
        queries, wanted = DeskQueries(desk.model), BookFilter()
        for _ in range(3):
            (row,), more = queries.book(["hq"], wanted, 1)
            seen.append(row["customer_id"])
            wanted = BookFilter(after=row["customer_ref"])
        assert seen == ["C2", "C1", "C3"] and not more
    assert "C2" in text


@pytest.mark.integration
def test_a_customer_is_explained(desk: TestDesk) -> None:
    """AUM, tiers with evidence, the outlook with what is to be held, cases with their steps; his number in text alone."""
    with desk.client("wang") as client:
        text = client.get(f"/customer/{reference('C1')}").text
        for said in (
            "600,000.00 CNY", "Gold", "→", "123,456.78 CNY", "1,260,000.00 CNY", "Harbour Commercial Bank", "<svg",
            "Life of the case (1 steps)", "Everything that has happened",
        ):  # fmt: skip
            assert said in text, said
        assert not re.findall(r'(?:href|action|hx-[a-z]+)="[^"]*C1', text)
        chinese = client.get(f"/customer/{reference('C1')}?lang=zh-CN").text
        assert "金卡客户" in chinese and "等级变动与依据" in chinese


def posted(desk: TestDesk, login: str, act: str, case: str = "case-1", **fields: str) -> Any:
    """An act as a page posts it."""
    with desk.client(login) as client:
        token = f"token of {login}"
        data = {"csrf": token, "request_id": f"abcdefgh-{act}", "step": f"{case}/raised", **fields}
        return client.post(f"/case/{case}/{act}", data=data, headers={"HX-Request": "true"})


@pytest.mark.integration
def test_acts_are_applied_refused_or_pending(new_database: Callable[[], str]) -> None:
    """Once; what is pending is asked for again until its step is seen; a refusal says why in words."""
    with open_desk(new_database()) as desk:
        for _ in range(2):
            answer = posted(desk, "wang", "acknowledge")
            assert answer.status_code == 200 and "Done." in answer.text and "Somebody looks after it" in answer.text
        (act,) = desk.acts
        assert (act["stamped_by"], act["stamped_role"], act["details"]["case"]) == ("RM-1", "rm", "case-1")
        desk.answers = "already_acknowledged"
        assert (
            "Refused: it is acknowledged already." in posted(desk, "wang", "acknowledge", request_id="another-one").text
        )
        desk.answers = None
        pending = posted(desk, "wang", "comment", reason="=1+1 <script>alert(1)</script>").text
        again = re.findall(r'hx-get="([^"]+)"', pending)[0].replace("&amp;", "&")
        assert "Sent, not applied yet" in pending
        desk.answer("")
        with desk.client("wang") as client:
            seen = client.get(again).text
        assert (
            "Done." in seen
            and "&lt;script&gt;alert(1)" in seen
            and "<script>alert" not in seen
            and "hx-get" not in seen
        )
        assert "Nothing was sent" in posted(desk, "wang", "snooze", until="tomorrow").text
        count = len(desk.acts)
        assert posted(desk, "wang", "acknowledge", case="case-2").status_code == 404
        assert posted(desk, "till", "acknowledge").status_code == 404
        assert posted(desk, "wang", "escalate", level="1").status_code == 404
        assert posted(desk, "wang", "comment", reason="x", csrf="x").status_code == 403
        desk.store_away = True
        assert posted(desk, "wang", "comment", reason="y", request_id="yet-another").status_code == 503
        assert len(desk.acts) == count
        desk.tell("rm-alerts", step("C1", "case-1", "resolved", attention="ended", outcome="kept"))
        with desk.client("wang") as client:
            assert "No open case" in client.get("/").text


@pytest.mark.integration
def test_cases_that_do_not_say_who_answers(new_database: Callable[[], str]) -> None:
    """Records of before TIDEGAUGE_CONTRACTS=2: a case stays open when its figures change, and acts name the step told last."""
    unsaid = {"told_step": None, "attention": None}
    with open_desk(new_database()) as desk:
        desk.tell("rm-alerts", step("C1", "case-1", **unsaid))
        desk.tell("rm-alerts", step("C1", "case-1", "corrected", **unsaid))
        with desk.client("wang") as client:
            shown = client.get("/").text
            assert "Waits for an answer" in shown and 'name="step" value="case-1/raised"' in shown
            posted(desk, "wang", "acknowledge", step="")
            assert desk.acts[-1]["details"]["step"] == "case-1/raised"
            for status, life in (("acknowledged", "Somebody looks after it"), ("deepened", "Waits for an answer")):
                desk.tell("rm-alerts", step("C1", "case-1", status, **unsaid))
                assert life in client.get("/").text
            desk.tell("rm-alerts", step("C1", "case-1", "resolved", **unsaid))
            assert "No open case" in client.get("/").text


@pytest.mark.integration
def test_nothing_that_comes_is_a_script(new_database: Callable[[], str]) -> None:
    """Customer numbers, counterparties, notes, tiers, flags: all of it is text."""
    evil = "<script>alert(1)</script>"
    with open_desk(new_database()) as desk:
        number = f"C7{evil}"
        desk.tell("customers", profile(number, "B01", evil))
        desk.tell(
            "standings",
            standing(number, tier=evil, customer_ref="evil" + "a" * 22, flags=[evil], held_reason=evil, layer=evil),
        )
        desk.tell("outlooks", outlook(number, evil, tiers=[evil, "gold", "x"]))
        counterparties = [{"bank": evil, "amount_minor": 1}]
        desk.tell(
            "rm-alerts", step(number, "case-7", kind=evil, severity=evil, counterparties=counterparties, note=evil)
        )
        with desk.client("zhao") as client:
            for path in ("/", "/book", f"/customer/evil{'a' * 22}", "/case/case-7"):
                answer = client.get(path)
                assert answer.status_code == 200 and "<script>alert" not in answer.text
                assert "&lt;script&gt;" in answer.text


@pytest.mark.integration
def test_an_export_is_on_record(desk: TestDesk) -> None:
    """By who may export, by the filters of the page; who may not is refused, and that is on record too."""
    desk.records.clear()
    with desk.client("boss") as client:
        answer = client.post("/book/export?tier=gold", data={"csrf": "token of boss"})
        assert answer.status_code == 200 and answer.headers["content-type"] == "text/csv; charset=utf-8"
        head, row = answer.text.removeprefix("\ufeff").splitlines()
        assert dict(zip(head.split(","), row.split(","), strict=True))["aum"] == "600000.00" and row.startswith(
            "C1,hq/B01,RM-1"
        )
        assert "Export as CSV" in client.get("/book").text
        assert client.post("/book/export", data={"csrf": "x"}).status_code == 403
    with desk.client("zhao") as client:
        assert client.post("/book/export", data={"csrf": "token of zhao"}).status_code == 404
        assert "Export as CSV" not in client.get("/book").text
    said = [(one["actor"], one["resource"], one["outcome"]) for one in desk.records if one["action"] == "export"]
    assert said == [
        ("P-1", "balances of export of the book of hq", "allowed"), ("P-1", "tier of export of the book of hq", "allowed"),
        ("P-1", "alerts of export of the book of hq", "allowed"),
        ("BM-1", "balances of export of the book of hq/B01", "denied"),
    ]  # fmt: skip


def test_staff_to_try_it_with(tmp_path: Path) -> None:
    """A list that can be taken: every unit with those above it, each manager once, a head of each branch."""
    lists = trial_staff([("hq/B01/S1", "RM-1"), ("hq/B01/S1", None), ("hq/B02", "RM-2"), ("hq", None)])
    found = []
    for lines in lists:
        (tmp_path / "list.csv").write_text("\n".join(lines) + "\n")
        found.append(read_list(tmp_path / "list.csv"))
    assert [one.kind.name for one in found] == ["units", "staff"] and not any(one.full for one in found)
    assert [line.split(",")[0] for line in lists[0][1:]] == ["hq", "hq/B01", "hq/B01/S1", "hq/B02"]
    assert [line.split(",")[0] for line in lists[1][1:]] == ["BM-B01-S1", "BM-B02", "P-hq", "RM-1", "RM-2"]


ROUTES = {
    ("GET", "/"): [(DataKind.BALANCES, Action.READ), (DataKind.ALERTS, Action.READ)],
    ("GET", "/cases"): [(DataKind.BALANCES, Action.READ), (DataKind.ALERTS, Action.READ)],
    ("GET", "/events"): [(DataKind.ALERTS, Action.READ)],
    ("GET", "/book"): [(DataKind.BALANCES, Action.READ), (DataKind.ALERTS, Action.READ)],
    ("GET", "/branch"): [(kind, Action.READ) for kind in (DataKind.BRANCHES, DataKind.BALANCES, DataKind.ALERTS)],
    ("GET", "/branch/report"): [
        (kind, Action.READ) for kind in (DataKind.BRANCHES, DataKind.BALANCES, DataKind.ALERTS)
    ],
    ("POST", "/branch/report/export"): [
        (DataKind.BRANCHES, Action.READ),
        *((kind, Action.EXPORT) for kind in (DataKind.BALANCES, DataKind.TIER, DataKind.ALERTS)),
    ],
    ("POST", "/book/search"): [(DataKind.BALANCES, Action.READ), (DataKind.ALERTS, Action.READ)],
    ("POST", "/book/export"): [(kind, Action.EXPORT) for kind in (DataKind.BALANCES, DataKind.TIER, DataKind.ALERTS)],
    ("GET", "/customer/{reference}"): [
        (kind, Action.READ) for kind in (DataKind.BALANCES, DataKind.ALERTS, DataKind.DECISIONS)
    ],
    ("GET", "/case/{case_id}"): [(DataKind.ALERTS, Action.READ)],
    ("POST", "/case/{case_id}/{act}"): [(DataKind.ALERTS, Action.ACKNOWLEDGE), (DataKind.ALERTS, Action.READ)],
}
"""Each route, and all that one has to be allowed for it."""


@pytest.mark.integration
def test_every_route_asks(desk: TestDesk) -> None:
    """Every role on every route: what the matrix says, for a branch of one's own; never for another."""
    own = {
        (method, route.path)
        for route in desk.app().routes
        for method in getattr(route, "methods", ())
        if method != "HEAD"
    }
    assert {one for one in own if not one[1].startswith("/assets")} == ROUTES.keys()
    desk.answers = "already_acknowledged"
    for (login, actor), ((method, path), rights) in product(ROLES.items(), ROUTES.items()):
        allowed = all(decide_access(actor, action, Resource(kind, actor.unit)).allowed for kind, action in rights)
        for customer, case in (("C1", "case-1"), ("C2", "case-2")):
            filled = path.format(reference=reference(customer), case_id=case, act="acknowledge")
            data = {"csrf": f"token of {login}", "number": customer, "request_id": f"{login}-{customer}"[-40:]}
            with desk.client(login) as client:
                headers = {"HX-Request": "true"}
                if path == "/events":
                    with client.stream("GET", "/events?after=0") as stream:
                        assert (stream.status_code == 200) == allowed, (login, stream.status_code)
                    continue
                answer = client.get(filled) if method == "GET" else client.post(filled, data=data, headers=headers)
            good = allowed and (customer == "C1" or "{" not in path)
            assert (answer.status_code in (200, 303)) == good, (login, method, filled, answer.status_code)
            assert ">C2<" not in answer.text and "\nC2," not in answer.text
    desk.answers = ""


@pytest.mark.integration
def test_a_login_of_development(new_database: Callable[[], str], redis_server: str) -> None:
    """From our own page alone, as somebody of the list; it ends by itself and by a log-out, and posts have its token."""
    with open_desk(new_database(), redis_server) as desk, httpx2.Client(base_url=desk.address) as client:
        assert client.get("/book").headers["location"] == "/login?next=/book"
        assert "wang · rm · hq/B01" in client.get("/login").text
        own = {"Origin": desk.address}
        for data, headers in (
            ({"login": "wang"}, {}),
            ({"login": "wang"}, {"Origin": "https://elsewhere.example"}),
            ({"login": "x"}, own),
        ):
            answer = client.post("/login", data=data, headers=headers)
            assert answer.status_code == 403 and "set-cookie" not in answer.headers
        answer = client.post("/login?next=//elsewhere.example", data={"login": "wang"}, headers=own)
        assert (answer.status_code, answer.headers["location"]) == (303, "/")
        cookie = answer.headers["set-cookie"]
        assert cookie.startswith("__Host-tidegauge=") and all(
            word in cookie for word in ("Secure", "HttpOnly", "SameSite=Lax")
        )
        session = {"Cookie": cookie.partition(";")[0]}
        page = client.get("/", headers=session)
        assert page.status_code == 200 and "C1" in page.text
        token = CSRF.findall(page.text)[0]
        assert client.post("/logout", data={"csrf": "x"}, headers=session | own).status_code == 403
        assert client.post("/logout", data={"csrf": token}, headers=session | own).headers["location"] == "/login"
        assert client.get("/", headers=session).status_code == 303
