"""On the path of a worker whose wall clock is to be wrong: time.time() gives what a file of 8 bytes says, in seconds more.

Python imports a module of this name by itself at its start. Monotonic clocks stay as they are, as on a real machine.
"""

import mmap
import os
import struct
import time
from pathlib import Path

_path = os.environ.get("CHAOS_CLOCK_FILE")
if _path:
    with Path(_path).open("r+b") as _file:
        _shared = mmap.mmap(_file.fileno(), 8)
    _offset = struct.Struct("<q")
    _time, _time_ns = time.time, time.time_ns

    def _wrong_time() -> float:
        return _time() + _offset.unpack_from(_shared)[0]

    def _wrong_time_ns() -> int:
        return _time_ns() + _offset.unpack_from(_shared)[0] * 1_000_000_000

    time.time, time.time_ns = _wrong_time, _wrong_time_ns
