"""A pack tried beside the running one, on the history in the topics or in files: what both kinds of what-if begin with."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

from deploy.settings import Settings
from tidegauge.cli.choices import BERKA_CURRENCY
from tidegauge.cli.data.refused import Refused, arrivals
from tidegauge.cli.output import FAILED_CHECK, error, notes
from tidegauge.cli.servers import found_world
from tidegauge.world.found import USES_ALL

if TYPE_CHECKING:
    from collections.abc import Callable

    from agents.offline.replay import Trial
    from agents.standing.model import StandingConf
    from policies.model.pack import Pack

    Begin = Callable[[Trial, StandingConf], Any]


def trials_of_topics(settings: Settings, new: Pack, begin: Begin = lambda _trial, _conf: None) -> list[Trial]:
    """The history in Kafka, a trial a partition. `begin` gets each before it runs. Exits where the pack can't be tried."""
    from tidegauge.bootstrap import STANDING, standing_conf

    world = found_world(settings, USES_ALL)
    settings, conf = world.settings, standing_conf(world.settings, left_out=world.left_out)

    async def read() -> list[Trial]:
        places = range(settings.partitions)
        return [await _begun(conf, new, begin).topics(settings, place, STANDING) for place in places]

    with notes.status("reading the topics"):
        return asyncio.run(read())


def trial_of_files(
    settings: Settings, new: Pack, path: Path, form: str, silence_days: int, refused: Refused,
    begin: Begin = lambda _trial, _conf: None,
) -> Trial:  # fmt: skip
    """The history in files, as `trials_of_topics`."""
    from schemas.codec.records import encode
    from tidegauge.bootstrap import standing_conf

    conf = standing_conf(settings, None, BERKA_CURRENCY if form == "berka" else None, keyless=True).alone()
    with notes.status(f"reading {path}"):
        found = arrivals(settings, path, form, refused, None, silence_days)
    trial = _begun(conf, new, begin)
    with notes.status("replaying"):
        return trial.files(found, lambda topic, record: encode(topic, record, conf.registry), refused.letter)


def _begun(conf: StandingConf, new: Pack, begin: Begin) -> Trial:
    from agents.offline.replay import Trial

    trial = Trial(conf, new)
    if trial.refused:
        for problem in trial.refused:
            error(problem)
        raise typer.Exit(FAILED_CHECK)
    begin(trial, conf)
    return trial
