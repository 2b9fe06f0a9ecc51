from __future__ import annotations

import json
from itertools import permutations

import pytest

from mmplatform.artifacts import ArtifactBase, Retraction
from mmplatform.consumers.archiver import SnapshotExpiry, append_rows, check_same_log, group_by_table
from mmplatform.errors import Permanent, Rejected, Unavailable
from mmplatform.events import encode, utc_now
from mmplatform.kafka.reader import Watermarks
from mmplatform.land.lakehouse.snapshot_offsets import CommitResult
from mmplatform.modalities import ARTIFACTS_TOPIC, CHAT, QUARANTINE_TOPIC
from mmplatform.pipeline.consumed_record import ConsumedRecord
from mmplatform.settings import load
from tests.builders import chat, message, position

DERIVED = message(chat(0), position())
AGAIN = message(chat(0), position(1))
RETRACTED = Retraction(
    **{name: getattr(DERIVED, name) for name in ArtifactBase.model_fields if name not in {"kind", "schema_version"}},
    reason="test",
)


def batch(*artifacts):
    positions = (position(n).model_copy(update={"topic": ARTIFACTS_TOPIC}) for n in range(len(artifacts)))
    return group_by_table(
        [
            ConsumedRecord(position=position_, value=encode(artifact), taken_at=utc_now())
            for position_, artifact in zip(positions, artifacts, strict=True)
        ]
    )


@pytest.mark.parametrize("order", list(permutations((DERIVED, RETRACTED, DERIVED))))
def test_a_retraction_wins_a_tie_wherever_it_comes_in_a_batch(order):
    found = batch(*order)
    assert found.retracted["messages"] == {DERIVED.artifact_id: DERIVED.version.sortable}
    assert found.rows["messages"] == []
    assert len(found.rows["retractions"]) == 1


@pytest.mark.parametrize("order", list(permutations((DERIVED, RETRACTED, AGAIN))))
def test_what_a_later_event_made_again_stays_wherever_it_comes_in_a_batch(order):
    found = batch(*order)
    assert found.retracted["messages"] == {DERIVED.artifact_id: DERIVED.version.sortable}
    [(place, row)] = found.rows["messages"]
    assert (place.offset, row["version"]) == (order.index(AGAIN), AGAIN.version.sortable)


def consumed(topic, *values):
    position_ = position(0).model_copy(update={"topic": topic})
    return [
        ConsumedRecord(position=position_.model_copy(update={"offset": n}), value=value, taken_at=utc_now())
        for n, value in enumerate(values)
    ]


def test_what_nobody_else_reads_is_a_dead_letter_when_it_does_not_parse():
    found = group_by_table(consumed(QUARANTINE_TOPIC, b"no row"))
    assert [letter.position.topic for letter in found.dead_letters] == [QUARANTINE_TOPIC]
    elsewhere = group_by_table(consumed(ARTIFACTS_TOPIC, b"no artifact"))
    assert (elsewhere.unparsed, elsewhere.dead_letters) == (1, [])


@pytest.mark.parametrize("change", [{"kind": "chat_pinned"}, {"schema_version": 3}])
def test_what_a_later_release_wrote_is_a_dead_letter_here_too(change):
    """A deriver that knows it already reports nothing, and its raw row would be missing without a name."""
    value = json.dumps(json.loads(encode(chat())) | change).encode()
    found = group_by_table(consumed(CHAT.topic, value, encode(chat(1))))
    assert len(found.rows[CHAT.raw_table]) == 1
    [letter] = found.dead_letters
    assert letter.reason == "an event of an unknown kind or version: upgrade the workers, then redrive it"


class Choosy:
    """A lakehouse that refuses a batch with a bad row in it."""

    def __init__(self) -> None:
        self.landed: list = []

    def land(self, table, rows, **_):
        if self.unfit_rows(table, rows):
            raise Rejected("a row does not fit")
        self.landed += [position.offset for position, _ in rows]
        return CommitResult(len(rows))

    def unfit_rows(self, _, rows):
        return [placed for placed in rows if placed[1]["bad"]]


def test_a_row_that_fits_no_column_is_told_and_its_neighbours_land():
    rejected, lakehouse = [], Choosy()
    rows = [(position(n), {"bad": n == 1}) for n in range(3)]

    def reject(positions, reason):
        assert lakehouse.landed == []  # read again after a crash, the neighbours would hide it
        rejected.append(([position_.offset for position_ in positions], reason))

    assert append_rows(lakehouse, "messages", rows, {}, reject) == 2
    assert rejected == [([1], "a row does not fit")]
    assert lakehouse.landed == [0, 2]


class Idle:
    """A lakehouse that does not answer."""

    def __init__(self) -> None:
        self.runs = 0

    def expire_snapshots(self, _):
        self.runs += 1
        raise Unavailable("away")


def test_upkeep_comes_by_the_hour_and_is_no_reason_to_stop():
    lakehouse = Idle()
    upkeep = SnapshotExpiry(lakehouse)
    upkeep.run_if_due()
    upkeep.run_if_due()
    assert lakehouse.runs == 1


class EndedLog:
    """A log that ends here."""

    def __init__(self, high: int) -> None:
        self._high = high

    def watermarks(self, topics):
        return {topic: {0: Watermarks(0, self._high)} for topic in topics}


class Filled:
    """A lakehouse that holds the log up to offset 10."""

    def landed_offsets(self, table, source):
        assert source == "archive"
        return {("artifacts", 0): 10} if table == "messages" else {}


def test_the_log_that_it_was_filled_from_is_taken():
    check_same_log(Filled(), EndedLog(10), load())


def test_another_log_is_refused_before_anything_is_left_out():
    with pytest.raises(Permanent, match=r"messages holds artifacts\[0\] up to offset 10, but the log ends at 3"):
        check_same_log(Filled(), EndedLog(3), load())
