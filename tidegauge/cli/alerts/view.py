"""The view in Redis that alerts are read from."""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING

from deploy.errors import KeyLostError
from deploy.settings import Settings
from services.assembly import redis_client
from services.views.keys import Keys
from services.views.queries import is_built, reference_key_of
from streams.reference import key_fingerprint
from tidegauge.cli.output import FAILED_CHECK, CommandError
from tidegauge.cli.servers import need_redis

if TYPE_CHECKING:
    from redis import Redis


def alerts_view(settings: Settings) -> tuple[Redis, Keys]:
    """The view of this log. CommandError where there is none, or it is another log's."""
    need_redis(settings)
    client, keys = redis_client(settings), Keys.of(settings.topic_prefix)
    if not is_built(client, keys):
        hint = "`tidegauge rebuild` makes it, `tidegauge views` keeps it in step"
        raise CommandError(f"{settings.redis_shown} holds no view", hint, FAILED_CHECK)
    theirs, own = reference_key_of(client, keys), None
    with suppress(KeyLostError):  # whoever reads alerts needs no key
        own = key_fingerprint(settings.secret())
    if own is not None and theirs not in (None, own):
        hint = "correct TIDEGAUGE_REDIS_URL, or TIDEGAUGE_REFERENCE_KEY (in files: reference.key)"
        raise CommandError(
            f"the view at {settings.redis_shown} is another log's: its reference key is {theirs}, found {own}", hint
        )
    return client, keys
