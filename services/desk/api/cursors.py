"""Where a list goes on: opaque to who asks, of one question, and without anything that only a customer's file may hold."""

from __future__ import annotations

import binascii
import hashlib
import json
from base64 import urlsafe_b64decode, urlsafe_b64encode
from typing import TYPE_CHECKING, Final

from services.desk.api.problems import DeskProblemError

if TYPE_CHECKING:
    from pydantic import BaseModel

CURSOR_CHARS_MAX: Final = 2048
_FORMAT: Final = 1
_NOT_ASKED: Final = {"cursor", "limit"}


def cursor_of(path: str, wanted: BaseModel, last: str) -> str:
    """The cursor behind a row. path: of the list; last: the row's reference or id."""
    told = json.dumps([_FORMAT, _question(path, wanted), last], ensure_ascii=False)
    return urlsafe_b64encode(told.encode()).decode().rstrip("=")


def row_behind(path: str, wanted: BaseModel, cursor: str) -> str:
    """The reference or id behind which it goes on; empty at the beginning. DeskProblemError for what `cursor_of` has not made."""
    if not cursor:
        return ""
    try:
        told = json.loads(urlsafe_b64decode(cursor + "=" * (-len(cursor) % 4)))
    except (binascii.Error, ValueError, RecursionError):  # ValueError: no text, or no JSON
        raise DeskProblemError("cursor-unfit") from None
    match told:
        case [int(form), str(question), str(last)] if form == _FORMAT and question == _question(path, wanted):
            if last and last.isprintable():
                return last
    raise DeskProblemError("cursor-unfit")


def _question(path: str, wanted: BaseModel) -> str:
    """A fingerprint of a list and its filters."""
    asked = f"{path} {wanted.model_dump_json(exclude=_NOT_ASKED)}"
    return hashlib.sha256(asked.encode()).hexdigest()[:16]
