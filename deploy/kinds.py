"""What a wrong value of a setting does: each setting's annotation says its kind."""

from enum import Enum
from typing import Annotated, TypeVar


class SettingKind(Enum):
    """What a wrong value of a setting does."""

    IDENTITY = "identity"  # it decides for everybody and stands in the log's identity: whoever uses it is refused
    PLACE = "place"  # nothing answers there, or what answers is not this log: refused
    TASTE = "taste"  # only what its row in docs/settings.md names


_Value = TypeVar("_Value")
OfIdentity = Annotated[_Value, SettingKind.IDENTITY]
OfPlace = Annotated[_Value, SettingKind.PLACE]
OfTaste = Annotated[_Value, SettingKind.TASTE]
