"""The domain as pure functions over columns: no I/O, no clock, no Kafka, no Faust."""

from streams.kernels.cache import use_cache

use_cache()
