"""The page of a branch: what its head and those above see of it as a whole."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from fastapi import FastAPI, Request, Response
from starlette.concurrency import run_in_threadpool

from services.desk.branch import LARGEST, share_bp
from services.desk.pages.flow import flow_of
from services.desk.rights import BRANCH_KINDS

if TYPE_CHECKING:
    from datetime import date

    from services.desk.branch import BranchMonth, BranchQueries
    from services.desk.pages.routes import DeskPages
    from services.desk.schemes import Schemes

_MONTH_CHARS: Final = 7


@dataclass(slots=True)
class BranchPages:
    """Beside the desk's other pages, in their frame."""

    desk: DeskPages
    queries: BranchQueries
    schemes: Schemes

    def install(self, app: FastAPI) -> None:
        """Give them to an application that has the desk's pages."""
        app.add_api_route("/branch", self.branch, methods=["GET"], include_in_schema=False)

    async def branch(self, request: Request) -> Response:
        """The visitor's units as a whole."""
        visitor = await self.desk.visitors.visitor(request)
        units = await run_in_threadpool(self.desk.rights.lists, visitor.actor, "branch", BRANCH_KINDS)
        found = await run_in_threadpool(self.queries.branch, units)
        shown = {"branch": None} if found is None else self._shown(found)
        return await self.desk.page(request, "branch", visitor, **shown)

    def _shown(self, found: BranchMonth) -> dict[str, Any]:
        """A month as the template takes it: tiers from the highest down, with shares."""
        tiers = sorted(found.tiers, key=lambda row: (-self.schemes.height(row["pack_id"], row["tier"]), row["tier"]))
        customers = sum(row["customers"] for row in tiers)
        return {
            "branch": found, "tiers": [row | {"share": share_bp(row["customers"], customers)} for row in tiers],
            "customers": customers, "unknown": customers - sum(row["known"] for row in tiers),
            "moves": [row | {"direction": self._direction(row)} for row in found.migrations],
            "flow": flow_of(found.migrations, self.schemes), "direction": self._direction,
            "largest": [row | {"share": share_bp(row["largest_minor"], row["whole_minor"])} for row in found.largest],
            "largest_n": LARGEST, "month": month_text(found.month), "running": month_text(found.running),
        }  # fmt: skip

    def _direction(self, row: dict[str, Any]) -> str:
        return self.schemes.direction(row["pack_id"], row["from_tier"], row["to_tier"])


def month_text(day: date) -> str:
    """A day's month, such as 2026-03."""
    return day.isoformat()[:_MONTH_CHARS]
