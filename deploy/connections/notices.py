"""The settings of notices: in which words they go out."""

from pathlib import Path
from typing import Literal

from pydantic import Field
from pydantic_settings import BaseSettings

from deploy.kinds import OfPlace, OfTaste


class NoticeSettings(BaseSettings):
    """A part of `Settings`."""

    notice_locale: OfTaste[Literal["zh-CN", "en"]] = Field("zh-CN", description="Language of notices.")
    notice_texts: OfPlace[Path | None] = Field(None, description="File with the bank's own texts of notices.")
