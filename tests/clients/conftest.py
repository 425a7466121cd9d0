"""One live system for this folder, that three clients have written to."""

from __future__ import annotations

from tests.integration.conftest import live_stack, make_live

__all__ = ["live_stack", "make_live"]
