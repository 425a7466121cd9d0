"""docs/data-flow.svg: who speaks to what, by which proof, over which boundary. `python -m tests.docs.data_flow` draws it anew."""

from __future__ import annotations

from pathlib import Path
from typing import Final, NamedTuple
from xml.sax.saxutils import escape

PICTURE: Final = Path(__file__).resolve().parents[2] / "docs" / "data-flow.svg"
WIDTH, HEIGHT = 1120, 656
COLUMNS: Final = (16, 316, 616, 888)
BOX_WIDTHS: Final = (216, 216, 190, 216)


class Part(NamedTuple):
    """A box: its column and row, how many rows it is high, its name, and what stands below that."""

    column: int
    row: int
    rows: int
    kind: str
    name: str
    lines: tuple[str, ...]


class Flow(NamedTuple):
    """From a box to another, with the boundary's number."""

    begin: str
    end: str
    boundary: str


PARTS: Final = (
    Part(0, 0, 1, "people", "people", ("a token of the bank's login",)),
    Part(0, 1, 1, "people", "card system, desk", ("a token or a key",)),
    Part(0, 2, 1, "people", "kiosks, counters", ("a key of role and branch",)),
    Part(0, 3, 1, "people", "browsers, screens", ("a session; a screen's key",)),
    Part(0, 4, 1, "people", "the bank's sources", ("Kafka users of their own",)),
    Part(0, 5, 1, "people", "operators", ("the machine, its secrets",)),
    Part(1, 0, 2, "room", "service of commands", ("decides, puts on record,", "stamps, writes, waits")),
    Part(1, 2, 1, "room", "look-up and tickets", ("decides; each step once",)),
    Part(1, 3, 1, "room", "pages of a branch", ("logins, posts of own pages",)),
    Part(1, 4, 1, "room", "workers", ("four eyes, each id once",)),
    Part(1, 5, 1, "room", "command line", ("decides, puts on record",)),
    Part(2, 0, 1, "store", "PostgreSQL", ("staff, units, keys",)),
    Part(2, 1, 1, "store", "Redis", ("classes, alerts, sessions",)),
    Part(2, 2, 2, "store", "server for tickets", ("each step is synced", "before its answer")),
    Part(2, 4, 2, "store", "Kafka", ("inputs, outputs,", "crm-actions, audit-log")),
    Part(3, 0, 1, "people", "the bank's issuer", ("signs tokens; JWKS",)),
    Part(3, 1, 1, "people", "webhook, mail", ("notices, signed",)),
    Part(3, 4, 1, "people", "consumers", ("warehouse, ticket systems",)),
)
FLOWS: Final = (
    Flow("people", "service of commands", "1"), Flow("card system, desk", "service of commands", "1"),
    Flow("kiosks, counters", "look-up and tickets", "2"), Flow("browsers, screens", "pages of a branch", "7"),
    Flow("the bank's sources", "workers", "3"), Flow("operators", "command line", "4"),
    Flow("service of commands", "PostgreSQL", "5"), Flow("service of commands", "Redis", "5"),
    Flow("look-up and tickets", "Redis", "5"), Flow("look-up and tickets", "server for tickets", "5"),
    Flow("pages of a branch", "server for tickets", "5"), Flow("workers", "Kafka", "3"),
    Flow("command line", "Kafka", "3"), Flow("Kafka", "consumers", "3"), Flow("Redis", "webhook, mail", "6"),
)  # fmt: skip
STYLE: Final = """
.room{fill:#eef4fa;stroke:#2f6ea5;stroke-width:1.5}
.store{fill:#f3f7ee;stroke:#5d8a3a;stroke-width:1.5}
.people{fill:#fff8ec;stroke:#b57a1e;stroke-width:1.5}
.arrow{fill:none;stroke:#5b6770;stroke-width:1.4;marker-end:url(#arrow)}
.wall{stroke:#b3423a;stroke-width:1.5}
.head{font-weight:600;fill:#24292f}
.small{font-size:12px;fill:#57606a}
.mark{font-weight:600;fill:#b3423a}
.middle{text-anchor:middle}
"""


def _box(part: Part) -> tuple[int, int, int, int]:
    """(x, y, width, height)."""
    return COLUMNS[part.column], 52 + 96 * part.row, BOX_WIDTHS[part.column], 96 * part.rows - 24


def drawn() -> str:
    """The picture."""
    named = {part.name: part for part in PARTS}
    font = "-apple-system, 'Segoe UI', 'Noto Sans', 'PingFang SC', sans-serif"
    out = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" font-family="{font}" font-size="14"',
        ' role="img" aria-labelledby="title">',
        '<title id="title">Who speaks to what, and the boundaries between them</title>',
        '<defs><marker id="arrow" viewBox="0 0 10 10" refX="9" refY="5" markerWidth="7" markerHeight="7" orient="auto">',
        '<path d="M0 0L10 5L0 10z" fill="#5b6770"/></marker>',
        f"<style>{STYLE}</style></defs>",
        f'<rect width="{WIDTH}" height="{HEIGHT}" fill="#fdfdfc"/>',
    ]
    for column, words in enumerate(("who comes", "what asks him", "what is kept", "around it")):
        out.append(f'<text class="head middle" x="{COLUMNS[column] + BOX_WIDTHS[column] // 2}" y="30">{words}</text>')
    for begin, end in ((0, 1), (1, 2), (2, 3)):
        x = (COLUMNS[begin] + BOX_WIDTHS[begin] + COLUMNS[end]) // 2
        out.append(f'<path class="wall" d="M{x} 44V{HEIGHT - 40}"/>')
    for flow in FLOWS:
        (x1, y1, w1, h1), (x2, y2, _, h2) = _box(named[flow.begin]), _box(named[flow.end])
        low, high = max(y1, y2), min(y1 + h1, y2 + h2)
        begin = (low + high) // 2 if low < high else y1 + h1 // 2
        end = begin if low < high else (y2 + 14 if y2 > y1 else y2 + h2 - 14)
        out.append(f'<path class="arrow" d="M{x1 + w1} {begin}L{x2 - 2} {end}"/>')
        out.append(f'<text class="mark middle" x="{x1 + w1 + 14}" y="{begin - 6}">{flow.boundary}</text>')
    for part in PARTS:
        x, y, width, height = _box(part)
        out.append(f'<rect class="{part.kind}" x="{x}" y="{y}" width="{width}" height="{height}" rx="8"/>')
        middle = x + width // 2
        out.append(f'<text class="head middle" x="{middle}" y="{y + 28}">{escape(part.name)}</text>')
        for place, line in enumerate(part.lines):
            out.append(f'<text class="small middle" x="{middle}" y="{y + 48 + 18 * place}">{escape(line)}</text>')
    out.append(
        f'<text class="small" x="16" y="{HEIGHT - 14}">Red: a boundary. Its number is that of the table of threats.</text>'
    )
    return "\n".join([*out, "</svg>", ""])


if __name__ == "__main__":
    PICTURE.write_text(drawn())
