"""An array's claimed size is compared with the remaining request before memory is reserved for it."""

from __future__ import annotations

import dataclasses
import resource
import socket
import struct
import subprocess
import sys
import uuid
from datetime import timedelta

import pytest
from kio.index import load_request_schema
from kio.serial import entity_reader

from mmplatform.local.broker.array_bounds import OverclaimError, walker
from mmplatform.local.broker.versions import _shape
from mmplatform.local.broker.wire import BadFrameError, parse, read_frame
from tests.local.broker.clients import unique
from tests.local.broker.requests import ADVERTISED, request_frame

FULL = {
    "string": "wörd", "records": b"records", "bytes": b"bytes", "bool": True, "uuid": uuid.UUID(int=7),
    "timedelta_i32": timedelta(seconds=1), "timedelta_i64": timedelta(seconds=2),
    "int8": 1, "int16": 2, "int32": 3, "int64": 4,
}  # fmt: skip
MAX_LENGTHS = (b"\x7f\xff\xff\xff", b"\xff\xff\xff\xff\x7f")  # as a plain array's length, as a compact array's
MEMORY_BYTES = 3 << 30
# One damaged request of twenty bytes that asks for 256 GB: DeleteTopics version 4, a compact array.
DEMAND = struct.pack(">hhih", 20, 4, 1, 0) + b"\x00" + b"\xff\xff\xff\xff\x7f"


def filled(schema):
    """A message in which no array is empty and no value is null."""
    values = {}
    for field in dataclasses.fields(schema):
        item, is_array, _ = _shape(field.type)
        value = filled(item) if dataclasses.is_dataclass(item) else FULL[field.metadata["kafka_type"]]
        values[field.name] = (value, value) if is_array else value
    return schema(**values)


def damaged():
    """Every advertised request with, at each of its bytes, the highest length that can be claimed."""
    for api in ADVERTISED:
        data, start = request_frame(*api, filled)
        for at in range(start, len(data)):
            for claim in MAX_LENGTHS:
                yield data[:at] + claim + data[at + len(claim) :]


@pytest.mark.parametrize(("key", "version"), ADVERTISED)
def test_the_walk_ends_where_kio_ends(key, version):
    data, start = request_frame(key, version, filled)
    schema = load_request_schema(key, version)
    _, size = entity_reader(schema)(data + b"what follows", start)
    assert walker(schema)(data + b"what follows", start) == start + size == len(data)


def test_an_array_that_claims_more_than_is_left_is_named_with_both_numbers():
    data = struct.pack(">i", 5) + b"\x00" * 9  # DescribeGroups version 0: five names of at least two bytes
    with pytest.raises(OverclaimError, match="5 items are claimed at byte 4, 9 bytes are left"):
        walker(load_request_schema(15, 0))(data, 0)


def test_a_demand_for_256_gb_is_a_bad_frame():
    with pytest.raises(BadFrameError, match="OverclaimError"):
        parse(read_frame(DEMAND))


def test_no_damaged_length_ends_a_process_that_has_little_memory():
    child = subprocess.run(
        [sys.executable, "-m", "tests.local.broker.test_array_bounds"],
        capture_output=True,
        text=True,
        check=False,
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_AS, (MEMORY_BYTES, MEMORY_BYTES)),
    )
    assert child.returncode == 0, child.stderr[-2000:]
    refused, read = map(int, child.stdout.split())
    assert refused > 1000
    assert refused + read == sum(1 for _ in damaged())


@pytest.mark.broker
def test_a_demand_for_256_gb_ends_its_own_connection_and_no_other(broker, kafka):
    topic = kafka.topic()
    with socket.create_connection(("127.0.0.1", broker.port), timeout=10) as connection:
        connection.sendall(struct.pack(">i", len(DEMAND)) + DEMAND)
        assert connection.recv(1) == b""
    kafka.produce(topic, [unique("after").encode()])
    assert kafka.watermarks(topic) == (0, 1)
    assert broker.is_running


def _sweep():
    refused = read = 0
    for data in damaged():
        try:
            parse(read_frame(data))
            read += 1
        except BadFrameError:
            refused += 1
    sys.stdout.write(f"{refused} {read}")


if __name__ == "__main__":
    _sweep()
