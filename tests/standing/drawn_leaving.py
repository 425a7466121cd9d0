"""What may hold a tier, drawn for a pack of the tests (tests.standing.test_lifecycle.PACK)."""

from __future__ import annotations

import re

from hypothesis import strategies as st

VETO = '    veto: {when: {metric: loan_balance, minimum: "500.00"}, at: once}\n    vip_from'


def leaving(draw: st.DrawFn, text: str, close: str, down: str) -> str:
    """The same with something that holds a tier, or takes it at once."""
    asked = [
        "steps: 1",
        "keep_months: 1",
        "keep_months: 2",
        "exempt_months: 3",
        "fall_notice_days: 20",
        "fall_notice_days: 3",
    ]
    asked = [] if down in ("continuous", "application") else asked
    asked += ["effective_business_days: 3", "effective_business_days: {upgrades: 2}"] if close != "continuous" else []
    some = draw(st.lists(st.sampled_from(asked), max_size=2, unique_by=lambda one: one.split(":")[0])) if asked else []
    text = re.sub(r"grace_months: (\d)", ", ".join((r"grace_months: \1", *some)), text, count=1)
    if draw(st.booleans()):
        text = text.replace("    vip_from", VETO, 1)
    return text.replace("card: gold, when", "card: gold, permanent: true, when") if draw(st.booleans()) else text
