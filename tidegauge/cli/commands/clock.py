"""`tidegauge commands clock`: escalates cases that nobody has answered, and ends snoozes, as commands."""

from __future__ import annotations

import logging
import threading
from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Final

from confluent_kafka import KafkaException

from agents.engine.reader import LogReader
from agents.engine.watch.quiet import set_up_log
from deploy.settings import Settings
from tidegauge.checks.state import AHEAD_DAYS
from tidegauge.cli.output import notes
from tidegauge.cli.servers import found_world, need_redis
from tidegauge.cli.shutdown import one_last_line, until_told
from tidegauge.world.found import USES_GROUP
from tidegauge.world.watch import Watch, end_process

if TYPE_CHECKING:
    from services.clock.clock import CaseClock

log = logging.getLogger(__name__)
_AGAIN_S: Final = 5.0


def clock() -> None:
    """Escalate cases that nobody answers in their pack's working time, and end snoozes, until told to stop.

    Several of them are as one: their commands have the same ids.
    """
    from services.clock.bootstrap import open_clock

    over = until_told()
    set_up_log("WARNING")
    settings = Settings()
    need_redis(settings)
    world = found_world(settings, USES_GROUP)
    settings = world.settings
    Watch(world, USES_GROUP).start(end_process)
    _say_unknown(settings)
    with one_last_line():
        while not over.is_set():
            with open_clock(settings, LogReader, lambda: _told(settings)) as opened:
                _follow(opened, over)
    notes.print("stopped: what was due and is not sent comes with the next start", soft_wrap=True)


def _follow(opened: CaseClock, over: threading.Event) -> None:
    """Until told to stop, or the log can't be read: then it is begun anew."""
    while not over.is_set():
        try:
            opened.follow()
        except KafkaException as problem:
            log.warning("cases can't be followed now: %s", problem)
            over.wait(_AGAIN_S)
            return


def _told(settings: Settings) -> Mapping[int, bool]:
    """The days of `tidegauge holidays`, as the workers know them. OSError where they can't be read."""
    from aiokafka.errors import KafkaError

    from agents.engine.job import RecoveryError, Rejoin
    from tidegauge.knowledge import known_by_workers

    try:
        return known_by_workers(settings).calendar
    except (RecoveryError, Rejoin, KafkaError) as problem:
        raise OSError(f"{type(problem).__name__}: {problem}") from problem


def _say_unknown(settings: Settings) -> None:
    """At the start, of the days to come."""
    from services.clock.bank_calendar import BankCalendar

    today = datetime.now(settings.tz).date()
    for year in BankCalendar(_told(settings)).unknown((today.year, (today + timedelta(days=AHEAD_DAYS)).year)):
        said = f"the holidays of {year} are not known: `tidegauge holidays` tells them; nothing is due on its days until then"
        notes.print(said, soft_wrap=True)
