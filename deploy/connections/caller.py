"""Which kind of process this one is, and which call of it.

The embedded stack, secured, has a user and a password for each kind.
"""

from typing import Final
from uuid import uuid4

OPERATOR: Final = "operator"

_acting = OPERATOR
_call = uuid4().hex


def act_as(principal: str) -> None:
    """Say it, before a server is asked; `principal`: of deploy.security.principals. A call of a command begins with it."""
    global _acting, _call
    _acting, _call = principal, uuid4().hex


def acting() -> str:
    """As which principal this process asks."""
    return _acting


def call_id() -> str:
    """The request id of this call of a command: its decisions are on record with it."""
    return _call
