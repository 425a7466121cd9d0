"""The settings of notices: in which words they go out, and when."""

from pathlib import Path
from typing import Literal

from pydantic import Field
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
