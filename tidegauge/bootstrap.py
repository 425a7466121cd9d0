"""The composition root: what a process needs, made from the settings once."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from agents.standing.job import StandingJob
from agents.standing.model import StandingConf
from deploy.settings import Settings
from policies import PackError, load_pack
from policies.language.reader import Problem
from policies.model.pack import KINDS, Pack
from schemas.registry import registry_for
from streams.calendar import day_of
from streams.closing import NOTHING_LEFT_OUT, Run

_NO_KEY = b"no key: references and ids are told to nobody"
STANDING = "standing"  # name of the standing worker's table: changelog and transactional ids carry it


def standing_conf(
    settings: Settings,
    pack: str | None = None,
    base_currency: str | None = None,
    *,
    keyless: bool = False,
    epoch: int = 0,
    shadow: bool = False,
    left_out: frozenset[Run] = NOTHING_LEFT_OUT,
) -> StandingConf:
    """The standing job's configuration. PackError if the pack cannot be read, or asks for more than the job can follow.

    keyless: for what computes and tells nobody a reference or the id of an alert; else KeyLostError without keys. epoch: of the
    log's identity, for what publishes or shows versions of records. shadow, left_out: see StandingConf.
    """
    tiers, layers = schemes(pack or settings.pack)
    conf = StandingConf(
        base_currency or settings.base_currency,
        settings.zone,
        tiers[0],
        _NO_KEY if keyless else settings.secret(),
        registry_for(settings),
        layers,
        tuple(tiers[1:]),
        _NO_KEY if keyless else settings.alert_secret(),
        settings.partitions,
        settings.previous_secret(),
        settings.reference_key_retire,
        epoch,
        shadow,
        left_out,
        stamped_from=None if settings.stamped_from is None else day_of(settings.stamped_from),
    )
    conf.compiled()
    return conf


def schemes(packs: str) -> tuple[list[Pack], Pack | None]:
    """The tier schemes (one, or one a class of customers) and the layer scheme of a list of packs. PackError.

    A list is such as `rolling-quarter-aum,layered-care`.
    """
    found = [load_pack(name.strip()) for name in packs.split(",")]
    tiers, layers = ([pack for pack in found if pack.kind == kind] for kind in KINDS)
    if not tiers or len(layers) > 1:
        message = f"{len(tiers)} tier schemes, {len(layers)} layer schemes: it takes one, and at most one beside it"
        raise PackError([Problem(packs, 1, "", message)])
    return tiers, layers[0] if layers else None


def standing_jobs(
    settings: Settings, *, epoch: int = 0, shadow: bool = False, left_out: frozenset[Run] = NOTHING_LEFT_OUT
) -> Callable[[], StandingJob]:
    """A factory of a worker's standing jobs, with one configuration; epoch, shadow and left_out: as in `standing_conf`."""
    conf = replace(standing_conf(settings, epoch=epoch, shadow=shadow, left_out=left_out), claims=True)
    return lambda: StandingJob(conf)
