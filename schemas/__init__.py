"""The contracts (`*.avsc`, one a topic) and their codec.

Nothing is imported here: a command that needs no kernel starts fast.

- `schemas.codec.blocks`: `Reader`, `decode`, `Columns`; a fetch of record batches as int64 columns
- `schemas.codec.values`: `decode_values`; the same for values without their batches
- `schemas.codec.encoder`: `Writer`, `encode_columns`; columns back to wire format
- `schemas.codec.records`: `encode`, `decode_one`; one record at a time
- `schemas.codec.batches`: `unpack`; record batches as bytes
- `schemas.codec.status`: `Status`, `REASONS`; what became of a record
- `schemas.registry`: `FileRegistry`, `ConfluentRegistry`, `registry_for`; which schema an id stands for
- `schemas.compatibility`, `schemas.release`: how contracts may change, and the command that freezes a version
- `schemas.nulls`: `with_nulls`; records of versions that had a number where nothing is known, with null
"""
