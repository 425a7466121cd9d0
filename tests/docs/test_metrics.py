"""docs/metrics.md lists what every process serves: the worker, the view writer, the look-up."""

from __future__ import annotations

import re
from datetime import date
from pathlib import Path
from typing import Any, Final

import pytest
from prometheus_client import CollectorRegistry

from agents.engine.metrics import WorkerMetrics
from services.queue.lookup import Lookup
from services.queue.priority import create_app
from services.views.keys import Keys
from services.views.metrics import ViewMetrics
from services.views.sweep.sweeper import SweepCounts
from services.views.writer import ViewWriter
from tests.services.fakes import MemoryRejects, MemorySource, MemoryViewStore
from tests.services.test_priority import MemoryPriorityView
from tests.services.test_views import decode

PAGE: Final = (Path(__file__).resolve().parents[2] / "docs" / "metrics.md").read_text()
ROW: Final = re.compile(r"^\| `(tidegauge_\w+)` \| (\w+) \| ([\w, ]*)\| (.+) \|$", re.MULTILINE)


def of_views() -> CollectorRegistry:
    """What `tidegauge views` serves."""
    keys, registry = Keys.of(""), CollectorRegistry()
    writer = ViewWriter(MemorySource({}), MemoryViewStore(keys), keys, decode, MemoryRejects(), "me")
    registry.register(ViewMetrics(writer, SweepCounts()))
    return registry


def of_look_up() -> CollectorRegistry:
    """What `tidegauge queue serve` serves."""
    app = create_app(Lookup(MemoryPriorityView(), "ordinary", lambda: date(2026, 3, 2)))
    return app.state.registry  # type: ignore[no-any-return]


SERVED: Final[dict[str, Any]] = {
    "Worker": lambda: WorkerMetrics().registry, "View writer": of_views, "Look-up": of_look_up,
}  # fmt: skip


@pytest.mark.parametrize("process", SERVED)
def test_metrics_are_as_served(process: str) -> None:
    """Name, type and text of each; nothing is listed that is not served, and no process has other sections."""
    section = PAGE.split(f"\n## {process}\n")[1].split("\n## ")[0]
    listed = {name: (kind, text) for name, kind, _, text in ROW.findall(section)}
    served = {
        family.name + ("_total" if family.type == "counter" else ""): (family.type, family.documentation)
        for family in SERVED[process]().collect()
    }
    assert listed == served


def test_every_process_has_its_section() -> None:
    """And no metric stands elsewhere."""
    assert re.findall(r"^## (.+)$", PAGE, re.MULTILINE) == list(SERVED)
    assert len(ROW.findall(PAGE)) == len(set(ROW.findall(PAGE)))
