"""Makes the pictures docs/demo.svg and docs/demo-checks.svg: `python -m tests.docs.screenshot` runs the demo and draws it.

What the pictures show is what a run of the demo has printed; nothing is made up. Not a test: it takes minutes.
"""

from __future__ import annotations

import copy
import io
import re
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Final

from rich._export_format import CONSOLE_SVG_FORMAT
from rich.console import Console
from rich.terminal_theme import TerminalTheme

from deploy.settings import Settings
from tidegauge.demo.run import Demo, Options
from tidegauge.demo.screen import DemoState, Screen

if TYPE_CHECKING:
    from tidegauge.demo.texts import Words

DOCS: Final = Path(__file__).resolve().parents[2] / "docs"
WIDTH: Final = 108
# The usual template, less the font that it would fetch from elsewhere.
FORMAT: Final = re.sub(r"@font-face \{\{.*?\}\}\n", "", CONSOLE_SVG_FORMAT, flags=re.DOTALL)
LIGHT: Final = TerminalTheme(
    (252, 252, 250), (36, 41, 47),
    [(36, 41, 47), (190, 30, 40), (20, 120, 60), (150, 105, 0), (30, 90, 170), (130, 60, 150), (0, 115, 125), (90, 98, 106)],
    [(110, 118, 126), (190, 30, 40), (20, 120, 60), (150, 105, 0), (30, 90, 170), (130, 60, 150), (0, 115, 125), (36, 41, 47)],
)  # fmt: skip


class Recorder(Screen):
    """A screen that keeps what was said, and how the live view looked last."""

    def __init__(self, words: Words, folder: str) -> None:
        super().__init__(Console(file=io.StringIO(), width=WIDTH), words)
        self.folder, self.lines, self.last = folder, list[str](), DemoState()
        self.before = 0  # lines said when the view was last shown

    def say(self, text: str) -> None:
        """Keep a line, with the folder as a newcomer would have it."""
        line = text.replace(self.folder, ".data")
        self.lines.append(line)
        sys.stdout.write(line + "\n")
        sys.stdout.flush()

    def __enter__(self) -> Recorder:
        return self

    def show(self, state: DemoState) -> None:
        """Keep the state."""
        self.last, self.before = copy.deepcopy(state), len(self.lines)

    def picture(self, lines: list[str], path: Path, *, view: bool) -> None:
        """Draw lines, and the live view below them."""
        paper = Console(record=True, width=WIDTH, file=io.StringIO(), force_terminal=True, color_system="truecolor")
        for line in lines:
            paper.print(line, highlight=False)
        if view:
            paper.print(self._panel(self.last))
        svg = paper.export_svg(title="tidegauge demo", theme=LIGHT, code_format=FORMAT, unique_id=path.stem)
        path.write_text("\n".join(line.rstrip() for line in svg.splitlines()) + "\n")


def main() -> int:
    """Run the demo once and draw both pictures. 0 when its checks were good."""
    settings = Settings()
    demo = Demo(settings, Options(customers=300, month_s=3.0), Console(file=io.StringIO()))
    screen = demo.screen = Recorder(demo.words, str(settings.data_dir.absolute()))
    good = demo.run()
    if good:
        screen.picture(screen.lines[: screen.before], DOCS / "demo.svg", view=True)
        screen.picture(screen.lines[screen.before :], DOCS / "demo-checks.svg", view=False)
    return 0 if good else 1


if __name__ == "__main__":
    sys.exit(main())
