"""Calls `tidegauge` as a shell does, but in this process: words and environment in, exit code and both streams out."""

import io
import os
import sys
from collections.abc import Mapping
from typing import NamedTuple
from unittest import mock

from tidegauge.cli.main import main


class Called(NamedTuple):
    """What came of a call."""

    code: int
    out: str
    err: str


def call(*words: str, env: Mapping[str, str] | None = None, encoding: str = "utf-8") -> Called:
    """Run a command. Of the settings only those in `env` are set; whatever escapes from `main` escapes from here."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("TIDEGAUGE_")}
    out, err = (io.TextIOWrapper(io.BytesIO(), encoding=encoding, newline="\n") for _ in range(2))
    code = 0
    with (
        mock.patch.dict(os.environ, kept | dict(env or {}), clear=True),
        mock.patch.multiple(sys, argv=["tidegauge", *words], stdout=out, stderr=err),
    ):
        try:
            main()
        except SystemExit as end:
            code = end.code if isinstance(end.code, int) else 1
    texts = []
    for stream in (out, err):
        stream.flush()
        texts.append(stream.buffer.getvalue().decode(encoding))
    return Called(code, *texts)
