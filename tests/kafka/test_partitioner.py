"""The hash is that of Kafka's own clients."""

from __future__ import annotations

import pytest

from mmplatform.kafka.partitioner import topic_partition_of_key


@pytest.mark.parametrize(
    ("key", "hashed"),
    [  # the vectors of UtilsTest.testMurmur2 in Apache Kafka
        ("21", -973932308),
        ("foobar", -790332482),
        ("a-little-bit-long-string", -985981536),
        ("a-little-bit-longer-string", -1486304829),
        ("lkjh234lh9fiuh90y23oiuhsafujhadof229phr9h19h89h8", -58897971),
        ("abc", 479470107),
    ],
)
def test_keys_go_where_a_java_producer_sends_them(key, hashed):
    assert topic_partition_of_key(key, 2**31) == hashed & 0x7FFF_FFFF
    assert topic_partition_of_key(key, 7) == (hashed & 0x7FFF_FFFF) % 7
