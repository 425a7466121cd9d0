"""What a worker of this machine says of itself, at its port for metrics and health."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, Final

import httpx2

from schemas.answers import BoundedClient, in_time

if TYPE_CHECKING:
    from deploy.settings import Settings

PID_MAX: Final = 1 << 31


def probe_answer(settings: Settings, port: int, path: str) -> httpx2.Response | None:
    """The answer at a path; None where there is none within the bounds of `schemas.answers`."""
    host = "127.0.0.1" if settings.metrics_host in ("0.0.0.0", "::") else settings.metrics_host  # noqa: S104 - compared
    url = httpx2.URL(scheme="http", host=host, port=port, path=path)

    async def ask() -> httpx2.Response:
        async with BoundedClient(trust_env=False) as client:  # no proxy stands between
            return await client.get(url)

    try:
        return in_time(ask)
    except (httpx2.HTTPError, OSError, ValueError):
        return None


def worker_at(settings: Settings, port: int) -> dict[str, Any] | None:
    """Which worker it is; None where none answers."""
    answer = probe_answer(settings, port, "/worker")
    if answer is None or answer.status_code != httpx2.codes.OK:
        return None
    try:
        found = json.loads(answer.content)
    except (ValueError, RecursionError):
        return None
    return found if _is_worker(found) else None


def _is_worker(found: Any) -> bool:
    """Whether it is what a worker says. A signal goes to its number: 1 is the machine's, those below it name many."""
    shape = {"pid": int, "group": str, "member": str | None, "state": str, "partitions": list, "unflushed": list}
    return (
        isinstance(found, dict)
        and all(name in found and isinstance(found[name], kind) for name, kind in shape.items())
        and 1 < found["pid"] < PID_MAX
    )
