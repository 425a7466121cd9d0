"""What a process has of a log's identity: what the brokers say, and those of its settings that it uses."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Final

import yaml

from deploy.topics import WORLD
from streams.reference import key_fingerprint
from tidegauge.world.identity import CUT_OFF, Identity, LimitMark, PackMark, TopicMark

if TYPE_CHECKING:
    from deploy.settings import Settings
    from deploy.topics import Surveyed
    from policies.model.pack import Pack

USES_PLACE: Final[frozenset[str]] = frozenset()  # where the log is; every process uses that
USES_ZONE: Final = frozenset({"zone"})  # files have local times
USES_PACKS: Final = frozenset({"base_currency", "packs"})  # a pack comes after those that workers begin with
USES_GROUP: Final = frozenset({"group"})  # the workers' state goes by it
USES_NOTICES: Final = frozenset({"group", "alert_key", "reference_key"})
"""Its place, the ids of what it sends, and the references by which VIPs arrive; that key may be missing."""
USES_ALL: Final = frozenset({
    "base_currency", "zone", "cut_off", "limits", "group", "packs", "reference_key", "alert_key",
})  # fmt: skip
"""What decides: workers use it, and whoever computes from their state or from the log what they would."""

USES_SHADOW: Final = USES_ALL - USES_GROUP
"""Workers beside those that own the outputs."""

DIGEST_CHARS: Final = 16


def found_identity(
    settings: Settings, surveyed: Surveyed, uses: frozenset[str], own: Identity | None = None
) -> Identity:
    """What of the identity this process has; parts that it doesn't use are None. PackError, KeyLostError as their readers.

    own: what a running process has found before. What its settings say is taken from there: reading packs keeps a worker's
    other threads waiting for half a second.
    """
    parts: dict[str, Callable[[], Any]] = {
        "base_currency": lambda: settings.base_currency,
        "zone": lambda: settings.zone,
        "cut_off": lambda: CUT_OFF,
        "limits": _limits,
        "group": lambda: settings.group,
        "packs": lambda: _packs(settings),
        "reference_key": lambda: key_fingerprint(settings.secret()),
        "alert_key": lambda: key_fingerprint(settings.alert_secret()),
    }
    topics = tuple(
        TopicMark(found.topic.name, found.topic_id, found.partitions)
        for found in surveyed.topics
        if found.topic.name != WORLD and found.partitions
    )
    return Identity(
        cluster_id=surveyed.cluster_id, topic_prefix=settings.topic_prefix, topics=topics,
        **{name: part() if own is None else getattr(own, name) for name, part in parts.items() if name in uses},
    )  # fmt: skip


def _limits() -> tuple[LimitMark, ...]:
    from streams.accounts.entries import HORIZON_DAYS
    from streams.accounts.store import RING
    from streams.closing import GAP_DAYS_MAX

    return (
        LimitMark("arrival_horizon_days", HORIZON_DAYS),
        LimitMark("closed_months", RING - 1),
        LimitMark("close_gap_days", GAP_DAYS_MAX),
    )


def _packs(settings: Settings) -> tuple[PackMark, ...]:
    from tidegauge.bootstrap import schemes

    tiers, layers = schemes(settings.pack)
    return tuple(PackMark(pack.id, pack.version, digest(pack)) for pack in (*tiers, *([layers] if layers else [])))


def digest(pack: Pack) -> str:
    """16 hexadecimal digits of what a pack says: comments and layout left out."""
    body = yaml.safe_load(pack.body)
    said = json.dumps(body, sort_keys=True, default=str, ensure_ascii=False)
    return hashlib.sha256(said.encode()).hexdigest()[:DIGEST_CHARS]
