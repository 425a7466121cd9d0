"""Accounts that several customers have, as the newest postings and balances tell: for `tidegauge doctor`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from schemas.topics import KEYED
from tidegauge.checks import CheckLine, Grade

if TYPE_CHECKING:
    from collections.abc import Iterator

    from deploy.settings import Settings

NEWEST_MAX: Final = 20_000  # records of each topic that are looked at
_TOPICS: Final = KEYED[:2]  # postings and balances
_CODE: Final = "two_owners"


def shared_accounts(settings: Settings) -> Iterator[CheckLine]:
    """Whether an account comes under more than one customer. Each has what comes under him, so it is told and nothing more."""
    from agents.engine.watch.brokers import topics_found
    from tidegauge.sources.log import check_log

    there = topics_found(settings.kafka, map(settings.topic, _TOPICS))
    found = []
    for topic in _TOPICS:
        if (known := there.get(settings.topic(topic))) is None:
            continue
        mine = settings.model_copy(update={"partitions": known.partitions})
        for one in check_log(mine, topic, "", NEWEST_MAX).check.findings():
            if one.code == _CODE:
                places = ", ".join(f"{partition}/{offset}" for partition, offset in one.spots)
                found.append(f"{topic}: {one.count}, such as at {places}")
    hint = (
        "each customer has what comes under his own number; send a joint account under its primary owner alone. "
        "`tidegauge check-source` looks at more records"
    )
    if found:
        yield CheckLine("accounts", Grade.WARN, f"under more than one customer: {'; '.join(found)}", hint)
    else:
        yield CheckLine("accounts", Grade.GOOD, "each of those that came last is under one customer")
