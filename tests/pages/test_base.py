"""What pages stand on: words in both languages, posts from our pages alone, streams with an end."""

from __future__ import annotations

import re
import socket
import time
from collections.abc import Iterator
from importlib.resources import files
from unittest import mock

import httpx2
import pytest

from services.pages.site import PageSite
from services.pages.streams import StreamEvent, Streams, TooManyStreamsError
from services.pages.visitors import SCREEN_COOKIE
from services.pages.words import Wording
from services.queue.pages.setup import OWN_PAGES
from services.queue.tickets.problems import TICKET_PROBLEMS
from tests.pages.branch import TestBranch, open_branch

SITE = PageSite([OWN_PAGES], "zh-CN")
SAYS = re.compile(r"say\('([a-z_.-]+)'( ~)?")


def test_every_word_of_a_page_is_known() -> None:
    """In both languages; of words that are put together each one that can come."""
    known = SITE.wording.words
    for package in ("services.pages", OWN_PAGES):
        for template in (files(package) / "templates").iterdir():
            for word, more in SAYS.findall(template.read_text()):
                assert any(key.startswith(word) for key in known) if more else word in known, (template.name, word)
    assert {f"problem.{code}" for code in TICKET_PROBLEMS} <= known.keys()


@pytest.mark.parametrize("text", ["a: {en: x}", "a: {en: 'x {n}', zh: y}", "a: {en: x, zh: y, fr: z}"])
def test_a_word_with_a_gap_is_refused(text: str) -> None:
    """A language that lacks, or places that differ."""
    file = mock.Mock()
    file.name, file.read_text.return_value = "words.yaml", text
    with pytest.raises(ValueError, match=r"words\.yaml: a"):
        Wording([file])


def test_assets_are_of_packages() -> None:
    """htmx comes from its package; nothing of others lies in ours."""
    assert b"htmx" in SITE.assets["htmx.js"]
    for package in ("services.pages", OWN_PAGES):
        assert not [one.name for one in (files(package) / "assets").iterdir() if "htmx" in one.name]


class Idle:
    """A source without news."""

    async def events_after(self, number: int, wait_s: float) -> tuple[int, list[StreamEvent]]:
        raise AssertionError("nobody reads")

    def __enter__(self) -> Idle:
        return self

    def __exit__(self, *_: object) -> None:
        pass


async def test_streams_are_bounded() -> None:
    """In all, and of one; a stream that ends makes room."""
    streams = Streams(most=3, of_one_max=2)
    request = mock.Mock(headers={"last-event-id": "7"}, scope={})
    opened = [streams._stream(who, Idle(), 0) for who in ("a", "a", "b")]
    for one in opened:
        await anext(one)
    for who in ("c", "a"):
        with pytest.raises(TooManyStreamsError):
            streams.answer(request, who, Idle(), 0)
    await opened[0].aclose()
    assert streams.open == 2 and streams.answer(request, "a", Idle(), 0).media_type == "text/event-stream"
    with pytest.raises(TooManyStreamsError):
        Streams(of_one_max=0).answer(request, "a", Idle(), 0)


@pytest.fixture
def branch(redis_server: str) -> Iterator[TestBranch]:
    with open_branch(redis_server) as found:
        yield found


@pytest.fixture
def screen(branch: TestBranch) -> Iterator[httpx2.Client]:
    with httpx2.Client(base_url=branch.address, headers={"Cookie": f"{SCREEN_COOKIE}=tgk_counter"}) as client:
        yield client


@pytest.mark.integration
def test_who_is_nobody_is_sent_to_log_in(branch: TestBranch) -> None:
    """A part of a page has the page loaded anew; every answer has the policy."""
    for path in ("/", "/hall", "/counter/1", "/lobby"):
        answer = httpx2.get(branch.address + path)
        assert (answer.status_code, answer.headers["location"]) == (303, f"/login?next={path}")
        assert "default-src 'none'" in answer.headers["content-security-policy"]
    answer = httpx2.get(f"{branch.address}/lobby/board", headers={"HX-Request": "true"})
    assert (answer.status_code, answer.headers["hx-refresh"]) == (401, "true")
    answer = httpx2.post(f"{branch.address}/screen", data={"key": "tgk_wrong"}, headers={"Origin": branch.address})
    assert answer.status_code == 403 and "set-cookie" not in answer.headers


@pytest.mark.integration
def test_screens_do_what_their_role_may(branch: TestBranch, screen: httpx2.Client) -> None:
    """A counter's key opens no lobby, a hall's no counter; another branch is nobody's here."""
    assert [screen.get(path).status_code for path in ("/hall", "/counter/1", "/lobby")] == [200, 200, 403]
    hall = {"Cookie": f"{SCREEN_COOKIE}=tgk_hall"}
    assert [httpx2.get(branch.address + path, headers=hall).status_code for path in ("/hall", "/counter/1")] == [
        200,
        403,
    ]
    assert screen.get("/hall?branch=B2").status_code == 403
    assert all('action="/screen/forget"' in screen.get(path).text for path in ("/", "/counter", "/counter/1"))
    assert screen.get("/counter/%3Cscript%3E").status_code == 404


@pytest.mark.integration
def test_a_post_comes_from_our_page(branch: TestBranch, screen: httpx2.Client) -> None:
    """From another site, without the token, or by an id that is none: nothing is done."""
    branch.issue()
    token = re.findall(r'name="csrf" value="(\w+)"', screen.get("/counter/1").text)[0]
    good = {"csrf": token, "request_id": "abcdefgh1"}
    own = {"Origin": branch.address}
    for data, headers in (
        (good, {"Origin": "https://elsewhere.example"}), (good, {}), ({**good, "csrf": "x"}, own),
        ({**good, "csrf": ""}, own), (good, {**own, "Sec-Fetch-Site": "cross-site"}),
    ):  # fmt: skip
        assert screen.post("/counter/1/next", data=data, headers=headers).status_code == 403
    assert screen.post("/counter/1/next", data={**good, "request_id": "x"}, headers=own).status_code == 422
    assert screen.post("/counter/1/nothing", data=good, headers=own).status_code == 404
    for _ in range(2):
        answer = screen.post("/counter/1/next", data=good, headers=own)
        assert (answer.status_code, answer.headers["location"]) == (303, "/counter/1")
    assert "D001" in screen.get("/counter/1").text and branch.called("2") is None


@pytest.mark.integration
@pytest.mark.slow
def test_a_stream_outlives_a_request_and_ends(branch: TestBranch, monkeypatch: pytest.MonkeyPatch) -> None:
    """It goes on behind the time of a request, resumes where it is told, and is cut when its own time is over."""
    monkeypatch.setattr("services.queue.server.REQUEST_S", 0.3)
    host, port = branch.address.removeprefix("http://").split(":")
    for _ in range(2):
        branch.issue()
    assert branch.called("1") and branch.called("2")
    head = f"GET /hall/events?after=0 HTTP/1.1\r\nHost: {host}\r\nCookie: {SCREEN_COOKIE}=tgk_hall\r\nLast-Event-ID: 3\r\n\r\n"
    with socket.create_connection((host, int(port)), timeout=60) as asked:
        began, said = time.monotonic(), b""
        asked.sendall(head.encode())
        while b"beat" not in said:
            said += asked.recv(4096)
        assert time.monotonic() - began > 1, "it lives beyond the time of a request"
        assert said.count(b"event: call") == 1 and b'"D002"' in said and b"id: 4" in said
