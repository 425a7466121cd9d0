"""`python -m tests.queue.description`: writes the description of the ticket interface, docs/tickets.openapi.json."""

from __future__ import annotations

import json
from datetime import date
from pathlib import Path
from typing import Any, Final, cast

from fastapi import FastAPI

from policies import load_pack
from policies.compiled.queue import compile_queue
from services.queue.lookup import Lookup
from services.queue.priority import create_app
from services.queue.tickets.interface import add_tickets
from services.queue.tickets.keys import TicketKeys
from services.queue.tickets.rights import TicketRights
from services.queue.tickets.store import TicketStore
from services.queue.tickets.ticketing import Ticketing

FILE: Final = Path(__file__).resolve().parents[2] / "docs" / "tickets.openapi.json"


def described() -> FastAPI:
    """Look-up and tickets, without anything behind them."""
    nothing = cast("Any", None)
    lookup = Lookup(nothing, "ordinary", lambda: date(2026, 3, 2))
    app = create_app(lookup)
    store = TicketStore(
        nothing, TicketKeys.of(""), compile_queue(load_pack("rolling-quarter-aum")), lambda: date(2026, 3, 2)
    )
    add_tickets(app, Ticketing(store, lookup, "ordinary"), TicketRights(nothing, nothing), 0)
    return app


def text() -> str:
    """The description of look-up and tickets, as it is served."""
    return json.dumps(described().openapi(), indent=1, ensure_ascii=False) + "\n"


if __name__ == "__main__":
    FILE.write_text(text())
