"""What became of one record of a block: small numbers for the columns, words for `dead-letters`."""

from __future__ import annotations

from enum import IntEnum


class Status(IntEnum):
    """A record is good below 10 and belongs into `dead-letters` from 10 on."""

    OK = 0
    TOMBSTONE = 1  # null value, or a row that says of itself that it was deleted (schemas.writers.resolution.DELETED)
    MARK = 2  # close mark: data[i, 0] is its business day
    BAD_MAGIC = 10
    UNKNOWN_SCHEMA = 11  # data[i, 0] is the schema id
    INCOMPATIBLE = 12  # a schema this topic's reader can't resolve; data[i, 0] is the schema id
    TRUNCATED = 13
    TRAILING = 14
    BAD_UTF8 = 15
    BAD_ENUM = 16
    BAD_UNION = 17
    BAD_NUMBER = 18  # varint beyond 64 bits, int beyond 32 bits, or -2**63, which the columns use for null
    BAD_BOOLEAN = 19
    BAD_LENGTH = 20  # a negative length, or an array's count or byte size that can't be
    TOO_DEEP = 21
    TOO_LARGE = 22  # key, value or the record beyond schemas.bounds; data[i, 0] is the value's length
    # The batch's framing is broken here: one row for all that can't be told apart. data[i, 0] is its length,
    # data[i, 1], where there is a second column, the last offset that the row stands for.
    BAD_BLOCK = 23
    BATCH_TOO_LARGE = 24  # one row for what of a batch is not unpacked
    BAD_SCALE = 25  # a decimal with another number of decimals than its currency
    # Of texts, see schemas.validation.texts.
    EMPTY_TEXT = 26
    SPACED_TEXT = 27
    CONTROL_TEXT = 28
    LONG_TEXT = 29


REASONS = {
    Status.BAD_MAGIC: "wrong magic byte",
    Status.UNKNOWN_SCHEMA: "unknown schema id",
    Status.INCOMPATIBLE: "schema does not fit the topic",
    Status.TRUNCATED: "truncated",
    Status.TRAILING: "bytes after the end",
    Status.BAD_UTF8: "invalid UTF-8",
    Status.BAD_ENUM: "unknown symbol",
    Status.BAD_UNION: "unknown union branch",
    Status.BAD_NUMBER: "number out of range",
    Status.BAD_BOOLEAN: "neither true nor false",
    Status.BAD_LENGTH: "impossible length",
    Status.TOO_DEEP: "nested too deep",
    Status.TOO_LARGE: "too large",
    Status.BAD_BLOCK: "damaged batch",
    Status.BATCH_TOO_LARGE: "batch too large",
    Status.BAD_SCALE: "decimals are not the currency's",
    Status.EMPTY_TEXT: "empty text",
    Status.SPACED_TEXT: "spaces around the text",
    Status.CONTROL_TEXT: "control characters in the text",
    Status.LONG_TEXT: "text too long",
}
