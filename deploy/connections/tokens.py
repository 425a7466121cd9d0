"""Tokens for aiokafka's OAUTHBEARER, by OAuth's client credentials; librdkafka gets its own."""

import asyncio
import time

from aiokafka.abc import AbstractTokenProvider

from deploy.connections.wire import Wire
from schemas.answers import TOKEN_SPARE_S, new_token


class Tokens(AbstractTokenProvider):  # type: ignore[misc]  # aiokafka has no types
    """Hands out one token until shortly before its end."""

    def __init__(self, wire: Wire) -> None:
        self._wire, self._token, self._renew_at = wire, "", 0.0
        self._one_at_a_time = asyncio.Lock()

    async def token(self) -> str:
        """A token that is good for a while; raises what the HTTP library raises."""
        async with self._one_at_a_time:
            if not self._token or time.monotonic() >= self._renew_at:
                grant, ca = self._wire.grant, self._wire.certificates.ca
                given = grant.token_url, grant.client_id, grant.client_secret, grant.scope, ca
                self._token, lasts_s = await new_token(*given)
                self._renew_at = time.monotonic() + lasts_s - TOKEN_SPARE_S
            return self._token
