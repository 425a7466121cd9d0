"""The fuzzer: mutates inputs, keeps those that reach a line by a way that none reached before. JIT off, else it sees nothing."""

from __future__ import annotations

import base64
import ctypes
import random
import signal
import sys
import time
import traceback
from collections.abc import Iterator
from pathlib import Path
from types import FrameType
from typing import Any

import numpy as np

from schemas.codec import batches, blocks, kernel, primitives, values
from tests.fuzz.targets import TARGETS, shrink

ROOT = Path(__file__).resolve().parents[2]
CORPUS = Path(__file__).parent / "corpus.txt"
WATCHED = tuple(str(ROOT / name) for name in ("schemas", "agents/engine", "connectors/formats/parquet_pages.py"))
INPUT_BYTES_MAX = 1 << 12
RUN_S_MAX = 10.0
EDGES = [0, 1, 2, 3, 5, 7, 0x7F, 0x80, 0xFE, 0xFF]
VARINTS = [
    b"\xff\xff\xff\xff\x0f",
    b"\x80" * 9 + b"\1",
    b"\xff" * 9 + b"\1",
    b"\xfe\xff\xff\xff\x0f",
    b"\x80\x80\x80\1",
]

Input = tuple[str, bytes]  # target, bytes


class Bytes:
    """Bytes as a kernel sees them through a pointer; a read or write outside fails."""

    limit = 0  # of the block in hand

    def __init__(self, address: int) -> None:
        self.at = ctypes.cast(address, ctypes.POINTER(ctypes.c_uint8))

    def __getitem__(self, i: int) -> int:
        assert 0 <= i < Bytes.limit, f"byte {i} of {Bytes.limit}"
        return self.at[i]


def longs(address: int) -> Any:
    """The int64 at an address."""
    return ctypes.cast(address, ctypes.POINTER(ctypes.c_int64))


def word(pointer: Bytes, at: int) -> np.uint64:
    """The eight bytes from a place on."""
    return np.uint64(int.from_bytes(bytes(pointer[i] for i in range(at, at + 8)), "little"))


def interpret() -> None:
    """Let the kernels run as plain Python (NUMBA_DISABLE_JIT=1): pointers with bounds in place of intrinsics."""

    def bounded(function: Any, at: int) -> Any:
        def called(*args: Any) -> Any:
            Bytes.limit = args[at]
            return function(*args)

        return called

    primitives.word_at = word  # type: ignore[assignment]
    for module in (kernel, values):
        module.bytes_at, module.longs_at = Bytes, longs  # type: ignore[attr-defined]
    blocks.decode_block = bounded(kernel.decode_block, 1)  # type: ignore[attr-defined]
    values._rows = bounded(values._rows, 1)  # type: ignore[attr-defined]
    batches.scan, batches.frame_at = bounded(kernel.scan, 2), bounded(kernel.frame_at, 2)  # type: ignore[attr-defined]


def read(file: Path) -> list[Input]:
    """The inputs of a file: a target and base64 a line."""
    lines = [line.partition(" ") for line in file.read_text().splitlines()]
    return [(name, base64.b64decode(data)) for name, _, data in lines]


def corpus() -> list[Input]:
    """The inputs that are kept."""
    return read(CORPUS)


def text(inputs: list[Input]) -> str:
    """Inputs as the corpus has them."""
    return "".join(f"{name} {base64.b64encode(data).decode()}\n" for name, data in sorted(set(inputs)))


class Trace:
    """The pairs of lines that follow one another in the watched files."""

    def __init__(self) -> None:
        self.seen: set[tuple[str, int, int]] = set()
        self.new = 0

    def run(self, name: str, data: bytes) -> int:
        """How many new pairs an input gives."""
        self.new = 0
        sys.settrace(self._called)
        try:
            with np.errstate(over="ignore"):
                TARGETS[name](data)
        finally:
            sys.settrace(None)
        return self.new

    def _called(self, frame: FrameType, _event: str, _arg: Any) -> Any:
        file = frame.f_code.co_filename
        if not file.startswith(WATCHED):
            return None
        before = frame.f_lineno

        def line(inner: FrameType, _event: str, _arg: Any) -> Any:
            nonlocal before
            pair = file, before, inner.f_lineno
            if pair not in self.seen:
                self.seen.add(pair)
                self.new += 1
            before = inner.f_lineno
            return line

        return line


def mutated(rng: random.Random, data: bytes, other: bytes) -> bytes:
    """One to four changes."""
    out = bytearray(data)
    for _ in range(rng.choice((1, 1, 2, 4))):
        at = rng.randrange(len(out) + 1)
        size = rng.choice((1, 1, 2, 4, 16))
        kind = rng.randrange(8)
        if kind == 0 and at < len(out):
            out[at] ^= 1 << rng.randrange(8)
        elif kind == 1 and at < len(out):
            out[at] = rng.choice(EDGES)
        elif kind == 2 and at < len(out):
            out[at] = out[at] + rng.choice((-2, -1, 1, 2)) & 255
        elif kind == 3:
            out[at:at] = rng.randbytes(size)
        elif kind == 4:
            out[at : at + rng.choice((0, size))] = rng.choice(VARINTS)
        elif kind == 5:
            del out[at : at + size]
        elif kind == 6:
            out[at:at] = out[at : at + size] * rng.choice((1, 2, 20))
        else:
            start = rng.randrange(len(other) + 1)
            out[at:] = other[start:]
    return bytes(out[:INPUT_BYTES_MAX])


def hung(*_: object) -> None:
    """An input that takes so long is a failure too."""
    raise TimeoutError(f"more than {RUN_S_MAX} s")


def fuzz(seconds: float, seed: int, last: Path, say: Any = print) -> list[Input] | Input:
    """The inputs that gave something new; or the one that fails, with its traceback on stderr.

    `last` has the one in hand, should the process die of it.
    """
    shrink()
    interpret()
    signal.signal(signal.SIGALRM, hung)
    rng, trace, pool, began, runs = random.Random(seed), Trace(), list[Input](), time.monotonic(), 0
    for name, data in _inputs(rng, corpus(), pool, began + seconds):
        runs += 1
        last.write_text(text([(name, data)]))
        signal.setitimer(signal.ITIMER_REAL, RUN_S_MAX)
        try:
            new = trace.run(name, data)
        except Exception:  # whatever it is, it must not be
            traceback.print_exc()
            say(f"after {runs} runs, seed {seed}: {text([(name, data)])}")
            return name, data
        if new:
            pool.append((name, data))
    signal.setitimer(signal.ITIMER_REAL, 0)
    say(f"{runs:,} runs in {time.monotonic() - began:.0f} s, {len(trace.seen):,} ways, {len(pool)} inputs, seed {seed}")
    return pool


def _inputs(rng: random.Random, seeds: list[Input], pool: list[Input], until: float) -> Iterator[Input]:
    yield from seeds
    while time.monotonic() < until:
        name, data = pool[-1 - int(rng.random() ** 2 * len(pool))]
        others = [other for target, other in pool if target == name]
        yield name, mutated(rng, data, rng.choice(others))
