"""Which kind of process this one is. The embedded stack, secured, has a user and a password for each kind."""

from typing import Final

OPERATOR: Final = "operator"

_acting = OPERATOR


def act_as(principal: str) -> None:
    """Say it, before a server is asked; `principal`: of deploy.security.principals."""
    global _acting  # noqa: PLW0603 - a process is one thing
    _acting = principal


def acting() -> str:
    """As which principal this process asks."""
    return _acting
