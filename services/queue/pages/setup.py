"""Puts the pages together from the settings: people by their logins where there are any, screens by their keys."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final
from urllib.parse import urlsplit

from fastapi import FastAPI

from services.access.login import install_login
from services.access.setup import key_book, people_login, request_callers
from services.pages.site import PageSite
from services.pages.visitors import Visitors, install_screens
from services.queue.pages.halls import HallWatch
from services.queue.pages.routes import QueuePages
from services.queue.server import RateLimit
from services.queue.tickets.setup import rights_of, ticketing_of

if TYPE_CHECKING:
    from deploy.settings import Settings
    from services.queue.lookup import Lookup
    from services.queue.tickets.rights import TicketRights
    from services.queue.tickets.ticketing import Ticketing

OWN_PAGES: Final = "services.queue.pages"


def pages_app(settings: Settings, lookup: Lookup) -> FastAPI:
    """The application. psycopg.Error where the keys can't be read, KeyLostError for a login that lacks a setting."""
    keys = key_book(settings)
    callers = request_callers(settings, keys)
    login = people_login(settings, callers) if callers.sessions is not None else None
    visitors = Visitors(keys.actor, callers if login is not None else None)
    issuer = f"{(parts := urlsplit(settings.token_issuer)).scheme}://{parts.netloc}" if login is not None else ""
    site = PageSite([OWN_PAGES], settings.notice_locale, [issuer] if issuer else [])
    app = queue_pages(site, visitors, ticketing_of(settings, lookup), rights_of(settings, callers))
    if login is not None:
        install_login(app, login)
    app.add_middleware(RateLimit, per_s=settings.lookup_rate, refused=lambda: None)
    return app


def queue_pages(site: PageSite, visitors: Visitors, ticketing: Ticketing, may: TicketRights) -> FastAPI:
    """The application around a branch's tickets."""
    app = FastAPI(openapi_url=None, docs_url=None, redoc_url=None)
    site.install(app)
    install_screens(app, site, visitors)
    QueuePages(site, visitors, ticketing, may, HallWatch(ticketing.store)).install(app)
    return app
