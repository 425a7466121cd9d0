"""`tidegauge notices`: the worker that turns alerts into notices."""

import asyncio
from contextlib import AsyncExitStack
from typing import Any

import typer

from agents.notifier.app import build_notifier, run_notifier
from deploy.settings import Settings
from schemas.registry import registry_for
from services.assembly import notifier, webhook_trust
from services.notices.notifier import Notifier
from tidegauge.cli.operation.worker import one_last_line
from tidegauge.cli.output import CommandError, notes
from tidegauge.cli.servers import need_redis
from tidegauge.world.check import check_world
from tidegauge.world.found import USES_GROUP
from tidegauge.world.watch import Watch, end_process

app = typer.Typer()


class Lazily:
    """The notifier, made in the event loop of the worker that uses it when the first alert comes."""

    def __init__(self, settings: Settings) -> None:
        self.settings, self.stack = settings, AsyncExitStack()
        self.ready: Notifier | None = None
        self.lock = asyncio.Lock()

    async def __call__(self, alert: dict[str, Any]) -> list[dict[str, Any]]:
        """Deliver an alert's notices."""
        async with self.lock:
            if self.ready is None:
                self.ready = await self.stack.enter_async_context(notifier(self.settings))
        return await self.ready.notify(alert)


@app.command("notices")
def notices() -> None:
    """Tell relationship managers of alerts, until told to stop; more workers share the partitions."""
    settings = Settings()
    try:
        webhook_trust(settings)
    except OSError as problem:
        raise CommandError(f"TIDEGAUGE_WEBHOOK_CA: {problem}", "see docs/settings.md") from problem
    world = check_world(settings, USES_GROUP)
    settings = world.settings
    need_redis(settings)
    Watch(world, USES_GROUP).start(end_process)
    with one_last_line():
        run_notifier(build_notifier(settings, Lazily(settings), registry_for(settings)))
    notes.print("stopped: what was delivered is acknowledged; it is safe to go on")
