"""The fake and the real store keep the same contract."""

from typing import TYPE_CHECKING, Any

import pytest

from services.views.keys import Keys
from services.views.store import RedisViewStore
from tests.services.contract_viewstore import CONTRACT
from tests.services.fakes import MemoryViewStore

if TYPE_CHECKING:
    from redis import Redis

KEYS = Keys.of("")


@pytest.mark.parametrize("check", CONTRACT, ids=lambda check: check.__name__)
def test_real(check: Any, redis_client: "Redis") -> None:
    """The Redis store keeps the contract."""

    def read(key: str) -> Any:
        if redis_client.type(key) == b"zset":
            return [member.decode() for member in redis_client.zrange(key, 0, -1)]
        return {name.decode(): value.decode() for name, value in redis_client.hgetall(key).items()} or None

    check(RedisViewStore(redis_client, KEYS), read)


@pytest.mark.parametrize("check", CONTRACT, ids=lambda check: check.__name__)
def test_fake(check: Any) -> None:
    """The fake keeps the contract, so that what is shown with it holds."""
    store = MemoryViewStore(KEYS)

    def read(key: str) -> Any:
        if key in store.lists:
            members = store.lists[key]
            return sorted(members, key=lambda name: (members[name], name.encode()))
        row = store.rows.get(key)
        return None if row is None else {name: str(value) for name, value in row.items()}

    check(store, read)


def test_wipe_spares_other_prefixes(redis_client: "Redis") -> None:
    """Two installations share a server without harm: a wipe takes the keys of its own prefix only."""
    one, other = (RedisViewStore(redis_client, Keys.of(prefix)) for prefix in ("", "priority"))
    redis_client.hset(Keys.of("priority").priority("x"), "version", 1)
    redis_client.hset(Keys.of("").priority("x"), "version", 1)
    one.wipe("me")
    assert redis_client.exists(Keys.of("priority").priority("x"))
    assert other.wipe("me") == 1
