"""`python -m tests.desk.description`: writes the description of the desk's interface, docs/desk.openapi.json."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, Final, cast

from services.desk.api.routes import desk_api

FILE: Final = Path(__file__).resolve().parents[2] / "docs" / "desk.openapi.json"


def described() -> dict[str, Any]:
    """The interface, without anything behind it."""
    nothing = cast("Any", None)
    return desk_api(nothing, nothing, nothing, nothing).openapi()


def text() -> str:
    """As the file has it."""
    return json.dumps(described(), indent=1, ensure_ascii=False) + "\n"


if __name__ == "__main__":
    FILE.write_text(text())
