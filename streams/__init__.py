"""The domain as pure functions over columns: no I/O, no clock, no Kafka, no Faust."""
