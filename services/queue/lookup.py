"""The queue class of a customer reference: an answer always, in time, and no hint whether the customer exists."""

import asyncio
import hashlib
import re
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import date
from typing import TYPE_CHECKING, Final, Protocol

from redis import RedisError

from services.access.decision import Action, Actor, DataKind, Resource, Role, decide_access
from services.queue.line import ServerLine, line_of

if TYPE_CHECKING:
    from redis.asyncio import Redis

    from services.views.keys import Keys

BUDGET_S: Final = 0.12
"""Waiting for the view ends here: the kiosk's 200 ms hold the network and the event loop too."""

STALE_S: Final = 30.0
"""A view that was last complete so long ago is not trusted."""

REFERENCE: Final = re.compile(r"[a-z2-7]{26}")
KIOSK: Final = Actor("kiosk", Role.KIOSK, ("kiosk",))


@dataclass(frozen=True, slots=True)
class QueueRow:
    """What the view holds of a reference. `queue_class` None: nothing. `age_s` None: the view was never complete.

    unreadable: the last record of the reference could not be read, so what the view holds may not be so any more.
    reference_key, zone: fingerprint of the key that the view's references come from, and where its days begin; None where
    the writer doesn't know it.
    """

    queue_class: str | None
    vip_area: bool
    valid_until: date | None
    age_s: float | None
    unreadable: bool = False
    reference_key: str | None = None
    zone: str | None = None


@dataclass(frozen=True, slots=True)
class Answer:
    """What a kiosk gets. The default answer is the same for an ordinary customer, an unknown one, and nonsense."""

    queue_class: str
    vip_area: bool = False
    valid_until: date | None = None
    degraded: bool = False


class PriorityView(Protocol):
    """What the lookup needs of the view."""

    async def read(self, customer_ref: str) -> QueueRow:
        """The row of a reference; raises RedisError or OSError when there is no answer."""


class Breaker:
    """After `failures_max` failures in a row nothing is tried for `open_s`; then one call tries for all."""

    def __init__(self, failures_max: int = 5, open_s: float = 1.0, clock: Callable[[], float] = time.monotonic) -> None:
        self.failures_max, self.open_s, self.clock = failures_max, open_s, clock
        self.failures, self.closed_at = 0, 0.0

    def allows(self) -> bool:
        """True if a call may be tried; while open, once every `open_s`."""
        if self.failures < self.failures_max:
            return True
        if self.clock() < self.closed_at:
            return False
        self.closed_at = self.clock() + self.open_s
        return True

    def succeeded(self) -> None:
        """The call had an answer."""
        self.failures = 0

    def failed(self) -> None:
        """The call had none."""
        self.failures += 1
        if self.failures >= self.failures_max:
            self.closed_at = self.clock() + self.open_s


@dataclass(slots=True)
class Lookup:
    """Answers for references. `today` gives the bank's day; `noted` hears where answers come from, never whose.

    reference_key: fingerprint of this process's key; None: it has none, and whoever asks has the references. zone: its own.
    """

    view: PriorityView
    default_class: str
    today: Callable[[], date]
    budget_s: float = BUDGET_S
    stale_s: float = STALE_S
    actor: Actor = KIOSK
    breaker: Breaker = field(default_factory=Breaker)
    noted: Callable[[str], None] = lambda _: None
    reference_key: str | None = None
    zone: str | None = None

    async def answer(self, customer_ref: str, actor: Actor | None = None) -> Answer:
        """The answer for a reference. Never raises but for cancellation, never takes much longer than `budget_s`.

        actor: who asks, where that is known.
        """
        default = Answer(self.default_class)
        if not REFERENCE.fullmatch(customer_ref) or not _allowed(actor or self.actor):
            self.noted("default")
            return default
        row = await self._read(customer_ref)
        if row is None:
            return Answer(self.default_class, degraded=True)
        if row.age_s is None or row.age_s > self.stale_s:
            self.noted("stale")
            return Answer(self.default_class, degraded=True)
        if row.unreadable:
            self.noted("unreadable")
            return Answer(self.default_class, degraded=True)
        for own, theirs, name in (
            (self.reference_key, row.reference_key, "other_key"),
            (self.zone, row.zone, "other_zone"),
        ):
            if own is not None and theirs not in (None, own):
                self.noted(name)
                return Answer(self.default_class, degraded=True)
        expired = row.valid_until is not None and row.valid_until < self.today()
        if row.queue_class is None or expired or (row.queue_class == self.default_class and not row.vip_area):
            self.noted("default")
            return default
        self.noted("class")
        return Answer(row.queue_class, row.vip_area, row.valid_until)

    async def _read(self, customer_ref: str) -> QueueRow | None:
        """The row, or None when the view gives no answer in time."""
        if not self.breaker.allows():
            self.noted("breaker")
            return None
        try:
            async with asyncio.timeout(self.budget_s):
                row = await self.view.read(customer_ref)
        except TimeoutError:
            self.noted("slow")
        except (RedisError, OSError):
            self.noted("down")
        except Exception:  # noqa: BLE001 - a kiosk never sees an error, whatever the view holds
            self.noted("broken")
            self.breaker.succeeded()  # the view answers: one customer's bad row is not the others' outage
            return None
        else:
            self.breaker.succeeded()
            return row
        self.breaker.failed()
        return None


def _allowed(actor: Actor) -> bool:
    return decide_access(actor, Action.READ, Resource(DataKind.QUEUE_CLASS, None)).allowed


# Age by the server's own clock, so that no other clock has to agree; of the partition that lags most. The partition of a
# reference is nobody's to know: each is asked whether it lacks it. What is no row at all is one that can't be read.
READ: Final = """
local row = redis.pcall('HMGET', KEYS[1], 'queue_class', 'vip_area', 'valid_until')
local oldest, lacking
if row.err then row, lacking = {}, 1 end
local fresh = redis.call('HGETALL', KEYS[2])
for i = 1, #fresh, 2 do
  local ms = tonumber(fresh[i + 1])
  if not oldest or ms < oldest then oldest = ms end
  if redis.call('ZSCORE', ARGV[1] .. fresh[i], ARGV[2]) then lacking = 1 end
end
local now = redis.call('TIME')
local age = oldest and string.format('%.0f', now[1] * 1000 + math.floor(now[2] / 1000) - oldest) or ''
return {row[1] or false, row[2] or false, row[3] or false, age, lacking or 0,
  unpack(redis.call('HMGET', KEYS[3], 'reference_key', 'zone'))}
"""


class RedisPriorityView:
    """The view that services.views.writer writes."""

    def __init__(self, client: "Redis", keys: "Keys") -> None:
        self.client, self.keys = client, keys
        self.sha = hashlib.sha1(READ.encode(), usedforsecurity=False).hexdigest()  # as the server names a script
        self.line: ServerLine | None = None

    async def read(self, customer_ref: str) -> QueueRow:
        """The row of a reference; raises RedisError or OSError when there is no answer."""
        self.line = line_of(self.client, BUDGET_S, self.line)
        names = [self.keys.priority(customer_ref), self.keys.fresh("queue-priority"), self.keys.world]
        queue_class, vip_area, valid_until, age_ms, lacking, reference_key, zone = await self.line.run(
            self.sha, READ, names, [self.keys.lacking(""), customer_ref]
        )
        return QueueRow(
            queue_class.decode() if queue_class else None,
            vip_area == b"1",
            date.fromisoformat(valid_until.decode()) if valid_until else None,
            int(age_ms) / 1000 if age_ms else None,
            bool(lacking),
            reference_key.decode() if reference_key else None,
            zone.decode() if zone else None,
        )
