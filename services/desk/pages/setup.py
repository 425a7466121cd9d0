"""Puts the desk together from the settings: people by their logins, cases through the door of commands."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import urlsplit

import psycopg
from fastapi import FastAPI, Request, Response
from redis import RedisError

from deploy.connections.database import connected
from policies.language.loader import load_pack
from services.access.login import install_login
from services.access.setup import development_callers, people_login, request_callers
from services.database.migrations import check_migrated
from services.desk.acts import CaseActs
from services.desk.api.routes import ApiDoor, desk_api
from services.desk.branch import BranchQueries
from services.desk.changes import CaseChanges
from services.desk.lists import ListQueries
from services.desk.pages.branch import BranchPages
from services.desk.pages.live import LivePages
from services.desk.pages.report import ReportPages
from services.desk.pages.routes import DeskPages
from services.desk.pages.row_words import tier_names
from services.desk.queries import DeskQueries
from services.desk.report import ReportQueries
from services.desk.rights import DeskRights
from services.desk.schemes import schemes_of
from services.pages.development import DevelopmentLogin, install_development_login
from services.pages.site import PageSite
from services.pages.visitors import Visitors, install_problems
from services.staff.roster import read_colleagues
from streams.money import exponent

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from deploy.settings import Settings
    from policies.model.pack import Pack
    from services.access.callers import RequestCallers
    from services.commands.door import CommandDoor
    from services.readmodel.reader import ReadModel
    from services.staff.roster import Colleague

log = logging.getLogger(__name__)
OWN_PAGES: Final = "services.desk.pages"


def desk_app(settings: Settings, door: CommandDoor, model: ReadModel, local: str) -> FastAPI:
    """The application. psycopg.Error, MigrationError, KeyLostError for a login that lacks a setting.

    local: the pages' origin on this machine, where there is no issuer of tokens.
    """
    with connected(settings.database) as connection:
        check_migrated(connection)
    if not settings.token_issuer:
        return _of_this_machine(settings, door, model, local)
    callers = request_callers(settings, None)
    login = people_login(settings, callers)
    issuer = f"{(parts := urlsplit(settings.token_issuer)).scheme}://{parts.netloc}"
    site = PageSite([OWN_PAGES], settings.notice_locale, [issuer])
    app = _pages(settings, site, callers, door, model)
    install_login(app, login)
    return app


def _of_this_machine(settings: Settings, door: CommandDoor, model: ReadModel, local: str) -> FastAPI:
    """The application where whoever opens it says who he is."""
    callers = development_callers(settings, local)
    assert callers.sessions is not None
    site = PageSite([OWN_PAGES], settings.notice_locale)
    app = _pages(settings, site, callers, door, model)
    login = DevelopmentLogin(callers.sessions, callers, lambda: connected(settings.database))
    install_development_login(app, site, login)
    return app


def _pages(
    settings: Settings, site: PageSite, callers: RequestCallers, door: CommandDoor, model: ReadModel
) -> FastAPI:  # fmt: skip
    """The pages, however people log in."""
    visitors, packs = Visitors(lambda _: None, callers), _packs(settings)
    return desk_pages(
        site, visitors, door, model, _changes(settings), packs, settings.base_currency, _staff(settings)
    )  # fmt: skip


def _packs(settings: Settings) -> list[Pack]:
    """The packs of the settings."""
    return [load_pack(name.strip()) for name in settings.pack.split(",")]


def _changes(settings: Settings) -> CaseChanges:
    """Heard on a connection of its own."""
    return CaseChanges(lambda: connected(settings.database, autocommit=True))


def _staff(settings: Settings) -> Callable[[Sequence[str]], list[Colleague]]:
    def found(units: Sequence[str]) -> list[Colleague]:
        with connected(settings.database) as connection:
            return read_colleagues(connection, units)

    return found


def desk_pages(
    site: PageSite, visitors: Visitors, door: CommandDoor, model: ReadModel, changes: CaseChanges, packs: Sequence[Pack],
    base_currency: str, staff: Callable[[Sequence[str]], list[Colleague]],
) -> FastAPI:  # fmt: skip
    """The application around a door and a read model. packs: those that name tiers. staff: who works in units."""
    rights, queries = DeskRights(door.trail), DeskQueries(model)
    app = FastAPI(openapi_url=None, docs_url=None, redoc_url=None)
    assert visitors.people is not None, "people log in at the desk"
    api = desk_api(visitors.people, rights, queries, ListQueries(model))
    app.add_middleware(ApiDoor, api=api)  # the first, so the innermost: its answers have the headers of pages
    site.install(app)
    install_problems(app, site, visitors)

    async def away(request: Request, problem: Exception) -> Response:
        log.warning("a server is away: %s", type(problem).__name__)
        return site.page(request, "base/problem.html", 503, status_code=503)

    failures: tuple[Any, ...] = (psycopg.Error, RedisError, OSError)
    for kind in failures:
        app.add_exception_handler(kind, away)
    desk = DeskPages(
        site, visitors, rights, queries, CaseActs(door), changes, tier_names(packs), exponent(base_currency),
    )  # fmt: skip
    desk.install(app)
    LivePages(desk, changes).install(app)
    schemes = schemes_of(packs)
    BranchPages(desk, BranchQueries(model), schemes).install(app)
    ReportPages(desk, ReportQueries(model, schemes), schemes, staff).install(app)
    return app
