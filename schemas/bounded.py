"""Files are read within bounds: a larger one is refused before it fills the memory, whatever it grows to meanwhile."""

from __future__ import annotations

import io
import os
import stat
from pathlib import Path
from typing import Any, Final

RIGHT_FILE: Final = "is it the right file?"


class TooLargeError(Exception):
    """A file is larger than its bound. `reason` leaves the file's name out, `hint` says what to do."""

    def __init__(self, path: Path, found: int | None, most: int, hint: str) -> None:
        size = f"more than {most:,}" if found is None else f"{found:,}"
        self.reason = f"{size} bytes, at most {most:,} are taken"
        self.hint = hint
        super().__init__(f"{path}: {self.reason}")


class _Counted(io.RawIOBase):
    """A file that ends in TooLargeError behind its bound: pipes and devices have no size to be asked for."""

    def __init__(self, path: Path, most: int, hint: str) -> None:
        self._file = path.open("rb", buffering=0)
        self._path, self._left, self._most, self._hint = path, most, most, hint

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return self._file.seekable()

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        return self._file.seek(offset, whence)

    def fileno(self) -> int:
        return self._file.fileno()

    def readinto(self, buffer: Any) -> int | None:
        count = self._file.readinto(buffer)
        self._left -= count or 0
        if self._left < 0:
            raise TooLargeError(self._path, None, self._most, self._hint)
        return count

    def close(self) -> None:
        self._file.close()
        super().close()


def open_bounded(path: Path, most: int, hint: str = RIGHT_FILE) -> io.BufferedReader:
    """A file of at most `most` bytes, for reading. Raises TooLargeError, here or behind the bound, and OSError."""
    check_size(path, most, hint)
    return io.BufferedReader(_Counted(path, most, hint))


def read_bounded(path: Path, most: int, hint: str = RIGHT_FILE) -> bytes:
    """The whole of a file of at most `most` bytes. Raises TooLargeError and OSError."""
    with open_bounded(path, most, hint) as file:
        return file.read()


def check_size(path: Path, most: int, hint: str = RIGHT_FILE) -> None:
    """TooLargeError for a file above `most` bytes; OSError. For libraries that open files themselves."""
    found = path.stat()
    if stat.S_ISREG(found.st_mode) and found.st_size > most:
        raise TooLargeError(path, found.st_size, most, hint)
