"""The composition root: what a process needs, made from the settings once."""

from __future__ import annotations

from collections.abc import Callable

from agents.deciding import StandingConf
from agents.standing import StandingJob
from deploy.settings import Settings
from policies import load_pack
from schemas.registry import registry_for

STANDING = "standing"  # name of the standing worker's table: changelog and transactional ids carry it


def standing_conf(settings: Settings, pack: str | None = None, base_currency: str | None = None) -> StandingConf:
    """The standing job's configuration. PackError if the pack cannot be read, or asks for more than the job can follow."""
    conf = StandingConf(
        base_currency or settings.base_currency,
        settings.zone,
        load_pack(pack or settings.pack),
        settings.secret(),
        registry_for(settings.schema_registry_url),
    )
    conf.compiled()
    return conf


def standing_jobs(settings: Settings) -> Callable[[], StandingJob]:
    """A factory of standing jobs that share one configuration."""
    conf = standing_conf(settings)
    return lambda: StandingJob(conf)
