"""Which partition a customer belongs to: the same in every topic, by Kafka's default hash of the key (murmur2)."""

from functools import lru_cache
from typing import Final

SEED: Final = 0x9747B28C
_M: Final = 0x5BD1E995
_MASK: Final = 0xFFFFFFFF
# What is wrong with where a record of a keyed topic lies, and the reason in its dead letter.
NO_KEY, OTHER_KEY, OTHER_PARTITION = 70, 71, 72
MISPLACED: Final = {
    NO_KEY: "no key",
    OTHER_KEY: "key is not the customer_id",
    OTHER_PARTITION: "lies on a partition that is not its key's",
}
CACHED_KEYS_MAX: Final = 1 << 20


def murmur2(key: bytes) -> int:
    """Unsigned 32-bit murmur2 with Kafka's seed (org.apache.kafka.common.utils.Utils.murmur2)."""
    length = len(key)
    h = (SEED ^ length) & _MASK
    whole = length & ~3
    for at in range(0, whole, 4):
        k = (int.from_bytes(key[at : at + 4], "little") * _M) & _MASK
        k ^= k >> 24
        h = ((h * _M) & _MASK) ^ ((k * _M) & _MASK)
    if tail := key[whole:]:
        h = ((h ^ int.from_bytes(tail, "little")) * _M) & _MASK
    h ^= h >> 13
    h = (h * _M) & _MASK
    return h ^ (h >> 15)


@lru_cache(maxsize=CACHED_KEYS_MAX)
def partition_of(key: bytes, partitions: int) -> int:
    """Partition of a key, as Kafka's Java clients and librdkafka's `murmur2` choose it."""
    return (murmur2(key) & 0x7FFFFFFF) % partitions


def misplacement(key: bytes | None, customer_id: str | None, partition: int, partitions: int) -> int:
    """0, or how a record of a customer lies wrong (MISPLACED). customer_id: None for a deletion, which has its key alone."""
    if key is None:
        return NO_KEY
    if customer_id is not None and key != customer_id.encode():
        return OTHER_KEY
    return 0 if partition_of(key, partitions) == partition else OTHER_PARTITION
