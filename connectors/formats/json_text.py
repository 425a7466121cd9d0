"""JSON of files: numbers as the text they are, no name twice, and nothing nested without a bound."""

import json
from typing import Any, Final, NoReturn

NESTING_MAX: Final = 8
"""Objects and lists in one another. A record has two at most: its own, and that of `details`."""


def read_json(text: str) -> Any:
    """The value of a JSON text; ValueError says what is wrong with it."""
    try:
        value = _decode(text)
    except RecursionError:
        raise _deep() from None
    level, depth = [value], 0
    while level := [item for one in level if isinstance(one, dict | list) for item in _items(one)]:
        depth += 1
        if depth >= NESTING_MAX and any(isinstance(item, dict | list) for item in level):
            raise _deep()
    return value


def _items(value: dict[str, Any] | list[Any]) -> list[Any]:
    return list(value.values()) if isinstance(value, dict) else value


def _deep() -> ValueError:
    return ValueError(f"nested more than {NESTING_MAX} deep")


def _no_number(name: str) -> NoReturn:
    raise ValueError(f"{name} is no number")


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """An object with the same name twice is refused: one of the values would be lost silently."""
    found = dict(pairs)
    if len(found) != len(pairs):
        raise ValueError("a name stands twice in the object")
    return found


# Numbers keep their literal text: 0.1 must not become a binary float on its way to minor units.
_decode = json.JSONDecoder(parse_float=str, parse_int=str, parse_constant=_no_number, object_pairs_hook=_once).decode
