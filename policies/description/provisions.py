"""Sentences of settings that are told by their places: those of one thing make one sentence, a part for each.

A place without words here is told as it stands, so that nothing is left out.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from decimal import Decimal
from typing import Final

from policies.description.words import ASSET_NAMES, FIELD_NAMES, PART_WORDS, THING_WORDS, VALUE_NAMES

_LISTS_OF_TIERS: Final = ("tiers", "tier", "vip_area_from")
_AMOUNT: Final = re.compile(r"-?\d+\.\d+")


class SettingTeller:
    """Tells settings in a language; `tiers` are the names of the tiers that people read."""

    def __init__(self, zh: bool, tiers: Mapping[str, str]) -> None:
        self._zh, self._tiers = zh, tiers

    def sentences(self, settings: Mapping[str, str]) -> Iterator[str]:
        """Of settings by their places, in the order of the pack."""
        things: dict[str, dict[str, str]] = {}
        for path, value in settings.items():
            thing, field = _parted(path)
            things.setdefault(thing, {})[field] = value
        for thing, fields in things.items():
            if thing:
                yield self._thing(thing, fields)
            else:
                yield from (self._alone(path, value) for path, value in fields.items())

    def _thing(self, thing: str, fields: dict[str, str]) -> str:
        kind, _, own = thing.rpartition(".")
        name = fields.pop("name.zh" if self._zh else "name.en", own)
        fields.pop("name.en" if self._zh else "name.zh", None)
        called = "" if own.isdecimal() and name == own else name if name == own else f"{name} ({own})"
        parts = [self._part(kind, field, value) for field, value in fields.items()]
        lead = THING_WORDS[kind][self._zh].format(name=called).strip()
        stop, colon, comma = ("。", "：", "；") if self._zh else (".", ": ", "; ")
        return lead + (colon + comma.join(parts) if parts else "") + stop

    def _part(self, kind: str, field: str, value: str) -> str:
        head, _, last = field.rpartition(".")
        for place in (f"{kind}.{field}={value}", f"{kind}.{field}", f"{kind}.{head}.*"):
            if place in PART_WORDS:
                said = self._share(value) if head.endswith("basis_points") else self._value(field, value)
                return PART_WORDS[place][self._zh].format(value=said, of=self._tiers.get(last, last))
        return self._plain(field, value)

    def _alone(self, path: str, value: str) -> str:
        for place in (path, f"{path.rpartition('.')[0]}.*"):
            if place in PART_WORDS:
                words = PART_WORDS[place][self._zh]
                return words.format(value=self._value(path, value), of=self._value("", path.rpartition(".")[2]))
        return self._plain(path, value)

    def _plain(self, path: str, value: str) -> str:
        said = FIELD_NAMES[path][self._zh] if path in FIELD_NAMES else path
        return f"{said}{'：' if self._zh else ': '}{self._value(path, value)}"

    def _share(self, value: str) -> str:
        return f"{Decimal(value) / 100:f} %" if value.isdecimal() else value

    def _value(self, field: str, value: str) -> str:
        last = field.rpartition(".")[2]
        names = [self._tiers.get(one, one) if last in _LISTS_OF_TIERS else self._word(one) for one in value.split(", ")]
        return ("、" if self._zh else ", ").join(names)

    def _word(self, value: str) -> str:
        words = VALUE_NAMES.get(value) or ASSET_NAMES.get(value)
        return words[self._zh] if words else f"{Decimal(value):,}" if _AMOUNT.fullmatch(value) else value


def _parted(path: str) -> tuple[str, str]:
    """The thing that a setting is of, `queue.classes.gold`, and its field; no thing for one that stands alone."""
    for kind in THING_WORDS:
        if path.startswith(f"{kind}."):
            own, _, field = path.removeprefix(f"{kind}.").partition(".")
            if field:
                return f"{kind}.{own}", field
    return "", path
