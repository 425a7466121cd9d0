"""The worker of the release before, as far as its state goes: `python -m tests.standing.older worker` runs one.

It writes format 2, whose fences have no fingerprint of the reference key, and reads nothing else. The rows are the same.
The release itself, beside a newer worker in one group, did as this one does, but for its words of a newer state: "changelog of
state format 3, program of 2", and to delete the changelog (docs/operators.md#upgrades). It reads no contract that is newer.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from agents.standing import job

if TYPE_CHECKING:
    from agents.standing.job import StandingJob as _Base
else:
    _Base = object


class Older(_Base):
    """Put before a standing job, it makes that one of format 2."""

    state_format = 2

    def __init__(self, *args: Any) -> None:
        super().__init__(*args)
        self.upgrades = {}

    def _meaning(self) -> dict[str, str | None]:
        return {name: value for name, value in super()._meaning().items() if name != "reference_key"}


def run() -> None:
    """The command line, with that job in the place of the present one."""
    job.StandingJob = type("StandingJob", (Older, job.StandingJob), {})
    from tidegauge.cli.main import main

    main()


if __name__ == "__main__":
    run()
