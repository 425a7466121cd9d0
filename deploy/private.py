"""Folders and files that their owner alone reads: data, and generated secrets.

What an earlier version left open is closed when it is used again.
"""

import contextlib
import os
import secrets
import stat
from collections.abc import Callable
from pathlib import Path
from typing import Final

UMASK: Final = 0o077
"""Of the servers that are started: what they write is their owner's."""

FOLDER_MODE: Final = 0o700
FILE_MODE: Final = 0o600


def private_folder(path: Path, *, ours: bool = True) -> None:
    """Make a folder, with what is missing above it; nobody else gets in. OSError if that can't be.

    `ours`: one that exists is closed too, if it belongs to whoever runs this.
    """
    path.mkdir(mode=FOLDER_MODE, parents=True, exist_ok=True)
    found = path.stat()
    if ours and found.st_uid == os.geteuid() and stat.S_IMODE(found.st_mode) & UMASK:
        path.chmod(FOLDER_MODE)


def write_private(path: Path, text: str) -> None:
    """Write a file, whole or not at all."""
    _draft(path, text).replace(path)


def made_once(path: Path, text: Callable[[], str]) -> None:
    """Make a file with a secret if it isn't there; of several processes at once, the first one's counts."""
    if path.exists():
        return
    private_folder(path.parent, ours=False)
    draft = _draft(path, text())
    with contextlib.suppress(FileExistsError):
        path.hardlink_to(draft)
    draft.unlink()


def _draft(path: Path, text: str) -> Path:
    draft = path.with_name(f"{path.name}.{secrets.token_hex(4)}")
    draft.touch(mode=FILE_MODE, exist_ok=False)
    draft.write_text(text, encoding="utf-8")
    return draft
