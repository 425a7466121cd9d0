"""The pages of the monthly report on VIPs: to read, to print, and as a file."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import date
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from fastapi import FastAPI, Request, Response
from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException

from services.access.decision import Action
from services.desk.branch import share_bp
from services.desk.measures import (
    CHURN_CUT_PERCENT,
    GOLD_SHARE_PERCENT,
    GROWTH_PERCENT,
    NEW_VIPS,
    VipLoss,
    churn_met,
    gold_share_met,
    growth_met,
    minima_of,
    new_vips_met,
    portfolio_met,
)
from services.desk.pages.branch import month_text
from services.desk.pages.row_words import report_csv, share_words
from services.desk.queries import EXPORT_ROWS_MAX
from services.desk.report import MANAGERS_MAX
from services.desk.rights import BRANCH_KINDS, EXPORT_KINDS, NotSeenError
from services.staff.roster import COLLEAGUES_MAX

if TYPE_CHECKING:
    from services.access.decision import Actor
    from services.desk.pages.routes import DeskPages
    from services.desk.report import ReportQueries, VipReport
    from services.desk.schemes import Schemes
    from services.staff.roster import Colleague

MONTH_FORM: Final = re.compile(r"[0-9]{4}-(0[1-9]|1[0-2])")
_NONE: Final = "–"


class Target(NamedTuple):
    """A figure beside what the bank rules ask for: `name` of words, figure and bound as text; met: None where not known."""

    name: str
    figure: str
    asked: str
    met: bool | None


class StaffPortfolio(NamedTuple):
    """Somebody with his customers. role: empty for one who is not on the list; least: None where his role asks nothing."""

    staff_id: str
    role: str
    unit: str
    customers: int
    least: int | None
    met: bool | None


@dataclass(slots=True)
class ReportPages:
    """Beside the desk's other pages, in their frame. staff: who works in units, and below them."""

    desk: DeskPages
    queries: ReportQueries
    schemes: Schemes
    staff: Callable[[Sequence[str]], list[Colleague]]

    def install(self, app: FastAPI) -> None:
        """Give them to an application that has the desk's pages."""
        app.add_api_route("/branch/report", self.report, methods=["GET"], include_in_schema=False)
        app.add_api_route("/branch/report/export", self.export, methods=["POST"], include_in_schema=False)

    async def report(self, request: Request) -> Response:
        """A month's report of the visitor's units."""
        visitor = await self.desk.visitors.visitor(request)
        units = await self._units(visitor.actor)
        months, month = await self._month(request, units)
        shown: dict[str, Any] = {"report": None}
        if month is not None:
            found = await run_in_threadpool(self.queries.report, units, month)
            staff = await run_in_threadpool(self.staff, units)
            keepers = keepers_of(staff, found.managers, self.schemes)
            tiers = sorted(
                found.tiers, key=lambda row: (-self.schemes.height(row["pack_id"], row["tier"]), row["tier"])
            )
            shown = {
                "report": found, "tiers": tiers, "targets": targets_of(found), "keepers": keepers,
                "month": month_text(month), "months": [month_text(one) for one in months],
                "exports": self.desk.rights.may_export(visitor.actor), "vips": self.schemes.vips,
            }  # fmt: skip
        return await self.desk.page(request, "report", visitor, **shown)

    async def export(self, request: Request) -> Response:
        """The report's VIPs as a file: a command that is on record."""
        visitor = await self.desk.visitors.visitor(request)
        seen = await self._units(visitor.actor)
        units = await run_in_threadpool(
            self.desk.rights.lists, visitor.actor, "export of the VIP report", EXPORT_KINDS, Action.EXPORT
        )
        _, month = await self._month(request, both := [unit for unit in units if unit in seen])
        if month is None:
            raise NotSeenError
        found = await run_in_threadpool(self.queries.report, both, month, EXPORT_ROWS_MAX)
        if found.more:
            raise HTTPException(413)
        name = f"vip-report-{month_text(month)}.csv"
        headers = {"Cache-Control": "no-store", "Content-Disposition": f'attachment; filename="{name}"'}
        return Response(report_csv(found.rows), 200, headers, "text/csv; charset=utf-8")

    async def _units(self, actor: Actor) -> list[str]:
        return await run_in_threadpool(self.desk.rights.lists, actor, "VIP report", BRANCH_KINDS)

    async def _month(self, request: Request, units: list[str]) -> tuple[list[date], date | None]:
        """The months there are, and the one that is asked for: the newest if none is. HTTPException for one that is none."""
        months = await run_in_threadpool(self.queries.months, units)
        text = request.query_params.get("month", "")
        if not text:
            return months, months[0] if months else None
        wanted = date.fromisoformat(f"{text}-01") if MONTH_FORM.fullmatch(text) and text[:4] != "0000" else None
        if wanted not in months:
            raise HTTPException(422)
        return months, wanted


def targets_of(report: VipReport) -> list[Target]:
    """What the bank rules ask of a branch, beside the report's figures."""
    golds, before = report.golds, report.golds_before
    known = golds is not None and before is not None
    return [
        Target(
            "growth", f"{before} → {golds}" if known else _NONE, f"≥ {GROWTH_PERCENT} %",
            growth_met(before, golds) if golds is not None and before is not None else None,
        ),
        Target(
            "gold_share", _share(golds, report.customers), f"≥ {GOLD_SHARE_PERCENT} %",
            None if golds is None else gold_share_met(golds, report.customers),
        ),
        Target("new", str(report.new), f"≥ {NEW_VIPS}", new_vips_met(report.new)),
        Target(
            "churn", f"{_rate(report.churn_before)} → {_rate(report.churn)}", f"≤ -{CHURN_CUT_PERCENT} %",
            churn_met(report.churn_before, report.churn),
        ),
    ]  # fmt: skip


def keepers_of(
    staff: Sequence[Colleague], managers: Sequence[dict[str, Any]], schemes: Schemes
) -> list[StaffPortfolio] | None:
    """Everybody of the units who has customers or whose role asks for some, by unit and id; then who is on no list.

    None where there are more people than are looked at: who is left out would have no customers, or be on no list.
    """
    if len(staff) > COLLEAGUES_MAX or len(managers) > MANAGERS_MAX:
        return None
    minima, counts = minima_of(schemes.portfolio), {row["rm_id"]: row["customers"] for row in managers}
    found = []
    for one in sorted(staff, key=lambda person: (person.unit, person.staff_id)):
        customers, least = counts.pop(one.staff_id, 0), minima.get(one.role)
        if customers or least is not None:
            met = portfolio_met(customers, least)
            found.append(StaffPortfolio(one.staff_id, one.role, "/".join(one.unit), customers, least, met))
    return found + [
        StaffPortfolio(staff_id, "", "", customers, None, None) for staff_id, customers in sorted(counts.items())
    ]


def _share(part: int | None, whole: int) -> str:
    return _NONE if part is None else share_words(share_bp(part, whole))


def _rate(lost: VipLoss) -> str:
    return share_words(share_bp(lost.lost, lost.at_start))
