"""Topic partition of a key: the partitioner of Java's producers, which librdkafka calls ``murmur2``."""

from __future__ import annotations

from typing import Final

_SEED: Final = 0x9747_B28C
_FACTOR: Final = 0x5BD1_E995
_MASK: Final = 0xFFFF_FFFF
_POSITIVE: Final = 0x7FFF_FFFF
_WORD: Final = 4


def topic_partition_of_key(key: str, topic_partitions: int) -> int:
    """Number of the topic partition to which a producer writes a key."""
    return (_murmur2(key.encode()) & _POSITIVE) % topic_partitions


def _murmur2(data: bytes) -> int:
    """MurmurHash2, 32 bits, with Kafka's seed."""
    hashed = _SEED ^ len(data)
    whole_words = len(data) - len(data) % _WORD
    for start in range(0, whole_words, _WORD):
        word = int.from_bytes(data[start : start + _WORD], "little") * _FACTOR & _MASK
        word = (word ^ word >> 24) * _FACTOR & _MASK
        hashed = (hashed * _FACTOR & _MASK) ^ word
    if tail := data[whole_words:]:
        hashed = (hashed ^ int.from_bytes(tail, "little")) * _FACTOR & _MASK
    hashed = (hashed ^ hashed >> 13) * _FACTOR & _MASK
    return hashed ^ hashed >> 15
