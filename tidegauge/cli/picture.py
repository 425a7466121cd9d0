"""Pictures of what a command prints: an SVG file that fetches nothing."""

import io
import re
from pathlib import Path

from rich._export_format import CONSOLE_SVG_FORMAT
from rich.console import RenderableType

from tidegauge.cli.output import PlainConsole

PICTURE_CHARS = 100


def save_picture(shown: RenderableType, title: str, path: Path) -> None:
    """Write what is shown as SVG. Raises OSError."""
    with io.StringIO() as nowhere:
        canvas = PlainConsole(record=True, width=PICTURE_CHARS, file=nowhere)
        canvas.print(shown)
    plain = re.sub(r"@font-face \{\{.*?\}\}\n", "", CONSOLE_SVG_FORMAT, flags=re.DOTALL)  # fetches no font
    canvas.save_svg(str(path), title=title, code_format=plain)
