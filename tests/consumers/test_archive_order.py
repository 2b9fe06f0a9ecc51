from __future__ import annotations

import pytest

from mmplatform.artifacts import ArtifactBase, Retraction
from mmplatform.consumers.archiver import SnapshotExpiry, append_rows, check_same_log, group_by_table
from mmplatform.errors import Permanent, Rejected, Unavailable
from mmplatform.events import encode, utc_now
from mmplatform.kafka.reader import Watermarks
from mmplatform.land.lakehouse.snapshot_offsets import CommitResult
from mmplatform.modalities import ARTIFACTS_TOPIC, QUARANTINE_TOPIC
from mmplatform.pipeline.process import ConsumedRecord
from mmplatform.settings import load
from tests.builders import chat, message, position

MADE = message(chat(0), position())
TAKEN_BACK = Retraction(
    **{name: getattr(MADE, name) for name in ArtifactBase.model_fields if name != "schema_version"}, reason="test"
)


def batch(*artifacts):
    places = (position(n).model_copy(update={"topic": ARTIFACTS_TOPIC}) for n in range(len(artifacts)))
    return group_by_table(
        [
            ConsumedRecord(position=place, value=encode(made), taken_at=utc_now())
            for place, made in zip(places, artifacts, strict=True)
        ]
    )


def test_what_was_taken_back_last_goes():
    found = batch(MADE, TAKEN_BACK)
    assert found.retracted["messages"] == {MADE.artifact_id: 1}
    assert found.rows["messages"] == []


def test_what_was_taken_back_and_made_again_in_one_batch_stays():
    found = batch(MADE, TAKEN_BACK, MADE)
    assert found.retracted["messages"] == {MADE.artifact_id: 1}
    assert [place.offset for place, _ in found.rows["messages"]] == [2]


def consumed(topic, *values):
    place = position(0).model_copy(update={"topic": topic})
    return [
        ConsumedRecord(position=place.model_copy(update={"offset": n}), value=value, taken_at=utc_now())
        for n, value in enumerate(values)
    ]


def test_what_nobody_else_reads_is_a_dead_letter_when_it_does_not_parse():
    found = group_by_table(consumed(QUARANTINE_TOPIC, b"no row"))
    assert [letter.position.topic for letter in found.dead_letters] == [QUARANTINE_TOPIC]
    elsewhere = group_by_table(consumed(ARTIFACTS_TOPIC, b"no artifact"))
    assert (elsewhere.unread, elsewhere.dead_letters) == (1, [])


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
    told, lakehouse = [], Choosy()
    rows = [(position(n), {"bad": n == 1}) for n in range(3)]

    def tell(places, reason):
        assert lakehouse.landed == []  # read again after a crash, the neighbours would hide it
        told.append(([place.offset for place in places], reason))

    assert append_rows(lakehouse, "messages", rows, {}, tell) == 2
    assert told == [([1], "a row does not fit")]
    assert lakehouse.landed == [0, 2]


class Idle:
    """A lakehouse that does not answer."""

    def __init__(self) -> None:
        self.asked = 0

    def expire_snapshots(self, _):
        self.asked += 1
        raise Unavailable("away")


def test_upkeep_comes_by_the_hour_and_is_no_reason_to_stop():
    lakehouse = Idle()
    upkeep = SnapshotExpiry(lakehouse)
    upkeep.run_if_due()
    upkeep.run_if_due()
    assert lakehouse.asked == 1


class Marks:
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
    check_same_log(Filled(), Marks(10), load())


def test_another_log_is_refused_before_anything_is_left_out():
    with pytest.raises(Permanent, match=r"messages holds artifacts\[0\] up to offset 10, but the log ends at 3"):
        check_same_log(Filled(), Marks(3), load())
