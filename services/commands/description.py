"""The description of the interface (OpenAPI), which docs/commands.json holds: `python -m services.commands.description`."""

from __future__ import annotations

import json
from typing import Any


def description() -> dict[str, Any]:
    """OpenAPI of the service, as a value."""
    from services.commands.app import create_commands_app

    nobody: Any = None  # nothing is asked of it
    return dict(create_commands_app(nobody, nobody).openapi())


def printed() -> str:
    """As the file has it."""
    return json.dumps(description(), ensure_ascii=False, indent=1) + "\n"


if __name__ == "__main__":
    print(printed(), end="")  # noqa: T201  a command
