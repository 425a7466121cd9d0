"""Tokens (JWT) of people and machines: whether one counts, and who comes with it.

Signatures and claims are joserfc's business; which of them are asked for is said here, once.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from math import isfinite
from typing import Any, Final, NamedTuple, TypeGuard

from joserfc import jwt
from joserfc.errors import JoseError
from joserfc.jwk import KeySet

from schemas import bounds
from services.access.decision import MACHINES, Actor, Role, unit_of

ALGORITHMS: Final = ("RS256", "PS256", "ES256")
"""Of public keys alone: `none` and shared secrets are no proof of an issuer."""

TYPES: Final = ("JWT", "at+jwt", "application/at+jwt")
LEEWAY_S: Final = 30
LIFETIME_S_MAX: Final = 24 * 3600
NAME_CHARS_MAX: Final = 255
ROLE_CLAIM: Final = "tidegauge_role"
UNIT_CLAIM: Final = "tidegauge_unit"


class TokenRefusedError(Exception):
    """A token does not count. The text says why, and holds nothing of the token."""


class TokenTrust(NamedTuple):
    """Whose tokens count, and for whom they have to be made."""

    issuer: str
    audience: str
    keys: KeySet


def public_keys(data: bytes, source: str) -> KeySet:
    """The public keys for signatures in a JWKS. TokenRefusedError, in words with its `source`, where it holds none."""
    try:
        found = json.loads(data)
        keys = [key for key in found["keys"] if key.get("kty") in ("RSA", "EC") and key.get("use", "sig") == "sig"]
        if not keys:
            raise TokenRefusedError(f"{source} holds no public key for signatures")
        return KeySet.import_key_set({"keys": keys})
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError, JoseError) as problem:
        raise TokenRefusedError(f"{source} is no set of keys (JWKS)") from problem


def verified(token: str, trust: TokenTrust, now_s: int, types: tuple[str, ...] = TYPES) -> dict[str, Any]:
    """The claims of a token that counts at `now_s`, in seconds since 1970. TokenRefusedError.

    It is signed by a key of the issuer, made by the issuer for this audience, not yet at its end, and lasts a day at most.
    types: what its header may call it.
    """
    if len(token.encode()) > bounds.TOKEN_BYTES_MAX:
        raise TokenRefusedError(f"more than {bounds.TOKEN_BYTES_MAX:,} bytes")
    try:
        found = jwt.decode(token, trust.keys, algorithms=[*ALGORITHMS])
        asked = jwt.JWTClaimsRegistry(
            now=now_s, leeway=LEEWAY_S, iss={"essential": True, "value": trust.issuer},
            aud={"essential": True, "value": trust.audience}, sub={"essential": True}, exp={"essential": True},
            iat={"essential": True},
        )  # fmt: skip
        asked.validate(found.claims)
    except JoseError as problem:
        raise TokenRefusedError(_why(problem)) from None
    except (ValueError, TypeError, RecursionError):
        raise TokenRefusedError("it is no token") from None
    if not all(_is_time(found.claims.get(name, 0)) for name in ("exp", "iat", "nbf")):
        raise TokenRefusedError("it has times that are none")  # NaN, to which nothing compares, would have no end
    if not is_name(found.claims["sub"]):
        raise TokenRefusedError("its sub is no name")
    if found.header.get("typ", TYPES[0]) not in types:
        raise TokenRefusedError("it is a token for something else")
    if found.claims["exp"] - found.claims["iat"] > LIFETIME_S_MAX:
        raise TokenRefusedError(f"it lasts longer than {LIFETIME_S_MAX // 3600} hours")
    return dict(found.claims)


def _why(problem: JoseError) -> str:
    """The kind of a failure, and which claim it is about."""
    claim = getattr(problem, "claim", None)
    return f"{problem.error}: {claim}" if claim else str(problem.error)


def _is_time(found: object) -> bool:
    return type(found) is int or (isinstance(found, float) and isfinite(found))


def is_name(found: object) -> TypeGuard[str]:
    """Whether logs and databases can keep it: text of a bounded length without control characters and half characters."""
    return isinstance(found, str) and 0 < len(found) <= NAME_CHARS_MAX and found.isprintable()


def machine_of(claims: Mapping[str, Any]) -> Actor | None:
    """The machine whose token it is: role and unit stand in claims. None for a person's; a token gives no role of people."""
    role, unit = claims.get(ROLE_CLAIM), claims.get(UNIT_CLAIM)
    if role is None and unit is None:
        return None
    path = unit_of(unit) if is_name(unit) else ()
    if not isinstance(role, str) or role not in MACHINES or not path or not all(path):
        raise TokenRefusedError(f"{ROLE_CLAIM} and {UNIT_CLAIM} name no role of machines and its unit")
    return Actor(str(claims["sub"]), Role(role), path)


def login_of(claims: Mapping[str, Any], claim: str) -> str:
    """What the list of staff calls the person as `login`. TokenRefusedError where the token does not say."""
    found = claims.get(claim)
    if not is_name(found):
        raise TokenRefusedError(f"it has no {claim} that is a name")
    return found
