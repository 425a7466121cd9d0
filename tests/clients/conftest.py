"""One live system for this folder, that three clients have written to."""

from __future__ import annotations

from tests.integration.conftest import make_live

__all__ = ["make_live"]
