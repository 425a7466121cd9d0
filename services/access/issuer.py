"""An issuer of tokens as it describes itself (OpenID Connect Discovery): its addresses, and its keys by URL.

Both are kept for a while. An answer has bounds in bytes and time; one that does not come is no reason to believe anything else.
"""

from __future__ import annotations

import base64
import binascii
import json
import ssl
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, NamedTuple
from urllib.parse import urlsplit

from deploy.connections.wire import loopback
from schemas import bounds
from schemas.bounded import check_size, read_bounded
from services.access.tokens import TYPES, TokenRefusedError, TokenTrust, public_keys, verified

if TYPE_CHECKING:
    from joserfc.jwk import KeySet

KEYS_S: Final = 300
"""Keys are asked for anew after so long: one that was rotated out counts no longer than this."""

KEYS_AGAIN_S: Final = 10
"""A token with an unknown key has them asked for anew, but no sooner than so long after the last time."""

KEYS_OLD_S_MAX: Final = 3600
"""While the issuer gives no answer its last keys count for so long."""

ADDRESSES_S: Final = 3600
WELL_KNOWN: Final = "/.well-known/openid-configuration"


class IssuerAwayError(Exception):
    """The issuer gives no answer that could be used. The text says why."""


class Addresses(NamedTuple):
    """Where an issuer does what. Empty: it does not do that."""

    authorization: str
    token: str
    keys: str
    end_session: str
    revocation: str


class Issuer:
    """One issuer. Calls wait for the network; threads may share it."""

    def __init__(
        self, url: str, ca: Path | None = None, keys_file: Path | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:  # fmt: skip
        self.url, self._ca, self._keys_file, self._clock = url, ca, keys_file, clock
        self._trust: ssl.SSLContext | None = None
        self._one_at_a_time = threading.Lock()
        self._addresses: tuple[Addresses, float] | None = None  # with when they were asked for
        self._keys: tuple[KeySet, float] | None = None
        self._in_file: tuple[bytes, KeySet] | None = None  # what the file held, and its keys
        self._asked_at: float | None = None  # for keys, the last time, whatever came of it

    def addresses(self) -> Addresses:
        """Where it does what. IssuerAwayError."""
        with self._one_at_a_time:
            return self._known_addresses()

    def claims(self, token: str, audience: str, now_s: int, types: tuple[str, ...] = TYPES) -> dict[str, Any]:
        """The claims of a token that counts, as `verified` says. TokenRefusedError, IssuerAwayError, OSError."""
        return verified(token, TokenTrust(self.url, audience, self._keys_for(token)), now_s, types)

    def trust(self) -> ssl.SSLContext:
        """Whom its certificate must come from: the usual authorities, or those of a file. OSError, TooLargeError."""
        if self._trust is None:
            if self._ca is not None:
                check_size(self._ca, bounds.SMALL_FILE_BYTES_MAX)
            self._trust = ssl.create_default_context(cafile=self._ca)
        return self._trust

    def _keys_for(self, token: str) -> KeySet:
        """The keys, asked for anew where they are old or the token's is not among them."""
        if self._keys_file is not None:
            return self._keys_in(self._keys_file)
        with self._one_at_a_time:
            now = self._clock()
            known, since = self._keys or (None, 0.0)
            lately = self._asked_at is not None and now - self._asked_at < KEYS_AGAIN_S
            if known is not None and (lately or (now - since < KEYS_S and key_id_of(token) in _key_ids(known))):
                if now - since < KEYS_OLD_S_MAX:
                    return known
            elif known is None and lately:
                raise IssuerAwayError(f"{self.url} gave no keys a moment ago")
            self._asked_at = now
            try:
                address = self._known_addresses().keys
                found = public_keys(_answer(address, self.trust()), "what the issuer gives")
            except (IssuerAwayError, TokenRefusedError) as problem:
                if known is None or now - since >= KEYS_OLD_S_MAX:
                    raise IssuerAwayError(str(problem)) from problem
                return known
            self._keys = found, now
            return found

    def _keys_in(self, path: Path) -> KeySet:
        """The keys in a file, which may change at any time. TokenRefusedError where it holds none; TooLargeError, OSError."""
        data = read_bounded(path, bounds.SMALL_FILE_BYTES_MAX)
        if self._in_file is None or self._in_file[0] != data:  # making keys of it takes longer than checking a token
            self._in_file = data, public_keys(data, str(path))
        return self._in_file[1]

    def _known_addresses(self) -> Addresses:
        now = self._clock()
        if self._addresses is None or now - self._addresses[1] >= ADDRESSES_S:
            self._addresses = _described(self.url, _answer(self.url.rstrip("/") + WELL_KNOWN, self.trust())), now
        return self._addresses[0]


def key_id_of(token: str) -> str | None:
    """The name of the key that a token says has signed it: a claim like any other until the signature is checked."""
    try:
        head = token.partition(".")[0]
        found = json.loads(base64.urlsafe_b64decode(head + "=" * (-len(head) % 4)))["kid"]
    except (ValueError, KeyError, TypeError, RecursionError, binascii.Error):
        return None
    return found if isinstance(found, str) else None


def _key_ids(keys: KeySet) -> set[str | None]:
    """The names of keys; a token without one may be of any, which is no reason to ask anew."""
    return {None, *(key.kid for key in keys.keys)}


def _answer(url: str, trust: ssl.SSLContext) -> bytes:
    """What an address gives, within bounds. IssuerAwayError."""
    import httpx2

    from schemas.answers import REGISTRY_ANSWER_S, BoundedClient, in_time

    async def ask() -> httpx2.Response:
        async with BoundedClient(verify=trust, timeout=REGISTRY_ANSWER_S) as client:
            return await client.get(url)

    try:
        found = in_time(ask)
    except (httpx2.HTTPError, httpx2.InvalidURL, OSError) as problem:
        raise IssuerAwayError(f"{_place(url)}: {str(problem) or type(problem).__name__}") from problem
    if found.status_code != 200:
        raise IssuerAwayError(f"{_place(url)} answers {found.status_code}")
    return found.content


def _described(issuer: str, data: bytes) -> Addresses:
    """What an issuer says of itself. IssuerAwayError where that is of another one, or leads where it may not."""
    try:
        said = json.loads(data)
        found = {name: said.get(key, "") for name, key in _NAMES.items()}
        if said["issuer"] != issuer:
            raise IssuerAwayError(f"the issuer calls itself otherwise than {issuer}")
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as problem:
        raise IssuerAwayError(f"{_place(issuer)}{WELL_KNOWN} is no description of an issuer") from problem
    for name, url in found.items():
        needed = name in ("authorization", "token", "keys")
        if not isinstance(url, str) or ((url or needed) and not protected(url)):
            raise IssuerAwayError(f"{_NAMES[name]} of {_place(issuer)} is no https:// address")
    return Addresses(**found)


_NAMES: Final = {
    "authorization": "authorization_endpoint", "token": "token_endpoint", "keys": "jwks_uri",
    "end_session": "end_session_endpoint", "revocation": "revocation_endpoint",
}  # fmt: skip


def protected(url: str) -> bool:
    """Whether an address is encrypted, or on this machine itself."""
    try:
        parts = urlsplit(url)
        _ = parts.port
    except ValueError:
        return False
    host = parts.hostname or ""
    return (
        bool(host) and not parts.fragment and (parts.scheme == "https" or (parts.scheme == "http" and loopback(host)))
    )


def _place(url: str) -> str:
    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}"
