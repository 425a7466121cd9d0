"""Find, read and check policy packs. A pack with any problem is refused whole; the running one stays (R-254)."""

from __future__ import annotations

from io import TextIOWrapper
from pathlib import Path

import policies.beginnings
import policies.packs
from policies.language.document import read_pack
from policies.language.idleness import idle
from policies.language.reader import Item, PackError, Problem, read_text
from policies.model.pack import Pack
from schemas import bounds
from schemas.bounded import TooLargeError, open_bounded

PACKS_DIR = Path(policies.packs.__path__[0])
BEGINNINGS_DIR = Path(policies.beginnings.__path__[0])
SUFFIX = ".yaml"


def available_packs() -> list[str]:
    """The ids of the packs that come with Tidegauge, sorted."""
    return sorted(path.stem for path in PACKS_DIR.glob(f"*{SUFFIX}"))


def load_pack(path_or_id: str | Path) -> Pack:
    """The pack in a file, or the one of that id that comes with Tidegauge.

    Raises PackError naming file, line and field of every problem found.
    """
    path = _locate(path_or_id)
    if path is None:
        known = ", ".join(available_packs())
        raise PackError([Problem(str(path_or_id), 1, "", f"no such file and no such pack; packs here: {known}")])
    try:
        with TextIOWrapper(open_bounded(path, bounds.PACK_BYTES_MAX), encoding="utf-8") as file:
            text = file.read()
    except UnicodeDecodeError as error:
        line = error.object[: error.start].count(b"\n") + 1
        raise PackError([Problem(str(path_or_id), line, "", "is not UTF-8")]) from error
    except TooLargeError as error:
        raise PackError([Problem(str(path_or_id), 1, "", error.reason)]) from error
    except OSError as error:
        raise PackError([Problem(str(path_or_id), 1, "", f"cannot be read: {error.strerror}")]) from error
    return parse_pack(text, str(path_or_id) if Path(path_or_id).suffix else path.name)


def _locate(path_or_id: str | Path) -> Path | None:
    path = Path(path_or_id)
    if path.is_file():
        return path
    shipped = PACKS_DIR / f"{path_or_id}{SUFFIX}"
    return shipped if shipped.parent == PACKS_DIR and shipped.is_file() else None


def parse_pack(text: str, file: str = "pack", *, taken: bool = False) -> Pack:
    """The pack written in `text`; `file` names it in problems. Raises PackError.

    `taken`: the pack was in force under an earlier version, and stays readable though it would be refused now.
    """
    root = read_text(text, file, taken=taken)
    return _good(root, text)


def _good(root: Item, text: str) -> Pack:
    pack = read_pack(root, text)
    if root.found.problems or pack is None:
        raise PackError(root.found.problems)
    return pack


def idle_settings(text: str, file: str = "pack") -> tuple[Problem, ...]:
    """What a good pack sets in vain, in the order of the lines. Raises PackError."""
    root = read_text(text, file)
    pack = _good(root, text)
    written = {item.path: item for item in root.all()}
    for path, why in idle(pack):
        if path in written:
            written[path].note_idle(why)
    return tuple(sorted(root.found.idle, key=lambda one: (one.line, one.field)))


def beginning(kind: str, pack_id: str) -> str:
    """The text of a pack of a kind (policies/beginnings) under another id. PackError for an id that is none."""
    text = (BEGINNINGS_DIR / f"{kind}{SUFFIX}").read_text(encoding="utf-8")
    text = text.replace(f"\npack: {kind}\n", f"\npack: {pack_id}\n")
    parse_pack(text, f"{pack_id}{SUFFIX}")
    return text


def check(path_or_id: str | Path) -> list[Problem]:
    """All problems of a pack; an empty list means that it may be used."""
    try:
        load_pack(path_or_id)
    except PackError as error:
        return list(error.problems)
    return []
