"""The log of one partition, without a broker around it."""

from __future__ import annotations

import json
import os
import random
import struct

import pytest
from kio.schema.errors import ErrorCode

from mmplatform.local.broker.errors import StorageFailedError
from mmplatform.local.broker.log.batch import CorruptBatchError, check, read_header
from mmplatform.local.broker.log.partition import Checkpoint, OffsetOutOfRangeError
from mmplatform.local.broker.log.producers import EXPIRY_MS, Producers, SequenceError
from mmplatform.local.broker.log.records import inflate, walk
from mmplatform.local.broker.log.recovery import open_partition
from mmplatform.local.broker.topic_configs import TopicConfig
from tests.local.broker.batches import batch, garbled

START = Checkpoint()


def opened(folder, checkpoint=START, **configs):
    return open_partition(
        folder, TopicConfig({name.replace("_", "."): str(v) for name, v in configs.items()}), checkpoint
    )


def append(log, data):
    placed = log.append(data, check(data))
    log.flushed(log.flush_target())
    return placed.base_offset


def values(log, offset=0):
    """(first offset, records) of every batch from `offset` on."""
    found = []
    while offset < log.high_watermark:
        header = read_header(log.read(offset, 1, min_one_batch=True))
        found.append((header.base_offset, header.record_count))
        offset = header.next_offset
    return found


def filled(folder, **configs):
    log = opened(folder, **configs)
    for number in range(10):
        append(log, batch([b"%d" % number * 50] * 3))
    log.close()
    return max(folder.glob("*.log"))


# --- recovery ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("missing", [1, 10, 60, 61, 62, 100])
def test_a_torn_tail_is_cut_at_the_last_whole_batch(tmp_path, missing):
    segment = filled(tmp_path)
    size = segment.stat().st_size
    with segment.open("r+b") as file:
        file.truncate(size - missing)
    log = opened(tmp_path)
    assert (log.end_offset, log.high_watermark) == (27, 27)
    assert segment.stat().st_size == size // 10 * 9
    assert append(log, batch([b"after"])) == 27
    log.close()
    assert values(opened(tmp_path)) == [(at, 3) for at in range(0, 27, 3)] + [(27, 1)]


def test_garbage_behind_the_last_batch_is_cut(tmp_path):
    segment = filled(tmp_path)
    with segment.open("ab") as file:
        file.write(bytes(1000))
    assert opened(tmp_path).end_offset == 30


def test_a_flipped_bit_cuts_from_its_batch_on(tmp_path):
    segment = filled(tmp_path)
    data = bytearray(segment.read_bytes())
    data[len(data) // 10 * 7 + 100] ^= 1
    segment.write_bytes(data)
    assert opened(tmp_path).end_offset == 21


def test_segments_behind_a_cut_in_an_earlier_one_are_dropped(tmp_path):
    filled(tmp_path, segment_bytes=700)
    segments = sorted(tmp_path.glob("*.log"))
    assert len(segments) == 4
    with segments[1].open("r+b") as file:
        file.truncate(segments[1].stat().st_size - 5)
    log = opened(tmp_path, segment_bytes=700)
    assert log.end_offset == int(segments[1].stem) + 6
    assert append(log, batch([b"after"])) == log.end_offset - 1
    assert len(list(tmp_path.glob("*.log"))) == 3 - 1 + (log.active.base_offset != int(segments[1].stem))


def test_a_start_reads_only_behind_the_checkpoint(tmp_path):
    log = opened(tmp_path)
    for number in range(5):
        append(log, batch([b"%d" % number * 50] * 3, producer=(7, 0, number * 3)))
    mark = log.checkpoint(0)
    append(log, batch([b"x"], producer=(7, 0, 15)))
    log.close()
    segment = next(tmp_path.glob("*.log"))
    data = bytearray(segment.read_bytes())
    data[150] ^= 1  # damage before the checkpoint: it was sound then, and is not read again
    segment.write_bytes(data)
    log = opened(tmp_path, mark)
    assert log.end_offset == 16
    assert log.producers.check(check(batch([b"x"], producer=(7, 0, 15)))) is not None
    assert log.producers.check(check(batch([b"y"], producer=(7, 0, 16)))) is None


@pytest.mark.parametrize("index", [None, b"", b"short", bytes(240), bytes(range(240))])
def test_a_missing_or_wrong_index_is_rebuilt(tmp_path, index):
    log = opened(tmp_path, segment_bytes=200_000)
    for number in range(60):
        append(log, batch([bytes(10_000)], timestamp=1000 + number * 125))
    mark = log.checkpoint(0)
    log.close()
    for path in tmp_path.glob("*.index"):
        if index is None:
            path.unlink()
        else:
            path.write_bytes(index)
    log = opened(tmp_path, mark, segment_bytes=200_000)
    assert values(log) == [(at, 1) for at in range(60)]
    assert [log.find_time(1000 + at * 125) for at in (0, 13, 59)] == [(0, 1000), (13, 2625), (59, 8375)]


def compacted_below(log, mark):
    """Rewrite the segment that the checkpoint points into, as compaction did before it moved checkpoints first."""
    segment = log.segments[0]
    assert segment.base_offset == mark.segment
    batches = [segment.read(at, header.size) for at, header in segment.batches()]
    segment.path.write_bytes(b"".join(batches[3:]))
    segment.index_path.unlink()


def test_a_checkpoint_into_a_segment_that_was_rewritten_since_costs_no_record(tmp_path):
    log = opened(tmp_path, segment_bytes=3000)
    for number in range(2):
        append(log, batch([b"%d" % number * 50] * 3, producer=(7, 0, number * 3)))
    mark = log.checkpoint(0)
    for number in range(2, 40):
        append(log, batch([b"%d" % number * (40 + number)] * 3, producer=(7, 0, number * 3)))
    log.close()
    assert len(log.segments) > 2
    compacted_below(log, mark)
    log = opened(tmp_path, mark, segment_bytes=3000)
    assert values(log) == [(at * 3, 3) for at in range(3, 40)]
    assert log.segments[0].next_offset == log.segments[1].base_offset
    assert log.producers.check(check(batch([b"x"] * 3, producer=(7, 0, 39 * 3)))).base_offset == 39 * 3
    assert log.producers.check(check(batch([b"y"], producer=(7, 0, 120)))) is None


@pytest.mark.parametrize("kept", [1, 4])
def test_a_checkpoint_past_the_end_of_its_segment_costs_no_record(tmp_path, kept):
    log = opened(tmp_path, segment_bytes=3000)
    for number in range(10):
        append(log, batch([b"%d" % number * 50] * 3))
    mark = log.checkpoint(0)
    for number in range(10, 40):
        append(log, batch([b"%d" % (number % 10) * 50] * 3))
    log.close()
    segment = log.segments[0]
    batches = [segment.read(at, header.size) for at, header in segment.batches()]
    segment.path.write_bytes(b"".join(batches[:kept]))
    segment.index_path.unlink()
    log = opened(tmp_path, mark, segment_bytes=3000)
    gap = log.segments[1].base_offset // 3
    assert values(log) == [(at * 3, 3) for at in [*range(kept), *range(gap, 40)]]


def test_a_tail_torn_before_the_checkpoint_is_cut_and_written_on(tmp_path):
    segment = filled(tmp_path)
    mark = Checkpoint(0, 0, segment.stat().st_size)
    with segment.open("r+b") as file:
        file.truncate(segment.stat().st_size - 10)
    log = opened(tmp_path, mark)
    assert append(log, batch([b"after"])) == 27
    assert values(log) == [(at, 3) for at in range(0, 27, 3)] + [(27, 1)]


def test_batches_behind_the_checkpoint_are_synced_at_start_before_they_count_as_durable(tmp_path, monkeypatch):
    log = opened(tmp_path, segment_bytes=700)
    append(log, batch([b"x" * 50] * 3))
    mark = log.checkpoint(0)
    for _ in range(9):  # whoever kills the broker now leaves this in the system's cache at best
        append(log, batch([b"x" * 50] * 3))
    log.close()
    synced, sync = set(), os.fsync
    monkeypatch.setattr(os, "fsync", lambda fd: (synced.add(os.fstat(fd).st_ino), sync(fd)))
    opened(tmp_path, mark)
    assert synced == {path.stat().st_ino for path in [tmp_path, *tmp_path.glob("*.log")]}
    synced.clear()
    opened(tmp_path, log.checkpoint(0))
    assert synced <= {tmp_path.stat().st_ino}


def test_an_offset_is_not_used_twice_when_a_new_segment_lost_its_name(tmp_path):
    filled(tmp_path)
    log = opened(tmp_path)
    log.roll(0)
    mark = log.checkpoint(0)
    log.close()
    log.active.path.unlink()  # a power cut may do so: nothing in it was acknowledged yet
    log = opened(tmp_path, mark)
    assert append(log, batch([b"x"])) == 30
    assert values(log) == [(at, 3) for at in range(0, 30, 3)] + [(30, 1)]
    for path in tmp_path.glob("*.log"):
        path.unlink()
    assert append(opened(tmp_path, mark), batch([b"x"])) == 30


def test_a_tail_torn_right_at_the_checkpoint_is_cut_without_reading_earlier_batches(tmp_path):
    segment = filled(tmp_path)
    size = segment.stat().st_size
    data = bytearray(segment.read_bytes())
    data[150] ^= 1  # damage before the checkpoint: it was sound then, and is not read again
    segment.write_bytes(data + b"half a batch")
    log = opened(tmp_path, Checkpoint(0, 0, size))
    assert (log.end_offset, segment.stat().st_size) == (30, size)


# --- what a log promises -----------------------------------------------------------------------------------------


def test_nothing_is_read_before_it_is_on_disk(tmp_path):
    log = opened(tmp_path)
    data = batch([b"x"])
    log.append(data, check(data))
    assert (log.end_offset, log.high_watermark) == (1, 0)
    assert log.read(0, 1000, min_one_batch=True) == b""
    with pytest.raises(OffsetOutOfRangeError):
        log.read(1, 1000, min_one_batch=True)
    log.flushed(log.flush_target())
    assert log.read(0, 1000, min_one_batch=True) != b""


def test_a_batch_is_stored_verbatim_but_for_its_offset(tmp_path):
    log = opened(tmp_path)
    data = batch([b"one", None], keys=[b"a", b"b"])
    append(log, data)
    append(log, data)
    kept = log.read(2, 10_000, min_one_batch=True)
    assert kept[8:] == data[8:]
    assert check(kept).base_offset == 2


async def test_a_refused_flush_fails_its_waiters_and_accepts_no_more(tmp_path):
    log = opened(tmp_path)
    data = batch([b"x"])
    log.append(data, check(data))
    log.fail()
    with pytest.raises(StorageFailedError):
        await log.durable(1)
    with pytest.raises(StorageFailedError):
        log.append(data, check(data))


def test_times_are_found_to_the_record_across_segments(tmp_path):
    log = opened(tmp_path, segment_bytes=400)
    for number in range(20):
        append(log, batch([b"v"] * 10, timestamp=1000 + number * 1250, step=125))
    assert len(log.segments) > 5
    found = {at: log.find_time(at) for at in (0, 1000, 1001, 8000, 25_875, 25_876)}
    assert found == {
        0: (0, 1000),
        1000: (0, 1000),
        1001: (1, 1125),
        8000: (56, 8000),
        25_875: (199, 25_875),
        25_876: None,
    }
    assert log.find_latest_time() == (199, 25_875)


@pytest.mark.parametrize("codec", range(8))
def test_records_that_do_not_open_are_corrupt_and_nothing_else(codec):
    chance = random.Random(codec)
    bodies = [b"", b"\xff" * 3, b"\xff" * 20, b"junk", b"\x82SNAPPY\x00" + bytes(8) + b"\xff" * 8]
    bodies += [b"\x82SNAPPY\x00" + bytes(8) + struct.pack(">i", size) + b"\x01\x00a" for size in (-4, 0, 3, 2**31 - 1)]
    bodies += [b"\x1a\x00" + b"\xfe" * 9 + b"\x01\x00\x02k\x02a\x00"]  # a record 2^63 ms away
    bodies += [chance.randbytes(chance.randrange(60)) for _ in range(500)]
    opened_ones = 0
    for body in bodies:
        data = garbled(codec, body)
        header = check(data)
        try:
            opened_ones += len(list(walk(header, inflate(header, data))))
        except CorruptBatchError:
            continue
    assert opened_ones < len(bodies) // 10


def test_a_time_is_found_past_and_in_a_batch_that_does_not_open(tmp_path):
    log = opened(tmp_path)
    append(log, batch([b"v"] * 2, timestamp=1000, step=125))
    append(log, garbled(2, b""))  # its header says 1,600,000,000,000
    append(log, batch([b"v"], timestamp=1_700_000_000_000))
    assert log.find_time(1125) == (1, 1125)
    assert log.find_time(2000) == (2, 1_600_000_000_000)
    assert log.find_time(1_600_000_000_001) == (3, 1_700_000_000_000)
    assert log.find_latest_time() == (3, 1_700_000_000_000)


def test_a_log_that_was_wholly_deleted_still_knows_its_end(tmp_path):
    filled(tmp_path)
    log = opened(tmp_path)
    for segment in log.advance_start(30):
        segment.remove()
    mark = log.checkpoint(0)
    log.close()
    log = opened(tmp_path, mark)
    assert (log.log_start, log.high_watermark) == (30, 30)
    assert append(log, batch([b"x"])) == 30


def test_a_start_inside_a_segment_outlives_a_restart(tmp_path):
    filled(tmp_path)
    log = opened(tmp_path)
    assert log.advance_start(11) == []
    mark = log.checkpoint(0)
    log.close()
    log = opened(tmp_path, mark)
    assert log.log_start == 11
    with pytest.raises(OffsetOutOfRangeError):
        log.read(10, 100, min_one_batch=True)
    assert log.find_time(0) == (11, 1_600_000_000_000)


@pytest.mark.parametrize("damage", [slice(0, 60), slice(0, -1), slice(1, None)])
def test_a_batch_that_is_not_whole_is_refused(damage):
    with pytest.raises(CorruptBatchError):
        check(batch([b"x" * 100])[damage])


# --- idempotent producers ----------------------------------------------------------------------------------------


def numbered(sequence, count=2, epoch=0):
    return read_header(batch([b"x"] * count, producer=(5, epoch, sequence)))


def test_each_of_the_last_five_batches_is_recognised_when_it_is_repeated():
    producers = Producers()
    for at in range(8):
        producers.record(numbered(at * 2).with_base_offset(100 + at * 2), 0)
    assert [producers.check(numbered(at * 2)).base_offset for at in range(3, 8)] == [106, 108, 110, 112, 114]
    with pytest.raises(SequenceError) as older:
        producers.check(numbered(2))
    assert older.value.code is ErrorCode.duplicate_sequence_number


@pytest.mark.parametrize(
    ("sequence", "epoch", "code"),
    [
        (5, 1, ErrorCode.out_of_order_sequence_number),
        (3, 2, ErrorCode.out_of_order_sequence_number),
        (2, 0, ErrorCode.invalid_producer_epoch),
    ],
)
def test_a_batch_out_of_turn_is_refused(sequence, epoch, code):
    producers = Producers()
    producers.record(numbered(0, epoch=1).with_base_offset(0), 0)
    with pytest.raises(SequenceError) as refusal:
        producers.check(numbered(sequence, epoch=epoch))
    assert refusal.value.code is code


def test_sequence_numbers_wrap_around():
    producers = Producers()
    producers.record(numbered(2**31 - 2).with_base_offset(0), 0)
    assert producers.check(numbered(0)) is None


def test_producers_survive_a_restart_and_are_forgotten_after_a_day():
    producers = Producers()
    producers.record(numbered(0).with_base_offset(0), 1000)
    producers.record(numbered(2).with_base_offset(2), 1000)
    assert json.loads(producers.snapshot(1000, 2)) == [[5, 0, 1000, [[0, 1, 0, 1]]]]
    restored = Producers.restore(producers.snapshot(1000, 4))
    assert restored.check(numbered(2)).base_offset == 2
    assert json.loads(producers.snapshot(1000 + EXPIRY_MS, 4)) == []
