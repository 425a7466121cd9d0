"""The block engine: a Faust app whose partition units own state, offsets and transactions. It knows no domain."""
