r"""The Redis keys of tickets: the one place that spells them (docs/queue.md describes them for others).

| key | type | what |
| --- | --- | --- |
| `{p}queue:{branch}` | hash | the branch: day, closed, steps, places, waiting, and the day's last number by prefix |
| `{p}queue:{branch}:tickets` | hash | place in the order of issue → the ticket, JSON |
| `{p}queue:{branch}:lane:{service}\|{class}` | sorted set | who waits, by arrival; `:capped:` those at the cap |
| `{p}queue:{branch}:lanes` | set | their names |
| `{p}queue:{branch}:counters` | hash | counter → its ticket, whether it pauses, its classes and services, JSON |
| `{p}queue:{branch}:rounds` | hash | counter → calls left of its round, under `ratio` |
| `{p}queue:{branch}:requests` | hash | request id → its answer, for the branch's day |
| `{p}queue:{branch}:forecasts` | hash | place → the wait in seconds that was told at the issue |
| `{p}queue:{branch}:shown` | list | the last calls, newest first |
| `{p}queue:{branch}:cash` | hash | number → an open cash request, JSON |
| `{p}queues:outbox` | stream | steps that are not yet on `queue-tickets` |
| `{p}queues:relay` | string, expires | token of the service that relays them |
| `{p}queues:references` | hash | reference → branches and places of whoever has a ticket with it; below zero: a cash request |
| `{p}queues:branches` | set | the branches |
| `{p}queues:waits`, `{p}queues:services` | list, hash | what estimates learn from |
"""

from __future__ import annotations

from dataclasses import dataclass

from services.views.keys import Keys


@dataclass(frozen=True, slots=True)
class TicketKeys:
    """Key names of an installation; `prefix` as of the views."""

    prefix: str

    @classmethod
    def of(cls, topic_prefix: str) -> TicketKeys:
        """Keys of an installation with this `topic_prefix`."""
        return cls(Keys.of(topic_prefix).prefix)

    def branch(self, branch: str) -> str:
        """Hash of a branch; its other keys begin with it."""
        return f"{self.prefix}queue:{branch}"

    def forecasts(self, branch: str) -> str:
        """Hash of what those who wait were told at the issue."""
        return f"{self.branch(branch)}:forecasts"

    @property
    def outbox(self) -> str:
        """Stream of the steps to relay."""
        return f"{self.prefix}queues:outbox"

    @property
    def relay(self) -> str:
        """Token of the one that relays."""
        return f"{self.prefix}queues:relay"

    @property
    def references(self) -> str:
        """Hash of the references that have tickets or open cash requests."""
        return f"{self.prefix}queues:references"

    @property
    def waits(self) -> str:
        """List of past waits."""
        return f"{self.prefix}queues:waits"

    @property
    def services(self) -> str:
        """Hash of how long services took."""
        return f"{self.prefix}queues:services"

    @property
    def branches(self) -> str:
        """Set of the branches."""
        return f"{self.prefix}queues:branches"

    def step(self, branch: str) -> list[str]:
        """What a step touches, as its script takes it."""
        return [self.branch(branch), self.outbox, self.references, self.waits, self.services, self.branches]
