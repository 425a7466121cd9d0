"""How much of what comes from outside is taken, in one place; docs/guarantees.md#bounds says what happens beyond."""

from __future__ import annotations

from typing import Final

KEY_OR_VALUE_BYTES_MAX: Final = (1 << 20) - 1
"""Of a record; a packed reference has 20 bits for a length."""

RECORD_BYTES_MAX: Final = 4 << 20
"""Of a record with its headers."""

BATCH_RECORDS_MAX: Final = 1 << 18
"""As many as a batch's header says; 7 bytes that unpack to a record would else be a row of 200."""

UNPACKED_BYTES_MAX: Final = 256 << 20
"""Of a batch, once its compression is undone. One such batch is in memory at a time."""

BLOCK_BYTES_MAX: Final = 16 << 20
"""Of records in clear that are handed on at once; a batch beyond is gone through record by record."""

BLOCK_RECORDS_MAX: Final = 1 << 18
"""Of records handed on at once, from which on no further batch is added."""

LETTER_VALUE_BYTES_MAX: Final = 64 << 10
"""Of the original's value in a dead letter."""

LETTER_KEY_BYTES_MAX: Final = 4 << 10
"""Of the original's key in a dead letter."""

LETTER_DETAIL_CHARS_MAX: Final = 200
"""Of the words of a dead letter."""

LETTERS_AT_ONCE_MAX: Final = 1_000
"""Dead letters about a partition of a topic for one reason in a transaction; one more stands for all others of them."""

LETTERS_CHOSEN_MAX: Final = 100_000
"""Dead letters that are sent again at once; none of their originals is held."""

FILE_BYTES_MAX: Final = 8 << 30
"""Of a file of events, as it is stored."""

FILES_MAX: Final = 10_000
"""Files of events in a folder."""

EVENTS_MAX: Final = 10_000_000
"""Of an import or a replay. They are held in memory, some 1.3 KB each."""

COLUMNS_MAX: Final = 64
"""Of a file of events."""

FOOTER_BYTES_MAX: Final = 16 << 20
"""Of a Parquet file's description of itself, which is read whole."""

TABLE_BYTES_MAX: Final = 16 << 20
"""Of a table of rule cases."""

LABELS_BYTES_MAX: Final = 64 << 20
"""Of the labels of a world, some 80 bytes a customer."""

SMALL_FILE_BYTES_MAX: Final = 1 << 20
"""Of a file that is read whole: manifests, calendars, facts, authorities, contracts, the note of a running stack."""

PACK_BYTES_MAX: Final = 256 << 10
"""Of a policy pack, in a file and on its topic."""

REGISTRY_ANSWER_BYTES_MAX: Final = 1 << 20
"""Of an answer of the schema registry, or of whoever issues its tokens."""

KEY_FILE_BYTES_MAX: Final = 4 << 10
"""Of a file with a key or a password."""

UNKNOWN_SCHEMAS_ASKED_MAX: Final = 64
"""Of ids that the registry does not know, within ten seconds, by topic and partition; no other is asked for meanwhile."""

SCHEMAS_KEPT_MAX: Final = 1024
"""Of a registry's schemas."""

SCHEMAS_KEPT_BYTES_MAX: Final = 8 << 20
"""Of their texts."""

SCHEMA_BYTES_MAX: Final = 256 << 10
"""Of a schema by which records are read."""

SCHEMA_TYPES_MAX: Final = 4096
"""In such a schema, primitive ones wherever they stand."""

SCHEMA_DEPTH_MAX: Final = 32
"""Of types in one another, as the block decoder goes into values."""

VALUES_PER_BYTE_MAX: Final = 64
"""That a schema may ask for: null, an empty fixed and a record around others take no byte of their own."""

WRITERS_TYPES_MAX: Final = 64 << 10
"""In all schemas together by which a reader reads."""

SCHEMA_VERSIONS_MAX: Final = 64
"""Of a subject, the newest of which are looked at for a contract of ours in other words."""

SCHEMA_VERSIONS_S: Final = 20.0
"""For all of them."""

HALL_FILE_BYTES_MAX: Final = 16 << 20
"""Of a file of tickets, counters or arrivals of a branch's day."""

HALL_TICKETS_MAX: Final = 100_000
"""Of a branch's day."""

HALL_COUNTERS_MAX: Final = 256
"""Of a branch."""

HALL_OVERTAKINGS_MAX: Final = 10_000_000
"""Of a branch's day, which are listed one by one."""

BRANCHES_MAX: Final = 10_000
"""That have tickets."""

BRANCH_TICKETS_MAX: Final = 10_000
"""That a branch issues in a day."""

BRANCH_WAITING_MAX: Final = 1_000
"""Tickets that wait at a branch."""

BRANCH_REQUESTS_MAX: Final = 100_000
"""Requests of a branch's day whose answers are kept."""

BRANCH_LANES_MAX: Final = 256
"""Of classes and services at a branch."""

OUTBOX_STEPS_MAX: Final = 500_000
"""Steps that wait for Kafka, some 500 bytes each: then no ticket is issued; twice as many, and nothing is done."""

PAST_WAITS_MAX: Final = 5_000
"""Past waits that estimates learn from."""

OFFLINE_TICKETS_MAX: Final = 100
"""Printed by a kiosk and reported at once."""

BRANCH_CASH_REQUESTS_MAX: Final = 1_000
"""Cash requests of a branch that are open, over all days."""

CASH_NOTICE_DAYS_MAX: Final = 31
"""From the branch's day to the one for which cash is asked."""

CASH_PAGE_MAX: Final = 200
"""Cash requests of a day that are listed at once."""

TOKEN_BYTES_MAX: Final = 8 << 10
"""Of a token of whoever asks."""

LOGIN_FILE_BYTES_MAX: Final = 64 << 10
"""Of what a login keeps: its tokens."""

STAFF_FILE_BYTES_MAX: Final = 64 << 20
"""Of a list of staff, units or absences."""

STAFF_LINES_MAX: Final = 200_000
"""Of such a list."""

STAFF_LINE_BYTES_MAX: Final = 4096
"""Of a line of it."""

COMMANDS_FILE_BYTES_MAX: Final = 64 << 20
"""Of a file of commands."""

COMMAND_LINES_MAX: Final = 100_000
"""Of such a file."""
