"""The codec: record batches to columns, columns to wire format, single records."""
