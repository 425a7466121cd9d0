"""Compiled readers of single Avro values: each stays inside [p, end) and answers the next position or -Status."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final, TypeVar

import numba
import numpy as np
import numpy.typing as npt

import streams  # noqa: F401  it tells numba where to keep what is compiled below
from schemas.codec.pointers import Pointer, word_at
from schemas.codec.status import Status

F = TypeVar("F", bound=Callable[..., Any])
compiled: Callable[[F], F] = numba.njit(nogil=True, cache=True)
inlined: Callable[[F], F] = numba.njit(nogil=True, cache=True, forceinline=True)
"""For what is called for every field: a call writes its answer to memory and is asked whether it failed."""


NULL: Final = -(2**63)  # null in an int64 column
REF_BITS: Final = 20  # a packed reference is position << 20 | length
LENGTH_MAX: Final = (1 << REF_BITS) - 1
DEPTH_MAX: Final = 32
INT_MIN: Final = -(2**31)
INT_MAX: Final = 2**31 - 1

# Plain ints: numba freezes globals, and an IntEnum member would not compile.
TRUNCATED: Final = int(Status.TRUNCATED)
BAD_UTF8: Final = int(Status.BAD_UTF8)
BAD_ENUM: Final = int(Status.BAD_ENUM)
BAD_UNION: Final = int(Status.BAD_UNION)
UNREADABLE_NUMBER: Final = int(Status.BAD_NUMBER)
BAD_BOOLEAN: Final = int(Status.BAD_BOOLEAN)
BAD_LENGTH: Final = int(Status.BAD_LENGTH)
TOO_DEEP: Final = int(Status.TOO_DEEP)
EMPTY_TEXT: Final = int(Status.EMPTY_TEXT)
SPACED_TEXT: Final = int(Status.SPACED_TEXT)
CONTROL_TEXT: Final = int(Status.CONTROL_TEXT)
LONG_TEXT: Final = int(Status.LONG_TEXT)

# Kinds of a program's row: (kind, a, b, out), four numbers one after the other. See schemas/codec/program.py.
K_NULL: Final = 0
K_BOOLEAN: Final = 1
K_INT: Final = 2
K_LONG: Final = 3
K_BYTES: Final = 4
K_STRING: Final = 5
K_FIXED: Final = 6  # a = size
K_ENUM: Final = 7  # tables[a:a+b] = reader's index of each symbol, -1 = none
K_UNION: Final = 8  # tables[a:a+b] = row of each branch, -1 = the reader can't take it
K_ARRAY: Final = 9  # a = row of the items
K_MAP: Final = 10  # a = row of the values
K_RECORD: Final = 11  # tables[a:a+b] = rows of the fields
K_CONST: Final = 12  # the writer lacks it: a = the default
K_CONST_REF: Final = 13  # the same, a = position in the tail, b = length
K_REF: Final = 14  # a = row of a nested value: kept as a reference to its bytes
# What a writer of another schema than ours sends (schemas.writers.resolution).
K_TEXT_ENUM: Final = 15  # a text: tables[a:a+b] = reader's symbols in their order, as references into the tail
K_MICROS: Final = 16  # a long of microseconds, as milliseconds
K_DECIMAL: Final = 17  # a = size, -1 = bytes with a length; b = what the unscaled number is multiplied by
K_TEXT: Final = 19  # a string of an input (schemas.validation.texts): a = bytes at most, b = 1: of several lines
K_SCALE: Final = 18  # nothing is read: out = SCALED - field; tables[a:a+b] = column of its currency, currencies taken


@inlined
def read_long(b: Pointer, p: int, end: int) -> tuple[Any, Any]:
    """A zigzag varint of at most 64 bits: (value, next position or -status)."""
    if p >= end:
        return 0, -TRUNCATED
    x = np.int64(b[p])
    if x < 128:
        return (x >> 1) ^ -(x & 1), p + 1
    r, shift = x & 127, 7
    for q in range(p + 1, min(p + 10, end)):
        x = np.int64(b[q])
        r |= (x & 127) << shift
        shift += 7
        if x < 128:
            if q == p + 9 and x > 1:
                return 0, -UNREADABLE_NUMBER
            return ((r >> 1) & 0x7FFFFFFFFFFFFFFF) ^ -(r & 1), q + 1
    return 0, -(UNREADABLE_NUMBER if p + 10 <= end else TRUNCATED)


@compiled
def _utf8_tail(b: Pointer, p: int, end: int) -> bool:
    """True if [p, end) is UTF-8: no overlong forms, no surrogates, nothing above U+10FFFF."""
    while p < end:
        x = b[p]
        if x < 0x80:
            p += 1
            continue
        if 0xC2 <= x <= 0xDF:
            more, low, high = 1, 0x80, 0xBF
        elif 0xE0 <= x <= 0xEF:
            more, low, high = 2, (0xA0 if x == 0xE0 else 0x80), (0x9F if x == 0xED else 0xBF)
        elif 0xF0 <= x <= 0xF4:
            more, low, high = 3, (0x90 if x == 0xF0 else 0x80), (0x8F if x == 0xF4 else 0xBF)
        else:
            return False
        if p + more >= end or not low <= b[p + 1] <= high:
            return False
        for q in range(p + 2, p + more + 1):
            if b[q] & 0xC0 != 0x80:
                return False
        p += more + 1
    return True


@compiled
def is_utf8(b: Pointer, p: int, end: int) -> bool:
    """True if [p, end) is valid UTF-8; plain ASCII takes one pass."""
    seen = 0
    for q in range(p, end):
        seen |= b[q]
    return seen < 0x80 or _utf8_tail(b, p, end)


WORD_BYTES: Final = 8
_SPACE: Final = 32
_DELETE: Final = 127
_ODD: Final = np.uint64(0x8080808080808080)
_SPACES: Final = np.uint64(0x2020202020202020)
_ONES: Final = np.uint64(0x0101010101010101)


@inlined
def text_fault(b: Pointer, p: int, end: int, most: int) -> int:
    """0, or what is wrong with the text [p, end) of at most `most` bytes.

    It is UTF-8, not empty, without control characters and without spaces around it. Plain ASCII takes eight bytes a step: in
    each byte of a word, those below a space, above `~` or beyond ASCII leave the highest bit.
    """
    n = end - p
    if n <= 0:
        return EMPTY_TEXT
    if n > most:
        return LONG_TEXT
    odd, q = np.uint64(0), p
    if n >= WORD_BYTES:
        while q + WORD_BYTES < end:
            w = word_at(b, q)
            odd |= (w - _SPACES) | (w + _ONES) | w
            q += WORD_BYTES
        w = word_at(b, end - WORD_BYTES)  # the rest, and some of them again
        odd |= (w - _SPACES) | (w + _ONES) | w
    elif end >= WORD_BYTES:  # the word that ends with it, less what stands before it
        w = word_at(b, end - WORD_BYTES) >> np.uint64(8 * (WORD_BYTES - n)) | _SPACES << np.uint64(8 * n)
        odd = (w - _SPACES) | (w + _ONES) | w
    else:
        while q < end:
            if b[q] < _SPACE or b[q] >= _DELETE:
                odd = _ODD
            q += 1
    if odd & _ODD != 0:
        return _odd_text_fault(b, p, end)
    return SPACED_TEXT if b[p] == _SPACE or b[end - 1] == _SPACE else 0


@compiled
def _odd_text_fault(b: Pointer, p: int, end: int) -> int:
    """As text_fault, of a text that is not plain ASCII."""
    if not _utf8_tail(b, p, end):
        return BAD_UTF8
    last = p
    for q in range(p, end):
        if b[q] < _SPACE or b[q] == _DELETE or (b[q] == 0xC2 and b[q + 1] < 0xA0):
            return CONTROL_TEXT
        if b[q] == 0xEF and b[q + 1] == 0xBF and b[q + 2] >= 0xBE:  # U+FFFE and U+FFFF are no characters
            return CONTROL_TEXT
        if b[q] & 0xC0 != 0x80:
            last = q
    return SPACED_TEXT if _is_space(b, p) or _is_space(b, last) else 0


@compiled
def _is_space(b: Pointer, p: int) -> bool:
    """Whether a white space of Unicode's begins at p, in text without control characters."""
    x = b[p]
    if x == _SPACE or (x == 0xC2 and b[p + 1] == 0xA0):
        return True
    if x == 0xE1:  # U+1680
        return b[p + 1] == 0x9A and b[p + 2] == 0x80
    if x == 0xE2:  # U+2000 to 200A, 2028, 2029, 202F; 205F
        y, z = b[p + 1], b[p + 2]
        return (y == 0x80 and (z <= 0x8A or z == 0xA8 or z == 0xA9 or z == 0xAF)) or (y == 0x81 and z == 0x9F)
    return x == 0xE3 and b[p + 1] == 0x80 and b[p + 2] == 0x80  # U+3000


@inlined
def read_checked_text(b: Pointer, p: int, end: int, most: int, lines: int) -> tuple[int, int]:
    """A string of an input: (start of the bytes, next position or -status). With `lines` it is only not too long."""
    at, p = read_bytes(b, p, end, lines != 0)
    if p < 0:
        return 0, p
    if lines != 0:
        return (at, p) if p - at <= most else (0, -LONG_TEXT)
    fault = text_fault(b, at, p, most)
    return (at, p) if fault == 0 else (0, -fault)


@inlined
def read_bytes(b: Pointer, p: int, end: int, text: bool) -> tuple[int, int]:
    """A length and that many bytes: (start of the bytes, next position or -status)."""
    n, p = read_long(b, p, end)
    if p < 0:
        return 0, p
    if n < 0:
        return 0, -BAD_LENGTH
    if n > end - p:
        return 0, -TRUNCATED
    if text and not is_utf8(b, p, p + n):
        return 0, -BAD_UTF8
    return p, p + n


@compiled
def read_decimal(b: Pointer, p: int, end: int, size: int, factor: int) -> tuple[Any, Any]:
    """An unscaled decimal times a factor: (value, next position or -status). Big-endian, two's complement."""
    start, stop = (p, p + size) if size >= 0 else read_bytes(b, p, end, False)
    if stop < 0:
        return 0, stop
    if stop > end:
        return 0, -TRUNCATED
    if start == stop:
        return 0, -UNREADABLE_NUMBER
    value = np.int64(b[start]) - (256 if b[start] > 127 else 0)
    for q in range(start + 1, stop):
        if not -(1 << 55) <= value < 1 << 55:
            return 0, -UNREADABLE_NUMBER
        value = (value << 8) | np.int64(b[q])
    most = np.int64(0x7FFFFFFFFFFFFFFF) // factor
    return (value * factor, stop) if -most <= value <= most else (0, -UNREADABLE_NUMBER)


@compiled
def _skip_scalar(kind: int, a: int, count: int, b: Pointer, p: int, end: int) -> int:
    """Passes one value without parts: next position or -status."""
    if kind == K_NULL:
        return p
    if kind == K_BOOLEAN:
        return -TRUNCATED if p >= end else (-BAD_BOOLEAN if b[p] > 1 else p + 1)
    if kind == K_BYTES or kind == K_STRING:
        return read_bytes(b, p, end, kind == K_STRING)[1]
    if kind == K_FIXED:
        return -TRUNCATED if a > end - p else p + a
    n, p = read_long(b, p, end)
    if p < 0 or kind == K_LONG:
        return p
    if kind == K_INT:
        return p if INT_MIN <= n <= INT_MAX else -UNREADABLE_NUMBER
    return p if 0 <= n < count else -BAD_ENUM


@compiled
def _next_item(frame: npt.NDArray[Any], b: Pointer, p: int, end: int) -> int:
    """Moves an array or map to its next item, past block headers: next position or -status; frame[0] = 0 at the end.

    A frame is (kind, row of the items, items left in the block, where the block must end or -1).
    """
    if frame[2] == 0:
        if frame[3] >= 0 and frame[3] != p:
            return -BAD_LENGTH
        n, p = read_long(b, p, end)
        frame[3] = -1
        if p >= 0 and n < 0:  # the block's size in bytes follows
            size, p = read_long(b, p, end)
            if p >= 0 and not 0 <= size <= end - p:
                return -BAD_LENGTH
            n, frame[3] = -n, p + size
        if p < 0:
            return p
        if not 0 <= n <= end - p:  # an item takes at least a byte: else a few bytes could ask for years of work
            return -BAD_LENGTH
        if n == 0:
            frame[0] = 0
            return p
        frame[2] = n
    frame[2] -= 1
    return read_bytes(b, p, end, True)[1] if frame[0] == K_MAP else p


@compiled
def skip(rows: Pointer, tables: Pointer, row: int, b: Pointer, p: int, end: int) -> int:
    """Passes one value of any kind, checking all of it: next position or -status.

    With a stack of its own: numba's cached recursive functions crash when they are loaded.
    """
    if not K_UNION <= rows[4 * row] <= K_RECORD:
        return _skip_scalar(rows[4 * row], rows[4 * row + 1], rows[4 * row + 2], b, p, end)
    stack, depth = np.empty((DEPTH_MAX, 4), np.int64), 0
    while True:
        kind, a, count = rows[4 * row], rows[4 * row + 1], rows[4 * row + 2]
        if kind == K_UNION:
            n, p = read_long(b, p, end)
            if p < 0 or not 0 <= n < count:
                return p if p < 0 else -BAD_UNION
            row = tables[a + n]
            continue
        if K_ARRAY <= kind <= K_RECORD:
            if depth == DEPTH_MAX:
                return -TOO_DEEP
            stack[depth, 0], stack[depth, 1], stack[depth, 2], stack[depth, 3] = (
                kind,
                a,
                (count if kind == K_RECORD else 0),
                -1,
            )
            depth += 1
        else:
            p = _skip_scalar(kind, a, count, b, p, end)
        while p >= 0 and depth > 0:  # up to the innermost value that has parts left
            frame = stack[depth - 1]
            if frame[0] != K_RECORD:
                p = _next_item(frame, b, p, end)
                if frame[0] != 0:
                    row = frame[1]
                    break
            elif frame[2] > 0:
                row = tables[frame[1]]
                frame[1] += 1
                frame[2] -= 1
                break
            depth -= 1
        else:
            return p
        if p < 0:
            return p
