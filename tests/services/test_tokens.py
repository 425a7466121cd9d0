"""A token counts if the issuer signed it for us and it has not ended; every other one is refused, and says nothing of itself."""

import base64
import datetime as dt
import hashlib
import hmac
import json
from pathlib import Path
from typing import Any, Final

import pytest
from joserfc import jwt
from joserfc.jwk import ECKey, KeySet, RSAKey

from deploy.connections.database import connected
from services.access.decision import PEOPLE, Action, Actor, DataKind, Resource, Role, decide_access
from services.access.issuer import Issuer
from services.access.tokens import TokenRefusedError, TokenTrust, login_of, machine_of, verified
from services.database.migrations import migrate
from services.staff.directory import take
from services.staff.lists import read_list
from services.staff.people import person_of
from tests.cli.invocation import call

NOW: Final = 1_800_000_000
NAN: Final = float("nan")
KEY, OLD, FOREIGN = (RSAKey.generate_key(2048, {"kid": name}) for name in ("now", "old", "now"))
CURVE = ECKey.generate_key("P-256", {"kid": "curve"})
CLAIMS: Final = {"iss": "https://login.bank", "aud": "tidegauge", "sub": "s1", "iat": NOW - 10, "exp": NOW + 600}
TRUST: Final = TokenTrust("https://login.bank", "tidegauge", KeySet([KEY, CURVE]))


def token(key: Any = KEY, header: dict[str, Any] | None = None, **claims: Any) -> str:
    """A token; a claim that is None is left out."""
    said = {name: value for name, value in (CLAIMS | claims).items() if value is not None}
    head = {"alg": "RS256", "kid": key.kid, **(header or {})}
    return jwt.encode(head, said, key, algorithms=[head["alg"]])


def part(value: Any) -> str:
    data = value if isinstance(value, bytes) else json.dumps(value).encode()
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def unsigned() -> str:
    """`alg: none`."""
    return f"{part({'alg': 'none', 'typ': 'JWT'})}.{part(CLAIMS)}."


def confused() -> str:
    """Signed with the public key, as if it were a shared secret."""
    body = f"{part({'alg': 'HS256', 'kid': 'now'})}.{part(CLAIMS)}"
    return f"{body}.{part(hmac.new(KEY.as_pem(private=False), body.encode(), hashlib.sha256).digest())}"


def test_one_that_counts() -> None:
    """Signed by a key of the issuer, for us among others, not at its end; half a minute is forgiven."""
    for good in (
        token(), token(aud=["other", "tidegauge"]), token(exp=NOW - 29, iat=NOW - 600), token(CURVE, {"alg": "ES256"}),
        token(header={"alg": "PS256"}), token(header={"typ": "at+jwt"}),
    ):  # fmt: skip
        assert verified(good, TRUST, NOW)["sub"] == "s1"


BAD = {
    "alg none": unsigned(), "a public key as a secret": confused(),
    "a foreign key of the same name": token(FOREIGN), "a key that was rotated out": token(OLD),
    "another issuer": token(iss="https://login.evil"), "no issuer": token(iss=None),
    "another audience": token(aud="payments"), "other audiences": token(aud=["a", "b"]), "no audience": token(aud=None),
    "part of the audience": token(aud="tide"),
    "expired": token(exp=NOW - 31, iat=NOW - 600), "no end": token(exp=None), "an end that is no number": token(exp="never"),
    "not yet": token(nbf=NOW + 60), "of the future": token(iat=NOW + 60, exp=NOW + 600), "no beginning": token(iat=None),
    "too long": token(iat=NOW - 10, exp=NOW + 86_400), "nobody": token(sub=None), "of nothing": token(sub=""),
    "for a logout": token(header={"typ": "logout+jwt"}), "of an extension": token()[:-4] + "AAAA",
    "other claims under the same signature": f"{token().split('.')[0]}.{part(CLAIMS | {'sub': 's2'})}.{token().split('.')[2]}",
    "an end that never comes": token(exp=NAN), "a beginning that is none": token(iat=NAN, exp=NOW + 10**9),
    "without end": token(exp=float("inf")), "a very long number": token(exp=10**400), "yes": token(nbf=True),
    "a name with a NUL": token(sub="s\0"), "a long name": token(sub="s" * 256),
    "a name of many": token(sub=["s1"]), "a name in colours": token(sub="\x1b[31ms1"),
    "too large": token(more="x" * 9000), "empty": "", "no token": "a.b.c", "two parts": "a.b",
}  # fmt: skip


@pytest.mark.parametrize("name", BAD)
def test_one_that_does_not(name: str) -> None:
    """Each is refused, in words without the token."""
    with pytest.raises(TokenRefusedError) as refused:
        verified(BAD[name], TRUST, NOW)
    said = str(refused.value)
    assert 0 < len(said) < 100 and not any(len(piece) > 8 and piece in said for piece in BAD[name].split("."))


def test_a_machine_is_what_its_claims_say() -> None:
    """And never a person: no claim gives a role of people."""
    claims = CLAIMS | {"tidegauge_role": "kiosk", "tidegauge_unit": "hq/east/0102"}
    assert machine_of(claims) == Actor("s1", Role.KIOSK, ("hq", "east", "0102"))
    assert machine_of(CLAIMS) is None
    for role in (*PEOPLE, "boss", None, ["kiosk"], {}, 1):
        with pytest.raises(TokenRefusedError):
            machine_of(claims | {"tidegauge_role": role})
    for unit in ("", " ", "hq//x", None, 7, "hq/\0", "hq/\ud800", "hq/" + "x" * 256):
        with pytest.raises(TokenRefusedError):
            machine_of(claims | {"tidegauge_unit": unit})
    for login in ("", "a\0", "\ud800", "a\n", "x" * 256, None, 7, ["ann"]):
        with pytest.raises(TokenRefusedError):
            login_of({"preferred_username": login}, "preferred_username")


def test_the_issuers_keys(tmp_path: Path) -> None:
    """Public ones for signatures, as the file has them now; one without any is refused."""
    path = tmp_path / "keys.json"
    keys = [KEY.as_dict(private=False), {"kty": "oct", "k": part(b"x" * 32), "kid": "s"}]
    path.write_text(json.dumps({"keys": keys}))
    issuer = Issuer(TRUST.issuer, keys_file=path)
    assert issuer.claims(token(), TRUST.audience, NOW) == issuer.claims(token(), TRUST.audience, NOW)
    for text in (
        "",
        "[]",
        '{"keys": []}',
        '{"keys": [7]}',
        '{"keys": [{"kty": "oct", "k": "eA"}]}',
        '{"keys": [{"kty": "RSA"}]}',
    ):
        path.write_text(text)
        with pytest.raises(TokenRefusedError):
            issuer.claims(token(), TRUST.audience, NOW)
    path.write_text(json.dumps({"keys": keys}))
    assert issuer.claims(token(), TRUST.audience, NOW)


def test_a_substitute_may_what_the_absent_may() -> None:
    """Beside what he may himself, and no more than either; he approves nothing that he has asked for himself."""
    unit, other = ("hq", "east", "0102"), ("hq", "west", "0201")
    own = Actor("r7", Role.RM, unit)
    both = Actor("r7", Role.RM, unit, ((Role.BRANCH_MANAGER, other),))
    for kind in DataKind:
        for action in Action:
            for place in (unit, other, ("hq",), None):
                thing = Resource(kind, place, requested_by="x")
                either = [
                    decide_access(who, action, thing).allowed for who in (own, Actor("r7", Role.BRANCH_MANAGER, other))
                ]
                assert decide_access(both, action, thing).allowed == any(either)
    found = decide_access(both, Action.APPROVE, Resource(DataKind.OVERRIDES, other, requested_by="x"))
    assert found.reason == "stands_in:branch_manager:hq/west/0201"
    assert not decide_access(both, Action.APPROVE, Resource(DataKind.OVERRIDES, other, requested_by="r7")).allowed


@pytest.mark.integration
def test_who_calls(database: str, tmp_path: Path) -> None:
    """A person is what the bank's list says on the day, with those for whom he stands in; who has left is nobody."""
    with connected(database) as connection:
        migrate(connection)
        lists = (
            "unit,name,change\nhq,x,set\n",
            "staff_id,login,name,role,unit,change\na1,ann,Ann,administrator,hq,set\nr7,li,Li,rm,hq,set\n",
            "staff_id,first_day,last_day,substitute,change\na1,2026-02-01,2026-02-09,r7,set\n",
        )
        for text in lists:
            (tmp_path / "list.csv").write_text(text)
            take(connection, read_list(tmp_path / "list.csv"), "tester")
        away = ((Role.ADMINISTRATOR, ("hq",)),)
        for day, stands_in in ((1, away), (9, away), (10, ())):
            assert person_of(connection, "li", dt.date(2026, 2, day)) == Actor("r7", Role.RM, ("hq",), stands_in)
        assert person_of(connection, "lo", dt.date(2026, 2, 1)) is None
    now = int(dt.datetime.now(dt.UTC).timestamp())
    (tmp_path / "keys.json").write_text(json.dumps({"keys": [KEY.as_dict(private=False)]}))

    def listed(**claims: Any) -> tuple[int, str]:
        (tmp_path / "token").write_text(token(**{"iat": now, "exp": now + 60, **claims}))
        env = {
            "TIDEGAUGE_DATABASE_URL": database, "TIDEGAUGE_DATA_DIR": str(tmp_path / "data"),
            "TIDEGAUGE_TOKEN_ISSUER": "https://login.bank", "TIDEGAUGE_TOKEN_KEYS": str(tmp_path / "keys.json"),
            "TIDEGAUGE_TOKEN_FILE": str(tmp_path / "token"), "TIDEGAUGE_ACTOR": "operator:hq",
        }  # fmt: skip
        done = call("keys", "list", env=env)
        as_operator = call("keys", "list", "--as", "operator:hq", env=env)
        assert (as_operator.code, "--as counts only" in as_operator.err) == (2, True)
        return done.code, done.err

    assert listed(preferred_username="ann")[0] == 0
    assert "rm of hq may not read keys" in listed(preferred_username="li")[1]
    assert "on no list of staff" in listed(preferred_username="lo")[1]
    assert "kiosk of hq may not read keys" in listed(tidegauge_role="kiosk", tidegauge_unit="hq")[1]
    assert "does not count" in listed(preferred_username="ann", aud="other")[1]
    log = [json.loads(line) for line in (tmp_path / "data" / "audit.ndjson").read_text().splitlines()]
    assert [entry["actor"] for entry in log] == ["a1", "r7", "s1"]
