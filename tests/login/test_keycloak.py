"""The same logins against a real Keycloak: PKCE asked for, a confidential and a public client, renewal; and its machines."""

import asyncio
import base64
import html
import json
import re
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import httpx2
import pytest

from deploy.connections.tokens import Tokens
from deploy.connections.wire import OAUTH, SASL_TLS, TokenGrant, Wire
from services.access.oidc import LoginClient
from services.queue.server import listening, server
from tests.cli.invocation import call
from tests.integration.live import free_port
from tests.login.conftest import ORIGIN, Browser, NewService
from tests.login.keycloak import ELSEWHERE, MACHINE_SECRET, PASSWORD, Keycloak
from tidegauge.cli.access import login as login_command

pytestmark = [pytest.mark.integration, pytest.mark.system, pytest.mark.slow]

PEOPLE = ["rm-0102", "administrator-hq", "stranger"]


@pytest.fixture(scope="module")
def keycloak(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Keycloak, int]]:
    """A Keycloak, and the port at which it tells of logouts."""
    port = free_port()
    folder = tmp_path_factory.mktemp("keycloak")
    with Keycloak(folder, PEOPLE, ORIGIN, f"http://127.0.0.1:{port}/backchannel-logout") as found:
        yield found, port


def typed_in(address: str, login: str) -> str:
    """Log in at Keycloak's own page: where it sends the browser then."""
    with httpx2.Client(trust_env=False, timeout=30) as browser:
        page = browser.get(address)
        assert page.status_code == 200, page.text[:2000]
        action = re.search(r'action="([^"]+)"', page.text)
        assert action, page.text[:2000]
        # Its cookies are for encrypted connections and this machine's own; the client knows the former alone.
        cookies = "; ".join(line.partition(";")[0] for line in page.headers.get_list("set-cookie"))
        said = {"username": login, "password": PASSWORD}
        answer = browser.post(html.unescape(action[1]), data=said, headers={"Cookie": cookies})
    assert answer.status_code == 302, answer.text[:2000]
    return answer.headers["location"]


async def test_in_a_browser(keycloak: tuple[Keycloak, int], new_service: NewService) -> None:
    """Logins of who is on the list and who is not, and a code that was stolen."""
    issuer, _ = keycloak
    client = LoginClient("tidegauge-pages", "secret of the pages", f"{ORIGIN}/callback")
    service = new_service(issuer.issuer, client=client)
    browser, stranger, thief = Browser(service), Browser(service), Browser(service)
    assert (await browser.get(typed_in(await browser.begin(), "rm-0102"))).status_code == 303
    found = await browser.who()
    assert (found["actor"], found["role"], found["stands_in"]) == (
        "id-rm-0102",
        "rm",
        [["branch_manager", ["hq", "east"]]],
    )
    assert (await stranger.get(typed_in(await stranger.begin(), "stranger"))).status_code == 403

    stolen = parse_qs(urlsplit(typed_in(await browser.begin(), "rm-0102")).query)["code"][0]
    state = parse_qs(urlsplit(await thief.begin()).query)["state"][0]
    answer = await thief.get("/callback", params={"code": stolen, "state": state, "iss": issuer.issuer})
    assert answer.status_code == 400 and "invalid_grant" in answer.text, "PKCE: the code is of another login"
    assert await browser.who(), "the owner's session goes on"


async def test_its_own_logout(keycloak: tuple[Keycloak, int], new_service: NewService) -> None:
    """An administrator ends a person's sessions at Keycloak: it tells our service once, where that one is then nobody."""
    issuer, port = keycloak
    service = new_service(
        issuer.issuer, client=LoginClient("tidegauge-pages", "secret of the pages", f"{ORIGIN}/callback")
    )
    browsers, other = [Browser(service), Browser(service)], Browser(service)
    for browser in browsers:
        await browser.get(typed_in(await browser.begin(), "rm-0102"))
        assert await browser.who()
    await other.get(typed_in(await other.begin(), "administrator-hq"))
    assert await other.who()
    serving = server(service.app, 16)
    thread = threading.Thread(target=serving.run, args=([listening("127.0.0.1", port)],))
    thread.start()
    try:
        await asyncio.to_thread(issuer.end_sessions, "rm-0102")
        async with asyncio.timeout(20):
            while any([await browser.who() for browser in browsers]):  # noqa: ASYNC110 - Keycloak tells by a request
                await asyncio.sleep(0.1)
    finally:
        serving.should_exit = True
        thread.join()
    assert await other.who(), "others go on"
    with service.database() as connection:
        ended = "SELECT staff_id, ended_by FROM access.sessions WHERE ended_at IS NOT NULL"
        assert connection.execute(ended).fetchall() == [("id-rm-0102", "issuer")] * 2


async def test_a_machine(keycloak: tuple[Keycloak, int], new_service: NewService) -> None:
    """Client credentials: who the realm says it is; no role of people, no token for others, none by a wrong secret."""
    issuer, _ = keycloak
    browser = Browser(new_service(issuer.issuer))

    async def answer(client: str, *, cut: int = 0) -> httpx2.Response:
        text = await token_of(issuer, client)
        return await browser.get("/who", headers={"Authorization": f"Bearer {text[: len(text) - cut]}"})

    found = (await answer("kiosk-0102")).json()
    assert (found["role"], found["unit"], found["by"], found["csrf"]) == ("kiosk", "hq/east/0102", "token", None)
    assert found["actor"] == claims_of(await token_of(issuer, "kiosk-0102"))["sub"]
    for refused in (answer("president-hq"), answer(ELSEWHERE), answer("kiosk-0102", cut=9)):
        assert (await refused).status_code == 401
    with pytest.raises(Exception, match="unauthorized_client"):
        await token_of(issuer, "kiosk-0102", "a wrong secret")


async def token_of(issuer: Keycloak, client: str, secret: str = MACHINE_SECRET) -> str:
    """What a machine gets, by the client that brokers with tokens are asked with."""
    grant = TokenGrant(f"{issuer.issuer}/protocol/openid-connect/token", client, secret)
    return await Tokens(Wire(SASL_TLS, mechanism=OAUTH, grant=grant)).token()


def claims_of(token: str) -> dict[str, Any]:
    """What a token says of itself."""
    part = token.split(".")[1]
    found: dict[str, Any] = json.loads(base64.urlsafe_b64decode(part + "=" * (-len(part) % 4)))
    return found


def test_at_the_command_line(
    keycloak: tuple[Keycloak, int], bank: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The access token counts, and is renewed; after `logout` Keycloak gives no more for it."""
    issuer, _ = keycloak

    def opened(address: str) -> bool:
        def act() -> None:
            assert httpx2.get(typed_in(address, "administrator-hq"), trust_env=False).status_code == 200

        threading.Thread(target=act).start()
        return True

    monkeypatch.setattr(login_command.webbrowser, "open", opened)
    env = {
        "TIDEGAUGE_DATA_DIR": str(tmp_path / "data"),
        "TIDEGAUGE_TOKEN_ISSUER": issuer.issuer,
        "TIDEGAUGE_DATABASE_URL": bank,
    }
    done = call("login", "--json", env=env)
    assert (done.code, json.loads(done.out or "{}").get("actor")) == (0, "id-administrator-hq"), done
    assert call("keys", "list", env=env).code == 0
    path = tmp_path / "data" / "login.json"
    first = json.loads(path.read_text())
    path.write_text(json.dumps(first | {"ends_at": int(time.time())}))
    assert call("keys", "list", env=env).code == 0
    second = json.loads(path.read_text())
    assert second["token"] != first["token"]
    done = call("logout", env=env)
    assert (done.code, done.err) == (0, "")
    path.write_text(json.dumps(second | {"ends_at": int(time.time())}))
    path.chmod(0o600)
    done = call("whoami", env=env)
    assert (done.code, "the login has ended: the issuer says invalid_grant" in done.err) == (2, True), done
