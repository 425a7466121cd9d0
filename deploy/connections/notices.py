"""The settings of notices: in which words they go out, and when."""

import datetime as dt
from pathlib import Path
from typing import Literal

from pydantic import Field, field_validator
from pydantic_settings import BaseSettings

from deploy.kinds import OfPlace, OfTaste


class NoticeSettings(BaseSettings):
    """A part of `Settings`."""

    notice_locale: OfTaste[Literal["zh-CN", "en"]] = Field("zh-CN", description="Language of notices.")
    notice_texts: OfPlace[Path | None] = Field(None, description="File with the bank's own texts of notices.")
    notice_hold_minutes: OfTaste[int] = Field(0, ge=0, le=120, description="So long notices are held first; 0: not.")
    notice_hold_below: OfTaste[Literal["low", "medium", "high", "critical"]] = Field(
        "high", description="Notices of a lower severity are held."
    )
    notice_quiet: OfTaste[str] = Field("", description="Hours in which nobody is told, 21:00-08:00; none: at any.")
    notice_cap: OfTaste[int] = Field(0, ge=0, le=1000, description="A recipient's notices a minute; 0: no cap.")

    @field_validator("notice_quiet")
    @classmethod
    def usable_hours(cls, hours: str) -> str:
        """Refuse what is no pair of times of a day."""
        if hours:
            begins, _, ends = hours.partition("-")
            times = [
                one for one in (begins, ends) if len(one) == 5 and one[2] == ":" and one.replace(":", "").isdecimal()
            ]
            try:
                good = len({dt.time.fromisoformat(one) for one in times}) == 2
            except ValueError:
                good = False
            if not good:
                raise ValueError("no hours of a day, such as 21:00-08:00")
        return hours
