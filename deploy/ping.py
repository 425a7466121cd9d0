"""Whether a Redis-protocol server answers."""

import redis

PROBE_S = 2.0


def answers(url: str) -> bool:
    """True if a Redis server answers at the URL."""
    try:
        with redis.Redis.from_url(url, socket_timeout=PROBE_S, socket_connect_timeout=PROBE_S) as client:
            return bool(client.ping())
    except (redis.RedisError, OSError):
        return False
